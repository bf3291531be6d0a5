"""A bundle's folder: ``bundle.yaml``, and the charts and manifests it names, made into reproducible artifacts.

Charts are Go templates, which nothing in Python renders: with Helm at hand the rendering is compared with what the
bundle declares; without, the declaration is what counts (ADR 0006). The artifact is the same either way.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ums.adapters._archive import MAX_TOTAL_BYTES, check_inside, pack, read_file, read_folder, unpack
from ums.adapters._helm import BOM, crds, render, with_subcharts, with_values, without_ignored, without_top
from ums.adapters._objects import read_objects, write_objects
from ums.adapters._placement import place_chart, place_manifests
from ums.adapters._yaml import Name, StrictModel, parsed_by, validate
from ums.domain.bundle import (
    FIX,
    BundleSpec,
    ComponentKind,
    ComponentSpec,
    OnFailure,
    ReleaseClass,
    Requires,
    UpgradeRules,
    Workload,
    split_image,
)
from ums.domain.component_artifact import chart_artifact, manifests_artifact
from ums.domain.errors import InvalidInputError, SpecError
from ums.domain.floors import Floor
from ums.domain.instants import MAX_TIMEOUT, parse_duration, parse_instant, span_up_to
from ums.domain.oci import HELM_CHART, HELM_CONFIG, Document, Reference
from ums.domain.packaging import PackagedComponent, images_of, workloads_of
from ums.domain.version import Version, VersionRange
from ums.ports import Registry

FILE = "bundle.yaml"
_MAX_MANIFEST_BYTES = 4 << 20
_CHANGES_MANIFESTS = {"kustomization.yaml", "kustomization.yml", "kustomization", ".sourceignore"}
"""Lower-case names of files by which kustomize and Flux change or leave out what is beside them."""
_KUSTOMIZE = "kustomize.config.k8s.io/"
_LOCAL_CONFIG, _INTERNAL = "config.kubernetes.io/local-config", "internal.config.kubernetes.io/"
"""Annotations by which kustomize leaves out or renames an object."""
_IDENTITY = {"name", "version"}
_CHART_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def _chart_source(text: str) -> str | Reference:
    """Return where a chart comes from: a path, or a reference with a digest.

    Raises:
        InvalidInputError: it is neither.

    """
    if not text.startswith("oci://"):
        return text
    reference = Reference.parse(text)
    if reference.digest is None:
        raise InvalidInputError(
            f"{text} has no digest, so what it means can change", hint="write oci://registry/repository@sha256:…"
        )
    return reference


VersionText = Annotated[str, parsed_by(Version)]
RangeText = Annotated[str, parsed_by(VersionRange)]
ImageText = Annotated[str, Field(min_length=1), parsed_by(split_image)]
ChartText = Annotated[str, Field(min_length=1), parsed_by(_chart_source)]


class WorkloadModel(StrictModel):
    """An object whose health is the component's."""

    api_version: str = Field(default="apps/v1", description="Its API version.")
    kind: str = Field(description="Deployment, DaemonSet, StatefulSet, Job, …")
    name: str = Field(description="Its name.")
    namespace: str | None = Field(default=None, description="Its namespace; the component's if not given.")


FixText = Annotated[str, Field(pattern=rf"^{FIX.pattern}$")]
InstantText = Annotated[str, parsed_by(parse_instant)]


class ComponentModel(StrictModel):
    """One component: a Helm chart, or a folder of manifests."""

    name: Name = Field(description="Its name within the bundle.")
    chart: ChartText | None = Field(
        default=None, description="A chart: a folder or .tgz beside this file, or oci://registry/repository@sha256:…"
    )
    manifests: str | None = Field(
        default=None, min_length=1, description="A folder of Kubernetes manifests beside this file."
    )
    version: VersionText | None = Field(default=None, description="Of manifests; a chart brings its own.")
    namespace: Name = Field(description="Where it is installed.")
    release_name: Name | None = Field(
        default=None, description="Helm release to adopt or create; the name if not given."
    )
    values: dict[str, Any] = Field(
        default_factory=dict, description="Merged into the chart, so that they are signed too."
    )
    needs: list[Name] = Field(default_factory=list, description="Components that must be healthy first.")
    images: list[ImageText] = Field(
        default_factory=list, description="Every image it runs, with digest: the image lock."
    )
    workloads: list[WorkloadModel] = Field(
        default_factory=list, description="Objects to watch; found by reading, for manifests or where Helm is at hand."
    )
    timeout: Annotated[str, parsed_by(span_up_to(MAX_TIMEOUT))] = Field(
        default="2m", description="How long it may take to be healthy: from 1s to 24h."
    )
    on_failure: OnFailure = Field(
        default=OnFailure.RETRY,
        description="Whether a chart whose update failed is tried again, or taken back by Helm in the cluster.",
    )
    fixes: list[FixText] = Field(default_factory=list, description="Fixed in this component: CVE-2026-1234, GHSA-…")

    @model_validator(mode="after")
    def _consistent(self) -> ComponentModel:
        if (self.chart is None) == (self.manifests is None):
            raise ValueError("give either chart or manifests")
        if self.manifests is not None and self.version is None:
            raise ValueError("manifests carry no version of their own: add version")
        if self.chart is not None and self.version is not None:
            raise ValueError("a chart brings its own version: remove version")
        if self.manifests is not None and (self.values or self.release_name):
            raise ValueError("values and releaseName are for charts")
        return self

    def to_domain(self) -> ComponentSpec:
        """Return the component's specification."""
        return ComponentSpec(
            name=self.name,
            kind=ComponentKind.CHART if self.chart is not None else ComponentKind.MANIFESTS,
            source=self.manifests or _chart_source(self.chart or ""),
            namespace=self.namespace,
            version=Version(self.version) if self.version else None,
            release_name=self.release_name or "",
            values=self.values,
            needs=tuple(self.needs),
            images=tuple(self.images),
            workloads=tuple(
                Workload(each.api_version, each.kind, each.namespace or self.namespace, each.name)
                for each in self.workloads
            ),
            timeout=parse_duration(self.timeout),
            on_failure=self.on_failure,
            fixes=tuple(self.fixes),
        )


class RequiresModel(StrictModel):
    """What must be there before a release may be installed."""

    kubernetes: RangeText | None = Field(default=None, description="Versions of Kubernetes.")
    flux: RangeText | None = Field(default=None, description="Versions of Flux.")
    bundles: dict[Name, RangeText] = Field(default_factory=dict, description="Versions of other bundles.")


class UpgradeModel(StrictModel):
    """From where one may come, and whether one may go back or skip this release."""

    from_versions: RangeText | None = Field(default=None, alias="from", description="Releases one may come from.")
    barrier: str = Field(default="", description="Why this release may not be skipped; empty if it may.")
    irreversible: bool = Field(default=False, description="There is no way back from this release.")


class FloorModel(StrictModel):
    """Versions of a component below which no later release may go."""

    component: Name = Field(description="A component of this bundle.")
    versions: RangeText = Field(description="Its versions that are allowed, compared by order alone.")
    reason: str = Field(min_length=1, description="Why; whoever is refused reads it.")
    until: InstantText | None = Field(default=None, description="When it ends, RFC 3339; never if not given.")

    def to_domain(self) -> Floor:
        """Return the floor."""
        until = parse_instant(self.until) if self.until else None
        return Floor(self.component, VersionRange(self.versions), self.reason, until)


class BundleModel(StrictModel):
    """``bundle.yaml``: components that are versioned, tested, signed and promoted together."""

    schema_version: Literal[1] = Field(default=1, alias="schema", description="Version of this format.")
    name: Name = Field(description="The bundle's name.")
    release_class: ReleaseClass | None = Field(
        default=None,
        alias="class",
        description="Why this release exists. If not given: security where something is fixed, else feature.",
    )
    fixes: list[FixText] = Field(
        default_factory=list, description="Fixed by all components together: CVE-2026-1234, GHSA-…"
    )
    notes: str = Field(default="", description="What people should know, in Markdown.")
    image_lock: Literal["required", "relaxed"] = Field(
        default="required", description="Whether every image must carry a digest. Relaxed shows on every release."
    )
    requires: RequiresModel = Field(
        default_factory=RequiresModel, description="What must be there before this release may be installed."
    )
    upgrade: UpgradeModel = Field(
        default_factory=UpgradeModel, description="From where one may come, and whether one may go back."
    )
    removes: list[Name] = Field(default_factory=list, description="Components of earlier releases to uninstall.")
    floors: list[FloorModel] = Field(
        default_factory=list, description="Versions of components below which no later release may go."
    )
    components: list[ComponentModel] = Field(min_length=1, description="At least one component.")

    def to_domain(self) -> BundleSpec:
        """Return the bundle's specification.

        Raises:
            InvalidInputError: its parts do not fit together.

        """
        requires, upgrade = self.requires, self.upgrade
        return BundleSpec(
            name=self.name,
            components=tuple(
                replace(component, fixes=tuple(dict.fromkeys((*component.fixes, *self.fixes))))
                for component in (each.to_domain() for each in self.components)
            ),
            removes=tuple(self.removes),
            requires=Requires(
                VersionRange(requires.kubernetes) if requires.kubernetes else None,
                VersionRange(requires.flux) if requires.flux else None,
                {name: VersionRange(versions) for name, versions in requires.bundles.items()},
            ),
            upgrade=UpgradeRules(
                VersionRange(upgrade.from_versions) if upgrade.from_versions else None,
                upgrade.barrier,
                upgrade.irreversible,
            ),
            release_class=self.release_class,
            notes=self.notes,
            image_lock=self.image_lock == "required",
            floors=tuple(each.to_domain() for each in self.floors),
        )


class BundleFolder:
    """Implements ``ports.Packager``. ``helm`` is the binary to render with; by default the one on ``PATH``, if any."""

    def __init__(self, *, registry: Registry, helm: str | None = "helm") -> None:
        self._registry = registry
        self._helm = shutil.which(helm) if helm else None

    def read(self, folder: Path) -> BundleSpec:
        """Return the checked ``bundle.yaml`` of a folder.

        Raises:
            SpecError: names file, line, field and what was expected.

        """
        path = folder / FILE
        try:
            content = read_file(path, FILE)
        except InvalidInputError as error:
            raise SpecError(error.message, file=str(path), hint="name a folder that holds a bundle.yaml") from error
        model = validate(BundleModel, content, str(path))
        try:
            return model.to_domain()
        except InvalidInputError as error:
            raise SpecError(error.message, file=str(path), hint=error.hint) from error

    def package(
        self, folder: Path, bundle: str, component: ComponentSpec, *, kubernetes: VersionRange | None = None
    ) -> PackagedComponent:
        """Return the artifact of one component. A chart is rendered for both ends of ``kubernetes`` as well.

        Raises:
            InvalidInputError: a file is missing, leads outside the folder, or is a link.

        """
        try:
            if component.kind is ComponentKind.CHART:
                return self._chart(folder, component, kubernetes.ends() if kubernetes else ())
            return _manifests(folder, bundle, component)
        except InvalidInputError as error:
            raise InvalidInputError(f"component {component.name}: {error.message}", hint=error.hint) from error

    def _chart(self, folder: Path, component: ComponentSpec, kubernetes: Sequence[Version]) -> PackagedComponent:
        files = with_values(with_subcharts(self._chart_files(folder, component)), component.values)
        metadata = _chart_metadata(files, str(component.source))
        name, version = metadata["name"], metadata["version"]
        parsed = Version(version)
        files = place_chart(files, component.release_name or component.name, component.namespace)
        layer, content_digest = pack({f"{name}/{path}": content for path, content in files.items()})
        artifact = chart_artifact(_plain(metadata), layer)
        images, workloads = self._declared_or_rendered(component, name, files, kubernetes)
        return PackagedComponent(artifact, parsed, content_digest, images, workloads)

    def _chart_files(self, folder: Path, component: ComponentSpec) -> dict[str, bytes]:
        """Return the chart's files, by path within the chart."""
        if isinstance(component.source, Reference):
            return without_top(unpack(self._pull(component.source), str(component.source)), str(component.source))
        path = check_inside(Path(component.source), folder)
        if path.is_file():
            packed = read_file(path, component.source, max_bytes=MAX_TOTAL_BYTES)
            return without_top(unpack(packed, component.source), component.source)
        files = without_ignored(read_folder(Path(component.source), inside=folder))
        if "Chart.yaml" not in files:
            raise InvalidInputError(f"{component.source} holds no Chart.yaml", hint="is it a Helm chart?")
        return files

    def _pull(self, reference: Reference) -> bytes:
        _, content = self._registry.get_manifest(reference.repository, str(reference.digest))
        try:
            # Others made it; what is signed later is the chart in it, made anew.
            manifest = Document.from_bytes(content, foreign=True)
        except InvalidInputError as error:
            raise InvalidInputError(f"{reference} is no OCI image manifest: {error.message}") from error
        charts = [layer for layer in manifest.layers if layer.media_type == HELM_CHART]
        if manifest.config is None or manifest.config.media_type != HELM_CONFIG or len(charts) != 1:
            raise InvalidInputError(f"{reference} is no Helm chart", hint="helm push makes one")
        if charts[0].size > MAX_TOTAL_BYTES:
            raise InvalidInputError(f"{reference} is larger than {MAX_TOTAL_BYTES >> 20} MiB")
        with self._registry.open_blob(reference.repository, charts[0]) as blob:
            return blob.read()

    def _declared_or_rendered(
        self, component: ComponentSpec, chart: str, files: Mapping[str, bytes], kubernetes: Sequence[Version]
    ) -> tuple[tuple[str, ...], tuple[Workload, ...]]:
        declared_images, declared = tuple(sorted(set(component.images))), tuple(sorted(set(component.workloads)))
        definitions = set(images_of(crds(files)))
        if self._helm is None:
            if not declared_images:
                raise InvalidInputError(
                    "what images the chart runs is not known",
                    hint="list them under images:, or install helm, which reads them from the chart",
                )
            _check_listed(definitions, declared_images)
            return declared_images, declared
        release = component.release_name or component.name
        first, *others = render(
            self._helm, files, chart=chart, release=release, namespace=component.namespace, kubernetes=kubernetes
        )
        images = tuple(sorted(definitions.union(images_of(first), *map(images_of, others))))
        workloads = tuple(sorted(set(workloads_of(first, component.namespace))))
        _check_listed(images, declared_images)
        missing = sorted(f"{each.kind} {each.name}" for each in set(declared) - set(workloads))
        if missing:
            raise InvalidInputError(
                f"the chart does not make what workloads: lists: {', '.join(missing)}",
                hint=f"it makes {', '.join(f'{each.kind} {each.name}' for each in workloads)}",
            )
        return declared_images or images, declared or workloads


def _check_listed(images: Iterable[str], listed: Iterable[str]) -> None:
    surplus = sorted(set(images) - set(listed))
    if listed and surplus:
        raise InvalidInputError(
            f"the chart runs images that are not listed: {', '.join(surplus)}", hint="add them under images:"
        )


def _chart_metadata(files: Mapping[str, bytes], source: str) -> dict[str, Any]:
    """Return ``Chart.yaml``.

    Raises:
        InvalidInputError: name or version are missing, or Helm would read others.

    """
    documents = read_objects(files["Chart.yaml"].removeprefix(BOM), f"{source}/Chart.yaml")
    if len(documents) != 1:
        raise InvalidInputError(f"{source}/Chart.yaml is not a mapping")
    (metadata,) = documents
    name, version = metadata.get("name"), metadata.get("version")
    if not isinstance(name, str) or not _CHART_NAME.fullmatch(name) or not isinstance(version, str):
        raise InvalidInputError(
            f"{source}/Chart.yaml lacks a name or a version that Helm accepts",
            hint="name: letters, digits, dots and dashes; version: MAJOR.MINOR.PATCH, as text",
        )
    # Go ignores the case of names, and the last of two counts; what requirements.yaml has counts after Chart.yaml.
    again = [key for key in metadata if key.casefold() in _IDENTITY and key not in _IDENTITY]
    for each in read_objects(files.get("requirements.yaml", b"").removeprefix(BOM), f"{source}/requirements.yaml"):
        again += [key for key in each if key.casefold() != "dependencies"]
    if again:
        raise InvalidInputError(
            f"{source} names itself twice: Helm would also read {', '.join(sorted(again))}",
            hint="keep name and version in Chart.yaml, and only dependencies in requirements.yaml",
        )
    return metadata


def _manifests(folder: Path, bundle: str, component: ComponentSpec) -> PackagedComponent:
    if not isinstance(component.source, str) or component.version is None:
        raise InvalidInputError(
            "manifests come from a folder and carry a version", hint="only charts come from a registry"
        )
    files = read_folder(Path(component.source), inside=folder)
    customized = sorted(path for path in files if path.rsplit("/", 1)[-1].lower() in _CHANGES_MANIFESTS)
    if customized:
        # It could replace images, or fetch what nobody signed.
        raise InvalidInputError(
            f"{component.source}/{customized[0]} changes the manifests after they were signed",
            hint="put the output of kustomize build there instead",
        )
    documents = {
        path: read_objects(content, f"{component.source}/{path}", max_bytes=_MAX_MANIFEST_BYTES)
        for path, content in sorted(files.items())
        if path.endswith((".yaml", ".yml"))
    }
    objects = [each for found in documents.values() for each in found]
    if not objects:
        raise InvalidInputError(f"{component.source} holds no manifests")
    for path, found in documents.items():
        _check_metadata(found, f"{component.source}/{path}")
    # What was read is what is shipped: whatever reads it finds these objects, and nothing else is there to be read.
    files = {path: write_objects(found) for path, found in documents.items() if found}
    layer, content_digest = pack(place_manifests(files, component.namespace))
    artifact = manifests_artifact(bundle, component.name, str(component.version), layer)
    workloads = component.workloads or tuple(workloads_of(objects, component.namespace))
    images = tuple(sorted({*component.images, *images_of(objects)}))
    return PackagedComponent(artifact, component.version, content_digest, images, tuple(sorted(set(workloads))))


def _check_metadata(objects: Iterable[Mapping[str, Any]], file: str) -> None:
    """Check that kustomize and Flux take objects as they are.

    Raises:
        SpecError: one lacks what identifies it, and Flux would leave it out; or a label or annotation is no text, or
            has a meaning to kustomize.

    """
    for each in objects:
        match each:
            case {"apiVersion": str(version), "kind": str(kind), "metadata": {"name": str(name), **metadata}}:
                if not (version and kind and name):
                    raise SpecError("an object has an empty apiVersion, kind or metadata.name", file=file)
                if version.startswith(_KUSTOMIZE):
                    raise SpecError(f"{kind} {name} is for kustomize, and Flux leaves it out", file=file)
            case _:
                raise SpecError("an object lacks apiVersion, kind or metadata.name, as text", file=file)
        for key, value in _labels(metadata):
            if not isinstance(value, str):
                raise SpecError(
                    f"{kind} {name} has {key}: {value!r}, which is not text", file=file, hint="put it in quotes"
                )
            if key == _LOCAL_CONFIG or key.startswith(_INTERNAL):
                raise SpecError(f"kustomize changes objects annotated {key}, as {kind} {name} is", file=file)


def _labels(metadata: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    for name in ("labels", "annotations"):
        match metadata.get(name):
            case dict(labels):
                yield from labels.items()
            case None:
                pass
            case other:
                yield name, other


def _plain(value: Any) -> Any:  # noqa: ANN401 - any YAML value
    """Return YAML as JSON has it: a chart's metadata may hold fractions, which canonical JSON does not."""
    match value:
        case dict():
            return {str(key): _plain(each) for key, each in value.items()}
        case list():
            return [_plain(each) for each in value]
        case str() | bool() | int() | None:
            return value
        case _:
            return str(value)
