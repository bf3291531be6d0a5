"""The one YAML that connects a cluster: secrets, sources, the guard, the root and the way back for events."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from ums.domain import layout
from ums.domain.errors import ConflictError
from ums.domain.fleet import Desired
from ums.domain.guard import render_account
from ums.domain.instants import duration_text
from ums.domain.names import PDPName
from ums.domain.rendering import (
    KUSTOMIZATION,
    NAMESPACE,
    PDP_ANNOTATION,
    REGISTRY_LOGIN,
    ROOT,
    SOURCE,
    SOURCE_API,
    STATE_KEYS,
    WRAPPER_LABEL,
    render_state,
)
from ums.domain.reporter import REPORTER, render_reporter
from ums.domain.trust import TRUST
from ums.domain.trusting import number_of, render_trust
from ums.domain.world import FleetSettings, Topology, World

_NOTIFICATION = "notification.toolkit.fluxcd.io/v1beta3"
_GIT_LOGIN = "ums-git"
HOST_LOGIN = "ums-git-host"
"""The Secret with a login at the Git host, which the owner of the cluster makes."""
_EVENTS = "ums-events"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What one data plane proves itself with.

    Attributes:
        password: for Git and the registry; the user name is ``<org>/<pdp>``, see ``user``.
        event_key: HMAC key of its events.

    """

    user: str
    password: str
    event_key: str


def render_bootstrap(
    world: World,
    pdp: PDPName,
    desired: Desired,
    credentials: Credentials,
    *,
    topology: Topology | None = None,
    host: str = "",
    reporter: str | None = None,
) -> list[dict[str, Any]]:
    """Return every object, in the order to apply them; the reporter's too where ``reporter`` is its image.

    ``topology`` is the fleet's unless given. ``host`` is the URL of the Git host that the release repo is pushed to:
    who shares it follows it there, with a login that its owner gives (Secret ``ums-git-host``), and not one of ours.

    The state is among them, so that the first pull already cannot be an old one.

    Raises:
        InvalidInputError: ``reporter`` is no image.
        ConflictError: it shall follow what its credential does not open.

    """
    settings = world.settings
    # What the state says that it has: the next release of the bundle is signed with a key of this one.
    trust = desired.bundles[TRUST].release if TRUST in desired.bundles else None
    interval = duration_text(settings.interval)
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": NAMESPACE, "annotations": {PDP_ANNOTATION: str(pdp)}},
        },
        *render_account(),
        *render_trust(world.trusted_by(trust), settings, number_of(trust)),
        *render_credentials(world, credentials),
        render_state(pdp, desired),
        {
            "apiVersion": SOURCE_API,
            "kind": "GitRepository",
            "metadata": {"name": SOURCE, "namespace": NAMESPACE},
            "spec": {
                "interval": interval,
                "timeout": "60s",
                **_remote(pdp, settings, topology or settings.topology, host),
                "verify": {"mode": "HEAD", "secretRef": {"name": STATE_KEYS}},
            },
        },
        {
            "apiVersion": KUSTOMIZATION,
            "kind": "Kustomization",
            "metadata": {"name": ROOT, "namespace": NAMESPACE},
            "spec": {
                "interval": interval,
                "retryInterval": interval,
                "timeout": duration_text(settings.root_timeout),
                "path": f"./{layout.plane_folder(pdp).rstrip('/')}",
                "prune": True,
                "wait": True,
                "deletionPolicy": "Orphan",
                "serviceAccountName": ROOT,
                "sourceRef": {"kind": "GitRepository", "name": SOURCE},
            },
        },
        {
            "apiVersion": _NOTIFICATION,
            "kind": "Provider",
            "metadata": {"name": SOURCE, "namespace": NAMESPACE},
            "spec": {
                "type": "generic-hmac",
                "address": f"{settings.url}/api/v1/pdps/{pdp}/events",
                "secretRef": {"name": _EVENTS},
            },
        },
        {
            "apiVersion": _NOTIFICATION,
            "kind": "Alert",
            "metadata": {"name": SOURCE, "namespace": NAMESPACE},
            "spec": {
                "providerRef": {"name": SOURCE},
                "eventSeverity": "info",
                # By name and label: HelmRelease events carry Helm's logs, which must not leave the cluster.
                "eventSources": [
                    {"kind": "GitRepository", "name": SOURCE},
                    {"kind": "Kustomization", "name": ROOT},
                    {"kind": "Kustomization", "name": "*", "matchLabels": {WRAPPER_LABEL: "true"}},
                ],
            },
        },
        *(render_reporter(pdp, settings, image=reporter, secret=_EVENTS) if reporter is not None else ()),
    ]


def _remote(pdp: PDPName, settings: FleetSettings, topology: Topology, host: str) -> dict[str, Any]:
    own_login = {"secretRef": {"name": _GIT_LOGIN}}
    if topology is Topology.VIEW:
        return {"url": f"{settings.url}/git/{pdp}", "ref": {"branch": layout.VIEW}, **own_login}
    shared = {"ref": {"branch": layout.DELIVERY}, "sparseCheckout": [layout.plane_folder(pdp).rstrip("/")]}
    if host:
        return {"url": host, **shared, "secretRef": {"name": HOST_LOGIN}}
    if settings.topology is not Topology.SHARED:
        raise ConflictError(
            f"{pdp} cannot follow the shared release repo: this fleet's data planes read their own view alone",
            hint=f"leave --topology out, or let everybody read everything: topology: shared in {layout.SETTINGS}",
        )
    return {"url": f"{settings.url}/git/release-repo", **shared, **own_login}


def render_credentials(world: World, credentials: Credentials) -> list[dict[str, Any]]:
    """Return the Secrets that a generation of credentials makes, and nothing else."""
    git_login = {"username": credentials.user, "password": credentials.password}
    secrets = [_secret(_GIT_LOGIN, git_login), _secret(_EVENTS, {"token": credentials.event_key})]
    if world.settings.registry_login:
        login = base64.b64encode(f"{credentials.user}:{credentials.password}".encode()).decode()
        config = {"auths": {world.settings.registry.registry: {**git_login, "auth": login}}}
        secret = _secret(REGISTRY_LOGIN, {".dockerconfigjson": json.dumps(config)})
        secrets.append({**secret, "type": "kubernetes.io/dockerconfigjson"})
    return secrets


def disconnecting() -> tuple[str, ...]:
    """Return the commands that an administrator runs in the cluster of a data plane that was removed.

    They end the way to the service and nothing else: what was installed stays. So must the namespace: without its
    HelmReleases, Flux would uninstall their charts.
    """
    delete = f"kubectl -n {NAMESPACE} delete --ignore-not-found"
    secrets = " ".join(f"secret/{name}" for name in (_GIT_LOGIN, _EVENTS, REGISTRY_LOGIN))
    notification, kustomization, source = (api.partition("/")[0] for api in (_NOTIFICATION, KUSTOMIZATION, SOURCE_API))
    return (
        f"{delete} alert.{notification}/{SOURCE} provider.{notification}/{SOURCE} cronjob/{REPORTER}",
        # It goes before its source: with its deletionPolicy, Orphan, it leaves all behind that it applied.
        f"{delete} kustomization.{kustomization}/{ROOT}",
        f"{delete} gitrepository.{source}/{SOURCE} {secrets}",
    )


def _secret(name: str, content: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "stringData": content,
    }
