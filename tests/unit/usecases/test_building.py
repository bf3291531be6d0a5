"""What is said of a release when it is built: class, notes, fixes, ancestry and floors."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.usecases.stage import ADMIN, Stage
from ums.domain.bundle import ReleaseClass
from ums.domain.errors import ForbiddenError, InvalidInputError, NotFoundError, RefusedError
from ums.domain.identity import Holder
from ums.domain.release import Release, ReleaseName
from ums.domain.version import Version
from ums.usecases.build import Fix, Stated
from ums.usecases.instruct import Why

CVE, OTHER = "CVE-2026-0001", "CVE-2026-0002"
FIRST = {"cilium": "1.16.4", "gateway": "3.1.0"}
NEWER = {"cilium": "1.16.5", "gateway": "3.2.0"}
OLDER = {"cilium": "1.16.3", "gateway": "3.0.0"}
FEATURE: dict[str, Any] = {"class": "feature"}
FLOOR = {"component": "cilium", "versions": ">=1.16.4", "reason": CVE}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return a stage whose first release, a feature, fixed something in each component, and has notes."""
    made = Stage(tmp_path)
    made.publish("1.0.0", FIRST, fixes=[CVE], notes="The first.\n", **FEATURE)
    return made


def published(stage: Stage, version: str) -> Release:
    """Return a release as it is registered."""
    return stage.repo.read().entry("platform", Version(version)).release


def fixes(release: Release) -> dict[str, tuple[str, ...]]:
    """Return what each component fixes."""
    return {each.name: each.fixes for each in release.components}


@pytest.mark.parametrize(
    ("stated", "fields", "of_patch", "of_whole"),
    [
        # Nothing is said: a patch is a bugfix, whatever its base was.
        (Stated(), {}, "bugfix", "feature"),
        (Stated(fixes=(Fix(OTHER),)), {}, "security", "security"),
        # What the command says counts more than what bundle.yaml says of another release.
        (Stated(fixes=(Fix(OTHER),)), {"class": "feature"}, "security", "security"),
        (Stated(ReleaseClass.BUGFIX, fixes=(Fix(OTHER),)), {"class": "feature"}, "bugfix", "bugfix"),
        (Stated(ReleaseClass.SECURITY), {}, "security", "security"),
        # What bundle.yaml says.
        (Stated(), {"class": "security"}, "security", "security"),
        (Stated(), {"fixes": [OTHER]}, "security", "security"),
        (Stated(), {"class": "bugfix", "fixes": [OTHER]}, "bugfix", "bugfix"),
        # A fix that the base has already makes nothing a security release.
        (Stated(), {"fixes": [CVE]}, "bugfix", "security"),
    ],
)
def test_the_class_is_as_stated_and_fixes_imply_security(
    stage: Stage, stated: Stated, fields: dict[str, Any], of_patch: str, of_whole: str
) -> None:
    """So that the fast path is open exactly when it is needed."""
    stage.publish("1.0.1", NEWER, patch=stage.patch_of("1.0.0", "cilium"), stated=stated, **fields)
    stage.publish("1.1.0", NEWER, stated=stated, **fields)
    assert [published(stage, version).release_class for version in ("1.0.1", "1.1.0")] == [of_patch, of_whole]


@pytest.mark.parametrize(
    ("versions", "replaced", "named", "fixed"),
    [
        (NEWER, ("cilium",), "", {"cilium": (CVE, OTHER), "gateway": (CVE,)}),
        (NEWER, ("cilium", "gateway"), "", {"cilium": (CVE, OTHER), "gateway": (CVE, OTHER)}),
        (NEWER, ("cilium", "gateway"), "gateway", {"cilium": (CVE,), "gateway": (CVE, OTHER)}),
        (NEWER, ("cilium",), "gateway", {"cilium": (CVE,), "gateway": (CVE, OTHER)}),
        (FIRST, ("cilium",), "", {"cilium": (CVE, OTHER), "gateway": (CVE,)}),
        (OLDER, ("cilium",), "", {"cilium": (OTHER,), "gateway": (CVE,)}),
        # All of it is built anew, from the base.
        (NEWER, (), "", {"cilium": (CVE, OTHER), "gateway": (CVE, OTHER)}),
        (OLDER, (), "cilium", {"cilium": (OTHER,), "gateway": ()}),
    ],
)
def test_fixes_of_the_base_are_kept_by_components_that_are_not_older(
    stage: Stage,
    versions: dict[str, str],
    replaced: tuple[str, ...],
    named: str,
    fixed: dict[str, tuple[str, ...]],
) -> None:
    """And what is new is fixed in the component that is named, or in all that are built."""
    patch, stated = stage.patch_of("1.0.0", *replaced), Stated(fixes=(Fix(OTHER, named),))
    stage.publish("1.0.1", versions, patch=patch, stated=stated)
    release = published(stage, "1.0.1")
    assert (fixes(release), release.base) == (fixed, Version("1.0.0"))


@pytest.mark.parametrize(
    ("stated", "spec", "notes"),
    [
        ("", "", "The first.\n"),
        ("", "The first.\n", "The first.\n"),
        ("Closes it.", "", "Closes it.\n\n## platform@1.0.0\n\nThe first.\n"),
        ("", "Closes it.\n", "Closes it.\n\n## platform@1.0.0\n\nThe first.\n"),
        ("Closes it.", "Other.\n", "Closes it.\n\n## platform@1.0.0\n\nThe first.\n"),
    ],
)
def test_notes_of_the_base_are_kept_below_those_of_the_patch(stage: Stage, stated: str, spec: str, notes: str) -> None:
    """Each once."""
    stage.publish("1.0.1", NEWER, patch=stage.patch_of("1.0.0", "cilium"), stated=Stated(notes=stated), notes=spec)
    assert stage.patch_of("1.0.1").notes == notes


def test_what_is_said_of_no_component_is_refused(stage: Stage) -> None:
    """A typo would lose a fix."""
    with pytest.raises(NotFoundError, match="is said to be fixed in celium"):
        stage.publish("1.1.0", NEWER, stated=Stated(fixes=(Fix(OTHER, "celium"),)))
    with pytest.raises(InvalidInputError, match="names no fix"):
        Fix("the bug")


def test_a_base_is_of_the_same_bundle(stage: Stage) -> None:
    """Nothing descends from another product."""
    with pytest.raises(InvalidInputError, match="is of bundle other"):
        stage.publish("1.1.0", NEWER, patch=stage.patch_of("1.0.0"), name="other")


def test_nothing_is_built_below_a_floor_of_its_base(stage: Stage) -> None:
    """Nor below its own; until the floor ends, or somebody overrides it."""
    end = stage.clock.now() + timedelta(days=30)
    stage.publish("1.0.1", FIRST, floors=[{**FLOOR, "until": end.isoformat()}])
    for replaced in ((), ("cilium",)):
        patch = stage.patch_of("1.0.1", *replaced)
        with pytest.raises(RefusedError) as caught:
            stage.build(stage.write_bundle(OLDER), Version("1.1.0"), patch=patch)
        assert [each.code for each in caught.value.reasons] == ["floor"]
        built = stage.build(stage.write_bundle(OLDER), Version("1.1.0"), patch=patch, override_floors=True)
        assert built.release.component_versions["cilium"] == Version("1.16.3")
    with pytest.raises(InvalidInputError, match="itself declares"):
        stage.build(stage.write_bundle(OLDER, floors=[FLOOR]), Version("1.1.0"))
    known = list(stage.world().floors())
    with pytest.raises(RefusedError):
        stage.build(stage.write_bundle(OLDER), Version("1.1.0"), floors=known)
    stage.clock.advance(timedelta(days=30))
    late = stage.build(stage.write_bundle(OLDER), Version("1.1.0"), floors=known)
    assert late.release.component_versions["cilium"] == Version("1.16.3")


def test_a_patch_keeps_the_floors_of_its_base(stage: Stage) -> None:
    """With those that its own bundle.yaml declares."""
    stage.publish("1.0.1", FIRST, floors=[FLOOR])
    newer = {"component": "gateway", "versions": ">=3.2.0", "reason": OTHER}
    stage.publish("1.0.2", NEWER, patch=stage.patch_of("1.0.1", "gateway"), floors=[newer])
    assert [each.component for each in published(stage, "1.0.2").floors] == ["cilium", "gateway"]


def test_the_service_refuses_what_is_below_a_floor(stage: Stage) -> None:
    """Whatever the publisher's own machine checked; a yanked release's floor counts too, one of a later release not."""
    stage.publish("1.0.1", FIRST, floors=[FLOOR])
    why = Why(ADMIN, "it crashes")
    stage.services.withdraw_release.yank(ReleaseName("platform", Version("1.0.1")), why)
    with pytest.raises(RefusedError) as caught:
        stage.publish("1.1.0", OLDER)
    (reason,) = caught.value.reasons
    assert reason.message == f"cilium 1.16.3 is below the floor cilium >=1.16.4, declared by platform@1.0.1: {CVE}"
    assert Version("1.1.0") not in stage.world().catalog["platform"]
    stage.publish("0.9.0", OLDER)
    with pytest.raises(InvalidInputError, match="is below no floor"):
        stage.publish("1.2.0", NEWER, override_floors="to be sure")


def test_whoever_may_promote_may_let_a_release_below_a_floor(stage: Stage) -> None:
    """It stands in the log and on the release; a publisher alone may not."""
    stage.publish("1.0.1", FIRST, floors=[FLOOR])
    stage.registrar.by = Holder("ci", frozenset({"publisher"})).identity
    with pytest.raises(ForbiddenError, match="promote"):
        stage.publish("1.1.0", OLDER, override_floors="1.16.4 loses packets")
    stage.registrar.by = Holder("erik", frozenset({"release-engineer"})).identity
    stage.publish("1.1.0", OLDER, override_floors="1.16.4 loses packets")
    (below,) = stage.world().entry("platform", Version("1.1.0")).below_floors
    assert (below.floor, below.given.by, below.given.reason) == (
        "cilium >=1.16.4, declared by platform@1.0.1",
        "erik",
        "1.16.4 loses packets",
    )
    entry = stage.services.log(limit=1)[0]
    assert (entry.actor, "below a floor, because: 1.16.4 loses packets" in entry.reason) == ("erik", True)
    stage.publish("1.1.0", OLDER)  # the same again is no news, and needs no reason
    assert stage.services.log(limit=1)[0].commit_id == entry.commit_id
