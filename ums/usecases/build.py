"""Build: turn a bundle's folder into a release and its artifacts. Equal input gives equal bytes, anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from ums.domain.artifact import Artifact
from ums.domain.bundle import BundleSpec, ComponentKind, ComponentSpec, ReleaseClass, Requires, check_fix
from ums.domain.digest import Digest
from ums.domain.errors import InvalidInputError, NotFoundError
from ums.domain.floors import DeclaredFloor, below, refusal
from ums.domain.oci import Reference
from ums.domain.packaging import PackagedComponent
from ums.domain.release import Component, Release
from ums.domain.version import Version
from ums.ports import Clock, Packager

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
    """The release that another one is published from: its declared ancestor.

    Attributes:
        replacements: the components that are not taken from it; none at all means that each is built anew.
        notes: those of the base.

    """

    base: Release
    replacements: tuple[Replacement, ...] = field(default=())
    notes: str = ""


@dataclass(frozen=True, slots=True)
class Fix:
    """Something that the new components fix, or the one that is named."""

    name: str
    component: str = ""

    def __post_init__(self) -> None:
        check_fix(self.name)


@dataclass(frozen=True, slots=True)
class Stated:
    """What is said of a release beside its ``bundle.yaml``; it counts more."""

    release_class: ReleaseClass | None = None
    notes: str = ""
    fixes: tuple[Fix, ...] = ()


@dataclass(frozen=True, slots=True)
class Build:
    """Make artifacts."""

    packager: Packager
    clock: Clock

    def __call__(
        self,
        folder: Path,
        version: Version,
        *,
        patch: PatchOf | None = None,
        stated: Stated | None = None,
        floors: Sequence[DeclaredFloor] = (),
        override_floors: bool = False,
    ) -> Built:
        """Build all components of a folder, or – with ``patch`` – those that replace a base release's.

        Args:
            folder: of the bundle.
            version: of the release.
            patch: the release that it is published from.
            stated: what counts more than what ``bundle.yaml`` says.
            floors: those of earlier releases, beside the base's.
            override_floors: build a release that is below one.

        Raises:
            SpecError: ``bundle.yaml`` is wrong.
            InvalidInputError: a chart, manifest, image, name or fix is.
            NotFoundError: a component to replace is not in the base.
            RefusedError: a component is below a floor.

        """
        stated = stated or Stated()
        if patch is not None and version <= patch.base.version:
            raise InvalidInputError(f"version {version} is not after {patch.base.version}, which it is published from")
        if patch is not None and patch.replacements:
            built = self._build_patch(folder, version, patch, stated)
        else:
            built = self._build_whole(folder, version, patch.base if patch else None, stated)
        known = dict.fromkeys((*floors, *(patch.base.declared_floors if patch else ())))
        release = built.release
        missed = below(known, release.bundle, version, release.component_versions, self.clock.now())
        if missed and not override_floors:
            raise refusal(release.name, missed, release.component_versions)
        return built

    def _build_whole(self, folder: Path, version: Version, base: Release | None, stated: Stated) -> Built:
        spec = self.packager.read(folder)
        if base is not None and base.bundle != spec.name:
            raise InvalidInputError(f"bundle.yaml is of bundle {spec.name}, and {base.name} is not")
        packaged = self._package(folder, spec.name, spec.components, spec.requires)
        components = tuple(
            _component(each, packaged[each.name]) for each in sorted(spec.components, key=lambda each: each.name)
        )
        _check_own_floors(spec, components)
        kept = tuple(_with_kept(each, base.component(each.name) if base else None) for each in components)
        notes = stated.notes or spec.notes
        release = Release(
            bundle=spec.name,
            version=version,
            components=_with_fixes(kept, stated.fixes, new=[each.name for each in kept]),
            removes=spec.removes,
            requires=spec.requires,
            upgrade=spec.upgrade,
            release_class=_class(stated, spec, is_fix=bool(spec.fixes), otherwise=ReleaseClass.FEATURE),
            image_lock=spec.image_lock,
            notes_digest=_digest(notes),
            base=base.version if base else None,
            floors=spec.floors,
        )
        artifacts = {name: each.artifact for name, each in packaged.items()}
        return Built(release, release.to_artifact(notes), artifacts, notes=notes)

    def _build_patch(self, folder: Path, version: Version, patch: PatchOf, stated: Stated) -> Built:
        base = patch.base
        needs_spec = any(each.source is None for each in patch.replacements)
        spec = self.packager.read(folder) if needs_spec else None
        specs = tuple(_replacement_spec(base, each, version, spec) for each in patch.replacements)
        packaged = self._package(folder, base.bundle, specs, base.requires)
        replaced = {each.name: _component(each, packaged[each.name]) for each in specs}
        if spec is not None:
            _check_own_floors(spec, tuple(replaced.values()))
        is_fix = any(
            set(replaced[each.name].fixes) - set(each.fixes) for each in base.components if each.name in replaced
        )
        components = tuple(
            _with_kept(replaced[each.name], each) if each.name in replaced else each for each in base.components
        )
        notes = _notes(stated.notes or (spec.notes if spec else ""), base, patch.notes)
        release = replace(
            base,
            version=version,
            components=_with_fixes(components, stated.fixes, new=list(replaced)),
            removes=(),
            release_class=_class(stated, spec, is_fix=is_fix, otherwise=ReleaseClass.BUGFIX),
            notes_digest=_digest(notes),
            upgrade=replace(base.upgrade, barrier="", irreversible=False),
            base=base.version,
            floors=tuple(dict.fromkeys((*base.floors, *(spec.floors if spec else ())))),
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


def _check_own_floors(spec: BundleSpec, components: Iterable[Component]) -> None:
    versions = {each.name: each.version for each in components}
    for floor in spec.floors:
        found = versions.get(floor.component)
        if found is not None and not floor.versions.spans(found):
            raise InvalidInputError(
                f"{floor.component} {found} is below the floor {floor.versions} that bundle.yaml itself declares",
                hint="correct one of the two",
            )


def _with_kept(component: Component, before: Component | None) -> Component:
    """Return a component with the fixes of the base's, where it is not older than that."""
    if before is None or not component.goes_on_from(before):
        return component
    return replace(component, fixes=tuple(dict.fromkeys((*before.fixes, *component.fixes))))


def _with_fixes(components: Iterable[Component], fixes: Sequence[Fix], *, new: Sequence[str]) -> tuple[Component, ...]:
    """Return components with what is said to be fixed: in the one that is named, or in all new ones."""
    components = tuple(components)
    names = [each.name for each in components]
    for fix in fixes:
        if fix.component and fix.component not in names:
            raise NotFoundError(
                f"{fix.name} is said to be fixed in {fix.component}, which is no component of the release",
                hint=f"it has {', '.join(names)}",
            )
    given = {name: [fix.name for fix in fixes if name in ([fix.component] if fix.component else new)] for name in names}
    return tuple(replace(each, fixes=tuple(dict.fromkeys((*each.fixes, *given[each.name])))) for each in components)


def _class(stated: Stated, spec: BundleSpec | None, *, is_fix: bool, otherwise: ReleaseClass) -> ReleaseClass:
    """Return the class: as stated, else security for fixes, unless bundle.yaml gives another one for its own."""
    if stated.release_class is not None:
        return stated.release_class
    if stated.fixes:
        return ReleaseClass.SECURITY
    if spec is not None and spec.release_class is not None:
        return spec.release_class
    return ReleaseClass.SECURITY if is_fix else otherwise


def _notes(new: str, base: Release, before: str) -> str:
    """Return the notes of a patch: its own, and below them those of its base."""
    if not new or before in new:
        return new or before
    return f"{new.rstrip()}\n\n## {base.name}\n\n{before}"


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
        fixes=tuple(dict.fromkeys(spec.fixes)),
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
