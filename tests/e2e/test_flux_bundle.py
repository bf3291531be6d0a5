"""Flux updates itself, told as one story: what breaks is undone by what was not touched, or was rehearsed before.

The controllers that act are processes of this machine; the Deployments that the bundle brings are played by kwok. So a
process that is stopped stands for a controller that its own update broke.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.cluster import Cluster
from tests.e2e.test_whole_path import deployed_image
from tests.processes import eventually
from tests.running_service import EXAMPLES, RunningService
from ums.domain.digest import Digest

PDP = "acme/prod"
POLICY = {"rollout": {"waves": [{"name": "everyone"}], "maxUpdating": "100%", "healthyFor": "0s", "onHalt": "rollback"}}
NEVER_READY = {"ums.test/never-ready": "true"}
CRD = "samples.example.toolkit.fluxcd.io"
SAMPLES = 130
"""More than a page of them."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """Return a service with one channel, whose failed rollouts are taken back."""
    with RunningService(tmp_path_factory.mktemp("service"), channels={"stable": POLICY}) as running:
        yield running


def flux(tmp_path: Path, version: str, broken: str = "", images: Mapping[str, str] | None = None) -> Path:
    """Return a copy of the example in which one component's pods are never ready, or images are other ones."""
    folder = tmp_path / "flux"
    shutil.copytree(EXAMPLES / "flux" / version, folder)
    spec = yaml.safe_load((folder / "bundle.yaml").read_text())
    for component in spec["components"]:
        if component["name"] == broken:
            component["timeout"] = "5s"
            if "chart" in component:  # Helm has as long to go back
                component |= {"timeout": "15s", "values": {"podLabels": NEVER_READY}}
    (folder / "bundle.yaml").write_text(yaml.safe_dump(spec))
    for path in (folder / "manifests" / broken).glob("*.yaml") if broken else ():
        objects = list(yaml.safe_load_all(path.read_text()))
        for each in objects:
            if each["kind"] in {"Deployment", "Job"}:
                each["spec"]["template"]["metadata"]["labels"] |= NEVER_READY
        path.write_text(yaml.safe_dump_all(objects))
    for path in folder.rglob("*.yaml"):
        text = path.read_text()
        for before, after in (images or {}).items():
            text = text.replace(before, after)
        path.write_text(text)
    return folder


def publish(service: RunningService, folder: Path, version: str) -> None:
    """Publish a version of Flux and promote it."""
    service.publish(folder, version)
    service.ums("promote", f"flux@{version}", "--to", "stable")


def plane(service: RunningService) -> dict[str, Any]:
    """Return what the service knows of the data plane."""
    found: dict[str, Any] = service.get(f"/pdps/{PDP}")
    return found


def wait_healthy(service: RunningService, version: str) -> None:
    """Wait until the data plane says that it is well with a version of Flux."""

    def well() -> bool:
        found = plane(service)
        return (found["desired"]["bundles"]["flux"]["release"], found["health"]) == (version, "healthy")

    eventually(well, timeout=180, what=f"the data plane is well with {version}", every=0.5)


def wait_rolled_back(service: RunningService, version: str) -> None:
    """Wait until the rollout of a version was stopped and taken back."""

    def stopped() -> bool:
        found = service.get("/channels/stable/rollouts")["items"]
        return ("flux@" + version, "rolled-back") in {(each["release"], each["status"]) for each in found}

    eventually(stopped, timeout=180, what=f"the rollout of {version} is rolled back", every=0.5)


def images(cluster: Cluster) -> set[str]:
    """Return what Flux's Deployments run."""
    names = ("source-controller", "kustomize-controller", "notification-controller", "helm-controller")
    return {deployed_image(cluster, "deployment", name, "flux-system") for name in names}


def unready(cluster: Cluster, name: str) -> bool:
    """Return whether the broken version of a Deployment is there."""
    labels: dict[str, str] = cluster.get("deployment", name, "flux-system")["spec"]["template"]["metadata"]["labels"]
    return NEVER_READY.items() <= labels.items()


OLD = {f"{name}-controller:1.9.0" for name in ("source", "kustomize", "notification", "helm")}
NEW = {each.replace("1.9.0", "1.10.0") for each in OLD}


def crd(version: str) -> dict[str, Any]:
    """Return the definition of an example."""
    found: dict[str, Any] = yaml.safe_load(
        (EXAMPLES / "flux" / version / "manifests" / "crds" / "samples.yaml").read_text()
    )
    return found


def sample(number: int, version: str) -> dict[str, Any]:
    """Return an object of the definition."""
    return {
        "apiVersion": f"example.toolkit.fluxcd.io/{version}",
        "kind": "Sample",
        "metadata": {"name": f"sample-{number:03}", "namespace": "default"},
        "spec": {"number": number},
    }


def test_flux_is_delivered_like_every_other_bundle(cluster: Cluster, service: RunningService) -> None:
    """Over what an older one left: objects that are stored in a version that is not stored any more."""
    older = crd("2.9.0")
    for each in older["spec"]["versions"]:
        each["storage"] = each["name"] == "v1beta1"
    cluster.apply(json.dumps(older))
    cluster.kubectl("wait", "--for=condition=Established", "crd", CRD, "--timeout=60s")
    made = {"apiVersion": "v1", "kind": "List", "items": [sample(each, "v1beta1") for each in range(SAMPLES)]}
    cluster.apply(json.dumps(made))
    facts = ("--kubernetes", "1.36.0", "--flux", "2.9.0")
    service.ums("pdp", "add", PDP, "--channel", "stable", "--bundle", "flux", "--bundle", "web", *facts)
    service.ums("pdp", "bootstrap", PDP, "--file", "bootstrap.yaml")
    cluster.apply((service.folder / "bootstrap.yaml").read_text())
    publish(service, EXAMPLES / "flux" / "2.9.0", "2.9.0")
    wait_healthy(service, "2.9.0")
    assert images(cluster) == OLD
    assert cluster.get("crd", CRD)["status"]["storedVersions"] == ["v1beta1", "v1"]


def test_an_update_does_not_begin_before_its_migration_ended_well(
    cluster: Cluster, service: RunningService, tmp_path: Path
) -> None:
    """The data plane counts as failed, and nothing of Flux was touched."""
    folder = flux(tmp_path, "2.9.0", "migration", {"1.9.0@": "1.9.1@"})
    publish(service, folder, "2.9.1")
    wait_rolled_back(service, "2.9.1")
    assert images(cluster) == OLD
    wait_healthy(service, "2.9.0")


def test_controllers_whose_update_fails_are_taken_back_without_source_controller(
    cluster: Cluster, service: RunningService, tmp_path: Path
) -> None:
    """helm-controller does so from what it keeps in the cluster; the service hears of it, and stops the rollout."""
    publish(service, flux(tmp_path, "2.9.0", "controllers"), "2.9.2")
    eventually(lambda: unready(cluster, "source-controller"), timeout=120, what="the broken update is there", every=0.2)
    cluster.controllers["source-controller"].stop()
    try:
        said = cluster.wait_message("helmrelease", "flux-controllers", "Helm rollback to previous release")
        assert said.endswith("succeeded")
        assert not any(unready(cluster, name) for name in ("source-controller", "kustomize-controller"))
        wait_rolled_back(service, "2.9.2")
        found = plane(service)
        assert (found["reported"]["health"], found["reported"]["component"]) == ("failed", "flux-controllers")
    finally:
        cluster.start_controller("source-controller")
    wait_healthy(service, "2.9.0")
    assert images(cluster) == OLD


def test_a_helm_controller_that_is_broken_is_taken_back_through_git(
    cluster: Cluster, service: RunningService, tmp_path: Path
) -> None:
    """Nobody needs it for that; the others were not touched, for they wait for it."""
    folder = flux(tmp_path, "2.9.0", "helm-controller", {"1.9.0@": "1.9.3@"})
    publish(service, folder, "2.9.3")
    eventually(lambda: unready(cluster, "helm-controller"), timeout=120, what="the broken update is there", every=0.2)
    cluster.controllers["helm-controller"].stop()
    try:
        wait_rolled_back(service, "2.9.3")
        wait_healthy(service, "2.9.0")
        assert images(cluster) == OLD
    finally:
        cluster.start_controller("helm-controller")


def test_stored_versions_are_migrated_with_the_rights_of_the_bundle(cluster: Cluster, service: RunningService) -> None:
    """Until then the API server refuses a definition without the old version; kwok runs no Job, so it is run here."""
    newer = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-")
    without = json.dumps(crd("2.10.0"))
    assert "status.storedVersions" in cluster.kubectl(*newer, stdin=without, check=False)
    token = service.folder / "migration-token"
    token.write_text(cluster.kubectl("create", "token", "flux-migration", "-n", "flux-system"))
    address = json.loads(cluster.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    options = ("--kube-url", address, "--kube-ca", str(cluster.folder / "certs" / "apiserver.crt"))
    command = ("flux", "migrate", *options, "--kube-token-file", str(token))
    expected = [{"name": CRD, "storage": "v1", "outdated": ["v1beta1"], "objects": SAMPLES}]
    assert service.json(*command, "--dry-run") == {"dryRun": True, "definitions": expected}
    assert cluster.get("crd", CRD)["status"]["storedVersions"] == ["v1beta1", "v1"]
    before = cluster.get("sample", "sample-007", "default")
    assert service.json(*command) == {"dryRun": False, "definitions": expected}
    assert cluster.get("crd", CRD)["status"]["storedVersions"] == ["v1"]
    assert service.json(*command) == {"dryRun": False, "definitions": []}
    after = cluster.get("sample", "sample-007", "default")
    assert after["metadata"].pop("resourceVersion") != before["metadata"].pop("resourceVersion"), "it was written"
    assert after == before
    cluster.kubectl(*newer, stdin=without)


def test_the_fix_arrives_while_another_component_fails(
    cluster: Cluster, service: RunningService, tmp_path: Path
) -> None:
    """Nobody waits out the health check of somebody else; objects of the version that went can be read."""
    container = {"name": "web", "image": f"registry.example.com/web:1.0.0@{Digest.of(b'web')}"}
    template = {"metadata": {"labels": {"app": "web", **NEVER_READY}}, "spec": {"containers": [container]}}
    workload = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template},
    }
    component = {"name": "web", "manifests": "m", "version": "1.0.0", "namespace": "default", "timeout": "10m"}
    (tmp_path / "web" / "m").mkdir(parents=True)
    (tmp_path / "web" / "m" / "web.yaml").write_text(yaml.safe_dump(workload))
    (tmp_path / "web" / "bundle.yaml").write_text(yaml.safe_dump({"name": "web", "components": [component]}))
    service.publish(tmp_path / "web", "1.0.0")
    service.ums("promote", "web@1.0.0", "--to", "stable")
    eventually(lambda: cluster.exists("deployment", "web", "default"), timeout=120, what="web is there", every=0.5)
    publish(service, EXAMPLES / "flux" / "2.10.0", "2.10.0")
    eventually(lambda: images(cluster) == NEW, timeout=90, what="the new Flux is there", every=0.5)
    assert plane(service)["health"] == "updating"
    assert not cluster.get("deployment", "web", "default")["status"].get("readyReplicas")
    served = [each["name"] for each in cluster.get("crd", CRD)["spec"]["versions"]]
    assert served == ["v1"]
    names = cluster.kubectl("get", "samples", "-n", "default", "-o", "jsonpath={.items[*].spec.number}").split()
    assert sorted(map(int, names)) == list(range(SAMPLES))
