"""What holds whatever people do: random instructions to a small fleet, and the promises after each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from hypothesis import given as given_that
from hypothesis import settings
from hypothesis import strategies as st

from tests.unit.domain.worlds import AT_ONCE, NOW, given, make_release, make_world, settle
from ums.domain.channels import Channel, Promoted, Track
from ums.domain.composing import find_hold
from ums.domain.deciding import Move, Plan, decide, decide_about
from ums.domain.errors import Reason
from ums.domain.fleet import BundleState, DataPlane, Desired, Hold, Pin, Registration
from ums.domain.freezes import Freeze, Scope
from ums.domain.names import PDPName
from ums.domain.policy import Policy
from ums.domain.values import Values, values_text
from ums.domain.version import Version, VersionRange
from ums.domain.world import World

RELEASES = (
    make_release("1.0.0", {"cilium": "1.16.0", "gateway": "2.0.0", "legacy": "0.1.0"}),
    make_release("1.1.0", {"cilium": "1.16.1", "gateway": "2.1.0", "legacy": "0.1.0"}),
    make_release("1.2.0", {"cilium": "1.17.0", "gateway": "2.1.0"}, removes=("legacy",)),
    make_release("1.3.0", {"cilium": "1.17.0", "gateway": "2.2.0"}, irreversible=True),
    make_release("1.4.0", {"cilium": "1.17.1", "gateway": "2.2.0", "extra": "1.0.0"}),
)
VERSIONS = [release.version for release in RELEASES]
PLANES = [PDPName("acme", name) for name in ("one", "two")]

_Given = TypeVar("_Given", Pin, Hold)


@dataclass(frozen=True, slots=True)
class Fleet:
    """A world at a time, and whether the data planes get well."""

    world: World
    now: datetime = NOW
    healthy: bool = True


Step = Callable[[Fleet], Fleet]


@dataclass(frozen=True, slots=True)
class Told:
    """A step with a name, for the report of a failure."""

    text: str
    step: Step = field(repr=False, compare=False)


def make_fleet() -> Fleet:
    """Return data planes that run the first release of their channel, and a channel without any."""
    world = make_world(RELEASES, promoted=["1.0.0"])
    planes = {name: DataPlane(Registration(name, "stable", ("platform",))) for name in PLANES}
    return Fleet(
        settle(
            replace(world, planes=planes, channels={"edge": Channel("edge", Policy(rollout=AT_ONCE)), **world.channels})
        )
    )


def promote(name: str, version: Version) -> Told:
    """Promote a release; a channel's head never goes back."""

    def step(before: Fleet) -> Fleet:
        channel = before.world.channel(name)
        track = channel.tracks.get("platform")
        if track is not None and version <= track.head.release:
            return before
        history = (*(track.history if track else ()), Promoted(version, given()))
        return replace(before, world=before.world.with_channel(replace(channel, tracks={"platform": Track(history)})))

    return Told(f"promote {version} to {name}", step)


def hold_channel(name: str, version: Version | None) -> Told:
    """Hold a channel, or end its hold."""

    def step(before: Fleet) -> Fleet:
        holds = (Hold("platform", None, version, given()),) if version else ()
        return replace(before, world=before.world.with_channel(replace(before.world.channel(name), holds=holds)))

    return Told(f"hold {name} at {version}", step)


def instruct(text: str, name: PDPName, change: Callable[[DataPlane, datetime], DataPlane]) -> Told:
    """Change what was decided about a data plane."""

    def step(before: Fleet) -> Fleet:
        return replace(before, world=before.world.with_plane(change(before.world.plane(name), before.now)))

    return Told(f"{text} ({name})", step)


def others(items: tuple[_Given, ...], component: str | None) -> tuple[_Given, ...]:
    """Return all instructions but the one about this component."""
    return tuple(item for item in items if item.component != component)


def pin(name: PDPName, component: str | None, versions: str | None) -> Told:
    """Pin a data plane, or remove its pin."""

    def change(plane: DataPlane, _now: datetime) -> DataPlane:
        added = (Pin("platform", component, VersionRange(versions), given()),) if versions else ()
        return replace(plane, pins=(*others(plane.pins, component), *added))

    return instruct(f"pin {component or 'all'} to {versions}", name, change)


def hold(name: PDPName, component: str | None, version: Version | None, hours: int | None) -> Told:
    """Hold a data plane, for some time or without end, or remove its hold; a rollback is the same."""

    def change(plane: DataPlane, now: datetime) -> DataPlane:
        until = now + timedelta(hours=hours) if hours else None
        added = (Hold("platform", component, version, given(until)),) if version else ()
        return replace(plane, holds=(*others(plane.holds, component), *added))

    return instruct(f"hold {component or 'all'} at {version} for {hours} h", name, change)


def follow(name: PDPName, channel: str) -> Told:
    """Make a data plane follow another channel."""
    return instruct(
        f"follow {channel}",
        name,
        lambda plane, _now: replace(plane, registration=replace(plane.registration, channel=channel)),
    )


def give(name: PDPName, component: str, value: int | None) -> Told:
    """Give a component of a data plane values of its own, or take them away."""
    values: Values = {"platform": {component: {"size": value}}} if value else {}
    return instruct(
        f"give {component} size {value}",
        name,
        lambda plane, _now: replace(plane, registration=replace(plane.registration, values=values, sealed=False)),
    )


def freeze(name: PDPName | None) -> Told:
    """Freeze a data plane alone, or thaw everything."""
    found = (Freeze("f", Scope(pdp=name), given()),) if name else ()
    return Told(f"freeze {name}", lambda before: replace(before, world=replace(before.world, freezes=found)))


def yank(version: Version, reason: str) -> Told:
    """Yank a release, or take it back."""

    def step(before: Fleet) -> Fleet:
        catalog = dict(before.world.catalog["platform"])
        catalog[version] = replace(catalog[version], yanked=reason)
        return replace(before, world=replace(before.world, catalog={"platform": catalog}))

    return Told(f"yank {version}: {reason!r}", step)


def wait(hours: int) -> Told:
    """Let time pass."""
    return Told(f"wait {hours} h", lambda before: replace(before, now=before.now + timedelta(hours=hours)))


def get(*, well: bool) -> Told:
    """Let what is offered from now on become healthy, or not."""
    return Told(f"healthy: {well}", lambda before: replace(before, healthy=well))


planes, versions = st.sampled_from(PLANES), st.sampled_from(VERSIONS)
components = st.sampled_from([None, "cilium", "gateway", "legacy"])
channels = st.sampled_from(["stable", "edge"])
steps = st.one_of(
    st.builds(promote, channels, versions),
    st.builds(promote, channels, versions),
    st.builds(pin, planes, st.none(), st.sampled_from([None, "1.0.0", "~1.1", ">=1.2", "1.x", "9.x"])),
    st.builds(pin, planes, st.just("cilium"), st.sampled_from([None, "1.16.0", "~1.16", "1.17.x", "9.x"])),
    st.builds(hold, planes, components, st.none() | versions, st.sampled_from([None, 2, 48])),
    st.builds(hold_channel, channels, st.none() | versions),
    st.builds(follow, planes, channels),
    st.builds(give, planes, st.sampled_from(["cilium", "legacy"]), st.none() | st.integers(1, 2)),
    st.builds(freeze, st.none() | planes),
    st.builds(yank, versions, st.sampled_from(["", "corrupts data"])),
    st.builds(wait, st.sampled_from([1, 30, 100])),
    st.builds(get, well=st.booleans()),
)


@given_that(st.lists(steps, min_size=3, max_size=14))
@settings(max_examples=200)
def test_promises_hold_after_every_instruction(told: list[Told]) -> None:
    """Whatever the order of promotions, pins, holds, rollbacks, yanks, failures and time."""
    fleet = make_fleet()
    for each in told:
        fleet = each.step(fleet)
        plan = decide(fleet.world, fleet.now)
        assert decide(fleet.world, fleet.now) == plan, "deciding has no side effects"
        for name in fleet.world.planes:
            check_one(name, decide_about(fleet.world, fleet.now, name), plan)
        after = settle(fleet.world, fleet.now, healthy=fleet.healthy)
        check_step(fleet, plan, after)
        check_reasons(after, decide(after, fleet.now))
        fleet = replace(fleet, world=after)
    for _ in range(2):  # a removal that was marked takes one more state
        fleet = replace(fleet, world=settle(fleet.world, fleet.now))
    assert not decide(fleet.world, fleet.now).moves, "nothing is moved to and fro"


def check_one(name: PDPName, found: tuple[Mapping[str, Move], Mapping[str, tuple[Reason, ...]]], plan: Plan) -> None:
    """Who asks about one data plane is told what is decided."""
    assert found == (
        {each.bundle: each for each in plan.moves if each.pdp == name},
        {each.bundle: each.reasons for each in plan.withheld if each.pdp == name},
    )


def check_step(fleet: Fleet, plan: Plan, after: World) -> None:
    """Check that exactly the plan happened, and that each of its moves is allowed."""
    moves = {move.pdp: move for move in plan.moves}
    for name, plane in fleet.world.planes.items():
        old, new = plane.desired, after.plane(name).desired
        assert new is not None
        if name in plan.offers:
            assert old is None or new.serial > old.serial, "serials rise with every offer"
        else:
            assert new == old, "no offer, no change"
        moved = (old.bundles if old else {}) != new.bundles
        assert moved == (name in moves), "nothing moves without being in the plan"
        check_values(fleet.world, plane, new)
        if name in moves:
            assert moves[name].after == new.bundles["platform"]
            check_move(fleet, plane, moves[name].before, moves[name].after)


def check_values(world: World, plane: DataPlane, new: Desired) -> None:
    """Check that a data plane has the values that it should, or in a freeze those that it had."""
    for bundle, state in new.bundles.items():
        if any(freeze.scope.covers_plane(plane.name) for freeze in world.freezes):
            assert plane.desired is not None, "nothing is offered in a freeze"
            assert state.values == plane.desired.bundles[bundle].values, "a freeze keeps values"
            continue
        given_now = plane.registration.values.get(bundle, {})
        wanted = {name: values_text(given_now[name]) for name in given_now if name in state.components}
        assert state.values == wanted, "values are those of the registration"


def check_move(fleet: Fleet, plane: DataPlane, before: BundleState | None, after: BundleState) -> None:
    """Check one move against what people decided."""
    world, now = fleet.world, fleet.now
    catalog = world.catalog["platform"]
    channel = world.channel(plane.registration.channel)
    track = channel.tracks.get("platform")
    held, pinned = find_hold(plane, channel, "platform", now), active_pin(plane, None, now)
    if held is not None:
        assert after.release == held.release, "outside its hold"
    else:
        assert track is not None
        assert after.release <= track.head.release, "above the head"
        assert after.release in track.promoted(), "never promoted here"
        if pinned is not None:
            assert after.release in pinned.versions, "outside its pin"
    if before is not None and after.release < before.release:
        assert held is not None or pinned is not None, "following a channel never downgrades"
        crossed = [version for version in VERSIONS if after.release < version <= before.release]
        assert not any(catalog[version].release.upgrade.irreversible for version in crossed), "cannot be undone"
    if before is None or before.release != after.release:
        assert not catalog[after.release].yanked, "a yanked release is given to nobody new"
    check_components(fleet, plane, before, after)


def check_components(fleet: Fleet, plane: DataPlane, before: BundleState | None, after: BundleState) -> None:
    """Check which releases a move takes the components from."""
    catalog, now = fleet.world.catalog["platform"], fleet.now
    old = before.components if before else {}
    for component, provider in after.components.items():
        found = catalog[provider].release.component(component)
        assert found is not None, "its release does not have it"
        if provider == old.get(component):
            continue
        assert not catalog[provider].yanked, "of a yanked release"
        held = find_hold(plane, None, "platform", now, component=component)
        pinned = active_pin(plane, component, now)
        if held is not None and catalog[held.release].release.component(component):
            assert provider == held.release, "outside its hold"
        elif pinned is not None:
            assert found.version in pinned.versions, "outside its pin"
        else:
            assert provider == after.release, "of a release that it is not on"
    for component in set(old) - set(after.components):
        assert before is not None
        assert component in before.removing, "removed without being marked"
        assert find_hold(plane, None, "platform", now, component=component) is None, "removed although it is held"


def check_reasons(world: World, plan: Plan) -> None:
    """Check that whoever is not where the channel's head is has been told why."""
    withheld = {each.pdp for each in plan.withheld}
    for name, plane in world.planes.items():
        track = world.channel(plane.registration.channel).tracks.get("platform")
        state = plane.desired.bundles.get("platform") if plane.desired else None
        moving = any(move.pdp == name for move in plan.moves)
        if track is None or state is None or state.release != track.head.release:
            assert name in withheld or moving, f"{name} waits without a reason"
            continue
        head = world.catalog["platform"][track.head.release].release
        if any(state.components.get(each.name) != head.version for each in head.components):
            assert name in withheld or moving, f"a component of {name} waits without a reason"
    assert all(reason.message for each in plan.withheld for reason in each.reasons)


def active_pin(plane: DataPlane, component: str | None, now: datetime) -> Pin | None:
    """Return the pin in force."""
    return next((each for each in plane.pins if each.component == component and each.given.active(now)), None)
