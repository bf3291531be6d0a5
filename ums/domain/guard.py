"""The guard: what keeps a stolen state key from shipping code, installed in each cluster by bootstrap.

The service account that applies what stands in Git may write four kinds of object in one namespace, and an
admission policy says what these may look like. Each rule is named, so that a refusal tells what was tried. It is the
same in all clusters of a fleet: whose cluster it is says an annotation of the namespace, which bootstrap alone writes.
Kubernetes: ValidatingAdmissionPolicy v1 (1.30+), CEL as of that version.
"""

from __future__ import annotations

from typing import Any

from ums.domain.clock import MAX_AHEAD
from ums.domain.rendering import (
    HELM_RELEASE,
    KUSTOMIZATION,
    NAMESPACE,
    OWNER_VALUES,
    OWNER_VALUES_KEY,
    PDP_ANNOTATION,
    REGISTRY_LOGIN,
    RELEASE_KEYS,
    REMOVING_ANNOTATION,
    ROOT,
    SEALED_ANNOTATION,
    SOURCE,
    SOURCE_API,
    STATE,
    TRUST_STATE,
)
from ums.domain.world import FleetSettings

POLICY = "ums-guard"
SOURCE_POLICY = "ums-guard-source"
TRUST_POLICY = "ums-guard-trust"

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
_NOW = "object.metadata.managedFields.exists(m, "
"""The newest ``managedFields`` time is the API server's own time of this very write."""
_PDP = f"namespaceObject.metadata.annotations['{PDP_ANNOTATION}']"
"""Whose cluster it is. Where nobody says so, the expression fails, and so does the request."""
_SEALED = (
    "has(namespaceObject.metadata.annotations)"
    f" && '{SEALED_ANNOTATION}' in namespaceObject.metadata.annotations"
    f" && namespaceObject.metadata.annotations['{SEALED_ANNOTATION}'] != 'false'"
)
"""Whether it takes no values from a registration. What is written there and is not ``false`` seals it."""
_OWNER_VALUES = (
    "has(object.spec.valuesFrom) && object.spec.valuesFrom.size() == 2"
    " && object.spec.valuesFrom[0].kind == 'ConfigMap' && object.spec.valuesFrom[1].kind == 'Secret'"
    f" && object.spec.valuesFrom.all(v, v.name == '{OWNER_VALUES}' + object.metadata.name"
    f" && has(v.valuesKey) && v.valuesKey == '{OWNER_VALUES_KEY}' && has(v.optional) && v.optional"
    " && !has(v.targetPath) && !has(v.literal))"
)
"""What every HelmRelease of ours has: were it optional, whoever has the state key could drop what the owner gave."""


def _rule(message: str, expression: str) -> dict[str, str]:
    return {"expression": expression, "message": f"ums-guard: {message}", "reason": "Forbidden"}


def _absent(*fields: str) -> str:
    return " && ".join(f"!has(object.spec.{field})" for field in fields)


def _for(resource: str, expression: str) -> str:
    return f"request.resource.resource != '{resource}' || request.operation == 'DELETE' || ({expression})"


def _rules(settings: FleetSettings) -> list[dict[str, str]]:
    source_fields = ["certSecretRef", "proxySecretRef", "serviceAccountName", "suspend", "ignore"]
    if not settings.plain_http:
        source_fields.append("insecure")
    login = f"!has(object.spec.secretRef) || object.spec.secretRef.name == '{REGISTRY_LOGIN}'"
    inner = "object.spec.sourceRef.kind == 'OCIRepository'"
    outer = "object.spec.sourceRef.kind == 'GitRepository'"
    unchanged = "oldObject != null && object.data == oldObject.data"
    return [
        _rule(
            "nothing may be deleted that an earlier state did not mark for removal",
            "request.operation != 'DELETE' || (request.resource.resource != 'configmaps'"
            f" && has(oldObject.metadata.annotations) && '{REMOVING_ANNOTATION}' in oldObject.metadata.annotations)",
        ),
        _rule(
            f"an OCIRepository must come from oci://{settings.registry}/",
            _for("ocirepositories", f"object.spec.url.startsWith('oci://{settings.registry}/')"),
        ),
        _rule(
            "an OCIRepository must name a digest, never a tag or range",
            _for(
                "ocirepositories",
                "has(object.spec.ref) && has(object.spec.ref.digest) && object.spec.ref.digest.startsWith('sha')"
                " && !has(object.spec.ref.tag) && !has(object.spec.ref.semver) && !has(object.spec.ref.semverFilter)",
            ),
        ),
        _rule(
            f"an OCIRepository must be verified with the keys in Secret {RELEASE_KEYS}",
            _for(
                "ocirepositories",
                "has(object.spec.verify) && object.spec.verify.provider == 'cosign'"
                " && has(object.spec.verify.secretRef)"
                f" && object.spec.verify.secretRef.name == '{RELEASE_KEYS}'"
                " && !has(object.spec.verify.matchOIDCIdentity)",
            ),
        ),
        _rule(
            "an OCIRepository must copy its layer: what is extracted is not compared with its digest",
            _for(
                "ocirepositories",
                "has(object.spec.layerSelector) && has(object.spec.layerSelector.operation)"
                " && object.spec.layerSelector.operation == 'copy'",
            ),
        ),
        _rule(
            "an OCIRepository may not bring credentials, proxies or identities of its own",
            _for(
                "ocirepositories",
                f"{_absent(*source_fields)} && ({login})"
                " && (!has(object.spec.provider) || object.spec.provider == 'generic')",
            ),
        ),
        _rule(
            "a HelmRelease must install the OCIRepository of its own name, here, and nothing else",
            _for(
                "helmreleases",
                "!has(object.spec.chart) && has(object.spec.chartRef) && object.spec.chartRef.kind == 'OCIRepository'"
                " && object.spec.chartRef.name == object.metadata.name && !has(object.spec.chartRef.namespace)",
            ),
        ),
        _rule(
            "a HelmRelease may not change what was signed: no post-renderers, other cluster or account",
            _for(
                "helmreleases",
                _absent("postRenderers", "kubeConfig", "serviceAccountName", "suspend")
                + " && (!has(object.spec.commonMetadata))",
            ),
        ),
        _rule(
            f"a HelmRelease must read its values from {OWNER_VALUES}<its name>, which the cluster's owner may keep, and"
            " from nowhere else",
            _for("helmreleases", _OWNER_VALUES),
        ),
        _rule(
            "this cluster is sealed: a HelmRelease may bring no values, its owner alone gives them, in ConfigMap or"
            f" Secret {OWNER_VALUES}<its name>",
            _for("helmreleases", f"!has(object.spec.values) || !({_SEALED})"),
        ),
        _rule(
            f"a Kustomization must read this data plane's folder as {ROOT}, or an OCIRepository as it is",
            _for(
                "kustomizations",
                "!has(object.spec.sourceRef.namespace) && (("
                f"{outer} && object.spec.sourceRef.name == '{SOURCE}' && has(object.spec.serviceAccountName)"
                f" && object.spec.serviceAccountName == '{ROOT}'"
                f" && object.spec.path.startsWith('./pdps/' + {_PDP} + '/') && !object.spec.path.contains('..')"
                f") || ({inner} && object.metadata.name == object.spec.sourceRef.name + '-content'"
                " && !has(object.spec.serviceAccountName) && object.spec.path == './'))",
            ),
        ),
        _rule(
            "a Kustomization may not change what was signed: no patches, images, substitutions or other cluster",
            _for(
                "kustomizations",
                _absent(
                    "kubeConfig",
                    "patches",
                    "images",
                    "postBuild",
                    "components",
                    "decryption",
                    "namePrefix",
                    "nameSuffix",
                    "suspend",
                    "buildMetadata",
                )
                + " && (!has(object.spec.force) || !object.spec.force)",
            ),
        ),
        _rule(
            "the state must be that of this data plane",
            _for("configmaps", f"object.metadata.name == '{STATE}' && object.data.pdp == {_PDP}"),
        ),
        _rule(
            "the serial must rise, or the state be unchanged",
            _for(
                "configmaps",
                f"oldObject == null || ({unchanged}) || int(object.data.serial) > int(oldObject.data.serial)",
            ),
        ),
        _rule(
            "the serial is too far ahead of the clock",
            _for(
                "configmaps",
                f"({unchanged}) || {_NOW}int(object.data.serial) <="
                f" int(timestamp(m.time)) + {int(MAX_AHEAD.total_seconds())})",
            ),
        ),
        _rule(
            "this offer has expired",
            _for(
                "configmaps",
                f"({unchanged}) || !{_NOW}timestamp(m.time) >= timestamp(object.data.expires))",
            ),
        ),
    ]


def _policy(
    name: str, resources: list[dict[str, Any]], conditions: list[dict[str, str]], rules: list[dict[str, str]]
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
            # Not DELETE: whoever takes away the namespace may take this away with it.
            [{**_resource("v1", "configmaps", ["UPDATE"]), "resourceNames": [TRUST_STATE]}],
            [{"name": "of-ums", "expression": f"request.namespace == '{NAMESPACE}'"}],
            [
                _rule(
                    "keys and guard may not be replaced by older ones",
                    "object.data == oldObject.data || int(object.data.number) > int(oldObject.data.number)",
                )
            ],
        ),
    ]
