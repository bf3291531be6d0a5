"""The guard: what keeps a stolen state key from shipping code, installed in each cluster by bootstrap.

The service account that applies what stands in Git may write four kinds of object in one namespace. An admission policy
lists what these may hold: the fields that ``rendering`` writes, with the values that it writes, and nothing else. Each
rule is named, so that a refusal tells what was tried. The policy is the same in all clusters of a fleet: the
namespace's annotation, which bootstrap alone writes, says whose cluster it is.

Kubernetes: ValidatingAdmissionPolicy v1 (1.30+), CEL as of that version. A custom resource reaches the policy without
its schema, so ``dyn(object.spec).all(k, …)`` sees every field that the API server keeps, whatever Flux adds later.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from ums.domain.bundle import ComponentKind, OnFailure
from ums.domain.clock import MAX_AHEAD
from ums.domain.instants import MAX_INTERVAL, MAX_TIMEOUT, MIN_SPAN, duration_text
from ums.domain.rendering import (
    DIGEST_ANNOTATION,
    GRACE,
    HELM_RELEASE,
    KUSTOMIZATION,
    LAYERS,
    NAMESPACE,
    OWNER_VALUES,
    PDP_ANNOTATION,
    PRUNE_ANNOTATION,
    REGISTRY_LOGIN,
    RELEASE_ANNOTATION,
    RELEASE_KEYS,
    REMOVING_ANNOTATION,
    ROOT,
    SEALED_ANNOTATION,
    SOURCE,
    SOURCE_API,
    STATE,
    STATE_KEYS,
    STATE_SHAPE,
    TRUST_STATE,
    WRAPPER_LABEL,
    applier_reference,
    content_spec,
    health_of,
    is_ready,
    release_spec,
    source_spec,
    wrapper_spec,
)
from ums.domain.world import FleetSettings

GUARD = 2
"""Version of the rules; raise it when they change. A cluster takes no older ones of the same release of ``trust``."""
POLICY = "ums-guard"
SOURCE_POLICY = "ums-guard-source"
TRUST_POLICY = "ums-guard-trust"
TRUST_ANNOTATION = "ums/trust"
"""Of all that a release of bundle ``trust`` brings: ``<number of the release>.<GUARD>``."""

_ACCOUNT = f"system:serviceaccount:{NAMESPACE}:{ROOT}"
_WRITE = ["get", "list", "watch", "create", "update", "patch", "delete"]
_READ = ["get", "list", "watch"]
_FLUX_KINDS = (
    (SOURCE_API, "ocirepositories"),
    (HELM_RELEASE, "helmreleases"),
    (KUSTOMIZATION, "kustomizations"),
)
_OWN = {"name": ROOT, "namespace": NAMESPACE}
_RBAC, _RBAC_GROUP = "rbac.authorization.k8s.io/v1", "rbac.authorization.k8s.io"
_METADATA = [
    "name",
    "namespace",
    "labels",
    "annotations",
    "finalizers",
    "ownerReferences",
    # The API server's own.
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
]
_NAME = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_VERSION = "[0-9][0-9A-Za-z.+-]*"
_DIGEST = "^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$"
_NOW = "object.metadata.managedFields.exists(m, "
"""The newest ``managedFields`` time is the API server's own time of this very write."""


class _Cel(str):
    """An expression that stands where rendering has a text."""

    __slots__ = ()

    def __radd__(self, prefix: str) -> _Cel:
        """Return an expression for the text behind another."""
        return _Cel(f"{_literal(prefix)} + {self}")


def _literal(value: object) -> str:
    """Return a value in CEL."""
    match value:
        case _Cel():
            return str(value)
        case Mapping():
            members = _members(list(value.values()))
            return "{" + ", ".join(f"{_literal(key)}: {each}" for key, each in zip(value, members, strict=True)) + "}"
        case list():
            return "[" + ", ".join(_members(value)) + "]"
        case _:
            return json.dumps(value)


def _members(values: list[object]) -> list[str]:
    """Return members of a map or list: Kubernetes' CEL wants them to be of one type, which ``dyn`` is."""
    texts = all(isinstance(each, str) and not isinstance(each, _Cel) for each in values)
    return [_literal(each) if texts else f"dyn({_literal(each)})" for each in values]


def _same(field: str) -> _Cel:
    """Return what leaves a field of the spec free; a check of its own says what it may be."""
    return _Cel(f"object.spec.{field}")


def _span(field: str, longest: timedelta) -> str:
    seconds = f"duration(object.spec.{field})"
    shortest, longest_text = duration_text(MIN_SPAN), duration_text(longest)
    return f"{seconds} >= duration('{shortest}') && {seconds} <= duration('{longest_text}')"


def _owned_by(kustomization: str) -> dict[str, str]:
    """Return the labels that kustomize-controller adds to what a Kustomization applies."""
    group, _, _ = KUSTOMIZATION.partition("/")
    return {f"{group}/name": kustomization, f"{group}/namespace": NAMESPACE}


_NAME_OF = _Cel("object.metadata.name")
_CONTENT = "-content"
_CONTENT_OF = _Cel(f"{_NAME_OF}.substring(0, {_NAME_OF}.size() - {len(_CONTENT)})")
"""The component's name in that of the Kustomization that applies its manifests (``ComponentName.content_name``)."""
_INTERVAL = _same("interval")

_VARIABLES = {
    # Whose cluster it is. Where nobody says so, the expression fails, and so does the request.
    "plane": f"namespaceObject.metadata.annotations['{PDP_ANNOTATION}']",
    # Open only where bootstrap says so: a namespace without the annotation, or with a slip in it, is sealed.
    "open": (
        "has(namespaceObject.metadata.annotations)"
        f" && '{SEALED_ANNOTATION}' in namespaceObject.metadata.annotations"
        f" && namespaceObject.metadata.annotations['{SEALED_ANNOTATION}'] == 'false'"
    ),
    "annotations": "has(object.metadata.annotations) ? dyn(object.metadata.annotations) : dyn({})",
    "labels": "has(object.metadata.labels) ? dyn(object.metadata.labels) : dyn({})",
    "oldAnnotations": (
        "oldObject != null && has(oldObject.metadata.annotations) ? dyn(oldObject.metadata.annotations) : dyn({})"
    ),
    "oldLabels": "oldObject != null && has(oldObject.metadata.labels) ? dyn(oldObject.metadata.labels) : dyn({})",
    "wrapper": (
        "request.resource.resource == 'kustomizations' && has(object.spec.sourceRef)"
        " && object.spec.sourceRef.kind == 'GitRepository'"
    ),
    # ['.', 'pdps', <organization>, <data plane>, <bundle>, <component>, …]
    "folders": "object.spec.path.split('/')",
    "ownLabels": (
        f"variables.wrapper ? dyn({_literal({**_owned_by(ROOT), WRAPPER_LABEL: 'true'})})"
        f" : request.resource.resource == 'configmaps' ? dyn({_literal(_owned_by(ROOT))})"
        f" : request.resource.resource == 'kustomizations' ? dyn({_literal(_owned_by(_CONTENT_OF))})"
        f" : dyn({_literal(_owned_by(_NAME_OF))})"
    ),
    "ownAnnotations": (
        f"request.resource.resource == 'configmaps' ? {_literal([PRUNE_ANNOTATION])}"
        f" : variables.wrapper ? {_literal([PRUNE_ANNOTATION, RELEASE_ANNOTATION, REMOVING_ANNOTATION])}"
        f" : {_literal([PRUNE_ANNOTATION, RELEASE_ANNOTATION, REMOVING_ANNOTATION, DIGEST_ANNOTATION])}"
    ),
}


def _rule(message: str, expression: str) -> dict[str, str]:
    return {"expression": expression, "message": f"ums-guard: {message}", "reason": "Forbidden"}


def _written(condition: str, expression: str) -> str:
    return f"request.operation == 'DELETE' || {f'!({condition}) || ' if condition else ''}({expression})"


def _is(resource: str) -> str:
    return f"request.resource.resource == '{resource}'"


def _only(what: str, condition: str, path: str, names: list[str]) -> dict[str, str]:
    """Return the rule that names each member of ``path`` that is not listed."""
    listed = _literal(names)
    prefix = path.removeprefix("object.")
    named = f"dyn({path}).filter(k, !(k in {listed})).map(k, '{prefix}.' + string(k)).join(', ')"
    return {
        **_rule(f"{what} may have no field of {prefix} that UMS does not write", ""),
        "expression": _written(condition, f"dyn({path}).all(k, k in {listed})"),
        "messageExpression": f"'ums-guard: {what} may have no field that UMS does not write: ' + {named}",
    }


def _spec_rules(
    what: str,
    condition: str,
    spec: Mapping[str, Any],
    checks: Mapping[str, tuple[str, str]],
    optional: Mapping[str, object],
) -> Iterator[dict[str, str]]:
    """Yield the rules about a spec.

    Args:
        what: the kind, for messages.
        condition: when the rules hold.
        spec: what rendering writes. Each field must be there, and be equal.
        checks: by field a message, and an expression that must be true besides.
        optional: fields that may be there, with the only value that they may have: what Flux's definitions fill in,
            and what depends on the settings. ``None`` is any value.

    """
    yield _only(what, condition, "object.spec", [*spec, *optional])
    for field, value in spec.items():
        message, check = checks.get(field, (f"{what} must have the spec.{field} that UMS writes", ""))
        equal = "" if isinstance(value, _Cel) and value == _same(field) else f"object.spec.{field} == {_literal(value)}"
        expression = " && ".join(filter(None, [f"has(object.spec.{field})", check, equal]))
        yield _rule(message, _written(condition, expression))
    for field, value in optional.items():
        if value is None:
            continue
        expression = f"!has(object.spec.{field}) || object.spec.{field} == {_literal(value)}"
        yield _rule(f"{what} may have no other spec.{field} than UMS writes", _written(condition, expression))


def _spans(what: str, *fields: str, timeout: timedelta = MAX_TIMEOUT) -> dict[str, tuple[str, str]]:
    longest = {"timeout": timeout}
    return {
        field: (f"{what} has a spec.{field} out of bounds", _span(field, longest.get(field, MAX_INTERVAL)))
        for field in ("interval", *fields)
    }


def _source_rules(settings: FleetSettings) -> Iterator[dict[str, str]]:
    what, prefix = "an OCIRepository", f"oci://{settings.registry}/"
    place = f"object.spec.url.substring({len(prefix)})"
    layers = sorted(LAYERS.values())
    checks = {
        **_spans(what),
        "url": (
            f"an OCIRepository must come from {prefix}<bundle>/<component>, as its name says",
            (
                f"object.spec.url.startsWith('{prefix}') && {place}.matches('^{_NAME}/{_NAME}$')"
                f" && {place}.replace('/', '-') == {_NAME_OF}"
            ),
        ),
        "ref": (
            "an OCIRepository must name a digest, never a tag or range",
            (
                f"has(object.spec.ref.digest) && object.spec.ref.digest.matches('{_DIGEST}')"
                f" && variables.annotations['{DIGEST_ANNOTATION}'] == object.spec.ref.digest"
            ),
        ),
        "verify": (f"an OCIRepository must be verified with the keys in Secret {RELEASE_KEYS}", ""),
        "layerSelector": (
            "an OCIRepository must copy its layer: what is extracted is not compared with its digest",
            f"has(object.spec.layerSelector.mediaType) && object.spec.layerSelector.mediaType in {_literal(layers)}",
        ),
    }
    spec = source_spec(
        url=_same("url"), digest=_same("ref.digest"), layer=_same("layerSelector.mediaType"), interval=_INTERVAL
    )
    optional: dict[str, object] = {"provider": "generic", "timeout": "60s", "secretRef": {"name": REGISTRY_LOGIN}}
    if settings.plain_http:
        optional["insecure"] = True
    yield from _spec_rules(what, _is("ocirepositories"), spec, checks, optional)


def _release_rules() -> Iterator[dict[str, str]]:
    what = "a HelmRelease"
    retry, rollback = (
        release_spec(
            _NAME_OF,
            release=_same("releaseName"),
            namespace=_same("targetNamespace"),
            storage_namespace=_same("targetNamespace"),
            interval=_INTERVAL,
            timeout=_same("timeout"),
            on_failure=on_failure,
        )
        for on_failure in OnFailure
    )
    upgrades = " || ".join(f"object.spec.upgrade == {_literal(each['upgrade'])}" for each in (retry, rollback))
    kept = " && ".join(
        f"oldObject.spec.{field} == object.spec.{field}"
        for field in ("releaseName", "targetNamespace", "storageNamespace")
    )
    stays = f"(oldObject == null || ({kept}))"
    moves = "a HelmRelease may not be moved: Flux would uninstall the one of the old name or namespace"
    checks = {
        **_spans(what, "timeout"),
        "chartRef": (f"{what} must install the OCIRepository of its own name, here, and nothing else", ""),
        "releaseName": (moves, f"object.spec.releaseName.matches('^{_NAME}$') && {stays}"),
        "targetNamespace": (moves, f"object.spec.targetNamespace.matches('^{_NAME}$') && {stays}"),
        "storageNamespace": (
            "a HelmRelease must keep its record in the namespace that it installs to, and may not be moved",
            stays,
        ),
        "upgrade": ("a HelmRelease must have the spec.upgrade that UMS writes", f"({upgrades})"),
        "valuesFrom": (
            (
                f"a HelmRelease must read its values from {OWNER_VALUES}<its name>, which the cluster's owner may keep,"
                " and from nowhere else"
            ),
            "",
        ),
    }
    spec = {**retry, "upgrade": _same("upgrade")}
    yield from _spec_rules(what, _is("helmreleases"), spec, checks, {"values": None})
    yield _rule(
        "this cluster is sealed: a HelmRelease may bring no values, its owner alone gives them, in ConfigMap or"
        f" Secret {OWNER_VALUES}<its name>",
        _written(_is("helmreleases"), "!has(object.spec.values) || variables.open"),
    )


def _wrapper_rules() -> Iterator[dict[str, str]]:
    what, bundle, component = "a wrapper", "variables.folders[4]", "variables.folders[5]"
    release = _Cel(f"variables.annotations['{RELEASE_ANNOTATION}']")
    kept = {PRUNE_ANNOTATION: _Cel(f"variables.annotations['{PRUNE_ANNOTATION}']"), RELEASE_ANNOTATION: release}
    removing = {**kept, REMOVING_ANNOTATION: "true"}
    before, after = is_ready("\0").split("\0")
    ready = f"d.readyExpr.substring({len(before)}, d.readyExpr.size() - {len(after)})"
    appliers = {
        ComponentKind.CHART: applier_reference(ComponentKind.CHART, _NAME_OF),
        ComponentKind.MANIFESTS: applier_reference(ComponentKind.MANIFESTS, _Cel(f"{_NAME_OF} + '{_CONTENT}'")),
    }
    healthy = " || ".join(
        f"(object.spec.healthChecks[0] == {_literal(appliers[kind])}"
        f" && object.spec.healthCheckExprs == {_literal([health_of(kind, on_failure)])})"
        for kind, on_failure in (
            (ComponentKind.CHART, OnFailure.RETRY),
            (ComponentKind.CHART, OnFailure.ROLLBACK),
            (ComponentKind.MANIFESTS, OnFailure.RETRY),
        )
    )
    folder = f"^[.]/pdps/{_NAME}/{_NAME}/{_NAME}/{_NAME}/(values-[0-9a-f]{{16}}/)?{_VERSION}$"
    checks = {
        **_spans(what, "retryInterval", "timeout", timeout=MAX_TIMEOUT + GRACE),
        "path": (
            f"a wrapper must read the folder of its own component and release in this data plane's, and not be {ROOT}",
            (
                f"object.spec.path.matches({_literal(folder)})"
                " && object.spec.path.startsWith('./pdps/' + variables.plane + '/')"
                f" && {bundle} + '-' + {component} == {_NAME_OF} && {_NAME_OF} != '{ROOT}'"
                f" && {bundle} + '@' + variables.folders[variables.folders.size() - 1] == {release}"
            ),
        ),
        "serviceAccountName": (f"a wrapper must run as {ROOT}", ""),
        "sourceRef": (f"a wrapper must read GitRepository {SOURCE}, here", ""),
        "dependsOn": (
            "a wrapper may wait for releases of its own bundle alone",
            (
                "object.spec.dependsOn.all(d, dyn(d).all(k, k in ['name', 'readyExpr'])"
                f" && d.name.startsWith({bundle} + '-')"
                f" && d.readyExpr.startsWith({_literal(before)}) && d.readyExpr.endsWith({_literal(after)})"
                f" && {ready}.matches('^{_NAME}@{_VERSION}$'))"
            ),
        ),
        "commonMetadata": (
            "a wrapper may mark what it applies with its own annotations, and nothing else",
            (
                f"object.spec.commonMetadata == ('{REMOVING_ANNOTATION}' in variables.annotations"
                f" ? dyn({_literal({'annotations': removing})}) : dyn({_literal({'annotations': kept})}))"
            ),
        ),
        "healthChecks": (
            "a wrapper must watch what applies its component, and objects by kind and name",
            (
                "object.spec.healthChecks.size() > 0 && object.spec.healthChecks.all(h,"
                " dyn(h).all(k, k in ['apiVersion', 'kind', 'namespace', 'name']))"
            ),
        ),
        "healthCheckExprs": ("a wrapper must judge health as UMS does", f"({healthy})"),
    }
    spec = wrapper_spec(
        path=_same("path"),
        interval=_INTERVAL,
        timeout=_same("timeout"),
        annotations={},
        depends_on=[],
        health_checks=[],
        health={},
    )
    spec |= {field: _same(field) for field in ("dependsOn", "commonMetadata", "healthChecks", "healthCheckExprs")}
    yield from _spec_rules(what, "variables.wrapper", spec, checks, {"force": False})


def _content_rules() -> Iterator[dict[str, str]]:
    what = "a Kustomization"
    condition = f"{_is('kustomizations')} && !variables.wrapper"
    checks = {
        **_spans(what, "retryInterval", "timeout"),
        "sourceRef": (
            "a Kustomization that is no wrapper must apply the OCIRepository that it is named after, here",
            f"{_NAME_OF}.endsWith('{_CONTENT}')",
        ),
    }
    spec = content_spec(_CONTENT_OF, interval=_INTERVAL, timeout=_same("timeout"))
    yield from _spec_rules(what, condition, spec, checks, {"force": False})
    yield _rule(
        "a Kustomization may not read another kind of source than before: what it applied would be pruned",
        _written(
            _is("kustomizations"), "oldObject == null || oldObject.spec.sourceRef.kind == object.spec.sourceRef.kind"
        ),
    )


def _metadata_rules() -> Iterator[dict[str, str]]:
    marked = f"'{REMOVING_ANNOTATION}' in variables.annotations"
    component = f"!variables.wrapper && !({_is('configmaps')})"
    yield _only("an object", "", "object", ["apiVersion", "kind", "metadata", "spec", "status", "data"])
    yield _only("an object", "", "object.metadata", _METADATA)
    yield _rule(
        "an object may get no owners and no finalizers from Git",
        _written(
            "",
            " && ".join(
                f"(has(object.metadata.{field}) ? oldObject != null && has(oldObject.metadata.{field})"
                f" && object.metadata.{field} == oldObject.metadata.{field}"
                f" : oldObject == null || !has(oldObject.metadata.{field}))"
                for field in ("ownerReferences", "finalizers")
            ),
        ),
    )
    yield _rule(
        "an object must be exempt from pruning, unless it is marked for removal",
        _written(
            "",
            f"'{PRUNE_ANNOTATION}' in variables.annotations && ({marked}"
            f" ? variables.annotations['{REMOVING_ANNOTATION}'] == 'true'"
            f" && variables.annotations['{PRUNE_ANNOTATION}'] == 'enabled' && !({_is('configmaps')})"
            f" : variables.annotations['{PRUNE_ANNOTATION}'] == 'disabled')",
        ),
    )
    yield _rule(
        "an object must name the release and the digest that it is of",
        _written(
            f"!({_is('configmaps')})",
            f"variables.annotations['{RELEASE_ANNOTATION}'].matches('^{_NAME}@{_VERSION}$') && (!({component})"
            f" || variables.annotations['{DIGEST_ANNOTATION}'].matches('{_DIGEST}'))",
        ),
    )
    yield _rule(
        "a wrapper must carry the label by which its events are found",
        _written("variables.wrapper", f"variables.labels['{WRAPPER_LABEL}'] == 'true'"),
    )


def _labels_rule() -> dict[str, str]:
    """Return the last rule: the label of another Kustomization is the weakest of what can be wrong."""
    return _rule(
        "an object may have no labels and annotations that UMS does not write",
        _written(
            "",
            "variables.labels.all(k, k in variables.oldLabels && variables.oldLabels[k] == variables.labels[k]"
            " || k in variables.ownLabels && variables.ownLabels[k] == variables.labels[k])"
            " && variables.annotations.all(k, k in variables.ownAnnotations"
            " || k in variables.oldAnnotations && variables.oldAnnotations[k] == variables.annotations[k])",
        ),
    )


def _state_rules() -> Iterator[dict[str, str]]:
    condition, fields = _is("configmaps"), [key for _, key in STATE_SHAPE.fields]
    unchanged = "oldObject != null && object.data == oldObject.data"
    yield _only("the state", condition, "object", ["apiVersion", "kind", "metadata", "data"])
    yield _only("the state", condition, "object.data", fields)
    yield _rule(
        "the state must be that of this data plane",
        _written(condition, f"object.metadata.name == '{STATE}' && object.data.pdp == variables.plane"),
    )
    yield _rule(
        "the serial must rise, or the state be unchanged",
        _written(
            condition,
            f"oldObject == null || ({unchanged}) || int(object.data.serial) > int(oldObject.data.serial)",
        ),
    )
    yield _rule(
        "the serial is too far ahead of the clock",
        _written(
            condition,
            f"({unchanged}) || {_NOW}int(object.data.serial) <="
            f" int(timestamp(m.time)) + {int(MAX_AHEAD.total_seconds())})",
        ),
    )
    yield _rule(
        "this offer has expired",
        _written(condition, f"({unchanged}) || !{_NOW}timestamp(m.time) >= timestamp(object.data.expires))"),
    )


def _rules(settings: FleetSettings) -> list[dict[str, str]]:
    return [
        _rule(
            "nothing may be deleted that an earlier state did not mark for removal",
            f"request.operation != 'DELETE' || (!({_is('configmaps')})"
            f" && has(oldObject.metadata.annotations) && '{REMOVING_ANNOTATION}' in oldObject.metadata.annotations)",
        ),
        *_metadata_rules(),
        *_state_rules(),
        *_source_rules(settings),
        *_release_rules(),
        *_wrapper_rules(),
        *_content_rules(),
        _labels_rule(),
    ]


def _policy(
    name: str,
    resources: list[dict[str, Any]],
    conditions: list[dict[str, str]],
    rules: list[dict[str, str]],
    variables: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    api = "admissionregistration.k8s.io/v1"
    return [
        {
            "apiVersion": api,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": resources},
                "matchConditions": conditions,
                **(
                    {"variables": [{"name": key, "expression": variables[key]} for key in variables]}
                    if variables
                    else {}
                ),
                "validations": rules,
            },
        },
        {
            "apiVersion": api,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        },
    ]


def _resource(api_version: str, resource: str, operations: list[str]) -> dict[str, Any]:
    group, _, version = api_version.rpartition("/")
    return {"apiGroups": [group], "apiVersions": [version], "resources": [resource], "operations": operations}


def render_account() -> list[dict[str, Any]]:
    """Return the account that applies what stands in Git, and what binds it: bootstrap's alone."""
    account = {"kind": "ServiceAccount", "name": ROOT, "namespace": NAMESPACE}
    reads = [
        {"apiGroups": [""], "resources": ["pods", "persistentvolumeclaims", "services"], "verbs": _READ},
        {"apiGroups": ["apps", "batch"], "resources": ["*"], "verbs": _READ},
    ]
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _OWN, "automountServiceAccountToken": False},
        {
            "apiVersion": _RBAC,
            "kind": "RoleBinding",
            "metadata": _OWN,
            "roleRef": {"apiGroup": _RBAC_GROUP, "kind": "Role", "name": ROOT},
            "subjects": [account],
        },
        {"apiVersion": _RBAC, "kind": "ClusterRole", "metadata": {"name": f"{ROOT}-health"}, "rules": reads},
        {
            "apiVersion": _RBAC,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": f"{ROOT}-health"},
            "roleRef": {"apiGroup": _RBAC_GROUP, "kind": "ClusterRole", "name": f"{ROOT}-health"},
            "subjects": [account],
        },
    ]


def render_rules(settings: FleetSettings) -> list[dict[str, Any]]:
    """Return the account's rights and the policies: what a release of bundle ``trust`` may replace.

    No ClusterRole: kustomize-controller applies those before it finds out that the rest is refused.
    """
    rights = [
        {"apiGroups": [api.partition("/")[0]], "resources": [resource], "verbs": _WRITE}
        for api, resource in _FLUX_KINDS
    ]
    rights.append(
        # Server-side apply creates by PATCH, so naming the one ConfigMap is enough.
        {
            "apiGroups": [""],
            "resources": ["configmaps"],
            "resourceNames": [STATE],
            "verbs": ["get", "create", "update", "patch"],
        }
    )
    every = ["CREATE", "UPDATE", "DELETE"]
    reads_source = (
        "has(object.spec.sourceRef) && object.spec.sourceRef.kind == 'GitRepository'"
        f" && object.spec.sourceRef.name == '{SOURCE}'"
        f" && (object.metadata.namespace == '{NAMESPACE}' || (has(object.spec.sourceRef.namespace)"
        f" && object.spec.sourceRef.namespace == '{NAMESPACE}'))"
    )
    return [
        {"apiVersion": _RBAC, "kind": "Role", "metadata": _OWN, "rules": rights},
        *_policy(
            POLICY,
            [_resource(api, resource, every) for api, resource in (*_FLUX_KINDS, ("v1", "configmaps"))],
            [{"name": "written-by-the-root", "expression": f"request.userInfo.username == '{_ACCOUNT}'"}],
            _rules(settings),
            _VARIABLES,
        ),
        *_policy(
            SOURCE_POLICY,
            [_resource(KUSTOMIZATION, "kustomizations", ["CREATE", "UPDATE"])],
            [{"name": "reads-the-release-repo", "expression": reads_source}],
            [
                _rule(
                    f"whatever reads GitRepository {SOURCE} must run as {ROOT}",
                    f"has(object.spec.serviceAccountName) && object.spec.serviceAccountName == '{ROOT}'"
                    f" && object.metadata.namespace == '{NAMESPACE}' && !has(object.spec.kubeConfig)",
                )
            ],
        ),
        *_policy(
            TRUST_POLICY,
            # Not DELETE: whoever takes away the namespace may take this away with it. Not the policies themselves:
            # Kubernetes asks no policy about policies. kustomize-controller tries all that comes with them first.
            [
                {**_resource("v1", "configmaps", ["UPDATE"]), "resourceNames": [TRUST_STATE]},
                {**_resource("v1", "secrets", ["UPDATE"]), "resourceNames": [RELEASE_KEYS, STATE_KEYS]},
                {**_resource(_RBAC, "roles", ["UPDATE"]), "resourceNames": [ROOT]},
            ],
            [{"name": "of-ums", "expression": f"request.namespace == '{NAMESPACE}'"}],
            [
                _rule(
                    "keys and guard may not be replaced by older ones",
                    f"!({_is('configmaps')}) || object.data == oldObject.data"
                    " || int(object.data.number) > int(oldObject.data.number)",
                ),
                _rule(
                    "keys and guard may not be replaced by those of an older version of UMS",
                    f"!({_has_version('oldObject')}) || {_has_version('object')} && {_is_not_older()}",
                ),
            ],
        ),
    ]


def _has_version(what: str) -> str:
    return f"has({what}.metadata.annotations) && '{TRUST_ANNOTATION}' in {what}.metadata.annotations"


def _is_not_older() -> str:
    new, old = (
        [f"int({what}.metadata.annotations['{TRUST_ANNOTATION}'].split('.')[{part}])" for part in (0, 1)]
        for what in ("object", "oldObject")
    )
    return f"({new[0]} > {old[0]} || {new[0]} == {old[0]} && {new[1]} >= {old[1]})"
