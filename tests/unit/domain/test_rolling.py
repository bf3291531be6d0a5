"""Rollouts: wave after wave, and what stops them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given as given_that
from hypothesis import strategies as st

from tests.unit.domain.worlds import NOW, given, make_release, make_world
from ums.domain.channels import Channel, Track
from ums.domain.deciding import decide
from ums.domain.digest import Digest
from ums.domain.fleet import DataPlane, Health, Pin, Registration, Report, next_serial
from ums.domain.names import PDPName
from ums.domain.policy import Amount, Counting, OnHalt, Policy, Strategy, Wave
from ums.domain.rendering import offer
from ums.domain.rollouts import (
    Member,
    Progress,
    Rollout,
    RolloutStatus,
    assign,
    position,
    ramp_limit,
    ramp_time,
)
from ums.domain.version import Version, VersionRange
from ums.domain.world import World

OLD, NEW = Version("1.0.0"), Version("1.1.0")
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
WAVES = (
    Wave("canary", share=Amount("1"), soak=10 * MINUTE),
    Wave("half", share=Amount("50%"), soak=10 * MINUTE),
    Wave("everyone"),
)
SIMPLE = Strategy(waves=WAVES, max_updating=Amount("100%"), healthy_for=MINUTE)


@dataclass
class Fleet:
    """Data planes of one channel, and the time."""

    world: World
    now: datetime = NOW

    @classmethod
    def of(cls, size: int, strategy: Strategy = SIMPLE, *, irreversible: bool = False) -> Fleet:
        """Return data planes that are well on the old release, as the new one is promoted."""
        releases = [make_release("1.0.0", {"cilium": "1.0.0"})]
        releases.append(make_release("1.1.0", {"cilium": "1.1.0"}, irreversible=irreversible))
        world = make_world(releases)
        channel = Channel("stable", Policy(rollout=strategy)).with_promoted("platform", OLD, given())
        finished = replace(channel.rollouts["platform"].at_wave(99, NOW), proven=NOW)
        names = [PDPName(f"org-{number % 3}", f"pdp-{number}") for number in range(size)]
        planes = {name: DataPlane(Registration(name, "stable", ("platform",))) for name in names}
        fleet = cls(replace(world, channels={"stable": channel.with_rollout("platform", finished)}, planes=planes))
        for _ in range(100):
            fleet.tick(HOUR)
            if fleet.rollout.catch_up and fleet.rollout.status is RolloutStatus.FINISHED:
                break
        promoted = fleet.world.channel("stable").with_promoted("platform", NEW, replace(given(), since=fleet.now))
        fleet.world = fleet.world.with_channel(promoted)
        return fleet

    def tick(self, span: timedelta = 2 * MINUTE, health: Health = Health.HEALTHY, *, taken: bool = True) -> Fleet:
        """Let what is due be offered and, perhaps, taken; then time pass."""
        plan = decide(self.world, self.now)
        for (channel, bundle), rollout in plan.rollouts.items():
            self.world = self.world.with_channel(self.world.channel(channel).with_rollout(bundle, rollout))
        for name, bundles in plan.offers.items():
            plane = self.world.plane(name)
            serial = next_serial(plane.desired.serial if plane.desired else None, self.now)
            desired = offer(self.world, name, bundles, serial=serial, now=self.now)
            report = Report(serial, health, "", "", self.now, self.now) if taken else plane.report
            self.world = self.world.with_plane(replace(plane, desired=desired, report=report))
        self.now += span
        return self

    @property
    def rollout(self) -> Rollout:
        """Return the rollout under way."""
        return self.world.channel("stable").rollouts["platform"]

    @property
    def updated(self) -> int:
        """Return how many are offered the new release."""
        states = (plane.desired.bundles["platform"] for plane in self.world.planes.values() if plane.desired)
        return sum(state.release == NEW for state in states)

    def reasons(self) -> set[str]:
        """Return why the others wait."""
        return {reason.code for each in decide(self.world, self.now).withheld for reason in each.reasons}

    def steer(self, rollout: Rollout) -> None:
        """Replace the rollout."""
        self.world = self.world.with_channel(self.world.channel("stable").with_rollout("platform", rollout))


def test_waves_follow_each_other_after_their_soaks() -> None:
    """One first, then half of all, then everybody; shares count those before."""
    fleet = Fleet.of(10)
    seen = []
    for _ in range(30):
        fleet.tick()
        seen.append(fleet.updated)
    assert sorted(set(seen)) == [1, 5, 10]
    assert seen.count(1) * 2 * MINUTE >= 10 * MINUTE
    assert fleet.rollout.status is RolloutStatus.FINISHED


def test_small_fleets_begin_with_one_by_default() -> None:
    """Without a word about it in the policy."""
    assert Fleet.of(3, Strategy()).tick().updated == 1


def test_a_failure_halts_and_who_did_not_take_it_is_spared() -> None:
    """The offer is taken back from whoever did not take it; who took it stays, and the rest is told why."""
    fleet = Fleet.of(10, replace(SIMPLE, waves=(Wave("everyone"),)))
    fleet.tick(taken=False)
    unlucky = min(fleet.world.planes)
    plane = fleet.world.plane(unlucky)
    assert plane.desired is not None
    report = Report(plane.desired.serial, Health.FAILED, "", "", fleet.now, fleet.now)
    fleet.world = fleet.world.with_plane(replace(plane, report=report))
    fleet.tick().tick()
    assert fleet.rollout.status is RolloutStatus.HALTED
    assert str(unlucky) in fleet.rollout.given.reason
    assert fleet.updated == 1
    assert fleet.reasons() == {"rollout-halted"}


@pytest.mark.parametrize(("irreversible", "left"), [(False, 0), (True, 1)])
def test_a_rollback_takes_everybody_back_but_past_what_cannot_be_undone(left: int, *, irreversible: bool) -> None:
    """The canary goes back by itself, where the release lets it."""
    fleet = Fleet.of(10, replace(SIMPLE, on_halt=OnHalt.ROLLBACK), irreversible=irreversible)
    fleet.tick(health=Health.FAILED).tick().tick()
    assert fleet.rollout.status is RolloutStatus.ROLLED_BACK
    assert fleet.updated == left


def test_the_decision_that_halts_is_the_one_that_takes_back() -> None:
    """Nobody keeps a bad release until the next round."""
    fleet = Fleet.of(10, replace(SIMPLE, on_halt=OnHalt.ROLLBACK)).tick(health=Health.FAILED)
    plan = decide(fleet.world, fleet.now)
    assert [rollout.status for rollout in plan.rollouts.values()] == [RolloutStatus.ROLLED_BACK]
    assert [move.after.release for move in plan.moves] == [OLD]


def test_who_never_answers_neither_blocks_a_wave_nor_counts_as_well() -> None:
    """After its grace, another takes the canary's place."""
    fleet = Fleet.of(10)
    fleet.tick(timedelta(hours=25), taken=False)
    fleet.tick()
    assert fleet.updated == 2
    assert fleet.rollout.wave == 0


def test_a_pause_stops_and_its_time_does_not_count() -> None:
    """Neither for a soak nor for a ramp."""
    fleet = Fleet.of(10).tick().tick()
    fleet.steer(fleet.rollout.paused(replace(given(), since=fleet.now)))
    fleet.tick(24 * HOUR).tick()
    assert fleet.updated == 1
    assert fleet.reasons() == {"rollout-paused"}
    fleet.steer(fleet.rollout.resumed(replace(given(), since=fleet.now)))
    fleet.tick()
    assert fleet.updated == 1
    fleet.tick(HOUR).tick()
    assert fleet.updated == 5


def test_no_more_than_policy_says_are_between_versions() -> None:
    """A quarter of eight is two; whoever is well makes room for the next."""
    fleet = Fleet.of(8, Strategy(waves=(Wave("everyone"),), max_updating=Amount("25%"), healthy_for=MINUTE))
    seen = []
    for _ in range(5):
        fleet.tick()
        seen.append(fleet.updated)
    assert seen == [2, 4, 6, 8, 8]


def test_one_organization_cannot_halt_alone_where_two_must_agree() -> None:
    """Its clusters may fail as they like."""
    counting = replace(SIMPLE.counting, organizations=2)
    fleet = Fleet.of(9, replace(SIMPLE, waves=(Wave("everyone"),), counting=counting)).tick()
    for name, plane in fleet.world.planes.items():
        assert plane.desired is not None
        bad = Report(plane.desired.serial, Health.FAILED, "", "", fleet.now, fleet.now)
        fleet.world = fleet.world.with_plane(replace(plane, report=bad) if name.org == "org-1" else plane)
    fleet.tick()
    assert fleet.rollout.status is not RolloutStatus.HALTED


@given_that(st.integers(1, 500), st.lists(st.integers(0, 200), min_size=2, max_size=6))
def test_a_ramp_only_rises(size: int, minutes: list[int]) -> None:
    """From one to all."""
    rollout = replace(Fleet.of(1).rollout, strategy=Strategy(waves=(Wave("everyone", over=100 * MINUTE),)))
    limits = [ramp_limit(rollout, size, rollout.wave_since + number * MINUTE) for number in sorted(minutes)]
    assert limits == sorted(limits)
    assert all(1 <= limit <= size for limit in limits)
    assert ramp_limit(rollout, size, rollout.wave_since + 100 * MINUTE) == size


def test_nobody_is_always_first() -> None:
    """Over a thousand releases each of ten is first about a hundred times; volunteers always are."""
    names = [PDPName("acme", f"pdp-{number}") for number in range(10)]
    firsts = Counter(min(names, key=lambda name: position(f"r{release}", name, None)) for release in range(1000))
    assert all(60 < firsts[name] < 140 for name in names)
    assert position("r", names[0], None, volunteer=True) < 0 <= position("r", names[1], 0.0)


def _silence(fleet: Fleet, hop: Version) -> Fleet:
    """Offer one data plane a release, which it does not take."""
    (name,) = fleet.world.planes
    plane = fleet.world.plane(name)
    state = decide(fleet.world, fleet.now).offers[name]["platform"]
    assert state.release == hop
    assert plane.desired is not None
    serial = next_serial(plane.desired.serial, fleet.now)
    desired = offer(fleet.world, name, {"platform": state}, serial=serial, now=fleet.now)
    fleet.world = fleet.world.with_plane(replace(plane, desired=desired))
    fleet.now += MINUTE
    return fleet


def test_a_yank_takes_back_what_was_not_taken_yet() -> None:
    """Who took it keeps it: a yank is for those who do not have it."""
    fleet = _silence(Fleet.of(1), NEW)
    entry = replace(fleet.world.entry("platform", NEW), yanked="corrupts data")
    fleet.world = fleet.world.with_entry(entry)
    (move,) = decide(fleet.world, fleet.now).moves
    assert (move.after.release, fleet.reasons()) == (OLD, {"withdrawn"})
    assert fleet.tick().reasons() == {"yanked"}
    taken = Fleet.of(1).tick()
    taken.world = taken.world.with_entry(entry)
    assert not decide(taken.world, taken.now).moves


def test_nobody_is_taken_back_out_of_a_pin() -> None:
    """Who pinned what is newer does not want what was before."""
    fleet = _silence(Fleet.of(1), NEW)
    (name,) = fleet.world.planes
    plane = replace(fleet.world.plane(name), pins=(Pin("platform", None, VersionRange(">=1.1"), given()),))
    fleet.world = fleet.world.with_plane(plane)
    fleet.steer(replace(fleet.rollout, status=RolloutStatus.HALTED))
    assert not decide(fleet.world, fleet.now).moves


def test_a_cancelled_rollout_takes_back_hops_that_were_not_taken_yet() -> None:
    """On the way to the head one is offered a barrier first; it too is only an offer."""
    fleet = Fleet.of(1)
    barrier = make_release("1.0.5", {"cilium": "1.0.5"}, barrier="migrate first")
    entry = replace(fleet.world.entry("platform", OLD), release=barrier)
    channel = fleet.world.channel("stable")
    steps = channel.tracks["platform"].history
    history = (steps[0], replace(steps[0], release=barrier.version), *steps[1:])
    fleet.world = fleet.world.with_entry(entry).with_channel(replace(channel, tracks={"platform": Track(history)}))
    _silence(fleet, barrier.version)
    fleet.steer(replace(fleet.rollout, status=RolloutStatus.CANCELLED))
    (move,) = decide(fleet.world, fleet.now).moves
    assert move.after.release == OLD
    fleet.tick(taken=True)
    assert not decide(fleet.world, fleet.now).moves


@pytest.mark.parametrize(("organizations", "wave"), [(1, 1), (2, 0)])
def test_a_wave_succeeds_where_enough_organizations_say_so(organizations: int, wave: int) -> None:
    """One customer alone cannot wave a release through where two must agree."""
    waves = (Wave("two", share=Amount("2")), Wave("rest"))
    counting = Counting(organizations=organizations)
    fleet = Fleet.of(4, replace(SIMPLE, waves=waves, counting=counting, max_failed=Amount("1")))
    fleet.tick()
    first, second = (name for name, plane in fleet.world.planes.items() if plane.report and _has(plane, NEW))
    assert first.org != second.org
    plane = fleet.world.plane(second)
    assert plane.report is not None
    fleet.world = fleet.world.with_plane(replace(plane, report=replace(plane.report, health=Health.FAILED)))
    plan = decide(fleet.world, fleet.now)
    assert plan.rollouts.get(("stable", "platform"), fleet.rollout).wave == wave


def _has(plane: DataPlane, version: Version) -> bool:
    return plane.desired is not None and plane.desired.bundles["platform"].release == version


def test_each_release_has_another_first_data_plane() -> None:
    """Decided, and not only computed: over three hundred releases each of five is the canary about sixty times."""
    world = Fleet.of(5).world
    entry, firsts = world.entry("platform", NEW), Counter[PDPName]()
    for number in range(300):
        other = world.with_entry(replace(entry, digest=Digest.of(f"{number}".encode())))
        firsts.update(move.pdp for move in decide(other, NOW + 5 * HOUR).moves)
    assert sum(firsts.values()) == 300
    assert all(35 < firsts[name] < 85 for name in world.planes)


@given_that(st.integers(1, 500), st.integers(60, 10**6), st.data())
def test_a_ramp_reaches_each_when_it_was_said_to(size: int, seconds: int, data: st.DataObject) -> None:
    """Not before, but for rounding: *until* in the reason is a promise."""
    over = timedelta(seconds=seconds)
    rollout = replace(Fleet.of(1).rollout, strategy=Strategy(waves=(Wave("everyone", over=over),)))
    rank = data.draw(st.integers(0, size - 1))
    due = ramp_time(rollout, size, rank)
    assert ramp_limit(rollout, size, due) > rank
    assert rank == 0 or ramp_limit(rollout, size, due - timedelta(seconds=2)) <= rank


@given_that(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.floats(0, 1, exclude_max=True)), min_size=1, max_size=40),
    st.lists(st.integers(0, 100), max_size=4),
)
def test_waves_are_as_large_as_their_shares_say(planes: list[tuple[bool, bool, float]], shares: list[int]) -> None:
    """Together with those before; whoever was offered the release already is in the earliest, in whatever order."""
    waves = tuple(Wave(f"w{share}", share=Amount(f"{share}%")) for share in sorted(shares))
    rollout = replace(Fleet.of(1).rollout, strategy=Strategy(waves=waves))
    members = [
        Member(
            name=PDPName("a", f"p-{number}"),
            labels={},
            silent=False,
            position=order,
            eligible=eligible,
            coming=False,
            progress=Progress.OFFERED if tried else None,
            counts=True,
        )
        for number, (tried, eligible, order) in enumerate(planes)
    ]
    assign(rollout, members)
    for index, wave in enumerate(waves):
        assert wave.share is not None
        assert sum(each.wave <= index for each in members) == wave.share.at_least(len(members))
    by_turn = sorted(members, key=lambda each: (each.wave, each.rank))
    assert by_turn == sorted(members, key=lambda each: (each.precedence, each.position))
    assert len({(each.wave, each.rank) for each in members}) == len(members)
