"""What is not done to a data plane, whoever asks and by whichever road."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.domain.worlds import NOW, PROD, given, make_release, make_world, running, settle
from ums.domain.deciding import decide
from ums.domain.fleet import Hold, Pin, Registration
from ums.domain.release import Release
from ums.domain.version import Version, VersionRange
from ums.domain.world import World

FIRST = make_release("1.0.0", {"cilium": "1.16.0", "gateway": "2.0.0"})
REMOVING = make_release("1.1.0", {"gateway": "2.1.0"}, removes=("cilium",))
AFTER = make_release("1.2.0", {"gateway": "2.2.0"})
SECOND = make_release("1.1.0", {"cilium": "1.16.1", "gateway": "2.1.0"})
IRREVERSIBLE = make_release("1.2.0", {"cilium": "1.17.0", "gateway": "2.1.0"}, irreversible=True)


def on(releases: list[Release], *promoted: str) -> World:
    """Return a world whose data plane went through these promotions."""
    world = make_world(releases)
    for count in range(1, len(promoted) + 1):
        step = make_world(releases, promoted=promoted[:count])
        world = settle(step.with_plane(world.plane(PROD)))
    return world


def told(world: World, *, pins: tuple[Pin, ...] = (), holds: tuple[Hold, ...] = ()) -> World:
    """Return the world after instructions to the data plane."""
    return world.with_plane(replace(world.plane(PROD), pins=pins, holds=holds))


def yank(world: World, version: str) -> World:
    """Return the world after a release was yanked."""
    catalog = dict(world.catalog["platform"])
    catalog[Version(version)] = replace(catalog[Version(version)], yanked="corrupts data")
    return replace(world, catalog={"platform": catalog})


def reasons(world: World) -> list[str]:
    """Return the codes of all reasons."""
    return [reason.code for withheld in decide(world, NOW).withheld for reason in withheld.reasons]


def test_a_removal_is_not_forgotten_by_who_skips_the_release_that_removes() -> None:
    """From 1.0.0 straight to 1.2.0: what 1.1.0 removed is marked, and goes."""
    start = on([FIRST, REMOVING, AFTER], "1.0.0")
    world = make_world([FIRST, REMOVING, AFTER], promoted=["1.0.0", "1.1.0", "1.2.0"]).with_plane(start.plane(PROD))
    marked = settle(world)
    assert running(marked) == {"gateway": "1.2.0", "cilium": "1.0.0"}
    assert running(settle(marked)) == {"gateway": "1.2.0"}


@pytest.mark.parametrize(
    ("pins", "holds", "code"),
    [
        ((Pin("platform", "cilium", VersionRange("1.16.x"), given()),), (), "pinned"),
        ((), (Hold("platform", "cilium", Version("1.0.0"), given()),), "held"),
    ],
)
def test_what_somebody_keeps_is_not_removed(pins: tuple[Pin, ...], holds: tuple[Hold, ...], code: str) -> None:
    """A removal waits for the pin or hold to end, and says so; then it is made up for."""
    start = told(on([FIRST, REMOVING, AFTER], "1.0.0"), pins=pins, holds=holds)
    world = make_world([FIRST, REMOVING, AFTER], promoted=["1.0.0", "1.2.0"]).with_plane(start.plane(PROD))
    for _ in range(3):
        world = settle(world)
    assert running(world) == {"gateway": "1.2.0", "cilium": "1.0.0"}
    assert reasons(world) == [code]
    world = settle(settle(told(world)))
    assert running(world) == {"gateway": "1.2.0"}


@pytest.mark.parametrize(
    ("pins", "holds"),
    [
        ((Pin("platform", None, VersionRange("1.0.0"), given()),), ()),
        ((), (Hold("platform", None, Version("1.1.0"), given()),)),
        ((Pin("platform", "cilium", VersionRange("1.16.x"), given()),), ()),
        ((), (Hold("platform", "cilium", Version("1.0.0"), given()),)),
    ],
)
def test_no_road_leads_back_past_what_cannot_be_undone(pins: tuple[Pin, ...], holds: tuple[Hold, ...]) -> None:
    """Neither a pin nor a hold, of a bundle or a component, however it came to stand there."""
    world = on([FIRST, SECOND, IRREVERSIBLE], "1.0.0", "1.1.0", "1.2.0")
    world = settle(told(world, pins=pins, holds=holds))
    assert set(running(world).values()) == {"1.2.0"}
    assert "irreversible" in reasons(world)


def test_a_channels_rollback_stops_at_what_cannot_be_undone() -> None:
    """A data plane ahead of its channel is not taken back past it."""
    ahead = on([FIRST, SECOND, IRREVERSIBLE], "1.2.0")
    held = make_world([FIRST, SECOND, IRREVERSIBLE], promoted=["1.0.0", "1.1.0"], channel_hold="1.0.0")
    world = settle(held.with_plane(ahead.plane(PROD)))
    assert set(running(world).values()) == {"1.2.0"}
    assert reasons(world) == ["held", "irreversible"]


@pytest.mark.parametrize(
    ("pins", "holds"),
    [
        ((Pin("platform", "cilium", VersionRange("1.16.0"), given()),), ()),
        ((), (Hold("platform", "cilium", Version("1.0.0"), given()),)),
    ],
)
def test_no_component_comes_from_a_yanked_release(pins: tuple[Pin, ...], holds: tuple[Hold, ...]) -> None:
    """Invariant 1, by component: the one that runs stays."""
    world = yank(on([FIRST, SECOND], "1.0.0", "1.1.0"), "1.0.0")
    world = settle(told(world, pins=pins, holds=holds))
    assert set(running(world).values()) == {"1.1.0"}
    assert "yanked" in reasons(world)


def test_who_has_a_yanked_release_keeps_it() -> None:
    """Yanking takes nothing away."""
    world = settle(yank(on([FIRST, SECOND], "1.0.0", "1.1.0"), "1.1.0"))
    assert set(running(world).values()) == {"1.1.0"}
    assert reasons(world) == []


def test_who_unsubscribes_keeps_what_runs_and_is_told_so() -> None:
    """Leaving a bundle out of a registration uninstalls nothing."""
    world = on([FIRST, SECOND], "1.0.0")
    plane = replace(world.plane(PROD), registration=Registration(PROD, "stable", ()))
    world = settle(world.with_plane(plane))
    assert set(running(world).values()) == {"1.0.0"}
    assert reasons(world) == ["unsubscribed"]


def test_a_channel_whose_files_are_wrong_moves_nobody() -> None:
    """What could not be read is not acted on."""
    world = replace(on([FIRST, SECOND], "1.0.0"), channels={})
    assert reasons(world) == ["no-channel"]
    assert not decide(world, NOW).moves


def test_a_release_that_left_the_catalog_is_not_waited_for_in_silence() -> None:
    """A hold may name what is gone: the data plane stays, and says what is missing."""
    world = told(on([FIRST], "1.0.0"), holds=(Hold("platform", None, Version("9.0.0"), given()),))
    assert reasons(world) == ["held", "no-release"]
    assert not decide(world, NOW).moves
