"""What OCI calls things: references, descriptors, manifests, media types and annotation keys.

Sources: OCI image-spec 1.1 and distribution-spec 1.1; Helm HIP-6; Flux's OCI artifacts; sigstore's
*cosign bundle specification*. Nothing here talks to a registry.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Self

from ums.domain.canonical import canonical_json
from ums.domain.digest import Digest
from ums.domain.errors import InvalidInputError

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"

HELM_CONFIG = "application/vnd.cncf.helm.config.v1+json"
HELM_CHART = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
FLUX_CONFIG = "application/vnd.cncf.flux.config.v1+json"
FLUX_CONTENT = "application/vnd.cncf.flux.content.v1.tar+gzip"

RELEASE = "application/vnd.ums.release.v1+json"
NOTES = "text/markdown"

SIGSTORE_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
COSIGN_PREDICATE = "https://sigstore.dev/cosign/sign/v1"

ANNOTATION_CREATED = "org.opencontainers.image.created"
ANNOTATION_SOURCE = "org.opencontainers.image.source"
ANNOTATION_REVISION = "org.opencontainers.image.revision"
ANNOTATION_TITLE = "org.opencontainers.image.title"
ANNOTATION_VERSION = "org.opencontainers.image.version"
ANNOTATION_BUNDLE_CONTENT = "dev.sigstore.bundle.content"
ANNOTATION_BUNDLE_PREDICATE = "dev.sigstore.bundle.predicateType"

_REGISTRY = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?(:[0-9]{1,5})?|\[[0-9a-fA-F:]+\](:[0-9]{1,5})?")
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_MAX_REPOSITORY_LENGTH = 255


def is_repository(text: str) -> bool:
    """Return whether ``text`` is a repository path of the distribution spec."""
    return len(text) <= _MAX_REPOSITORY_LENGTH and _REPOSITORY.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Return whether ``text`` is a tag of the distribution spec."""
    return _TAG.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Repository:
    """``registry/path``: a place for manifests and blobs."""

    registry: str
    path: str

    def __post_init__(self) -> None:
        if not _REGISTRY.fullmatch(self.registry) or not is_repository(self.path):
            raise InvalidInputError(
                f"{self.registry}/{self.path} is not an OCI repository",
                hint="write host[:port]/path, lower case, without a scheme: registry.example.com/vendor",
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``registry/path``, with or without ``oci://`` in front.

        Raises:
            InvalidInputError: it is no repository.

        """
        registry, _, path = text.removeprefix("oci://").rstrip("/").partition("/")
        return cls(registry, path)

    def __truediv__(self, name: str) -> Repository:
        return Repository(self.registry, f"{self.path}/{name}")

    def __str__(self) -> str:
        return f"{self.registry}/{self.path}"


@dataclass(frozen=True, slots=True)
class Reference:
    """``registry/path[:tag][@digest]``."""

    repository: Repository
    tag: str | None = None
    digest: Digest | None = None

    def __post_init__(self) -> None:
        if self.tag is not None and not is_tag(self.tag):
            raise InvalidInputError(f"{self.tag!r:.140} is not an OCI tag")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a reference, with or without ``oci://`` in front.

        Raises:
            InvalidInputError: it is no reference.

        """
        rest, at, digest = text.removeprefix("oci://").partition("@")
        path, colon, tag = rest.rpartition(":")
        if not colon or "/" in tag:
            path, tag = rest, ""
        return cls(Repository.parse(path), tag or None, Digest.parse(digest) if at else None)

    def __str__(self) -> str:
        return f"{self.repository}{f':{self.tag}' if self.tag else ''}{f'@{self.digest}' if self.digest else ''}"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What content is, how large (bytes) and which digest it has."""

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    artifact_type: str | None = None

    @classmethod
    def of(cls, content: bytes, media_type: str) -> Self:
        """Return the descriptor of ``content``."""
        return cls(media_type, Digest.of(content), len(content))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the JSON form.

        Raises:
            InvalidInputError: a required member is missing or of the wrong type.

        """
        try:
            media_type, digest, size = data["mediaType"], data["digest"], data["size"]
        except (KeyError, TypeError) as error:
            raise InvalidInputError(f"a descriptor lacks {error}") from error
        if not isinstance(media_type, str) or not isinstance(digest, str) or type(size) is not int or size < 0:
            raise InvalidInputError("a descriptor has a member of the wrong type")
        annotations = data.get("annotations") or {}
        return cls(
            media_type, Digest.parse(digest), size, MappingProxyType(dict(annotations)), data.get("artifactType")
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        out: dict[str, Any] = {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}
        if self.annotations:
            out["annotations"] = dict(self.annotations)
        if self.artifact_type:
            out["artifactType"] = self.artifact_type
        return out


EMPTY_CONFIG = b"{}"


def manifest_bytes(
    *,
    config: Descriptor,
    layers: tuple[Descriptor, ...],
    annotations: Mapping[str, str],
    artifact_type: str | None = None,
    subject: Descriptor | None = None,
) -> bytes:
    """Return an OCI image manifest as canonical JSON, so that equal content has an equal digest."""
    data: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.to_dict(),
        "layers": [layer.to_dict() for layer in layers],
        "annotations": dict(annotations),
    }
    if artifact_type:
        data["artifactType"] = artifact_type
    if subject:
        data["subject"] = Descriptor(subject.media_type, subject.digest, subject.size).to_dict()
    return canonical_json(data)
