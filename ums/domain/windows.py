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

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import groupby, takewhile
from operator import itemgetter
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from ums.domain.calendars import LAST_WORKDAY, Cron, Frequency, Rule
from ums.domain.errors import InvalidInputError

_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_LONGEST = timedelta(days=31)
_YEARS = range(2000, 2100)
_FIRST = datetime(_YEARS.start, 1, 1)  # noqa: DTZ001 - local
_HORIZON = timedelta(days=366)
_MAX_LENGTH = 500
MAX_WINDOWS = 32
"""Windows of one schedule."""
MAX_STARTS = 1100
"""Starts of all windows of one schedule in a year, three a day: to find its next change may mean to look at all."""
_CHUNK = 64
"""Days whose starts are found, and remembered, together."""
_MAX_YEARS = 10
"""A rule starts, and a COUNT of it ends, within as many years: more are not looked at."""

_ZONE = re.compile(r"[A-Z][\w+-]*(/[\w+-]+)*", re.ASCII)  # not the variants "posix/…" and, with leap seconds, "right/…"
_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_WEEKDAY = f"(?:{'|'.join(_WEEKDAYS)})"
_LISTS = {
    "BYDAY": rf"(?:[+-]?[1-5])?{_WEEKDAY}",
    "BYMONTH": r"0?[1-9]|1[0-2]",
    "BYMONTHDAY": r"[+-]?(?:0?[1-9]|[12]\d|3[01])",
    "BYYEARDAY": r"[+-]?(?:36[0-6]|3[0-5]\d|[12]\d\d|[1-9]\d?)",
    "BYWEEKNO": r"[+-]?(?:0?[1-9]|[1-4]\d|5[0-3])",
    "BYHOUR": r"[01]?\d|2[0-3]",
    "BYSETPOS": r"[+-]?(?:36[0-6]|3[0-5]\d|[12]\d\d|[1-9]\d?)",
}
_PARTS = {
    "FREQ": "DAILY|WEEKLY|MONTHLY|YEARLY",
    "INTERVAL": r"[1-9]\d{0,2}",
    "COUNT": r"[1-9]\d{0,2}",
    "UNTIL": r"\d{8}T\d{6}Z",  # RFC 5545, section 3.3.10: in UTC where the start has a zone
    "WKST": _WEEKDAY,
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

    def openings(self, since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield its start and its end, if it touches the time asked for."""
        if since <= self.end and self.start <= until:
            yield self.start, self.end

    @property
    def starts_a_year(self) -> int:
        """Return how often it starts in a year, at most."""
        return 1


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
                raise ValueError(f"it is too long: over {_MAX_LENGTH} characters")  # noqa: TRY301 - as the others
            starts = _starts(self)
        except (ValueError, CronSimError) as error:  # cronsim's also for a month without such a day
            raise InvalidInputError(f"the window {text!r:.80} is wrong, or never opens: {error}", hint=_HINT) from error
        earliest = starts.earliest()
        if earliest is None or (starts.until and _instant(earliest, ZoneInfo(self.zone)) > starts.until):
            raise InvalidInputError(
                f"the window {text!r:.80} never opens within {_MAX_YEARS} years", hint="nothing matches; see a calendar"
            )

    @property
    def starts_a_year(self) -> int:
        """Return how often it starts in a year, at most."""
        return _starts(self).most()

    def covers(self, now: datetime) -> bool:
        """Return whether the window is open at ``now``."""
        starts = _starts_around(self, now - self.duration, now)
        return bool(starts) and now < starts[-1] + self.duration

    def openings(self, since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield in order when the window opens and closes, for the time asked for and some before.

        An opening may begin before the one before it ends.
        """
        for start in _starts_around(self, since - _LONGEST, until):
            yield start, start + self.duration


@dataclass(frozen=True, slots=True)
class Schedule:
    """What is allowed at some times and denied at others: a denial wins, and without ``allow`` every time is allowed.

    Equal schedules answer equally and are hashable, so a caller that asks for many may keep the answers.
    """

    allow: tuple[Window | Span, ...] = ()
    deny: tuple[Window | Span, ...] = ()

    def __post_init__(self) -> None:
        windows = (*self.allow, *self.deny)
        if len(windows) > MAX_WINDOWS:
            raise InvalidInputError(
                f"a schedule has {len(windows)} windows, more than {MAX_WINDOWS}", hint="join windows into longer ones"
            )
        starts = sum(window.starts_a_year for window in windows)
        if starts > MAX_STARTS:
            raise _too_many_starts("a schedule", starts)

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
        # Sorting all of them at once is three times as fast as merging them one by one.
        edges = sorted(
            edge
            for windows, allows, denies in ((self.allow, 1, 0), (self.deny, 0, 1))
            for window in windows
            for start, end in window.openings(since, until)
            for edge in ((start, allows, denies), (end, -allows, -denies))
        )
        for instant, together in groupby(edges, key=itemgetter(0)):
            for _, allows, denies in together:
                allowed, denied = allowed + allows, denied + denies
            yield instant, not denied and (allowed > 0 or not self.allow)


def _too_many_starts(what: str, starts: int) -> InvalidInputError:
    return InvalidInputError(
        f"{what} starts {starts:,} times a year, more than {MAX_STARTS:,}",
        hint="name fewer starts and longer durations",
    )


@dataclass(frozen=True, slots=True)
class _Starts:
    """The local times at which a window starts.

    Attributes:
        first: none is before.
        last: none is after, on the wall clock.
        until: none is after this instant.

    """

    days: Cron | Rule
    times: tuple[timedelta, ...]
    first: datetime
    last: datetime | None = None
    until: datetime | None = None

    def most(self) -> int:
        """Return how many there are in a year, at most."""
        if isinstance(self.days, Cron):
            return len(self.times) * self.days.most_days()
        return len(self.times) * self.days.most_days(self._years())

    def earliest(self) -> datetime | None:
        """Return the first, or ``None`` if there is none within ``_MAX_YEARS``; of a cron any year's."""
        if isinstance(self.days, Cron):
            return self.first if self.days.most_days() else None
        return next((start for year in self._years() for start in self.in_year(year)), None)

    def _years(self) -> range:
        return range(self.first.year, self.first.year + _MAX_YEARS)

    def in_year(self, year: int) -> list[datetime]:
        """Return those of a year, before ``until`` is looked at."""
        return self._on(self.days.days(year))

    def in_chunk(self, chunk: int) -> list[datetime]:
        """Return those of ``_CHUNK`` days, before ``until`` is looked at."""
        first, last = chunk * _CHUNK, (chunk + 1) * _CHUNK - 1
        years = range(date.fromordinal(first).year, date.fromordinal(last).year + 1)
        days = [day for year in years for day in self.days.days(year)]
        return self._on(days[bisect_left(days, first) : bisect_right(days, last)])

    def _on(self, days: Iterable[int]) -> list[datetime]:
        midnights = map(datetime.fromordinal, days)
        found = [midnight + time for midnight in midnights for time in self.times]
        return [start for start in found if self.first <= start and (self.last is None or start <= self.last)]


@lru_cache(maxsize=1024)
def _starts(window: Window) -> _Starts:
    """Return when a window starts.

    Raises:
        ValueError, CronSimError: its text is wrong.

    """
    return _read_cron(window.cron) if window.start is None else _read_rule(window.rrule, window.start)


def _starts_around(window: Window, since: datetime, until: datetime) -> list[datetime]:
    """Return the instants, in order, of all starts from ``since`` to ``until``."""
    # A gap moves starts forward: by a whole day where a zone crossed the date line.
    chunks = range((since - 3 * _DAY).toordinal() // _CHUNK, (until + _DAY).toordinal() // _CHUNK + 1)
    found = [start for chunk in chunks for start in _instants(window, chunk)]
    return found[bisect_left(found, since) : bisect_right(found, until)]


@lru_cache(maxsize=1024)
def _instants(window: Window, chunk: int) -> tuple[datetime, ...]:
    """Return the instants of all starts of ``_CHUNK`` local days."""
    starts, zone = _starts(window), ZoneInfo(window.zone)
    found: list[datetime] = []
    day, moved, shift = date.min, True, timedelta()
    for local in starts.in_chunk(chunk):
        if local.date() != day:
            # Converting each by itself takes three times as long. No zone changes its clock twice in a day.
            day = local.date()
            midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - local
            shift = _offset(midnight, zone)
            moved = shift != _offset(midnight + _DAY, zone)
        found.append(_instant(local, zone) if moved else (local - shift).replace(tzinfo=UTC))
    until = starts.until
    return tuple(found if until is None else (start for start in found if start <= until))


def _offset(local: datetime, zone: ZoneInfo) -> timedelta:
    return local.replace(tzinfo=zone).utcoffset() or timedelta()


def _instant(local: datetime, zone: ZoneInfo) -> datetime:
    # Python reads a time that is shown twice as the first (fold=0); one that was skipped does not come back the same.
    while (instant := local.replace(tzinfo=zone).astimezone(UTC)).astimezone(zone).replace(tzinfo=None) != local:
        local += _MINUTE
    return instant


def _is_zone(name: str) -> bool:
    try:
        return bool(_ZONE.fullmatch(name) and ZoneInfo(name))
    except (KeyError, ValueError, OSError):  # the last for a folder
        return False


def _read_cron(text: str) -> _Starts:
    if len(text.split()) != 5:  # noqa: PLR2004 - a sixth would be seconds
        raise ValueError("it has not five fields")
    cron = CronSim(text, _FIRST)
    if len(cron.minutes) > 1:
        raise ValueError("it starts more than once an hour; name one minute and a longer duration")
    (minute,) = cron.minutes
    named = {CronSim.LAST: -1, CronSim.LAST_WEEKDAY: LAST_WORKDAY}
    weekdays = {each if isinstance(each, tuple) else (each, 0) for each in cron.weekdays}
    days = Cron(
        months=frozenset(cron.months),
        month_days=frozenset(named.get(day, day) for day in cron.days),
        # Cron's week begins on Sunday, which is 0 and 7.
        weekdays=frozenset(((day + 6) % 7, named.get(number, number)) for day, number in weekdays),
        both=cron.day_and,
    )
    return _Starts(days, _times(cron.hours, minute), _FIRST)


def _read_rule(text: str, start: datetime) -> _Starts:
    if start.tzinfo or start.second or start.microsecond or start.year not in _YEARS:
        raise ValueError(f"start {start} is not a local time in minutes of this century, such as 2026-12-01T22:30")
    parts = _parts_of(text)
    starts = _Starts(
        _rule(parts, start.date()),
        _times(_numbers(parts, "BYHOUR") or {start.hour}, int(parts.get("BYMINUTE", start.minute))),
        start,
        until=datetime.fromisoformat(parts["UNTIL"]) if "UNTIL" in parts else None,
    )
    return _ending(starts, int(parts["COUNT"])) if "COUNT" in parts else starts


def _parts_of(text: str) -> dict[str, str]:
    pairs = [part.partition("=")[::2] for part in text.upper().split(";")]
    parts = dict(pairs)
    for name, value in pairs:
        if name not in _PARTS or not re.fullmatch(_PARTS[name], value, re.ASCII):
            raise ValueError(f"{name:.40}={value:.40} is not understood, or too often")
    if len(parts) < len(pairs):
        raise ValueError("a part comes twice")
    if "FREQ" not in parts or {"COUNT", "UNTIL"} <= set(parts):
        raise ValueError("it needs FREQ, and not both COUNT and UNTIL")
    if parts["FREQ"] in {"DAILY", "WEEKLY"} and re.search(r"\d", parts.get("BYDAY", "")):
        raise ValueError("BYDAY counts days in months and years only")
    if "BYSETPOS" in parts and "," in parts.get("BYHOUR", ""):
        raise ValueError("BYSETPOS counts days, so it goes with one hour only")
    return parts


def _rule(parts: dict[str, str], start: date) -> Rule:
    frequency = Frequency(parts["FREQ"])
    months, month_days = _numbers(parts, "BYMONTH"), _numbers(parts, "BYMONTHDAY")
    weekdays = frozenset(
        (_WEEKDAYS.index(each[-2:]), int(each[:-2] or 0)) for each in parts.get("BYDAY", "").split(",") if each
    )
    if not parts.keys() & {"BYDAY", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO"}:
        match frequency:
            case Frequency.YEARLY:
                months, month_days = months or frozenset({start.month}), frozenset({start.day})
            case Frequency.MONTHLY:
                month_days = frozenset({start.day})
            case Frequency.WEEKLY:
                weekdays = frozenset({(start.weekday(), 0)})
    return Rule(
        frequency=frequency,
        start=start,
        interval=int(parts.get("INTERVAL", 1)),
        months=months,
        weeks=_numbers(parts, "BYWEEKNO"),
        year_days=_numbers(parts, "BYYEARDAY"),
        month_days=month_days,
        weekdays=weekdays,
        positions=_numbers(parts, "BYSETPOS"),
        week_start=_WEEKDAYS.index(parts.get("WKST", "MO")),
    )


def _ending(starts: _Starts, count: int) -> _Starts:
    """Return starts that end with so many of them."""
    left = count
    for year in range(starts.first.year, starts.first.year + _MAX_YEARS):
        found = starts.in_year(year)
        if left <= len(found):
            return replace(starts, last=found[left - 1])
        left -= len(found)
    raise ValueError(f"COUNT={count} is not reached within {_MAX_YEARS} years; write UNTIL")


def _numbers(parts: dict[str, str], name: str) -> frozenset[int]:
    return frozenset(int(each) for each in parts.get(name, "").split(",") if each)


def _times(hours: Iterable[int], minute: int) -> tuple[timedelta, ...]:
    return tuple(timedelta(hours=hour, minutes=minute) for hour in sorted(hours))
