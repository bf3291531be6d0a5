"""A service and a cluster for each file of attacks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.attacks.stage import Attacker, connect, root, serial
from tests.e2e.cluster import Cluster
from tests.processes import eventually
from tests.running_service import RunningService


@pytest.fixture(scope="module")
def topology() -> str:
    """Say what data planes follow; the release repo itself gives an attacker the most."""
    return "shared"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster, topology: str) -> Iterator[RunningService]:
    """Return a service with one healthy data plane; its loop is stopped, so that the attacker's commits stay."""
    with RunningService(tmp_path_factory.mktemp("attacked"), reconcile="1h", topology=topology) as running:
        connect(running, cluster)
        yield running


@pytest.fixture
def attacker(service: RunningService, cluster: Cluster) -> Iterator[Attacker]:
    """Return an attacker, and put everything back afterwards."""
    found = Attacker(service)
    before = found.git("rev-parse", "delivery")
    yield found
    found.put_back(before)
    offered = int(found.read("state.yaml")["data"]["serial"])

    def is_back() -> bool:
        """Return whether the cluster took it: after an attack that did not reach the root, it was well all the time."""
        return serial(cluster) >= offered and root(cluster)[0] == "True"

    eventually(is_back, timeout=180, what="the root is well again", every=0.5)
