"""Which digests releases need."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.domain.worlds import make_component, make_release, make_world
from ums.domain.digest import Digest
from ums.domain.errors import IntegrityError, SpecError

FLUX = make_release("7.0.0", {"flux": "7.0.0"}, bundle="flux")
(FLUX_ENTRY,) = make_world([FLUX]).catalog["platform"].values()
WORLD = make_world(
    [
        make_release("1.0.0", {"cilium": "1.0.0"}),
        make_release("1.1.0", {"cilium": "1.1.0", "gateway": "2.0.0"}),
    ]
).with_entry(FLUX_ENTRY)


def test_all_that_releases_name() -> None:
    """Each release of each bundle, its components, and the images that these pin."""
    entries = [entry for versions in WORLD.catalog.values() for entry in versions.values()]
    components = [component for entry in entries for component in entry.release.components]
    images = [Digest.of(component.name.encode()) for component in components]
    assert len(entries) == 3
    expected = {entry.digest for entry in entries} | {component.digest for component in components} | set(images)
    assert WORLD.released_digests() == expected


def test_images_that_are_not_pinned_need_nothing() -> None:
    """A tag is no digest, and what stands behind the sign may be none either."""
    release = make_release("2.0.0", {})
    loose = replace(make_component("loose", "1.0.0"), images=("registry.example.com/x:1", "registry.example.com/x@no"))
    release = replace(release, components=(loose,), image_lock=False)
    world = make_world([release])
    assert world.released_digests() == {loose.digest, world.entry("platform", release.version).digest}


def test_an_unreadable_release_stops_it() -> None:
    """Nobody knows what it needs; trouble elsewhere stops nothing."""
    elsewhere = SpecError("typo", file="channels/edge/policy.yaml")
    assert replace(WORLD, problems=(elsewhere,)).released_digests() == WORLD.released_digests()
    unread = SpecError("typo", file="catalog/platform/1.0.0/release.json")
    with pytest.raises(IntegrityError, match="catalog/platform"):
        replace(WORLD, problems=(elsewhere, unread)).released_digests()
