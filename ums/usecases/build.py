"""Build: turn a bundle's folder into a release and its artifacts. Equal input gives equal bytes, anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from ums.domain.artifact import Artifact
from ums.domain.bundle import BundleSpec, ComponentKind, ComponentSpec, Requires
from ums.domain.digest import Digest
from ums.domain.errors import InvalidInputError, NotFoundError
from ums.domain.oci import Reference
from ums.domain.packaging import PackagedComponent
from ums.domain.release import Component, Release
from ums.domain.version import Version
from ums.ports import Packager

PARALLEL = 4


@dataclass(frozen=True, slots=True)
class Built:
    """A release and what must be in the registry for it.

    Attributes:
        components: artifacts by component name; those reused from a base release are not among them.
        reused: names of the components taken from the base, by digest.

    """

    release: Release
    artifact: Artifact
    components: Mapping[str, Artifact]
    reused: tuple[str, ...] = ()
    notes: str = ""

    @property
    def size(self) -> int:
        """Return the bytes of all blobs."""
        artifacts = (self.artifact, *self.components.values())
        return sum(blob.descriptor.size for artifact in artifacts for blob in artifact.blobs)


@dataclass(frozen=True, slots=True)
class Replacement:
    """A component to replace in a base release.

    Attributes:
        source: a chart or folder of manifests, or ``None`` to take the component from the bundle's folder.
        images: its image lock, where no Helm is there to read it from the chart.

    """

    component: str
    source: str | None = None
    images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PatchOf:
    """A release to take every component from that is not replaced."""

    base: Release
    replacements: tuple[Replacement, ...] = field(default=())
    fixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Build:
    """Make artifacts."""

    packager: Packager

    def __call__(self, folder: Path, version: Version, *, patch: PatchOf | None = None) -> Built:
        """Build all components of a folder, or – with ``patch`` – those that replace a base release's.

        Raises:
            SpecError: ``bundle.yaml`` is wrong.
            InvalidInputError: a chart, manifest, image or name is.
            NotFoundError: a component to replace is not in the base.

        """
        if patch is not None:
            return self._build_patch(folder, version, patch)
        spec = self.packager.read(folder)
        packaged = self._package(folder, spec.name, spec.components, spec.requires)
        components = tuple(
            _component(each, packaged[each.name]) for each in sorted(spec.components, key=lambda each: each.name)
        )
        release = Release(
            bundle=spec.name,
            version=version,
            components=components,
            removes=spec.removes,
            requires=spec.requires,
            upgrade=spec.upgrade,
            release_class=spec.release_class,
            fixes=spec.fixes,
            image_lock=spec.image_lock,
            notes_digest=_digest(spec.notes),
        )
        artifacts = {name: each.artifact for name, each in packaged.items()}
        return Built(release, release.to_artifact(spec.notes), artifacts, notes=spec.notes)

    def _build_patch(self, folder: Path, version: Version, patch: PatchOf) -> Built:
        base = patch.base
        if version <= base.version:
            raise InvalidInputError(f"version {version} is not after {base.version}, which it patches")
        if not patch.replacements:
            raise InvalidInputError(
                "a patch release replaces at least one component", hint="add --replace <component>[=<path>]"
            )
        needs_spec = any(each.source is None for each in patch.replacements)
        spec = self.packager.read(folder) if needs_spec else None
        specs = tuple(_replacement_spec(base, each, version, spec) for each in patch.replacements)
        packaged = self._package(folder, base.bundle, specs, base.requires)
        replaced = {each.name: _component(each, packaged[each.name]) for each in specs}
        notes = spec.notes if spec else ""
        release = replace(
            base,
            version=version,
            components=tuple(replaced.get(each.name, each) for each in base.components),
            removes=(),
            release_class=spec.release_class if spec else base.release_class,
            fixes=patch.fixes or (spec.fixes if spec else ()),
            notes_digest=_digest(notes),
            upgrade=replace(base.upgrade, barrier="", irreversible=False),
        )
        reused = tuple(each.name for each in base.components if each.name not in replaced)
        artifacts = {name: each.artifact for name, each in packaged.items()}
        return Built(release, release.to_artifact(notes), artifacts, reused, notes)

    def _package(
        self, folder: Path, bundle: str, specs: tuple[ComponentSpec, ...], requires: Requires
    ) -> dict[str, PackagedComponent]:
        package = partial(self.packager.package, folder, bundle, kubernetes=requires.kubernetes)
        with ThreadPoolExecutor(PARALLEL) as pool:
            packaged = pool.map(package, specs)
            return {spec.name: each for spec, each in zip(specs, packaged, strict=True)}


def _component(spec: ComponentSpec, packaged: PackagedComponent) -> Component:
    is_chart = spec.kind is ComponentKind.CHART
    return Component(
        name=spec.name,
        kind=spec.kind,
        version=packaged.version,
        digest=packaged.artifact.descriptor.digest,
        content_digest=packaged.content_digest,
        namespace=spec.namespace,
        release_name=(spec.release_name or spec.name) if is_chart else "",
        storage_namespace=spec.namespace if is_chart else "",
        needs=tuple(sorted(spec.needs)),
        images=packaged.images,
        workloads=packaged.workloads,
        timeout=spec.timeout,
        on_failure=spec.on_failure,
    )


def _replacement_spec(
    base: Release, replacement: Replacement, version: Version, spec: BundleSpec | None
) -> ComponentSpec:
    old = base.component(replacement.component)
    if old is None:
        raise NotFoundError(
            f"{base.name} has no component {replacement.component} to replace",
            hint=f"it has {', '.join(each.name for each in base.components)}",
        )
    if replacement.source is None:
        found = next((each for each in spec.components if each.name == old.name), None) if spec else None
        if found is None:
            raise NotFoundError(
                f"bundle.yaml has no component {old.name}", hint=f"add it, or give --replace {old.name}=<path>"
            )
        return found
    source = replacement.source
    return ComponentSpec(
        name=old.name,
        kind=old.kind,
        source=Reference.parse(source) if source.startswith("oci://") else source,
        namespace=old.namespace,
        version=version if old.kind is ComponentKind.MANIFESTS else None,
        release_name=old.release_name,
        needs=old.needs,
        images=replacement.images,
        workloads=old.workloads if replacement.images else (),
        timeout=old.timeout,
        on_failure=old.on_failure,
    )


def _digest(notes: str) -> Digest | None:
    return Digest.of(notes.encode()) if notes else None
