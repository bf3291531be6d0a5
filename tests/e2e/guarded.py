"""A Kubernetes API with the guard, asked by dry run what the account of the root may write. No Flux runs."""

from __future__ import annotations

import copy
import json
import ssl
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.client import HTTPSConnection
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from tests.e2e.cluster import TOKEN, ApiServer
from tests.processes import eventually
from tests.unit.domain.worlds import PROD, make_component, make_release, make_world
from ums.domain.bundle import ComponentKind, OnFailure
from ums.domain.fleet import BundleState
from ums.domain.guard import render_account
from ums.domain.names import ComponentName
from ums.domain.oci import Repository
from ums.domain.rendering import (
    NAMESPACE,
    PDP_ANNOTATION,
    ROOT,
    offer,
    render_objects,
    render_state,
    render_wrapper,
)
from ums.domain.trust import Trusted
from ums.domain.trusting import render_trust
from ums.domain.version import Version
from ums.domain.world import FleetSettings

Object = dict[str, Any]
SETTINGS = FleetSettings("https://ums.example.com", Repository("registry.example.com", "ums"))
FLUX_KINDS = {
    "OCIRepository": ("source-controller", "source.toolkit.fluxcd.io", "ocirepositories"),
    "HelmRelease": ("helm-controller", "helm.toolkit.fluxcd.io", "helmreleases"),
    "Kustomization": ("kustomize-controller", "kustomize.toolkit.fluxcd.io", "kustomizations"),
}
_ROOT_USER = {
    "Impersonate-User": f"system:serviceaccount:{NAMESPACE}:{ROOT}",
    "Impersonate-Group": "system:serviceaccounts",
}
KEYS = Trusted({"release": "PEM of release"}, ("ssh-ed25519 ONE",))


class GuardedApi(ApiServer):
    """A Kubernetes API with Flux's definitions, and the guard as bootstrap installs it; a context manager."""

    def __init__(self, folder: Path, *, settings: FleetSettings = SETTINGS, sealed: str | None = "true") -> None:
        super().__init__(folder)
        self._settings = settings
        self._sealed = sealed
        self._connection: HTTPSConnection | None = None

    def _start(self) -> None:
        super()._start()
        self.install_crds(*(controller for controller, _, _ in FLUX_KINDS.values()))
        annotations = {PDP_ANNOTATION: str(PROD), **({"ums/sealed": self._sealed} if self._sealed is not None else {})}
        metadata = {"name": NAMESPACE, "annotations": annotations}
        self.apply_all({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        self.apply_all(*render_account(), *render_trust(KEYS, self._settings, 1))
        # A policy counts as soon as the API server has heard of it, which is a moment after it was written.
        probe = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ums-state"}, "data": {"evil": "x"}}
        eventually(lambda: self.ask(probe), timeout=30, what="the guard is in force")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._connection.close()
        super().__exit__(kind, error, trace)

    def apply_all(self, *objects: Mapping[str, Any]) -> None:
        """Write objects as an administrator."""
        self.apply(yaml.safe_dump_all(objects))

    def ask(self, made: Object, *, dry_run: bool = True) -> str:
        """Apply an object as kustomize-controller does for the root; return what it is refused with, or nothing."""
        query = f"fieldManager=kustomize-controller&force=true{'&dryRun=All' if dry_run else ''}"
        headers = {"Content-Type": "application/apply-patch+yaml", **_ROOT_USER}
        return self._request("PATCH", f"{_path(made)}?{query}", headers, json.dumps(made))

    def ask_delete(self, made: Object) -> str:
        """Try to delete an object as the root; return what it is refused with, or nothing."""
        return self._request("DELETE", f"{_path(made)}?dryRun=All", dict(_ROOT_USER))

    def _request(self, method: str, path: str, headers: dict[str, str], body: str | None = None) -> str:
        if self._connection is None:
            server = yaml.safe_load(self.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
            context = ssl._create_unverified_context()  # noqa: S323 - a certificate that the server made for itself
            self._connection = HTTPSConnection(server.removeprefix("https://"), context=context, timeout=30)
        self._connection.request(method, path, body, {"Authorization": f"Bearer {TOKEN}", **headers})
        answer = self._connection.getresponse()
        found = json.loads(answer.read())
        return "" if answer.status < 300 else str(found["message"])


def _path(made: Object) -> str:
    group, _, version = made["apiVersion"].rpartition("/")
    plural = FLUX_KINDS[made["kind"]][2] if group else "configmaps"
    return (
        f"{f'/apis/{group}' if group else '/api'}/{version}/namespaces/{NAMESPACE}/{plural}/{made['metadata']['name']}"
    )


def as_applied(made: Object, by: str, annotations: Mapping[str, str] | None = None) -> Object:
    """Return an object as kustomize-controller applies it, with the labels of its Kustomization."""
    made = copy.deepcopy(made)
    owner = {"kustomize.toolkit.fluxcd.io/name": by, "kustomize.toolkit.fluxcd.io/namespace": NAMESPACE}
    metadata = made["metadata"]
    metadata["labels"] = {**metadata.get("labels", {}), **owner}
    metadata["annotations"] = {**metadata.get("annotations", {}), **(annotations or {})}
    return made


def rendered(settings: FleetSettings = SETTINGS, *, removing: bool = False) -> dict[str, Object]:
    """Return an object of each kind and variant that UMS renders, as kustomize-controller applies it."""
    release = make_release("1.0.0", {"agent": "0.9.0", "cilium": "1.16.0"})
    chart = replace(make_component("cilium", "1.16.0", needs=("agent",)), on_failure=OnFailure.RETRY)
    manifests = replace(make_component("agent", "0.9.0"), kind=ComponentKind.MANIFESTS)
    rollback = replace(make_component("flux", "2.9.0"), on_failure=OnFailure.ROLLBACK)
    state = BundleState(Version("1.0.0"), {"agent": release.version, "cilium": release.version})
    if removing:
        state = replace(state, removing=("agent", "cilium", "flux"))
    found: dict[str, Object] = {}
    for component, kind in ((chart, "chart"), (manifests, "manifests"), (rollback, "rollback")):
        wrapper = render_wrapper(PROD, release, component, state, settings)
        marks = wrapper["spec"]["commonMetadata"]["annotations"]
        source, applier = render_objects("platform", component, settings)
        name = ComponentName("platform", component.name).object_name
        found[f"wrapper of {kind}"] = as_applied(wrapper, ROOT)
        found[f"source of {kind}"] = as_applied(source, name, marks)
        found[f"content of {kind}"] = as_applied(applier, name, marks)
    world, now = make_world([release]), datetime.now(UTC)
    desired = offer(world, PROD, {"platform": state}, serial=int(now.timestamp()), now=now + timedelta(seconds=1))
    found["state"] = as_applied(render_state(PROD, desired), ROOT)
    return found


def changed(made: Object, path: tuple[str | int, ...], value: object) -> Object:
    """Return a copy of an object with another value at a path, whose folders are made where they are missing."""
    made = copy.deepcopy(made)
    target: Any = made
    for step in path[:-1]:
        target = target[step] if isinstance(step, int) else target.setdefault(step, {})
    target[path[-1]] = value
    return made
