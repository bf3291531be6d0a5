"""A release: one immutable, signed version of a bundle. Its wire form is canonical JSON, free of locations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Self

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
from ums.domain.names import check_name
from ums.domain.oci import ANNOTATION_CREATED, ANNOTATION_TITLE, ANNOTATION_VERSION, NOTES, RELEASE
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
        }
        # Left out by default, as releases from before there was a choice are: their bytes stay what was signed.
        return data if self.on_failure is OnFailure.RETRY else {**data, "onFailure": self.on_failure.value}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the wire form; unknown members are ignored, and kept in the stored bytes."""
        return cls(
            name=check_name(data["name"], "component name"),
            kind=ComponentKind(data["kind"]),
            version=Version(data["version"]),
            digest=Digest.parse(data["digest"]),
            content_digest=Digest.parse(data["contentDigest"]),
            namespace=check_name(data["namespace"], "namespace"),
            release_name=data["releaseName"],
            storage_namespace=data["storageNamespace"],
            needs=tuple(data["needs"]),
            images=tuple(data["images"]),
            workloads=tuple(
                Workload(item["apiVersion"], item["kind"], item["namespace"], item["name"])
                for item in data["workloads"]
            ),
            timeout=timedelta(seconds=int(data["timeoutSeconds"])),
            on_failure=OnFailure(data.get("onFailure", OnFailure.RETRY)),
        )


@dataclass(frozen=True, slots=True)
class Release:
    """One published version of a bundle."""

    bundle: str
    version: Version
    components: tuple[Component, ...]
    removes: tuple[str, ...] = ()
    requires: Requires = field(default_factory=Requires)
    upgrade: UpgradeRules = field(default_factory=UpgradeRules)
    release_class: ReleaseClass = ReleaseClass.FEATURE
    fixes: tuple[str, ...] = ()
    image_lock: bool = True
    notes_digest: Digest | None = None

    def __post_init__(self) -> None:
        check_name(self.bundle, "bundle name")
        check_components(self.bundle, {each.name: each.needs for each in self.components}, self.removes)
        if self.image_lock:
            for each in self.components:
                check_image_lock(each.name, each.images)

    @property
    def name(self) -> str:
        """Return ``bundle@version``, as people write it."""
        return f"{self.bundle}@{self.version}"

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
                "fixes": list(self.fixes),
                "imageLock": "required" if self.image_lock else "relaxed",
                "notesDigest": str(self.notes_digest) if self.notes_digest else None,
                "requires": self.requires.to_dict(),
                "upgrade": self.upgrade.to_dict(),
                "removes": list(self.removes),
                "components": [component.to_dict() for component in self.components],
            }
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read the wire form.

        Raises:
            InvalidInputError: it is no release, or of a newer schema.

        """
        try:
            data = json.loads(content)
            if data["schema"] != SCHEMA:
                raise InvalidInputError(
                    f"the release has schema {data['schema']}, this UMS reads {SCHEMA}", hint="upgrade UMS"
                )
            requires, upgrade = data["requires"], data["upgrade"]
            return cls(
                bundle=data["bundle"],
                version=Version(data["version"]),
                components=tuple(Component.from_dict(each) for each in data["components"]),
                removes=tuple(data["removes"]),
                requires=Requires(
                    _range(requires["kubernetes"]),
                    _range(requires["flux"]),
                    {name: VersionRange(versions) for name, versions in requires["bundles"].items()},
                ),
                upgrade=UpgradeRules(_range(upgrade["from"]), upgrade["barrier"], upgrade["irreversible"]),
                release_class=ReleaseClass(data["class"]),
                fixes=tuple(data["fixes"]),
                image_lock=data["imageLock"] == "required",
                notes_digest=Digest.parse(data["notesDigest"]) if data["notesDigest"] else None,
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InvalidInputError(f"not a release manifest: {type(error).__name__}: {error}") from error

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


def _range(text: str | None) -> VersionRange | None:
    return VersionRange(text) if text else None


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
        """Return ``added``, ``removed``, ``changed`` or ``same``."""
        if self.before is None:
            return "added"
        if self.after is None:
            return "removed"
        return "same" if self.before.digest == self.after.digest else "changed"

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
