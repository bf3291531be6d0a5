"""Warnings before an instruction ends by itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.unit.domain.worlds import NOW, PROD, make_release, make_world
from ums.domain.expiring import ends_soon, find_expiring
from ums.domain.fleet import Given, Hold, Pin
from ums.domain.freezes import Freeze, Scope
from ums.domain.version import Version, VersionRange

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("life", "left", "warned"),
    [
        (14 * DAY, 4 * DAY, False),
        (14 * DAY, 3 * DAY, False),
        (14 * DAY, 2.8 * DAY, True),
        (90 * DAY, 3 * DAY + HOUR, False),
        (90 * DAY, 3 * DAY, True),
        (5 * HOUR, 2 * HOUR, False),
        (5 * HOUR, HOUR, True),
        (5 * HOUR, timedelta(), False),
    ],
)
def test_the_warning_comes_in_time_and_not_at_once(life: timedelta, left: timedelta, *, warned: bool) -> None:
    """In the last fifth of its life, within three days; what ended needs no warning."""
    given = Given("olga", "audit", NOW + left - life, NOW + left)
    assert ends_soon(given, NOW) is warned


def test_what_has_no_end_is_not_warned_of() -> None:
    """However old it is."""
    assert not ends_soon(Given("olga", "audit", NOW - 900 * DAY), NOW)


def test_pins_holds_and_freezes_are_named_with_what_follows() -> None:
    """The first to end comes first; what lasts is not there."""
    world = make_world([make_release("1.1.0", {"cilium": "1.0.0"})], promoted=["1.1.0"])
    soon = [Given("olga", "audit", NOW - 9 * DAY, NOW + number * HOUR) for number in range(1, 5)]
    plane = replace(
        world.plane(PROD),
        pins=(
            Pin("platform", "cilium", VersionRange("~1.0"), soon[2]),
            Pin("platform", None, VersionRange("~1.0"), Given("olga", "for good", NOW)),
        ),
        holds=(Hold("platform", None, Version("1.0.0"), soon[1]),),
    )
    channel = replace(world.channel("stable"), holds=(Hold("platform", None, Version("1.0.0"), soon[3]),))
    world = world.with_plane(plane).with_channel(channel)
    world = replace(world, freezes=(Freeze("holidays", Scope(org="acme"), soon[0]),))
    assert [(each.kind, each.target, each.what, each.then) for each in find_expiring(world, NOW)] == [
        ("freeze", "holidays", "org acme", "then promotions and rollouts go on"),
        ("hold", "acme/prod", "platform at 1.0.0", "then it follows stable to platform@1.1.0"),
        ("pin", "acme/prod", "platform/cilium within ~1.0", "then it follows stable to platform@1.1.0"),
        ("hold", "stable", "platform at 1.0.0", "then no data plane moves"),
    ]
