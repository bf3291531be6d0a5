"""``ums events``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from ums.cli.client import service_options
from ums.cli.output import echo, echo_json, output_option
from ums.cli.types import COMMIT

if TYPE_CHECKING:
    from ums.client import Client, shapes

_EVERY_SECONDS = 2
_COLOURS = {"halted": "red", "rolled-back": "red", "rejected": "red", "yanked": "red", "recalled": "red"}
_COLOURS |= {"finished": "green", "done": "green", "approved": "green", "published": "green", "set": "yellow"}


@click.command()
@click.option(
    "--after", type=COMMIT, default="", metavar="COMMIT", help="A commit of the release repo.  [default: the newest]"
)
@click.option("--follow", is_flag=True, help="Go on until interrupted.")
@click.option("--kind", "kinds", multiple=True, help="Only these: rollout, rollout.halted; may be repeated.")
@output_option
@service_options
def events(client: Client, after: str, follow: bool, kinds: tuple[str, ...], output: str) -> None:
    """Show what happened since a commit, oldest first: releases, promotions, waves, halts, holds, freezes.

    With -o json each line is one CloudEvent; the same commit tells the same events with the same ids, so that a
    program that asks again can leave out what it knows.

    \b
    Examples:
      ums events --follow
      ums events --follow --kind rollout -o json | while read -r event; do …; done
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    if output == "yaml":
        raise click.UsageError("events are a table or lines of JSON")
    while True:
        data = client.get_events(after=after)
        is_new = data["after"] != after
        after = data["after"]
        for event in data["items"]:
            if not kinds or any(f"{_kind(event)}.".startswith(f"{each}.") for each in kinds):
                if output == "json":
                    echo_json(event)
                else:
                    print_event(event)
        if not is_new and not follow:
            return
        if not is_new or not data["items"]:
            time.sleep(_EVERY_SECONDS)


def print_event(event: shapes.Event) -> None:
    """Print one event, for people."""
    data, kind = event["data"], _kind(event)
    what = "".join(f"  {data[name]}" for name in ("channel", "what", "to", "message") if data.get(name))
    by = data["by"] if data.get("signed", True) else f"{data['by']} (not signed)"
    why = f"{by}: {data['reason']}" if data["reason"] else by
    colour = _COLOURS.get(kind.partition(".")[2])
    echo(f"{event['time'].replace('T', ' ')}  {kind:<22} {event['subject']}{what}  ({why})", fg=colour)


def _kind(event: shapes.Event) -> str:
    return event["type"].removeprefix("dev.ums.")
