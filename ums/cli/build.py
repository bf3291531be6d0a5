"""``ums build``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ums.cli.asking import does_not_ask
from ums.cli.output import echo, emit, output_option, print_table, short_digest
from ums.cli.types import VERSION

if TYPE_CHECKING:
    from ums.domain.version import Version


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=Path())
@click.option("--version", type=VERSION, required=True, help="The release's version.")
@click.option(
    "--to",
    "target",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    help="Write the artifacts there, as an OCI image layout; without it, only check and show digests.",
)
@click.option("--plain-http", is_flag=True, help="Charts from oci:// come from a registry that speaks HTTP.")
@does_not_ask("writes a folder alone")
@output_option
def build(folder: Path, version: Version, target: Path | None, plain_http: bool, output: str) -> None:
    """Build the bundle in FOLDER (its bundle.yaml). The same input gives the same digests, on any machine."""
    from ums.adapters.image_layout import write_layout
    from ums.publisher import make_publisher

    built = make_publisher(signer=None, registrar=None, plain_http=plain_http).build(folder, version)
    if target is not None:
        write_layout(target, built.release.version.tag, (built.artifact, *built.components.values()))
    data = {
        "release": built.release.name,
        "digest": str(built.artifact.descriptor.digest),
        "size": built.size,
        "components": [each.to_dict() for each in built.release.components],
    }

    def table() -> None:
        echo(f"{data['release']}  {data['digest']}", bold=True)
        rows = [
            (each.name, each.kind.value, str(each.version), short_digest(str(each.digest)), str(len(each.images)))
            for each in built.release.components
        ]
        print_table(("component", "kind", "version", "digest", "images"), rows, empty="")
        echo(f"{built.size:,} bytes{f' in {target}' if target else ''}")

    emit(data, output, table)
