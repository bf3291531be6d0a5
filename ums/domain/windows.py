"""When something may happen: windows that open again and again, spans that open once, and schedules of both.

A window opens at times on the wall clock of its zone: those of ``cron``, read as Debian's cron(5) does (days of month
and days of week are alternatives, unless one of the two begins with a star), or those of ``rrule``, an RFC 5545
recurrence counted from the local time ``start``. It includes its first moment and not its last.

Where the clock changes:

- A duration is elapsed time: no window becomes shorter or longer, and a day is 24 hours. Whoever means around the
  clock, every day, writes 25h: the longest day of the year has as many.
- A start that the clock skips happens at the first moment after the gap (cron(5): such jobs "will be run immediately").
  RFC 5545, section 3.3.10, drops it, but a lost deny window would be an open door.
- A start that the clock shows twice happens once, the first time (cron(5): "running the same job twice is avoided";
  RFC 5545, section 3.3.5: "the first occurrence").

Not responsible for the clock, which callers bring, nor for the files that windows are written in.
"""

from __future__ import annotations

import heapq
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import dropwhile, groupby, takewhile
from operator import itemgetter
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from dateutil.rrule import rrulebase, rrulestr

from ums.domain.errors import InvalidInputError

_MINUTE = timedelta(minutes=1)
_LONGEST = timedelta(days=31)
_CHUNK = timedelta(days=32)  # not below _LONGEST: what is open now started in this chunk or in the one before
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEARS = range(2000, 2100)
_FIRST = datetime(_YEARS.start, 1, 1)  # noqa: DTZ001 - local
_HORIZON = timedelta(days=366)
_MAX_LENGTH = 500
_MAX_WINDOWS = 100
# dateutil looks for the next match until the year 9999, ten seconds for a rule without any. The calendar repeats
# every 400 years, weekdays included, so rules are unrolled where that end is near.
_SHIFT = 19 * 400

_ZONE = re.compile(r"[A-Z][\w+-]*(/[\w+-]+)*", re.ASCII)  # not the variants "posix/…" and, with leap seconds, "right/…"
_DAY = "(?:MO|TU|WE|TH|FR|SA|SU)"
_LISTS = {
    "BYDAY": rf"(?:[+-]?[1-5])?{_DAY}",  # dateutil stumbles on the 53rd Monday of a month
    "BYMONTH": r"0?[1-9]|1[0-2]",
    "BYMONTHDAY": r"[+-]?(?:0?[1-9]|[12]\d|3[01])",
    "BYYEARDAY": r"[+-]?[1-9]\d{0,2}",
    "BYWEEKNO": r"[+-]?(?:0?[1-9]|[1-4]\d|5[0-3])",
    "BYHOUR": r"[01]?\d|2[0-3]",
    "BYSETPOS": r"[+-]?[1-9]\d{0,2}",
}
_PARTS = {
    "FREQ": "DAILY|WEEKLY|MONTHLY|YEARLY",
    "INTERVAL": r"[1-9]\d{0,2}",
    "COUNT": r"\d{1,5}",
    "UNTIL": r"\d{8}T\d{6}Z",  # RFC 5545, section 3.3.10: in UTC where the start has a zone
    "WKST": _DAY,
    "BYMINUTE": r"[0-5]?\d",
    **{name: f"(?:{item})(?:,(?:{item}))*" for name, item in _LISTS.items()},
}
_HINT = "write a cron such as 30 22 * * 1-5, or a rule such as FREQ=MONTHLY;BYDAY=2TU;UNTIL=20271231T230000Z"


@dataclass(frozen=True, slots=True)
class Span:
    """One stretch of time, from ``start`` until before ``end``, both in UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.utcoffset() != timedelta() or self.end.utcoffset() != timedelta():
            raise InvalidInputError("a span of time is not in UTC", hint="write 2026-12-01T06:00:00Z")
        if self.start >= self.end:
            raise InvalidInputError(f"a span ends at {self.end:%Y-%m-%d %H:%M}, not after its start")

    def covers(self, now: datetime) -> bool:
        """Return whether ``now`` is inside."""
        return self.start <= now < self.end

    def spans(self, since: datetime, until: datetime) -> Iterator[Span]:
        """Yield the span itself, if it touches the time asked for."""
        if since <= self.end and self.start <= until:
            yield self


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A stretch of time that comes again; not more often than hourly, so that asking costs little.

    Attributes:
        duration: elapsed time from each start; whole minutes, at most 31 days.
        zone: IANA name, such as ``Europe/Zurich``.
        cron: minute, hour, day of month, month and day of week of each start; or else
        rrule: an RFC 5545 rule of starts, without ``RRULE:``;
        start: the local time from which ``rrule`` counts, and whose hour and minute it takes where it names none.

    """

    duration: timedelta
    zone: str
    cron: str = ""
    rrule: str = ""
    start: datetime | None = None

    def __post_init__(self) -> None:
        if bool(self.cron) == bool(self.rrule) or bool(self.rrule) == (self.start is None):
            raise InvalidInputError("a window has either a cron, or an rrule and its start")
        if not _MINUTE <= self.duration <= _LONGEST or self.duration % _MINUTE:
            raise InvalidInputError(f"a window cannot last {self.duration}", hint="write whole minutes, from 1m to 31d")
        if not _is_zone(self.zone):
            raise InvalidInputError(f"{self.zone!r:.60} is not a time zone", hint="write Europe/Zurich, or UTC")
        text = self.cron or self.rrule
        try:
            if len(text) > _MAX_LENGTH:
                raise ValueError("it is too long")  # noqa: TRY301 - as what is checked below
            if self.start is None:
                _check_cron(self.cron)
            else:
                _check_rule(self.rrule, self.start)
        except (ValueError, CronSimError) as error:  # cronsim's also for a month without such a day
            raise InvalidInputError(f"the window {text!r:.80} is wrong, or never opens: {error}", hint=_HINT) from error
        if next(_starts_after(self, _FIRST), None) is None:
            raise InvalidInputError(f"the window {text!r:.80} never opens", hint="nothing matches; see a calendar")

    def covers(self, now: datetime) -> bool:
        """Return whether the window is open at ``now``."""
        chunk = _chunk_of(now)
        for starts in (_starts_in(self, chunk), _starts_in(self, chunk - 1)):
            if position := bisect_right(starts, now):
                return now < starts[position - 1] + self.duration
        return False

    def spans(self, since: datetime, until: datetime) -> Iterator[Span]:
        """Yield in order when the window is open, for the time asked for and some around it.

        Starts whose spans touch or overlap make one span.
        """
        begin = end = None
        for chunk in range(_chunk_of(since) - 1, _chunk_of(until) + 1):
            for start in _starts_in(self, chunk):
                if begin and end and end < start:
                    yield Span(begin, end)
                    begin = None
                begin, end = begin or start, start + self.duration
        if begin and end:
            yield Span(begin, end)


@dataclass(frozen=True, slots=True)
class Schedule:
    """What is allowed at some times and denied at others: a denial wins, and without ``allow`` every time is allowed.

    Equal schedules answer equally and are hashable, so a caller that asks for many may keep the answers.
    """

    allow: tuple[Window | Span, ...] = ()
    deny: tuple[Window | Span, ...] = ()

    def __post_init__(self) -> None:
        if len(self.allow) + len(self.deny) > _MAX_WINDOWS:
            raise InvalidInputError(f"a schedule has more than {_MAX_WINDOWS} windows")

    def is_open(self, now: datetime) -> bool:
        """Return whether ``now`` is allowed."""
        if any(window.covers(now) for window in self.deny):
            return False
        return not self.allow or any(window.covers(now) for window in self.allow)

    def next_change(self, now: datetime) -> datetime | None:
        """Return the first instant after ``now`` at which the answer is another, or ``None`` if not within a year."""
        before, until = self.is_open(now), now + _HORIZON
        changes = takewhile(lambda change: change[0] <= until, self._changes(now, until))
        return next((instant for instant, is_open in changes if instant > now and is_open != before), None)

    def next_opening(self, now: datetime) -> datetime | None:
        """Return the first allowed instant from ``now`` on, be it ``now``, or ``None`` if there is none in a year."""
        return now if self.is_open(now) else self.next_change(now)

    def _changes(self, since: datetime, until: datetime) -> Iterator[tuple[datetime, bool]]:
        """Yield each instant at which a window opens or closes, with the answer from then on."""
        allowed = denied = 0
        edges = heapq.merge(
            *(_edges(window.spans(since, until), 1, 0) for window in self.allow),
            *(_edges(window.spans(since, until), 0, 1) for window in self.deny),
        )
        for instant, together in groupby(edges, key=itemgetter(0)):
            for _, allows, denies in together:
                allowed, denied = allowed + allows, denied + denies
            yield instant, not denied and (allowed > 0 or not self.allow)


def _edges(spans: Iterator[Span], allows: int, denies: int) -> Iterator[tuple[datetime, int, int]]:
    for span in spans:
        yield span.start, allows, denies
        yield span.end, -allows, -denies


def _chunk_of(instant: datetime) -> int:
    return (instant - _EPOCH) // _CHUNK


@lru_cache(maxsize=512)
def _starts_in(window: Window, chunk: int) -> tuple[datetime, ...]:
    begin = _EPOCH + chunk * _CHUNK
    # A gap moves starts forward: by a whole day where a zone crossed the date line.
    after = begin.astimezone(ZoneInfo(window.zone)).replace(tzinfo=None) - timedelta(days=2)
    later = dropwhile(lambda start: start < begin, _starts_after(window, after))
    return tuple(takewhile(lambda start: start < begin + _CHUNK, later))


def _starts_after(window: Window, after: datetime) -> Iterator[datetime]:
    """Yield the instants, in order, of all starts after a local time."""
    local: Iterable[datetime]
    if window.start is None:
        local, until = CronSim(window.cron, after), None
    else:
        rule, until = _unroll(window.rrule, window.start)
        local = (each.replace(year=each.year - _SHIFT) for each in rule.xafter(_shifted(after)))
    zone = ZoneInfo(window.zone)
    return takewhile(lambda start: until is None or start <= until, (_instant(each, zone) for each in local))


def _instant(local: datetime, zone: ZoneInfo) -> datetime:
    # Python reads a time that is shown twice as the first (fold=0); one that was skipped does not come back the same.
    while (instant := local.replace(tzinfo=zone).astimezone(UTC)).astimezone(zone).replace(tzinfo=None) != local:
        local += _MINUTE
    return instant


def _shifted(local: datetime) -> datetime:
    return local.replace(year=local.year + _SHIFT)


@lru_cache(maxsize=512)
def _unroll(text: str, start: datetime) -> tuple[rrulebase, datetime | None]:
    # dateutil compares UNTIL with local times, so the caller compares instants instead.
    parts = text.upper().split(";")
    until = next((datetime.fromisoformat(part[6:]) for part in parts if part.startswith("UNTIL=")), None)
    endless = ";".join(part for part in parts if not part.startswith("UNTIL="))
    return rrulestr(endless, dtstart=_shifted(start), cache=True), until


def _is_zone(name: str) -> bool:
    try:
        return bool(_ZONE.fullmatch(name) and ZoneInfo(name))
    except (KeyError, ValueError, OSError):  # the last for a folder
        return False


def _check_cron(cron: str) -> None:
    if len(cron.split()) != 5:  # noqa: PLR2004 - a sixth would be seconds
        raise ValueError("it has not five fields")
    if len(CronSim(cron, _FIRST).minutes) > 1:
        raise ValueError("it starts more than once an hour; name one minute and a longer duration")


def _check_rule(rule: str, start: datetime) -> None:
    if start.tzinfo or start.second or start.microsecond or start.year not in _YEARS:
        raise ValueError(f"start {start} is not a local time in minutes of this century, such as 2026-12-01T22:30")
    pairs = [part.partition("=")[::2] for part in rule.upper().split(";")]
    parts = dict(pairs)
    for name, value in pairs:
        if name not in _PARTS or not re.fullmatch(_PARTS[name], value, re.ASCII):
            raise ValueError(f"{name}={value:.40} is not understood, or too often")
    if len(parts) < len(pairs):
        raise ValueError("a part comes twice")
    if "FREQ" not in parts or {"COUNT", "UNTIL"} <= set(parts):
        raise ValueError("it needs FREQ, and not both COUNT and UNTIL")
    if parts["FREQ"] in {"DAILY", "WEEKLY"} and re.search(r"\d", parts.get("BYDAY", "")):
        raise ValueError("BYDAY counts days in months and years only")
    _unroll(rule, start)
