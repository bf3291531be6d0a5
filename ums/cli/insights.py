"""``ums insights``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ums.cli.client import service_options
from ums.cli.output import emit, output_option, print_table
from ums.cli.types import CHANNEL, DURATION

if TYPE_CHECKING:
    from datetime import timedelta

    from ums.client import Client, shapes

_UNITS = (("d", 86400), ("h", 3600), ("m", 60))


@click.command()
@click.option("--channel", type=CHANNEL, default=None, help="Only this channel.")
@click.option("--since", type=DURATION, default="90d", show_default=True, help="How far to look back: 90d, 12w, P90D.")
@click.option(
    "--share",
    type=click.IntRange(1, 100),
    default=90,
    show_default=True,
    help="Percentage of a channel's data planes that a release must have reached.",
)
@output_option
@service_options
def insights(client: Client, channel: str | None, since: timedelta, share: int, output: str) -> None:
    """Show how well delivery goes, by channel: how often, how fast, how safely, and how soon mended.

    These are the four figures of DORA, from what the release repo records; -o json also says what is approximate.

    \b
    Example:
      ums insights --channel stable --since 30d
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    from ums.domain.instants import duration_text

    data = client.get_insights(channel=channel, since=duration_text(since), share=share)

    def table() -> None:
        rows = [_row(each) for each in data["items"]]
        headings = ("channel", "promotions", "a week", f"lead time to {share}%", "failed", "rate", "restored in")
        print_table(headings, rows, empty="No channels.")

    emit(data, output, table)


def _row(each: shapes.ChannelInsights) -> tuple[str, ...]:
    rate, open_failures = each["changeFailureRate"], each["unrestored"]
    restored = _times(each["restoreTime"])
    return (
        each["channel"],
        str(each["promotions"]),
        f"{each['promotionsPerWeek']:g}",
        _times(each["leadTime"]),
        str(each["failed"]),
        f"{rate:.0%}" if rate is not None else "–",
        f"{restored}, {open_failures} not yet" if open_failures else restored,
    )


def _times(times: shapes.Times) -> str:
    if not times["count"]:
        return "–"
    return f"{_span(times['medianSeconds'])} (90%: {_span(times['p90Seconds'])})"


def _span(seconds: int | None) -> str:
    if seconds is None:
        return "–"
    for unit, size in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.1f}{unit}"
    return f"{seconds}s"
