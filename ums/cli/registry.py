"""``ums registry``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ums.cli.asking import does_not_ask
from ums.cli.data import settings_of
from ums.cli.output import echo, emit, output_option
from ums.outcomes import OUTCOMES

if TYPE_CHECKING:
    from ums.edge.registry_care import Checked, Collected

_SHOWN = 20


@click.group()
def registry() -> None:
    """Look after the embedded registry of a service, also while it runs."""


@registry.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Show what would go; remove nothing.")
@does_not_ask("removes what nothing needs, as the service does daily")
@output_option
def gc(data: Path, output: str, *, dry_run: bool) -> None:
    """Remove from the registry in DATA what no tag, no index, no referrer of these and no release needs.

    What is younger than a day stays, so that pushes under way are not hurt. The service does this daily by itself.

    \b
    Example:
      ums registry gc ums-data --dry-run
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    from ums.bootstrap import collect_registry

    done = collect_registry(settings_of(data), dry_run=dry_run)
    emit({"dryRun": dry_run, **done.to_dict()}, output, lambda: _print_collected(done, dry_run=dry_run))


def _print_collected(done: Collected, *, dry_run: bool) -> None:
    for each in done.manifests[:_SHOWN]:
        echo(f"  {each}")
    if len(done.manifests) > _SHOWN:
        echo(f"  and {len(done.manifests) - _SHOWN} more; -o json lists all")
    for each in done.problems:
        echo(f"left alone: {each}", fg="yellow")
    verb = "would remove" if dry_run else "removed"
    echo(
        f"{verb} {len(done.manifests)} manifests, {len(done.blobs)} blobs of repositories,"
        f" {done.drafts} pushes that never ended; {done.size:,} bytes"
    )


@registry.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@output_option
def check(data: Path, output: str) -> int:
    """Read every byte of the registry in DATA, and name what does not hold.

    All content is read and compared with its digest; every link, tag and manifest must lead to what is there.

    \b
    Example:
      ums registry check ums-data

    Exit code 8: something does not hold.
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    from ums.bootstrap import check_registry
    from ums.domain.errors import IntegrityError

    found = check_registry(settings_of(data))
    emit(found.to_dict(), output, lambda: _print_checked(found))
    return OUTCOMES[IntegrityError].exit_code if found.problems else 0


def _print_checked(found: Checked) -> None:
    for problem in found.problems:
        echo(f"  ✗ {problem}", fg="red")
    echo(
        f"read {found.size:,} bytes in {found.content} blobs: {found.repositories} repositories,"
        f" {found.manifests} manifests, {found.tags} tags; {len(found.problems) or 'none'} of it wrong"
    )
