"""The days on which a cron or an RFC 5545 rule starts, found without searching for them.

A set of days of a year is an integer with one bit a day, and a calendar year has one of 21 shapes. So a year costs a
few dozen operations on such integers, whether the rule matches every day or none, and however long ago it started.
A rule's days therefore have a price that its text cannot raise: a search, as ``dateutil`` does it, takes a quarter of a
second for the 30th of February.

Not responsible for times of day and time zones, which are ``windows``'.
"""

from __future__ import annotations

import calendar
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import lru_cache
from itertools import groupby

_WEEK = 7
_EVERY_WEEK = sum(1 << day for day in range(0, 366, _WEEK))
_MONTHS = range(1, 13)
_LENGTHS = (0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_FEBRUARY = 2
_ISO_MIDDLE = 3
"""A week belongs to the year that has its fourth day (RFC 5545, section 3.3.10; ISO 8601)."""

LAST_WORKDAY = 0
"""As a day of the month: the last that is neither Saturday nor Sunday, cron's ``LW``."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What the days of a year follow from.

    Attributes:
        first: the weekday of 1 January, Monday being 0.
        leap: whether the year has a 29 February.
        after_leap: whether the year before has one.

    """

    first: int
    leap: bool
    after_leap: bool

    @classmethod
    def of(cls, year: int) -> Shape:
        """Return the shape of a year."""
        return _shape_of(year)

    @property
    def length(self) -> int:
        """Return the number of days."""
        return 366 if self.leap else 365

    @property
    def all(self) -> int:
        """Return every day."""
        return (1 << self.length) - 1

    def months(self) -> Iterator[tuple[int, int]]:
        """Yield the first day of each month, and its number of days."""
        start = 0
        for month in _MONTHS:
            length = _LENGTHS[month] + (self.leap and month == _FEBRUARY)
            yield start, length
            start += length

    def weekday(self, day: int) -> int:
        """Return the weekday of a day."""
        return (self.first + day) % _WEEK


@lru_cache(maxsize=512)
def _shape_of(year: int) -> Shape:
    return Shape(date(year, 1, 1).weekday(), calendar.isleap(year), calendar.isleap(year - 1))


SHAPES = tuple(
    Shape(first, leap, after_leap)
    for first in range(_WEEK)
    for leap, after_leap in ((False, False), (True, False), (False, True))
)


def in_months(shape: Shape, months: Collection[int]) -> int:
    """Return the days of some months."""
    return _union(((1 << length) - 1) << start for at, (start, length) in enumerate(shape.months(), 1) if at in months)


def on_days_of_months(shape: Shape, days: Collection[int]) -> int:
    """Return some days of every month: 1 is the first, -1 the last, ``LAST_WORKDAY`` the last workday."""
    return _union(_day_of_months(shape, day) for day in days)


@lru_cache(maxsize=2048)
def _day_of_months(shape: Shape, day: int) -> int:
    return _union(
        1 << start + _position(day, shape.weekday(start), length)
        for start, length in shape.months()
        if abs(day) <= length
    )


def _position(day: int, first: int, length: int) -> int:
    if day == LAST_WORKDAY:
        return length - 1 - max(0, (first + length - 1) % _WEEK - calendar.FRIDAY)
    return day - 1 if day > 0 else length + day


def on_days_of_year(shape: Shape, days: Collection[int]) -> int:
    """Return some days of the year: 1 is the first, -1 the last."""
    return _union(1 << (day - 1 if day > 0 else shape.length + day) for day in days if abs(day) <= shape.length)


def on_weekdays(shape: Shape, weekdays: Collection[tuple[int, int]], *, of_months: bool) -> int:
    """Return some weekdays, each with which of them in the year or every month: 0 for all, -1 for the last."""
    parts = list(shape.months()) if of_months else [(0, shape.length)]
    return _union(
        days
        for weekday, number in weekdays
        for days in (
            [_EVERY_WEEK << (weekday - shape.first) % _WEEK & shape.all]
            if not number
            else [_nth(shape, weekday, number, start, length) for start, length in parts]
        )
    )


def _nth(shape: Shape, weekday: int, number: int, start: int, length: int) -> int:
    end = start + length
    if number > 0:
        day = start + (weekday - shape.weekday(start)) % _WEEK + _WEEK * (number - 1)
    else:
        day = end - 1 - (shape.weekday(end - 1) - weekday) % _WEEK + _WEEK * (number + 1)
    return 1 << day if start <= day < end else 0


def in_weeks(shape: Shape, weeks: Collection[int], week_start: int) -> int:
    """Return the days of some weeks: 1 is the first, -1 the last of the year that the week belongs to."""
    first = _first_week(shape.first, week_start)
    next_first = shape.length + _first_week(shape.weekday(shape.length), week_start)
    before = 366 if shape.after_leap else 365
    weeks_before = (before + first - _first_week((shape.first - before) % _WEEK, week_start)) // _WEEK
    starts = [first + _WEEK * (week - 1) if week > 0 else next_first + _WEEK * week for week in weeks]
    inside = _union(_span(start, start + _WEEK) for start in starts if first <= start < next_first)
    # The first days may be in the last week of the year before, and the last in the first week of the next.
    if weeks_before in weeks or -1 in weeks:
        inside |= _span(0, first)
    if 1 in weeks:
        inside |= _span(next_first, shape.length)
    return inside & shape.all


def _first_week(first: int, week_start: int) -> int:
    """Return the day on which the first week begins, which may be one before the year."""
    into = (first - week_start) % _WEEK
    return -into if into <= _ISO_MIDDLE else _WEEK - into


def _span(start: int, end: int) -> int:
    start = max(start, 0)
    return ((1 << end - start) - 1) << start if start < end else 0


def _union(parts: Iterable[int]) -> int:
    found = 0
    for each in parts:
        found |= each
    return found


class Frequency(StrEnum):
    """What a rule counts in."""

    DAILY = "DAILY"
    WEEKLY = "WEEKLY"
    MONTHLY = "MONTHLY"
    YEARLY = "YEARLY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """The days of a cron: as Debian's, either of the two fields of days is enough unless one begins with a star."""

    months: frozenset[int]
    month_days: frozenset[int]
    weekdays: frozenset[tuple[int, int]]
    both: bool

    def days(self, year: int) -> tuple[int, ...]:
        """Return the days of a year, as proleptic Gregorian ordinals."""
        return _ordinals(year, _cron_days(self, Shape.of(year)))

    def most_days(self) -> int:
        """Return how many days a year has at most; 0 if there is none in any year."""
        return max(_cron_days(self, shape).bit_count() for shape in SHAPES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The days of an RFC 5545 rule (section 3.3.10), counted from the day ``start``.

    Attributes:
        weekdays: each with which of them: 0 for all.
        positions: which of the days of each day, week, month or year count (BYSETPOS).

    """

    frequency: Frequency
    start: date
    interval: int = 1
    months: frozenset[int] = frozenset()
    weeks: frozenset[int] = frozenset()
    year_days: frozenset[int] = frozenset()
    month_days: frozenset[int] = frozenset()
    weekdays: frozenset[tuple[int, int]] = frozenset()
    positions: frozenset[int] = frozenset()
    week_start: int = 0

    def days(self, year: int) -> tuple[int, ...]:
        """Return the days of a year, as proleptic Gregorian ordinals."""
        return _rule_days(self, year)

    def most_days(self, years: Iterable[int]) -> int:
        """Return how many days one of some years has at most."""
        return max(
            len(_rule_days(self, year)) if self.positions else _rule_year(self, year).bit_count() for year in years
        )

    @property
    def into_week(self) -> int:
        """Return how many days into its week the start is."""
        return (self.start.weekday() - self.week_start) % _WEEK

    def period(self, ordinal: int) -> int:
        """Return the number of the day, week, month or year that a day is in; that of ``start`` is 0."""
        start = self.start.toordinal()
        match self.frequency:
            case Frequency.DAILY:
                return ordinal - start
            case Frequency.WEEKLY:
                return (ordinal - start + self.into_week) // _WEEK
        day = date.fromordinal(ordinal)
        years = day.year - self.start.year
        return years if self.frequency is Frequency.YEARLY else years * 12 + day.month - self.start.month


@lru_cache(maxsize=4096)
def _cron_days(cron: Cron, shape: Shape) -> int:
    by_month = on_days_of_months(shape, cron.month_days)
    by_week = on_weekdays(shape, cron.weekdays, of_months=True)
    return in_months(shape, cron.months) & (by_month & by_week if cron.both else by_month | by_week)


@lru_cache(maxsize=4096)
def _rule_mask(rule: Rule, shape: Shape) -> int:
    of_months = rule.frequency is Frequency.MONTHLY or bool(rule.months)
    found = shape.all
    if rule.months:
        found &= in_months(shape, rule.months)
    if rule.weeks:
        found &= in_weeks(shape, rule.weeks, rule.week_start)
    if rule.year_days:
        found &= on_days_of_year(shape, rule.year_days)
    if rule.month_days:
        found &= on_days_of_months(shape, rule.month_days)
    if rule.weekdays:
        found &= on_weekdays(shape, rule.weekdays, of_months=of_months)
    return found


@lru_cache(maxsize=4096)
def _rule_days(rule: Rule, year: int) -> tuple[int, ...]:
    days = _ordinals(year, _rule_year(rule, year))
    if rule.positions and rule.frequency is Frequency.WEEKLY:  # a week may lie in two years
        before, after = (_ordinals(other, _rule_year(rule, other)) for other in (year - 1, year + 1))
        first, last = date(year, 1, 1).toordinal(), date(year, 12, 31).toordinal()
        picked = _at_positions(rule, [*before[-_WEEK:], *days, *after[:_WEEK]])
        return tuple(day for day in picked if first <= day <= last)
    return tuple(_at_positions(rule, days)) if rule.positions else days


def _rule_year(rule: Rule, year: int) -> int:
    """Return the days of a year that match, whichever positions are asked for."""
    shape, years = Shape.of(year), year - rule.start.year
    found = _rule_mask(rule, shape)
    if rule.interval == 1:
        return found
    ahead = rule.start.toordinal() - date(year, 1, 1).toordinal()
    match rule.frequency:
        case Frequency.DAILY:
            return found & _every(ahead, rule.interval, 1)
        case Frequency.WEEKLY:
            return found & _every(ahead - rule.into_week, rule.interval * _WEEK, _WEEK)
        case Frequency.MONTHLY:
            due = [month for month in _MONTHS if (years * 12 + month - rule.start.month) % rule.interval == 0]
            return found & in_months(shape, due)
    return found if years % rule.interval == 0 else 0


def _every(ahead: int, step: int, width: int) -> int:
    """Return so many days at every step, of which one is ``ahead`` of the year's first day."""
    first = ahead % step
    return _comb(step, width) << first | (((1 << width) - 1) << first) >> step


@lru_cache(maxsize=512)
def _comb(step: int, width: int) -> int:
    return sum(((1 << width) - 1) << day for day in range(0, 366, step))


def _at_positions(rule: Rule, days: Iterable[int]) -> Iterator[int]:
    for _, group in groupby(days, rule.period):
        together = list(group)
        picked = {
            position - 1 if position > 0 else len(together) + position
            for position in rule.positions
            if abs(position) <= len(together)
        }
        yield from (together[at] for at in sorted(picked))


def _ordinals(year: int, mask: int) -> tuple[int, ...]:
    first = date(year, 1, 1).toordinal()
    return tuple(first + day for day, bit in enumerate(bin(mask)[:1:-1]) if bit == "1")
