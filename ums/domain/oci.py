"""What OCI calls things: references, descriptors, manifests, media types and annotation keys.

Sources: OCI image-spec 1.1 and distribution-spec 1.1; Helm HIP-6; Flux's OCI artifacts; sigstore's
*cosign bundle specification*. Nothing here talks to a registry.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Self

from ums.domain import strict_json
from ums.domain.canonical import canonical_json
from ums.domain.digest import Digest
from ums.domain.errors import InvalidInputError
from ums.domain.strict_json import StrictJSONError

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFEST_TYPES = frozenset({MANIFEST, DOCKER_MANIFEST})
INDEX_TYPES = frozenset({INDEX, DOCKER_INDEX})
DOCUMENT_TYPES = MANIFEST_TYPES | INDEX_TYPES
"""The media types of what is read as a manifest or index; nothing else is one."""
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
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}")
"""RFC 6838 §4.2."""
_URL = re.compile(r"[\x21-\x7e]{1,2048}")


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
    """What content is, how large (bytes) and which digest it has.

    Attributes:
        urls: where else the content is; only foreign layers of images have any.

    """

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    artifact_type: str | None = None
    urls: tuple[str, ...] = ()

    @classmethod
    def of(cls, content: bytes, media_type: str) -> Self:
        """Return the descriptor of ``content``."""
        return cls(media_type, Digest.of(content), len(content))

    @classmethod
    def from_dict(cls, data: object, *, foreign: bool = False) -> Self:
        """Read the JSON form (image-spec, *descriptor*).

        Args:
            data: as ``strict_json.loads`` returned it.
            foreign: accept all that the spec allows: members that it does not name, and ``urls``.

        Raises:
            StrictJSONError: a member is missing, unknown or of the wrong type, or ``data`` is other content.
            InvalidInputError: the digest is none.

        """
        what = "a descriptor"
        members = _members(data, what, _DESCRIPTOR, foreign=foreign)
        strict_json.require(members, what, ("digest",))
        digest = Digest.parse(str(members["digest"]))
        strict_json.require(members, what, ("mediaType", "size"))
        size = strict_json.integer(members["size"], "the size of a descriptor")
        urls = strict_json.texts(members.get("urls", []), "member 'urls' of a descriptor", pattern=_URL)
        if urls and not foreign:
            raise StrictJSONError("a descriptor has member 'urls': its content could come from elsewhere")
        if "data" in members:
            _check_data(members["data"], digest, size)
        if "platform" in members:
            _check_platform(members["platform"], foreign=foreign)
        return cls(
            _media_type(members["mediaType"], "member 'mediaType' of a descriptor"),
            digest,
            size,
            MappingProxyType(strict_json.strings(members.get("annotations", {}), "the annotations of a descriptor")),
            _optional_media_type(members, "member 'artifactType' of a descriptor"),
            tuple(urls),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        out: dict[str, Any] = {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}
        if self.annotations:
            out["annotations"] = dict(self.annotations)
        if self.artifact_type:
            out["artifactType"] = self.artifact_type
        return out


_DESCRIPTOR = ("mediaType", "digest", "size", "annotations", "artifactType", "platform", "data", "urls")
_PLATFORM_TEXTS, _PLATFORM_LISTS = ("architecture", "os", "os.version", "variant"), ("os.features", "features")
_COMMON = ("mediaType", "annotations", "artifactType", "subject")
_SCHEMA_VERSION = 2
_CONTENT = {True: ("config", "layers"), False: ("manifests",)}
_ELSEWHERE = {True: frozenset({"manifests", "fslayers"}), False: frozenset({"config", "layers", "fslayers"})}
"""Members of other kinds of manifest, folded: beside ours they would make a second reading (CVE-2021-41190)."""


@dataclass(frozen=True, slots=True)
class Document:
    """An image manifest or an image index (image-spec, *manifest* and *index*), read in the one way.

    Attributes:
        media_type: tells which of the two; one of ``DOCUMENT_TYPES``.
        config: of a manifest.
        layers: of a manifest.
        manifests: of an index.

    """

    media_type: str
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] = ()
    manifests: tuple[Descriptor, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    artifact_type: str | None = None
    subject: Descriptor | None = None

    @classmethod
    def from_bytes(cls, content: bytes, media_type: str = MANIFEST, *, foreign: bool = False) -> Self:
        """Read a manifest or index.

        Args:
            content: its bytes.
            media_type: what it was said to be.
            foreign: accept all that the spec allows, so long as Go reads it in the same way.

        Raises:
            StrictJSONError: it is none; names the member.
            InvalidInputError: a digest in it is none.

        """
        if media_type not in DOCUMENT_TYPES:
            raise StrictJSONError(f"{media_type!a:.100} is not the media type of a manifest or index")
        is_image = media_type in MANIFEST_TYPES
        what = "the manifest" if is_image else "the index"
        value = strict_json.loads(content, floats=foreign)
        members = _members(value, what, ("schemaVersion", *_COMMON, *_CONTENT[is_image]), foreign=foreign)
        if ambiguous := sorted(name for name in members if strict_json.fold(name) in _ELSEWHERE[is_image]):
            raise StrictJSONError(f"{what} has member {ambiguous[0]!a}, which another kind of manifest has")
        config = Descriptor.from_dict(members["config"], foreign=foreign) if "config" in members else None
        subject = Descriptor.from_dict(members["subject"], foreign=foreign) if "subject" in members else None
        listed = {name: strict_json.array(members.get(name, []), what) for name in ("layers", "manifests")}
        layers, manifests = (
            tuple(Descriptor.from_dict(item, foreign=foreign) for item in items) for items in listed.values()
        )
        strict_json.require(members, what, ("schemaVersion", *(["config"] if is_image else [])))
        if not foreign:
            strict_json.require(members, what, ("mediaType", *_CONTENT[is_image]))
        if type(members["schemaVersion"]) is not int or members["schemaVersion"] != _SCHEMA_VERSION:
            raise StrictJSONError(f"member 'schemaVersion' of {what} is not {_SCHEMA_VERSION}")
        if members.get("mediaType", media_type) != media_type:
            raise StrictJSONError(f"{what} says it is {members['mediaType']!a:.100}, but was sent as {media_type}")
        return cls(
            media_type,
            config,
            layers,
            manifests,
            MappingProxyType(strict_json.strings(members.get("annotations", {}), f"the annotations of {what}")),
            _optional_media_type(members, f"member 'artifactType' of {what}"),
            subject,
        )


def _members(value: object, what: str, known: tuple[str, ...], *, foreign: bool) -> Mapping[str, Any]:
    """Return an object's members; of what others made as Go reads it, to which ``null`` is as good as absent."""
    members = strict_json.members(value, what, optional=known, others=foreign)
    return {name: item for name, item in members.items() if item is not None} if foreign else members


def _media_type(value: object, what: str) -> str:
    return strict_json.text(value, what, pattern=_MEDIA_TYPE)


def _optional_media_type(members: Mapping[str, Any], what: str) -> str | None:
    # Go, and so the spec, takes the empty text for absent.
    return _media_type(members["artifactType"], what) if members.get("artifactType", "") != "" else None


def _check_platform(value: object, *, foreign: bool) -> None:
    what = "member 'platform' of a descriptor"
    for name, item in _members(value, what, (*_PLATFORM_TEXTS, *_PLATFORM_LISTS), foreign=foreign).items():
        if name in _PLATFORM_TEXTS:
            strict_json.text(item, what)
        elif name in _PLATFORM_LISTS:
            strict_json.texts(item, what)


def _check_data(value: object, digest: Digest, size: int) -> None:
    """Check that content embedded in a descriptor is that which the descriptor names."""
    if not isinstance(value, str):
        raise StrictJSONError("member 'data' of a descriptor is not a string")
    try:
        content = base64.b64decode(value.encode(), validate=True)
    except ValueError as error:
        raise StrictJSONError("member 'data' of a descriptor is not base64") from error
    if len(content) != size or not digest.matches(content) or base64.b64encode(content).decode() != value:
        raise StrictJSONError("member 'data' of a descriptor is other content than its digest names")


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


def read_own_manifest(content: bytes) -> Document:
    """Read an image manifest that UMS made: nothing but the bytes that ``manifest_bytes`` writes.

    Raises:
        StrictJSONError: it was made otherwise; names the member, if one is the reason.
        InvalidInputError: a digest in it is none.

    """
    found = Document.from_bytes(content)
    if found.config is None:
        raise StrictJSONError("the manifest lacks member 'config'")
    written = manifest_bytes(
        config=found.config,
        layers=found.layers,
        annotations=found.annotations,
        artifact_type=found.artifact_type,
        subject=found.subject,
    )
    if written != content:
        raise StrictJSONError("the manifest has other bytes than UMS writes for what it says")
    return found
