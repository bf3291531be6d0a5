"""Points in time and spans, as text: RFC 3339 in UTC, and ISO 8601 durations or ``30m``, ``14d``."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from ums.domain.errors import InvalidInputError

MIN_SPAN, MAX_INTERVAL, MAX_TIMEOUT = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
"""How often Flux may look and how long it may wait; the guard takes nothing else."""

_UNITS = ("weeks", "days", "hours", "minutes", "seconds")
_MAX_LENGTH = 40
_SHORT = re.compile(r"(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.ASCII)
_ISO = re.compile(r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", re.ASCII)


def to_text(instant: datetime) -> str:
    """Return ``2026-11-23T05:00:00Z``; fractions of a second are dropped."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_instant(text: str) -> datetime:
    """Read RFC 3339.

    Raises:
        InvalidInputError: it is not, or has no zone.

    """
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            raise InvalidInputError(f"{text} names no time zone", hint="write 2026-12-01T06:00:00Z")
        return instant.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidInputError(f"{text!r:.60} is not a time", hint="write 2026-12-01T06:00:00Z") from error


def parse_duration(text: str) -> timedelta:
    """Read ``PT30M``, ``P14D``, ``30m`` or ``1h30m``.

    Raises:
        InvalidInputError: it is neither, or nothing at all.

    """
    match = None if len(text) > _MAX_LENGTH or text.endswith("T") else _SHORT.fullmatch(text) or _ISO.fullmatch(text)
    if match is None or not any(match.groups()):
        raise InvalidInputError(f"{text!r:.60} is not a duration", hint="write 30m, 12h, 14d or P14D")
    try:
        return timedelta(**{unit: int(number or 0) for unit, number in zip(_UNITS, match.groups(), strict=True)})
    except OverflowError as error:
        raise InvalidInputError(f"{text!r:.60} is longer than time itself") from error


def span_up_to(longest: timedelta) -> Callable[[str], timedelta]:
    """Return a reader of durations from one second to ``longest``; it raises ``InvalidInputError``."""

    def parse(text: str) -> timedelta:
        span = parse_duration(text)
        if not MIN_SPAN <= span <= longest:
            raise InvalidInputError(f"{text} is not between {duration_text(MIN_SPAN)} and {duration_text(longest)}")
        return span

    return parse


def duration_text(span: timedelta) -> str:
    """Return a span as Flux and Go write it: ``90s`` becomes ``1m30s``."""
    seconds = int(span.total_seconds())
    hours, rest = divmod(seconds, 3600)
    minutes, left = divmod(rest, 60)
    parts = [f"{number}{unit}" for number, unit in ((hours, "h"), (minutes, "m"), (left, "s")) if number]
    return "".join(parts) or "0s"
