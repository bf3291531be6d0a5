"""The one YAML that connects a cluster: secrets, sources, the guard, the root and the way back for events."""

from __future__ import annotations

import base64
import json
import shlex
from dataclasses import dataclass
from typing import Any

from ums.domain import layout
from ums.domain.errors import ConflictError, Reason, RefusedError
from ums.domain.fleet import DataPlane, Desired, Facts
from ums.domain.guard import render_account
from ums.domain.instants import duration_text
from ums.domain.names import PDPName
from ums.domain.owners import registrar
from ums.domain.rendering import (
    KUSTOMIZATION,
    NAMESPACE,
    PDP_ANNOTATION,
    REGISTRY_LOGIN,
    ROOT,
    SEALED_ANNOTATION,
    SOURCE,
    SOURCE_API,
    STATE_KEYS,
    WRAPPER_LABEL,
    render_state,
)
from ums.domain.reporter import REPORTER, render_reporter
from ums.domain.trust import TRUST
from ums.domain.trusting import number_of, render_trust
from ums.domain.version import Version
from ums.domain.world import FleetSettings, Topology, World

_NOTIFICATION = "notification.toolkit.fluxcd.io/v1beta3"
_GIT_LOGIN = "ums-git"
HOST_LOGIN = "ums-git-host"
"""The Secret with a login at the Git host, which the owner of the cluster makes."""
_EVENTS = "ums-events"


NEEDED = Facts(kubernetes=Version("1.30.0"), flux=Version("2.9.0"))
"""What a cluster must have: ValidatingAdmissionPolicy v1 with the API server's clock in it; controllers that
understand our signatures and health checks."""
_PRODUCTS = {
    "kubernetes": ("Kubernetes", "on an older one there is no guard"),
    "flux": ("Flux", "an older one does not understand what it is given"),
}
HAS_GUARD = "kubectl explain validatingadmissionpolicies --api-version=admissionregistration.k8s.io/v1"
"""A command that fails in a cluster which is too old for the guard."""


def how_to_apply(path: str) -> str:
    """Return the command that applies a bootstrap file, and does not begin where there would be no guard."""
    return f"{HAS_GUARD} >/dev/null && kubectl apply -f {shlex.quote(path)}"


def preamble(pdp: PDPName, path: str) -> tuple[str, ...]:
    """Return what whoever applies the objects must know before, line by line."""
    return (
        f"Connects the cluster of {pdp}. It contains secrets.",
        f"It needs Kubernetes >= {NEEDED.kubernetes} and Flux >= {NEEDED.flux}: see kubectl version, flux version.",
        "On an older Kubernetes kubectl would report an error for the guard, leave it out, and apply all the rest:",
        "whoever has the state key could do as they like there. This applies nothing where there is no guard:",
        f"  {how_to_apply(path)}",
        "If kubectl reports an error about a ValidatingAdmissionPolicy all the same, take it back:",
        f"  kubectl -n {NAMESPACE} delete kustomization.{KUSTOMIZATION.partition('/')[0]}/{ROOT}",
    )


def check_cluster(plane: DataPlane) -> None:
    """Check that a cluster takes what bootstrap brings, as far as it is known what it is.

    The newer of what was registered and what was reported counts: a report may be of the cluster before its upgrade.

    Raises:
        RefusedError: it is too old: the guard would not be there, or Flux would not understand its objects.

    """
    against = []
    for name, (product, why) in _PRODUCTS.items():
        known = [getattr(each, name) for each in (plane.registration.facts, plane.reported_facts)]
        found = max((each for each in known if each is not None), default=None)
        needed = getattr(NEEDED, name)
        if found is not None and found < needed:
            text = f"its cluster has {product} {found}, and needs {needed} or newer: {why}"
            who = registrar(plane.name.org, f"ums pdp set {plane.name} --{name} VERSION --reason …")
            against.append(Reason(f"requires-{name}", text, None, who))
    if against:
        raise RefusedError(
            f"{plane.name} cannot be connected: its cluster is too old",
            tuple(against),
            hint=f"upgrade the cluster; if it is newer meanwhile, say so: ums pdp set {plane.name} "
            + " ".join(f"--{each.code.removeprefix('requires-')} VERSION" for each in against),
        )


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
    unsealed: bool = False,
) -> list[dict[str, Any]]:
    """Return every object, in the order to apply them; the reporter's too where ``reporter`` is its image.

    The cluster is sealed and takes no values from Git, unless it is ``unsealed`` here and in its registration.

    ``topology`` is the fleet's unless given. ``host`` is the URL of the Git host that the release repo is pushed to:
    who shares it follows it there, with a login that its owner gives (Secret ``ums-git-host``), and not one of ours.

    The state is among them, so that the first pull already cannot be an old one.

    Raises:
        InvalidInputError: ``reporter`` is no image.
        ConflictError: its credential does not open the topology, it has values while sealed, or cannot be opened.

    """
    settings = world.settings
    check_sealing(world.plane(pdp), desired, unsealed=unsealed)
    annotations = {PDP_ANNOTATION: str(pdp), SEALED_ANNOTATION: "false" if unsealed else "true"}
    # What the state says that it has: the next release of the bundle is signed with a key of this one.
    trust = desired.bundles[TRUST].release if TRUST in desired.bundles else None
    interval = duration_text(settings.interval)
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": NAMESPACE, "annotations": annotations},
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


def check_sealing(plane: DataPlane, desired: Desired, *, unsealed: bool) -> None:
    """Check that what a cluster takes and what a registration says fit together.

    Raises:
        ConflictError: it would refuse its values, or be opened although its registration is sealed.

    """
    registration = plane.registration
    if unsealed and registration.sealed:
        raise ConflictError(
            f"{plane.name} cannot be bootstrapped unsealed: its registration is sealed",
            hint=f"ums pdp set {plane.name} --no-sealed, if the state key alone may decide its values",
        )
    if not unsealed and (registration.values or any(state.values for state in desired.bundles.values())):
        raise ConflictError(
            f"{plane.name} cannot be sealed: its registration has values, which its cluster would refuse",
            hint=f"bootstrap with --unsealed, or leave them to its owner: ums pdp set {plane.name} --no-values",
        )


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
