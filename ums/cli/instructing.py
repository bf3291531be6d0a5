"""What the commands that give instructions share: their options, and how they send them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from ums.cli.client import service_options, until_text
from ums.cli.output import emit, output_option, print_outcome
from ums.cli.waiting import wait_for, wait_options

if TYPE_CHECKING:
    from ums.client import Client
    from ums.client.shapes import Recorded


def instruction(*, ends: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options of an instruction; ``ends`` adds those that say until when it counts."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for add in (service_options, output_option, wait_options):
            command = add(command)
        if ends:
            command = click.option("--until", default=None, metavar="TIME", help="Ends then: 2026-12-01T06:00:00Z.")(
                click.option("--for", "duration", default=None, metavar="DURATION", help="Ends after: 36h, 14d.")(
                    command
                )
            )
        command = click.option("--dry-run", is_flag=True, help="Show whom it touches; record nothing.")(command)
        text = "Why; it stands in the log."
        if ends:
            return click.option("--reason", required=True, help=text)(command)
        return click.option("--reason", default="", help=text)(command)

    return decorate


def send(
    client: Client,
    give: Callable[..., Recorded],
    body: dict[str, Any],
    *,
    done: str,
    options: dict[str, Any],
) -> int:
    """Send an instruction, print what it does, and wait if asked; return the exit code."""
    dry_run = bool(options["dry_run"])
    until = until_text(options.get("until"), options.get("duration"))
    data = give(**body, reason=options["reason"], until=until, dryRun=dry_run)
    emit(data, options["output"], lambda: print_outcome(data, done, dry_run=dry_run))
    return wait_for(client, data["serials"], options["timeout"]) if options["wait"] and not dry_run else 0


def to_plane(give: Callable[..., Recorded], name: str) -> Callable[..., Recorded]:
    """Return an operation on the data plane ``org/pdp``."""
    from ums.domain.names import PDPName

    plane = PDPName.parse(name)
    return partial(give, plane.org, plane.pdp)


def to_target(
    on_plane: Callable[..., Recorded], on_channel: Callable[..., Recorded], target: str
) -> Callable[..., Recorded]:
    """Return an operation on ``org/pdp``, or on a channel by its name."""
    return to_plane(on_plane, target) if "/" in target else partial(on_channel, target)
