"""What every data plane gets, and why the others do not move."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given as given_that
from hypothesis import strategies as st

from tests.unit.domain.worlds import NOW, PROD, given, make_release, make_world, running, settle
from ums.domain.deciding import decide
from ums.domain.fleet import Hold, next_serial
from ums.domain.names import PDPName
from ums.domain.version import Version
from ums.domain.world import World

V1 = make_release("1.0.0", {"cilium": "1.16.0", "gateway": "2.0.0"})
V2 = make_release("1.1.0", {"cilium": "1.16.1", "gateway": "2.1.0"})
V3 = make_release("1.2.0", {"cilium": "1.17.0", "gateway": "2.2.0"})


def reasons(world: World) -> list[str]:
    """Return the codes of all reasons."""
    return [reason.code for withheld in decide(world, NOW).withheld for reason in withheld.reasons]


def test_a_channel_without_a_release_withholds_with_a_reason() -> None:
    """Nobody waits without a stated reason."""
    world = settle(make_world([V1]))
    assert reasons(world) == ["nothing-promoted"]


def test_the_head_goes_to_everybody_who_follows() -> None:
    """A promotion moves the data planes of its channel."""
    world = settle(make_world([V1, V2], promoted=["1.0.0", "1.1.0"]))
    assert running(world) == {"cilium": "1.1.0", "gateway": "1.1.0"}


def test_deciding_again_changes_nothing() -> None:
    """The loop is level-triggered: with nothing new, there is nothing to do."""
    world = settle(make_world([V1], promoted=["1.0.0"]))
    plan = decide(world, NOW)
    assert (plan.moves, dict(plan.offers), plan.withheld) == ((), {}, ())


@pytest.mark.parametrize(
    ("pins", "holds", "channel_hold", "expected", "why"),
    [
        ([(None, "~1.1")], [], None, {"cilium": "1.1.0", "gateway": "1.1.0"}, ["pinned"]),
        ([(None, ">=1.0")], [], None, {"cilium": "1.2.0", "gateway": "1.2.0"}, []),
        ([("cilium", "~1.16")], [], None, {"cilium": "1.1.0", "gateway": "1.2.0"}, ["pinned"]),
        ([("cilium", "1.16.0")], [], None, {"cilium": "1.0.0", "gateway": "1.2.0"}, ["pinned"]),
        ([], [(None, "1.0.0")], None, {"cilium": "1.0.0", "gateway": "1.0.0"}, ["held"]),
        ([], [("gateway", "1.0.0")], None, {"cilium": "1.2.0", "gateway": "1.0.0"}, ["held"]),
        ([], [], "1.0.0", {"cilium": "1.0.0", "gateway": "1.0.0"}, ["held"]),
        ([], [(None, "1.1.0")], "1.0.0", {"cilium": "1.1.0", "gateway": "1.1.0"}, ["held"]),
        ([(None, "1.2.0")], [(None, "1.0.0")], None, {"cilium": "1.0.0", "gateway": "1.0.0"}, ["held"]),
    ],
)
def test_holds_come_before_pins_and_pins_before_the_head(
    pins: list[tuple[str | None, str]],
    holds: list[tuple[str | None, str]],
    channel_hold: str | None,
    expected: dict[str, str],
    why: list[str],
) -> None:
    """A hold beats a pin, a data plane's hold its channel's, a pin the head; a component's leaves the rest moving."""
    world = make_world(
        [V1, V2, V3], promoted=["1.0.0", "1.1.0", "1.2.0"], pins=pins, holds=holds, channel_hold=channel_hold
    )
    world = settle(world)
    assert running(world) == expected
    assert reasons(world) == why


def test_a_pin_never_goes_above_what_the_channel_promoted() -> None:
    """A release that is only in the catalog is not taken, whatever the pin allows."""
    world = settle(make_world([V1, V2, V3], promoted=["1.0.0", "1.1.0"], pins=[(None, ">=1.1")]))
    assert set(running(world).values()) == {"1.1.0"}


def test_a_pin_that_nothing_satisfies_keeps_what_runs() -> None:
    """Nothing is guessed: the data plane stays, and says why."""
    before = settle(make_world([V1, V2], promoted=["1.0.0"]))
    after = make_world([V1, V2], promoted=["1.0.0", "1.1.0"], pins=[(None, "9.x")])
    plane = replace(after.plane(PROD), desired=before.plane(PROD).desired, report=before.plane(PROD).report)
    after = settle(after.with_plane(plane))
    assert set(running(after).values()) == {"1.0.0"}
    assert reasons(after) == ["pin-unsatisfied"]


def test_a_rollback_stays_although_the_head_is_newer_and_ends_with_its_hold() -> None:
    """A hold with an end holds until then, and not after."""
    world = settle(make_world([V1, V2], promoted=["1.0.0", "1.1.0"]))
    plane = world.plane(PROD)
    until = NOW + timedelta(days=1)
    hold = Hold("platform", None, Version("1.0.0"), given(until))
    held = settle(world.with_plane(replace(plane, holds=(hold,))), NOW + timedelta(minutes=1))
    assert set(running(held).values()) == {"1.0.0"}
    assert set(running(settle(held, until - timedelta(seconds=1))).values()) == {"1.0.0"}
    assert set(running(settle(held, until)).values()) == {"1.1.0"}


def test_following_a_channel_never_downgrades() -> None:
    """A data plane ahead of its channel waits for it, and says so."""
    ahead = settle(make_world([V1, V2], promoted=["1.1.0"]))
    behind = make_world([V1, V2], promoted=["1.0.0"])
    world = settle(behind.with_plane(ahead.plane(PROD)))
    assert set(running(world).values()) == {"1.1.0"}
    assert reasons(world) == ["ahead-of-channel"]


def test_a_component_that_a_release_merely_lacks_stays() -> None:
    """A typo in a bundle never uninstalls anything."""
    smaller = make_release("1.1.0", {"gateway": "2.1.0"})
    world = settle(make_world([V1, smaller], promoted=["1.0.0"]))
    world = settle(make_world([V1, smaller], promoted=["1.0.0", "1.1.0"]).with_plane(world.plane(PROD)))
    assert running(world) == {"gateway": "1.1.0", "cilium": "1.0.0"}


def test_a_removal_takes_two_states_and_waits_for_the_first_to_be_reported() -> None:
    """Marked first; left out only when the cluster said that it has the mark."""
    removing = make_release("1.1.0", {"gateway": "2.1.0"}, removes=("cilium",))
    start = settle(make_world([V1, removing], promoted=["1.0.0"]))
    world = make_world([V1, removing], promoted=["1.0.0", "1.1.0"]).with_plane(start.plane(PROD))
    marked = settle(world, healthy=False)
    desired = marked.plane(PROD).desired
    assert desired is not None
    assert desired.bundles["platform"].removing == ("cilium",)
    assert "cilium" in running(settle(marked)), "the cluster did not confirm the mark"
    plane = marked.plane(PROD)
    assert plane.report is not None
    confirmed = marked.with_plane(replace(plane, report=settle(world).plane(PROD).report))
    assert running(settle(confirmed)) == {"gateway": "1.1.0"}


@pytest.mark.parametrize(("applied", "left"), [(False, {"cilium", "gateway"}), (True, {"gateway"})])
def test_what_never_gets_well_can_be_removed(left: set[str], *, applied: bool) -> None:
    """It is enough that the cluster took the mark."""
    removing = make_release("1.1.0", {"gateway": "2.1.0"}, removes=("cilium",))
    start = settle(make_world([V1, removing], promoted=["1.0.0"]), healthy=False)
    world = make_world([V1, removing], promoted=["1.0.0", "1.1.0"]).with_plane(start.plane(PROD))
    marked = settle(world, healthy=False)
    plane = marked.plane(PROD)
    assert plane.report is not None
    failing = replace(plane, report=replace(plane.report, component="platform-cilium", applied=applied))
    assert set(running(settle(marked.with_plane(failing)))) == left


def test_a_state_is_issued_again_at_half_its_life() -> None:
    """An offer never runs out while the service lives; and data planes that move together are not renewed together."""
    world = make_world([V1], promoted=["1.0.0"])
    names = [PDPName("acme", f"pdp-{number}") for number in range(200)]
    plane = world.plane(PROD)
    planes = {name: replace(plane, registration=replace(plane.registration, name=name)) for name in names}
    world = world.with_planes(planes)
    world, life = settle(world), world.settings.validity
    renewed = [len(decide(world, NOW + life * part / 100).offers) for part in range(40, 52)]
    assert renewed[0] == 0
    assert renewed[-1] == len(names)
    assert max(later - earlier for earlier, later in pairwise(renewed)) < 40
    often = [len(decide(world, NOW + life * part / 2000).offers) for part in range(800, 1020)]
    batches = sum(earlier != later for earlier, later in pairwise(often))
    assert batches <= 18, "however often the loop looks, a fleet is renewed in few commits"


def test_a_yanked_release_is_given_to_nobody_new() -> None:
    """Invariant 1: who has it keeps it, who has not does not get it."""
    world = make_world([V1, V2], promoted=["1.0.0", "1.1.0"])
    catalog = dict(world.catalog["platform"])
    catalog[Version("1.1.0")] = replace(catalog[Version("1.1.0")], yanked="corrupts data")
    world = replace(world, catalog={"platform": catalog})
    assert reasons(world) == ["yanked"]
    assert not decide(world, NOW).moves


@given_that(st.integers(min_value=-(10**9), max_value=80_000), st.integers(min_value=0, max_value=10**9))
def test_serials_always_rise(ahead: int, seconds: int) -> None:
    """Invariant 2: whatever the clock says, the next serial is higher, as long as clusters would accept it."""
    now = NOW + timedelta(seconds=seconds % 10**8)
    previous = int(now.timestamp()) + ahead
    assert next_serial(previous, now) > previous
    assert next_serial(None, now) == int(now.timestamp())
