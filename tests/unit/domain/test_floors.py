"""Floors: what later releases of a bundle may not go below."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ums.domain.floors import DeclaredFloor, Floor, below, refusal
from ums.domain.version import Version, VersionRange

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def declared(versions: str = ">=1.16.4", until: datetime | None = None, release: str = "1.0.1") -> DeclaredFloor:
    """Return a floor of cilium."""
    floor = Floor("cilium", VersionRange(versions), "CVE-2026-0001", until)
    return DeclaredFloor("platform", Version(release), floor)


@pytest.mark.parametrize(
    ("floor", "bundle", "version", "cilium", "is_below"),
    [
        (declared(), "platform", "1.1.0", "1.16.3", True),
        (declared(), "platform", "1.1.0", "1.16.4", False),
        (declared(), "platform", "1.1.0", "1.16.5-vendor.1", False),  # by order alone, which ranges of npm leave out
        (declared(), "platform", "1.1.0", "1.16.4-vendor.1", True),
        (declared(">=1.16.4-0"), "platform", "1.1.0", "1.16.4-vendor.1", False),
        (declared(">=1.15.9 <1.16 || >=1.16.4"), "platform", "1.1.0", "1.15.9", False),
        (declared(">=1.15.9 <1.16 || >=1.16.4"), "platform", "1.1.0", "1.16.0", True),
        (declared("1.16.4"), "platform", "1.1.0", "1.16.5", True),
        (declared(), "platform", "1.0.1", "1.16.3", False),  # of the release that declares it, and of those before
        (declared(), "platform", "1.0.0", "1.16.3", False),
        (declared(), "other", "1.1.0", "1.16.3", False),
        (declared(until=NOW + HOUR), "platform", "1.1.0", "1.16.3", True),
        (declared(until=NOW), "platform", "1.1.0", "1.16.3", False),
    ],
)
def test_a_later_release_is_below_a_floor_that_is_in_force(
    floor: DeclaredFloor, bundle: str, version: str, cilium: str, *, is_below: bool
) -> None:
    """Versions of the component are compared by their order; an end is the first moment without the floor."""
    found = below([floor], bundle, Version(version), {"cilium": Version(cilium), "gateway": Version("0.1.0")}, NOW)
    assert found == ((floor,) if is_below else ())


def test_a_component_that_a_release_lacks_is_below_nothing() -> None:
    """It is neither installed nor changed by it."""
    assert below([declared()], "platform", Version("1.1.0"), {"gateway": Version("1.0.0")}, NOW) == ()


def test_a_refusal_names_floor_reason_end_and_who_may_override() -> None:
    """Whoever publishes is to know what to do, and whom to ask."""
    error = refusal("platform@1.1.0", [declared(until=NOW)], {"cilium": Version("1.16.3")})
    (reason,) = error.reasons
    assert reason.message == (
        "cilium 1.16.3 is below the floor cilium >=1.16.4, declared by platform@1.0.1: CVE-2026-0001"
    )
    assert reason.until == "2026-11-23T12:00:00Z"
    assert reason.who_can_override is not None
    assert "release engineer of bundle platform (ums publish … --override-floors" in reason.who_can_override


VERSIONS = st.builds(lambda *parts: Version(".".join(map(str, parts))), *[st.integers(0, 3)] * 3)


@given(VERSIONS, VERSIONS)
def test_a_simple_floor_is_the_order_of_versions(bound: Version, found: Version) -> None:
    """And without pre-releases, spanning a version is holding it."""
    versions = VersionRange(f">={bound}")
    assert versions.spans(found) == (not found.is_older_than(bound)) == (found in versions)
