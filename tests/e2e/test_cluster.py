"""The cluster that the other tests rely on behaves like one."""

from __future__ import annotations

import json

from tests.e2e.cluster import FLUX, Cluster
from tests.processes import eventually


def deployment(name: str, labels: dict[str, str]) -> str:
    """Return a Deployment of one pod."""
    labels = {"app": name, **labels}
    container = {"name": "main", "image": "example.com/none"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"selector": {"matchLabels": {"app": name}}, "template": template}
    return json.dumps({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec})


def scheduled(cluster: Cluster, app: str) -> bool:
    """Return whether the pod of a Deployment has a node."""
    pods = json.loads(cluster.kubectl("get", "pods", "-n", "default", "-l", f"app={app}", "-o", "json"))["items"]
    return bool(pods) and all("nodeName" in pod["spec"] for pod in pods)


def test_deployments_become_ready_unless_told_not_to(cluster: Cluster) -> None:
    """Kwok plays the kubelet: pods run, but those labelled never-ready do not, though they came first."""
    cluster.apply(deployment("unwell", {"ums.test/never-ready": "true"}))
    eventually(lambda: scheduled(cluster, "unwell"), timeout=60, what="the pod that stays unready has a node")
    cluster.apply(deployment("well", {}))
    eventually(
        lambda: cluster.get("deployment", "well", "default")["status"].get("readyReplicas") == 1,
        timeout=60,
        what="a Deployment is ready",
    )
    assert not cluster.get("deployment", "unwell", "default")["status"].get("readyReplicas")


def test_all_controllers_of_flux_run(cluster: Cluster) -> None:
    """Every controller is up, and its kinds are served."""
    assert set(cluster.controllers) == set(FLUX)
    for kind in ("gitrepositories", "ocirepositories", "kustomizations", "helmreleases", "alerts"):
        cluster.kubectl("get", kind, "-A")
