"""What an owner, or a neighbouring bundle, keeps away from a data plane – and for how long."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.unit.domain.worlds import AT_ONCE, NOW, PROD, beside, given, make_release, make_world, running, settle
from ums.domain.bundle import ReleaseClass, Requires
from ums.domain.channels import Channel, Promoted, Track
from ums.domain.deciding import decide
from ums.domain.policy import Policy
from ums.domain.version import Version, VersionRange
from ums.domain.world import World

DAY = timedelta(days=1)


def asking(*promoted: tuple[str, ReleaseClass, int]) -> World:
    """Return a data plane on 1.0.0 that asks its owner; releases came so many days ago; security may wait for three."""
    releases = [make_release("1.0.0", {"cilium": "1.0.0"})]
    releases += [make_release(version, {"cilium": version}, release_class=kind) for version, kind, _ in promoted]
    world = settle(make_world(releases, promoted=["1.0.0"]), NOW - 30 * DAY)
    ages = [("1.0.0", 30), *((version, age) for version, _, age in promoted)]
    steps = tuple(Promoted(Version(version), replace(given(), since=NOW - age * DAY)) for version, age in ages)
    policy = Policy(rollout=AT_ONCE, deadlines={ReleaseClass.SECURITY: 3 * DAY})
    plane = world.plane(PROD)
    asks = replace(plane, registration=replace(plane.registration, ask=True))
    return world.with_channel(Channel("stable", policy, {"platform": Track(steps)})).with_plane(asks)


@pytest.mark.parametrize(
    ("promoted", "until"),
    [
        ([("1.1.0", ReleaseClass.FEATURE, 9)], None),
        ([("1.1.0", ReleaseClass.SECURITY, 2)], "2026-11-24T12:00:00Z"),
        ([("1.1.0", ReleaseClass.SECURITY, 2), ("1.2.0", ReleaseClass.FEATURE, 1)], "2026-11-24T12:00:00Z"),
        ([("1.1.0", ReleaseClass.SECURITY, 2), ("1.2.0", ReleaseClass.SECURITY, 1)], "2026-11-24T12:00:00Z"),
    ],
)
def test_an_owner_is_told_until_when_a_release_can_be_deferred(
    promoted: list[tuple[str, ReleaseClass, int]], until: str | None
) -> None:
    """The first fix sets the time, whatever came after it."""
    (withheld,) = decide(asking(*promoted), NOW).withheld
    assert [(reason.code, reason.until) for reason in withheld.reasons] == [("consent", until)]


@pytest.mark.parametrize(
    "promoted",
    [
        [("1.1.0", ReleaseClass.SECURITY, 3)],
        [("1.1.0", ReleaseClass.SECURITY, 4), ("1.2.0", ReleaseClass.FEATURE, 1)],
    ],
)
def test_after_the_deadline_nobody_is_asked(promoted: list[tuple[str, ReleaseClass, int]]) -> None:
    """A newer release does not give new time, it only brings more."""
    (move,) = decide(asking(*promoted), NOW).moves
    assert str(move.after.release) == promoted[-1][0]


def test_a_release_is_withheld_where_a_neighbour_requires_another() -> None:
    """Both directions of a requirement hold, and the one who waits is told who is in the way."""
    apps = make_release(
        "7.0.0", {"shop": "7.0.0"}, bundle="apps", requires=Requires(bundles={"platform": VersionRange("1.0.x")})
    )
    releases = [make_release(each, {"cilium": each}) for each in ("1.0.0", "1.1.0")]
    world = beside(settle(make_world(releases, promoted=["1.0.0"])), apps)
    channel = world.channel("stable")
    world = world.with_channel(channel.with_promoted("platform", Version("1.1.0"), given()))
    plan = decide(world, NOW)
    assert not plan.moves
    (reason,) = next(each.reasons for each in plan.withheld if each.bundle == "platform")
    assert reason.code == "required-by"
    assert "apps@7.0.0 runs here and requires platform 1.0.x" in reason.message
    assert running(world)["cilium"] == "1.0.0"
