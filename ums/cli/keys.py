"""``ums keys``: release keys and state keys, and their rotation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ums.cli.asking import asks, carry_out, does_not_ask
from ums.cli.client import registry_of, service_options
from ums.cli.output import ask_password, echo, emit, output_option, planes_text, print_table, some
from ums.cli.types import KEY_FILE, NAME, RELEASE, TEXT_FILE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ums.bootstrap import StateKeyRotated
    from ums.client import Client, shapes
    from ums.domain.release import ReleaseName
    from ums.ports import Signer


@click.group()
def keys() -> None:
    """Make keys, show who knows them, and rotate them without a gap.

    A data plane knows keys from its bootstrap, and from each release of bundle trust that it takes since. Such a
    release is published with ums keys publish and promoted as all others are.

    \b
    To rotate a release key:
      ums keys generate release-2.key
      ums keys rotate --add release-2=release-2.pub --reason "once a year"
      ums keys publish --key release.key --key release-2.key
      ums promote trust@1.0.0 --to edge ...          # and so on, until ums keys status says that all know it
      ums keys sign platform@1.4.2 --key release-2.key   # what runs and was signed by the old one alone
      ums keys rotate --drop release --reason "once a year"
      ums keys publish --key release-2.key               # and promote it

    \b
    To rotate the state key, on the machine of the service:
      ums keys rotate-state /var/lib/ums --reason …      # makes the next; then publish and promote
      ums keys rotate-state /var/lib/ums --reason …      # once all know it, puts it in place; then restart
    """  # noqa: D301 - \b is click's mark for text not to be wrapped


@keys.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path), default=Path("release.key"))
@click.option(
    "--password-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the password.  [env: UMS_KEY_PASSWORD; else asked]",
)
@does_not_ask("writes new files alone")
def generate(path: Path, password_file: Path | None) -> None:
    """Make a release key at PATH, and its public half beside it, at PATH's name with .pub.

    The private key is encrypted as cosign does it, so cosign can use it too. Keep it with the publisher: the
    service must never have it.
    """
    from ums.adapters.cosign_bundle import generate_key

    password = read_password(password_file, confirm=True)
    public = generate_key(path, password)
    echo(f"wrote {path} (keep it secret) and {public} (give it to ums init or ums keys rotate --add)")


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
    return ask_password("password of the release key", twice=confirm).encode()


@keys.command()
@output_option
@service_options
def status(client: Client, output: str) -> None:
    """Show all keys, how many data planes may not know each, and what to do next."""
    data = client.get_keys()
    emit(data, output, lambda: _print_status(data))


def _print_status(data: shapes.Keys) -> None:
    rows = [
        ("release", each["name"], "may sign" if each["signs"] else "dropped", _unknown(each))
        for each in data["releaseKeys"]
    ]
    rows += [
        ("state", each["key"][-12:], "signs commits" if each["signs"] else "stands by", _unknown(each))
        for each in data["stateKeys"]
    ]
    print_table(("kind", "key", "", "data planes that may not know it yet"), rows, empty="no keys")
    echo()
    brought = [
        (each["release"] or "bootstrap", ", ".join(each["releaseKeys"]), str(each["dataPlanes"]))
        for each in data["releases"]
    ]
    print_table(("brought by", "release keys", "data planes on it"), brought, empty="")
    following = data["next"]
    if not following["changes"]:
        return
    echo()
    echo(f"to publish: {following['release']}")
    for change in following["changes"]:
        echo(f"  {change}")
    for reason in following["stranded"]:
        echo(f"  {reason['message']}: {reason['who_can_override']}", fg="yellow")
    echo("next: ums keys publish --key …")


def _unknown(key: shapes.KnownKey | shapes.KnownReleaseKey) -> str:
    return some(key["unknownToSome"], key["unknownTo"]) if key["unknownTo"] else "none"


@keys.command()
@click.option(
    "--add",
    type=KEY_FILE,
    multiple=True,
    metavar="NAME=FILE",
    help="A new signer, and its public release key. Repeatable.",
)
@click.option(
    "--like",
    type=NAME,
    metavar="NAME",
    help="With --add: it may sign what this one may. Needed where not all bundles have the same signers.",
)
@click.option("--drop", type=NAME, multiple=True, metavar="NAME", help="A signer that no longer may. Repeatable.")
@click.option(
    "--add-state-key",
    "add_state",
    type=TEXT_FILE,
    multiple=True,
    metavar="FILE",
    help="A public state key. Repeatable.",
)
@click.option(
    "--drop-state-key",
    "drop_state",
    type=TEXT_FILE,
    multiple=True,
    metavar="FILE",
    help="A public state key. Repeatable.",
)
@click.option("--reason", required=True, help="Why; it stands in the log.")
@click.option("--dry-run", is_flag=True, help="Only check whether it can be done; record nothing.")
@asks("changes whose signatures count, for all data planes")
@output_option
@service_options
def rotate(client: Client, output: str, dry_run: bool, reason: str, **options: Any) -> None:  # noqa: ANN401, ARG001 - click's options
    """Say in trust.yaml who may sign from now on, and who no longer may.

    The service heeds it at once. Data planes do so once they took the release of bundle trust that ums keys publish
    makes next. A key is dropped only when another one signed all that runs or is promoted. It shows its impact and asks
    first.

    \b
    Examples:
      ums keys rotate --add release-2=release-2.pub --reason "once a year"
      ums keys rotate --drop release --reason "stolen, incident 4711"
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    body = {
        "add": dict(options["add"]),
        "like": options["like"],
        "drop": list(options["drop"]),
        "addStateKeys": [_state_key(text) for text in options["add_state"]],
        "dropStateKeys": [_state_key(text) for text in options["drop_state"]],
    }
    if not any(value for name, value in body.items() if name != "like"):
        raise click.UsageError("nothing to do: give --add, --drop, --add-state-key or --drop-state-key")
    carry_out(
        lambda dry_run: client.rotate_keys(**body, reason=reason, dryRun=dry_run),
        lambda data, dry_run: _print_rotated(data, dry_run=dry_run),
    )


def _state_key(text: str) -> str:
    """Return a key as trust.yaml names it: without the comment that ssh-keygen leaves behind it."""
    return " ".join(text.split()[:2])


def _print_rotated(data: shapes.KeysRotated, *, dry_run: bool) -> None:
    if not data["changes"]:
        echo("already so, nothing changed")
        return
    echo("dry run – nothing was recorded" if dry_run else f"recorded ({(data['commit'] or '')[:12]})")
    for change in data["changes"]:
        echo(f"  {change}")
    if dry_run:
        told = f"{planes_text(data['dataPlanes'])} {'goes' if data['dataPlanes'] == 1 else 'go'}"
        echo(f"  impact: {told} by the keys known there until the next release of bundle trust is taken")
    else:
        echo("next: ums keys publish, which tells data planes; ums keys status shows who knows what")


def _signing(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the keys to sign with."""
    for add_option in reversed(
        (
            click.option(
                "--key",
                "paths",
                multiple=True,
                required=True,
                envvar="UMS_KEY",
                type=click.Path(exists=True, dir_okay=False, path_type=Path),
                help="Release key to sign with; may be repeated.  [env: UMS_KEY]",
            ),
            click.option(
                "--password-file",
                type=click.Path(exists=True, dir_okay=False, path_type=Path),
                help="File with the keys' password.  [env: UMS_KEY_PASSWORD; else asked]",
            ),
            output_option,
            service_options,
        )
    ):
        command = add_option(command)
    return command


def _signers(paths: Sequence[Path], password_file: Path | None) -> list[Signer]:
    from ums.adapters.cosign_bundle import CosignBundleSigner

    password = read_password(password_file)
    return [CosignBundleSigner.from_file(path, password, name=path.stem) for path in paths]


@keys.command()
@click.option("--dry-run", is_flag=True, help="Show what it would bring; push nothing.")
@_signing
@does_not_ask("moves no data plane: its release is promoted as all others are")
def publish(client: Client, paths: tuple[Path, ...], password_file: Path | None, dry_run: bool, output: str) -> None:
    """Publish the next release of bundle trust: the keys in trust.yaml, and the guard of this version of UMS.

    Sign it with a key that data planes know, and with one that it brings: with both, where they differ. Then promote
    it. Interrupted, the same command finishes the job.

    \b
    Example:
      ums keys publish --key release.key --key release-2.key
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    following = client.get_keys()["next"]
    if following["changes"] and not dry_run:
        following = _publish(client, following, _signers(paths, password_file))
    published = bool(following["changes"]) and not dry_run
    data = {"release": following["release"], "changes": following["changes"], "published": published}
    emit(data, output, lambda: _print_published(data))


def _publish(client: Client, following: shapes.NextTrust, signers: Sequence[Signer]) -> shapes.NextTrust:
    """Publish the next release, or one of a higher number where that was pushed with other content, and refused."""
    from tempfile import TemporaryDirectory

    from ums.adapters.trust_folder import write_trust_folder
    from ums.domain.release import ReleaseName
    from ums.publisher import make_publisher, make_verify

    prefix, access = registry_of(client)
    registry = make_verify(**access).registry
    with TemporaryDirectory() as place:
        while True:
            version = ReleaseName.parse(following["release"]).version
            folder = Path(place) / str(version)
            notes = "\n".join(f"- {change}" for change in following["changes"])
            write_trust_folder(folder, following["objects"], version=str(version), notes=f"{notes}\n")
            build = make_publisher(signer=None, registrar=None, **access).build
            built = build(folder, version)
            there = registry.find(prefix / built.release.bundle, version.tag)
            if there is None or there.digest == built.artifact.descriptor.digest:
                break
            following = client.get_keys(number=version.parsed.major + 1)["next"]
        for signer in signers:
            publisher = make_publisher(signer=signer, registrar=client if signer is signers[-1] else None, **access)
            assert publisher.publish is not None  # noqa: S101 - there is a signer
            publisher.publish(built, prefix)
    return following


def _print_published(data: dict[str, Any]) -> None:
    if not data["changes"]:
        echo("data planes are told all there is already: nothing to publish")
        return
    echo(f"published {data['release']}" if data["published"] else f"would publish {data['release']}", bold=True)
    for change in data["changes"]:
        echo(f"  {change}")
    if data["published"]:
        echo(f"next: ums promote {data['release']} --to <channel>")


@keys.command()
@click.argument("name", type=RELEASE, metavar="RELEASE")
@_signing
@does_not_ask("adds a signature alone")
def sign(client: Client, name: ReleaseName, paths: tuple[Path, ...], password_file: Path | None, output: str) -> None:
    """Sign RELEASE (bundle@version), which others signed before, and all its components.

    It is verified first, with the signatures that the service trusts. What this key signed already is left as it is.

    \b
    Example:
      ums keys sign platform@1.4.2 --key release-2.key
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    from ums.cli.verify import trust_of_service
    from ums.domain.digest import Digest
    from ums.publisher import make_sign

    prefix, access = registry_of(client)
    found = client.get_release(name.bundle, str(name.version))
    for signer in _signers(paths, password_file):
        make_sign(signer, **access)(prefix, name, Digest.parse(found["digest"]), trust_of_service(client))
    data = client.look_again(name.bundle, str(name.version))
    emit(data, output, lambda: echo(f"{name} is signed by {', '.join(data['signedBy'])}"))


@keys.command("rotate-state")
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--reason", required=True, help="Why; it stands in the log.")
@click.option("--dry-run", is_flag=True, help="Say what would be done; do nothing.")
@asks("replaces the key that signs for all data planes")
@output_option
def rotate_state(data: Path, reason: str, dry_run: bool, output: str) -> None:  # noqa: ARG001 - carry_out reads them
    """Give the service of the data folder DATA another state key, in two steps, also while it runs.

    First it makes the key beside the present one, and names it in trust.yaml: publish and promote what ums keys status
    says then. Called again once every data plane knows the key, it puts it in the place of the old one, which is gone;
    before, it is refused (exit code 3), and says who does not know it yet. Then restart the service – with several
    replicas, give each the new state.key first –, drop the old key as it says, and publish and promote once more.
    It shows its impact and asks first.

    \b
    Example:
      ums keys rotate-state /var/lib/ums --reason "once a year"
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    from ums.bootstrap import rotate_state_key
    from ums.cli.data import settings_of

    settings = settings_of(data)
    carry_out(
        lambda dry_run: rotate_state_key(settings, reason=reason, dry_run=dry_run),
        lambda done, dry_run: _print_state_rotated(done, dry_run=dry_run),
        data=lambda done: done.to_dict(),
    )


def _print_state_rotated(done: StateKeyRotated, *, dry_run: bool) -> None:
    mark = "dry run – " if dry_run else ""
    if done.replaced is None:
        echo(f"{mark}a new state key stands by: {done.key}")
        echo("next: ums keys publish, promote it, and run this again once all data planes know the key")
        return
    echo(f"{mark}the service signs with {done.key}, once it was restarted")
    echo(f"next: restart it; then ums keys rotate --drop-state-key {done.replaced}, publish and promote")
