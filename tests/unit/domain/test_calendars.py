"""The days that a cron or a rule names, beside two libraries that search for them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from cronsim import CronSim
from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st

from ums.domain.calendars import SHAPES, Frequency, Rule, Shape, in_weeks
from ums.domain.errors import InvalidInputError
from ums.domain.windows import Window

SHIFT = 19 * 400
DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
FREQUENCIES = st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"])


def joined(values: st.SearchStrategy[object], most: int) -> st.SearchStrategy[str]:
    """Draw a list as rules write it."""
    return st.lists(values, min_size=1, max_size=most, unique=True).map(lambda found: ",".join(map(str, found)))


def signed(most: int) -> st.SearchStrategy[int]:
    """Draw a number from either end."""
    return st.integers(1, most).flatmap(lambda number: st.sampled_from([number, -number]))


@st.composite
def rules(draw: st.DrawFn) -> str:
    """Draw a rule; numbered weekdays and all weekdays are not mixed, for dateutil takes their intersection."""
    frequency = draw(FREQUENCIES)
    weekdays = st.sampled_from(DAYS)
    if frequency in {"MONTHLY", "YEARLY"} and draw(st.booleans()):
        weekdays = st.builds(lambda number, day: f"{number}{day}", signed(5), weekdays)
    parts = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "INTERVAL": st.integers(1, 9),
                "BYMONTH": joined(st.integers(1, 12), 4),
                "BYMONTHDAY": joined(signed(31), 8),
                "BYYEARDAY": joined(signed(366), 40),
                "BYDAY": joined(weekdays, 5),
                "WKST": st.sampled_from(DAYS),
                "BYHOUR": joined(st.integers(0, 23), 1),
                # dateutil begins to count positions with the start, RFC 5545 with the week that it is in.
                **({} if frequency == "WEEKLY" else {"BYSETPOS": joined(signed(10), 3)}),
            },
        )
    )
    return ";".join([f"FREQ={frequency}", *(f"{name}={value}" for name, value in parts.items())])


def starts(window: Window, since: datetime, until: datetime) -> list[datetime]:
    """Return when a window of one minute and UTC opens."""
    return [start.replace(tzinfo=None) for start, _ in window.openings(since, until) if since <= start]


def shifted(time: datetime) -> datetime:
    """Return the same day of a calendar year far ahead."""
    return time.replace(year=time.year + SHIFT, tzinfo=None)


@given(rules(), st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1)), st.integers(0, 2500))  # noqa: DTZ001 - local
@settings(max_examples=60, deadline=None)
def test_rules_agree_with_dateutil(rule: str, start: datetime, later: int) -> None:
    """In any half-year, however long after the start."""
    start = start.replace(second=0, microsecond=0)
    since = start.replace(tzinfo=UTC) + timedelta(days=later)
    until = since + timedelta(days=200)
    # dateutil searches to the year 9999, so it is asked close to that; the calendar repeats every 400 years.
    far = rrulestr(rule, dtstart=shifted(start)).between(shifted(since), shifted(until), inc=True)
    expected = [each.replace(year=each.year - SHIFT) for each in far]
    try:
        found = starts(Window(rrule=rule, start=start, duration=timedelta(minutes=1), zone="UTC"), since, until)
    except InvalidInputError:  # it never opens
        found = []
    assert found == expected


FIELDS = st.one_of(st.just("*"), st.integers(1, 9).map(lambda step: f"*/{step}"))
MONTH_DAYS = st.one_of(FIELDS, st.sampled_from(["L", "LW", "31", "29", "1-7", "13,30"]))
WEEKDAYS = st.one_of(FIELDS, st.sampled_from(["SUN", "MON#5", "7#1", "0#2", "5L", "0L", "7L", "1-5", "6,0"]))
MONTHS = st.one_of(FIELDS, st.sampled_from(["2", "JAN", "4-6", "2,11"]))


@given(MONTH_DAYS, MONTHS, WEEKDAYS, st.integers(2000, 2098))
@settings(max_examples=150, deadline=None)
def test_crons_agree_with_cronsim(day: str, month: str, weekday: str, year: int) -> None:
    """In any two years."""
    cron = f"5 7 {day} {month} {weekday}"
    try:
        window = Window(cron=cron, duration=timedelta(minutes=1), zone="UTC")
    except InvalidInputError:
        return
    since, until = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 12, 31, tzinfo=UTC)
    expected = []
    for each in CronSim(cron, since.replace(tzinfo=None)):
        if each.replace(tzinfo=UTC) > until:
            break
        expected.append(each)
    assert starts(window, since, until) == expected


@pytest.mark.parametrize("year", [2015, 2018, 2020, 2021, 2022, 2024, 2026, 2032])
def test_weeks_are_those_of_iso_8601(year: int) -> None:
    """Each day is in the week that the standard library says, also where that is another year's."""
    shape, first = Shape.of(year), date(year, 1, 1)
    for day in range(shape.length):
        week = (first + timedelta(days=day)).isocalendar().week
        assert [number for number in range(1, 54) if in_weeks(shape, {number}, 0) >> day & 1] == [week], (year, day)


def test_a_week_across_two_years_is_one() -> None:
    """The last workday of each week is asked for: in the week of New Year there is one."""
    rule = Rule(
        frequency=Frequency.WEEKLY,
        start=date(2026, 12, 1),
        weekdays=frozenset({(day, 0) for day in range(5)}),
        positions=frozenset({-1}),
    )
    days = [date.fromordinal(day) for year in (2026, 2027) for day in rule.days(year)]
    assert [day for day in days if abs(day - date(2027, 1, 1)) < timedelta(days=6)] == [date(2027, 1, 1)]


def test_every_year_has_one_of_the_shapes() -> None:
    """So a rule is worked out 21 times at most."""
    assert {Shape.of(year) for year in range(1600, 2400)} == set(SHAPES)
