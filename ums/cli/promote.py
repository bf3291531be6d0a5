"""``ums promote``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ums.cli.client import service_options
from ums.cli.output import emit, output_option, print_changes, print_outcome
from ums.cli.waiting import wait_for, wait_options

if TYPE_CHECKING:
    from ums.adapters.service_client import ServiceClient


@click.command()
@click.argument("release")
@click.option("--to", "channel", required=True, metavar="CHANNEL", help="The channel to move.")
@click.option("--reason", default="", help="Why; it stands in the log.")
@click.option("--dry-run", is_flag=True, help="Show the component diff and whom it touches; record nothing.")
@wait_options
@output_option
@service_options
def promote(
    client: ServiceClient,
    release: str,
    channel: str,
    reason: str,
    dry_run: bool,
    wait: bool,
    timeout: str,
    output: str,
) -> int:
    """Make RELEASE (bundle@version) the head of a channel.

    The release must have been promoted to the channel's feeder before, and its signatures are verified
    again. Data planes that follow the channel get it unless a hold or pin keeps them.
    """
    body = {"release": release, "reason": reason, "dryRun": dry_run}
    data = client.post(f"/channels/{channel}/promotions", body)

    def table() -> None:
        click.secho(f"{channel}: {data['from'] or 'nothing'} -> {data['to']}", bold=True)
        print_changes(data["components"])
        print_outcome(data, f"{channel} has {data['to']}", dry_run=dry_run)

    emit(data, output, table)
    return wait_for(client, data["serials"], timeout) if wait and not dry_run else 0
