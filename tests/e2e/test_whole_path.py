"""From a bundle on disk to a cluster that runs it, told as one story: each test goes on where the last one ended.

The operator's and the engineer's side is the command line; the cluster's side is the real Flux.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.cluster import Cluster
from tests.processes import eventually
from tests.running_service import EXAMPLES, RunningService

PDP = "acme/prod"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """Return a running service with its embedded registry."""
    with RunningService(tmp_path_factory.mktemp("service")) as running:
        yield running


def deployed_image(cluster: Cluster, kind: str, name: str, namespace: str) -> str:
    """Return the image that a workload runs, without its digest."""
    spec: dict[str, Any] = cluster.get(kind, name, namespace)["spec"]["template"]["spec"]
    image: str = spec["containers"][0]["image"]
    return image.partition("@")[0].rpartition("/")[2]


def reported(service: RunningService) -> dict[str, Any]:
    """Return what the service knows of the data plane."""
    found: dict[str, Any] = service.get(f"/pdps/{PDP}")
    return found


def wait_healthy(service: RunningService, *, timeout: float = 120) -> dict[str, Any]:
    """Wait until the service knows, from events alone, that the desired serial is healthy."""

    def healthy() -> dict[str, Any] | None:
        plane = reported(service)
        return plane if plane["health"] == "healthy" else None

    found = eventually(healthy, timeout=timeout, what="the data plane reports healthy", every=0.5)
    assert found is not None
    assert found["reported"]["serial"] == found["desired"]["serial"]
    return found


def variant(tmp_path: Path, version: str, **replacements: str) -> Path:
    """Return a copy of an example bundle with texts replaced in every file."""
    folder = tmp_path / "bundle"
    shutil.copytree(EXAMPLES / "platform" / version, folder)
    for path in folder.rglob("*"):
        if path.is_file():
            text = path.read_text()
            for before, after in replacements.items():
                text = text.replace(before, after)
            path.write_text(text)
    return folder


def test_a_release_installed_by_hand_is_adopted_and_not_installed_twice(
    cluster: Cluster, service: RunningService, tmp_path: Path
) -> None:
    """What ``helm install`` put there becomes revision 2 of the same Helm release; the rest is installed."""
    chart = tmp_path / "cilium"
    shutil.copytree(EXAMPLES / "platform" / "1.0.0" / "charts" / "cilium", chart)
    cluster.helm("install", "cilium", str(chart), "--namespace", "kube-system")
    service.publish(EXAMPLES / "platform" / "1.0.0", "1.0.0")
    service.promote("platform@1.0.0")
    facts = ("--kubernetes", "1.36.0", "--flux", "2.9.0")
    service.ums("pdp", "add", PDP, "--channel", "stable", "--bundle", "platform", *facts)
    service.ums("pdp", "bootstrap", PDP, "--file", "bootstrap.yaml")
    assert (service.folder / "bootstrap.yaml").stat().st_mode & 0o777 == 0o600
    cluster.apply((service.folder / "bootstrap.yaml").read_text())
    plane = wait_healthy(service)
    assert plane["desired"]["bundles"]["platform"]["release"] == "1.0.0"
    assert deployed_image(cluster, "daemonset", "cilium-agent", "kube-system") == "cilium:1.16.3"
    assert deployed_image(cluster, "deployment", "pdp-agent", "pdp-system") == "pdp-agent:0.9.0"
    releases = json.loads(cluster.helm("list", "--all-namespaces", "-o", "json"))
    assert [(each["name"], each["namespace"], each["revision"]) for each in releases if "cilium" in each["name"]] == [
        ("cilium", "kube-system", "2")
    ]


def test_a_promotion_reaches_the_cluster(cluster: Cluster, service: RunningService) -> None:
    """1.1.0 goes through the channels, and ``--wait`` returns when the cluster said that it is healthy."""
    service.publish(EXAMPLES / "platform" / "1.1.0", "1.1.0")
    service.promote("platform@1.1.0", "edge", "candidate")
    service.ums("promote", "platform@1.1.0", "--to", "stable", "--wait", "--timeout", "5m")
    assert deployed_image(cluster, "deployment", "gateway-router", "gateway") == "gateway-router:3.2.0"
    assert deployed_image(cluster, "deployment", "observability-api", "observability") == "observability:2.5.0"


def test_a_pin_holds_one_component_while_the_others_move(
    cluster: Cluster, service: RunningService, tmp_path: Path
) -> None:
    """The pinned component keeps its version; a later release moves all the rest."""
    service.ums("pin", PDP, "platform/cilium", "--reason", "kernel module")
    service.publish(variant(tmp_path, "1.2.0", **{"observability:2.5.0": "observability:2.5.1"}), "1.2.0")
    service.promote("platform@1.2.0")
    plane = wait_healthy(service)
    assert plane["desired"]["bundles"]["platform"]["components"]["cilium"] == "1.1.0"
    assert deployed_image(cluster, "daemonset", "cilium-agent", "kube-system") == "cilium:1.16.3"
    assert deployed_image(cluster, "deployment", "observability-api", "observability") == "observability:2.5.1"
    service.ums("unpin", PDP, "platform/cilium", "--wait", "--timeout", "5m")
    assert deployed_image(cluster, "daemonset", "cilium-agent", "kube-system") == "cilium:1.16.4"


def test_a_rollback_goes_back_and_stays_back(cluster: Cluster, service: RunningService) -> None:
    """The channel's head stays newer; the loop runs on; the data plane stays where it was taken."""
    service.ums("rollback", PDP, "platform", "--to", "1.0.0", "--reason", "latency", "--wait", "--timeout", "5m")
    assert deployed_image(cluster, "deployment", "gateway-router", "gateway") == "gateway-router:3.1.0"
    serial = reported(service)["desired"]["serial"]
    service.ums("plan")
    plane = reported(service)
    assert plane["desired"]["serial"] == serial
    assert plane["withheld"][0]["reasons"][0]["code"] == "held"
    service.ums("unhold", PDP, "platform", "--wait", "--timeout", "5m")
    assert deployed_image(cluster, "deployment", "gateway-router", "gateway") == "gateway-router:3.2.0"


def test_a_component_suspended_by_hand_is_not_reported_green(cluster: Cluster, service: RunningService) -> None:
    """A HelmRelease that somebody suspended would read as Ready; the wrapper's health check does not."""
    patch = json.dumps({"spec": {"suspend": True}})
    cluster.kubectl("patch", "helmrelease", "platform-gateway", "-n", "ums-system", "--type=merge", "-p", patch)
    try:
        eventually(
            lambda: (reported(service)["reported"] or {}).get("component") == "platform-gateway",
            timeout=240,
            what="the suspended component is named",
            every=0.5,
        )
        assert reported(service)["health"] == "failed"
    finally:
        patch = json.dumps({"spec": {"suspend": None}})
        cluster.kubectl("patch", "helmrelease", "platform-gateway", "-n", "ums-system", "--type=merge", "-p", patch)
    wait_healthy(service)


@pytest.mark.usefixtures("cluster")
def test_a_release_that_never_becomes_ready_is_reported_failed_with_its_component(
    service: RunningService, tmp_path: Path
) -> None:
    """``--wait`` ends with exit code 12, the service names the component, and the fix goes through."""
    broken = variant(
        tmp_path,
        "1.2.0",
        **{
            "labels: {app.kubernetes.io/name: observability-api}\n    spec": (
                'labels: {app.kubernetes.io/name: observability-api, ums.test/never-ready: "true"}\n    spec'
            ),
            "namespace: observability\n": "namespace: observability\n    timeout: 5s\n",
        },
    )
    service.publish(broken, "1.3.0")
    service.promote("platform@1.3.0", "edge", "candidate")
    done = service.run("promote", "platform@1.3.0", "--to", "stable", "--wait", "--timeout", "5m")
    assert done.returncode == 12, done.stdout + done.stderr
    assert PDP in done.stderr
    assert reported(service)["reported"]["component"] == "platform-observability"
    service.ums("rollback", PDP, "platform", "--to", "1.2.0", "--reason", "observability does not start")
    wait_healthy(service, timeout=240)
    service.ums("unhold", PDP, "platform", "--dry-run")


def test_a_component_that_a_release_removes_is_uninstalled(
    cluster: Cluster, service: RunningService, tmp_path: Path
) -> None:
    """Marked in one state, left out in the next: Helm uninstalls it, and everything else stays."""
    folder = variant(tmp_path, "1.2.0")
    bundle = yaml.safe_load((folder / "bundle.yaml").read_text())
    bundle["components"] = [each for each in bundle["components"] if each["name"] != "observability"]
    bundle["removes"] = ["observability"]
    (folder / "bundle.yaml").write_text(yaml.safe_dump(bundle))
    service.publish(folder, "2.0.0")
    service.promote("platform@2.0.0")
    service.ums("unhold", PDP, "platform")
    eventually(
        lambda: not cluster.exists("deployment", "observability-api", "observability"),
        timeout=240,
        what="the Deployment is gone",
        every=0.5,
    )
    eventually(
        lambda: not cluster.exists("kustomization", "platform-observability"), timeout=120, what="the wrapper is gone"
    )
    plane = wait_healthy(service)
    assert set(plane["desired"]["bundles"]["platform"]["components"]) == {"cilium", "gateway", "pdp-agent"}
    assert deployed_image(cluster, "deployment", "gateway-router", "gateway") == "gateway-router:3.2.0"
