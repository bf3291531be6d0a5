"""What the cluster refuses, though it comes from the release repo it follows. Nothing of it is ever applied.

The attacker here has got hold of more and more: write access to the repository, then the state key itself.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.cluster import Cluster
from tests.processes import eventually
from tests.running_service import EXAMPLES, RunningService
from ums.adapters.git_release_repo import GitReleaseRepo
from ums.adapters.ssh_signature import SSHStateSigner
from ums.domain.world import Content, Decision, Raw

ORG, PDP = "evil-day", "target"
NAME = f"{ORG}/{PDP}"
FOLDER = f"pdps/{NAME}"

Files = dict[str, Content | None]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Iterator[RunningService]:
    """Return a service with one healthy data plane; its loop is stopped, so that the attacker's commits stay."""
    with RunningService(tmp_path_factory.mktemp("attacked"), reconcile="1h", topology="shared") as running:
        running.publish(small_bundle(running.folder), "1.0.0")
        for channel in ("edge", "candidate", "stable"):
            running.ums("promote", "small@1.0.0", "--to", channel)
        running.ums("pdp", "add", NAME, "--channel", "stable", "--bundle", "small")
        running.ums("pdp", "bootstrap", NAME, "--file", "bootstrap.yaml")
        cluster.apply((running.folder / "bootstrap.yaml").read_text())
        eventually(lambda: health(running) == "healthy", timeout=180, what="healthy before the attack", every=0.5)
        yield running


def small_bundle(folder: Path, value: str = "1") -> Path:
    """Write a bundle of one component of manifests."""
    bundle = folder / "small"
    (bundle / "manifests").mkdir(parents=True)
    objects = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "small"}},
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "small", "namespace": "small"},
            "data": {"v": value},
        },
    ]
    (bundle / "manifests" / "all.yaml").write_text(yaml.safe_dump_all(objects))
    component = {"name": "config", "manifests": "manifests", "version": "1.0.0", "namespace": "small", "timeout": "5s"}
    (bundle / "bundle.yaml").write_text(yaml.safe_dump({"name": "small", "components": [component]}))
    return bundle


def health(service: RunningService) -> str:
    """Return what the service says of the data plane."""
    found: str = service.get(f"/pdps/{NAME}")["health"]
    return found


class Attacker:
    """Somebody who can write to the repository, with the state key or another."""

    def __init__(self, service: RunningService) -> None:
        self._path = service.data / "release-repo.git"
        self._key = service.data / "state.key"
        self._number = 0

    def git(self, *arguments: str, stdin: str = "") -> str:
        """Run git in the repository."""
        command = ["git", "-C", str(self._path), *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=True).stdout.strip()

    def commit(self, change: Callable[[dict[str, Any]], None] | None, extra: Files | None = None) -> None:
        """Commit, signed with the state key: a state with a higher serial, changed as told, and other files.

        To ``delivery`` alone: at a commit on ``main`` the service would look, and put things right at once.
        """
        files: Files = dict(extra or {})
        if change is not None:
            state = self.read("state.yaml")
            self._number += 1
            state["data"]["serial"] = str(int(datetime.now(UTC).timestamp()) + self._number)
            change(state)
            files[f"{FOLDER}/state.yaml"] = Raw(yaml.safe_dump(state).encode())
        decision = Decision("evil", "evil", "mallory", "gain", datetime.now(UTC), {}, files)
        with tempfile.TemporaryDirectory() as folder:
            self.git("clone", "--bare", "--quiet", "--shared", ".", folder)
            repo = GitReleaseRepo(Path(folder), SSHStateSigner.load(self._key), author="Mallory <m@example.com>")
            repo.commit(decision, base=repo.read().base)
            self.git("fetch", "--quiet", folder, "+refs/heads/delivery:refs/heads/delivery")

    def read(self, path: str) -> Any:  # noqa: ANN401 - any YAML value
        """Return a file of the data plane's folder."""
        return yaml.safe_load(self.git("show", f"delivery:{FOLDER}/{path}"))

    def restore(self, commit: str) -> None:
        """Put the branch back, as if nothing had been."""
        self.git("update-ref", "refs/heads/delivery", commit)


@pytest.fixture
def attacker(service: RunningService, cluster: Cluster) -> Iterator[Attacker]:
    """Return an attacker, and put everything back afterwards."""
    found = Attacker(service)
    before = found.git("rev-parse", "delivery")
    yield found
    found.restore(before)
    eventually(lambda: root(cluster)[0] == "True", timeout=180, what="the root is well again", every=0.5)


def root(cluster: Cluster) -> tuple[str, str]:
    """Return status and message of the root."""
    return cluster.ready("kustomization", "ums-root")


def evil(kind: str, api: str, name: str, **fields: Any) -> Raw:  # noqa: ANN401 - any YAML value
    """Return an object of the attacker's."""
    metadata = {"name": name, "namespace": "ums-system"}
    return Raw(yaml.safe_dump({"apiVersion": api, "kind": kind, "metadata": metadata, **fields}).encode())


def test_an_unsigned_commit_is_refused_by_source_controller(cluster: Cluster, attacker: Attacker) -> None:
    """Write access to the repository alone moves nothing."""
    tree = attacker.git("rev-parse", "delivery^{tree}")
    commit = attacker.git("-c", "user.name=m", "-c", "user.email=m@x", "commit-tree", tree, "-p", "delivery", "-m", "x")
    attacker.git("update-ref", "refs/heads/delivery", commit)
    cluster.wait_message("gitrepository", "ums", "InvalidCommitSignature")
    assert cluster.get("configmap", "small", "small")["data"] == {"v": "1"}, "what runs goes on running"


def test_a_commit_by_another_key_is_refused_by_source_controller(
    cluster: Cluster, attacker: Attacker, tmp_path: Path
) -> None:
    """A signature by a key that bootstrap did not bring counts for nothing."""
    SSHStateSigner.generate(tmp_path / "other.key")
    attacker._key = tmp_path / "other.key"
    attacker.commit(lambda _: None)
    cluster.wait_message("gitrepository", "ums", "InvalidCommitSignature")


FORBIDDEN: dict[str, tuple[Raw, str]] = {
    "a Deployment": (
        evil("Deployment", "apps/v1", "evil", spec={"selector": {}, "template": {}}),
        "forbidden",
    ),
    "a ClusterRole": (evil("ClusterRole", "rbac.authorization.k8s.io/v1", "evil", rules=[]), "forbidden"),
    "a Secret": (evil("Secret", "v1", "ums-release-keys", stringData={"evil.pub": "x"}), "forbidden"),
    "another ConfigMap": (evil("ConfigMap", "v1", "evil", data={"a": "b"}), "forbidden"),
    "a source without verification": (
        evil(
            "OCIRepository",
            "source.toolkit.fluxcd.io/v1",
            "evil",
            spec={"interval": "1m", "url": "PREFIX/evil", "ref": {"digest": "sha256:" + "0" * 64}},
        ),
        "must be verified",
    ),
    "a source by tag": (
        evil(
            "OCIRepository",
            "source.toolkit.fluxcd.io/v1",
            "evil",
            spec={
                "interval": "1m",
                "url": "PREFIX/evil",
                "ref": {"tag": "latest"},
                "verify": {"provider": "cosign", "secretRef": {"name": "ums-release-keys"}},
            },
        ),
        "must name a digest",
    ),
    "a source from another registry": (
        evil(
            "OCIRepository",
            "source.toolkit.fluxcd.io/v1",
            "evil",
            spec={
                "interval": "1m",
                "url": "oci://evil.example.com/x",
                "ref": {"digest": "sha256:" + "0" * 64},
                "verify": {"provider": "cosign", "secretRef": {"name": "ums-release-keys"}},
            },
        ),
        "must come from",
    ),
    "patches": (
        evil(
            "Kustomization",
            "kustomize.toolkit.fluxcd.io/v1",
            "evil-content",
            spec={
                "interval": "1m",
                "prune": True,
                "path": "./",
                "sourceRef": {"kind": "OCIRepository", "name": "evil"},
                "patches": [{"patch": "- op: remove\n  path: /spec", "target": {"kind": "Deployment"}}],
            },
        ),
        "no patches",
    ),
    "a wrapper that runs as the controller itself": (
        evil(
            "Kustomization",
            "kustomize.toolkit.fluxcd.io/v1",
            "evil",
            spec={
                "interval": "1m",
                "prune": True,
                "path": f"./{FOLDER}/evil",
                "sourceRef": {"kind": "GitRepository", "name": "ums"},
            },
        ),
        # Two policies refuse it, and the API server names either: what may read the repository, and as whom.
        "as ums-root",
    ),
    "values": (
        evil(
            "HelmRelease",
            "helm.toolkit.fluxcd.io/v2",
            "evil",
            spec={
                "interval": "1m",
                "chartRef": {"kind": "OCIRepository", "name": "evil"},
                "values": {"image": "evil"},
            },
        ),
        "no values",
    ),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_the_state_key_alone_cannot_bring(
    what: str, cluster: Cluster, attacker: Attacker, service: RunningService
) -> None:
    """Signed with the right key, at a higher serial – and refused by the API server, on the guard's word."""
    content, refusal = FORBIDDEN[what]
    prefix = f"oci://{service.url.removeprefix('http://')}/ums"
    text = content.content.replace(b"PREFIX", prefix.encode())
    listing = attacker.read("kustomization.yaml")
    listing["resources"].append("evil.yaml")
    extra: Files = {
        f"{FOLDER}/evil.yaml": Raw(text),
        f"{FOLDER}/kustomization.yaml": Raw(yaml.safe_dump(listing).encode()),
    }
    serial = cluster.get("configmap", "ums-state")["data"]["serial"]
    attacker.commit(lambda _: None, extra)
    message = cluster.wait_message("kustomization", "ums-root", refusal)
    assert "ums-root" in message or "ums-guard" in message
    assert cluster.get("configmap", "ums-state")["data"]["serial"] == serial, "nothing of that commit was applied"
    assert cluster.get("configmap", "small", "small")["data"] == {"v": "1"}


STATES: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "of another data plane": (lambda state: state["data"].update(pdp="acme/prod"), "must be that of"),
    "that is older": (lambda state: state["data"].update(serial="1000000000"), "serial must rise"),
    "with an equal serial and other content": (
        lambda state: state["data"].update(serial=str(CURRENT["serial"]), channel="edge"),
        "serial must rise",
    ),
    "from far in the future": (lambda state: state["data"].update(serial="9000000000"), "too far ahead"),
    "that has expired": (lambda state: state["data"].update(expires="2020-01-01T00:00:00Z"), "has expired"),
}
CURRENT: dict[str, str] = {}


@pytest.mark.parametrize("what", STATES)
def test_the_state_key_alone_cannot_offer_a_state(what: str, cluster: Cluster, attacker: Attacker) -> None:
    """Rollback, replay and freeze attacks end at the API server's own clock and memory."""
    change, refusal = STATES[what]
    before = cluster.get("configmap", "ums-state")["data"]
    CURRENT.update(before)
    attacker.commit(change)
    cluster.wait_message("kustomization", "ums-root", refusal)
    assert cluster.get("configmap", "ums-state")["data"] == before


def test_an_empty_tree_removes_nothing(cluster: Cluster, attacker: Attacker) -> None:
    """With nothing in the folder but its list, every object stays: pruning is off and deletion refused."""
    listing = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": ["state.yaml"]}
    attacker.commit(
        lambda _: None,
        {f"{FOLDER}/kustomization.yaml": Raw(yaml.safe_dump(listing).encode()), f"{FOLDER}/small-config.yaml": None},
    )
    revision = attacker.git("rev-parse", "delivery")
    eventually(
        lambda: revision in json.dumps(cluster.get("kustomization", "ums-root")["status"]),
        timeout=180,
        what="the root has seen the empty tree",
        every=0.5,
    )
    assert cluster.exists("kustomization", "small-config")
    assert cluster.get("configmap", "small", "small")["data"] == {"v": "1"}


def test_an_older_commit_however_validly_signed_brings_nothing_back(
    cluster: Cluster, service: RunningService, tmp_path: Path
) -> None:
    """The branch forced back to an earlier commit of ours: neither the root nor a wrapper follows it."""
    attacker = Attacker(service)
    old = attacker.git("rev-parse", "delivery")
    service.publish(small_bundle(tmp_path, value="2"), "1.1.0")
    for channel in ("edge", "candidate", "stable"):
        service.ums("promote", "small@1.1.0", "--to", channel)
    eventually(lambda: health(service) == "healthy", timeout=180, what="1.1.0 is healthy", every=0.5)
    new = attacker.git("rev-parse", "delivery")
    attacker.restore(old)
    cluster.wait_message("kustomization", "ums-root", "serial must rise")
    cluster.wait_message("kustomization", "small-config", "no such file or directory")
    assert cluster.get("configmap", "small", "small")["data"] == {"v": "2"}
    attacker.restore(new)
    eventually(lambda: root(cluster)[0] == "True", timeout=180, what="the root is well again", every=0.5)


def test_an_unsigned_artifact_is_refused_and_the_service_knows(cluster: Cluster, service: RunningService) -> None:
    """A digest that no release key signed is not run, even at the state key's word; the event says so.

    The last of the story: its state is a valid one, so there is no way back from its serial.
    """
    attacker = Attacker(service)
    unsigned = service.json("build", str(EXAMPLES / "flux" / "2.9.0"), "--version", "1.0.0")["components"][0]["digest"]
    objects = list(yaml.safe_load_all(attacker.git("show", f"delivery:{FOLDER}/small/config/1.1.0/objects.yaml")))
    objects[0]["spec"]["ref"]["digest"] = unsigned
    for each in objects:
        each["metadata"]["annotations"]["ums/digest"] = unsigned
    text = yaml.safe_dump_all(objects).encode()
    attacker.commit(lambda _: None, {f"{FOLDER}/small/config/1.1.0/objects.yaml": Raw(text)})
    eventually(
        lambda: cluster.ready("ocirepository", "small-config")[0] == "False",
        timeout=180,
        what="the source is refused",
        every=0.5,
    )
    assert cluster.get("configmap", "small", "small")["data"] == {"v": "2"}
    eventually(lambda: health(service) == "failed", timeout=180, what="the service says so", every=0.5)
