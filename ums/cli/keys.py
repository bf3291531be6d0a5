"""``ums keys``: release keys, in cosign's format."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def keys() -> None:
    """Make and show release keys."""


@keys.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path), default=Path("release.key"))
@click.option(
    "--password-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the password.  [env: UMS_KEY_PASSWORD; else asked]",
)
def generate(path: Path, password_file: Path | None) -> None:
    """Make a release key at PATH, and its public half beside it, at PATH's name with .pub.

    The private key is encrypted as cosign does it, so cosign can use it too. Keep it with the publisher: the
    service must never have it.
    """
    from ums.adapters.cosign_bundle import generate_key

    password = read_password(password_file, confirm=True)
    public = generate_key(path, password)
    click.echo(f"wrote {path} (keep it secret) and {public} (give it to ums init or trust.yaml)")


def read_password(password_file: Path | None, *, confirm: bool = False) -> bytes:
    """Return the password of a release key: from the file, the environment, or a prompt on a terminal."""
    import os
    import sys

    if password_file is not None:
        return password_file.read_bytes().rstrip(b"\r\n")
    for name in ("UMS_KEY_PASSWORD", "COSIGN_PASSWORD"):
        if name in os.environ:
            return os.environ[name].encode()
    if not sys.stdin.isatty():
        raise click.UsageError("no password: set UMS_KEY_PASSWORD (it may be empty) or give --password-file")
    answer: str = click.prompt("password of the release key", hide_input=True, confirmation_prompt=confirm, default="")
    return answer.encode()
