"""``ums plan``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ums.cli.client import service_options
from ums.cli.output import at, echo, emit, output_option, planes_text, print_reason, print_table, some
from ums.cli.rollout import status_text
from ums.cli.types import CHANNEL

if TYPE_CHECKING:
    from ums.client import Client, shapes

_MANY = 20


@click.command()
@click.option("--channel", type=CHANNEL, default=None, help="Only this channel.")
@output_option
@service_options
def plan(client: Client, channel: str | None, output: str) -> None:
    """Show who moves now, which waves come next, and why the others do not move.

    \b
    Example:
      ums plan --channel stable
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    data = client.get_plan(channel=channel)

    def table() -> None:
        rows = [
            (
                move["pdp"],
                move["bundle"],
                move["before"]["release"] if move["before"] else "–",
                move["after"]["release"],
            )
            for move in data["moves"]
        ]
        print_table(("pdp", "bundle", "from", "to"), rows[:_MANY], empty="Nobody has to move now.")
        if len(rows) > _MANY:
            echo(f"… and {len(rows) - _MANY} more")
        _print_rollouts(data["rollouts"])
        _print_reasons(data["reasons"])

    emit(data, output, table)


def _print_rollouts(rollouts: list[shapes.Rollout]) -> None:
    for each in rollouts:
        echo()
        echo(f"{each['channel']}  {each['release']}  {status_text(each['status'])}", bold=True)
        if each["status"] != "running":
            echo(f"  {each['reason']}")
        for wave in each["waves"]:
            if wave["state"] == "done":
                continue
            count = f", {wave['succeeded']} of {wave['targets']} well" if "targets" in wave else ""
            through = f"; through {at(wave['earliest'])} at the earliest" if wave["earliest"] else ""
            echo(f"  wave {wave['name']}: {wave['state']}{count}{through}")


def _print_reasons(reasons: list[shapes.SharedReason]) -> None:
    if reasons:
        echo()
        echo("withheld", bold=True)
    for each in reasons:
        names = some(each["examples"], each["count"])
        echo(f"  {planes_text(each['count'])} of {each['channel']}, {each['bundle']}: {each['code']}")
        echo(f"    {each['message']}")
        print_reason(each)
        echo(f"    {names}")
