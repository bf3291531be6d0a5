"""The same attacks with one defence switched off: now they succeed. So it is this defence that refuses them.

Each puts its defence back, but what was applied meanwhile stays: every test uses something of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.attacks.stage import (
    FOLDER,
    Attacker,
    Files,
    allow_pruning,
    content,
    evil,
    leave_out,
    serial,
    small_bundle,
    told,
    without_guard,
)
from tests.e2e.cluster import Cluster
from tests.processes import eventually
from tests.running_service import RunningService
from ums.adapters.oras_registry import OrasRegistry
from ums.domain.oci import Repository
from ums.domain.world import Raw


def add(attacker: Attacker, name: str, text: bytes) -> Files:
    """Return the files that bring one more object."""
    listing = attacker.read("kustomization.yaml")
    listing["resources"].append(name)
    return {
        f"{FOLDER}/{name}": Raw(text),
        f"{FOLDER}/kustomization.yaml": Raw(yaml.safe_dump(listing).encode()),
    }


@pytest.fixture
def thief(service: RunningService) -> Attacker:
    """Return somebody with the state key, after whom nothing is put back."""
    return Attacker(service)


def test_without_verify_an_unsigned_commit_is_followed(cluster: Cluster, thief: Attacker) -> None:
    """Source-controller's check of the commit is what refuses it."""
    verify = json.dumps(cluster.get("gitrepository", "ums")["spec"]["verify"])
    before = thief.git("rev-parse", "delivery")
    tree = thief.git("rev-parse", "delivery^{tree}")
    commit = thief.git("-c", "user.name=m", "-c", "user.email=m@x", "commit-tree", tree, "-p", "delivery", "-m", "x")
    cluster.kubectl(
        "patch",
        "gitrepository",
        "ums",
        "-n",
        "ums-system",
        "--type=json",
        "-p",
        '[{"op":"remove","path":"/spec/verify"}]',
    )
    try:
        thief.git("update-ref", "refs/heads/delivery", commit)
        eventually(
            lambda: commit in json.dumps(cluster.get("gitrepository", "ums")["status"].get("artifact", {})),
            timeout=120,
            what="the unsigned commit is followed",
            every=0.5,
        )
        told("nothing, without verify: an unsigned commit", "nobody", commit)
    finally:
        thief.restore(before)
        cluster.kubectl(
            "patch",
            "gitrepository",
            "ums",
            "-n",
            "ums-system",
            "--type=merge",
            "-p",
            f'{{"spec":{{"verify":{verify}}}}}',
        )


def test_without_the_guard_an_unverified_source_is_applied(cluster: Cluster, thief: Attacker) -> None:
    """And so an image that nobody signed would be."""
    spec = {"interval": "1m", "url": "oci://evil.example.com/x", "ref": {"tag": "latest"}, "suspend": True}
    source = evil("OCIRepository", "source.toolkit.fluxcd.io/v1", "evil", spec=spec)
    with without_guard(cluster):
        thief.commit(lambda _: None, add(thief, "evil.yaml", source.content))
        eventually(lambda: cluster.exists("ocirepository", "evil"), timeout=180, what="the source is there", every=0.5)
    told("nothing, without the guard: a source from elsewhere by tag", "nobody", "applied")


def test_without_the_guard_an_older_state_is_applied(cluster: Cluster, thief: Attacker) -> None:
    """Rollback, which a signature alone does not prevent."""
    before = serial(cluster)
    with without_guard(cluster):
        thief.commit(lambda state: state["data"].update(serial=str(before - 1000)))
        eventually(lambda: serial(cluster) == before - 1000, timeout=180, what="the past is back", every=0.5)
    told("nothing, without the guard: an older state", "nobody", "applied")


def test_without_its_role_the_root_brings_anything(cluster: Cluster, thief: Attacker) -> None:
    """That it runs as an account of few rights is what keeps CRDs and roles out."""
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "too-much"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "ums-root", "namespace": "ums-system"}],
    }
    role = evil("ClusterRole", "rbac.authorization.k8s.io/v1", "evil-role", rules=[])
    cluster.apply(json.dumps(binding))
    try:
        thief.commit(lambda _: None, add(thief, "role.yaml", role.content))
        eventually(lambda: cluster.exists("clusterrole", "evil-role"), timeout=180, what="the role is there", every=0.5)
    finally:
        cluster.kubectl("delete", "clusterrolebinding", "too-much")
    told("nothing, as cluster-admin: a ClusterRole", "nobody", "applied")


def test_without_verification_what_a_stranger_signed_runs(
    cluster: Cluster, thief: Attacker, service: RunningService, tmp_path: Path
) -> None:
    """With the guard gone, and the source's check of signatures taken out, nothing is left to refuse it."""
    service.ums("keys", "generate", str(tmp_path / "stranger.key"))
    arguments = ("--version", "6.6.6", "--key", str(tmp_path / "stranger.key"), "--no-register", "-o", "json")
    service.ums("publish", str(small_bundle(tmp_path, value="evil")), *arguments)
    registry = OrasRegistry(username="x", password=service.token, plain_http=True)
    repository = Repository(service.url.removeprefix("http://"), "ums/small/config")
    evil, _ = registry.get_manifest(repository, "6.6.6")
    path = f"{FOLDER}/small/config/1.0.0/objects.yaml"
    objects = list(yaml.safe_load_all(thief.git("show", f"delivery:{path}")))
    objects[0]["spec"]["ref"]["digest"] = str(evil.digest)
    assert objects[0]["spec"].pop("verify")["provider"] == "cosign"
    for each in objects:
        each["metadata"]["annotations"]["ums/digest"] = str(evil.digest)
    with without_guard(cluster):
        thief.commit(lambda _: None, {path: Raw(yaml.safe_dump_all(objects).encode())})
        eventually(lambda: content(cluster) == "evil", timeout=180, what="the stranger's content runs", every=0.5)
    told("nothing, without guard and verification: an artifact that a stranger signed", "nobody", str(evil.digest))


OBJECTS = f"{FOLDER}/small/config/1.0.0/objects.yaml"


def change_content(attacker: Attacker, change: Callable[[dict[str, Any]], None]) -> bytes:
    """Change the Kustomization that applies what was signed; return its file as it was."""
    before = attacker.git("show", f"delivery:{OBJECTS}")
    source, applier = yaml.safe_load_all(before)
    change(applier)
    attacker.commit(lambda _: None, {OBJECTS: Raw(yaml.safe_dump_all([source, applier]).encode())})
    return before.encode()


def test_without_the_guard_everything_that_was_signed_is_labelled(cluster: Cluster, thief: Attacker) -> None:
    """With what a mesh or a policy of the cluster's owner goes by."""
    labels = {"commonMetadata": {"labels": {"evil": "x"}}}
    with without_guard(cluster):
        before = change_content(thief, lambda applier: applier["spec"].update(labels))
        eventually(
            lambda: cluster.get("configmap", "small", "small")["metadata"]["labels"].get("evil") == "x",
            timeout=180,
            what="the label is there",
            every=0.5,
        )
    thief.commit(lambda _: None, {OBJECTS: Raw(before)})
    told("nothing, without the guard: a label on everything that was signed", "nobody", "applied")


def test_without_the_guard_what_nobody_marked_is_uninstalled(cluster: Cluster, thief: Attacker) -> None:
    """The rule on deletion keeps it, once pruning was allowed. The last of the story: the component is gone."""
    with without_guard(cluster):
        allow_pruning(thief, cluster)
        leave_out(thief)
        eventually(
            lambda: not cluster.exists("configmap", "small", "small"), timeout=180, what="it is uninstalled", every=0.5
        )
    told("nothing, without the guard: a component that is left out, unmarked", "nobody", "uninstalled")
