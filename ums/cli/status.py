"""``ums status``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ums.cli.client import service_options
from ums.cli.events import print_event
from ums.cli.output import ago, clear, echo, echo_json, emit, health_text, output_option, print_hold, print_table
from ums.cli.rollout import status_text

if TYPE_CHECKING:
    from ums.client import Client, shapes


_HAPPENED = 10
"""How much of what happened is shown below the status."""


@click.command()
@click.option("-w", "--watch", is_flag=True, help="Show it anew whenever it changes, until interrupted.")
@output_option
@service_options
def status(client: Client, watch: bool, output: str) -> None:
    """Show channels, their heads and rollouts, the fleet's health, what is frozen, and what ends soon.

    With --watch also what happens meanwhile; -o json then prints each new status on a line.
    """
    if not watch:
        _show(client.get_status(), output)
        return
    if output == "yaml":
        raise click.UsageError("--watch shows a table, or lines of JSON")
    happened: list[shapes.Event] = []
    for name, data in client.follow():
        if name == "problem":
            echo(data, fg="red", err=True)
        elif name == "happened":
            happened = [*happened, data][-_HAPPENED:]
        elif output == "json":
            echo_json(data)
        else:
            clear()
            _show(data, output)
            echo()
            for event in happened:
                print_event(event)


def _show(data: shapes.Status, output: str) -> None:
    from ums.cli.freeze import print_freeze

    def table() -> None:
        for freeze in data["freezes"]:
            print_freeze(freeze)
        rows = [
            (
                channel["channel"],
                channel["feeder"] or "–",
                f"{bundle}@{head['release']}" + _held(channel, bundle),
                _rollout(channel, bundle),
                ago(head["since"]),
                head["by"],
                str(channel["dataPlanes"]),
            )
            for channel in data["channels"]
            for bundle, head in channel["bundles"].items()
        ]
        rows += [
            (
                channel["channel"],
                channel["feeder"] or "–",
                "nothing promoted yet",
                "",
                "",
                "",
                str(channel["dataPlanes"]),
            )
            for channel in data["channels"]
            if not channel["bundles"]
        ]
        print_table(("channel", "feeder", "head", "rollout", "since", "by", "planes"), rows, empty="No channels.")
        health = "   ".join(f"{health_text(name)} {count}" for name, count in sorted(data["health"].items()))
        echo(
            f"\n{data['dataPlanes']} data planes   {health}"
            if data["dataPlanes"]
            else "\nNo data planes yet: ums pdp add"
        )
        for channel in data["channels"]:
            for hold in channel["holds"]:
                print_hold(channel["channel"], hold)
        for each in data["expiring"]:
            text = f"ends soon, at {each['until']}: {each['kind']} of {each['target']}, {each['what']}; {each['then']}"
            echo(f"{text} ({each['by']}: {each['reason']})", fg="yellow")
        if data["keysToPublish"]:
            text = f"trust.yaml {', '.join(data['keysToPublish'])}, and data planes were not told: ums keys status"
            echo(text, fg="yellow")
        for problem in data["problems"]:
            echo(f"left out, because it is wrong: {problem}", fg="red")

    emit(data, output, table)


def _rollout(channel: shapes.Channel, bundle: str) -> str:
    rollout = channel["rollouts"].get(bundle)
    if rollout is None:
        return "–"
    text = status_text(rollout["status"])
    if rollout["status"] == "finished":
        return text
    return f"{text}, wave {rollout['wave']} ({rollout['waves'].index(rollout['wave']) + 1} of {len(rollout['waves'])})"


def _held(channel: shapes.Channel, bundle: str) -> str:
    held = [hold["release"] for hold in channel["holds"] if hold["bundle"] == bundle]
    return f" (held at {held[0]})" if held else ""
