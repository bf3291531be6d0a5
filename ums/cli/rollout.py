"""``ums rollout``: see and steer how a release reaches the data planes of a channel."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import click

from ums.cli.asking import asks, carry_out, does_not_ask
from ums.cli.client import service_options
from ums.cli.output import (
    ago,
    at,
    echo,
    emit,
    output_option,
    planes_text,
    print_outcome,
    print_reason,
    print_table,
    some,
    style,
)
from ums.cli.types import BUNDLE, CHANNEL

if TYPE_CHECKING:
    from ums.client import Client, shapes

STATUS_STYLES = {
    "running": ("↻", "blue"),
    "paused": ("‖", "yellow"),
    "halted": ("✗", "red"),
    "rolled-back": ("↶", "red"),
    "cancelled": ("–", None),
    "finished": ("✓", "green"),
}
_COUNTS = ("targets", "waiting", "updating", "succeeded", "failed", "offline")


@click.group()
def rollout() -> None:
    """Show rollouts; pause, resume, cancel, retry them, or go on to the next wave.

    \b
    Example:
      ums rollout status stable
      ums rollout pause stable platform --reason "support is short today"
    """  # noqa: D301 - \b is click's mark for text not to be wrapped


@rollout.command()
@click.argument("channel", type=CHANNEL, required=False)
@click.argument("bundle", type=BUNDLE, required=False)
@output_option
@service_options
def status(client: Client, channel: str | None, bundle: str | None, output: str) -> None:
    """Show the rollouts of CHANNEL, or of all: each wave with its counts, and how soon it can be through."""
    names = [channel] if channel else [each["channel"] for each in client.get_channels()["items"]]
    items = [each for name in names for each in client.get_rollouts(name, bundle=bundle)["items"]]
    data = {"items": items}

    def table() -> None:
        if not items:
            echo("No rollouts: ums promote starts one.")
        for index, each in enumerate(items):
            echo("", nl=bool(index))
            print_rollout(each)

    emit(data, output, table)


def status_text(name: str) -> str:
    """Return a rollout's status as a mark and a word: never colour alone."""
    mark, colour = STATUS_STYLES.get(name, ("?", None))
    return style(f"{mark} {name}", fg=colour)


def print_rollout(data: shapes.Rollout) -> None:
    """Print a rollout: its status and why, and its waves as a table."""
    echo(f"{data['channel']}  {data['release']}  {status_text(data['status'])}", bold=True)
    echo(f"  {data['reason'] or 'no reason given'} ({data['by']}, {ago(data['since'])})")
    for reason in data["stoppedBy"]:
        echo(f"  stopped: {reason['message']}", fg="yellow")
        print_reason(reason)
    echo(f"  offered to {data['offered']} of {planes_text(data['dataPlanes'])}")
    if data["status"] == "finished":
        return
    if data["failed"]:
        echo(f"  failed: {some(data['failed'])} (ums pdp show says why)", fg="red")
    rows = [
        (
            wave["name"] + (f" ({wave['share']})" if wave["share"] else ""),
            *(str(counts.get(name, "–")) for name in _COUNTS),
            wave["state"],
            wave["soak"],
            at(wave["earliest"]),
        )
        for wave in data["waves"]
        for counts in [cast("dict[str, object]", wave)]
    ]
    if data["status"] in {"paused", "halted", "rolled-back"}:
        steps = "resume" if data["status"] == "paused" else "retry, resume"
        echo(f"  go on, or end it: ums rollout {steps} or cancel {data['channel']} {data['bundle']} --reason …")
    print_table(("wave", *_COUNTS, "state", "soak", "through, at the earliest"), rows, empty="")


def _step(name: str, text: str, done: str, declare: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    @service_options
    @declare
    @output_option
    def act(client: Client, channel: str, bundle: str, reason: str, dry_run: bool, output: str) -> None:  # noqa: ARG001 - carry_out reads them
        def show(data: shapes.Steered, dry_run: bool) -> None:
            print_outcome(data, f"{data['rollout']['release']} in {channel}: {done}", dry_run=dry_run)
            print_rollout(data["rollout"])

        carry_out(lambda dry_run: client.steer_rollout(channel, bundle, name, reason=reason, dryRun=dry_run), show)

    command: Callable[..., Any] = act
    command = click.option("--dry-run", is_flag=True, help="Show whom it touches; record nothing.")(command)
    command = click.option("--reason", required=True, help="Why; it stands in the log.")(command)
    command = click.argument("channel", type=CHANNEL)(click.argument("bundle", type=BUNDLE)(command))
    rollout.command(name, help=text)(command)


_step(
    "pause",
    "Stop moving data planes of CHANNEL to the head of BUNDLE; offers that were made stay.",
    "paused",
    does_not_ask("moves no data plane, and ums rollout resume undoes it"),
)
_step(
    "resume",
    "Go on, also after a halt: the failures so far do not halt it again. It asks first.",
    "goes on",
    asks("goes past the failures that halted a rollout"),
)
_step(
    "cancel",
    "End it: offers that nobody took yet are withdrawn, who has it keeps it. It asks first.",
    "cancelled",
    asks("cannot be undone: a cancelled rollout does not go on"),
)
_step(
    "retry",
    "Offer it once more to those on which it failed.",
    "tried again",
    does_not_ask("concerns those alone on which it failed already"),
)
_step(
    "next",
    "Go on to the next wave, whatever this one still waits for. It asks first.",
    "at the next wave",
    asks("goes past a wave that is not through"),
)
