"""What people write in ``bundle.yaml``: the components that are versioned, tested and signed together."""

from __future__ import annotations

import graphlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

from ums.domain.digest import Digest
from ums.domain.errors import InvalidInputError
from ums.domain.floors import Floor
from ums.domain.names import MAX_NAME_LENGTH, ComponentName, check_name
from ums.domain.oci import Reference
from ums.domain.version import Version, VersionRange

MAX_OBJECT_NAME = 55
"""Longest ``<bundle>-<component>``: with our suffix it must still fit a label value (63)."""
DEFAULT_TIMEOUT = timedelta(minutes=2)
"""Short on purpose: a running health check holds back the fix behind it."""
FIX = re.compile(r"[A-Z]+-[A-Za-z0-9-]{1,80}", re.ASCII)
"""The name of what a component fixes: CVE-2026-1234, GHSA-…"""


_OBJECT = {
    "apiVersion": re.compile(r"(?:[a-z0-9][a-z0-9.-]{0,252}/)?[a-z][a-z0-9]{0,62}"),
    "kind": re.compile(r"[A-Za-z][A-Za-z0-9]{0,62}"),
    "namespace": re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"),
    "name": re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:-]{0,251}[A-Za-z0-9])?"),
}


class ReleaseClass(StrEnum):
    """Why a release exists; policies and subscriptions select by it."""

    SECURITY = "security"
    BUGFIX = "bugfix"
    FEATURE = "feature"


class ComponentKind(StrEnum):
    """How Flux applies a component."""

    CHART = "chart"
    MANIFESTS = "manifests"


class OnFailure(StrEnum):
    """What the cluster does by itself, asking nobody, when the update of a chart fails."""

    RETRY = "retry"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True, order=True)
class Workload:
    """An object whose health is the component's health; each field as Kubernetes writes it."""

    api_version: str
    kind: str
    namespace: str
    name: str

    def __post_init__(self) -> None:
        for name, text in self.to_dict().items():
            if not _OBJECT[name].fullmatch(text):
                raise InvalidInputError(
                    f"{text!a:.90} is not the {name} of an object",
                    hint="write it as Kubernetes does: apps/v1, Deployment",
                )

    def to_dict(self) -> dict[str, str]:
        """Return the form that Flux uses in ``healthChecks``."""
        return {"apiVersion": self.api_version, "kind": self.kind, "namespace": self.namespace, "name": self.name}


@dataclass(frozen=True, slots=True)
class Requires:
    """What must be there before a release may be installed; ``None`` means anything."""

    kubernetes: VersionRange | None = None
    flux: VersionRange | None = None
    bundles: Mapping[str, VersionRange] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the wire form."""
        return {
            "kubernetes": str(self.kubernetes) if self.kubernetes else None,
            "flux": str(self.flux) if self.flux else None,
            "bundles": {name: str(versions) for name, versions in self.bundles.items()},
        }


@dataclass(frozen=True, slots=True)
class UpgradeRules:
    """From which releases one may come, and whether one may go back or skip this one."""

    from_versions: VersionRange | None = None
    barrier: str = ""
    irreversible: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the wire form."""
        return {
            "from": str(self.from_versions) if self.from_versions else None,
            "barrier": self.barrier,
            "irreversible": self.irreversible,
        }


@dataclass(frozen=True, slots=True)
class ComponentSpec:
    """One component as written.

    Attributes:
        source: a path inside the bundle's folder, or a registry reference with a digest (charts only).
        version: required for manifests; a chart brings its own.
        release_name: Helm release to adopt or create.
        values: merged into the chart at build.
        needs: components of this bundle that must be healthy first.
        images: the image lock: every image the component runs, with digest.
        workloads: objects to watch; for manifests they are found by reading them.
        on_failure: only Helm, and so only a chart, keeps in the cluster what was there before.
        fixes: CVEs and the like that are fixed in it.

    """

    name: str
    kind: ComponentKind
    source: str | Reference
    namespace: str
    version: Version | None = None
    release_name: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    workloads: tuple[Workload, ...] = ()
    timeout: timedelta = DEFAULT_TIMEOUT
    on_failure: OnFailure = OnFailure.RETRY
    fixes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.name, "component name")
        if self.on_failure is OnFailure.ROLLBACK and self.kind is not ComponentKind.CHART:
            raise InvalidInputError(
                f"component {self.name}: nothing in a cluster keeps what manifests were before",
                hint="leave out onFailure, or make it a chart; manifests go back by ums rollback",
            )
        if self.kind is ComponentKind.MANIFESTS and self.version is None:
            raise InvalidInputError(
                f"component {self.name}: manifests carry no version of their own",
                hint="add version: MAJOR.MINOR.PATCH to the component",
            )
        if isinstance(self.source, Reference) and self.source.digest is None:
            raise InvalidInputError(
                f"component {self.name}: {self.source} has no digest, so what it means can change",
                hint="write oci://registry/repository@sha256:…",
            )


@dataclass(frozen=True, slots=True)
class BundleSpec:
    """A whole ``bundle.yaml``, checked."""

    name: str
    components: tuple[ComponentSpec, ...]
    removes: tuple[str, ...] = ()
    requires: Requires = field(default_factory=Requires)
    upgrade: UpgradeRules = field(default_factory=UpgradeRules)
    release_class: ReleaseClass | None = None
    notes: str = ""
    image_lock: bool = True
    floors: tuple[Floor, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.name, "bundle name")
        if not self.components:
            raise InvalidInputError(f"bundle {self.name} has no components", hint="list at least one under components:")
        check_components(self.name, {component.name: component.needs for component in self.components}, self.removes)
        names = [component.name for component in self.components]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InvalidInputError(f"bundle {self.name} lists {', '.join(twice)} twice")
        for floor in self.floors:
            if floor.component not in names:
                raise InvalidInputError(
                    f"bundle {self.name} has a floor for component {floor.component}, which it does not have",
                    hint=f"it has {', '.join(names)}",
                )

    @property
    def fixes(self) -> tuple[str, ...]:
        """Return what any of its components fixes, each once."""
        return tuple(dict.fromkeys(fix for component in self.components for fix in component.fixes))


def check_fix(text: str) -> str:
    """Return the name of a fix.

    Raises:
        InvalidInputError: it is none.

    """
    if not FIX.fullmatch(text):
        raise InvalidInputError(f"{text!r:.90} names no fix", hint="write for instance CVE-2026-1234 or GHSA-xxxx")
    return text


def check_components(bundle: str, needs: Mapping[str, Iterable[str]], removes: Iterable[str]) -> None:
    """Check that names fit, that every need is met, without cycles, and that nothing removed is still there.

    Raises:
        InvalidInputError: with the names concerned.

    """
    for name in needs:
        if len(ComponentName(bundle, name).object_name) > MAX_OBJECT_NAME:
            raise InvalidInputError(
                f"{bundle}-{name} is longer than the {MAX_OBJECT_NAME} characters that fit Kubernetes' labels",
                hint=f"names have at most {MAX_NAME_LENGTH} characters each, {MAX_OBJECT_NAME} together",
            )
    for name, needed in needs.items():
        missing = sorted(set(needed) - set(needs))
        if missing:
            raise InvalidInputError(
                f"component {name} needs {', '.join(missing)}, which bundle {bundle} does not have",
                hint=f"it has {', '.join(sorted(needs))}",
            )
    try:
        graphlib.TopologicalSorter(needs).prepare()
    except graphlib.CycleError as error:
        raise InvalidInputError(
            f"components need each other in a circle: {' -> '.join(reversed(error.args[1]))}",
            hint="remove one of these needs",
        ) from error
    still_there = sorted(set(removes) & set(needs))
    if still_there:
        raise InvalidInputError(
            f"{', '.join(still_there)} is both a component and listed under removes", hint="delete one of the two"
        )


def split_image(image: str) -> tuple[str, Digest | None]:
    """Return an image reference without and with its digest part.

    Raises:
        InvalidInputError: what follows ``@`` is no digest.

    """
    name, at, digest = image.partition("@")
    return name, Digest.parse(digest) if at else None


def check_image_lock(component: str, images: Iterable[str]) -> None:
    """Check that every image is named with its digest.

    Raises:
        InvalidInputError: names all images without one.

    """
    loose = sorted({image for image in images if split_image(image)[1] is None})
    if loose:
        raise InvalidInputError(
            f"component {component} runs images without a digest: {', '.join(loose)}",
            hint="write image: name:tag@sha256:…, or set imageLock: relaxed in bundle.yaml, "
            "which every release then shows",
        )
