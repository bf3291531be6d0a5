"""A wave on real Flux: a canary that fails stops everybody behind it, and the fix overtakes the failure.

The canary is a cluster; those behind it are simulated, and do all that Flux does but apply.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.simulated_plane import SimulatedPlane
from tests.e2e.cluster import Cluster
from tests.e2e.test_whole_path import deployed_image, variant
from tests.processes import eventually
from tests.running_service import EXAMPLES, RunningService
from ums.domain.names import PDPName

CANARY = "acme/canary"
OTHERS = (PDPName("globex", "one"), PDPName("globex", "two"))
FACTS = ("--kubernetes", "1.36.0", "--flux", "2.9.0")
POLICY = {
    "rollout": {
        "waves": [{"name": "canary", "labels": {"canary": "yes"}, "soak": "2s"}, {"name": "everyone"}],
        "maxUpdating": "100%",
        "healthyFor": "1s",
        "onHalt": "rollback",
    }
}
NEVER_READY = {
    "labels: {app.kubernetes.io/name: observability-api}\n    spec": (
        'labels: {app.kubernetes.io/name: observability-api, ums.test/never-ready: "true"}\n    spec'
    )
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """Return a service with one channel, whose first wave is the canary."""
    with RunningService(tmp_path_factory.mktemp("service"), channels={"stable": POLICY}) as running:
        yield running


@pytest.fixture(scope="module")
def others(service: RunningService, cluster: Cluster) -> list[SimulatedPlane]:
    """Return the data planes behind the canary; all of them run 1.0.0."""
    for name in (CANARY, *map(str, OTHERS)):
        labels = ("--label", "canary=yes") if name == CANARY else ()
        service.ums("pdp", "add", name, "--channel", "stable", "--bundle", "platform", *FACTS, *labels)
    service.ums("pdp", "bootstrap", CANARY, "--file", "bootstrap.yaml")
    cluster.apply((service.folder / "bootstrap.yaml").read_text())
    planes = [
        SimulatedPlane(name, service.get(f"/pdps/{name}/bootstrap")["objects"], service.folder / f"{name.pdp}.git")
        for name in OTHERS
    ]
    service.publish(EXAMPLES / "platform" / "1.0.0", "1.0.0")
    service.ums("promote", "platform@1.0.0", "--to", "stable")
    wait_for(service, planes, "finished", "1.0.0")
    return planes


def rollout(service: RunningService) -> dict[str, Any]:
    """Return the rollout of the channel."""
    found: dict[str, Any] = service.get("/channels/stable/rollouts")["items"][0]
    return found


def wait_for(service: RunningService, planes: list[SimulatedPlane], status: str, version: str) -> None:
    """Poll as Flux does until a rollout is where it should be."""

    def reached() -> bool:
        for plane in planes:
            plane.poll()
        found = rollout(service)
        return (found["release"], found["status"]) == (f"platform@{version}", status)

    eventually(reached, timeout=300, what=f"the rollout of {version} is {status}", every=0.5)


def release_of(service: RunningService, name: object) -> str:
    """Return the release that a data plane is offered."""
    found: str = service.get(f"/pdps/{name}")["desired"]["bundles"]["platform"]["release"]
    return found


def test_a_canary_that_fails_halts_the_rollout_and_is_rolled_back(
    cluster: Cluster, service: RunningService, others: list[SimulatedPlane], tmp_path: Path
) -> None:
    """It goes back to what it had; those behind it never saw the release, and are told why they wait."""
    seen = {str(plane.name): plane.applied and plane.applied.serial for plane in others}
    impatient = {**NEVER_READY, "namespace: observability\n": "namespace: observability\n    timeout: 5s\n"}
    service.publish(variant(tmp_path, "1.1.0", **impatient), "1.1.0")
    service.ums("promote", "platform@1.1.0", "--to", "stable")
    wait_for(service, others, "rolled-back", "1.1.0")
    eventually(lambda: release_of(service, CANARY) == "1.0.0", timeout=30, what="the canary is taken back")
    eventually(
        lambda: service.get(f"/pdps/{CANARY}")["health"] == "healthy", timeout=240, what="it is well again", every=0.5
    )
    assert deployed_image(cluster, "deployment", "observability-api", "observability") == "observability:2.4.0"
    assert {str(plane.name): plane.applied and plane.applied.serial for plane in others} == seen
    said = json.loads(service.ums("explain", str(OTHERS[0]), "-o", "json"))
    assert "rolled back" in json.dumps(said)


def test_a_fix_reaches_a_canary_whose_health_check_still_waits(
    cluster: Cluster, service: RunningService, others: list[SimulatedPlane], tmp_path: Path
) -> None:
    """Nobody waits out the timeout of what is known to be bad; then the wave goes on to everybody."""
    # Helm itself waits for as long as the component may take: no promotion shortens that.
    patient = {**NEVER_READY, "namespace: observability\n": "namespace: observability\n    timeout: 30s\n"}
    service.publish(variant(tmp_path / "bad", "1.1.0", **patient), "1.2.0")
    service.ums("promote", "platform@1.2.0", "--to", "stable")
    eventually(
        lambda: deployed_image(cluster, "deployment", "observability-api", "observability") == "observability:2.5.0",
        timeout=120,
        what="the bad release is there, and not ready",
        every=0.5,
    )
    assert service.get(f"/pdps/{CANARY}")["health"] == "updating"
    service.publish(variant(tmp_path / "good", "1.1.0", **{"observability:2.5.0": "observability:2.5.1"}), "1.2.1")
    service.ums("promote", "platform@1.2.1", "--to", "stable")
    wait_for(service, others, "finished", "1.2.1")
    assert deployed_image(cluster, "deployment", "observability-api", "observability") == "observability:2.5.1"
    assert {release_of(service, name) for name in (CANARY, *OTHERS)} == {"1.2.1"}
