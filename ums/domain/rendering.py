"""The Kubernetes objects that Flux reads: per component a wrapper and its objects, per data plane one state.

Field for field from Flux's API reference (source v1, kustomize v1, helm v2). Everything here is a pure function,
so that equal decisions give equal trees.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from ums.domain import layout
from ums.domain.bundle import ComponentKind, OnFailure
from ums.domain.canonical import canonical_json
from ums.domain.composing import components_of
from ums.domain.fleet import BundleState, Desired
from ums.domain.instants import duration_text, to_text
from ums.domain.names import ComponentName, PDPName
from ums.domain.oci import FLUX_CONTENT, HELM_CHART
from ums.domain.release import Component, Release
from ums.domain.version import Version
from ums.domain.world import RENDERER, Content, CopyOf, Document, FleetSettings, Shape, World

NAMESPACE = "ums-system"
SOURCE = "ums"
ROOT = "ums-root"
"""Name of the root Kustomization and of the service account that applies it and every wrapper."""
STATE = "ums-state"
TRUST_STATE = "ums-trust"
"""The ConfigMap with the number of the newest release of bundle ``trust`` that was taken."""
RELEASE_KEYS = "ums-release-keys"
STATE_KEYS = "ums-state-keys"
REGISTRY_LOGIN = "ums-registry"

DIGEST_ANNOTATION = "ums/digest"
RELEASE_ANNOTATION = "ums/release"
REMOVING_ANNOTATION = "ums/removing"
PDP_ANNOTATION = "ums/pdp"
"""Of the namespace: whose cluster it is."""
SEALED_ANNOTATION = "ums/sealed"
"""Of the namespace: the cluster takes no values that a registration brings."""
OWNER_VALUES = "ums-values-"
"""What the ConfigMap and the Secret begin with in which the cluster's owner keeps values; the HelmRelease's name ends
them."""
OWNER_VALUES_KEY = "values.yaml"
PRUNE_ANNOTATION = "kustomize.toolkit.fluxcd.io/prune"
WRAPPER_LABEL = "ums/wrapper"

KUSTOMIZATION = "kustomize.toolkit.fluxcd.io/v1"
KUSTOMIZE = "kustomize.config.k8s.io/v1beta1"
"""Of the lists that kustomize builds; Flux's own kind is another."""
HELM_RELEASE = "helm.toolkit.fluxcd.io/v2"
SOURCE_API = "source.toolkit.fluxcd.io/v1"

_APPLIERS = {
    ComponentKind.CHART: {"apiVersion": HELM_RELEASE, "kind": "HelmRelease"},
    ComponentKind.MANIFESTS: {"apiVersion": KUSTOMIZATION, "kind": "Kustomization"},
}
LAYERS = {ComponentKind.CHART: HELM_CHART, ComponentKind.MANIFESTS: FLUX_CONTENT}
GRACE = timedelta(seconds=15)
"""What a wrapper waits beyond its component's own timeout, so that the component's message wins."""

STATE_SHAPE = Shape(tuple(("data", key) for key in ("pdp", "channel", "serial", "issued", "expires", "releases")))

_READY = "status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')"
_SUSPENDED = "has(spec.suspend) && spec.suspend"
_WANTED = f"metadata.annotations['{DIGEST_ANNOTATION}']"
_ATTEMPTED = f"has(status.lastAttemptedRevisionDigest) && status.lastAttemptedRevisionDigest == {_WANTED}"
_RELEASED = f"status.history.size() > 0 && status.history[0].ociDigest == {_WANTED}"
# helm-controller (1.6.2) does not write down the digest of what it went back to. Whoever is Ready then runs what it
# attempted last; as long as that is what failed, it is not.
_RELEASED_OR_BACK = (
    f"status.history.size() > 0 && (has(status.history[0].ociDigest) ? status.history[0].ociDigest == {_WANTED}"
    f" : has(status.history[0].action) && status.history[0].action == 'rollback' && {_ATTEMPTED})"
)
_GONE_BACK = f"status.conditions.exists(c, c.type == 'Stalled' && c.status == 'True') && {_ATTEMPTED}"
"""It stays back until another release comes: nobody need wait for the timeout to know."""
_OLD_GENERATION = "!has(status.observedGeneration) || status.observedGeneration != metadata.generation"


def render_objects(bundle: str, component: Component, settings: FleetSettings) -> tuple[dict[str, Any], ...]:
    """Return the Flux objects of a component; they depend on the release and the registry, on no data plane.

    They carry their digest themselves, for their health to be compared with, whoever applies them.
    """
    objects = _source(bundle, component, settings), _applier(bundle, component, settings)
    for each in objects:
        each["metadata"]["annotations"] = {DIGEST_ANNOTATION: str(component.digest)}
    return objects


def _metadata(name: str) -> dict[str, Any]:
    return {"name": name, "namespace": NAMESPACE}


def _source(bundle: str, component: Component, settings: FleetSettings) -> dict[str, Any]:
    spec = source_spec(
        url=f"oci://{settings.registry / bundle / component.name}",
        digest=str(component.digest),
        layer=LAYERS[component.kind],
        interval=duration_text(settings.interval),
    )
    if settings.registry_login:
        spec["secretRef"] = {"name": REGISTRY_LOGIN}
    if settings.plain_http:
        spec["insecure"] = True
    name = ComponentName(bundle, component.name).object_name
    return {"apiVersion": SOURCE_API, "kind": "OCIRepository", "metadata": _metadata(name), "spec": spec}


def _applier(bundle: str, component: Component, settings: FleetSettings) -> dict[str, Any]:
    name = ComponentName(bundle, component.name)
    interval, timeout = duration_text(settings.interval), duration_text(component.timeout)
    if component.kind is ComponentKind.MANIFESTS:
        return {
            "apiVersion": KUSTOMIZATION,
            "kind": "Kustomization",
            "metadata": _metadata(name.content_name),
            "spec": content_spec(name.object_name, interval=interval, timeout=timeout),
        }
    return {
        "apiVersion": HELM_RELEASE,
        "kind": "HelmRelease",
        "metadata": _metadata(name.object_name),
        "spec": release_spec(
            name.object_name,
            release=component.release_name,
            namespace=component.namespace,
            storage_namespace=component.storage_namespace,
            interval=interval,
            timeout=timeout,
            on_failure=component.on_failure,
        ),
    }


def source_spec(*, url: str, digest: str, layer: str, interval: str) -> dict[str, Any]:
    """Return what every OCIRepository has. The guard demands the same: it calls this with expressions for texts."""
    return {
        "interval": interval,
        "url": url,
        "ref": {"digest": digest},
        "verify": {"provider": "cosign", "secretRef": {"name": RELEASE_KEYS}},
        # Copied, for source-controller reads a layer to its end then, and so checks its digest. Where it extracts, it
        # stops at the end of the archive: it takes any other layer of the same size (seen with 1.9.1).
        "layerSelector": {"mediaType": layer, "operation": "copy"},
    }


def content_spec(source: str, *, interval: str, timeout: str) -> dict[str, Any]:
    """Return the Kustomization that applies manifests, for the guard too.

    It names no namespace: the signed artifact does (``bundle_folder``).
    """
    return {
        "interval": interval,
        "retryInterval": interval,
        "timeout": timeout,
        "path": "./",
        "prune": True,
        "wait": True,
        "sourceRef": {"kind": "OCIRepository", "name": source},
    }


def release_spec(
    name: str,
    *,
    release: str,
    namespace: str,
    storage_namespace: str,
    interval: str,
    timeout: str,
    on_failure: OnFailure,
) -> dict[str, Any]:
    """Return the HelmRelease that installs a chart, for the guard too."""
    retry = {"name": "RetryOnFailure", "retryInterval": interval}
    upgrade: dict[str, Any] = {"strategy": retry}
    if on_failure is OnFailure.ROLLBACK:
        # One try: after another, controllers that every other component needs would be gone a second time. The
        # rollback is part of the same run of helm-controller, so the source is not asked for anything any more.
        upgrade = {
            "strategy": {"name": "RemediateOnFailure"},
            "remediation": {"retries": 0, "remediateLastFailure": True, "strategy": "rollback"},
        }
    return {
        "interval": interval,
        "timeout": timeout,
        "chartRef": {"kind": "OCIRepository", "name": name},
        "releaseName": release,
        "targetNamespace": namespace,
        "storageNamespace": storage_namespace,
        # Helm's default leaves changed CRDs as they were.
        "install": {"createNamespace": True, "crds": "CreateReplace", "strategy": retry},
        "upgrade": {"crds": "CreateReplace", **upgrade},
        "driftDetection": {"mode": "enabled"},
        "valuesFrom": [
            {"kind": kind, "name": OWNER_VALUES + name, "valuesKey": OWNER_VALUES_KEY, "optional": True}
            for kind in ("ConfigMap", "Secret")
        ],
    }


def render_values(name: ComponentName, values: str) -> dict[str, Any]:
    """Return what kustomize makes of a component's objects and a data plane's own values, given as JSON.

    A JSON patch, for it takes a value as it is: to a merge, ``null`` and ``$patch`` would be instructions.
    """
    group, _, version = HELM_RELEASE.partition("/")
    return {
        "apiVersion": KUSTOMIZE,
        "kind": "Kustomization",
        "resources": ["objects.yaml"],
        "patches": [
            {
                "target": {"group": group, "version": version, "kind": "HelmRelease", "name": name.object_name},
                "patch": f'[{{"op":"add","path":"/spec/values","value":{values}}}]',
            }
        ],
    }


def render_wrapper(
    pdp: PDPName, release: Release, component: Component, state: BundleState, settings: FleetSettings
) -> dict[str, Any]:
    """Return the Kustomization that applies one component's objects and tells the truth about their health.

    A plain ``wait`` calls a suspended or old HelmRelease healthy; the expressions here do not.
    """
    name = ComponentName(release.bundle, component.name)
    removing = component.name in state.removing
    prune = {PRUNE_ANNOTATION: "enabled", REMOVING_ANNOTATION: "true"} if removing else {PRUNE_ANNOTATION: "disabled"}
    # The release changes each time, and so makes a new generation that the root waits for.
    annotations = {**prune, RELEASE_ANNOTATION: release.name}
    chart = component.kind is ComponentKind.CHART
    applier = applier_reference(component.kind, name.object_name if chart else name.content_name)
    return {
        "apiVersion": KUSTOMIZATION,
        "kind": "Kustomization",
        "metadata": {
            **_metadata(name.object_name),
            "labels": {WRAPPER_LABEL: "true"},
            "annotations": annotations,
        },
        "spec": wrapper_spec(
            path=f"./{layout.plane_component(pdp, name, release.version, state.values.get(component.name, ''))}",
            interval=duration_text(settings.interval),
            timeout=duration_text(component.timeout + GRACE),
            annotations=annotations,
            depends_on=[
                {
                    "name": ComponentName(release.bundle, needed).object_name,
                    "readyExpr": is_ready(f"{release.bundle}@{state.components[needed]}"),
                }
                for needed in component.needs
                if needed in state.components
            ],
            health_checks=[applier, *(workload.to_dict() for workload in component.workloads)],
            health=health_of(component.kind, component.on_failure),
        ),
    }


def wrapper_spec(
    *,
    path: str,
    interval: str,
    timeout: str,
    annotations: Mapping[str, str],
    depends_on: Sequence[Mapping[str, str]],
    health_checks: Sequence[Mapping[str, str]],
    health: Mapping[str, str],
) -> dict[str, Any]:
    """Return the Kustomization that applies a component's Flux objects, for the guard too."""
    return {
        "interval": interval,
        "retryInterval": interval,
        "timeout": timeout,
        "path": path,
        "prune": True,
        "serviceAccountName": ROOT,
        "sourceRef": {"kind": "GitRepository", "name": SOURCE},
        "dependsOn": depends_on,
        "commonMetadata": {"annotations": dict(annotations)},
        "healthChecks": health_checks,
        "healthCheckExprs": [health],
    }


def applier_reference(kind: ComponentKind, name: str) -> dict[str, str]:
    """Return what applies a component, as ``healthChecks`` name it."""
    return {**_APPLIERS[kind], **_metadata(name)}


def health_of(kind: ComponentKind, on_failure: OnFailure) -> dict[str, str]:
    """Return when what applies a component is healthy: it runs the digest that it was given, and is not suspended."""
    failed, holds = _SUSPENDED, _RELEASED
    if kind is ComponentKind.MANIFESTS:
        holds = f"status.lastAppliedRevision.endsWith({_WANTED})"
    elif on_failure is OnFailure.ROLLBACK:
        failed, holds = f"({_SUSPENDED}) || ({_GONE_BACK})", _RELEASED_OR_BACK
    return {
        **_APPLIERS[kind],
        "failed": failed,
        "inProgress": _OLD_GENERATION,
        "current": f"{holds} && {_READY}",
    }


def is_ready(release: str) -> str:
    """Return when a wrapper lets those go on that depend on it: when it is well with this very release.

    The root brings wrappers up to date one by one. Until its turn comes a wrapper is ready with what it had, and
    kustomize-controller (1.9.4) by itself would take that for an answer (seen).
    """
    return (
        f"dep.metadata.annotations['{RELEASE_ANNOTATION}'] == '{release}'"
        " && has(dep.status.observedGeneration) && dep.status.observedGeneration == dep.metadata.generation"
        " && has(dep.status.conditions) && dep.status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')"
    )


def render_state(pdp: PDPName, desired: Desired) -> dict[str, Any]:
    """Return the ConfigMap that says what a data plane is offered, and until when it may be taken."""
    return _state(pdp, desired, _releases(desired))


def _state(pdp: PDPName, desired: Desired, releases: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {**_metadata(STATE), "annotations": {PRUNE_ANNOTATION: "disabled"}},
        "data": {
            "pdp": str(pdp),
            "channel": desired.channel,
            "serial": str(desired.serial),
            "issued": to_text(desired.issued),
            "expires": to_text(desired.expires),
            "releases": releases,
        },
    }


def _releases(desired: Desired) -> str:
    return canonical_json({bundle: state.to_state() for bundle, state in desired.bundles.items()}).decode()


def offer(world: World, pdp: PDPName, bundles: Mapping[str, BundleState], *, serial: int, now: datetime) -> Desired:
    """Return the state to offer a data plane from ``now`` on."""
    channel = world.plane(pdp).registration.channel
    issued = now.replace(microsecond=0)
    offered = {name: state if state.since else replace(state, since=serial) for name, state in bundles.items()}
    return Desired(serial, channel, issued, issued + world.settings.validity, offered)


def render_plane(world: World, pdp: PDPName, desired: Desired) -> dict[str, Content | None]:
    """Return the whole folder of a data plane on ``delivery``, replacing what was there.

    Raises:
        NotFoundError: a release in the state is not in the catalog.

    """
    return render_planes(world, {pdp: desired})


def render_planes(world: World, offers: Mapping[PDPName, Desired]) -> dict[str, Content | None]:
    """Return the folders of many data planes; what those in one state have in common is rendered once.

    Raises:
        NotFoundError: a release in a state is not in the catalog.

    """
    rendered: dict[tuple[object, ...], _Folder] = {}
    files: dict[str, Content | None] = {}
    for pdp, desired in offers.items():
        before = world.plane(pdp).desired
        state = _key(before), _key(desired)
        if state not in rendered:
            rendered[state] = _render_folder(world, pdp, before, desired)
        files.update(rendered[state].of(pdp, desired))
    return files


def _key(desired: Desired | None) -> tuple[object, ...]:
    return tuple(
        (bundle, state.release, tuple(state.components.items()), state.removing, tuple(state.values.items()))
        for bundle, state in (sorted(desired.bundles.items()) if desired else ())
    )


@dataclass(frozen=True, slots=True)
class _Folder:
    """The folder of every data plane in one state; all paths start at the folder.

    Attributes:
        wrappers: each with the path of the objects it applies.
        shared: what is the same in all of them.

    """

    wrappers: dict[str, tuple[Document, str]] = field(default_factory=dict)
    shared: dict[str, Content] = field(default_factory=dict)

    def of(self, pdp: PDPName, desired: Desired) -> dict[str, Content | None]:
        folder = layout.plane_folder(pdp)
        files: dict[str, Content | None] = {folder: None}
        files[layout.plane_state(pdp)] = Document(_state(pdp, desired, _releases(desired)), shape=STATE_SHAPE)
        for path, (wrapper, objects) in self.wrappers.items():
            spec = {**wrapper.data["spec"], "path": f"./{folder}{objects}"}
            files[folder + path] = Document({**wrapper.data, "spec": spec}, shape=wrapper.shape)
        for path, content in self.shared.items():
            files[folder + path] = content
        return files


@dataclass(frozen=True, slots=True)
class Renderer:
    """What is rendered of a release each time that it is offered; its objects were rendered when it was registered."""

    wrapper: Callable[[PDPName, Release, Component, BundleState, FleetSettings], dict[str, Any]]
    values: Callable[[ComponentName, str], dict[str, Any]]


RENDERERS: dict[int, Renderer] = {RENDERER: Renderer(render_wrapper, render_values)}
"""By number, all that releases in a catalog may have been registered with."""


def _render_folder(world: World, pdp: PDPName, before: Desired | None, desired: Desired) -> _Folder:
    """Return the folder of a data plane, for all that are in its state.

    Objects of the state before stay for this once: a wrapper sees the new revision before the root has brought it up
    to date, and must still find what it reads (ADR 0007).
    """
    folder = _Folder()
    start = len(layout.plane_folder(pdp))

    def add_objects(name: ComponentName, version: Version, values: str) -> None:
        source = layout.catalog_objects(name.bundle, version, name.component)
        folder.shared[layout.plane_objects(pdp, name, version, values)[start:]] = CopyOf(source)
        if values:
            renderer = RENDERERS[world.entry(name.bundle, version).renderer]
            made = Document(renderer.values(name, values))
            folder.shared[layout.plane_values(pdp, name, version, values)[start:]] = made

    for bundle, state in before.bundles.items() if before else ():
        for name, release in components_of(world, bundle, state):
            add_objects(ComponentName(bundle, name), release.version, state.values.get(name, ""))
    for bundle, state in sorted(desired.bundles.items()):
        for name, release in components_of(world, bundle, state):
            component = release.component(name)
            assert component is not None  # noqa: S101 - components_of checked it
            full_name = ComponentName(bundle, name)
            values = state.values.get(name, "")
            renderer = RENDERERS[world.entry(bundle, release.version).renderer]
            wrapper = renderer.wrapper(pdp, release, component, state, world.settings)
            folder.wrappers[layout.plane_wrapper(pdp, full_name)[start:]] = (
                Document(wrapper, shape=Shape((("spec", "path"),))),
                layout.plane_component(pdp, full_name, release.version, values)[start:],
            )
            add_objects(full_name, release.version, values)
    listed = {
        "apiVersion": KUSTOMIZE,
        "kind": "Kustomization",
        "resources": sorted(["state.yaml", *folder.wrappers]),
    }
    folder.shared[layout.plane_kustomization(pdp)[start:]] = Document(listed, shape=Shape())
    return folder
