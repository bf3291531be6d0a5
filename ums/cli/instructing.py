"""What the commands that give instructions share: their options, and how they send them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from ums.cli.asking import carry_out
from ums.cli.client import ending_options, service_options, until_text
from ums.cli.output import output_option, print_outcome
from ums.cli.waiting import wait_for, wait_options

if TYPE_CHECKING:
    from ums.client import Client
    from ums.client.shapes import Recorded
    from ums.domain.names import PDPName


def instruction(*, ends: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options of an instruction; ``ends`` adds those that say until when it counts."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for add in (service_options, output_option, wait_options):
            command = add(command)
        if ends:
            command = ending_options(command)
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
    until = until_text(options.get("until"), options.get("duration"))
    data = carry_out(
        lambda dry_run: give(**body, reason=options["reason"], until=until, dryRun=dry_run),
        lambda data, dry_run: print_outcome(data, done, dry_run=dry_run),
    )
    return wait_for(client, data["serials"], options["timeout"]) if options["wait"] and not options["dry_run"] else 0


def to_plane(give: Callable[..., Recorded], plane: PDPName) -> Callable[..., Recorded]:
    """Return an operation on a data plane."""
    return partial(give, plane.org, plane.pdp)


def to_target(
    on_plane: Callable[..., Recorded], on_channel: Callable[..., Recorded], target: PDPName | str
) -> Callable[..., Recorded]:
    """Return an operation on a data plane, or on a channel by its name."""
    return partial(on_channel, target) if isinstance(target, str) else to_plane(on_plane, target)


def is_channel(options: Mapping[str, Any]) -> bool:
    """Return whether a channel is meant, and with it many data planes."""
    return isinstance(options["target"], str)
