"""Windows open when the clocks of their zones say so, also on the days on which those clocks are changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ums.domain.errors import InvalidInputError
from ums.domain.instants import parse_duration, parse_instant, to_text
from ums.domain.windows import Schedule, Span, Window

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
NOW = datetime(2026, 11, 23, 5, tzinfo=UTC)

# Zones, with the midnights (UTC) before their clocks change in 2026.
CHANGES = {
    "Europe/Zurich": ("2026-03-29", "2026-10-25"),
    "America/New_York": ("2026-03-08", "2026-11-01"),
    "Australia/Lord_Howe": ("2026-04-04", "2026-10-03"),  # by half an hour, and in the evening of Greenwich
    "America/Santiago": ("2026-04-05", "2026-09-06"),  # at midnight
    "Asia/Kolkata": ("2026-03-29", "2026-10-25"),  # never
}


@dataclass(frozen=True)
class Plan:
    """What a window of the tests is made of: it starts at a minute of some hours on some days of the week."""

    zone: str
    minute: int
    hours: tuple[int, ...]
    days: tuple[int, ...]
    duration: timedelta

    def as_cron(self) -> Window:
        """Write it in five fields."""
        hours, days = ",".join(map(str, self.hours)), ",".join(str(day + 1) for day in self.days)
        return Window(cron=f"{self.minute} {hours} * * {days}", duration=self.duration, zone=self.zone)

    def as_rule(self) -> Window:
        """Write it as RFC 5545 does."""
        days = ",".join(DAYS[day] for day in self.days)
        rule = f"FREQ=WEEKLY;BYDAY={days};BYHOUR={','.join(map(str, self.hours))};BYMINUTE={self.minute}"
        return Window(rrule=rule, start=local("2026-01-01T00:00"), duration=self.duration, zone=self.zone)

    def matches(self, time: datetime) -> bool:
        """Return whether it starts when the clock on the wall shows this."""
        return time.minute == self.minute and time.hour in self.hours and time.weekday() in self.days


def local(text: str) -> datetime:
    """Return a time on a wall."""
    return datetime.fromisoformat(text)


@cache
def wall(zone: str, midnight: str) -> list[tuple[datetime, list[datetime]]]:
    """Return for each minute around a change which minutes the clock on the wall reaches for the first time."""
    instant = parse_instant(f"{midnight}T00:00:00Z") - timedelta(days=1)
    latest = instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    minutes = []
    for _ in range(3 * 24 * 60):
        instant += MINUTE
        shown = instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        reached = [latest + step * MINUTE for step in range(1, (shown - latest) // MINUTE + 1)]
        latest = max(latest, shown)
        minutes.append((instant, reached))
    return minutes


def watched(plan: Plan, midnight: str) -> dict[datetime, bool]:
    """Return whether a window is open at each minute, by watching the clock; the first day only warms up."""
    closes, answers = NOW.replace(year=2000), {}
    for instant, reached in wall(plan.zone, midnight):
        if any(map(plan.matches, reached)):
            closes = instant + plan.duration
        answers[instant] = instant < closes
    return dict(list(answers.items())[24 * 60 :])


@st.composite
def plans(draw: st.DrawFn, zone: str, most: int = 3) -> Plan:
    """Draw windows that like to start when clocks are changed, and last up to a day."""
    hours = st.integers(0, 3) | st.integers(0, 23)
    return Plan(
        zone,
        draw(st.sampled_from([0, 15, 30, 45, 59])),
        tuple(sorted(draw(st.sets(hours, min_size=1, max_size=most)))),
        tuple(sorted(draw(st.sets(st.integers(0, 6), min_size=4)))) if most > 1 else tuple(range(7)),
        draw(st.integers(1, 20 * 60)) * MINUTE,
    )


@st.composite
def worlds(draw: st.DrawFn, most: int = 2) -> tuple[Plan, Plan, str]:
    """Draw what is allowed and what is denied, and when the clock changes."""
    zone = draw(st.sampled_from(sorted(CHANGES)))
    return draw(plans(zone, most)), draw(plans(zone, 1)), draw(st.sampled_from(CHANGES[zone]))


@given(worlds(), st.booleans())
@settings(max_examples=25)
def test_schedules_agree_with_who_watches_the_clock(world: tuple[Plan, Plan, str], rules: bool) -> None:  # noqa: FBT001
    """At every minute around a change, a schedule says what a watchman would, and it names his next change."""
    allow, deny, midnight = world
    may, may_not = watched(allow, midnight), watched(deny, midnight)
    expected = {instant: may[instant] and not may_not[instant] for instant in may}
    schedule = Schedule((allow.as_rule() if rules else allow.as_cron(),), (deny.as_cron(),))

    assert {instant: schedule.is_open(instant) for instant in expected} == expected
    flips = [after for before, after in pairwise(expected) if expected[before] != expected[after]]
    first, last = min(expected), max(expected)
    assert changes(schedule, first, last) == flips


def changes(schedule: Schedule, since: datetime, until: datetime) -> list[datetime]:
    """Return all changes until an instant, one from the other."""
    found: list[datetime] = []
    while (change := schedule.next_change(found[-1] if found else since)) and change <= until:
        found.append(change)
    return found


@given(worlds(), st.timedeltas(timedelta(), timedelta(days=3)))
@settings(max_examples=40)
def test_the_next_change_is_later_and_a_change(world: tuple[Plan, Plan, str], later: timedelta) -> None:
    """Just before its next change a schedule still says what it says now, and then the contrary."""
    allow, deny, midnight = world
    now = parse_instant(f"{midnight}T00:00:00Z") + later
    schedule = Schedule((allow.as_cron(),), (deny.as_cron(),))
    change = schedule.next_change(now)
    if change is None:
        assert not schedule.is_open(now)
        return
    assert change > now
    assert change.tzinfo is UTC
    assert schedule.is_open(change - timedelta.resolution) is schedule.is_open(now) is not schedule.is_open(change)


@given(worlds(most=1))
@settings(max_examples=40)
def test_every_window_lasts_its_duration(world: tuple[Plan, Plan, str]) -> None:
    """A change of the clock neither shortens nor lengthens a window of once a day."""
    plan, _, midnight = world
    since = parse_instant(f"{midnight}T00:00:00Z") - timedelta(days=2)
    openings = list(plan.as_cron().openings(since, since + timedelta(days=4)))
    assert {end - start for start, end in openings} == {plan.duration}


@given(worlds(), st.timedeltas(timedelta(), timedelta(days=3)))
@settings(max_examples=40)
def test_a_denial_wins(world: tuple[Plan, Plan, str], later: timedelta) -> None:
    """What is denied is closed, whatever is allowed; and a denial alone is the contrary of an allowance."""
    allow, deny, midnight = world
    now = parse_instant(f"{midnight}T00:00:00Z") + later
    denied = deny.as_cron().covers(now)
    assert not (denied and Schedule((allow.as_cron(),), (deny.as_cron(),)).is_open(now))
    assert Schedule(deny=(deny.as_cron(),)).is_open(now) is not denied
    assert Schedule(deny=(deny.as_cron(),)).next_change(now) == Schedule((deny.as_cron(),)).next_change(now)


def times(window: Window, since: str, count: int) -> list[str]:
    """Return when a window opens and closes, ``count`` times."""
    schedule = Schedule((window,))
    found = [parse_instant(since)]
    while len(found) <= 2 * count and (change := schedule.next_change(found[-1])):
        found.append(change)
    shown = [to_text(instant)[:16].replace("T", " ") for instant in found[1:]]
    return [f"{opens} – {closes[11:]}" for opens, closes in zip(shown[::2], shown[1::2], strict=True)]


@pytest.mark.parametrize(
    ("zone", "cron", "since", "opens"),
    [
        # The clock is put forward at 02:00, so 02:30 does not happen: it opens at 03:00.
        (
            "Europe/Zurich",
            "30 2 * * *",
            "2026-03-28T06:00:00Z",
            ["2026-03-29 01:00 – 02:00", "2026-03-30 00:30 – 01:30"],
        ),
        ("America/New_York", "30 2 * * *", "2026-03-08T00:00:00Z", ["2026-03-08 07:00 – 08:00"]),
        ("Australia/Lord_Howe", "15 2 * * *", "2026-10-03T00:00:00Z", ["2026-10-03 15:30 – 16:30"]),
        # It is put back at 03:00, so 02:30 happens twice: it opens the first time.
        (
            "Europe/Zurich",
            "30 2 * * *",
            "2026-10-24T06:00:00Z",
            ["2026-10-25 00:30 – 01:30", "2026-10-26 01:30 – 02:30"],
        ),
        ("America/New_York", "30 1 * * *", "2026-11-01T00:00:00Z", ["2026-11-01 05:30 – 06:30"]),
        ("Australia/Lord_Howe", "45 1 * * *", "2026-04-04T00:00:00Z", ["2026-04-04 14:45 – 15:45"]),
        # Where it is left alone, half-hours are kept.
        ("Asia/Kolkata", "30 2 * * *", "2026-03-29T00:00:00Z", ["2026-03-29 21:00 – 22:00"]),
    ],
)
def test_a_start_that_the_clock_skips_or_repeats_happens_once(
    zone: str, cron: str, since: str, opens: list[str]
) -> None:
    """A skipped start comes right after the gap, and a repeated one the first time."""
    assert times(Window(cron=cron, duration=HOUR, zone=zone), since, len(opens)) == opens


def test_a_window_across_a_change_keeps_its_length() -> None:
    """Eight hours from ten in the evening end at seven when clocks are put forward."""
    window = Window(cron="0 22 * * *", duration=8 * HOUR, zone="Europe/Zurich")
    assert times(window, "2026-03-28T12:00:00Z", 1) == ["2026-03-28 21:00 – 05:00"]


@pytest.mark.parametrize(
    ("cron", "opens"),
    [
        ("0 22 * * 1-5", ["2026-11-23 22:00 – 23:00", "2026-11-24 22:00 – 23:00"]),
        ("0 22 * * SAT,SUN", ["2026-11-28 22:00 – 23:00", "2026-11-29 22:00 – 23:00"]),
        ("0 */12 * * *", ["2026-11-23 12:00 – 13:00", "2026-11-24 00:00 – 01:00"]),
        ("0 0 1 * 5", ["2026-11-27 00:00 – 01:00", "2026-12-01 00:00 – 01:00"]),  # the first, and each Friday
        ("0 0 L * *", ["2026-11-30 00:00 – 01:00", "2026-12-31 00:00 – 01:00"]),
        ("0 0 * * 2#2", ["2026-12-08 00:00 – 01:00", "2027-01-12 00:00 – 01:00"]),
    ],
)
def test_a_cron_names_starts(cron: str, opens: list[str]) -> None:
    """The fields are those of Debian's cron, and some of its relatives'."""
    assert times(Window(cron=cron, duration=HOUR, zone="UTC"), to_text(NOW), 2) == opens


@pytest.mark.parametrize(
    ("rule", "opens"),
    [
        ("FREQ=MONTHLY;BYDAY=2TU", ["2026-12-08 22:30 – 23:30", "2027-01-12 22:30 – 23:30"]),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", ["2026-11-30 22:30 – 23:30", "2026-12-31 22:30 – 23:30"]),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=TH", ["2026-11-26 22:30 – 23:30", "2026-12-10 22:30 – 23:30"]),
        ("freq=daily;byhour=6;byminute=5", ["2026-11-23 06:05 – 07:05", "2026-11-24 06:05 – 07:05"]),
        ("FREQ=DAILY;INTERVAL=100;COUNT=4", []),
        ("FREQ=MONTHLY;BYMONTHDAY=30;COUNT=11", ["2026-11-30 22:30 – 23:30", "2026-12-30 22:30 – 23:30"]),
        ("FREQ=DAILY;UNTIL=20261124T223000Z", ["2026-11-23 22:30 – 23:30", "2026-11-24 22:30 – 23:30"]),
        ("UNTIL=20261124T222959Z;FREQ=DAILY", ["2026-11-23 22:30 – 23:30"]),
    ],
)
def test_a_rule_names_starts(rule: str, opens: list[str]) -> None:
    """Rules are counted from their start, take its time of day, and end with COUNT and UNTIL."""
    window = Window(rrule=rule, start=local("2026-01-08T22:30"), duration=HOUR, zone="UTC")
    assert times(window, to_text(NOW), 2) == opens


def test_until_is_an_instant() -> None:
    """A last start at 02:45 comes before an UNTIL at 02:30, when the clock shows both hours twice."""
    rule = "FREQ=DAILY;UNTIL=20261025T013000Z"
    window = Window(rrule=rule, start=local("2026-10-01T02:45"), duration=HOUR, zone="Europe/Zurich")
    assert times(window, "2026-10-25T00:00:00Z", 2) == ["2026-10-25 00:45 – 01:45"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "either a cron, or an rrule"),
        ({"cron": "0 0 * * *", "rrule": "FREQ=DAILY", "start": "2026-01-01T00:00"}, "either a cron, or an rrule"),
        ({"cron": "0 0 * * *", "start": "2026-01-01T00:00"}, "and its start"),
        ({"rrule": "FREQ=DAILY"}, "and its start"),
        ({"cron": "@daily"}, "five fields"),
        ({"cron": "0 0 0 * * *"}, "five fields"),
        ({"cron": "0 24 * * *"}, "Bad hour"),
        ({"cron": "0 ٣ * * *"}, "Bad hour"),
        ({"cron": "*/30 * * * *"}, "more than once an hour"),
        ({"cron": "0 " + "1," * 500 + "1 * * *"}, "too long"),
        ({"cron": "0 0 30 2 *"}, "never opens"),
        ({"cron": "0 0 */40 * SUN#5"}, "never opens"),
        ({"cron": "0 0 * * *", "zone": "Europe/Atlantis"}, "not a time zone"),
        ({"cron": "0 0 * * *", "zone": "Europe"}, "not a time zone"),
        ({"cron": "0 0 * * *", "zone": "right/Europe/Zurich"}, "not a time zone"),
        ({"cron": "0 0 * * *", "zone": "../../../etc/passwd"}, "not a time zone"),
        ({"cron": "0 0 * * *", "duration": "0m"}, "cannot last 0:00:00"),
        ({"cron": "0 0 * * *", "duration": "90s"}, "whole minutes"),
        ({"cron": "0 0 * * *", "duration": "31d1m"}, "to 31d"),
        ({"rrule": "FREQ=DAILY", "start": "2026-01-01T00:00:30"}, "local time in minutes"),
        ({"rrule": "FREQ=DAILY", "start": "2026-01-01T00:00Z"}, "local time in minutes"),
        ({"rrule": "FREQ=DAILY", "start": "1999-12-31T00:00"}, "of this century"),
        ({"rrule": "RRULE:FREQ=DAILY", "start": "2026-01-01T00:00"}, "RRULE:FREQ=DAILY is not understood"),
        ({"rrule": "FREQ=HOURLY", "start": "2026-01-01T00:00"}, "too often"),
        ({"rrule": "FREQ=DAILY;BYMINUTE=0,30", "start": "2026-01-01T00:00"}, "too often"),
        ({"rrule": "FREQ=DAILY;BYSECOND=1", "start": "2026-01-01T00:00"}, "BYSECOND"),
        ({"rrule": "FREQ=DAILY;INTERVAL=0", "start": "2026-01-01T00:00"}, "INTERVAL=0"),
        ({"rrule": "FREQ=DAILY;UNTIL=20270101", "start": "2026-01-01T00:00"}, "UNTIL=20270101 is"),
        ({"rrule": "FREQ=DAILY;UNTIL=20271301T000000Z", "start": "2026-01-01T00:00"}, "month must be"),
        ({"rrule": "FREQ=YEARLY;BYDAY=1MO;BYSETPOS=400", "start": "2026-01-01T00:00"}, "BYSETPOS=400"),
        ({"rrule": "FREQ=DAILY;FREQ=DAILY", "start": "2026-01-01T00:00"}, "twice"),
        ({"rrule": "BYHOUR=1", "start": "2026-01-01T00:00"}, "needs FREQ"),
        ({"rrule": "FREQ=DAILY;COUNT=2;UNTIL=20270101T000000Z", "start": "2026-01-01T00:00"}, "not both"),
        ({"rrule": "FREQ=WEEKLY;BYDAY=2TU", "start": "2026-01-01T00:00"}, "BYDAY counts"),
        ({"rrule": "FREQ=MONTHLY;BYDAY=MO,53MO", "start": "2026-01-01T00:00"}, "BYDAY=MO,53MO"),
        ({"rrule": "FREQ=DAILY;COUNT=0", "start": "2026-01-01T00:00"}, "COUNT=0 is not"),
        ({"rrule": "FREQ=DAILY;COUNT=1000", "start": "2026-01-01T00:00"}, "COUNT=1000 is not"),
        ({"rrule": "FREQ=YEARLY;COUNT=11", "start": "2026-01-01T00:00"}, "not reached within 10 years"),
        ({"rrule": "FREQ=DAILY;BYHOUR=1,2;BYSETPOS=1", "start": "2026-01-01T00:00"}, "one hour only"),
        ({"rrule": "FREQ=YEARLY;INTERVAL=11;BYMONTH=2;BYMONTHDAY=29", "start": "2026-01-01T00:00"}, "never opens"),
        ({"rrule": "FREQ=DAILY;UNTIL=20251231T000000Z", "start": "2026-01-01T00:00"}, "never opens"),
        ({"rrule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "start": "2026-01-01T00:00"}, "never opens"),
        ({"rrule": "FREQ=DAILY;INTERVAL=7;BYDAY=MO", "start": "2026-01-01T00:00"}, "never opens"),
    ],
)
def test_what_is_no_window_is_refused(fields: dict[str, str], words: str) -> None:
    """A window that is wrong, or could never open, says so when it is written and not when it is missed."""
    with pytest.raises(InvalidInputError) as refusal:
        window(**fields)
    assert words in f"{refusal.value.message} {refusal.value.hint}"


def window(
    cron: str = "", rrule: str = "", start: str = "", duration: str = "1h", zone: str = "Europe/Zurich"
) -> Window:
    """Make a window from text, as a file would."""
    first = local(start) if start else None
    return Window(cron=cron, rrule=rrule, start=first, duration=parse_duration(duration), zone=zone)


RULE_PARTS = {
    "BYDAY": ["-1FR", "5MO", "53MO", "SA,SU"],
    "BYHOUR": ["0,23", "24"],
    "BYMINUTE": ["59"],
    "BYMONTH": ["2,3"],
    "BYMONTHDAY": ["-31,29", "0"],
    "BYSETPOS": ["-1", "366"],
    "BYWEEKNO": ["53", "-53"],
    "BYYEARDAY": ["366", "999"],
    "COUNT": ["3", "0"],
    "INTERVAL": ["2", "999"],
    "UNTIL": ["20270101T000000Z", "20260230T000000Z", "x"],
    "WKST": ["SU"],
    "X": ["", "=", ";"],
}
RULES = st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in RULE_PARTS.items()}).map(
    lambda parts: "".join(f";{name}={value}" for name, value in parts.items())
)


@given(
    st.sampled_from(["YEARLY", "MONTHLY", "WEEKLY"]),
    RULES,
    st.datetimes(local("2000-01-01"), local("2099-12-31")),
)
@settings(max_examples=60)
def test_any_rule_answers_or_is_refused(freq: str, parts: str, start: datetime) -> None:
    """Reading a rule never ends in another error, nor does asking it."""
    try:
        first = start.replace(second=0, microsecond=0)
        each = Window(rrule=f"FREQ={freq}{parts}", start=first, duration=HOUR, zone="Europe/Zurich")
    except InvalidInputError:
        return
    assert Schedule((each,)).is_open(NOW) in {True, False}


@given(st.lists(st.text("0123456789*/,-#LWSUNMO ٣", min_size=1, max_size=5), min_size=4, max_size=6).map(" ".join))
@settings(max_examples=100)
def test_any_cron_answers_or_is_refused(cron: str) -> None:
    """Reading a cron never ends in another error, nor does asking it."""
    try:
        each = window(cron=cron)
    except InvalidInputError:
        return
    assert Schedule((each,)).is_open(NOW) in {True, False}


def test_without_windows_everything_is_allowed() -> None:
    """An empty schedule is always open and never changes."""
    assert Schedule().is_open(NOW)
    assert Schedule().next_change(NOW) is None
    assert Schedule().next_opening(NOW) == NOW


def test_a_freeze_closes_what_is_allowed() -> None:
    """A span denied once closes each window that lies in it, and cuts the one at its end."""
    freeze = Span(parse_instant("2026-12-20T00:00:00Z"), parse_instant("2027-01-04T22:30:00Z"))
    schedule = Schedule((Window(cron="0 22 * * *", duration=HOUR, zone="UTC"),), (freeze,))
    before, during = parse_instant("2026-12-19T22:00:00Z"), parse_instant("2026-12-24T22:00:00Z")
    assert schedule.is_open(before)
    assert schedule.next_opening(before) == before
    assert not schedule.is_open(during)
    assert schedule.next_opening(during) == freeze.end


def test_windows_that_touch_or_overlap_are_one() -> None:
    """Nothing changes where one window takes over from another."""
    evening = Window(cron="0 20 * * *", duration=2 * HOUR, zone="UTC")
    night = Window(cron="0 22 * * *", duration=8 * HOUR, zone="UTC")
    schedule = Schedule((evening, night, Window(cron="30 21 * * *", duration=HOUR, zone="UTC")))
    opens = schedule.next_opening(NOW.replace(hour=12))
    assert opens == NOW.replace(hour=20)
    assert schedule.next_change(opens) == NOW.replace(hour=6) + timedelta(days=1)


def test_a_window_may_overlap_itself() -> None:
    """Twenty-five hours from each midnight are around the clock, also on the day that has as many."""
    always = Schedule((Window(cron="0 0 * * *", duration=25 * HOUR, zone="Europe/Zurich"),))
    assert always.is_open(NOW)
    assert always.next_change(NOW) is None


def test_a_window_may_last_a_month() -> None:
    """The longest window is open to its last minute, and its end is known on each of its days."""
    schedule = Schedule((Window(cron="0 0 1 */2 *", duration=timedelta(days=31), zone="UTC"),))
    for month in range(1, 12, 2):
        start = datetime(2026, month, 1, tzinfo=UTC)
        end = start + timedelta(days=31)
        assert not schedule.is_open(start - MINUTE)
        assert {schedule.next_change(start + timedelta(days=day)) for day in range(31)} == {end}
        assert schedule.is_open(end - MINUTE)
        assert not schedule.is_open(end)


def test_a_denial_may_leave_nothing() -> None:
    """A schedule whose windows are all denied opens at no time, and says so."""
    weekend = Window(cron="0 2 * * SAT,SUN", duration=HOUR, zone="Europe/Zurich")
    nightly = Window(cron="0 1 * * *", duration=3 * HOUR, zone="Europe/Zurich")
    assert Schedule((weekend,), (nightly,)).next_opening(NOW) is None


@pytest.mark.parametrize("month", range(1, 13))
def test_a_window_of_once_a_year_is_found(month: int) -> None:
    """Whoever just missed it hears of the next one."""
    schedule = Schedule((Window(cron=f"0 0 1 {month} *", duration=HOUR, zone="UTC"),))
    assert schedule.next_opening(datetime(2026, month, 1, 1, tzinfo=UTC)) == datetime(2027, month, 1, tzinfo=UTC)


def test_a_year_is_as_far_as_it_looks() -> None:
    """What is more than a year away is no answer for somebody who waits."""
    later = Span(NOW + timedelta(days=400), NOW + timedelta(days=401))
    assert Schedule((later,)).next_opening(NOW) is None
    assert Schedule((later,)).next_opening(NOW + timedelta(days=40)) == later.start


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-12-01T00:00:00", "2026-12-02T00:00:00"),
        ("2026-12-01T00:00:00+01:00", "2026-12-02T00:00:00+01:00"),
        ("2026-12-01T00:00:00+00:00", "2026-12-01T00:00:00+00:00"),
    ],
)
def test_what_is_no_span_is_refused(start: str, end: str) -> None:
    """A span is in UTC and not empty."""
    with pytest.raises(InvalidInputError):
        Span(local(start), local(end))


def test_equal_schedules_share_their_answers() -> None:
    """Schedules are keys, so that a fleet with few of them asks few times; and their number of windows is bounded."""
    windows = tuple(Window(cron=f"0 {hour} * * 1", duration=HOUR, zone="UTC") for hour in range(20))
    assert len({Schedule(windows), Schedule(windows), Schedule(deny=windows)}) == 2
    with pytest.raises(InvalidInputError, match="more than 32"):
        Schedule(windows[:1] * 30, windows[:1] * 21)
