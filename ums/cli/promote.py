"""``ums promote``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ums.cli.asking import does_not_ask
from ums.cli.client import service_options
from ums.cli.output import (
    OPEN_GATES,
    at,
    echo,
    emit,
    output_option,
    planes_text,
    print_changes,
    print_fixes,
    print_gates,
    print_recorded,
    some,
)
from ums.cli.types import CHANNEL, RELEASE
from ums.cli.waiting import rollout_wait_options, wait_for_rollout

if TYPE_CHECKING:
    from ums.client import Client, shapes
    from ums.domain.release import ReleaseName


@click.command()
@click.argument("release", type=RELEASE)
@click.option("--to", "channel", type=CHANNEL, required=True, metavar="CHANNEL", help="The channel to move.")
@click.option("--expedite", is_flag=True, help="Take the channel's fast path; it needs --reason.")
@click.option("--when-ready", is_flag=True, help="If a gate is closed, promote as soon as all are open.")
@click.option("--cancel", is_flag=True, help="Take a --when-ready back that still waits; it needs --reason.")
@click.option("--reason", default="", help="Why; it stands in the log.")
@click.option("--dry-run", is_flag=True, help="Show all of it, and who would move first; record nothing.")
@rollout_wait_options
@does_not_ask("goes past gates, and in waves that halt")
@output_option
@service_options
def promote(
    client: Client,
    release: ReleaseName,
    channel: str,
    output: str,
    **options: Any,  # noqa: ANN401 - click's options
) -> int:
    """Make RELEASE (bundle@version) the head of a channel.

    All gates of the channel are asked, and its signatures verified again; then it is rolled out to the data
    planes that follow, wave by wave. What keeps one from it, ums explain says.

    \b
    Examples:
      ums promote platform@1.1.0 --to stable --dry-run
      ums promote platform@1.1.0 --to stable --when-ready --reason "it soaked well"
      ums promote platform@1.1.0 --to stable --cancel --reason "1.1.1 comes tomorrow"
      ums promote platform@1.1.1 --to stable --expedite --reason CVE-2026-0001 --wait

    Exit codes: 3 a gate is closed; with --wait also 11, time is up, and 12, the rollout was stopped.
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    dry_run = options["dry_run"]
    if options["cancel"]:
        data = client.cancel_promotion(channel, release=str(release), reason=options["reason"], dryRun=dry_run)
        emit(data, output, lambda: print_recorded(data, f"{release} no longer waits for {channel}", dry_run=dry_run))
        return 0
    data = client.promote(
        channel,
        release=str(release),
        reason=options["reason"],
        expedite=options["expedite"],
        whenReady=options["when_ready"],
        dryRun=dry_run,
    )
    emit(data, output, lambda: _print_promotion(data, dry_run=dry_run))
    return wait_for_rollout(client, channel, data["to"], options["timeout"]) if options["wait"] and not dry_run else 0


def _print_promotion(data: shapes.Promotion, *, dry_run: bool) -> None:
    channel, release = data["channel"], data["to"]
    echo(f"{channel}: {data['from'] or 'nothing'} -> {release}  ({data['class']})", bold=True)
    print_changes(data["components"])
    print_fixes(data["fixes"], data["lostFixes"])
    if data["gates"]:
        echo("gates")
        print_gates(data["gates"])
    closed = [gate["gate"] for gate in data["gates"] if gate["verdict"] not in OPEN_GATES]
    done = f"{channel} has {release}" if data["promoted"] else f"{release} waits for {', '.join(closed)}, then goes on"
    print_recorded(data, done, dry_run=dry_run)
    echo(f"  {channel} is followed by {planes_text(data['dataPlanes'])}, in waves: {_waves_text(data['waves'])}")
    if dry_run and data["promoted"]:
        echo(f"  first to move: {some(data['first']) or 'nobody'}")
    if data["earliest"]:
        echo(f"  finished at the earliest {at(data['earliest'])}")
    if not dry_run and data["recorded"]:
        what = f"ums rollout status {channel}" if data["promoted"] else f"ums gates {release} --to {channel}"
        echo(f"  {what} shows how it goes")


def _waves_text(waves: list[shapes.Wave]) -> str:
    return " -> ".join(
        wave["name"]
        + (f" ({wave['targets']})" if "targets" in wave else f" ({wave['share']})" if wave["share"] else "")
        for wave in waves
    )
