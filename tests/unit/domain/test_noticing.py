"""What begins or ends without anybody's decision is told once."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.unit.domain.worlds import NOW, PROD, make_release, make_world
from ums.domain.fleet import BundleState, Desired, Given, Health, Pin, Report
from ums.domain.names import PDPName
from ums.domain.noticing import MANY, changes, find_notices
from ums.domain.version import Version, VersionRange
from ums.domain.world import World

HOUR, WEEK = timedelta(hours=1), timedelta(days=7)
V1 = Version("1.0.0")


def offered(world: World, name: PDPName = PROD, *, at: datetime = NOW) -> World:
    """Return the world after an offer."""
    plane = world.plane(PROD)
    desired = Desired(7, "stable", at, at + WEEK, {"platform": BundleState(V1, {"cilium": V1})})
    return world.with_plane(replace(plane, registration=replace(plane.registration, name=name), desired=desired))


def heard(world: World, health: Health, at: datetime, name: PDPName = PROD, serial: int = 7) -> World:
    """Return the world after a report."""
    return world.with_plane(
        world.plane(name).with_observed(Report(serial, health, "not ready", "cilium", at, at), None)
    )


@pytest.fixture
def world() -> World:
    """Give a world with one data plane that was offered something."""
    return offered(make_world([make_release("1.0.0", {"cilium": "1.0.0"})], promoted=["1.0.0"]))


def test_each_condition_has_its_notice(world: World) -> None:
    """Failed, silent, behind; what is well, on its way, or was never heard is none."""

    def kinds(seen: World, now: datetime) -> list[tuple[str, str]]:
        return [(each.kind, str(each.data["what"])) for each in find_notices(seen, now).values()]

    assert kinds(world, NOW) == []
    assert kinds(heard(world, Health.HEALTHY, NOW), NOW) == []
    assert kinds(heard(world, Health.FAILED, NOW), NOW) == [("pdp.failed", "cilium: not ready")]
    assert kinds(heard(world, Health.HEALTHY, NOW), NOW + WEEK) == [("pdp.stale", "last heard 168h ago")]
    on_its_way = heard(world, Health.UPDATING, NOW)
    assert kinds(on_its_way, NOW + HOUR - timedelta(seconds=1)) == []
    assert kinds(on_its_way, NOW + HOUR) == [("pdp.behind", "offered 1h ago, and not reported yet")]
    assert kinds(heard(world, Health.HEALTHY, NOW, serial=6), NOW + HOUR)[0][0] == "pdp.behind"


def test_a_failure_is_told_once_and_so_is_its_end(world: World) -> None:
    """However often it is asked; while it is on its way to being well, nothing is told."""
    failed = heard(world, Health.FAILED, NOW)
    new, over, (event,) = changes(failed, NOW, ())
    assert (event.kind, event.subject, event.data["message"], over) == ("pdp.failed", "acme/prod", "not ready", [])
    assert changes(failed, NOW + HOUR, new) == ([], [], ())
    updating = heard(failed, Health.UPDATING, NOW + timedelta(minutes=1))
    assert changes(updating, NOW + timedelta(minutes=1), new) == ([], [], ())
    healthy = heard(failed, Health.HEALTHY, NOW + HOUR)
    none, over, (event,) = changes(healthy, NOW + HOUR, new)
    assert (event.kind, event.subject, none, over) == ("pdp.recovered", "acme/prod", [], new)
    again, _, (event,) = changes(heard(world, Health.FAILED, NOW + 2 * HOUR), NOW + 2 * HOUR, ())
    assert again != new, "that is another failure"
    assert len(event.id) == 64


def test_of_a_data_plane_that_is_gone_nothing_is_told(world: World) -> None:
    """It is only forgotten."""
    new, _, _ = changes(heard(world, Health.FAILED, NOW), NOW, ())
    assert changes(world.with_planes({}), NOW, new) == ([], new, ())


def test_a_pin_that_ends_soon_is_told_and_its_end_is_not(world: World) -> None:
    """That it ended is a decision's event, or nobody's; the same pin with a new end is told anew."""
    given = Given("olga", "audit", NOW, NOW + 10 * HOUR)
    pinned = world.with_plane(replace(world.plane(PROD), pins=(Pin("platform", None, VersionRange("~1.0"), given),)))
    soon = NOW + 9 * HOUR
    new, _, (event,) = changes(pinned, soon, ())
    assert (event.kind, event.subject, event.data["givenBy"]) == ("pin.expiring", "acme/prod", "olga")
    assert event.data["then"] == "then it follows stable to platform@1.0.0"
    assert changes(pinned, NOW + 11 * HOUR, new) == ([], new, ())


def test_many_at_once_are_one(world: World) -> None:
    """When a network is gone: a number, and some of the names."""
    for number in range(MANY + 1):
        name = PDPName("globex", f"p{number}")
        world = heard(offered(world, name), Health.HEALTHY, NOW, name)
    new, _, events = changes(world, NOW + WEEK, ())
    (event,) = events
    assert (event.kind, event.subject, event.data["count"], len(event.data["some"])) == ("pdp.stale", "stable", 21, 20)
    assert len(new) == MANY + 1
    assert changes(world, NOW + WEEK, new) == ([], [], ())
