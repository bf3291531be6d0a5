"""Values of a single data plane: when they are offered, what keeps them, and which have no effect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.domain.worlds import NOW, PROD, given, make_component, make_release, make_world, settle
from ums.domain.bundle import ComponentKind
from ums.domain.deciding import decide, decide_about
from ums.domain.errors import InvalidInputError
from ums.domain.fleet import DataPlane, Registration
from ums.domain.freezes import Freeze, Scope
from ums.domain.linting import problems
from ums.domain.names import PDPName
from ums.domain.tailoring import require_charts, unused_values
from ums.domain.values import Values, values_text
from ums.domain.world import World

FIRST = make_release("1.0.0", {"cilium": "1.16.0", "gateway": "2.0.0"})
SECOND = make_release("1.1.0", {"cilium": "1.16.1", "gateway": "2.0.0"})
MANIFESTS = replace(
    FIRST, components=(FIRST.components[0], replace(make_component("gateway", "2.0.0"), kind=ComponentKind.MANIFESTS))
)
HUBBLE: dict[str, Any] = {"hubble": {"enabled": True}}
VALUES: Values = {"platform": {"cilium": HUBBLE}}
LATER = NOW + timedelta(minutes=1)


def make_fleet(*promoted: str) -> World:
    """Return two data planes that run what was promoted."""
    world = make_world([FIRST, SECOND], promoted=promoted or ["1.0.0"])
    other = PDPName("acme", "other")
    return settle(
        replace(world, planes={**world.planes, other: DataPlane(Registration(other, "stable", ("platform",)))})
    )


def given_values(world: World, values: Values) -> World:
    """Return the world with other values in the registration."""
    plane = world.plane(PROD)
    return world.with_plane(replace(plane, registration=replace(plane.registration, values=values, sealed=False)))


def frozen(world: World, **scope: Any) -> World:  # noqa: ANN401 - of the scope
    """Return the world with a freeze."""
    return replace(world, freezes=(Freeze("f", Scope(**scope), given()),))


def offered(world: World) -> Mapping[str, str]:
    """Return the values that the data plane was offered, as text."""
    desired = world.plane(PROD).desired
    assert desired is not None
    return desired.bundles["platform"].values


def test_new_values_are_a_new_state_of_that_data_plane_alone() -> None:
    """At once, and with nothing moving: no release changed."""
    plan = decide(given_values(make_fleet(), VALUES), LATER)
    assert not plan.moves
    assert not plan.withheld
    assert list(plan.offers) == [PROD]
    assert plan.offers[PROD]["platform"].values == {"cilium": values_text(HUBBLE)}


def test_the_same_values_are_offered_once() -> None:
    """Whatever the order of their keys; and they come along when the offer is renewed."""
    both = {"a": 1, **HUBBLE}
    world = settle(given_values(make_fleet(), {"platform": {"cilium": both}}), LATER)
    again = given_values(world, {"platform": {"cilium": dict(reversed(both.items()))}})
    assert not decide(again, LATER).offers
    renewed = settle(again, LATER + timedelta(days=4))
    assert offered(renewed) == offered(world)


def test_values_that_are_removed_are_a_new_state_too() -> None:
    """An empty mapping removes them as well."""
    world = settle(given_values(make_fleet(), VALUES), LATER)
    empty: tuple[Values, ...] = ({}, {"platform": {}}, {"platform": {"cilium": {}}})
    for nothing in empty:
        gone = settle(given_values(world, nothing), LATER)
        assert not offered(gone)
        assert not decide(gone, LATER).offers


def test_values_stay_when_the_release_moves() -> None:
    """They are the registration's, and no release's."""
    world = settle(given_values(make_fleet(), VALUES), LATER)
    moved = make_fleet("1.0.0", "1.1.0").channel("stable")
    newer = settle(world.with_channel(moved), LATER)
    desired = newer.plane(PROD).desired
    assert desired is not None
    assert str(desired.bundles["platform"].release) == "1.1.0"
    assert offered(newer) == {"cilium": values_text(HUBBLE)}


def test_what_is_first_offered_has_its_values() -> None:
    """Nobody installs without them first."""
    assert offered(settle(given_values(make_world([FIRST], promoted=["1.0.0"]), VALUES))) == {
        "cilium": values_text(HUBBLE)
    }


@pytest.mark.parametrize(
    "scope",
    [
        {},
        {"channel": "stable"},
        {"bundle": "platform"},
        {"org": "acme"},
        {"pdp": PROD},
        {"bundle": "platform", "pdp": PROD},
    ],
)
def test_a_freeze_keeps_values_as_they_are(scope: dict[str, Any]) -> None:
    """It says so; an offer that ages is renewed with those that it had."""
    world = settle(given_values(make_fleet(), VALUES), LATER)
    kept = frozen(given_values(world, {"platform": {"cilium": {"other": 1}}}), **scope)
    plan = decide(kept, LATER)
    assert not plan.offers
    (withheld,) = plan.withheld
    assert (withheld.pdp, [reason.code for reason in withheld.reasons]) == (PROD, ["frozen"])
    moves, reasons = decide_about(kept, LATER, PROD)
    assert (moves, reasons) == ({}, {"platform": withheld.reasons})
    assert offered(settle(kept, LATER + timedelta(days=4))) == {"cilium": values_text(HUBBLE)}


def test_a_freeze_is_named_once_where_a_release_waits_for_it_too() -> None:
    """One reason, however much it keeps."""
    world = make_fleet().with_channel(make_fleet("1.0.0", "1.1.0").channel("stable"))
    plan = decide(frozen(given_values(world, VALUES)), LATER)
    (mine,) = [each for each in plan.withheld if each.pdp == PROD]
    assert [reason.code for reason in mine.reasons] == ["frozen"]


@pytest.mark.parametrize("scope", [{"channel": "edge"}, {"bundle": "other"}, {"pdp": PDPName("acme", "other")}])
def test_a_freeze_of_others_keeps_nothing(scope: dict[str, Any]) -> None:
    """It covers what it names."""
    assert decide(frozen(given_values(make_fleet(), VALUES), **scope), LATER).offers.keys() == {PROD}


def test_manifests_take_no_values() -> None:
    """There is nothing that could read them; somebody is told."""
    world = given_values(settle(make_world([MANIFESTS], promoted=["1.0.0"])), {"platform": {"gateway": HUBBLE}})
    assert not decide(world, LATER).offers
    (problem,) = unused_values(world)
    assert problem.file == "fleet/acme/prod/registration.yaml"
    assert problem.field == "values.platform.gateway"
    assert "manifests, which take no values" in problem.message
    assert str(problem) in map(str, problems(world, world, LATER))


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"platform": {"clium": HUBBLE}}, "no component clium"),
        ({"other": {"cilium": HUBBLE}}, "does not subscribe to other"),
    ],
)
def test_values_for_nothing_are_a_warning_in_a_file_and_refused_from_people(values: Values, problem: str) -> None:
    """A typo must not look like a setting."""
    world = given_values(make_fleet(), values)
    (found,) = unused_values(world)
    assert problem in found.message
    with pytest.raises(InvalidInputError, match=r"values\."):
        require_charts(world, world.plane(PROD).registration)


def test_values_may_come_before_what_they_are_for() -> None:
    """For a release that this data plane does not have yet, or a bundle of which none was published."""
    extra = make_release("1.2.0", {"cilium": "1.16.0", "extra": "1.0.0"})
    entry = replace(make_world([extra]).entry("platform", extra.version))
    world = given_values(make_fleet().with_entry(entry), {"platform": {"extra": HUBBLE}})
    require_charts(world, world.plane(PROD).registration)
    assert not decide(world, LATER).offers
    assert len(list(unused_values(world))) == 1, "until it is there, they have no effect"
    nothing = given_values(replace(make_world([]), catalog={}), VALUES)
    require_charts(nothing, nothing.plane(PROD).registration)
    assert not list(unused_values(nothing))
