"""The artifact of a component: how UMS makes it, and the check that one in a registry was made like that.

Whoever signs a component signs its manifest, and Flux takes a layer out of it by media type. Both must read the same
manifest, so nothing is accepted but the bytes that UMS writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ums.domain import strict_json
from ums.domain.artifact import Artifact, Blob
from ums.domain.bundle import ComponentKind
from ums.domain.canonical import canonical_json
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
    Document,
    read_own_manifest,
)
from ums.domain.release import EPOCH, Component
from ums.domain.strict_json import StrictJSONError

_TYPES = {
    ComponentKind.CHART: (HELM_CONFIG, HELM_CHART),
    ComponentKind.MANIFESTS: (FLUX_CONFIG, FLUX_CONTENT),
}
_CHART = (
    *("apiVersion", "kubeVersion", "description", "type", "keywords", "home", "sources", "dependencies"),
    *("maintainers", "icon", "appVersion", "deprecated", "annotations", "condition", "tags"),
)
"""What Helm reads in a chart's metadata besides name and version (helm.sh/helm/v4/pkg/chart/v2, *Metadata*)."""


def manifests_artifact(bundle: str, name: str, version: str, layer: bytes) -> Artifact:
    """Return the artifact of a component that is a folder of manifests."""
    return Artifact.assemble(
        config=Blob.of(_manifests_config(name, version), FLUX_CONFIG),
        layers=(Blob.of(layer, FLUX_CONTENT),),
        annotations=_manifests_annotations(bundle, name, version),
    )


def chart_artifact(metadata: Mapping[str, Any], layer: bytes) -> Artifact:
    """Return the artifact of a component that is a chart.

    Raises:
        InvalidInputError: the metadata have a value that canonical JSON lacks, or a member that Helm takes for another.

    """
    config = canonical_json(metadata)
    return Artifact.assemble(
        config=Blob.of(config, HELM_CONFIG),
        layers=(Blob.of(layer, HELM_CHART),),
        annotations=_chart_annotations(_chart_config(config)),
    )


def read_component_manifest(component: Component, content: bytes) -> Document:
    """Return the manifest of a component: a configuration and the one layer that Flux fetches.

    Raises:
        StrictJSONError: it holds something else, or was made otherwise.

    """
    manifest = read_own_manifest(content)
    config_type, layer_type = _TYPES[component.kind]
    types = [each.media_type for each in (manifest.config, *manifest.layers) if each]
    if types != [config_type, layer_type] or manifest.artifact_type or manifest.subject:
        # Flux takes a layer by its type: beside one that is looked at, there may be none that is applied.
        raise StrictJSONError(f"it holds something else than one layer of {layer_type} and a {config_type}")
    return manifest


def check_component_config(bundle: str, component: Component, manifest: Document, config: bytes) -> None:
    """Check that configuration and annotations are those that UMS writes for a component.

    Raises:
        StrictJSONError: they are not.

    """
    version = str(component.version)
    if component.kind is ComponentKind.CHART:
        metadata = _chart_config(config)
        annotations, is_right = _chart_annotations(metadata), metadata["version"] == version
    else:
        annotations = _manifests_annotations(bundle, component.name, version)
        is_right = config == _manifests_config(component.name, version)
    if not is_right or dict(manifest.annotations) != annotations:
        raise StrictJSONError("its configuration or annotations are of another component or version")


def _manifests_config(name: str, version: str) -> bytes:
    return canonical_json({"name": name, "version": version})


def _manifests_annotations(bundle: str, name: str, version: str) -> dict[str, str]:
    return {
        ANNOTATION_CREATED: EPOCH,
        ANNOTATION_SOURCE: f"ums:{bundle}/{name}",
        ANNOTATION_REVISION: version,
        ANNOTATION_VERSION: version,
    }


def _chart_config(content: bytes) -> Mapping[str, Any]:
    metadata = strict_json.load_canonical(content)
    known = ("name", "version")
    strict_json.members(metadata, "the chart's metadata", required=known, optional=_CHART, others=True)
    for name in known:
        strict_json.text(metadata[name], f"member {name!r} of the chart's metadata")
    return dict(metadata)


def _chart_annotations(metadata: Mapping[str, Any]) -> dict[str, str]:
    return {
        ANNOTATION_CREATED: EPOCH,
        ANNOTATION_TITLE: metadata["name"],
        ANNOTATION_VERSION: metadata["version"],
    }
