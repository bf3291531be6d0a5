"""Keys and the guard, rotated on real Flux by releases of bundle trust: one story, and what a thief makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.attacks.stage import FOLDER, NAME, Attacker, content, health, small_bundle, told, without_guard
from tests.e2e.cluster import Cluster
from tests.processes import eventually
from tests.running_service import RunningService
from ums.domain.world import Raw

CHANNEL = {"rollout": {"waves": [{"name": "everyone"}], "maxUpdating": "100%", "healthyFor": "0s"}}
POLICY, BINDING = "validatingadmissionpolicy", "validatingadmissionpolicybinding"
WHY = ("--reason", "a test")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Iterator[RunningService]:
    """Return a service with one data plane, bootstrapped as the docs say, and well."""
    with RunningService(tmp_path_factory.mktemp("service"), channels={"stable": CHANNEL}) as running:
        running.publish(small_bundle(running.folder), "1.0.0")
        running.ums("promote", "small@1.0.0", "--to", "stable")
        running.ums("pdp", "add", NAME, "--channel", "stable", "--bundle", "small")
        running.ums("pdp", "bootstrap", NAME, "--file", "bootstrap.yaml")
        cluster.kubectl("apply", "-f", str(running.folder / "bootstrap.yaml"))
        eventually(lambda: health(running) == "healthy", timeout=180, what="healthy at first", every=0.5)
        running.ums("keys", "generate", "second.key")
        yield running


def keys(cluster: Cluster, name: str) -> set[str]:
    """Return what a Secret of keys holds."""
    return set(cluster.get("secret", name)["data"])


def state_keys(cluster: Cluster) -> set[str]:
    """Return the state keys that the cluster knows."""
    return set(cluster.get("secret", "ums-state-keys")["data"].values())


def publish_trust(service: RunningService, cluster: Cluster, *names: str) -> str:
    """Publish the next release of bundle trust, promote it, and wait until the cluster is well on it."""
    arguments = [argument for name in names for argument in ("--key", str(service.folder / f"{name}.key"))]
    release: str = service.json("keys", "publish", *arguments)["release"]
    service.ums("promote", release, "--to", "stable")
    number = release.partition("@")[2].partition(".")[0]

    def taken() -> bool:
        return cluster.get("configmap", "ums-trust")["data"]["number"] == number and health(service) == "healthy"

    eventually(taken, timeout=180, what=f"{release} was taken", every=0.5)
    return release


def publish_small(service: RunningService, cluster: Cluster, version: str, *, key: str, folder: Path) -> None:
    """Publish the bundle with another value, signed with a key, and wait until it runs."""
    value = version.split(".")[1]
    bundle, path = small_bundle(folder / value, value), str(service.folder / f"{key}.key")
    service.ums("publish", str(bundle), "--version", version, UMS_KEY=path)
    service.ums("promote", f"small@{version}", "--to", "stable")
    eventually(lambda: content(cluster) == value, timeout=180, what=f"{version} runs", every=0.5)
    eventually(lambda: health(service) == "healthy", timeout=180, what=f"well on {version}", every=0.5)


def test_a_release_key_is_added(service: RunningService, cluster: Cluster, tmp_path: Path) -> None:
    """What it alone signed waits until the cluster knows it, and runs then."""
    service.ums("keys", "rotate", "--add", "second=second.pub", *WHY, "--yes")
    assert keys(cluster, "ums-release-keys") == {"release.pub"}
    publish_trust(service, cluster, "release", "second")
    assert keys(cluster, "ums-release-keys") == {"release.pub", "second.pub"}
    publish_small(service, cluster, "1.7.0", key="second", folder=tmp_path)
    status = service.json("keys", "status")
    assert {each["name"]: each["unknownTo"] for each in status["releaseKeys"]} == {"release": 0, "second": 0}


def test_the_old_release_key_is_dropped(service: RunningService, cluster: Cluster, tmp_path: Path) -> None:
    """It is gone from the cluster, and what it signs is not let in any more; what runs survives a new start of Flux."""
    service.ums("keys", "rotate", "--drop", "release", *WHY, "--yes")
    publish_trust(service, cluster, "second")
    assert keys(cluster, "ums-release-keys") == {"second.pub"}
    refused = service.run("publish", str(small_bundle(tmp_path)), "--version", "1.8.0")
    assert (refused.returncode, "0 of the 1 signatures" in refused.stderr) == (7, True)
    cluster.controllers["source-controller"].stop()
    for artifact in (cluster.folder / "artifacts").rglob("*.tar.gz"):
        artifact.unlink()
    cluster.start_controller("source-controller")
    publish_small(service, cluster, "1.9.0", key="second", folder=tmp_path)


def test_the_state_key_is_rotated(service: RunningService, cluster: Cluster, tmp_path: Path) -> None:
    """The next takes over once the cluster knows it; the old one is gone afterwards."""
    old = (service.data / "state.key").read_bytes()
    service.ums("keys", "rotate-state", str(service.data), *WHY, "--yes")
    before = state_keys(cluster)
    refused = service.run("keys", "rotate-state", str(service.data), *WHY, "--yes")
    assert (refused.returncode, NAME in refused.stderr) == (3, True)
    publish_trust(service, cluster, "second")
    assert len(state_keys(cluster) - before) == 1
    service.ums("keys", "rotate-state", str(service.data), *WHY, "--yes")
    assert (service.data / "state.key").read_bytes() != old
    service.stop()
    service.start()
    service.ums("keys", "rotate", "--drop-state-key", str(service.data / "old-state.pub"), *WHY, "--yes")
    publish_trust(service, cluster, "second")
    assert len(before - state_keys(cluster)) == 1
    publish_small(service, cluster, "1.10.0", key="second", folder=tmp_path)
    audited = service.json("audit", "verify", str(service.data / "release-repo.git"))
    assert audited["flaws"] == []


def objects_of(attacker: Attacker, release: str) -> tuple[str, list[dict[str, object]]]:
    """Return path and objects of the newest release of bundle trust, as the data plane is offered it."""
    path = f"{FOLDER}/trust/guard/{release.partition('@')[2]}/objects.yaml"
    return path, list(yaml.safe_load_all(attacker.git("show", f"delivery:{path}")))


def repoint(attacker: Attacker, path: str, objects: list[dict[str, object]], source: dict[str, object]) -> None:
    """Let the component come from another artifact: all that the state key can do about it."""
    first: dict[str, dict[str, object]] = objects[0]  # type: ignore[assignment] # an OCIRepository
    first["spec"].update(source)
    for each in objects:
        each["metadata"]["annotations"]["ums/digest"] = source["ref"]["digest"]  # type: ignore[index] # they have it
    attacker.commit(lambda _: None, {path: Raw(yaml.safe_dump_all(objects).encode())})


@pytest.fixture
def newest(service: RunningService) -> str:
    """Return the newest release of bundle trust."""
    found: str = service.json("release", "list", "trust")["items"][0]["release"]
    return found


def test_the_state_key_brings_no_older_keys_back(service: RunningService, cluster: Cluster, newest: str) -> None:
    """They were signed with a key that still counts; the number of the newest is what refuses them."""
    attacker = Attacker(service)
    before, held = attacker.git("rev-parse", "delivery"), state_keys(cluster)
    path, objects = objects_of(attacker, newest)
    older = service.json("release", "show", "trust@3.0.0")["components"][0]["digest"]
    repoint(attacker, path, objects, {"ref": {"digest": older}})
    message = cluster.wait_message("kustomization", "trust-guard-content", "may not be replaced by older ones")
    assert state_keys(cluster) == held
    told("keys of the past, signed with a release key that counts", "the API server, at the guard's word", message)
    attacker.put_back(before)


def version(cluster: Cluster) -> str:
    """Return which release of bundle trust the guard's rules are of, and which version."""
    found: str = cluster.get(POLICY, "ums-guard")["metadata"]["annotations"]["ums/trust"]
    return found


def test_the_state_key_moves_no_guard(service: RunningService, cluster: Cluster, newest: str) -> None:
    """An older one, with its keys and its number in another namespace, would bring its policies with it."""
    attacker = Attacker(service)
    before, held = attacker.git("rev-parse", "delivery"), version(cluster)
    path, objects = objects_of(attacker, newest)
    good = yaml.safe_dump_all(objects).encode()
    cluster.kubectl("create", "namespace", "elsewhere")
    older = service.json("release", "show", "trust@3.0.0")["components"][0]["digest"]

    def move() -> None:
        path, objects = objects_of(attacker, newest)
        objects[1]["spec"]["targetNamespace"] = "elsewhere"  # type: ignore[index] # a Kustomization
        repoint(attacker, path, objects, {"ref": {"digest": older}})

    move()
    message = cluster.wait_message("kustomization", "trust-guard", "spec.targetNamespace")
    assert version(cluster) == held
    told("a guard of the past, with its number in another namespace", "the API server, at the guard's word", message)
    attacker.put_back(before)
    with without_guard(cluster):
        move()
        eventually(lambda: version(cluster).startswith("3."), timeout=180, what="the old guard is back", every=0.5)
        told("nothing, without the guard: a guard of the past", "nobody", version(cluster))
    # Its serial was taken: what is well again has to be newer.
    attacker.commit(lambda _: None, {path: Raw(good)})
    eventually(lambda: version(cluster) == held, timeout=180, what="the newest guard is back", every=0.5)


def test_the_state_key_takes_no_guard_away(service: RunningService, cluster: Cluster, newest: str) -> None:
    """No other artifact comes under the component's name; and if one did, it would prune nothing of the guard."""
    attacker = Attacker(service)
    before = attacker.git("rev-parse", "delivery")
    small = service.json("release", "show", "small@1.7.0")["components"][0]["digest"]
    prefix = f"oci://{service.url.removeprefix('http://')}/ums"

    def replace_guard() -> None:
        path, objects = objects_of(attacker, newest)
        repoint(attacker, path, objects, {"ref": {"digest": small}, "url": f"{prefix}/small/config"})

    replace_guard()
    message = cluster.wait_message("kustomization", "trust-guard", "as its name says")
    told("another artifact in the place of the guard", "the API server, at the guard's word", message)
    attacker.put_back(before)
    with without_guard(cluster):
        replace_guard()
        eventually(
            lambda: (
                small in str(cluster.get("kustomization", "trust-guard-content")["status"].get("lastAppliedRevision"))
            ),
            timeout=180,
            what="the other artifact was applied",
            every=0.5,
        )
    for name in ("ums-guard", "ums-guard-source", "ums-guard-trust"):
        assert cluster.exists(POLICY, name)
        assert cluster.exists(BINDING, name)
    assert cluster.exists("secret", "ums-release-keys")
    told("another artifact in the place of the guard, without it", "nobody; pruning is off for all of it", small)
