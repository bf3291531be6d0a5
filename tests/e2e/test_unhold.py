"""A channel goes back, is given a fix that is itself bad, and its hold ends: on real Flux, one canary fails.

The canary is a cluster, which volunteers; those behind it are simulated, and do all that Flux does but apply.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from examples.simulated_plane import SimulatedPlane
from tests.e2e.attacks.stage import content, small_bundle
from tests.e2e.cluster import Cluster
from tests.processes import eventually
from tests.running_service import RunningService
from ums.client import Client
from ums.domain.names import PDPName

CANARY = "acme/canary"
OTHERS = tuple(PDPName("globex", f"site-{number}") for number in range(4))
WAVES = [{"name": "canary", "share": "1", "soak": "1s"}, {"name": "everyone"}]
POLICY = {"rollout": {"waves": WAVES, "maxUpdating": "100%", "healthyFor": "0s"}}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """Return a service with one channel, where one data plane goes first."""
    with RunningService(tmp_path_factory.mktemp("service"), channels={"stable": POLICY}) as running:
        yield running


@pytest.fixture(scope="module")
def others(service: RunningService, cluster: Cluster) -> list[SimulatedPlane]:
    """Connect the cluster, and return the data planes behind it."""
    service.ums("pdp", "add", CANARY, "--channel", "stable", "--bundle", "small", "--volunteer")
    service.ums("pdp", "bootstrap", CANARY, "--file", "bootstrap.yaml")
    cluster.apply((service.folder / "bootstrap.yaml").read_text())
    for name in OTHERS:
        service.ums("pdp", "add", str(name), "--channel", "stable", "--bundle", "small")
    return [
        SimulatedPlane(name, service.get(f"/pdps/{name}/bootstrap")["objects"], service.folder / f"{name.pdp}.git")
        for name in OTHERS
    ]


def broken_bundle(folder: Path) -> Path:
    """Write the bundle with a pod more, which never becomes ready."""
    bundle = small_bundle(folder, value="3")
    image = f"registry.example.com/small:1.0.0@sha256:{'0' * 64}"
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "small", "namespace": "small", "labels": {"ums.test/never-ready": "true"}},
        "spec": {"nodeName": "node-0", "containers": [{"name": "main", "image": image}]},
    }
    (bundle / "manifests" / "pod.yaml").write_text(yaml.safe_dump(pod))
    return bundle


def wait(planes: list[SimulatedPlane], condition: Callable[[], object], what: str) -> None:
    """Poll as Flux does until a condition holds and no simulated data plane finds anything new."""

    def reached() -> bool:
        found = [plane.poll() for plane in planes]
        return not any(found) and bool(condition())

    eventually(reached, timeout=300, what=what, every=0.5)


def status(service: RunningService) -> tuple[str, str]:
    """Return the release of the channel's rollout, and its status."""
    rollout = service.get("/channels/stable/rollouts")["items"][0]
    return rollout["release"], rollout["status"]


def health(service: RunningService) -> dict[str, str]:
    """Return the health of each data plane, as the service tells it."""
    return {plane["pdp"]: plane["health"] for plane in service.get("/pdps")["items"]}


def offered(service: RunningService, name: PDPName) -> str:
    """Return the release that a data plane is offered."""
    release: str = service.get(f"/pdps/{name}")["desired"]["bundles"]["small"]["release"]
    return release


def test_a_bad_fix_reaches_one_cluster_after_the_hold_of_its_channel(
    cluster: Cluster, service: RunningService, others: list[SimulatedPlane]
) -> None:
    """The canary fails, the rollout halts, and the others stay on what they went back to."""
    for version, value in (("1.0.0", "1"), ("1.0.1", "2")):
        service.publish(small_bundle(service.folder / version, value), version)
        service.ums("promote", f"small@{version}", "--to", "stable")
        through = (f"small@{version}", "finished")
        wait(others, lambda through=through: status(service) == through, f"{version} is everywhere")  # type: ignore[misc]
    client = Client(service.url, service.token)
    client.roll_back_channel("stable", subject="small", release="1.0.0", reason="latency")
    back = dict.fromkeys((CANARY, *map(str, OTHERS)), "healthy")
    wait(others, lambda: content(cluster) == "1" and health(service) == back, "all are back on 1.0.0")
    stayed = {plane.name: plane.applied for plane in others}

    service.publish(broken_bundle(service.folder / "bad"), "1.1.0")
    service.ums("promote", "small@1.1.0", "--to", "stable")
    service.wait_offered()
    wait(others, lambda: status(service) == ("small@1.1.0", "running"), "the fix waits for the hold")
    assert content(cluster) == "1"

    client.unhold_channel("stable", subject="small", reason="the fix is there")
    wait(others, lambda: status(service) == ("small@1.1.0", "halted"), "the rollout halts")
    service.wait_offered()
    wait(others, lambda: True, "no data plane is offered more")
    assert content(cluster) == "3", "the cluster applied it, and waits for its pod in vain"
    assert health(service) == {**back, CANARY: "failed"}
    assert {plane.name: plane.applied for plane in others} == stayed
    assert {offered(service, name) for name in OTHERS} == {"1.0.0"}
    assert "halted" in service.ums("rollout", "status", "stable")
