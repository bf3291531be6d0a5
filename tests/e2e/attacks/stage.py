"""What the attacks share: a data plane that is well, and somebody who has got hold of something."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.cluster import Cluster
from tests.forger import Forger
from tests.processes import eventually
from tests.running_service import RunningService
from ums.adapters.ssh_signature import SSHStateSigner
from ums.domain.world import Content, Decision, Raw

ORG, PDP = "evil-day", "target"
NAME = f"{ORG}/{PDP}"
FOLDER = f"pdps/{NAME}"

Files = dict[str, Content | None]


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
            self.git("clone", "--bare", "--quiet", ".", folder)
            repo = Forger(Path(folder), SSHStateSigner.load(self._key))
            repo.commit(decision, base=repo.read().base)
            self.git("fetch", "--quiet", folder, "+refs/heads/delivery:refs/heads/delivery")

    def read(self, path: str) -> Any:  # noqa: ANN401 - any YAML value
        """Return a file of the data plane's folder."""
        return yaml.safe_load(self.git("show", f"delivery:{FOLDER}/{path}"))

    def put_back(self, commit: str) -> None:
        """Offer again what a commit offered, at a serial above all others, signed with the state key.

        An event of the cluster may wake the service, which then decides on top of the attack: to put the branch back
        would be to offer an older state.
        """
        self._key = self._path.parent / "state.key"
        offered = yaml.safe_load(self.git("show", f"{commit}:{FOLDER}/state.yaml"))

        def offer_again(state: dict[str, Any]) -> None:
            serial = state["data"]["serial"]
            state.clear()
            state.update(offered)
            state["data"]["serial"] = serial

        names = self.git("ls-tree", "-r", "--name-only", commit, f"{FOLDER}/").splitlines()
        files: Files = {f"{FOLDER}/": None}
        files |= {name: Raw(f"{self.git('show', f'{commit}:{name}')}\n".encode()) for name in names}
        self.commit(offer_again, files)

    def keep_at(self, commit: str) -> str:
        """Force the branch to a commit, whoever moved it; return where it was."""
        head = self.git("rev-parse", "delivery")
        if head != commit:
            self.restore(commit)
        return head

    def restore(self, commit: str) -> None:
        """Put the branch back, as if nothing had been."""
        self.git("update-ref", "refs/heads/delivery", commit)


def _listing(*names: str) -> Files:
    fields = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": [*names]}
    return {f"{FOLDER}/kustomization.yaml": Raw(yaml.safe_dump(fields).encode())}


def pruning_allowed(attacker: Attacker) -> Files:
    """Return the files that take the mark off the component that keeps it from being pruned."""
    mark, wrapper = "kustomize.toolkit.fluxcd.io/prune", attacker.read("small-config.yaml")
    for each in (wrapper["metadata"], wrapper["spec"]["commonMetadata"]):
        each["annotations"].pop(mark)
    text = yaml.safe_dump(wrapper).encode()
    return _listing("state.yaml", "small-config.yaml") | {f"{FOLDER}/small-config.yaml": Raw(text)}


def allow_pruning(attacker: Attacker, cluster: Cluster) -> None:
    """Allow it, and wait until the cluster has heard of it: where there is no guard."""
    attacker.commit(lambda _: None, pruning_allowed(attacker))
    eventually(
        lambda: (
            "kustomize.toolkit.fluxcd.io/prune"
            not in cluster.get("kustomization", "small-config")["metadata"].get("annotations", {})
        ),
        timeout=180,
        what="pruning is allowed",
        every=0.5,
    )


def leave_out(attacker: Attacker) -> None:
    """Commit a folder with nothing in it but the state and its list."""
    attacker.commit(lambda _: None, _listing("state.yaml") | {f"{FOLDER}/small-config.yaml": None})


def _guarded(cluster: Cluster) -> bool:
    """Return whether the API server refuses what the guard forbids: a deletion that no state marked."""
    account = ("--as=system:serviceaccount:ums-system:ums-root", "--as-group=system:serviceaccounts")
    asked = ("delete", "kustomization", "ums-root", "-n", "ums-system", "--dry-run=server", *account)
    answer = cluster.kubectl(*asked, check=False)
    if "mark for removal" in answer:
        return True
    assert "deleted" in answer, answer
    return False


@contextmanager
def without_guard(cluster: Cluster) -> Iterator[None]:
    """Let the guard's rules only be audited, as whoever administers the cluster could.

    The API server notices a moment later; what Flux tried in between it would not try again for minutes. Flux leaves
    the binding alone meanwhile, or it would be back with the next reconciliation of the guard.
    """
    eventually(lambda: _guarded(cluster), timeout=60, what="the guard is in force")
    _bind(cluster, "disabled", "Audit")
    try:
        eventually(lambda: not _guarded(cluster), timeout=60, what="the guard is off")
        yield
    finally:
        _bind(cluster, None, "Deny")
        eventually(lambda: _guarded(cluster), timeout=60, what="the guard is back")


def _bind(cluster: Cluster, reconciled: str | None, action: str) -> None:
    """Say what comes of a denial, and whether Flux reconciles the binding; ``None`` is its default, that it does."""
    patch = {
        "metadata": {"annotations": {"kustomize.toolkit.fluxcd.io/reconcile": reconciled}},
        "spec": {"validationActions": [action]},
    }
    kind = "validatingadmissionpolicybinding"
    cluster.kubectl("patch", kind, "ums-guard", "--type=merge", "-p", json.dumps(patch))


def root(cluster: Cluster) -> tuple[str, str]:
    """Return status and message of the root."""
    return cluster.ready("kustomization", "ums-root")


def evil(kind: str, api: str, name: str, **fields: Any) -> Raw:  # noqa: ANN401 - any YAML value
    """Return an object of the attacker's."""
    metadata = {"name": name, "namespace": "ums-system"}
    return Raw(yaml.safe_dump({"apiVersion": api, "kind": kind, "metadata": metadata, **fields}).encode())


def connect(running: RunningService, cluster: Cluster) -> None:
    """Publish, promote, register and bootstrap, and wait until all is well."""
    running.publish(small_bundle(running.folder), "1.0.0")
    for channel in ("edge", "candidate", "stable"):
        running.ums("promote", "small@1.0.0", "--to", channel)
    running.ums("pdp", "add", NAME, "--channel", "stable", "--bundle", "small")
    running.ums("pdp", "bootstrap", NAME, "--file", "bootstrap.yaml")
    cluster.apply((running.folder / "bootstrap.yaml").read_text())
    eventually(lambda: health(running) == "healthy", timeout=180, what="healthy before the attack", every=0.5)


def content(cluster: Cluster) -> str:
    """Return what the component installed: what runs."""
    found: str = cluster.get("configmap", "small", "small")["data"]["v"]
    return found


def serial(cluster: Cluster) -> int:
    """Return the serial that the cluster is at."""
    return int(cluster.get("configmap", "ums-state")["data"]["serial"])


def told(what: str, who: str, message: str) -> None:
    """Say what was refused, and by whom: pytest -rP shows it."""
    print(f"refused: {what} | by: {who} | {' '.join(message.split())[:160]}")
