"""The fleet as numbers."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.unit.domain.worlds import NOW, PROD, given, make_release, make_world, settle
from ums.domain.channels import Channel, Request
from ums.domain.errors import SpecError
from ums.domain.fleet import DataPlane, Given, Health, Registration, Report
from ums.domain.freezes import Freeze, Scope
from ums.domain.measuring import SILENCE_SECONDS, Distribution, Family, Spread, measure
from ums.domain.names import PDPName
from ums.domain.policy import Amount, Policy, Strategy, Wave
from ums.domain.rollouts import Rollout, RolloutStatus
from ums.domain.version import Version
from ums.domain.world import World

OLD, NEW = Version("1.0.0"), Version("1.1.0")
LATER = NOW + timedelta(hours=1)


def make_two() -> World:
    """Return a world in which everybody is well on 1.0.0, the head, by a rollout of two waves."""
    world = make_world([make_release(each, {"cilium": each}) for each in ("1.0.0", "1.1.0")])
    waves = Strategy(waves=(Wave("first"), Wave("everyone")), max_updating=Amount("100%"), healthy_for=timedelta())
    channel = Channel("stable", Policy(rollout=waves)).with_promoted("platform", OLD, given())
    world = world.with_channel(channel)
    for name in ("one", "two"):
        world = world.with_plane(DataPlane(Registration(PDPName("acme", name), "stable", ("platform",))))
    return settle(settle(world))


def number(world: World, name: str, *labels: str, now: datetime = LATER) -> float:
    """Return one sample."""
    (family,) = (each for each in measure(world, now) if each.name == name)
    assert isinstance(family, Family)
    return family.samples[labels]


@pytest.mark.parametrize(
    ("health", "age", "expected"),
    [
        (Health.HEALTHY, timedelta(), "healthy"),
        (Health.FAILED, timedelta(), "failed"),
        (Health.UPDATING, timedelta(), "updating"),
        (Health.HEALTHY, timedelta(days=8), "stale"),
        (None, timedelta(), "unknown"),
    ],
)
def test_data_planes_are_counted_by_health(health: Health | None, age: timedelta, expected: str) -> None:
    """As ``ums status`` does: silence is never green."""
    world = settle(make_world([make_release("1.0.0", {"cilium": "1.0.0"})], promoted=["1.0.0"]))
    plane = world.plane(PROD)
    assert plane.desired is not None
    report = Report(plane.desired.serial, health, "", "", NOW, NOW - age) if health else None
    world = world.with_plane(replace(plane, report=report))
    found = {each.value: number(world, "ums_data_planes", "stable", each.value) for each in Health}
    assert found == {each.value: float(each.value == expected) for each in Health}


def test_no_number_names_a_data_plane() -> None:
    """However large the fleet is, there are as many numbers."""
    small = make_two()
    large = small
    for index in range(50):
        name = PDPName(f"org-{index}", "prod")
        large = large.with_plane(DataPlane(Registration(name, f"nowhere-{index}", ("platform",))))
    counts = [sum(len(each.samples) for each in measure(world, LATER)) for world in (small, large)]
    assert counts[1] - counts[0] == len(Health) + 3  # one line more for all that follow no channel that there is
    assert number(large, "ums_data_planes", "missing", "unknown") == 50


def test_silence_is_told_by_its_longest_and_as_buckets() -> None:
    """From when a data plane was last heard, and those never heard apart."""
    world = make_two()
    one = world.plane(PDPName("acme", "one"))
    assert one.report is not None
    world = world.with_plane(replace(one, report=replace(one.report, heard=NOW - timedelta(days=30))))
    world = world.with_plane(replace(world.plane(PDPName("acme", "two")), report=None))
    assert number(world, "ums_data_plane_silence_max_seconds", "stable") == timedelta(days=30, hours=1).total_seconds()
    assert number(world, "ums_data_planes_never_heard", "stable") == 1
    (spread,) = (each for each in measure(world, LATER) if isinstance(each, Spread))
    counts = spread.samples["stable",].counts
    assert (counts[SILENCE_SECONDS.index(3600)], counts[-1], sum(counts)) == (1, 1, 2)


def test_a_distribution_counts_its_bounds_in() -> None:
    """As Prometheus does: less or equal."""
    found = Distribution()
    for value in (0, 60, 60.1, 10**9):
        found.add(value)
    assert found.counts == [2, 1, 0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize("status", RolloutStatus)
def test_a_rollout_has_one_status(status: RolloutStatus) -> None:
    """One series is 1 and the others 0, so that a change is seen."""
    world = make_two()
    channel = world.channel("stable")
    rollout = replace(channel.rollouts["platform"], status=status)
    world = world.with_channel(channel.with_rollout("platform", rollout))
    found = {each: number(world, "ums_rollout_status", "stable", "platform", each.value) for each in RolloutStatus}
    assert found == {each: float(each is status) for each in RolloutStatus}


def test_a_rollout_is_told_by_how_far_its_data_planes_are() -> None:
    """One well, one failed, one not offered it yet, one that took it and fell silent."""
    world = make_two()
    names = [PROD, PDPName("acme", "one"), PDPName("acme", "two")]
    world = world.with_channel(world.channel("stable").with_promoted("platform", NEW, replace(given(), since=NOW)))
    moved = settle(world.with_planes({name: world.plane(name) for name in names[:2]}), LATER)
    failed = moved.plane(names[1])
    assert failed.report is not None
    moved = moved.with_plane(replace(failed, report=replace(failed.report, health=Health.FAILED)))
    world = moved.with_plane(world.plane(names[2]))
    progress = ("waiting", "updating", "succeeded", "failed", "offline")
    found = [number(world, "ums_rollout_data_planes", "stable", "platform", each) for each in progress]
    assert found == [1, 0, 1, 1, 0]
    silent = moved.plane(names[0])
    world = world.with_plane(replace(silent, report=None))
    much_later = LATER + timedelta(days=3)
    assert number(world, "ums_rollout_data_planes", "stable", "platform", "offline", now=much_later) == 1
    assert number(world, "ums_rollout_waves", "stable", "platform") == 2
    assert number(world, "ums_rollout_wave", "stable", "platform") == 1


def test_adoption_counts_who_said_so() -> None:
    """Offered is not adopted."""
    world = make_two()
    on_head = "ums_bundle_data_planes_on_head"
    assert (
        number(world, on_head, "stable", "platform")
        == number(world, "ums_bundle_data_planes", "stable", "platform")
        == 3
    )
    plane = world.plane(PROD)
    assert plane.desired is not None
    world = world.with_plane(replace(plane, report=Report(plane.desired.serial - 1, Health.HEALTHY, "", "", NOW, NOW)))
    assert number(world, on_head, "stable", "platform") == 2


def test_gates_of_what_waits_are_open_or_closed() -> None:
    """For what somebody asked for; what was executed waits no longer."""
    world = make_two()
    request = Request("platform", NEW, Given("olga", "", NOW))
    closed = replace(world.entry("platform", NEW), yanked="bad")
    world = world.with_channel(world.channel("stable").with_request(request)).with_entry(closed)
    assert number(world, "ums_promotions_pending", "stable") == 1
    assert number(world, "ums_promotion_gate_open", "stable", "platform", "1.1.0", "yanked") == 0
    assert number(world, "ums_promotion_gate_open", "stable", "platform", "1.1.0", "signatures") == 1
    gone = replace(world, catalog={})
    assert number(gone, "ums_promotions_pending", "stable") == 0


def test_a_channel_that_promotes_by_itself_waits_for_its_feeders_head() -> None:
    """Nobody asked, and yet a gate keeps it."""
    world = make_two()
    lts = Channel("lts", Policy(feeder="stable", automatic=True))
    assert number(world.with_channel(lts), "ums_promotions_pending", "lts") == 1
    asked_by_people = replace(lts, policy=replace(lts.policy, automatic=False))
    assert number(world.with_channel(asked_by_people), "ums_promotions_pending", "lts") == 0


def test_problems_and_freezes_are_counted() -> None:
    """What ended does not count."""
    world = make_two()
    ended = Freeze("old", Scope(), given(until=NOW))
    world = replace(
        world, freezes=(Freeze("now", Scope(), given()), ended), problems=(SpecError("wrong", file="x.yaml"),)
    )
    assert (number(world, "ums_problems"), number(world, "ums_freezes_active")) == (1, 1)


def test_a_rollout_without_a_track_is_left_out() -> None:
    """A file that somebody left behind is no rollout."""
    world = make_two()
    channel = world.channel("stable")
    stray = Rollout.start(NEW, Strategy(), given(), before=None)
    world = world.with_channel(replace(channel, rollouts={**channel.rollouts, "other": stray}))
    (family,) = (each for each in measure(world, LATER) if each.name == "ums_rollout_wave")
    assert set(family.samples) == {("stable", "platform")}
