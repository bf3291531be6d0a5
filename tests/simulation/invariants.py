"""What must hold after every step: the invariants of the design, looked at from outside."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import datetime, timedelta

from tests.simulation.cluster import Cluster
from tests.unit.domain.random_worlds import recorded
from tests.unit.usecases.truth import check
from ums.domain.channels import Channel
from ums.domain.clock import MAX_AHEAD
from ums.domain.composing import find_hold
from ums.domain.deciding import Plan, decide, decide_about
from ums.domain.fleet import BundleState, DataPlane, Health, Pin
from ums.domain.lanes import Road
from ums.domain.names import PDPName
from ums.domain.rollouts import IN_FLIGHT, WITHDRAWN, Progress, Rollout, RolloutStatus, progress
from ums.domain.version import Version
from ums.domain.world import World
from ums.usecases.record import Outcome

_PASSING = {"wave", "ramp", "max-updating", "unconfirmed", "window", "first"}
"""Reasons that end by themselves, so that nobody may be left with them at the end."""
_CHANCE = 0.1
"""That a step asks whether what is told comes true, which costs as much as several steps."""


def check_step(
    before: World,
    after: World,
    now: datetime,
    outcome: Outcome | None,
    clusters: Mapping[PDPName, Cluster],
    *,
    proven: set[tuple[str, Version, datetime]],
    moved: bool,
) -> None:
    """Check what one step did; ``proven`` is what canaries have shown so far, whatever is forgotten of them."""
    assert not after.problems, f"it wrote what it cannot read: {after.problems}"
    plan = decide(after, now)
    assert plan == decide(after, now), "deciding has no side effects"
    check_explained(after, now, plan)
    if outcome is not None and outcome.recorded:
        assert moved, "an acknowledged decision is in the release repo"
    for name, plane in after.planes.items():
        was = before.planes.get(name)
        check_serial(was.last_serial if was else before.retired[name].last_serial, was, plane)
        check_clock(plane, now)
        if was is None or was.generation < plane.generation:
            was = DataPlane(plane.registration)  # it came again
        for bundle, state in plane.desired.bundles.items() if plane.desired else ():
            old = was.desired.bundles.get(bundle) if was.desired else None
            if old != state:
                check_move(after, plane, bundle, old=old, new=state, now=now)
                # A freeze of this very step may have come after the move, and a thaw before it.
                throughout = frozen_by(before, was, bundle, now) & frozen_by(after, plane, bundle, now)
                assert not throughout, f"{name} moved though frozen"
    check_kept(before, after)
    check_canaries(before, after, now, proven)
    for cluster in clusters.values():
        check_visited(after, cluster)
    if outcome is not None and outcome.recorded:
        check_limits(before, outcome, now)


def check_explained(world: World, now: datetime, plan: Plan) -> None:
    """Check that who asks about one data plane, another one each second, is told what is decided, and true."""
    rng = random.Random(int(now.timestamp()))  # noqa: S311 - a simulation
    name = rng.choice(sorted(world.planes))
    moves = {each.bundle: each for each in plan.moves if each.pdp == name}
    reasons = {each.bundle: each.reasons for each in plan.withheld if each.pdp == name}
    assert decide_about(world, now, name) == (moves, reasons), f"{name} is told something else than what is decided"
    if rng.random() < _CHANCE:
        # As the loop records it: a soak that nobody noted has no end yet.
        check(recorded(world, plan, now), now, name)


def check_kept(before: World, after: World) -> None:
    """Check that no channel went to an older component, or lost a fix of one, without a person who said so."""
    for channel in after.channels.values():
        for bundle, track in channel.tracks.items():
            old = before.channels[channel.name].tracks.get(bundle)
            if old is None or old.head == track.head:
                continue
            was, now = (after.entry(bundle, each.head.release).release for each in (old, track))
            pairs = [(each, there) for each in was.components if (there := now.component(each.name))]
            lost = [
                each.name for each, there in pairs if there.version < each.version or set(each.fixes) - {*there.fixes}
            ]
            request = channel.request(bundle, now.version)
            people = {each.given.by for each in request.overrides if each.gate == "regression"}
            assert not lost or people, f"{channel.name} lost {lost} with {now.name}, and nobody said so"


def check_serial(last: int | None, was: DataPlane | None, plane: DataPlane) -> None:
    """Check that serials never decrease, and rise with whatever changes; also if it was gone in between."""
    if last is None:
        return
    assert plane.desired is not None, "an offer is never taken away"
    assert plane.desired.serial >= last, "a serial decreased"
    if was is None or plane.desired != was.desired:
        assert plane.desired.serial > last, "an offer changed without a new serial"


def check_clock(plane: DataPlane, now: datetime) -> None:
    """Check that a cluster whose clock is right accepts the serial, whatever our clock showed when it was issued."""
    if plane.desired is not None:
        latest = now + timedelta(minutes=5)
        assert plane.desired.issued <= latest, f"{plane.name} was offered something ahead of the time"
        assert plane.desired.serial <= (now + MAX_AHEAD).timestamp(), (
            f"no cluster would accept the serial of {plane.name}"
        )


def check_move(
    world: World, plane: DataPlane, bundle: str, *, old: BundleState | None, new: BundleState, now: datetime
) -> None:
    """Nobody is given what was yanked, lies outside a hold or pin, or goes back past what cannot be undone."""
    catalog, name = world.catalog[bundle], plane.name
    channel = world.channels[plane.registration.channel]
    given = {new.release, *new.components.values()} - ({old.release, *old.components.values()} if old else set())
    yanked = [str(each) for each in given if catalog[each].yanked]
    assert not yanked, f"{name} was given {yanked}, which were yanked"
    held = find_hold(plane, channel, bundle, now)
    pinned = next((pin for pin in plane.pins if _in_force(pin, bundle, None, now)), None)
    if old is None or old.release != new.release:
        recalled = old is not None and catalog[old.release].recall is not None
        if held is not None:
            assert _on_the_way(old, new, held.release), f"{name} left its hold at {held.release} for {new.release}"
        elif pinned is not None and not recalled:
            inside = new.release in pinned.versions
            assert inside or _climbs(world, bundle, old, new, pinned), f"{name} is outside its pin"
        if old is not None and new.release < old.release:
            crossed = [each for each in catalog if new.release < each <= old.release]
            assert not any(catalog[each].release.upgrade.irreversible for each in crossed), f"{name} went back too far"
    for component in set(old.components if old else ()) - set(new.components):
        assert old is not None
        assert component in old.removing, f"{component} of {name} vanished without being marked"


def frozen_by(world: World, plane: DataPlane, bundle: str, now: datetime) -> set[str]:
    """Return the freezes in force."""
    channel, found = plane.registration.channel, set()
    for freeze in world.freezes:
        covers = freeze.scope.covers(channel=channel, bundle=bundle) and freeze.scope.covers_plane(plane.name)
        if covers and freeze.given.active(now):
            found.add(freeze.name)
    return found


def check_visited(world: World, cluster: Cluster) -> None:
    """No cluster ever skips a barrier, whatever it heard and when."""
    catalog = world.catalog["platform"]
    barriers = [version for version, entry in catalog.items() if entry.release.upgrade.barrier]
    for start, end in zip(cluster.visited, cluster.visited[1:], strict=False):
        skipped = [str(each) for each in barriers if start < each < end]
        assert not skipped, f"{cluster.name} went from {start} to {end} past the barrier {skipped}"


def check_canaries(before: World, after: World, now: datetime, proven: set[tuple[str, Version, datetime]]) -> None:
    """Nobody gets a release beside its waves, and nobody but a canary before a canary is well on it.

    Only who was told by name is an exception: a hold of its own, or a component of it that is pinned or held.
    """
    for name, channel in after.channels.items():
        rollout = channel.rollouts.get("platform")
        if rollout is None:
            continue
        planes = [plane for plane in after.planes.values() if plane.registration.channel == name]
        since, lasting = int(rollout.phase.timestamp()), now - rollout.strategy.healthy_for
        if any(_had(plane, rollout.release, since) and _is_well(before, plane, lasting) for plane in planes):
            proven.add((name, rollout.release, rollout.phase))
        given = [plane for plane in planes if _is_given(before, plane, channel, rollout.release, now)]
        if not given or len(rollout.waves) == 1:  # its policy knows no canary
            continue
        new = {plane.name for plane in given}
        # A rival may have moved them in this very step, before the rollout was paused.
        old = before.channels[name].rollouts.get("platform")
        ran = old is not None and (old.release, old.status) == (rollout.release, RolloutStatus.RUNNING)
        assert ran or rollout.status is RolloutStatus.RUNNING, f"{new} of {name} get what is {rollout.status} there"
        # Who has it by a hold of its own, perhaps on its way to another release, is no canary.
        free = [plane for plane in planes if plane.name not in new and find_hold(plane, None, "platform", now) is None]
        tried = [plane for plane in free if _had(plane, rollout.release, since)]
        hopeful = [plane for plane in tried if plane.report is not None and _may_be_well(plane, rollout, now)]
        known = (name, rollout.release, rollout.phase) in proven
        assert known or len(hopeful) + len(given) <= 1, f"{new} of {name} get {rollout.release} beside its canary"


def _is_given(before: World, plane: DataPlane, channel: Channel, release: Version, now: datetime) -> bool:
    """Return whether a data plane was just given its channel's head, or a part of it, by no word about itself."""
    was = before.planes.get(plane.name)
    old = was.desired.bundles.get("platform") if was and was.desired and was.generation == plane.generation else None
    new = plane.desired.bundles.get("platform") if plane.desired else None
    if new is None or old == new or find_hold(plane, channel, "platform", now) is not None:
        return False
    had = set(old.components.items()) if old else set()
    return any(item not in had and item[1] == release for item in new.components.items())


def _had(plane: DataPlane, release: Version, since: int) -> bool:
    state = plane.desired.bundles.get("platform") if plane.desired else None
    return state is not None and state.release == release and state.since >= since


def _is_well(before: World, plane: DataPlane, lasting: datetime) -> bool:
    known, state = before.planes.get(plane.name), plane.state_of("platform")
    report = known.report if known is not None else None
    assert state is not None
    return (
        report is not None and report.health is Health.HEALTHY and report.serial >= state.since <= lasting.timestamp()
    )


def _may_be_well(plane: DataPlane, rollout: Rollout, now: datetime) -> bool:
    """Return whether one that was given a release could still be its canary: neither lost nor given up."""
    state = plane.state_of("platform")
    assert state is not None
    how = progress(plane, state, rollout.strategy, now)
    forgiven = rollout.forgiven is not None and state.since < int(rollout.forgiven.timestamp())
    return how is not Progress.OFFLINE and not (how is Progress.FAILED and forgiven)


def check_limits(before: World, outcome: Outcome, now: datetime) -> None:
    """Never more are between versions because of us than policy says; a rollout that stands moves nobody forward."""
    for name, channel in outcome.world.channels.items():
        planes = [plane for plane in before.planes.values() if plane.registration.channel == name]
        strategy = channel.policy.rollout
        flying = {
            plane.name
            for plane in planes
            for state in (plane.desired.bundles.values() if plane.desired else ())
            if progress(plane, state, strategy, now) in IN_FLIGHT
        }
        mine = [move for move in outcome.plan.moves if move.pdp in {plane.name for plane in planes}]
        ordered = {move.pdp for move in mine if move.road is Road.ORDERED}
        automatic = {move.pdp for move in mine if move.road is not Road.ORDERED} - flying - ordered
        limit = max(strategy.max_updating.at_most(len(planes)), 1)
        if automatic:
            assert len(flying | ordered | automatic) <= limit, f"more than {limit} of {name} are updating"
        for bundle, rollout in channel.rollouts.items():
            if rollout.status in WITHDRAWN or rollout.status is RolloutStatus.PAUSED:
                onward = [m for m in mine if m.road is Road.FOLLOW and m.after.release == rollout.release]
                assert not onward, f"{onward[0].pdp} moved to {bundle}@{rollout.release}, whose rollout stands"


def check_arrived(world: World, plan: Plan) -> None:
    """Everybody is where the channel's head is, or has a reason that does not end by itself."""
    reasons = {each.pdp: {reason.code for reason in each.reasons} for each in plan.withheld}
    for name, plane in world.planes.items():
        track = world.channels[plane.registration.channel].tracks.get("platform")
        state = plane.desired.bundles.get("platform") if plane.desired else None
        mine = reasons.get(name, set())
        if track is not None and (state is None or state.release != track.head.release):
            assert mine, f"{name} waits at {state.release if state else None}, and nobody says why"
        if mine and mine <= _PASSING:
            assert _is_stuck(world, plane.registration.channel), f"{name} still waits for {mine}"


def _is_stuck(world: World, channel: str) -> bool:
    """Return whether failures that policy bears keep a wave from succeeding, or a hop from being confirmed."""
    return any(
        plane.report is not None and plane.report.health == "failed"
        for plane in world.planes.values()
        if plane.registration.channel == channel
    )


def _in_force(pin: Pin, bundle: str, component: str | None, now: datetime) -> bool:
    return (pin.bundle, pin.component) == (bundle, component) and pin.given.active(now)


def _on_the_way(old: BundleState | None, new: BundleState, target: Version) -> bool:
    if old is None or new.release == target:
        return new.release == target
    return old.release < new.release < target


def _climbs(world: World, bundle: str, old: BundleState | None, new: BundleState, pin: Pin) -> bool:
    """Return whether a move is a hop towards what is pinned."""
    if old is None:
        return False
    return any(version in pin.versions and old.release < new.release < version for version in world.catalog[bundle])
