"""Channels and data planes: what is written reads back, and health is never greener than what was heard."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given as given_that
from hypothesis import strategies as st

from tests.unit.domain.worlds import NOW, PROD, given
from ums.domain.channels import Channel, Promoted, Track
from ums.domain.fleet import BundleState, DataPlane, Desired, Health, Hold, Pin, Registration, Report
from ums.domain.policy import Policy
from ums.domain.version import Version, VersionRange

DAY = timedelta(days=1)
PLANE = DataPlane(Registration(PROD, "stable", ("platform",)), desired=Desired(10, "stable", NOW, NOW + 7 * DAY, {}))
HOLDS = (
    Hold("platform", None, Version("1.0.0"), given(NOW + DAY)),
    Hold("platform", "cilium", Version("1.1.0-rc.1+build.5"), given()),
)


def report(serial: int = 10, health: Health = Health.HEALTHY, *, seconds: int = 0, heard: int = 0) -> Report:
    """Return what a data plane said."""
    return Report(serial, health, "", "", NOW + timedelta(seconds=seconds), NOW + timedelta(seconds=heard))


@pytest.mark.parametrize("hold", HOLDS)
def test_a_hold_reads_as_it_is_written(hold: Hold) -> None:
    """With and without a component and an end."""
    assert Hold.from_dict(hold.to_dict()) == hold


@pytest.mark.parametrize("component", [None, "cilium"])
@pytest.mark.parametrize("versions", ["1.0.0", "~1.4", ">=1.2 <2 || 3.x"])
def test_a_pin_reads_as_it_is_written(component: str | None, versions: str) -> None:
    """With the range in the words that were given."""
    pin = Pin("platform", component, VersionRange(versions), given(NOW + DAY))
    assert Pin.from_dict(pin.to_dict()) == pin


def test_a_channels_state_reads_as_it_is_written() -> None:
    """Its policy – feeder and description – is another file, and stays."""
    steps = (Promoted(Version("1.0.0"), given()), Promoted(Version("1.1.0"), given()))
    channel = Channel("stable", Policy(feeder="edge"), {"platform": Track(steps)}, HOLDS)
    written = channel.state_document()
    assert written["bundles"]["platform"]["release"] == "1.1.0"
    assert written["bundles"]["platform"]["revision"] == 2
    assert Channel("stable", Policy(feeder="edge")).with_state(written) == channel


def test_a_bundles_state_reads_as_it_is_written() -> None:
    """Which release provides what, and what is being removed."""
    state = BundleState(Version("1.1.0"), {"cilium": Version("1.0.0"), "gone": Version("1.0.0")}, ("gone",))
    assert BundleState.from_dict(state.to_dict()) == state


def test_a_track_knows_its_head_and_each_release_once() -> None:
    """Promoted twice is promoted."""
    track = Track(tuple(Promoted(Version(text), given()) for text in ("1.10.0", "1.9.0", "1.10.0")))
    assert track.head.release == Version("1.10.0")
    assert track.promoted() == (Version("1.9.0"), Version("1.10.0"))


@pytest.mark.parametrize(
    ("until", "active"), [(None, True), (NOW + timedelta(seconds=1), True), (NOW, False), (NOW - DAY, False)]
)
def test_an_instruction_ends_at_its_end(until: datetime | None, *, active: bool) -> None:
    """At that very moment, not after it."""
    assert replace(given(), until=until).active(NOW) is active


@pytest.mark.parametrize(
    ("said", "after", "expected"),
    [
        (None, timedelta(), Health.UNKNOWN),
        (report(), timedelta(), Health.HEALTHY),
        (report(health=Health.FAILED), timedelta(), Health.FAILED),
        (report(health=Health.UPDATING), timedelta(), Health.UPDATING),
        (report(9), timedelta(), Health.UPDATING),
        (report(9, Health.FAILED), timedelta(), Health.UPDATING),
        (report(11), timedelta(), Health.UPDATING),
        (report(), 7 * DAY - timedelta(seconds=1), Health.HEALTHY),
        (report(), 7 * DAY, Health.STALE),
        (report(heard=-60), 7 * DAY - timedelta(seconds=30), Health.STALE),
        (report(9), 8 * DAY, Health.STALE),
    ],
)
def test_health_is_what_may_be_said_now(said: Report | None, after: timedelta, expected: Health) -> None:
    """Another serial is updating, silence is stale, nothing is unknown; green is only what was heard of this."""
    assert replace(PLANE, report=said).health(NOW + after) is expected


def test_who_is_stale_is_so_since_the_offer_ended_or_what_was_heard_grew_old() -> None:
    """Whichever came first; nobody else is."""
    for said, since in ((report(), 7 * DAY), (report(heard=-60), 7 * DAY - timedelta(seconds=60))):
        plane = replace(PLANE, report=said)
        assert plane.stale_since(NOW + 8 * DAY) == NOW + since
        assert plane.stale_since(NOW) is None
    assert replace(PLANE, report=None).stale_since(NOW + 8 * DAY) is None


MINUTES = timedelta(minutes=13)


@pytest.mark.parametrize(
    ("health", "after", "expected"),
    [
        (Health.HEALTHY, MINUTES, Health.HEALTHY),
        (Health.HEALTHY, MINUTES + timedelta(seconds=1), Health.SILENT),
        (Health.FAILED, MINUTES + timedelta(seconds=1), Health.SILENT),
        (Health.UPDATING, 6 * DAY, Health.SILENT),
        (Health.HEALTHY, 7 * DAY, Health.STALE),
    ],
)
def test_who_reports_at_an_interval_is_silent_when_it_does_not(
    health: Health, after: timedelta, expected: Health
) -> None:
    """Whatever it said last; who does not report so is not, however long it says nothing."""
    beating = replace(PLANE, report=replace(report(health=health), silent_after=MINUTES))
    assert beating.health(NOW + after) is expected
    assert beating.silent_since(NOW + after) == (NOW if expected is Health.SILENT else None)
    quiet = replace(PLANE, report=report(health=health)).health(NOW + after)
    assert quiet is (Health.STALE if expected is Health.STALE else health)


@pytest.mark.parametrize(
    ("serial", "since", "values", "expected"),
    [
        (8, 8, {}, Health.HEALTHY),
        (9, 8, {}, Health.HEALTHY),
        (7, 8, {}, Health.UPDATING),
        (9, 10, {}, Health.UPDATING),
        (11, 8, {}, Health.UPDATING),
        (9, 0, {}, Health.UPDATING),
        (9, 8, {"cilium": "{}"}, Health.UPDATING),
    ],
)
def test_a_state_that_was_only_issued_again_is_not_updating(
    serial: int, since: int, values: dict[str, str], expected: Health
) -> None:
    """A report about the same content counts; its own values have no serial, so with them only this very state does."""
    version = Version("1.0.0")
    states = {
        "platform": BundleState(version, {"cilium": version}, since=since, values=values),
        "other": BundleState(version, {"x": version}, since=5),
    }
    desired = Desired(10, "stable", NOW, NOW + 7 * DAY, states)
    assert replace(PLANE, desired=desired, report=report(serial)).health(NOW) is expected


def test_who_was_offered_nothing_is_unknown() -> None:
    """Whatever it says."""
    assert replace(PLANE, desired=None, report=report()).health(NOW) is Health.UNKNOWN


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        (report(11, seconds=-5), report(10, seconds=5)),
        (report(seconds=2), report(seconds=1)),
        (report(health=Health.HEALTHY), report(health=Health.FAILED)),
        (report(health=Health.FAILED), report(health=Health.UPDATING)),
    ],
)
def test_reports_are_ordered_by_serial_then_time_then_health(newer: Report, older: Report) -> None:
    """Flux's clock is as fine as a second: of one second, the end of the story wins."""
    assert newer.is_newer_than(older)
    assert not older.is_newer_than(newer)


reports = st.builds(
    report,
    st.integers(1, 3),
    st.sampled_from([Health.UPDATING, Health.FAILED, Health.HEALTHY]),
    seconds=st.integers(0, 3),
    heard=st.integers(0, 3),
)


@given_that(
    st.lists(reports, min_size=1, max_size=6).flatmap(lambda each: st.tuples(st.just(each), st.permutations(each)))
)
def test_in_any_order_the_same_report_is_left(both: tuple[list[Report], list[Report]]) -> None:
    """When it was heard does not count."""

    def last(items: list[Report]) -> tuple[int, Health, object]:
        kept = items[0]
        for each in items[1:]:
            kept = each if each.is_newer_than(kept) else kept
        return kept.serial, kept.health, kept.at

    assert last(both[0]) == last(both[1])
