"""A registry in memory that behaves like a small real one, and can be told to fail or to lie."""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from ums.domain.artifact import Artifact, Blob
from ums.domain.digest import Digest
from ums.domain.errors import IntegrityError, InvalidInputError, NotFoundError, UnavailableError
from ums.domain.oci import INDEX, Descriptor, Repository, is_tag
from ums.ports import Progress


class MemoryRegistry:
    """Implements the registry port.

    Attributes:
        referrers_api: whether referrers are kept by the registry or under the fallback tag.

    """

    def __init__(self, *, referrers_api: bool = True) -> None:
        self.referrers_api = referrers_api
        self._lock = threading.RLock()
        self._blobs: dict[tuple[Repository, Digest], bytes] = {}
        self._manifests: dict[tuple[Repository, Digest], tuple[str, bytes]] = {}
        self._tags: dict[tuple[Repository, str], Digest] = {}
        self._failures = 0
        self._calls_left: int | None = None

    def corrupt(self, repository: Repository, digest: Digest, content: bytes) -> None:
        """Serve other bytes under a digest from now on."""
        key = (repository, digest)
        with self._lock:
            if key in self._manifests:
                self._manifests[key] = (self._manifests[key][0], content)
            else:
                self._blobs[key] = content

    def drop(self, repository: Repository, digest: Digest) -> None:
        """Lose a manifest or blob, as a registry whose collector went too far."""
        with self._lock:
            self._manifests.pop((repository, digest), None)
            self._blobs.pop((repository, digest), None)
            self._tags = {tag: target for tag, target in self._tags.items() if (tag[0], target) != (repository, digest)}

    def fail_next(self, calls: int) -> None:
        """Be unavailable for this many calls."""
        with self._lock:
            self._failures = calls

    def fail_after(self, calls: int | None) -> None:
        """Answer this many calls, then be unavailable until told otherwise; ``None`` is always well."""
        with self._lock:
            self._calls_left = calls

    def find(self, repository: Repository, reference: str) -> Descriptor | None:
        """Return the descriptor at a tag or digest, or ``None``."""
        try:
            return self.get_manifest(repository, reference)[0]
        except NotFoundError:
            return None

    def get_manifest(self, repository: Repository, reference: str) -> tuple[Descriptor, bytes]:
        """Return a manifest, checked."""
        self._answer()
        if ":" in reference:
            digest: Digest | None = Digest.parse(reference)
        elif is_tag(reference):
            digest = self._tags.get((repository, reference))
        else:
            raise InvalidInputError(f"{reference!r} is neither a tag nor a digest")
        if digest is None or (repository, digest) not in self._manifests:
            raise NotFoundError(f"{repository} has no manifest {reference}")
        media_type, content = self._manifests[repository, digest]
        descriptor = Descriptor(media_type, digest, len(content))
        _check(content, descriptor)
        return descriptor, content

    def has_blob(self, repository: Repository, digest: Digest) -> bool:
        """Return whether a blob is there."""
        self._answer()
        return (repository, digest) in self._blobs

    def open_blob(self, repository: Repository, descriptor: Descriptor) -> BinaryIO:
        """Return a blob, checked."""
        self._answer()
        if (repository, descriptor.digest) not in self._blobs:
            raise NotFoundError(f"{repository} has no blob {descriptor.digest}")
        content = self._blobs[repository, descriptor.digest]
        _check(content, descriptor)
        return io.BytesIO(content)

    def push_blob(self, repository: Repository, blob: Blob, *, progress: Progress | None = None) -> None:
        """Store a blob unless it is there."""
        content = blob.content.read_bytes() if isinstance(blob.content, Path) else blob.content
        _check(content, blob.descriptor)
        if self.has_blob(repository, blob.descriptor.digest):
            return
        self._blobs[repository, blob.descriptor.digest] = content
        if progress and content:
            progress(len(content))

    def push_manifest(self, repository: Repository, artifact: Artifact, *, tag: str | None = None) -> None:
        """Store a manifest whose blobs are there, tag it, and keep it as a referrer of its subject."""
        self._answer()
        _check(artifact.manifest, artifact.descriptor)
        manifest = json.loads(artifact.manifest)
        with self._lock:
            for part in (manifest["config"], *manifest["layers"]):
                if (repository, Digest.parse(part["digest"])) not in self._blobs:
                    raise InvalidInputError(f"{repository} has no blob {part['digest']}: MANIFEST_BLOB_UNKNOWN")
            self._store(repository, artifact.descriptor, artifact.manifest, tag)
            if manifest.get("subject") and not self.referrers_api:
                fallback = Digest.parse(manifest["subject"]["digest"])
                entries = self._referrers(repository, fallback)
                index = json.dumps(
                    {
                        "schemaVersion": 2,
                        "mediaType": INDEX,
                        "manifests": [entry.to_dict() for entry in entries],
                    }
                ).encode()
                name = f"{fallback.algorithm}-{fallback.hex}"
                self._store(repository, Descriptor.of(index, INDEX), index, name)

    def referrers(self, repository: Repository, subject: Digest, artifact_type: str) -> Sequence[Descriptor]:
        """Return the manifests that refer to ``subject``."""
        self._answer()
        with self._lock:
            if self.referrers_api:
                found = self._referrers(repository, subject)
            else:
                digest = self._tags.get((repository, f"{subject.algorithm}-{subject.hex}"))
                content = self._manifests[repository, digest][1] if digest else b'{"manifests": []}'
                found = [Descriptor.from_dict(entry) for entry in json.loads(content)["manifests"]]
        return tuple(each for each in found if each.artifact_type == artifact_type)

    def _store(self, repository: Repository, descriptor: Descriptor, content: bytes, tag: str | None) -> None:
        self._manifests[repository, descriptor.digest] = (descriptor.media_type, content)
        if tag is not None:
            self._tags[repository, tag] = descriptor.digest

    def _referrers(self, repository: Repository, subject: Digest) -> list[Descriptor]:
        found: list[Descriptor] = []
        for (place, digest), (media_type, content) in self._manifests.items():
            manifest = json.loads(content)
            if place == repository and (manifest.get("subject") or {}).get("digest") == str(subject):
                kind = manifest.get("artifactType") or manifest["config"]["mediaType"]
                annotations = manifest.get("annotations") or {}
                found.append(Descriptor(media_type, digest, len(content), annotations, kind))
        return found

    def _answer(self) -> None:
        with self._lock:
            if self._calls_left is not None:
                if self._calls_left == 0:
                    raise UnavailableError("the registry is down (as it was told)")
                self._calls_left -= 1
            if self._failures:
                self._failures -= 1
                raise UnavailableError("the registry did not answer (as it was told)")


def _check(content: bytes, descriptor: Descriptor) -> None:
    actual = hashlib.new(descriptor.digest.algorithm, content).hexdigest()
    if len(content) != descriptor.size or actual != descriptor.digest.hex:
        raise IntegrityError(f"these {len(content)} bytes are {actual}, not {descriptor.digest} ({descriptor.size})")
