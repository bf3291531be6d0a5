"""What every registry adapter does, whatever it speaks to."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.contract.registries import REGISTRIES, Place
from ums.domain.artifact import EMPTY_BLOB, Artifact, Blob
from ums.domain.digest import Digest
from ums.domain.errors import IntegrityError, InvalidInputError, NotFoundError, UmsError
from ums.domain.oci import FLUX_CONTENT, MANIFEST, SIGSTORE_BUNDLE, Descriptor, Repository
from ums.ports import Registry

ABSENT = Digest.of(b"never pushed")


@pytest.fixture(scope="module", params=list(REGISTRIES))
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Give each registry in turn."""
    with REGISTRIES[request.param](tmp_path_factory.mktemp("registry")) as started:
        yield started


@pytest.fixture
def registry(place: Place) -> Registry:
    """Give the registry under test."""
    return place.registry


@pytest.fixture
def repository(place: Place) -> Repository:
    """Give a repository that no other test uses."""
    return place.repository(uuid.uuid4().hex)


def make_artifact(text: str, *, subject: Descriptor | None = None, artifact_type: str | None = None) -> Artifact:
    """Return a small artifact."""
    return Artifact.assemble(
        config=EMPTY_BLOB,
        layers=(Blob.of(text.encode(), FLUX_CONTENT),),
        annotations={"test/text": text},
        artifact_type=artifact_type,
        subject=subject,
    )


def push(registry: Registry, repository: Repository, artifact: Artifact, *, tag: str | None = None) -> None:
    """Push an artifact with its blobs."""
    for blob in artifact.blobs:
        registry.push_blob(repository, blob)
    registry.push_manifest(repository, artifact, tag=tag)


def test_gives_back_what_was_pushed(registry: Registry, repository: Repository) -> None:
    """A manifest comes back by tag and by digest, its blobs by descriptor, byte for byte."""
    artifact = make_artifact("first")
    push(registry, repository, artifact, tag="1.0.0")
    for reference in ("1.0.0", str(artifact.descriptor.digest)):
        assert registry.find(repository, reference) == artifact.descriptor
        assert registry.get_manifest(repository, reference) == (artifact.descriptor, artifact.manifest)
    for blob in artifact.blobs:
        assert registry.has_blob(repository, blob.descriptor.digest)
        with registry.open_blob(repository, blob.descriptor) as file:
            assert file.read() == blob.content


def test_pushes_files_and_reports_every_byte(registry: Registry, repository: Repository, tmp_path: Path) -> None:
    """A blob in a file is streamed, and progress adds up to its size."""
    path = tmp_path / "large"
    content = hashlib.sha512(b"seed").digest() * 16384
    path.write_bytes(content)
    descriptor = Descriptor.of(content, FLUX_CONTENT)
    reported: list[int] = []
    registry.push_blob(repository, Blob(descriptor, path), progress=reported.append)
    assert sum(reported) == len(content)
    with registry.open_blob(repository, descriptor) as file:
        assert file.read() == content


def test_pushing_again_changes_nothing(registry: Registry, repository: Repository) -> None:
    """A second push is accepted, and sends no blob."""
    artifact = make_artifact("again")
    push(registry, repository, artifact, tag="1.0.0")
    reported: list[int] = []
    registry.push_blob(repository, artifact.blobs[1], progress=reported.append)
    push(registry, repository, artifact, tag="1.0.0")
    assert reported == []
    assert registry.find(repository, "1.0.0") == artifact.descriptor


def test_a_tag_moves_and_the_digest_stays(registry: Registry, repository: Repository) -> None:
    """Tagging something else leaves the former manifest where its digest says."""
    first, second = make_artifact("one"), make_artifact("two")
    push(registry, repository, first, tag="latest")
    push(registry, repository, second, tag="latest")
    assert registry.find(repository, "latest") == second.descriptor
    assert registry.find(repository, str(first.descriptor.digest)) == first.descriptor


def test_empty_blob(registry: Registry, repository: Repository) -> None:
    """Content of no bytes is content."""
    blob = Blob.of(b"", FLUX_CONTENT)
    registry.push_blob(repository, blob)
    with registry.open_blob(repository, blob.descriptor) as file:
        assert file.read() == b""


@pytest.mark.parametrize("reference", ["no-such-tag", str(ABSENT)])
def test_absent_manifest(registry: Registry, repository: Repository, reference: str) -> None:
    """What is not there is ``None`` to ``find`` and an error to ``get_manifest``."""
    for _ in range(2):
        assert registry.find(repository, reference) is None
        with pytest.raises(NotFoundError):
            registry.get_manifest(repository, reference)
        push(registry, repository, make_artifact("something else"))


def test_absent_blob(registry: Registry, repository: Repository) -> None:
    """A blob that was never pushed is not there."""
    assert not registry.has_blob(repository, ABSENT)
    with pytest.raises(NotFoundError):
        registry.open_blob(repository, Descriptor(FLUX_CONTENT, ABSENT, 12))


def test_repositories_are_apart(registry: Registry, repository: Repository) -> None:
    """What one repository has, another does not show."""
    artifact = make_artifact("apart")
    push(registry, repository, artifact, tag="1.0.0")
    assert registry.find(repository / "other", "1.0.0") is None


@pytest.mark.parametrize("reference", ["", "../../etc", "a b", "sha256:12", "x" * 200])
def test_refuses_what_is_no_reference(registry: Registry, repository: Repository, reference: str) -> None:
    """Neither tag nor digest: nothing is asked."""
    with pytest.raises(InvalidInputError):
        registry.find(repository, reference)


@pytest.mark.parametrize(
    "descriptor",
    [
        Descriptor(FLUX_CONTENT, ABSENT, len(b"content")),
        Descriptor(FLUX_CONTENT, Digest.of(b"content"), 3),
        Descriptor(FLUX_CONTENT, Digest.of(b"content"), 300),
    ],
    ids=["digest", "too-long", "too-short"],
)
def test_refuses_to_push_other_bytes_than_described(
    registry: Registry, repository: Repository, descriptor: Descriptor
) -> None:
    """Content that is not what its descriptor says is not stored."""
    with pytest.raises(IntegrityError):
        registry.push_blob(repository, Blob(descriptor, b"content"))
    assert not registry.has_blob(repository, descriptor.digest)


def test_refuses_another_manifest_than_described(registry: Registry, repository: Repository) -> None:
    """A manifest that is not what its descriptor says is not stored."""
    artifact = make_artifact("described")
    wrong = Artifact(Descriptor(MANIFEST, ABSENT, len(artifact.manifest)), artifact.manifest, artifact.blobs)
    with pytest.raises(IntegrityError):
        registry.push_manifest(repository, wrong)


def test_wrong_size_is_an_integrity_error(registry: Registry, repository: Repository) -> None:
    """A descriptor that gives another size than the blob has is not served."""
    blob = Blob.of(b"some content", FLUX_CONTENT)
    registry.push_blob(repository, blob)
    for size in (1, 100):
        with pytest.raises(IntegrityError):
            registry.open_blob(repository, Descriptor(FLUX_CONTENT, blob.descriptor.digest, size))


def test_a_manifest_without_its_blobs_is_refused(
    registry: Registry, repository: Repository, request: pytest.FixtureRequest
) -> None:
    """A registry that checks at all refuses a manifest whose blobs it lacks."""
    if "crane" in request.node.name:
        pytest.skip("crane's registry stores any manifest")
    artifact = make_artifact("blobless")
    with pytest.raises(UmsError):
        registry.push_manifest(repository, artifact)
    assert registry.find(repository, str(artifact.descriptor.digest)) is None


def test_referrers(registry: Registry, repository: Repository) -> None:
    """Manifests that refer to a subject are found by type, with annotations; others are not."""
    subject = make_artifact("subject")
    push(registry, repository, subject)
    assert registry.referrers(repository, subject.descriptor.digest, SIGSTORE_BUNDLE) == ()
    signature = make_artifact("signature", subject=subject.descriptor, artifact_type=SIGSTORE_BUNDLE)
    report = make_artifact("report", subject=subject.descriptor, artifact_type="application/vnd.test.report")
    for attached in (signature, report, signature):
        push(registry, repository, attached)
    (found,) = registry.referrers(repository, subject.descriptor.digest, SIGSTORE_BUNDLE)
    assert (found.media_type, found.digest, found.size) == (
        MANIFEST,
        signature.descriptor.digest,
        signature.descriptor.size,
    )
    assert found.artifact_type == SIGSTORE_BUNDLE
    assert dict(found.annotations) == {"test/text": "signature"}
    assert registry.referrers(repository, signature.descriptor.digest, SIGSTORE_BUNDLE) == ()


def test_attaching_at_the_same_time_loses_nothing(registry: Registry, repository: Repository) -> None:
    """Referrers attached to one subject by several threads are all there at the end."""
    subject = make_artifact("busy subject")
    push(registry, repository, subject)
    signatures = [
        make_artifact(f"signature {number}", subject=subject.descriptor, artifact_type=SIGSTORE_BUNDLE)
        for number in range(8)
    ]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda signature: push(registry, repository, signature), signatures))
    found = registry.referrers(repository, subject.descriptor.digest, SIGSTORE_BUNDLE)
    assert {each.digest for each in found} == {signature.descriptor.digest for signature in signatures}


def test_parallel_uploads(registry: Registry, repository: Repository) -> None:
    """Four threads push through one adapter."""
    blobs = [Blob.of(f"blob {number}".encode() * 50_000, FLUX_CONTENT) for number in range(12)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda blob: registry.push_blob(repository, blob), blobs))
    assert all(registry.has_blob(repository, blob.descriptor.digest) for blob in blobs)
