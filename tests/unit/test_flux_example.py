"""The example of Flux's own bundle is shaped so that an update can be undone whatever it breaks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.doubles.memory_registry import MemoryRegistry
from ums.adapters.bundle_folder import BundleFolder
from ums.domain.bundle import BundleSpec, ComponentKind, OnFailure

FOLDERS = sorted((Path(__file__).parents[2] / "examples" / "flux").iterdir())
pytestmark = pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)


def spec_of(folder: Path) -> BundleSpec:
    """Return what the bundle says."""
    return BundleFolder(registry=MemoryRegistry(), helm=None).read(folder)


def objects(folder: Path, component: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of a component's manifests."""
    for path in sorted((folder / "manifests" / component).iterdir()):
        yield from yaml.safe_load_all(path.read_text())


def test_each_part_waits_for_the_one_before_and_none_for_another_bundle(folder: Path) -> None:
    """Two that heal each other never restart together; the one that Helm applies comes last."""
    spec = spec_of(folder)
    assert [each.name for each in spec.components] == ["migration", "crds", "helm-controller", "controllers"]
    assert [each.needs for each in spec.components] == [(), ("migration",), ("crds",), ("helm-controller",)]
    assert not spec.requires.bundles


def test_helm_undoes_what_git_needs_and_git_undoes_what_helm_needs(folder: Path) -> None:
    """Nothing that a broken helm-controller would have to apply stands before helm-controller on the way back."""
    *manifests, controllers = spec_of(folder).components
    assert {each.kind for each in manifests} == {ComponentKind.MANIFESTS}
    assert (controllers.kind, controllers.on_failure) == (ComponentKind.CHART, OnFailure.ROLLBACK)
    values = yaml.safe_load((folder / "charts" / "controllers" / "values.yaml").read_text())["controllers"]
    assert set(values) == {"source-controller", "kustomize-controller", "notification-controller"}
    assert values["source-controller"]["strategy"] == "Recreate"
    (helm_controller,) = (each for each in objects(folder, "helm-controller") if each["kind"] == "Deployment")
    (container,) = helm_controller["spec"]["template"]["spec"]["containers"]
    for arguments in (values["kustomize-controller"]["args"], container["args"]):
        assert {"--concurrent=20", "--feature-gates=CancelHealthCheckOnNewRevision=true"} <= set(arguments)
    assert "--no-remote-bases=true" in values["kustomize-controller"]["args"]
    assert not (folder / "charts" / "controllers" / "crds").exists(), "Helm would apply them before everything else"


def test_definitions_and_the_namespace_outlive_whatever_is_pruned(folder: Path) -> None:
    """With them all objects of Flux would go."""
    kept = [
        each
        for component in ("migration", "crds")
        for each in objects(folder, component)
        if each["kind"] in {"Namespace", "CustomResourceDefinition"}
    ]
    assert {each["kind"] for each in kept} == {"Namespace", "CustomResourceDefinition"}
    for each in kept:
        assert each["metadata"]["annotations"]["kustomize.toolkit.fluxcd.io/prune"] == "disabled"


def test_the_migration_is_a_new_job_with_each_release_and_may_touch_the_definitions_alone(folder: Path) -> None:
    """A Job that is the same would not run again; a right that is missing would stop every update."""
    found = {each["kind"]: each for each in objects(folder, "migration")}
    template = found["Job"]["spec"]["template"]
    assert template["metadata"]["labels"]["app.kubernetes.io/version"] == folder.name
    assert template["spec"]["containers"][0]["args"] == ["flux", "migrate"]
    assert found["Job"]["metadata"]["annotations"]["kustomize.toolkit.fluxcd.io/force"] == "enabled"
    _, status, stored = found["ClusterRole"]["rules"]
    definitions = list(objects(folder, "crds"))
    assert status["resourceNames"] == [each["metadata"]["name"] for each in definitions]
    assert stored["apiGroups"] == sorted({each["spec"]["group"] for each in definitions})
    assert stored["resources"] == [each["spec"]["names"]["plural"] for each in definitions]
