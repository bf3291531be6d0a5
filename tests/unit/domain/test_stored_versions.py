"""Whose objects have to be written once more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ums.domain.stored_versions import Definition, to_migrate

GROUP = "helm.toolkit.fluxcd.io"
RELEASES = Definition(f"helmreleases.{GROUP}", GROUP, "helmreleases", "v2", "v2", ("v2beta2", "v2"), "7")


@pytest.mark.parametrize(
    ("stored", "outdated"),
    [(("v2beta1", "v2beta2", "v2"), ("v2beta1", "v2beta2")), (("v2",), ()), ((), ()), (("v2beta2",), ("v2beta2",))],
)
def test_outdated_is_what_is_stored_and_not_stored_now(stored: tuple[str, ...], outdated: tuple[str, ...]) -> None:
    """Also where nothing was written yet since the version changed."""
    assert replace(RELEASES, stored=stored).outdated == outdated


def test_only_what_is_of_flux_and_outdated_is_migrated() -> None:
    """Other people's definitions are theirs; the order is that of names."""
    foreign = [replace(RELEASES, name="x", group=group) for group in ("cilium.io", "toolkit.fluxcd.io.evil.example")]
    own = [replace(RELEASES, name="a", group="source.toolkit.fluxcd.io"), replace(RELEASES, name="b", stored=("v2",))]
    assert [each.name for each in to_migrate([RELEASES, *foreign, *own])] == ["a", RELEASES.name]
