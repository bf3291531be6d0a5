"""Where a component is installed, written into what is signed, so that no Flux object decides it.

A Flux object is signed by the state key alone. Without this, its holder could install signed content into another
namespace, or as another Helm release, whose objects Helm would then delete.
"""

from __future__ import annotations

from collections.abc import Mapping

from ums.adapters._objects import write_objects
from ums.domain.rendering import KUSTOMIZE

_CHECK = "templates/ums-placement.yaml"


def place_manifests(files: Mapping[str, bytes], namespace: str) -> dict[str, bytes]:
    """Return manifests with a ``kustomization.yaml`` that puts them into a namespace, as ``targetNamespace`` would.

    kustomize-controller (1.9.4) takes that file where there is one, and makes the same of all YAML where there is none.
    """
    resources = sorted(path for path in files if path.endswith((".yaml", ".yml")))
    listed = {"apiVersion": KUSTOMIZE, "kind": "Kustomization", "namespace": namespace, "resources": resources}
    return {**files, "kustomization.yaml": write_objects([listed])}


def place_chart(files: Mapping[str, bytes], release: str, namespace: str) -> dict[str, bytes]:
    """Return a chart that Helm renders under this release name and in this namespace alone."""
    text = f"signed to be installed as release {release} in namespace {namespace}, and as nothing else"
    check = (
        f'{{{{- if or (ne .Release.Name "{release}") (ne .Release.Namespace "{namespace}") }}}}\n'
        f'{{{{- fail "{text}" }}}}\n'
        "{{- end }}\n"
    )
    return {**files, _CHECK: check.encode()}
