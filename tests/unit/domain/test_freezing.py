"""Freezes: whom each stops, from what, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.unit.domain.test_rolling import HOUR, MINUTE, SIMPLE, Fleet
from tests.unit.domain.worlds import AT_ONCE, NOW, PROD, given, make_release, make_world, running, settle
from ums.domain.channels import Channel
from ums.domain.deciding import decide
from ums.domain.digest import Digest
from ums.domain.errors import Reason
from ums.domain.fleet import DataPlane, Health, Hold, Pin, Registration
from ums.domain.freezes import Freeze, Scope
from ums.domain.names import PDPName
from ums.domain.policy import Policy
from ums.domain.rollouts import RolloutStatus
from ums.domain.version import VersionRange
from ums.domain.world import CatalogEntry, Recall, World

V1, V2 = (make_release(text, {"cilium": text}) for text in ("1.0.0", "1.1.0"))
EVERYTHING = Freeze("incident", Scope(), given())
LATER = NOW + MINUTE

FLEET = {"acme/one": "stable", "acme/two": "edge", "beta/one": "stable"}
ALL = {f"{name} {bundle}" for name in FLEET for bundle in ("platform", "flux")}


def make_fleet(*freezes: Freeze) -> World:
    """Return two channels and two bundles, of which nobody has anything yet."""
    world = make_world([V1])
    flux = make_release("2.0.0", {"flux": "2.0.0"}, bundle="flux")
    world = world.with_entry(CatalogEntry(flux, Digest.of(b"flux"), ("release",), NOW, "ci"))
    for name in ("stable", "edge"):
        channel = Channel(name, Policy(rollout=AT_ONCE)).with_promoted("platform", V1.version, given())
        world = world.with_channel(channel.with_promoted("flux", flux.version, given()))
    names = {PDPName.parse(name): channel for name, channel in FLEET.items()}
    planes = {name: DataPlane(Registration(name, each, ("platform", "flux"))) for name, each in names.items()}
    return replace(world, planes=planes, freezes=freezes)


@pytest.mark.parametrize(
    ("scope", "text", "frozen"),
    [
        (Scope(), "everything", ALL),
        (Scope(channel="stable"), "channel stable", {each for each in ALL if "one" in each}),
        (Scope(bundle="flux"), "bundle flux", {each for each in ALL if each.endswith("flux")}),
        (Scope(org="acme"), "org acme", {each for each in ALL if each.startswith("acme")}),
        (Scope(pdp=PDPName("beta", "one")), "pdp beta/one", {"beta/one platform", "beta/one flux"}),
        (Scope("stable", "flux"), "channel stable, bundle flux", {"acme/one flux", "beta/one flux"}),
        (Scope("edge", None, "beta"), "channel edge, org beta", set()),
        (Scope(None, "flux", "acme"), "bundle flux, org acme", {"acme/one flux", "acme/two flux"}),
    ],
)
def test_a_freeze_stops_those_within_its_scope_and_nobody_else(scope: Scope, text: str, frozen: set[str]) -> None:
    """Each part that is given narrows it; who is stopped is told by whom, why, and how to thaw."""
    freeze = Freeze("f", scope, given(NOW + HOUR))
    plan = decide(make_fleet(freeze), NOW)
    assert {f"{each.pdp} {each.bundle}" for each in plan.withheld} == frozen
    assert {f"{each.pdp} {each.bundle}" for each in plan.moves} == ALL - frozen
    who = f"an operator of {scope.owner}" if scope.owner else "a release engineer"
    why = Reason(
        "frozen",
        f"{text} was frozen by olga: because",
        "2026-11-23T13:00:00Z",
        f"{who} (ums thaw f --reason …)",
    )
    assert all(each.reasons == (why,) for each in plan.withheld)
    assert Freeze.from_dict(freeze.to_dict()) == freeze


@pytest.mark.parametrize(
    ("until", "now", "moves"),
    [
        (None, NOW + timedelta(days=999), 0),
        (NOW + HOUR, NOW + HOUR - timedelta(seconds=1), 0),
        (NOW + HOUR, NOW + HOUR, len(ALL)),
    ],
)
def test_a_freeze_ends_at_its_end_and_not_before(until: datetime | None, now: datetime, moves: int) -> None:
    """One without an end stays until it is thawed."""
    assert len(decide(make_fleet(Freeze("f", Scope(), given(until))), now).moves) == moves


def with_plane(world: World, **fields: object) -> World:
    """Return the world with the data plane told something."""
    return world.with_plane(replace(world.plane(PROD), **fields))  # type: ignore[arg-type]


def recalled(world: World) -> World:
    """Return the world with its newer release recalled to the older."""
    entry = replace(world.entry("platform", V2.version), yanked="bad", recall=Recall(V1.version, given()))
    return world.with_entry(entry)


def rolled_back(world: World) -> World:
    """Return the world with the rollout of its newer release rolled back."""
    since = replace(given(), since=NOW - HOUR)
    channel = world.channel("stable").with_promoted("platform", V2.version, since)
    rollout = replace(channel.rollouts["platform"], status=RolloutStatus.ROLLED_BACK)
    state = world.plane(PROD).desired
    assert state is not None
    back = {"platform": replace(state.bundles["platform"], origins=(V1.version,))}
    return with_plane(world, desired=replace(state, bundles=back)).with_channel(
        channel.with_rollout("platform", rollout)
    )


@pytest.mark.parametrize(
    "order",
    [
        lambda world: with_plane(world, holds=(Hold("platform", None, V1.version, given()),)),
        lambda world: world.with_channel(
            replace(world.channel("stable"), holds=(Hold("platform", None, V1.version, given()),))
        ),
        lambda world: with_plane(world, pins=(Pin("platform", None, VersionRange("~1.0"), given()),)),
        recalled,
        rolled_back,
    ],
    ids=["rollback", "rollback of the channel", "pin", "recall", "halt"],
)
def test_even_what_somebody_ordered_waits_for_the_thaw(order: Callable[[World], World]) -> None:
    """Going back is a move, and a freeze stops all of them; thawed, it is made up for at once."""
    world = order(settle(make_world([V1, V2], promoted=["1.0.0", "1.1.0"])))
    frozen = replace(world, freezes=(EVERYTHING,))
    plan = decide(frozen, LATER)
    assert not plan.moves
    assert plan.withheld[0].reasons[-1].code == "frozen"
    assert running(settle(world, LATER)) == {"cilium": "1.0.0"}


def test_who_has_all_it_should_is_not_told_of_a_freeze() -> None:
    """It waits for nothing, as the canary here does."""
    fleet = Fleet.of(3).tick()
    told = decide(replace(fleet.world, freezes=(EVERYTHING,)), fleet.now).withheld
    assert {each.pdp for each in told} == {
        name
        for name, plane in fleet.world.planes.items()
        if plane.desired and plane.desired.bundles["platform"].release == V1.version
    }


def test_states_are_issued_again_under_a_freeze_with_the_same_content() -> None:
    """A freeze that lasts longer than an offer leaves nobody without."""
    world = settle(make_world([V1, V2], promoted=["1.0.0"]))
    world = replace(
        make_world([V1, V2], promoted=["1.0.0", "1.1.0"]).with_plane(world.plane(PROD)), freezes=(EVERYTHING,)
    )
    plan = decide(world, NOW + world.settings.validity / 2)
    desired = world.plane(PROD).desired
    assert desired is not None
    assert (plan.moves, plan.offers) == ((), {PROD: desired.bundles})


def test_a_frozen_rollout_neither_halts_nor_goes_on_while_its_soak_passes() -> None:
    """Thawed, it goes on with the next wave at once – or halts, for what failed meanwhile."""
    fleet = Fleet.of(10).tick().tick()
    assert fleet.rollout.wave_done is not None
    fleet.world = replace(fleet.world, freezes=(EVERYTHING,))
    canary = next(
        each
        for each in fleet.world.planes.values()
        if each.desired and each.desired.bundles["platform"].release == V2.version
    )
    failed = replace(canary.report, health=Health.FAILED) if canary.report else None
    for report in (failed, canary.report):
        fleet.world = fleet.world.with_plane(replace(canary, report=report))
        before = fleet.rollout
        fleet.tick(HOUR)
        assert (fleet.rollout, fleet.updated, fleet.reasons()) == (before, 1, {"frozen"})
    for report, status, updated in ((failed, RolloutStatus.HALTED, 1), (canary.report, RolloutStatus.RUNNING, 5)):
        world = replace(fleet.world.with_plane(replace(canary, report=report)), freezes=())
        thawed = Fleet(world, fleet.now).tick()
        assert (thawed.rollout.status, thawed.updated) == (status, updated)


def test_a_rollout_goes_on_around_an_organization_that_is_frozen() -> None:
    """It is not waited for, and gets the release when it is thawed."""
    fleet = Fleet.of(9, replace(SIMPLE, max_failed=SIMPLE.max_updating))
    fleet.world = replace(fleet.world, freezes=(Freeze("f", Scope(org="org-1"), given()),))
    for _ in range(30):
        fleet.tick()
    assert (fleet.rollout.status, fleet.updated, fleet.reasons()) == (RolloutStatus.FINISHED, 6, {"frozen"})
    fleet.world = replace(fleet.world, freezes=())
    assert fleet.tick().updated == 7, "one of those who come later goes before the others"
    for _ in range(8):
        fleet.tick()
    assert (fleet.rollout.status, fleet.updated) == (RolloutStatus.FINISHED, 9)
