"""``ums clock``: what to do when the service does not trust its clock."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ums.cli.asking import asks, carry_out
from ums.cli.data import settings_of
from ums.cli.output import echo, output_option, some

if TYPE_CHECKING:
    from ums.bootstrap import ClockAccepted


@click.group()
def clock() -> None:
    """Accept the clock of the service's machine, after a long time off or after it was wrong.

    A service that was off for more than 23 hours, whose clock was set by more than five minutes while it ran, or whose
    clock is behind what it recorded before, serves what it has and records nothing: /readyz and ums status say why.
    """


@clock.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--reason", required=True, help="Reason, recorded in the security log.")
@click.option("--dry-run", is_flag=True, help="Show what would be done; change nothing.")
@asks("cannot be undone, and numbers states anew")
@output_option
def accept(data: Path, reason: str, dry_run: bool, output: str) -> None:  # noqa: ARG001 - carry_out reads them
    """Accept the time that this machine shows as right, for the service of the data folder DATA.

    Check it first: date -u. A service that runs goes on with its next decision; one whose clock was set while it ran
    needs a restart as well.

    States that were issued further ahead of this time than clusters accept get new, lower serials: every cluster
    refused them. A cluster that was bootstrapped with such a state took it; bootstrap that one again.

    It shows its impact and asks first.

    \b
    Example:
      ums clock accept /var/lib/ums --reason "off for three weeks, the clock was checked"
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    from ums.bootstrap import accept_clock

    settings = settings_of(data)
    carry_out(
        lambda dry_run: accept_clock(settings, reason=reason, dry_run=dry_run),
        lambda done, dry_run: _print_accepted(done, dry_run=dry_run),
        data=lambda done: done.to_dict(),
    )


def _print_accepted(done: ClockAccepted, *, dry_run: bool) -> None:
    mark = "dry run – " if dry_run else ""
    echo(f"{mark}the clock is accepted at {done.at}")
    if done.renumbered:
        echo(f"{mark}new serials for {some([*map(str, done.renumbered)])}")
        echo("next: bootstrap those again that were bootstrapped while the clock was ahead: ums pdp bootstrap")
