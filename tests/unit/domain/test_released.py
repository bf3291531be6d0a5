"""Which digests releases need."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.domain.worlds import make_component, make_release, make_world
from ums.domain.digest import Digest, digests_in
from ums.domain.errors import SpecError

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


def test_of_an_unreadable_release_all_counts_that_is_written_in_it() -> None:
    """Nobody knows what it needs, so whatever its files may name stays; trouble elsewhere changes nothing."""
    elsewhere = SpecError("typo", file="channels/edge/policy.yaml")
    assert replace(WORLD, problems=(elsewhere,)).released_digests() == WORLD.released_digests()
    needed = Digest.of(b"needed")
    world = replace(WORLD, unread={("extra", "1.0.0"): frozenset({needed})})
    assert world.released_digests() == {*WORLD.released_digests(), needed}


@pytest.mark.parametrize(
    ("repository", "is_unread"),
    [("ums/extra", True), ("ums/extra/cilium", True), ("ums/extras", False), ("extra", False), ("ums/platform", False)],
)
def test_the_repositories_of_its_bundle_are_known(repository: str, *, is_unread: bool) -> None:
    """Its own, and those of its components."""
    assert replace(WORLD, unread={("extra", "1.0.0"): frozenset()}).holds_unread(repository) is is_unread


def test_digests_are_found_in_any_text() -> None:
    """In JSON and YAML, whole or in halves, however they are escaped; what is none is not one."""
    one, two = Digest.of(b"1"), Digest("sha512", "ab" * 64)
    text = f'{{"a":"x@{one}\xff", "b": "\\u0073ha512\\u003a{"AB" * 64}", sha256:{"0" * 63}'
    assert digests_in(text.encode()) == {one, two}
    assert digests_in(f'"\\x73ha256:{one.hex}"'.encode()) == {one}
    assert digests_in(b"\xff" * 10) == frozenset()
