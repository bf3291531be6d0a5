"""A bundle's folder: ``bundle.yaml``, and the charts and manifests it names, made into reproducible artifacts.

Charts are Go templates, which nothing in Python renders: with Helm at hand the rendering is compared with what the
bundle declares; without, the declaration is what counts (ADR 0006). The artifact is the same either way.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ums.adapters._archive import MAX_TOTAL_BYTES, check_inside, pack, read_folder, unpack
from ums.adapters._yaml import Duration, Name, StrictModel, dump, load, load_all, parsed_by, validate
from ums.domain.artifact import Artifact, Blob
from ums.domain.bundle import (
    BundleSpec,
    ComponentKind,
    ComponentSpec,
    ReleaseClass,
    Requires,
    UpgradeRules,
    Workload,
    split_image,
)
from ums.domain.canonical import canonical_json
from ums.domain.errors import InvalidInputError, SpecError
from ums.domain.instants import parse_duration
from ums.domain.oci import (
    ANNOTATION_CREATED,
    ANNOTATION_REVISION,
    ANNOTATION_SOURCE,
    ANNOTATION_TITLE,
    ANNOTATION_VERSION,
    FLUX_CONFIG,
    FLUX_CONTENT,
    HELM_CHART,
    HELM_CONFIG,
    Descriptor,
    Reference,
)
from ums.domain.packaging import PackagedComponent
from ums.domain.release import EPOCH
from ums.domain.version import Version, VersionRange
from ums.ports import Registry

FILE = "bundle.yaml"
_HELM_TIMEOUT_SECONDS = 60
_WATCHED = {"Deployment", "StatefulSet", "DaemonSet", "Job"}

VersionText = Annotated[str, parsed_by(Version)]
RangeText = Annotated[str, parsed_by(VersionRange)]
ImageText = Annotated[str, parsed_by(split_image)]


class WorkloadModel(StrictModel):
    """An object whose health is the component's."""

    api_version: str = Field(default="apps/v1", description="Its API version.")
    kind: str = Field(description="Deployment, DaemonSet, StatefulSet, Job, …")
    name: str = Field(description="Its name.")
    namespace: str | None = Field(default=None, description="Its namespace; the component's if not given.")


class ComponentModel(StrictModel):
    """One component: a Helm chart, or a folder of manifests."""

    name: Name = Field(description="Its name within the bundle.")
    chart: str | None = Field(
        default=None, description="A chart: a folder or .tgz beside this file, or oci://registry/repository@sha256:…"
    )
    manifests: str | None = Field(default=None, description="A folder of Kubernetes manifests beside this file.")
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
        source = self.chart or self.manifests or ""
        return ComponentSpec(
            name=self.name,
            kind=ComponentKind.CHART if self.chart is not None else ComponentKind.MANIFESTS,
            source=Reference.parse(source) if source.startswith("oci://") else source,
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
    requires: RequiresModel = Field(default_factory=RequiresModel)
    upgrade: UpgradeModel = Field(default_factory=UpgradeModel)
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
            content = path.read_bytes()
        except OSError as error:
            raise SpecError(
                f"cannot be read: {error.strerror}", file=str(path), hint="name a folder that holds a bundle.yaml"
            ) from error
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
        files = _merge_values(self._chart_files(folder, component), component.values)
        metadata = load(files["Chart.yaml"], "Chart.yaml")
        name, version = metadata.get("name"), metadata.get("version")
        if not isinstance(name, str) or "/" in name or not isinstance(version, str):
            raise InvalidInputError("Chart.yaml lacks a name or a version")
        layer, content_digest = pack({f"{name}/{path}": content for path, content in files.items()})
        artifact = Artifact.assemble(
            config=Blob.of(canonical_json(_plain(metadata)), HELM_CONFIG),
            layers=(Blob.of(layer, HELM_CHART),),
            annotations={ANNOTATION_CREATED: EPOCH, ANNOTATION_TITLE: name, ANNOTATION_VERSION: version},
        )
        images, workloads = self._declared_or_rendered(component, name, files)
        return PackagedComponent(artifact, Version(version), content_digest, images, workloads)

    def _chart_files(self, folder: Path, component: ComponentSpec) -> dict[str, bytes]:
        """Return the chart's files, by path within the chart."""
        if isinstance(component.source, Reference):
            return _without_top(unpack(self._pull(component.source), str(component.source)), str(component.source))
        path = check_inside(Path(component.source), folder)
        if path.is_file():
            if path.stat().st_size > MAX_TOTAL_BYTES:
                raise InvalidInputError(f"{component.source} is larger than {MAX_TOTAL_BYTES >> 20} MiB")
            return _without_top(unpack(path.read_bytes(), component.source), component.source)
        files = read_folder(Path(component.source), inside=folder)
        if "Chart.yaml" not in files:
            raise InvalidInputError(f"{component.source} holds no Chart.yaml", hint="is it a Helm chart?")
        return files

    def _pull(self, reference: Reference) -> bytes:
        _, manifest = self._registry.get_manifest(reference.repository, str(reference.digest))
        layers = [Descriptor.from_dict(layer) for layer in load(manifest, str(reference)).get("layers", [])]
        chart = next((layer for layer in layers if layer.media_type == HELM_CHART), None)
        if chart is None or chart.size > MAX_TOTAL_BYTES:
            raise InvalidInputError(f"{reference} is no Helm chart, or too large")
        with self._registry.open_blob(reference.repository, chart) as blob:
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
        objects = self._render(component, chart, files)
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

    def _render(self, component: ComponentSpec, chart: str, files: Mapping[str, bytes]) -> list[Any]:
        with tempfile.TemporaryDirectory(prefix="ums-chart-") as scratch:
            root = Path(scratch) / chart
            for path, content in files.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_bytes(content)
            command = [str(self._helm), "template", component.release_name or component.name, str(root)]
            command += ["--namespace", component.namespace, "--skip-tests"]
            try:
                done = subprocess.run(  # noqa: S603 - names are checked, and there is no shell
                    command,
                    capture_output=True,
                    timeout=_HELM_TIMEOUT_SECONDS,
                    check=False,
                    env={"HOME": scratch, "PATH": "/usr/bin:/bin"},
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                raise InvalidInputError(f"helm could not render the chart: {error}") from error
        if done.returncode:
            raise InvalidInputError(
                f"helm cannot render the chart: {done.stderr.decode(errors='replace').strip()[-600:]}"
            )
        return load_all(done.stdout, f"rendering of {component.name}")


def _manifests(folder: Path, bundle: str, component: ComponentSpec) -> PackagedComponent:
    assert isinstance(component.source, str)  # noqa: S101 - only charts come from registries
    assert component.version is not None  # noqa: S101 - the specification demands it
    files = read_folder(Path(component.source), inside=folder)
    objects = [
        document
        for path, content in sorted(files.items())
        if path.endswith((".yaml", ".yml"))
        for document in load_all(content, f"{component.source}/{path}")
    ]
    if not objects:
        raise InvalidInputError(f"{component.source} holds no manifests")
    layer, content_digest = pack(files)
    version = str(component.version)
    artifact = Artifact.assemble(
        config=Blob.of(canonical_json({"name": component.name, "version": version}), FLUX_CONFIG),
        layers=(Blob.of(layer, FLUX_CONTENT),),
        annotations={
            ANNOTATION_CREATED: EPOCH,
            ANNOTATION_SOURCE: f"ums:{bundle}/{component.name}",
            ANNOTATION_REVISION: version,
            ANNOTATION_VERSION: version,
        },
    )
    found = component.workloads or tuple(_workloads(objects, component.namespace))
    images = tuple(sorted({*component.images, *_images(objects)}))
    return PackagedComponent(artifact, component.version, content_digest, images, tuple(sorted(set(found))))


def _merge_values(files: dict[str, bytes], values: Mapping[str, Any]) -> dict[str, bytes]:
    if "Chart.yaml" not in files:
        raise InvalidInputError("there is no Chart.yaml", hint="is it a Helm chart?")
    if not values:
        return files
    defaults = load(files["values.yaml"], "values.yaml") if "values.yaml" in files else {}
    return {**files, "values.yaml": dump(_merge(defaults or {}, values))}


def _merge(defaults: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Merge as Helm does: mappings deeply, ``null`` deletes, everything else replaces."""
    merged = dict(defaults)
    for key, value in values.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def _without_top(files: Mapping[str, bytes], what: str) -> dict[str, bytes]:
    """Return a packed chart's files without the folder that all of them are in."""
    tops = {path.split("/", 1)[0] for path in files}
    if len(tops) != 1 or f"{next(iter(tops), '')}/Chart.yaml" not in files:
        raise InvalidInputError(f"{what} is not a packed Helm chart")
    return {path.split("/", 1)[1]: content for path, content in files.items() if "/" in path}


def _plain(value: Any) -> Any:  # noqa: ANN401 - any YAML value
    """Return YAML as JSON has it: a chart's metadata may hold numbers and dates, which Helm keeps as text."""
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
        if isinstance(each, dict) and each.get("kind") in _WATCHED:
            metadata = each.get("metadata") or {}
            if "helm.sh/hook" in (metadata.get("annotations") or {}):
                continue
            yield Workload(each["apiVersion"], each["kind"], metadata.get("namespace") or namespace, metadata["name"])
