"""The reporter on a real Kubernetes API: what it tells, and what it may not do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.cluster import Cluster
from tests.processes import eventually
from tests.running_service import RunningService
from ums.domain.fleet import fact_version

PDP = "acme/prod"
ACCOUNT = "system:serviceaccount:ums-system:ums-reporter"
IMAGES = {f"registry.example.com/app-{number:03}:1.0" for number in range(120)}
"""More than a page of pods."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """Return a running service with its embedded registry."""
    with RunningService(tmp_path_factory.mktemp("service")) as running:
        yield running


def pod(name: str, image: str) -> dict[str, Any]:
    """Return a pod on the node that is there."""
    spec = {"nodeName": "node-0", "containers": [{"name": "main", "image": image}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def flux(name: str, version: str) -> dict[str, Any]:
    """Return a Deployment as ``flux install`` labels it, of no pods."""
    labels = {"app.kubernetes.io/part-of": "flux", "app.kubernetes.io/version": version}
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "manager", "image": "ghcr.io/fluxcd/x:v1"}]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "flux-system", "labels": labels},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": template},
    }


@pytest.fixture(scope="module")
def arguments(cluster: Cluster, service: RunningService) -> tuple[str, ...]:
    """Apply a bootstrap with a reporter, and return what ``ums report`` is given in its place."""
    service.ums("pdp", "add", PDP, "--channel", "stable", "--bundle", "platform", "--kubernetes", "1.30.0")
    file = service.folder / "bootstrap.yaml"
    image = ("--reporter", "--reporter-image", "registry.example.com/ums:1.0.0")
    service.ums("pdp", "bootstrap", PDP, "--file", str(file), *image)
    cluster.apply(file.read_text())
    controllers = [flux("source-controller", "v2.9.1"), flux("kustomize-controller", "v2.9.0")]
    pods = [pod(f"app-{number:03}", image) for number, image in enumerate(sorted(IMAGES))]
    cluster.apply(yaml.safe_dump_all([*controllers, *pods]))

    def all_run() -> bool:
        phases = cluster.kubectl("get", "pods", "-n", "default", "-o", "jsonpath={.items[*].status.phase}").split()
        return phases == ["Running"] * len(IMAGES)

    eventually(all_run, timeout=60, what="all pods run", every=0.5)
    token, key = service.folder / "token", service.folder / "key"
    token.write_text(cluster.kubectl("create", "token", "ums-reporter", "-n", "ums-system"))
    key.write_text(
        cluster.kubectl(
            "get", "secret", "ums-events", "-n", "ums-system", "-o", "go-template={{.data.token|base64decode}}"
        )
    )
    address = json.loads(cluster.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    kube = ("--kube-url", address, "--kube-ca", str(cluster.folder / "certs" / "apiserver.crt"))
    return ("report", "--pdp", PDP, "--key-file", str(key), *kube, "--kube-token-file", str(token))


def test_what_the_cluster_has_is_known_to_the_service(
    cluster: Cluster, service: RunningService, arguments: tuple[str, ...]
) -> None:
    """Page after page; what it says beats what was registered. It is sent without the operator's token."""
    shown = json.loads(service.ums(*arguments, "--dry-run", "-o", "json"))
    assert service.get(f"/pdps/{PDP}")["cluster"] is None
    real = json.loads(cluster.kubectl("version", "-o", "json"))["serverVersion"]["gitVersion"]
    assert (shown["kubernetes"], shown["flux"], shown["recorded"]) == (real, "v2.9.0", None)
    sent = json.loads(service.ums(*arguments, "-o", "json", UMS_TOKEN=""))
    assert sent["recorded"] is True
    plane = service.get(f"/pdps/{PDP}")
    assert plane["facts"] == {"kubernetes": str(fact_version(real)), "flux": "2.9.0"}
    assert set(plane["cluster"]["images"]) == IMAGES
    assert f"{len(IMAGES)} images" in service.ums("pdp", "show", PDP)


def test_what_runs_is_told_by_digest_once_a_node_says_so(
    cluster: Cluster, service: RunningService, arguments: tuple[str, ...]
) -> None:
    """And a container that ended does not run."""
    digest = f"registry.example.com/app-000@sha256:{'a' * 64}"
    states = [
        {"name": "main", "imageID": digest, "state": {"running": {}}, "ready": True},
        {"name": "gone", "imageID": "x@sha256:0", "state": {"terminated": {"exitCode": 0}}, "ready": False},
    ]
    told = [{"image": "registry.example.com/app-000:1.0", "restartCount": 0, **each} for each in states]
    patch = json.dumps({"status": {"containerStatuses": told}})
    cluster.kubectl("patch", "pod", "app-000", "-n", "default", "--subresource=status", "--type=merge", "-p", patch)
    shown = json.loads(service.ums(*arguments, "--dry-run", "-o", "json"))
    assert set(shown["images"]) == IMAGES - {"registry.example.com/app-000:1.0"} | {digest}


def test_the_reporter_may_do_nothing_else(cluster: Cluster, arguments: tuple[str, ...]) -> None:
    """With its own token: it reads no secret and no log, it makes and changes nothing, here or elsewhere."""
    token = Path(arguments[-1]).read_text()
    config = json.loads(cluster.kubeconfig.read_text())
    config["users"] = [{"name": "admin", "user": {"token": token}}]
    own = cluster.folder / "reporter-kubeconfig"
    own.write_text(json.dumps(config))
    for wanted in (
        ("get", "secrets", "-n", "ums-system"),
        ("get", "secret", "ums-events", "-n", "ums-system"),
        ("get", "configmaps", "-n", "ums-system"),
        ("get", "deployments", "-n", "default"),
        ("get", "nodes"),
        ("logs", "app-001", "-n", "default"),
        ("exec", "app-001", "-n", "default", "--", "id"),
        ("create", "configmap", "x", "-n", "ums-system"),
        ("create", "token", "ums-root", "-n", "ums-system"),
        ("run", "x", "--image=x", "-n", "ums-system"),
        ("delete", "pod", "app-001", "-n", "default"),
        ("label", "deployment", "source-controller", "-n", "flux-system", "a=b"),
    ):
        said = cluster.kubectl(f"--kubeconfig={own}", *wanted, check=False)
        assert "forbidden" in said.lower(), (wanted, said)
    assert cluster.kubectl(f"--kubeconfig={own}", "get", "pods", "-n", "default", "-o", "name").count("pod/") == len(
        IMAGES
    )
    may = cluster.kubectl("auth", "can-i", "create", "pods", f"--as={ACCOUNT}", check=False)
    assert may.startswith("no")


def test_without_the_right_to_look_it_says_what_to_do(
    cluster: Cluster, service: RunningService, arguments: tuple[str, ...]
) -> None:
    """And with a token of nobody."""
    cluster.kubectl("delete", "clusterrolebinding", "ums-reporter")

    def refused() -> bool:
        done = service.run(*arguments, "--dry-run")
        return done.returncode == 6 and "ums pdp bootstrap --reporter" in done.stderr

    eventually(refused, timeout=30, what="the reporter is told no", every=0.5)
    nobody = service.folder / "nobody"
    nobody.write_text("nobody")
    done = service.run(*arguments[:-1], str(nobody), "--dry-run")
    assert (done.returncode, "401" in done.stderr) == (6, True)
