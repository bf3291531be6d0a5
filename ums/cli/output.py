"""What commands print: a table for people, JSON or YAML for programs. The only module that prints.

Much of it was written by others: reasons, names, messages of clusters. ``echo`` shows what they hide, so that nothing
of theirs commands the terminal, forges a line, or looks like something else.
"""

from __future__ import annotations

import json
import re
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from datetime import UTC, datetime
from io import StringIO
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ums.domain.text import MULTI_LINE, is_plain, plain, plain_json

if TYPE_CHECKING:
    from ums.client import shapes

Command = TypeVar("Command", bound=Callable[..., Any])

HEALTH_STYLES = {
    "healthy": "green",
    "updating": "blue",
    "failed": "red",
    "silent": "yellow",
    "stale": "dim",
    "unknown": "dim",
}
HEALTH_MARKS = {"healthy": "✓", "updating": "↻", "failed": "✗", "silent": "?", "stale": "?", "unknown": "?"}
GATE_MARKS = {
    "passed": ("✓", "green"),
    "skipped": ("»", "yellow"),
    "pending": ("…", "yellow"),
    "failed": ("✗", "red"),
    "unknown": ("?", "magenta"),
}
OPEN_GATES = {"passed", "skipped"}
_SHOWN = 3
_SEAL = "\0" + secrets.token_hex(8)
"""Stands for Escape in styles of ours: what others wrote cannot have it, since it is another in each process."""
_STYLE = re.compile(re.escape(_SEAL) + r"\[([0-9;]*)m")


def style(text: str, **how: Any) -> str:  # noqa: ANN401 - click's
    """Return text that ``echo`` shows in colours; it takes what ``click.style`` does."""
    before, after = click.style("|", **how).replace("\x1b", _SEAL).split("|")
    return f"{before}{text}{after}"


def unstyle(text: str) -> str:
    """Return text without its styles."""
    return _STYLE.sub("", text)


def echo(text: object = "", *, nl: bool = True, err: bool = False, lines: bool = False, **how: Any) -> None:  # noqa: ANN401
    """Print a line, with what is hidden in it as escapes.

    Args:
        text: of which others may have written some.
        nl: whether the line ends.
        err: to standard error.
        lines: it may have line breaks and tabs; else they are hidden characters too.
        how: what ``click.style`` takes.

    """
    click.echo(_shown(style(str(text), **how) if how else str(text), MULTI_LINE if lines else ""), nl=nl, err=err)


def _shown(text: str, keep: str = "") -> str:
    parts = _STYLE.split(text)
    return "".join(f"\x1b[{part}m" if at % 2 else plain(part, keep=keep) for at, part in enumerate(parts))


def echo_json(data: Any, *, indent: int | None = None) -> None:  # noqa: ANN401 - any JSON value
    """Print JSON."""
    click.echo(plain_json(json.dumps(data, indent=indent, ensure_ascii=False)))


def to_stderr() -> AbstractContextManager[Any]:
    """Let all that is printed meanwhile go to standard error."""
    return redirect_stdout(sys.stderr)


def confirm(question: str) -> None:
    """Ask on standard error, and stop if the answer is no."""
    click.confirm(_shown(question), abort=True, err=True)


def ask_password(what: str, *, twice: bool) -> str:
    """Ask for a password, which may be empty."""
    answer: str = click.prompt(_shown(what), hide_input=True, confirmation_prompt=twice, default="")
    return answer


def echo_usage(error: click.ClickException) -> None:
    """Print what is wrong with a command line."""
    found = StringIO()
    error.show(found)
    echo(found.getvalue(), nl=False, err=True, lines=True)


def clear() -> None:
    """Empty the terminal."""
    click.clear()


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[tuple[Callable[[float], None], Callable[[str], None]]]:
    """Show a bar of bytes sent on standard error; give what advances it, and what prints a line above it."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
    from rich.text import Text

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(plain(what), total=total)
        yield (lambda sent: bars.advance(task, sent)), (lambda line: bars.console.print(Text(plain(line))))


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
        echo_json(data, indent=2)
    elif output == "yaml":
        import yaml

        text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
        # What is hidden it escapes only together with all else that is not ASCII.
        is_safe = is_plain(text, keep="\n")
        click.echo(text if is_safe else yaml.safe_dump(data, sort_keys=False, allow_unicode=False), nl=False)
    else:
        table()


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """Print rows in columns, or ``empty`` when there are none."""
    found = [[plain_cell(str(cell)) for cell in row] for row in rows]
    if not found:
        echo(empty)
        return
    plain = [[unstyle(cell) for cell in row] for row in found]
    widths = [max(len(heading), *(len(row[at]) for row in plain)) for at, heading in enumerate(headings)]
    echo("  ".join(h.upper().ljust(width) for h, width in zip(headings, widths, strict=True)).rstrip(), bold=True)
    for row, bare in zip(found, plain, strict=True):
        cells = [cell + " " * (width - len(text)) for cell, text, width in zip(row, bare, widths, strict=True)]
        echo("  ".join(cells).rstrip())


def plain_cell(text: str) -> str:
    """Return text whose width is what is shown of it."""
    parts = _STYLE.split(text)
    return "".join(f"{_SEAL}[{part}m" if at % 2 else plain(part) for at, part in enumerate(parts))


def health_text(health: str) -> str:
    """Return health as a mark and a word: never colour alone."""
    text = f"{HEALTH_MARKS.get(health, '?')} {health}"
    colour = HEALTH_STYLES.get(health, "dim")
    return style(text, dim=True) if colour == "dim" else style(text, fg=colour)


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
    marks = {
        "added": ("+", "green"),
        "removed": ("-", "red"),
        "changed": ("~", "yellow"),
        "downgraded": ("↓", "red"),
        "same": (" ", None),
    }
    for change in changes:
        mark, colour = marks[change["change"]]
        before, after = change["before"], change["after"]
        sides = [f"{side['version']} {short_digest(side['digest'])}" if side else "–" for side in (before, after)]
        text = sides[1] if change["change"] == "same" else f"{sides[0]} -> {sides[1]}"
        note = {"same": "  (unchanged)", "downgraded": "  (older)"}.get(change["change"], "")
        echo(f"  {mark} {change['component']:<20} {text}{note}", fg=colour)


def print_fixes(fixes: Sequence[str], lost: Sequence[str]) -> None:
    """Print what is fixed by a change, and what no longer is."""
    if fixes:
        echo(f"  fixes {', '.join(fixes)}")
    if lost:
        echo(f"  ✗ no longer fixes {', '.join(lost)}", fg="red")


def print_outcome(data: Mapping[str, Any], done: str, *, dry_run: bool) -> None:
    """Print what a decision does: how many data planes move, and why the others stay."""
    moves, withheld = data["moves"], data["withheld"]
    print_recorded(data, done, dry_run=dry_run)
    if not data["already"]:
        echo(f"  {planes_text(len(moves))} {'would move' if dry_run else 'move'} now")
    reasons: dict[str, list[str]] = {}
    for each in withheld:
        for reason in each["reasons"]:
            reasons.setdefault(reason["code"], []).append(each["pdp"])
    for code, planes in sorted(reasons.items()):
        echo(f"  withheld, {code}: {some(planes)}")


def print_recorded(data: Mapping[str, Any], done: str, *, dry_run: bool) -> None:
    """Print that a decision was recorded, was so already, or was only tried."""
    if dry_run:
        already = ", it is so already" if data.get("already") else ""
        echo(f"dry run: {done} – nothing was recorded{already}")
        print_impact(data)
    elif data["recorded"]:
        echo(f"{done} ({data['commit'][:12]})")
    else:
        echo(f"{done} – already so, nothing changed")


def print_impact(data: Mapping[str, Any]) -> None:
    """Print what a decision would change, where a dry run says it: who would go where, and who no longer."""
    impact = data.get("impact")
    if not impact:
        return
    echo(f"  impact: {planes_text(impact['dataPlanes'])}", fg="yellow" if impact["dataPlanes"] else None)
    for course in impact["moves"]:
        now = f" ({course['now']} at once)" if course["now"] != course["dataPlanes"] else ""
        echo(f"    {_course_text(course, 'would go')}{now}")
    for course in impact["stops"]:
        echo(f"    {_course_text(course, 'would no longer go')}")
    for course in impact["kept"]:
        echo(f"    {_course_text(course, 'would go, but are kept for now,')}")
    if impact["removed"]:
        echo(f"    removed: {some(impact['removed'])}")


def _course_text(course: Mapping[str, Any], verb: str) -> str:
    bundle, before = course["bundle"], course["from"]
    after = f"{bundle}@{course['to']}"
    if course["components"]:
        after += f" with {', '.join(f'{name} of {version}' for name, version in course['components'].items())}"
    start = f" from {before}" if before else ""
    count = course["dataPlanes"]
    return f"{planes_text(count)} {verb}{start} to {after}: {some(course['examples'], count)}"


def print_hold(channel: str, hold: shapes.ChannelHold) -> None:
    """Say what holds a whole channel, until when, and who moves then."""
    until = f" until {at(hold['until'])}" if hold["until"] else ""
    what = f"{channel} is held at {hold['bundle']}@{hold['release']}{until} by {hold['by']}: {hold['reason']}"
    echo(f"{what}; then {hold['then']} (ums unhold {channel} {hold['bundle']})", fg="yellow")


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
        echo(f"{indent}until {at(reason['until'])}")
    if reason["who_can_override"]:
        echo(f"{indent}can change it: {reason['who_can_override']}")


def print_gates(gates: Sequence[Mapping[str, Any]]) -> None:
    """Print every gate's answer; for one that is closed, also until when, and who can change it."""
    width = max((len(gate["gate"]) for gate in gates), default=0)
    for gate in gates:
        mark, colour = GATE_MARKS.get(gate["verdict"], ("?", None))
        echo(f"  {mark} {gate['gate']:<{width}}  {gate['message']}", fg=colour)
        if gate["verdict"] not in OPEN_GATES:
            print_reason(gate, " " * (width + 6))
