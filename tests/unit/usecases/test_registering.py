"""Registering: what the service lets into the catalog, and what it keeps out."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.unit.usecases.stage import ADMIN, PREFIX, Stage
from ums.domain.digest import Digest
from ums.domain.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    UmsError,
    UnavailableError,
    UnverifiedError,
)
from ums.domain.identity import Holder
from ums.domain.oci import SIGSTORE_BUNDLE
from ums.domain.release import ReleaseName
from ums.domain.version import Version
from ums.usecases.build import Built
from ums.usecases.publish import Publish
from ums.usecases.sign import SignArtifact

V1 = ReleaseName("platform", Version("1.0.0"))


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return a service and a publisher."""
    return Stage(tmp_path)


def push(stage: Stage, folder: Path, version: Version) -> Built:
    """Push and sign a release, and tell nobody."""
    built = stage.build(folder, version)
    Publish(stage.registry, stage.keys["release"], stage.verify, None)(built, PREFIX)
    return built


@pytest.fixture
def pushed(stage: Stage) -> Built:
    """Return a release that is pushed and signed, and that the service was not told of."""
    return push(stage, stage.write_bundle({"cilium": "1.0.0", "gateway": "1.0.0"}), V1.version)


def test_registered_twice_is_registered_once(stage: Stage, pushed: Built) -> None:
    """Also by somebody else, and although the registry is gone meanwhile."""
    first = stage.services.register_release(V1, pushed.artifact.descriptor.digest, by=ADMIN)
    head = stage.repo.read().base
    stage.registry.fail_after(0)
    other = Holder("eve", frozenset({"publisher"})).identity
    assert stage.services.register_release(V1, pushed.artifact.descriptor.digest, by=other) == first
    assert stage.repo.read().base == head


def test_another_digest_under_a_known_version_is_a_conflict(stage: Stage, pushed: Built) -> None:
    """Versions never change."""
    stage.services.register_release(V1, pushed.artifact.descriptor.digest, by=ADMIN)
    with pytest.raises(ConflictError, match="versions never change"):
        stage.services.register_release(V1, Digest.of(b"other"), by=ADMIN)


def test_a_component_without_a_signature_keeps_the_release_out(stage: Stage, pushed: Built) -> None:
    """Each artifact on its own: a signed release over an unsigned component is not signed."""
    digest, repository = pushed.components["gateway"].descriptor.digest, PREFIX / "platform" / "gateway"
    for signature in stage.registry.referrers(repository, digest, SIGSTORE_BUNDLE):
        stage.registry.drop(repository, signature.digest)
    head = stage.repo.read().base
    with pytest.raises(UnverifiedError, match="component platform/gateway"):
        stage.services.register_release(V1, pushed.artifact.descriptor.digest, by=ADMIN)
    assert stage.repo.read().base == head


@pytest.mark.parametrize(
    ("name", "error"),
    [("platform@1.0.1", InvalidInputError), ("flux@1.0.0", NotFoundError)],
)
def test_a_release_is_registered_under_its_own_name(
    stage: Stage, pushed: Built, name: str, error: type[UmsError]
) -> None:
    """Neither as another version nor as another bundle."""
    with pytest.raises(error):
        stage.services.register_release(ReleaseName.parse(name), pushed.artifact.descriptor.digest, by=ADMIN)


def test_a_release_that_was_copied_to_another_bundles_place_is_refused(stage: Stage, pushed: Built) -> None:
    """Its signature is good, but about something else."""
    elsewhere = PREFIX / "flux"
    for blob in pushed.artifact.blobs:
        stage.registry.push_blob(elsewhere, blob)
    stage.registry.push_manifest(elsewhere, pushed.artifact)
    sign = SignArtifact(stage.registry, stage.keys["release"], stage.verify)
    sign(elsewhere, pushed.artifact.descriptor)
    with pytest.raises(UnverifiedError, match="is a release of platform, not of flux"):
        stage.services.register_release(ReleaseName("flux", V1.version), pushed.artifact.descriptor.digest, by=ADMIN)


def test_a_registry_that_is_down_is_no_refusal(stage: Stage, pushed: Built) -> None:
    """*Could not look* is not *looked, and it is bad*."""
    stage.registry.fail_after(0)
    with pytest.raises(UnavailableError):
        stage.services.register_release(V1, pushed.artifact.descriptor.digest, by=ADMIN)


def test_whoever_may_not_publish_learns_nothing(stage: Stage, pushed: Built) -> None:
    """Asked before anything is looked at."""
    stage.registry.fail_after(0)
    with pytest.raises(ForbiddenError):
        stage.services.register_release(
            V1, pushed.artifact.descriptor.digest, by=Holder("o", frozenset({"operator"})).identity
        )


def test_objects_of_two_bundles_may_not_have_one_name(stage: Stage, pushed: Built) -> None:
    """``platform`` with ``x-net`` and ``platform-x`` with ``net`` would both be ``platform-x-net`` in a cluster."""
    other = push(stage, stage.write_bundle({"net": "1.0.0"}, name="platform-x"), V1.version)
    name = ReleaseName("platform-x", V1.version)
    stage.services.register_release(name, other.artifact.descriptor.digest, by=ADMIN)
    stage.services.register_release(V1, pushed.artifact.descriptor.digest, by=ADMIN)
    clash = push(stage, stage.write_bundle({"x-net": "1.0.0"}), Version("2.0.0"))
    with pytest.raises(ConflictError, match="platform-x-net"):
        stage.services.register_release(
            ReleaseName("platform", Version("2.0.0")), clash.artifact.descriptor.digest, by=ADMIN
        )


@pytest.mark.parametrize(
    ("bundle", "components", "says"),
    [
        ("platform", {"a": "1.0.0", "a-content": "1.0.0"}, "platform-a-content, as those of platform/a"),
        ("ums", {"root": "1.0.0"}, "ums-root, as those of UMS itself"),
    ],
)
def test_a_component_takes_no_name_of_another_kustomization(
    stage: Stage, bundle: str, components: dict[str, str], says: str
) -> None:
    """Of the one that applies another component's manifests, or of the root."""
    built = push(stage, stage.write_bundle(components, name=bundle), V1.version)
    with pytest.raises(ConflictError, match=says):
        stage.services.register_release(ReleaseName(bundle, V1.version), built.artifact.descriptor.digest, by=ADMIN)


@pytest.mark.parametrize("field", ["namespace", "releaseName"])
def test_a_chart_that_moves_is_refused(stage: Stage, field: str) -> None:
    """Clusters refuse it, since Flux would uninstall it first; under another name it may go elsewhere."""
    stage.publish("1.0.0", {"app": "1.0.0"}, charts=("app",))
    bundle = stage.write_bundle({"app": "1.1.0"}, charts=("app",))
    spec = yaml.safe_load((bundle / "bundle.yaml").read_text())
    spec["components"][0][field] = "elsewhere"
    (bundle / "bundle.yaml").write_text(yaml.safe_dump(spec))
    built = push(stage, bundle, Version("1.1.0"))
    with pytest.raises(ConflictError, match="platform/app would move") as refused:
        stage.services.register_release(
            ReleaseName("platform", Version("1.1.0")), built.artifact.descriptor.digest, by=ADMIN
        )
    assert "removes" in refused.value.hint


def test_notes_come_along(stage: Stage) -> None:
    """As the release's digest of them says."""
    stage.publish("1.0.0", notes="# What is new\n")
    assert stage.repo.file("main", "catalog/platform/1.0.0/notes.md") == b"# What is new\n"
