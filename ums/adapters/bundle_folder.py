"""A bundle's folder: ``bundle.yaml``, and the charts and manifests it names, made into reproducible artifacts.

Charts are Go templates, which nothing in Python renders: with Helm at hand the rendering is compared with what the
bundle declares; without, the declaration is what counts (ADR 0006). The artifact is the same either way.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ums.adapters._archive import MAX_TOTAL_BYTES, check_inside, pack, read_file, read_folder, unpack
from ums.adapters._helm import render, with_values, without_ignored
from ums.adapters._yaml import Duration, Name, StrictModel, load, load_all, parsed_by, validate
from ums.domain.bundle import (
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
from ums.domain.instants import parse_duration
from ums.domain.oci import HELM_CHART, HELM_CONFIG, Document, Reference
from ums.domain.packaging import PackagedComponent
from ums.domain.version import Version, VersionRange
from ums.ports import Registry

FILE = "bundle.yaml"
_MAX_MANIFEST_BYTES = 4 << 20
_WATCHED = {"Deployment", "StatefulSet", "DaemonSet", "Job"}
_KUSTOMIZE = {"kustomization.yaml", "kustomization.yml", "Kustomization"}
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
    storage_namespace: Name | None = Field(
        default=None, description="Where Helm keeps the release's record; the namespace if not given."
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
    timeout: Duration = Field(default="2m", description="How long it may take to be healthy.")
    on_failure: OnFailure = Field(
        default=OnFailure.RETRY,
        description="Whether a chart whose update failed is tried again, or taken back by Helm in the cluster.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> ComponentModel:
        if (self.chart is None) == (self.manifests is None):
            raise ValueError("give either chart or manifests")
        if self.manifests is not None and self.version is None:
            raise ValueError("manifests carry no version of their own: add version")
        if self.chart is not None and self.version is not None:
            raise ValueError("a chart brings its own version: remove version")
        if self.manifests is not None and (self.values or self.release_name or self.storage_namespace):
            raise ValueError("values, releaseName and storageNamespace are for charts")
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
            storage_namespace=self.storage_namespace or "",
            values=self.values,
            needs=tuple(self.needs),
            images=tuple(self.images),
            workloads=tuple(
                Workload(each.api_version, each.kind, each.namespace or self.namespace, each.name)
                for each in self.workloads
            ),
            timeout=parse_duration(self.timeout),
            on_failure=self.on_failure,
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


class BundleModel(StrictModel):
    """``bundle.yaml``: components that are versioned, tested, signed and promoted together."""

    schema_version: Literal[1] = Field(default=1, alias="schema", description="Version of this format.")
    name: Name = Field(description="The bundle's name.")
    release_class: ReleaseClass = Field(
        default=ReleaseClass.FEATURE, alias="class", description="Why this release exists."
    )
    fixes: list[Annotated[str, Field(pattern=r"^[A-Z]+-[A-Za-z0-9-]+$")]] = Field(
        default_factory=list, description="What it fixes: CVE-2026-1234, GHSA-…"
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
    components: list[ComponentModel] = Field(min_length=1, description="At least one component.")

    def to_domain(self) -> BundleSpec:
        """Return the bundle's specification.

        Raises:
            InvalidInputError: its parts do not fit together.

        """
        requires, upgrade = self.requires, self.upgrade
        return BundleSpec(
            name=self.name,
            components=tuple(each.to_domain() for each in self.components),
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
            fixes=tuple(self.fixes),
            notes=self.notes,
            image_lock=self.image_lock == "required",
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

    def package(self, folder: Path, bundle: str, component: ComponentSpec) -> PackagedComponent:
        """Return the artifact of one component.

        Raises:
            InvalidInputError: a file is missing, leads outside the folder, or is a link.

        """
        try:
            if component.kind is ComponentKind.CHART:
                return self._chart(folder, component)
            return _manifests(folder, bundle, component)
        except InvalidInputError as error:
            raise InvalidInputError(f"component {component.name}: {error.message}", hint=error.hint) from error

    def _chart(self, folder: Path, component: ComponentSpec) -> PackagedComponent:
        files = with_values(self._chart_files(folder, component), component.values)
        metadata = load(files["Chart.yaml"], f"{component.source}/Chart.yaml")
        if not isinstance(metadata, dict):
            raise InvalidInputError(f"{component.source}/Chart.yaml is no mapping")
        name, version = metadata.get("name"), metadata.get("version")
        if not isinstance(name, str) or not _CHART_NAME.fullmatch(name) or not isinstance(version, str):
            raise InvalidInputError(
                f"{component.source}/Chart.yaml lacks a name or a version that Helm accepts",
                hint="name: letters, digits, dots and dashes; version: MAJOR.MINOR.PATCH, as text",
            )
        parsed = Version(version)
        layer, content_digest = pack({f"{name}/{path}": content for path, content in files.items()})
        artifact = chart_artifact(_plain(metadata), layer)
        images, workloads = self._declared_or_rendered(component, name, files)
        return PackagedComponent(artifact, parsed, content_digest, images, workloads)

    def _chart_files(self, folder: Path, component: ComponentSpec) -> dict[str, bytes]:
        """Return the chart's files, by path within the chart."""
        if isinstance(component.source, Reference):
            return _without_top(unpack(self._pull(component.source), str(component.source)), str(component.source))
        path = check_inside(Path(component.source), folder)
        if path.is_file():
            packed = read_file(path, component.source, max_bytes=MAX_TOTAL_BYTES)
            return _without_top(unpack(packed, component.source), component.source)
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
        self, component: ComponentSpec, chart: str, files: Mapping[str, bytes]
    ) -> tuple[tuple[str, ...], tuple[Workload, ...]]:
        declared_images, declared = tuple(sorted(set(component.images))), tuple(sorted(set(component.workloads)))
        if self._helm is None:
            if not declared_images:
                raise InvalidInputError(
                    "what images the chart runs is not known",
                    hint="list them under images:, or install helm, which reads them from the chart",
                )
            return declared_images, declared
        release = component.release_name or component.name
        objects = render(self._helm, files, chart=chart, release=release, namespace=component.namespace)
        images = tuple(sorted(set(_images(objects))))
        workloads = tuple(sorted(set(_workloads(objects, component.namespace))))
        surplus = sorted(set(images) - set(declared_images))
        if declared_images and surplus:
            raise InvalidInputError(
                f"the chart runs images that are not listed: {', '.join(surplus)}", hint="add them under images:"
            )
        missing = sorted(f"{each.kind} {each.name}" for each in set(declared) - set(workloads))
        if missing:
            raise InvalidInputError(
                f"the chart does not make what workloads: lists: {', '.join(missing)}",
                hint=f"it makes {', '.join(f'{each.kind} {each.name}' for each in workloads)}",
            )
        return declared_images or images, declared or workloads


def _manifests(folder: Path, bundle: str, component: ComponentSpec) -> PackagedComponent:
    if not isinstance(component.source, str) or component.version is None:
        raise InvalidInputError(
            "manifests come from a folder and carry a version", hint="only charts come from a registry"
        )
    files = read_folder(Path(component.source), inside=folder)
    customized = sorted(path for path in files if path.rsplit("/", 1)[-1] in _KUSTOMIZE)
    if customized:
        # It could replace images, or fetch what nobody signed.
        raise InvalidInputError(
            f"{component.source}/{customized[0]} changes the manifests after they were signed",
            hint="put the output of kustomize build there instead",
        )
    objects = [
        document
        for path, content in sorted(files.items())
        if path.endswith((".yaml", ".yml"))
        for document in load_all(content, f"{component.source}/{path}", max_bytes=_MAX_MANIFEST_BYTES)
    ]
    if not objects:
        raise InvalidInputError(f"{component.source} holds no manifests")
    if not all(isinstance(each, dict) for each in objects):
        raise InvalidInputError(f"{component.source} holds a document that is no Kubernetes object")
    layer, content_digest = pack(files)
    artifact = manifests_artifact(bundle, component.name, str(component.version), layer)
    found = component.workloads or tuple(_workloads(objects, component.namespace))
    images = tuple(sorted({*component.images, *_images(objects)}))
    return PackagedComponent(artifact, component.version, content_digest, images, tuple(sorted(set(found))))


def _without_top(files: Mapping[str, bytes], what: str) -> dict[str, bytes]:
    """Return a packed chart's files without the folder that all of them are in."""
    tops = {path.split("/", 1)[0] for path in files}
    if len(tops) != 1 or f"{next(iter(tops), '')}/Chart.yaml" not in files:
        raise InvalidInputError(f"{what} is not a packed Helm chart")
    return {path.split("/", 1)[1]: content for path, content in files.items() if "/" in path}


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


def _pod_specs(value: Any) -> Iterator[Mapping[str, Any]]:  # noqa: ANN401 - any YAML value
    """Yield everything that looks like a pod's specification, however deep (CronJobs, custom kinds)."""
    if isinstance(value, dict):
        if isinstance(value.get("containers"), list):
            yield value
        for each in value.values():
            yield from _pod_specs(each)
    elif isinstance(value, list):
        for each in value:
            yield from _pod_specs(each)


def _images(objects: Iterable[Any]) -> Iterator[str]:
    for each in objects:
        # A schema may describe containers without running any.
        if not isinstance(each, dict) or each.get("kind") == "CustomResourceDefinition":
            continue
        for spec in _pod_specs(each):
            for kind in ("containers", "initContainers", "ephemeralContainers"):
                for container in spec.get(kind) or ():
                    if isinstance(container, dict) and isinstance(container.get("image"), str):
                        yield container["image"]


def _workloads(objects: Iterable[Any], namespace: str) -> Iterator[Workload]:
    for each in objects:
        if not isinstance(each, dict):
            continue
        if each.get("kind") == "List":
            yield from _workloads(each.get("items") or (), namespace)
        if each.get("kind") in _WATCHED and not _vanishes(each):
            match each:
                case {"apiVersion": str(api_version), "metadata": {"name": str(name), **metadata}}:
                    yield Workload(api_version, each["kind"], str(metadata.get("namespace") or namespace), name)
                case _:
                    raise InvalidInputError(f"a {each['kind']} lacks apiVersion or metadata.name")


def _vanishes(workload: Mapping[str, Any]) -> bool:
    """Return whether a workload is gone once it is done, so that waiting for it would fail."""
    match workload:
        case {"metadata": {"annotations": {"helm.sh/hook": _}}} | {"spec": {"ttlSecondsAfterFinished": int()}}:
            return True
    return False
