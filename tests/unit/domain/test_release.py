"""A release is one value with one spelling."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.domain.worlds import make_component, make_release
from ums.domain.bundle import ComponentKind, OnFailure, ReleaseClass, Requires, UpgradeRules, Workload
from ums.domain.canonical import canonical_json
from ums.domain.digest import Digest
from ums.domain.errors import InvalidInputError
from ums.domain.floors import Floor
from ums.domain.names import NAME_PATTERN
from ums.domain.oci import NOTES, RELEASE, Descriptor
from ums.domain.release import Component, Release, ReleaseName, diff_releases
from ums.domain.text import MULTI_LINE, is_plain
from ums.domain.version import Version, VersionRange

NAMES = st.from_regex(NAME_PATTERN, fullmatch=True).filter(lambda name: len(name) <= 20)
DIGESTS = st.binary(max_size=8).map(Digest.of)
VERSIONS = st.sampled_from(["1.0.0", "2.3.4-rc.1", "0.1.0+build.7"]).map(Version)
RANGES = st.none() | st.sampled_from(["~1.4", ">=1.2 <2 || 3.x", "*"]).map(VersionRange)
TEXT = st.text(max_size=20).filter(lambda text: is_plain(text, keep=MULTI_LINE))
API_VERSIONS, KINDS = st.sampled_from(["v1", "apps/v1", "x.example.com/v1beta1"]), st.sampled_from(["Job", "DaemonSet"])
FIXES = st.sampled_from(["CVE-2026-1234", "GHSA-aaaa-bbbb-cccc"])
ENDS = st.none() | st.just(datetime(2027, 1, 1, tzinfo=UTC))


@st.composite
def releases(draw: st.DrawFn) -> Release:
    """Return any release whose components need only those before them."""
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    components = tuple(
        Component(
            name=name,
            kind=draw(st.sampled_from(ComponentKind)),
            version=draw(VERSIONS),
            digest=draw(DIGESTS),
            content_digest=draw(DIGESTS),
            namespace=draw(NAMES),
            release_name=draw(NAMES),
            storage_namespace=draw(NAMES),
            needs=tuple(draw(st.sets(st.sampled_from(names[:index])))) if index else (),
            images=tuple(f"registry.example.com/{name}@{digest}" for digest in draw(st.sets(DIGESTS, max_size=2))),
            workloads=tuple(draw(st.lists(st.builds(Workload, API_VERSIONS, KINDS, NAMES, NAMES), max_size=2))),
            timeout=timedelta(seconds=draw(st.integers(1, 10_000))),
            on_failure=draw(st.sampled_from(OnFailure)),
            fixes=tuple(draw(st.lists(FIXES, max_size=2))),
        )
        for index, name in enumerate(names)
    )
    base, version = sorted(draw(st.sets(VERSIONS, min_size=2, max_size=2)))
    return Release(
        bundle=draw(NAMES),
        version=version,
        components=components,
        removes=tuple(draw(st.sets(NAMES.filter(lambda name: name not in names), max_size=2))),
        requires=Requires(
            draw(RANGES), draw(RANGES), draw(st.dictionaries(NAMES, st.just(VersionRange("^1")), max_size=2))
        ),
        upgrade=UpgradeRules(draw(RANGES), draw(TEXT), draw(st.booleans())),
        release_class=draw(st.sampled_from(ReleaseClass)),
        image_lock=draw(st.booleans()),
        notes_digest=draw(st.none() | DIGESTS),
        base=draw(st.sampled_from([None, base])),
        floors=tuple(draw(st.lists(st.builds(Floor, NAMES, st.just(VersionRange(">=1.2")), TEXT, ENDS), max_size=2))),
    )


@given(releases())
def test_a_release_reads_as_it_is_written(release: Release) -> None:
    """The wire form holds everything, and is the same after a round trip."""
    content = release.to_bytes()
    assert Release.from_bytes(content) == release
    assert Release.from_bytes(content).to_bytes() == content


def test_the_bytes_of_a_release_that_chooses_nothing_stay_as_they_were_signed() -> None:
    """What to do on failure stands in a release only where it is not the default."""
    plain = make_release("1.0.0", {"cilium": "1.16.0"})
    assert b"onFailure" not in plain.to_bytes()
    chosen = replace(plain, components=(replace(plain.components[0], on_failure=OnFailure.ROLLBACK),))
    assert json.loads(chosen.to_bytes())["components"][0]["onFailure"] == "rollback"


WORKLOAD = {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "n", "name": "app"}
WIRE: dict[str, Any] = json.loads(make_release("1.0.0", {"cilium": "1.16.0"}).to_bytes())


FLOOR = {"component": "cilium", "versions": ">=1.2", "reason": "CVE-2026-0001", "until": None}


def wire(**changes: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """Return a release in canonical JSON, with members changed."""
    return canonical_json({**WIRE, **changes})


def of_component(**changes: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """Return a release in canonical JSON, with members of its component changed."""
    return wire(components=[{**WIRE["components"][0], **changes}])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a release manifest"),
        (b"[]", "not a release manifest"),
        (b"null", "not a release manifest"),
        (b"\xff", "not a release manifest"),
        (b"[" * 100_000, "not a release manifest"),
        (wire(schema=2), "schema 2, this UMS reads 1"),
        (wire(schema=True), "member 'schema' is not an integer"),
        (wire(version="1"), "not a semantic version"),
        (wire(version=1), "member 'version' is not a string"),
        (wire(**{"class": "urgent"}), "not a release manifest"),
        (wire(components=[{}]), "a component lacks member 'name'"),
        (wire(components=[]), "member 'components' is empty"),
        (wire(components=WIRE["components"] * 2), "names a component twice"),
        (wire(components={"0": {}}), "member 'components' is not an array"),
        (wire(bundle="../x"), "not a valid bundle name"),
        (wire(removes=["cilium"]), "listed under removes"),
        (wire(removes="cilium"), "member 'removes' is not an array"),
        (of_component(fixes=[None]), "member 'fixes' is not a string"),
        (wire(base="1.0.0"), "not after 1.0.0, which it is published from"),
        (wire(base=1), "member 'base' is not a string"),
        (wire(floors={}), "member 'floors' is not an array"),
        (wire(floors=[{**FLOOR, "versions": "none"}]), "is not a version range"),
        (wire(floors=[{**FLOOR, "until": "2027"}]), "names no time zone|is not a time"),
        (wire(floors=[{**FLOOR, "until": "2027-01-01T01:00:00+01:00"}]), "UMS writes other bytes"),
        (wire(imageLock=True), "member 'imageLock' is not a string"),
        (wire(imageLock="none"), "member 'imageLock' is not acceptable"),
        (wire(notesDigest=""), "not a digest"),
        (wire(requires={**WIRE["requires"], "bundles": []}), "member 'bundles' is not an object"),
        (wire(requires={**WIRE["requires"], "bundles": {"a": None}}), "member 'a' is not a string"),
        (wire(requires={**WIRE["requires"], "bundles": {"A/B": "1"}}), "not a valid bundle name"),
        (wire(requires={**WIRE["requires"], "kubernetes": 1}), "member 'kubernetes' is not a string"),
        (wire(upgrade={**WIRE["upgrade"], "irreversible": 1}), "neither true nor false"),
        (wire(upgrade={**WIRE["upgrade"], "barrier": None}), "member 'barrier' is not a string"),
        (wire(upgrade={**WIRE["upgrade"], "new": 1}), "unknown member 'new'"),
        (wire(upgrade={**WIRE["upgrade"], "barrier": "why\x1b[2J"}), "not shown"),
        (of_component(fixes=["CVE-1\u202e"]), "member 'fixes' is not acceptable"),
        (wire(new=1), "unknown member 'new'"),
        (wire(Bundle="other"), "which Go reads as 'bundle'|the same to Go"),
        (of_component(images=[1, None]), "member 'images' is not a string"),
        (of_component(images=["a b"]), "member 'images' is not acceptable"),
        (of_component(needs=[["cilium"]]), "member 'needs' is not a string"),
        (of_component(workloads=[{"kind": "Job"}]), "a workload lacks member 'apiVersion'"),
        (of_component(workloads=[{**WORKLOAD, "name": ""}]), "not the name of an object"),
        (of_component(workloads=[{**WORKLOAD, "name": "a/b"}]), "not the name of an object"),
        (of_component(workloads=[{**WORKLOAD, "name": "a\0"}]), "not the name of an object"),
        (of_component(workloads=[{**WORKLOAD, "kind": "x" * 10**5}]), "not the kind of an object"),
        (of_component(workloads=[{**WORKLOAD, "apiVersion": "../v1"}]), "not the apiVersion of an object"),
        (of_component(workloads=[{**WORKLOAD, "namespace": "A\n"}]), "not the namespace of an object"),
        (of_component(timeoutSeconds="60"), "member 'timeoutSeconds' is not an integer"),
        (of_component(timeoutSeconds=10**12), "member 'timeoutSeconds' is not an integer"),
        (of_component(timeoutSeconds=0), "member 'timeoutSeconds' is not an integer"),
        (of_component(timeoutSeconds=-1), "member 'timeoutSeconds' is not an integer"),
        (of_component(onFailure="retry"), "UMS writes other bytes"),
        (of_component(releaseName=5), "member 'releaseName' is not a string"),
        (of_component(new=1), "unknown member 'new'"),
        (make_release("1.0.0", {"cilium": "1.16.0"}).to_bytes() + b"\n", "UMS writes other bytes"),
    ],
)
def test_what_is_no_release_is_refused(content: bytes, says: str) -> None:
    """Content from a registry that is no release ends in one kind of error."""
    with pytest.raises(InvalidInputError, match=says):
        Release.from_bytes(content)


def test_a_locked_release_has_no_loose_image() -> None:
    """Only a release that says so may run an image without a digest."""
    loose = replace(make_component("cilium", "1.16.0"), images=("cilium:1.16",))
    with pytest.raises(InvalidInputError, match="images without a digest"):
        Release("platform", Version("1.0.0"), (loose,))
    assert Release("platform", Version("1.0.0"), (loose,), image_lock=False).image_lock is False


def test_notes_are_a_layer_of_the_artifact() -> None:
    """The artifact holds the release, and the notes where there are any."""
    release = make_release("1.0.0", {"cilium": "1.16.0"})
    assert [blob.descriptor.media_type for blob in release.to_artifact("# Notes").blobs][1:] == [RELEASE, NOTES]
    assert [blob.descriptor for blob in release.to_artifact().blobs][1:] == [Descriptor.of(release.to_bytes(), RELEASE)]


def test_a_difference_names_every_component() -> None:
    """What was added, removed, changed, taken back or left is listed, the new release's components first."""
    before = make_release("1.0.0", {"agent": "1.2.0", "cilium": "1.16.0", "gateway": "2.0.0", "old": "1.0.0"})
    parts = {"agent": "1.2.0-rc.1", "cilium": "1.16.0", "gateway": "2.1.0", "new": "1.0.0"}
    after = make_release("1.1.0", parts, removes=("old",))
    changes = diff_releases(before, after)
    assert {each.name: each.kind for each in changes} == {
        "agent": "downgraded",
        "cilium": "same",
        "gateway": "changed",
        "new": "added",
        "old": "removed",
    }
    assert [each.kind for each in diff_releases(None, before)] == ["added"] * 4
    assert changes[-1].to_dict()["after"] is None


@pytest.mark.parametrize("text", ["platform", "platform@", "@1.0.0", "platform@1", "Platform@1.0.0", "a/b@1.0.0"])
def test_a_release_is_named_by_bundle_and_version(text: str) -> None:
    """Anything but ``bundle@version`` is refused."""
    with pytest.raises(InvalidInputError):
        ReleaseName.parse(text)


def test_a_release_name_reads_as_it_prints() -> None:
    """Parsing the text of a name gives the name."""
    assert str(ReleaseName.parse("platform@1.2.3-rc.1")) == "platform@1.2.3-rc.1"
    assert make_release("1.0.0", {"cilium": "1.16.0"}).name == "platform@1.0.0"
