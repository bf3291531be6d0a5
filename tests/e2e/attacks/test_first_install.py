"""The first pull of a cluster is an old one: bootstrap brought the state, so nothing older is ever applied."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.attacks.stage import NAME, Attacker, content, health, serial, small_bundle, told
from tests.e2e.cluster import Cluster
from tests.processes import eventually
from tests.running_service import RunningService


@pytest.fixture(scope="module")
def unconnected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """Return a service whose data plane has no cluster yet, and was offered 1.0.0, then 1.1.0."""
    with RunningService(tmp_path_factory.mktemp("attacked"), reconcile="1h", topology="shared") as running:
        running.ums("pdp", "add", NAME, "--channel", "stable", "--bundle", "small")
        for number in ("1", "2"):
            running.publish(small_bundle(running.folder / number, value=number), f"1.{number}.0")
            running.promote(f"small@1.{number}.0")
        yield running


def test_an_old_state_at_the_first_install_is_refused(cluster: Cluster, unconnected: RunningService) -> None:
    """Rightly signed by us once, and served by whoever stands between: the API server knows of a newer one."""
    attacker = Attacker(unconnected)
    unconnected.ums("pdp", "bootstrap", NAME, "--file", "bootstrap.yaml")
    new = attacker.git("rev-parse", "delivery")
    unconnected.ums("freeze", "still", "--reason", "so that the service itself does not offer it anew", "--yes")
    offered = int(attacker.read("state.yaml")["data"]["serial"])
    attacker.restore("delivery~1")
    assert int(attacker.read("state.yaml")["data"]["serial"]) < offered
    cluster.apply((unconnected.folder / "bootstrap.yaml").read_text())
    message = cluster.wait_message("kustomization", "ums-root", "serial must rise")
    assert serial(cluster) == offered
    assert not cluster.exists("kustomization", "small-config")
    assert not cluster.exists("ocirepository", "small-config")
    told("an old state at the first install", "the API server, at the guard's word", message)
    attacker.restore(new)
    eventually(lambda: health(unconnected) == "healthy", timeout=180, what="the newest state arrives", every=0.5)
    assert content(cluster) == "2"
