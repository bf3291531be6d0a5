"""Publishing again and patching: what is there is neither sent nor signed anew, and what is wrong is refused."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.unit.usecases.stage import PREFIX, Stage
from ums.domain.artifact import Artifact
from ums.domain.digest import Digest
from ums.domain.errors import (
    ConflictError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    UmsError,
    UnverifiedError,
)
from ums.domain.oci import Repository
from ums.domain.release import ReleaseName
from ums.domain.trust import Signatory
from ums.domain.version import Version
from ums.ports import Signer
from ums.usecases.build import Built, PatchOf, Replacement
from ums.usecases.publish import Publish

V1 = ReleaseName("platform", Version("1.0.0"))
COMPONENTS = {"cilium": "1.0.0", "gateway": "1.0.0"}


@dataclass
class CountingSigner:
    """Implements ``ports.Signer`` on a real one, and counts."""

    signer: Signer
    signed: Counter[Digest] = field(default_factory=Counter)

    def sign(self, digest: Digest) -> bytes:
        """Return a signature."""
        self.signed[digest] += 1
        return self.signer.sign(digest)

    def signatory(self) -> Signatory:
        """Return whose signature this makes."""
        return self.signer.signatory()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return a service and a publisher."""
    return Stage(tmp_path)


def build(stage: Stage, version: str = "1.0.0") -> Built:
    """Return a release that was built."""
    return stage.build(stage.write_bundle(COMPONENTS), Version(version))


def publisher(stage: Stage, signer: Signer | None = None) -> Publish:
    """Return what publishes."""
    return Publish(stage.registry, signer or stage.keys["release"], stage.verify, stage.registrar)


def places(built: Built) -> list[tuple[Repository, Artifact]]:
    """Return each artifact of a release and where it is."""
    repository = PREFIX / built.release.bundle
    return [(repository, built.artifact), *((repository / name, each) for name, each in built.components.items())]


def test_what_is_there_is_neither_sent_nor_signed_again(stage: Stage) -> None:
    """The second time, not a byte goes out."""
    built, signer = build(stage), CountingSigner(stage.keys["release"])
    sent: list[int] = []
    publisher(stage, signer)(built, PREFIX, progress=sent.append)
    assert sum(sent) == built.size
    for _ in range(2):
        publisher(stage, signer)(built, PREFIX, progress=sent.append)
    assert sum(sent) == built.size
    assert set(signer.signed.values()) == {1}


def test_each_step_is_told_and_the_release_comes_last(stage: Stage) -> None:
    """Whoever sees a release finds all that it names."""
    steps: list[tuple[str, str]] = []
    publisher(stage)(build(stage), PREFIX, step=lambda name, done: steps.append((name, done)))
    assert steps[-3:] == [(str(V1), done) for done in ("pushed", "signed", "registered")]
    assert sorted(steps[:-3]) == sorted((name, done) for name in COMPONENTS for done in ("pushed", "signed"))


def test_a_conflict_is_found_before_anything_is_sent(stage: Stage) -> None:
    """Other content under the same version leaves no trace, and is not signed."""
    stage.publish("1.0.0")
    other = stage.build(stage.write_bundle({"cilium": "9.9.9", "gateway": "9.9.9"}), V1.version)
    signer = CountingSigner(stage.keys["release"])
    with pytest.raises(ConflictError, match="published before with other content"):
        publisher(stage, signer)(other, PREFIX)
    assert not signer.signed
    assert all(
        stage.registry.find(PREFIX / "platform" / name, str(each.descriptor.digest)) is None
        for name, each in other.components.items()
    )


def test_a_signature_by_somebody_else_is_no_reason_not_to_sign(stage: Stage) -> None:
    """Only one's own is reused."""
    built = build(stage)
    with pytest.raises(UnverifiedError):
        publisher(stage, stage.make_key("mallory"))(built, PREFIX)
    signer = CountingSigner(stage.keys["release"])
    publisher(stage, signer)(built, PREFIX)
    assert len(signer.signed) == 3


def test_a_registry_that_lies_is_found_out(stage: Stage) -> None:
    """Bytes that changed since they were pushed are not signed over, nor registered."""
    built = build(stage)
    Publish(stage.registry, stage.keys["release"], stage.verify, None)(built, PREFIX)
    repository, artifact = places(built)[0]
    stage.registry.corrupt(repository, artifact.descriptor.digest, artifact.manifest + b" ")
    with pytest.raises(IntegrityError):
        publisher(stage)(built, PREFIX)
    assert not stage.registrar.told


def patch(stage: Stage, *, signer: str = "release") -> Built:
    """Return a patch of the first release, whose ``cilium`` is replaced."""
    base, _ = stage.read_base(PREFIX, V1, stage.keys[signer].signatory())
    folder = stage.write_bundle({"cilium": "1.0.1", "gateway": "9.9.9"})
    return stage.build(folder, Version("1.0.1"), patch=PatchOf(base, (Replacement("cilium"),)))


def test_a_patch_sends_and_signs_one_component_and_itself(stage: Stage) -> None:
    """The rest is there, and is only looked at."""
    stage.publish("1.0.0")
    built, signer = patch(stage), CountingSigner(stage.keys["release"])
    publisher(stage, signer)(built, PREFIX)
    assert (sorted(built.components), built.reused) == (["cilium"], ("gateway",))
    assert len(signer.signed) == 2


def test_a_patch_does_not_vouch_for_what_its_signer_never_signed(stage: Stage) -> None:
    """Whoever signs the release says that all of it is fine: reused components must be theirs."""
    stage.publish("1.0.0")
    with pytest.raises(UnverifiedError, match="component gateway of the base release is not signed by other"):
        publisher(stage, stage.make_key("other"))(patch(stage), PREFIX)


@pytest.mark.parametrize(
    ("version", "replacements", "error"),
    [
        ("1.0.0", (Replacement("cilium"),), InvalidInputError),
        ("0.9.9", (Replacement("cilium"),), InvalidInputError),
        ("1.0.0", (), InvalidInputError),
        ("1.0.1", (Replacement("no-such"),), NotFoundError),
    ],
)
def test_a_patch_comes_after_its_base_and_replaces_what_is_in_it(
    stage: Stage, version: str, replacements: tuple[Replacement, ...], error: type[UmsError]
) -> None:
    """Else it is something other than a patch."""
    stage.publish("1.0.0")
    base, _ = stage.read_base(PREFIX, V1, stage.keys["release"].signatory())
    with pytest.raises(error):
        stage.build(stage.write_bundle(COMPONENTS), Version(version), patch=PatchOf(base, replacements))


def test_a_base_under_a_wrong_tag_is_not_believed(stage: Stage) -> None:
    """A tag is only what the registry says."""
    stage.publish("1.0.0")
    built = build(stage)
    stage.registry.push_manifest(PREFIX / "platform", built.artifact, tag="1.0.9")
    with pytest.raises(UnverifiedError, match=r"holds platform@1\.0\.0, not platform@1\.0\.9"):
        stage.read_base(PREFIX, ReleaseName("platform", Version("1.0.9")), stage.keys["release"].signatory())
    with pytest.raises(NotFoundError):
        stage.read_base(PREFIX, ReleaseName("platform", Version("2.0.0")), stage.keys["release"].signatory())
