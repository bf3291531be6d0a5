"""The four figures of DORA, from what is recorded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.unit.domain.worlds import AT_ONCE, NOW, make_release, make_world
from ums.domain.channels import Channel, Promoted
from ums.domain.errors import InvalidInputError, NotFoundError
from ums.domain.fleet import BundleState, DataPlane, Desired, Given, Health, Registration, Report
from ums.domain.insights import APPROXIMATIONS, Insights, Times, find_insights, insights_document
from ums.domain.names import PDPName
from ums.domain.policy import Policy
from ums.domain.rollouts import Rollout, RolloutStatus
from ums.domain.version import Version
from ums.domain.world import Recall, World

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START = NOW - 60 * DAY
VERSIONS = [f"1.{minor}.0" for minor in range(6)]
DOWN = (RolloutStatus.HALTED, RolloutStatus.ROLLED_BACK, RolloutStatus.CANCELLED)
STILL = (RolloutStatus.RUNNING, RolloutStatus.PAUSED)

Ends = tuple[int, RolloutStatus, int | None]
"""Hour of a promotion, what its rollout is in the end, and how many hours later that was."""


def make_history(ends: Iterable[Ends]) -> World:
    """Return a world in which releases were published at ``START`` and promoted one after the other."""
    world = make_world([make_release(each, {"cilium": each}) for each in VERSIONS])
    for version in VERSIONS:
        entry = world.entry("platform", Version(version))
        world = world.with_entry(replace(entry, registered_at=START))
    channel = Channel("stable", Policy(rollout=AT_ONCE))
    for version, (hour, status, later) in zip(VERSIONS, ends, strict=False):
        at = START + hour * HOUR
        channel = channel.with_promoted("platform", Version(version), Given("olga", "", at))
        channel = channel.with_rollout("platform", end(channel.rollouts["platform"], status, at, later))
    return world.with_channel(channel).with_planes({})


def end(rollout: Rollout, status: RolloutStatus, at: datetime, later: int | None) -> Rollout:
    """Return the rollout as it is in the end."""
    given = Given("olga", "because", at + (later or 0) * HOUR)
    if status in DOWN:
        return rollout.stopped(status, given)
    through = given.since if status is RolloutStatus.FINISHED else None
    return replace(rollout, status=status, given=given, through=through)


def look(world: World, *, since: timedelta = 90 * DAY, share: int = 90) -> Insights:
    """Return the figures of ``stable``."""
    (found,) = find_insights(world, NOW, since=NOW - since, share=share)
    return found


F, H, R, C, GO = (
    RolloutStatus.FINISHED,
    RolloutStatus.HALTED,
    RolloutStatus.ROLLED_BACK,
    RolloutStatus.CANCELLED,
    RolloutStatus.RUNNING,
)


@pytest.mark.parametrize(
    ("ends", "promotions", "failed", "restored", "unrestored"),
    [
        ([], 0, 0, [], 0),
        ([(0, F, 2)], 1, 0, [], 0),
        ([(0, F, 2), (24, GO, None)], 2, 0, [], 0),
        ([(0, H, 2)], 1, 1, [], 1),
        ([(0, H, 2), (10, F, 3)], 2, 1, [11], 0),
        ([(0, R, 2), (10, GO, None)], 2, 1, [], 1),
        ([(0, C, 2), (10, H, 1), (20, F, 4)], 3, 2, [22, 13], 0),
        ([(0, F, 1), (5, H, 1), (9, F, 1), (20, H, 2)], 4, 2, [4], 1),
    ],
)
def test_failures_and_what_came_after(
    ends: list[Ends], promotions: int, failed: int, restored: list[int], unrestored: int
) -> None:
    """Halted, rolled back or cancelled is failed; restored is when the next rollout is through."""
    found = look(make_history(ends))
    assert (found.promotions, found.failed, found.unrestored) == (promotions, failed, unrestored)
    assert found.restore_time == Times.of([hours * HOUR for hours in restored])
    assert found.failure_rate == (failed / promotions if promotions else None)


def test_a_rollout_that_went_on_after_a_halt_failed_and_was_restored_by_itself() -> None:
    """Also when another took its place, and its file is gone."""
    world = make_history([(0, H, 2)])
    channel = world.channel("stable")
    resumed = channel.rollouts["platform"].resumed(Given("olga", "seen", START + 5 * HOUR))
    finished = resumed.at_wave(len(resumed.waves), START + 6 * HOUR)
    channel = channel.with_rollout("platform", finished)
    for later in (channel, channel.with_promoted("platform", Version("1.1.0"), Given("olga", "", START + DAY))):
        found = look(world.with_channel(later))
        assert (found.failed, found.unrestored, found.restore_time) == (1, 0, Times.of([4 * HOUR]))


@pytest.mark.parametrize(
    ("ends", "hours"),
    [
        ([(1, F, 2)], [3]),
        ([(1, F, 2), (30, F, 1)], [3, 31]),
        ([(1, F, 2), (30, GO, None)], [3]),
        ([(1, GO, None), (30, F, 1)], [31]),
        ([(1, H, 2)], []),
    ],
)
def test_lead_time_runs_from_publishing_to_the_end_of_the_rollout(ends: list[Ends], hours: list[int]) -> None:
    """Where it has an end; one that was replaced under way has none."""
    assert look(make_history(ends)).lead_time == Times.of([each * HOUR for each in hours])


def test_going_back_to_a_release_is_no_delivery_of_it() -> None:
    """It was published long ago, and arrived then."""
    world = make_history([(1, F, 2), (30, F, 1)])
    channel = world.channel("stable").with_promoted("platform", Version("1.0.0"), Given("olga", "", START + 40 * DAY))
    finished = channel.rollouts["platform"].at_wave(9, START + 41 * DAY)
    found = look(world.with_channel(channel.with_rollout("platform", finished)))
    assert (found.promotions, found.lead_time.count) == (3, 2)


def with_plane(world: World, index: int, offered: datetime, healthy: datetime | None) -> World:
    """Return the world with a data plane that was offered the head."""
    name, head = PDPName("acme", f"pdp-{index}"), world.channel("stable").tracks["platform"].head.release
    serial = int(offered.timestamp())
    desired = Desired(serial, "stable", offered, NOW + DAY, {"platform": BundleState(head, {}, (), serial)})
    report = Report(serial, Health.HEALTHY, "", "", NOW, NOW, healthy) if healthy else None
    registration = Registration(name, "stable", ("platform",))
    return world.with_plane(DataPlane(registration, desired=desired, report=report))


@pytest.mark.parametrize(("share", "hours"), [(1, 4), (50, 6), (75, 9), (76, None), (100, None)])
def test_the_head_has_arrived_where_enough_data_planes_say_so(share: int, hours: int | None) -> None:
    """Three of four did, after 4, 6 and 9 hours; one that was healthy before has it since it was offered it."""
    world = make_history([(2, GO, None)])
    for index, healthy in enumerate((START, START + 6 * HOUR, START + 9 * HOUR, None)):
        world = with_plane(world, index, START + 4 * HOUR, healthy)
    expected = Times.of([hours * HOUR]) if hours is not None else Times()
    assert look(world, share=share).lead_time == expected


def test_a_finished_rollout_has_arrived_whatever_was_reported_since() -> None:
    """Who failed and recovered later makes no release late."""
    world = with_plane(make_history([(2, F, 5)]), 0, START + 4 * HOUR, NOW)
    assert look(world).lead_time == Times.of([7 * HOUR])


def test_a_release_that_is_withdrawn_was_a_failure() -> None:
    """Yanked: nobody knows when. Recalled: since then, until something else is through."""
    world = make_history([(0, F, 1), (48, F, 2)])
    entry = world.entry("platform", Version("1.0.0"))
    found = look(world.with_entry(replace(entry, yanked="corrupts data")))
    assert (found.failed, found.restore_time.count, found.unrestored) == (1, 0, 0)
    recall = Recall(Version("1.1.0"), Given("olga", "", START + 40 * HOUR))
    found = look(world.with_entry(replace(entry, yanked="x", recall=recall)))
    assert (found.failed, found.restore_time, found.unrestored) == (1, Times.of([10 * HOUR]), 0)


def test_what_an_older_ums_recorded_counts_as_far_as_it_goes() -> None:
    """It kept why a rollout stopped, and not when."""
    world = make_history([(0, H, 2), (10, F, 3)])
    channel = world.channel("stable")
    track = channel.tracks["platform"]
    old = Promoted(track.history[0].release, track.history[0].given, stopped="halted: 3 failed")
    channel = replace(channel, tracks={"platform": replace(track, history=(old, *track.history[1:]))})
    found = look(world.with_channel(channel))
    assert (found.failed, found.restore_time.count, found.unrestored) == (1, 0, 0)
    halted = make_history([(0, H, 2)])
    channel = halted.channel("stable")
    rollout = replace(channel.rollouts["platform"], failed=None)
    assert look(halted.with_channel(channel.with_rollout("platform", rollout))).unrestored == 1


def test_frequency_is_by_the_week() -> None:
    """And a promotion belongs to the time in which it was recorded."""
    world = make_history([(0, F, 1), (24, F, 1), (24 * 50, F, 1)])
    assert (look(world).promotions, look(world, since=14 * DAY).promotions) == (3, 1)
    assert look(world, since=14 * DAY).per_week == 0.5


def test_times_are_summed_up_by_median_and_nine_tenths() -> None:
    """Of one, both are itself."""
    assert Times.of([HOUR]) == Times(1, HOUR, HOUR)
    assert Times.of([each * HOUR for each in range(10, 0, -1)]) == Times(10, 5.5 * HOUR, 9 * HOUR)
    assert Times.of([]).to_dict() == {"count": 0, "medianSeconds": None, "p90Seconds": None}


def test_questions_that_make_no_sense_are_refused() -> None:
    """Each says what would."""
    world = make_history([])
    with pytest.raises(InvalidInputError):
        find_insights(world, NOW, since=NOW)
    for share in (0, 101):
        with pytest.raises(InvalidInputError):
            find_insights(world, NOW, since=START, share=share)
    with pytest.raises(NotFoundError):
        find_insights(world, NOW, since=START, channel="nowhere")


def test_the_answer_says_what_is_approximate() -> None:
    """Figures without that are believed."""
    world = make_history([(0, H, 2), (10, F, 3)])
    document = insights_document(find_insights(world, NOW, since=START), since=START, now=NOW, share=90)
    assert document["approximations"] == list(APPROXIMATIONS)
    assert document["items"] == [
        {
            "channel": "stable",
            "promotions": 2,
            "promotionsPerWeek": 0.23,
            "leadTime": {"count": 1, "medianSeconds": 46800, "p90Seconds": 46800},
            "failed": 1,
            "changeFailureRate": 0.5,
            "restoreTime": {"count": 1, "medianSeconds": 39600, "p90Seconds": 39600},
            "unrestored": 0,
        }
    ]


def test_the_end_of_a_rollout_survives_being_written_down() -> None:
    """Both in its own file and in the channel's."""
    world = make_history([(0, H, 2), (10, F, 3)])
    channel = world.channel("stable")
    read = Channel("stable", channel.policy).with_state(channel.state_document())
    assert read.tracks == channel.tracks
    assert read.tracks["platform"].history[0].failed == START + 2 * HOUR
    rollout = end(channel.rollouts["platform"], C, START, 1)
    assert Rollout.from_dict(rollout.to_dict(), rollout.strategy) == rollout
