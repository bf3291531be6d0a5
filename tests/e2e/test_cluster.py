"""The cluster that the other tests rely on behaves like one, without anything of UMS in it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cluster import FLUX, Cluster
from tests.processes import eventually

_GIT_ENVIRONMENT = {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}


def deployment(name: str, labels: dict[str, str]) -> str:
    """Return a Deployment of one pod."""
    labels = {"app": name, **labels}
    container = {"name": "main", "image": "example.com/none"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"selector": {"matchLabels": {"app": name}}, "template": template}
    return json.dumps({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec})


def config_map(value: str) -> dict[str, Any]:
    """Return the ConfigMap that Git holds."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "from-git"}, "data": {"value": value}}


def team(namespace: str, repository: str) -> str:
    """Return a namespace that follows Git twice: as an account that may write ConfigMaps, and as one that may not."""
    source = {"interval": "1s", "url": repository, "ref": {"branch": "main"}}
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "create", "patch"]}
    rights = {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "writer"},
        "subjects": [{"kind": "ServiceAccount", "name": "writer", "namespace": namespace}],
    }
    kustomizations = [
        made(
            "kustomize.toolkit.fluxcd.io/v1", "Kustomization", name, namespace,
            spec={
                "interval": "1s", "path": "./", "prune": False, "targetNamespace": namespace,
                "serviceAccountName": name, "sourceRef": {"kind": "GitRepository", "name": "source"},
            },
        )
        for name in ("writer", "powerless")
    ]  # fmt: skip
    objects = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        made("v1", "ServiceAccount", "writer", namespace),
        made("v1", "ServiceAccount", "powerless", namespace),
        made("rbac.authorization.k8s.io/v1", "Role", "writer", namespace, rules=[rule]),
        made("rbac.authorization.k8s.io/v1", "RoleBinding", "writer", namespace, **rights),
        made("source.toolkit.fluxcd.io/v1", "GitRepository", "source", namespace, spec=source),
        *kustomizations,
    ]
    return "\n---\n".join(json.dumps(each) for each in objects)


def made(api: str, kind: str, name: str, namespace: str, **fields: object) -> dict[str, Any]:
    """Return an object of a namespace."""
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": namespace}, **fields}


def commit(repository: Path, value: str) -> str:
    """Commit the ConfigMap to a bare repository, as all it holds, and return the commit's id."""
    content = json.dumps(config_map(value))
    commands = (
        "commit refs/heads/main\n"
        "committer e2e <e2e@example.com> now\n"
        f"data {len(value)}\n{value}\n"
        "deleteall\n"
        f"M 100644 inline configmap.yaml\ndata {len(content)}\n{content}\n"
    )
    git(repository, "fast-import", "--quiet", "--force", "--date-format=now", stdin=commands)
    return git(repository, "rev-parse", "main")


def git(repository: Path, *arguments: str, stdin: str = "") -> str:
    """Run git in a repository, away from the developer's settings, and return what it printed."""
    command = ["git", "-C", str(repository), *arguments]
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, check=True, timeout=30, env=_GIT_ENVIRONMENT
    )
    return done.stdout.strip()


@contextlib.contextmanager
def git_server(folder: Path) -> Iterator[str]:
    """Serve the bare repositories of a folder by ``git http-backend``, and give its URL."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature is given
            """Say nothing."""

        def _serve(self) -> None:
            path, _, query = self.path.partition("?")
            environment = {
                **_GIT_ENVIRONMENT,
                "GIT_PROJECT_ROOT": str(folder),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            }
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            backend = ["git", "http-backend"]
            done = subprocess.run(backend, input=body, capture_output=True, check=True, timeout=30, env=environment)
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
            self.send_response(int(headers.pop("Status", "200 OK").split()[0]))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _serve  # noqa: N815 - names are given

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


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


@pytest.fixture
def repository(cluster: Cluster, tmp_path: Path) -> Iterator[Path]:
    """Return a bare repository that a namespace of its name follows, for one test alone."""
    bare = tmp_path / f"team-{secrets.token_hex(4)}"
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    commit(bare, "first")
    with git_server(tmp_path) as url:
        cluster.apply(team(bare.name, f"{url}/{bare.name}"))
        yield bare


def applied(cluster: Cluster, repository: Path) -> str:
    """Return what the cluster has of the repository."""
    found: str = cluster.get("configmap", "from-git", repository.name)["data"]["value"]
    return found


def test_git_is_applied_with_the_rights_of_the_service_account(cluster: Cluster, repository: Path) -> None:
    """The controller is an administrator here, and still acts as ``serviceAccountName``."""
    eventually(lambda: applied(cluster, repository) == "first", timeout=60, what="the ConfigMap is applied")
    eventually(
        lambda: 'powerless" cannot patch' in cluster.ready("kustomization", "powerless", repository.name)[1],
        timeout=60,
        what="the account without rights is refused",
    )


def test_a_controller_goes_on_where_it_stopped(cluster: Cluster, repository: Path) -> None:
    """What was fetched while kustomize-controller was away is applied once it is back."""
    eventually(lambda: applied(cluster, repository) == "first", timeout=60, what="the ConfigMap is applied")
    cluster.controllers["kustomize-controller"].stop()
    try:
        revision = commit(repository, "second")
        eventually(
            lambda: (
                cluster.get("gitrepository", "source", repository.name)["status"]["artifact"]["revision"]
                == f"main@sha1:{revision}"
            ),
            timeout=60,
            what="source-controller has the commit",
        )
        assert applied(cluster, repository) == "first"
    finally:
        cluster.start_controller("kustomize-controller")
    eventually(lambda: applied(cluster, repository) == "second", timeout=60, what="the second ConfigMap is applied")
