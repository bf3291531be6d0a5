"""``ums publish``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ums.cli.asking import does_not_ask
from ums.cli.client import make_client, registry_of
from ums.cli.keys import read_password
from ums.cli.output import echo, emit, output_option, print_changes, print_fixes, progress_bar
from ums.cli.types import IMAGE_OF_COMPONENT, LINK, RELEASE, REPLACEMENT, REPOSITORY, VERSION

if TYPE_CHECKING:
    from ums.cli.client import Access
    from ums.client import Client
    from ums.domain.floors import DeclaredFloor
    from ums.domain.oci import Repository
    from ums.domain.version import Version
    from ums.ports import Progress, Signer
    from ums.publisher import Publisher
    from ums.usecases.build import Built, PatchOf, Stated


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=Path())
@click.option("--version", type=VERSION, required=True, help="The release's version; versions never change.")
@click.option(
    "--base",
    type=RELEASE,
    default=None,
    metavar="RELEASE",
    help="Release (bundle@version) to publish from: its fixes are kept, and every component that --replace omits.",
)
@click.option(
    "--replace",
    "replacements",
    type=REPLACEMENT,
    multiple=True,
    metavar="COMPONENT[=PATH]",
    help="With --base: take this component from FOLDER's bundle.yaml, or from a chart or folder at PATH. Repeatable.",
)
@click.option(
    "--image",
    "images",
    type=IMAGE_OF_COMPONENT,
    multiple=True,
    metavar="COMPONENT=IMAGE@DIGEST",
    help="With --replace …=PATH and no Helm at hand: an image the chart runs. Repeatable.",
)
@click.option(
    "--fixes",
    multiple=True,
    metavar="[COMPONENT=]CVE",
    help="Fix in this component, or in all that are built. The class is then security. Repeatable.",
)
@click.option(
    "--class",
    "release_class",
    type=click.Choice(["security", "bugfix", "feature"]),
    default=None,
    help="Class of the release.  [default: security with --fixes, else as in bundle.yaml; bugfix with --replace]",
)
@click.option(
    "--notes", default=None, metavar="TEXT", help="Release notes, in Markdown. A patch keeps its base's below."
)
@click.option(
    "--notes-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the release notes.",
)
@click.option(
    "--override-floors",
    default="",
    metavar="REASON",
    help="Reason why components may be below floors. Needs the right to promote.",
)
@click.option(
    "--key",
    envvar="UMS_KEY",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Release key to sign with.  [env: UMS_KEY]",
)
@click.option(
    "--password-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the key's password.  [env: UMS_KEY_PASSWORD; else asked]",
)
@click.option("--keyless", is_flag=True, help="Sign with an OIDC identity through Fulcio instead of a key.")
@click.option(
    "--trust-config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With --keyless: the client trust configuration of a private sigstore instance.",
)
@click.option(
    "--registry", type=REPOSITORY, default=None, help="Prefix of all repositories.  [default: what the service says]"
)
@click.option("--plain-http", is_flag=True, help="The registry of --registry speaks HTTP.")
@click.option("--no-register", is_flag=True, help="Push and sign only; tell no service.")
@click.option("--dry-run", is_flag=True, help="Build and show what would be pushed; push nothing.")
@click.option("--server", type=LINK, envvar="UMS_SERVER", metavar="URL", help="The service.  [env: UMS_SERVER]")
@click.option(
    "--token-file",
    envvar="UMS_TOKEN_FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the API token.  [env: UMS_TOKEN_FILE; or the token itself in UMS_TOKEN]",
)
@does_not_ask("moves no data plane: a release is promoted")
@output_option
def publish(folder: Path, version: Version, output: str, **options: Any) -> None:  # noqa: ANN401 - click's options
    """Build the bundle in FOLDER, push it, sign it, verify what the registry serves, and register it.

    Interrupted at any point, the same command finishes the job: what is there already is not sent again, and a
    valid signature is reused.

    \b
    A patch reuses every other component by digest, and keeps notes and fixes of its base:
      ums publish --base platform@1.4.2 --replace cilium=charts/cilium --version 1.4.3 --fixes CVE-2026-0001
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    from concurrent.futures import ThreadPoolExecutor

    stated = _stated(options)
    client = None
    if not options["no_register"] or options["registry"] is None:
        client = make_client(options["server"], os.environ.get("UMS_TOKEN"), options["token_file"])
    prefix, access = _registry(client, options)
    open_signer = _no_signer if options["dry_run"] and options["base"] is None else _signer(options)
    with ThreadPoolExecutor(1) as pool:
        # The key's password is made hard to guess by taking time, in which the rest is imported.
        opening = pool.submit(open_signer)
        from ums.publisher import make_publisher

        signer = opening.result()
    publisher = make_publisher(
        signer=signer,
        registrar=None if options["no_register"] else client,
        **access,
    )
    patch = _patch(publisher, signer, prefix, options)
    built = publisher.build(
        folder,
        version,
        patch=patch,
        stated=stated,
        floors=_floors(client),
        override_floors=bool(options["override_floors"].strip()),
    )
    data = {
        "release": built.release.name,
        "class": built.release.release_class.value,
        "fixes": list(built.release.fixes),
        **_compared(patch, built),
        "digest": str(built.artifact.descriptor.digest),
        "repository": str(prefix / built.release.bundle),
        "built": sorted(built.components),
        "reused": list(built.reused),
        "size": built.size,
        "registered": False,
    }
    if options["dry_run"]:
        emit(data, output, lambda: _print_plan(data))
        return
    assert publisher.publish is not None  # noqa: S101 - there is a signer
    with _progress(built, quiet=output != "table") as (progress, step):
        published = publisher.publish(
            built, prefix, progress=progress, step=step, override_floors=options["override_floors"].strip()
        )
    data["registered"] = published.registered
    emit(data, output, lambda: _print_published(data))


def _registry(client: Client | None, options: dict[str, Any]) -> tuple[Repository, Access]:
    """Return prefix and access: of the registry that is named, else of the service's."""
    if options["registry"] is not None:
        return options["registry"], {"login": None, "plain_http": options["plain_http"]}
    assert client is not None  # noqa: S101 - made whenever there is no --registry
    return registry_of(client)


def _no_signer() -> None:
    """Sign nothing."""


def _signer(options: dict[str, Any]) -> Callable[[], Signer]:
    """Return what opens the signer, once all that could be asked of the user was asked."""
    if options["keyless"]:
        from ums.adapters.sigstore_keyless import SigstoreSigner

        config = options["trust_config"]
        return partial(SigstoreSigner.from_environment, config.read_text() if config else None)
    if options["key"] is None:
        raise click.UsageError("which key? Set UMS_KEY, give --key (ums keys generate makes one), or --keyless")
    from ums.adapters.cosign_bundle import CosignBundleSigner

    key: Path = options["key"]
    return partial(CosignBundleSigner.from_file, key, read_password(options["password_file"]), name=key.stem)


def _patch(publisher: Publisher, signer: Signer | None, prefix: Repository, options: dict[str, Any]) -> PatchOf | None:
    from ums.usecases.build import PatchOf, Replacement

    if options["base"] is None:
        if options["replacements"] or options["images"]:
            raise click.UsageError("--replace and --image go with --base")
        return None
    assert signer is not None  # noqa: S101 - a base is believed only by the signer's own signature
    base, notes = publisher.read_base(prefix, options["base"], signer.signatory())
    images: dict[str, list[str]] = {}
    for text in options["images"]:
        name, _, image = text.partition("=")
        images.setdefault(name, []).append(image)
    replacements = []
    for text in options["replacements"]:
        name, _, path = text.partition("=")
        replacements.append(Replacement(name, path or None, tuple(images.pop(name, ()))))
    if images:
        raise click.UsageError(f"--image names {', '.join(images)}, which --replace does not")
    return PatchOf(base, tuple(replacements), notes)


def _stated(options: dict[str, Any]) -> Stated:
    from ums.domain.bundle import ReleaseClass
    from ums.domain.errors import InvalidInputError
    from ums.usecases.build import Fix, Stated

    if options["notes"] is not None and options["notes_file"] is not None:
        raise click.UsageError("give either --notes or --notes-file")
    try:
        notes = options["notes_file"].read_text(encoding="utf-8") if options["notes_file"] else options["notes"] or ""
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{options['notes_file']} is not text in UTF-8") from error
    fixes = []
    for text in options["fixes"]:
        component, _, name = text.rpartition("=")
        fixes.append(Fix(name, component))
    release_class = options["release_class"]
    return Stated(ReleaseClass(release_class) if release_class else None, notes, tuple(fixes))


def _floors(client: Client | None) -> list[DeclaredFloor]:
    """Return the floors that the service knows, so that nothing is pushed that it would refuse."""
    from ums.domain.floors import DeclaredFloor, Floor
    from ums.domain.version import Version

    if client is None:
        return []
    return [
        DeclaredFloor(
            each["bundle"],
            Version(each["release"]),
            Floor.from_dict(
                {
                    "component": each["component"],
                    "versions": each["versions"],
                    "reason": each["reason"],
                    "until": each["until"],
                }
            ),
        )
        for each in client.get_floors()["items"]
    ]


def _compared(patch: PatchOf | None, built: Built) -> dict[str, Any]:
    """Return how a release differs from the one that it is published from."""
    from ums.domain.regressions import regression
    from ums.domain.release import diff_releases

    if patch is None:
        return {"base": None, "changes": [], "lostFixes": []}
    return {
        "base": patch.base.name,
        "changes": [each.to_dict() for each in diff_releases(patch.base, built.release)],
        "lostFixes": list(regression({}, patch.base, built.release).lost_fixes),
    }


@contextmanager
def _progress(built: Built, *, quiet: bool) -> Iterator[tuple[Progress | None, Any]]:
    """Show a bar of the bytes sent on a terminal, and a line a step elsewhere."""
    import sys

    if quiet:
        yield None, lambda _name, _done: None
        return
    if not sys.stderr.isatty():
        yield None, lambda name, done: echo(f"  {done:<10} {name}", err=True)
        return
    with progress_bar(built.release.name, built.size) as (advance, print_line):
        yield advance, lambda name, done: print_line(f"  {done:<10} {name}")


def _print_plan(data: dict[str, Any]) -> None:
    echo(f"dry run: would publish {data['release']} to {data['repository']} – nothing was pushed")
    echo(f"  digest   {data['digest']}")
    echo(f"  class    {data['class']}")
    echo(f"  built    {', '.join(data['built'])} ({data['size']:,} bytes)")
    if data["reused"]:
        echo(f"  reused   {', '.join(data['reused'])}")
    _print_compared(data)


def _print_compared(data: dict[str, Any]) -> None:
    if data["base"]:
        echo(f"  from {data['base']}")
        print_changes(data["changes"])
    print_fixes(data["fixes"], data["lostFixes"])


def _print_published(data: dict[str, Any]) -> None:
    told = "registered" if data["registered"] else "not registered with any service"
    echo(f"published {data['release']}  {data['digest']}  ({told})", bold=True)
    _print_compared(data)
    if data["registered"]:
        echo(f"next: ums promote {data['release']} --to <channel>")
