"""What commands print: a table for people, JSON or YAML for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

HEALTH_STYLES = {"healthy": "green", "updating": "blue", "failed": "red", "stale": "dim", "unknown": "dim"}
HEALTH_MARKS = {"healthy": "✓", "updating": "↻", "failed": "✗", "stale": "?", "unknown": "?"}
GATE_MARKS = {
    "passed": ("✓", "green"),
    "skipped": ("»", "yellow"),
    "pending": ("…", "yellow"),
    "failed": ("✗", "red"),
    "unknown": ("?", "magenta"),
}
OPEN_GATES = {"passed", "skipped"}
_SHOWN = 3


def output_option(command: Command) -> Command:
    """Add ``-o``."""
    option = click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json", "yaml"]),
        default="table",
        show_default=True,
        help="How to print.",
    )
    return option(command)


def emit(data: Any, output: str, table: Callable[[], None]) -> None:  # noqa: ANN401 - any JSON value
    """Print data as asked; ``table`` prints it for people."""
    if output == "json":
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))
    elif output == "yaml":
        import yaml

        click.echo(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), nl=False)
    else:
        table()


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """Print rows in columns, or ``empty`` when there are none."""
    found = [[str(cell) for cell in row] for row in rows]
    if not found:
        click.echo(empty)
        return
    plain = [[click.unstyle(cell) for cell in row] for row in found]
    widths = [max(len(heading), *(len(row[at]) for row in plain)) for at, heading in enumerate(headings)]
    click.secho(
        "  ".join(h.upper().ljust(width) for h, width in zip(headings, widths, strict=True)).rstrip(), bold=True
    )
    for row, bare in zip(found, plain, strict=True):
        cells = [cell + " " * (width - len(text)) for cell, text, width in zip(row, bare, widths, strict=True)]
        click.echo("  ".join(cells).rstrip())


def health_text(health: str) -> str:
    """Return health as a mark and a word: never colour alone."""
    text = f"{HEALTH_MARKS.get(health, '?')} {health}"
    style = HEALTH_STYLES.get(health, "dim")
    return click.style(text, dim=True) if style == "dim" else click.style(text, fg=style)


def ago(text: str | None) -> str:
    """Return how long ago an RFC 3339 time was, for people: ``3d ago``."""
    if not text:
        return "never"
    seconds = int((datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if abs(seconds) >= size:
            return f"{seconds // size}{unit} ago" if seconds > 0 else f"in {-seconds // size}{unit}"
    return f"{seconds}s ago" if seconds >= 0 else f"in {-seconds}s"


def short_digest(text: str) -> str:
    """Return the 12 digits of a digest that people read."""
    return text.partition(":")[2][:12]


def print_changes(changes: Sequence[Mapping[str, Any]]) -> None:
    """Print a component diff."""
    marks = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow"), "same": (" ", None)}
    for change in changes:
        mark, colour = marks[change["change"]]
        before, after = change["before"], change["after"]
        sides = [f"{side['version']} {short_digest(side['digest'])}" if side else "–" for side in (before, after)]
        text = sides[1] if change["change"] == "same" else f"{sides[0]} -> {sides[1]}"
        note = "  (unchanged)" if change["change"] == "same" else ""
        click.secho(f"  {mark} {change['component']:<20} {text}{note}", fg=colour)


def print_outcome(data: Mapping[str, Any], done: str, *, dry_run: bool) -> None:
    """Print what a decision does: how many data planes move, and why the others stay."""
    moves, withheld = data["moves"], data["withheld"]
    print_recorded(data, done, dry_run=dry_run)
    click.echo(f"  {planes_text(len(moves))} {'would move' if dry_run else 'move'} now")
    reasons: dict[str, list[str]] = {}
    for each in withheld:
        for reason in each["reasons"]:
            reasons.setdefault(reason["code"], []).append(each["pdp"])
    for code, planes in sorted(reasons.items()):
        click.echo(f"  withheld, {code}: {some(planes)}")


def print_recorded(data: Mapping[str, Any], done: str, *, dry_run: bool) -> None:
    """Print that a decision was recorded, was so already, or was only tried."""
    if dry_run:
        click.echo(f"dry run: {done} – nothing was recorded")
    elif data["recorded"]:
        click.echo(f"{done} ({data['commit'][:12]})")
    else:
        click.echo(f"{done} – it was so already, nothing changed")


def planes_text(count: int) -> str:
    """Return how many data planes, in words."""
    return f"{count} data plane{'s' if count != 1 else ''}"


def some(names: Sequence[str], count: int | None = None) -> str:
    """Return enough names to recognize a group, and how many more there are; ``count`` if not all are given."""
    more = (count if count is not None else len(names)) - len(names[:_SHOWN])
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def at(text: str | None) -> str:
    """Return a time for people who plan: the hour, and how far away it is."""
    return f"{text.replace('T', ' ').removesuffix('Z')} UTC ({ago(text)})" if text else "–"


def print_reason(reason: Mapping[str, Any], indent: str = "    ") -> None:
    """Print until when something stands against a move, and who can change it, where that is known."""
    if reason["until"]:
        click.echo(f"{indent}until {at(reason['until'])}")
    if reason["who_can_override"]:
        click.echo(f"{indent}can change it: {reason['who_can_override']}")


def print_gates(gates: Sequence[Mapping[str, Any]]) -> None:
    """Print every gate's answer; for one that is closed, also until when, and who can change it."""
    width = max((len(gate["gate"]) for gate in gates), default=0)
    for gate in gates:
        mark, colour = GATE_MARKS.get(gate["verdict"], ("?", None))
        click.secho(f"  {mark} {gate['gate']:<{width}}  {gate['message']}", fg=colour)
        if gate["verdict"] not in OPEN_GATES:
            print_reason(gate, " " * (width + 6))
