"""Fixes follow components, not the versions of releases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.domain.worlds import NOW, make_component, make_release
from tests.unit.domain.worlds import given as given_by
from ums.domain.channels import Channel
from ums.domain.digest import Digest
from ums.domain.regressions import fixed_by, newly_fixed, regression, regressions_in, taken_back
from ums.domain.release import Component, Release
from ums.domain.version import Version
from ums.domain.world import CatalogEntry

CVE, OTHER = "CVE-2026-0001", "CVE-2026-0002"


def release(version: str, components: Mapping[str, str], base: str | None = None, **fixes: tuple[str, ...]) -> Release:
    """Return a release of components by version, with the fixes that each declares."""
    made = make_release(version, components)
    parts = tuple(replace(each, fixes=fixes.get(each.name, ())) for each in made.components)
    return replace(made, components=parts, base=Version(base) if base else None)


def catalog(*releases: Release, yanked: str = "") -> dict[Version, CatalogEntry]:
    """Return a catalog; ``yanked`` is the version of one that was."""
    return {
        each.version: CatalogEntry(
            each, Digest.of(each.to_bytes()), ("release",), NOW, "ci", "broken" if str(each.version) == yanked else ""
        )
        for each in releases
    }


PATCH = release("1.0.1", {"cilium": "1.16.4", "gateway": "3.1.0"}, "1.0.0", cilium=(CVE,))
FIRST = release("1.0.0", {"cilium": "1.16.3", "gateway": "3.1.0"})


@pytest.mark.parametrize(
    ("after", "findings"),
    [
        # The story: 1.1.0 was made beside the patch, and takes cilium back.
        (
            release("1.1.0", {"cilium": "1.16.3", "gateway": "3.2.0"}),
            ("cilium 1.16.4 -> 1.16.3", f"{CVE} in cilium"),
        ),
        (
            release("1.1.0", {"cilium": "1.16.3", "gateway": "3.2.0"}, "1.0.0"),
            ("cilium 1.16.4 -> 1.16.3", f"{CVE} in cilium"),
        ),
        # The same digest has the fix, whoever says so.
        (release("1.1.0", {"cilium": "1.16.4", "gateway": "3.2.0"}), ()),
        # A newer component has it only by declared ancestry …
        (release("1.1.0", {"cilium": "1.17.0", "gateway": "3.2.0"}), (f"{CVE} in cilium",)),
        (release("1.1.0", {"cilium": "1.17.0", "gateway": "3.2.0"}, "1.0.0"), (f"{CVE} in cilium",)),
        (release("1.1.0", {"cilium": "1.17.0", "gateway": "3.2.0"}, "1.0.1"), ()),
        # … or where it is said again.
        (release("1.1.0", {"cilium": "1.17.0", "gateway": "3.2.0"}, cilium=(CVE,)), ()),
        # Ancestry does not help an older one, nor a fix that is said to be in another component.
        (
            release("1.1.0", {"cilium": "1.16.3", "gateway": "3.1.0"}, "1.0.1"),
            ("cilium 1.16.4 -> 1.16.3", f"{CVE} in cilium"),
        ),
        (release("1.1.0", {"cilium": "1.17.0", "gateway": "3.2.0"}, gateway=(CVE,)), (f"{CVE} in cilium",)),
        # A component that is gone has nothing to fix; one that is older is named even if it fixed nothing.
        (release("1.1.0", {"gateway": "3.2.0"}), ()),
        (release("1.1.0", {"cilium": "1.16.4", "gateway": "3.0.0"}), ("gateway 3.1.0 -> 3.0.0",)),
        # A build of the same version is not older.
        (release("1.1.0", {"cilium": "1.16.4", "gateway": "3.1.0+build.2"}), ()),
    ],
)
def test_what_is_taken_back_is_found(after: Release, findings: tuple[str, ...]) -> None:
    """By component, whatever the version of the release says."""
    assert regression(catalog(FIRST, PATCH, after), PATCH, after).findings == findings


def test_the_claim_of_a_yanked_release_counts_for_itself_alone() -> None:
    """Another release with the same component does not have a fix that only a yanked one declares."""
    same = release("1.1.0", {"cilium": "1.16.4"})
    known = catalog(PATCH, same, yanked="1.0.1")
    assert (fixed_by(known, same), fixed_by(known, PATCH)["cilium"]) == ({"cilium": ()}, (CVE,))


def test_what_a_promotion_fixes_is_what_the_channel_lacks() -> None:
    """Not what its version passes over."""
    back = release("1.1.0", {"cilium": "1.16.3", "gateway": "3.2.0"}, gateway=(OTHER,))
    known = catalog(FIRST, PATCH, back)
    assert newly_fixed(known, FIRST, PATCH) == (CVE,)
    assert newly_fixed(known, FIRST, back) == (OTHER,)
    assert newly_fixed(known, None, PATCH) == (CVE,)
    assert newly_fixed(known, PATCH, PATCH) == ()


def test_ancestry_goes_on_over_several_releases() -> None:
    """A fix is kept along the line of bases, until a component on it is older or missing."""
    line = [
        PATCH,
        release("1.1.0", {"cilium": "1.17.0"}, "1.0.1"),
        release("1.2.0", {"cilium": "1.18.0"}, "1.1.0"),
        release("1.3.0", {"cilium": "1.17.5"}, "1.2.0"),
        release("1.4.0", {"cilium": "1.19.0"}, "1.3.0"),
    ]
    assert [fixed_by(catalog(*line), each)["cilium"] for each in line] == [(CVE,), (CVE,), (CVE,), (), ()]
    assert fixed_by(catalog(*line[1:]), line[1])["cilium"] == ()  # its base is not known


def test_a_channel_with_an_older_head_that_has_more_is_named() -> None:
    """Channels that are past the release, and those where nothing is lost, are not."""
    back = release("1.1.0", {"cilium": "1.16.3", "gateway": "3.2.0"})
    channels = [
        Channel(name).with_promoted("platform", Version(head), given_by())
        for name, head in (("edge", "1.1.0"), ("stable", "1.0.1"), ("lts", "1.0.0"))
    ]
    found = list(regressions_in([*channels, Channel("new")], catalog(FIRST, PATCH, back), back))
    assert [(channel.name, str(head)) for channel, head, _ in found] == [("stable", "platform@1.0.1")]
    assert found[0][2].lost_fixes == (CVE,)


@pytest.mark.parametrize(
    ("between", "findings"),
    [
        (make_release("1.1.0", {"gateway": "3.2.0"}), ("cilium 1.16.4 -> 1.16.3", f"{CVE} in cilium")),
        (make_release("1.1.0", {"gateway": "3.2.0"}, removes=("cilium",)), ()),
    ],
)
def test_a_component_that_the_head_merely_lacks_still_runs(between: Release, findings: tuple[str, ...]) -> None:
    """A later release must not bring it back older without a word; what was removed comes anew."""
    back = release("1.2.0", {"cilium": "1.16.3", "gateway": "3.2.0"})
    channel = Channel("stable")
    for version in ("1.0.1", "1.1.0"):
        channel = channel.with_promoted("platform", Version(version), given_by())
    known = catalog(FIRST, PATCH, between, back)
    assert taken_back(known, channel.tracks["platform"], back).findings == findings


FIXES = st.lists(st.sampled_from([CVE, OTHER, "GHSA-1"]), max_size=2, unique=True).map(tuple)
NAMES = ("cilium", "gateway", "agent")


@st.composite
def catalogs(draw: st.DrawFn) -> list[Release]:
    """Return releases in the order of their versions, each with any base among those before it."""
    made: list[Release] = []
    for number in range(draw(st.integers(2, 6))):
        names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
        parts = tuple(
            replace(make_component(name, f"1.{draw(st.integers(0, 3))}.0"), fixes=draw(FIXES)) for name in names
        )
        base = draw(st.sampled_from([None, *(each.version for each in made)]))
        made.append(Release("platform", Version(f"{number}.0.0"), parts, base=base))
    return made


@given(catalogs(), st.data())
def test_no_fix_is_lost_without_being_named(releases: list[Release], data: st.DataObject) -> None:
    """Each fix of a component is still there, named as lost, or its component is gone; and none is named that is."""
    before, after = data.draw(st.sampled_from(releases)), data.draw(st.sampled_from(releases))
    known = catalog(*releases)
    had, has, found = fixed_by(known, before), fixed_by(known, after), regression(known, before, after)
    for name, fixes in had.items():
        kept = set(has.get(name, fixes))
        assert set(fixes) - kept == set(found.lost.get(name, ()))
    for each in found.downgrades:
        assert each.before is not None
        assert each.after is not None
        assert each.after.version < each.before.version
    assert regression(known, after, after).findings == ()


@given(catalogs())
def test_a_line_that_never_goes_back_loses_nothing(releases: list[Release]) -> None:
    """Each release declares the one before as its base; whichever components are older start anew."""
    line: list[Release] = []
    for each in releases:
        before = line[-1] if line else None
        parts = tuple(_not_older(part, before) for part in each.components)
        line.append(replace(each, components=parts, base=before.version if before else None))
    known = catalog(*line)
    for before, after in pairwise(line):
        assert regression(known, before, after).findings == ()


def _not_older(part: Component, before: Release | None) -> Component:
    earlier = before.component(part.name) if before else None
    if earlier is None or not part.version.is_older_than(earlier.version):
        return part
    return replace(make_component(part.name, str(earlier.version)), fixes=part.fixes)


@given(catalogs(), st.permutations(range(6)))
def test_the_versions_of_releases_have_no_part_in_it(releases: list[Release], numbers: list[int]) -> None:
    """Without ancestry, releases may be numbered in any order: the same is found."""
    alone = [replace(each, base=None) for each in releases]
    renamed = [replace(each, version=Version(f"{numbers[at]}.0.0")) for at, each in enumerate(alone)]
    for before, other in zip(alone, renamed, strict=True):
        assert fixed_by(catalog(*alone), before).keys() == fixed_by(catalog(*renamed), other).keys()
        for name, fixes in fixed_by(catalog(*alone), before).items():
            assert set(fixes) == set(fixed_by(catalog(*renamed), other)[name])
