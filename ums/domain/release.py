"""A release: one immutable, signed version of a bundle. Its wire form is canonical JSON, free of locations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Self

from ums.domain import strict_json
from ums.domain.artifact import EMPTY_BLOB, Artifact, Blob
from ums.domain.bundle import (
    ComponentKind,
    OnFailure,
    ReleaseClass,
    Requires,
    UpgradeRules,
    Workload,
    check_components,
    check_image_lock,
)
from ums.domain.canonical import canonical_json
from ums.domain.digest import Digest
from ums.domain.errors import InvalidInputError
from ums.domain.floors import DeclaredFloor, Floor
from ums.domain.names import check_name
from ums.domain.oci import (
    ANNOTATION_CREATED,
    ANNOTATION_TITLE,
    ANNOTATION_VERSION,
    NOTES,
    RELEASE,
    Document,
    read_own_manifest,
)
from ums.domain.strict_json import StrictJSONError
from ums.domain.text import MULTI_LINE, check_plain
from ums.domain.version import Version, VersionRange

SCHEMA = 1
EPOCH = "1970-01-01T00:00:00Z"
"""Creation time written into artifacts: a real one would make equal content differ."""


@dataclass(frozen=True, slots=True)
class Component:
    """One component of a release.

    Attributes:
        digest: of the OCI manifest, in repository ``<prefix>/<bundle>/<name>``.
        content_digest: of the uncompressed layer, which does not depend on the zlib that packed it.
        fixes: CVEs and the like that are fixed in it, as the release declares.

    """

    name: str
    kind: ComponentKind
    version: Version
    digest: Digest
    content_digest: Digest
    namespace: str
    release_name: str
    storage_namespace: str
    needs: tuple[str, ...]
    images: tuple[str, ...]
    workloads: tuple[Workload, ...]
    timeout: timedelta
    on_failure: OnFailure = OnFailure.RETRY
    fixes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the wire form."""
        data = {
            "name": self.name,
            "kind": self.kind.value,
            "version": str(self.version),
            "digest": str(self.digest),
            "contentDigest": str(self.content_digest),
            "namespace": self.namespace,
            "releaseName": self.release_name,
            "storageNamespace": self.storage_namespace,
            "needs": list(self.needs),
            "images": list(self.images),
            "workloads": [workload.to_dict() for workload in self.workloads],
            "timeoutSeconds": int(self.timeout.total_seconds()),
            "fixes": list(self.fixes),
        }
        # Left out by default, as releases from before there was a choice are: their bytes stay what was signed.
        return data if self.on_failure is OnFailure.RETRY else {**data, "onFailure": self.on_failure.value}

    @classmethod
    def from_dict(cls, data: object) -> Self:
        """Read the wire form.

        Raises:
            InvalidInputError: it is not the one that ``to_dict`` returns.

        """
        data = strict_json.members(data, "a component", required=_COMPONENT, optional=("onFailure",))
        name = check_name(_text(data, "name"), "component name")
        kind = ComponentKind(_text(data, "kind"))
        is_chart = kind is ComponentKind.CHART
        return cls(
            name=name,
            kind=kind,
            version=Version(_text(data, "version")),
            digest=Digest.parse(_text(data, "digest")),
            content_digest=Digest.parse(_text(data, "contentDigest")),
            namespace=check_name(_text(data, "namespace"), "namespace"),
            release_name=_chart_name(data, "releaseName", is_chart=is_chart),
            storage_namespace=_chart_name(data, "storageNamespace", is_chart=is_chart),
            needs=_texts(data, "needs"),
            images=_texts(data, "images", pattern=_IMAGE),
            workloads=tuple(_workload(item) for item in strict_json.array(data["workloads"], "member 'workloads'")),
            timeout=timedelta(
                seconds=strict_json.integer(data["timeoutSeconds"], _TIMEOUT, minimum=1, maximum=_MAX_TIMEOUT)
            ),
            on_failure=OnFailure(_text(data, "onFailure") if "onFailure" in data else OnFailure.RETRY),
            fixes=_texts(data, "fixes", pattern=_FIX),
        )

    def goes_on_from(self, before: Component) -> bool:
        """Return whether it keeps what an earlier build of it fixed, once a release declares that it comes from it."""
        return self.digest == before.digest or not self.version.is_older_than(before.version)


@dataclass(frozen=True, slots=True)
class Release:
    """One published version of a bundle.

    Attributes:
        base: the version that it was published from, which is its declared ancestor; ``None`` where there is none.
        floors: what it demands of releases after it.

    """

    bundle: str
    version: Version
    components: tuple[Component, ...]
    removes: tuple[str, ...] = ()
    requires: Requires = field(default_factory=Requires)
    upgrade: UpgradeRules = field(default_factory=UpgradeRules)
    release_class: ReleaseClass = ReleaseClass.FEATURE
    image_lock: bool = True
    notes_digest: Digest | None = None
    base: Version | None = None
    floors: tuple[Floor, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.bundle, "bundle name")
        check_components(self.bundle, {each.name: each.needs for each in self.components}, self.removes)
        if self.base is not None and not self.base < self.version:
            raise InvalidInputError(f"version {self.version} is not after {self.base}, which it is published from")
        if self.image_lock:
            for each in self.components:
                check_image_lock(each.name, each.images)

    @property
    def name(self) -> str:
        """Return ``bundle@version``, as people write it."""
        return f"{self.bundle}@{self.version}"

    @property
    def fixes(self) -> tuple[str, ...]:
        """Return what any of its components fixes, as it declares, each once."""
        return tuple(dict.fromkeys(fix for component in self.components for fix in component.fixes))

    @property
    def declared_floors(self) -> tuple[DeclaredFloor, ...]:
        """Return its floors, each with its name."""
        return tuple(DeclaredFloor(self.bundle, self.version, floor) for floor in self.floors)

    @property
    def component_versions(self) -> dict[str, Version]:
        """Return the own version of each component."""
        return {each.name: each.version for each in self.components}

    def component(self, name: str) -> Component | None:
        """Return the component of that name, or ``None``."""
        return next((each for each in self.components if each.name == name), None)

    def to_bytes(self) -> bytes:
        """Return canonical JSON (RFC 8785)."""
        return canonical_json(
            {
                "schema": SCHEMA,
                "bundle": self.bundle,
                "version": str(self.version),
                "class": self.release_class.value,
                "base": str(self.base) if self.base else None,
                "imageLock": "required" if self.image_lock else "relaxed",
                "notesDigest": str(self.notes_digest) if self.notes_digest else None,
                "requires": self.requires.to_dict(),
                "upgrade": self.upgrade.to_dict(),
                "removes": list(self.removes),
                "floors": [floor.to_dict() for floor in self.floors],
                "components": [component.to_dict() for component in self.components],
            }
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read the wire form: nothing but the bytes that ``to_bytes`` returns, so that it has one reading.

        Raises:
            InvalidInputError: it is no release, or of a newer schema.

        """
        try:
            release = cls._from_dict(strict_json.loads(content))
        except (InvalidInputError, ValueError) as error:
            hint = error.hint if isinstance(error, InvalidInputError) else ""
            raise InvalidInputError(f"not a release manifest: {error}", hint=hint) from error
        if release.to_bytes() != content:
            raise StrictJSONError(f"not a release manifest: UMS writes other bytes for {release.name}")
        return release

    @classmethod
    def _from_dict(cls, data: object) -> Self:
        data = strict_json.members(data, "the release", required=("schema",), optional=_RELEASE, others=True)
        if (schema := strict_json.integer(data["schema"], "member 'schema'")) != SCHEMA:
            raise InvalidInputError(f"the release has schema {schema}, this UMS reads {SCHEMA}", hint="upgrade UMS")
        strict_json.members(data, "the release", required=_RELEASE)
        requires = strict_json.members(
            data["requires"], "member 'requires'", required=("kubernetes", "flux", "bundles")
        )
        upgrade = strict_json.members(data["upgrade"], "member 'upgrade'", required=("from", "barrier", "irreversible"))
        notes = data["notesDigest"]
        components = tuple(map(Component.from_dict, strict_json.array(data["components"], "member 'components'")))
        if not components or len({component.name for component in components}) != len(components):
            raise StrictJSONError("member 'components' is empty, or names a component twice")
        return cls(
            bundle=_text(data, "bundle"),
            version=Version(_text(data, "version")),
            components=components,
            removes=tuple(check_name(name, "component name") for name in _texts(data, "removes")),
            requires=Requires(
                _range(requires, "kubernetes"),
                _range(requires, "flux"),
                {
                    check_name(name, "bundle name"): VersionRange(versions)
                    for name, versions in strict_json.strings(requires["bundles"], "member 'bundles'").items()
                },
            ),
            upgrade=UpgradeRules(
                _range(upgrade, "from"),
                check_plain(_text(upgrade, "barrier"), "member 'barrier'", keep=MULTI_LINE),
                strict_json.boolean(upgrade["irreversible"], "member 'irreversible'"),
            ),
            release_class=ReleaseClass(_text(data, "class")),
            base=None if data["base"] is None else Version(_text(data, "base")),
            floors=tuple(map(Floor.from_dict, strict_json.array(data["floors"], "member 'floors'"))),
            image_lock={"required": True, "relaxed": False}[_text(data, "imageLock", pattern=_IMAGE_LOCK)],
            notes_digest=None if notes is None else Digest.parse(_text(data, "notesDigest")),
        )

    def to_artifact(self, notes: str = "") -> Artifact:
        """Return the release as an OCI artifact: the manifest JSON, and the notes where there are any."""
        layers = [Blob.of(self.to_bytes(), RELEASE)]
        if notes:
            layers.append(Blob.of(notes.encode(), NOTES))
        return Artifact.assemble(
            config=EMPTY_BLOB,
            layers=tuple(layers),
            artifact_type=RELEASE,
            annotations={
                ANNOTATION_CREATED: EPOCH,
                ANNOTATION_TITLE: self.bundle,
                ANNOTATION_VERSION: str(self.version),
            },
        )


def read_release_manifest(content: bytes) -> Document:
    """Return the manifest of a release's artifact: the release, and notes where there are any.

    Raises:
        StrictJSONError: it is none.

    """
    manifest = read_own_manifest(content)
    if [layer.media_type for layer in manifest.layers] not in ([RELEASE], [RELEASE, NOTES]):
        raise StrictJSONError(f"its layers are not {RELEASE} and, where there are notes, {NOTES}")
    return manifest


def check_release_parts(manifest: bytes, content: bytes, notes: bytes = b"") -> tuple[Release, str]:
    """Return the release and its notes, having checked that UMS writes this manifest for them.

    Raises:
        StrictJSONError: it writes another, or the notes are not those that the release names.
        InvalidInputError: the content is no release.

    """
    release = Release.from_bytes(content)
    try:
        text = notes.decode()
    except UnicodeDecodeError as error:
        raise StrictJSONError("its notes are not UTF-8") from error
    if release.notes_digest != (Digest.of(notes) if notes else None):
        raise StrictJSONError(f"its notes are not those that {release.name} names")
    if release.to_artifact(text).manifest != manifest:
        raise StrictJSONError(f"its manifest is not the one that UMS writes for {release.name}")
    return release, text


_RELEASE = (
    *("schema", "bundle", "version", "class", "base", "imageLock", "notesDigest"),
    *("requires", "upgrade", "removes", "floors", "components"),
)
_COMPONENT = (
    *("name", "kind", "version", "digest", "contentDigest", "namespace", "releaseName", "storageNamespace"),
    *("needs", "images", "workloads", "timeoutSeconds", "fixes"),
)
_WORKLOAD = ("apiVersion", "kind", "namespace", "name")
_IMAGE = re.compile(r"[\x21-\x7e]{1,512}")
_FIX = re.compile(r"[A-Z]+-[A-Za-z0-9-]+")
_IMAGE_LOCK = re.compile("required|relaxed")
_TIMEOUT, _MAX_TIMEOUT = "member 'timeoutSeconds'", 10**9
"""Longer than anybody waits, and short enough for every calculation with dates."""


def _text(data: Mapping[str, Any], name: str, pattern: re.Pattern[str] | None = None) -> str:
    return strict_json.text(data[name], f"member {name!r}", pattern=pattern)


def _texts(data: Mapping[str, Any], name: str, pattern: re.Pattern[str] | None = None) -> tuple[str, ...]:
    return tuple(strict_json.texts(data[name], f"member {name!r}", pattern=pattern))


def _chart_name(data: Mapping[str, Any], name: str, *, is_chart: bool) -> str:
    """Return a name that Helm uses; manifests have none."""
    text = _text(data, name)
    return check_name(text, name) if is_chart or text else ""


def _workload(data: object) -> Workload:
    members = strict_json.members(data, "a workload", required=_WORKLOAD)
    return Workload(*(_text(members, name) for name in _WORKLOAD))


def _range(data: Mapping[str, Any], name: str) -> VersionRange | None:
    return None if data[name] is None else VersionRange(_text(data, name))


@dataclass(frozen=True, slots=True)
class ReleaseName:
    """``bundle@version``: how people name a release."""

    bundle: str
    version: Version

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``bundle@version``.

        Raises:
            InvalidInputError: the ``@`` is missing or a part is wrong.

        """
        bundle, at, version = text.partition("@")
        if not at:
            raise InvalidInputError(
                f"{text!r:.90} does not name a release", hint="write bundle@version: platform@1.4.2"
            )
        return cls(check_name(bundle, "bundle name"), Version(version))

    def __str__(self) -> str:
        return f"{self.bundle}@{self.version}"


@dataclass(frozen=True, slots=True)
class ComponentChange:
    """How one component differs between two releases; ``None`` where it is absent."""

    name: str
    before: Component | None
    after: Component | None

    @property
    def kind(self) -> str:
        """Return ``added``, ``removed``, ``changed``, ``downgraded`` or ``same``."""
        if self.before is None:
            return "added"
        if self.after is None:
            return "removed"
        if self.before.digest == self.after.digest:
            return "same"
        return "downgraded" if self.after.version.is_older_than(self.before.version) else "changed"

    @property
    def versions(self) -> str:
        """Return the component's versions before and after, for people."""
        return " -> ".join(str(each.version) if each else "–" for each in (self.before, self.after))

    def to_dict(self) -> dict[str, Any]:
        """Return the form used in API answers."""

        def short(component: Component | None) -> dict[str, str] | None:
            return None if component is None else {"version": str(component.version), "digest": str(component.digest)}

        return {"component": self.name, "change": self.kind, "before": short(self.before), "after": short(self.after)}


def diff_releases(before: Release | None, after: Release) -> tuple[ComponentChange, ...]:
    """Return every component of either release, in the order of ``after``, then what it lacks."""
    old = {each.name: each for each in before.components} if before else {}
    changes = [ComponentChange(each.name, old.pop(each.name, None), each) for each in after.components]
    return (*changes, *(ComponentChange(name, each, None) for name, each in old.items()))
