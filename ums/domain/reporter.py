"""The reporter: what tells from inside a cluster which versions and images it has. It may read these alone."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from ums.domain.errors import InvalidInputError
from ums.domain.names import PDPName
from ums.domain.rendering import NAMESPACE, REGISTRY_LOGIN
from ums.domain.world import FleetSettings

REPORTER = "ums-reporter"
FLUX_NAMESPACE = "flux-system"
_RBAC, _GROUP = "rbac.authorization.k8s.io/v1", "rbac.authorization.k8s.io"
_USER = 10001
"""Of our image."""
_EVERY_MINUTES = 15
_KEY_FOLDER = "/var/run/ums"
_IMAGE = re.compile(r"[a-z0-9][\w.:/@-]{0,511}", re.ASCII)


def check_image(image: str) -> str:
    """Return the name of an image.

    Raises:
        InvalidInputError: it is none.

    """
    if not _IMAGE.fullmatch(image):
        raise InvalidInputError(f"{image!r:.100} is no image", hint="as in registry.example.com/ums:1.0.0")
    return image


def render_reporter(pdp: PDPName, settings: FleetSettings, *, image: str, secret: str) -> list[dict[str, Any]]:
    """Return the reporter's objects; the key of its data plane's events is ``token`` in ``secret``.

    Raises:
        InvalidInputError: ``image`` is none.

    """
    check_image(image)
    own = {"name": REPORTER, "namespace": NAMESPACE}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": own, "automountServiceAccountToken": False},
        *_rights(
            "ClusterRole",
            {"name": REPORTER},
            [
                {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
                {"nonResourceURLs": ["/version"], "verbs": ["get"]},
            ],
        ),
        *_rights(
            "Role",
            {"name": REPORTER, "namespace": FLUX_NAMESPACE},
            [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list"]}],
        ),
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": own,
            "spec": {
                "schedule": _schedule(pdp),
                "concurrencyPolicy": "Forbid",
                "startingDeadlineSeconds": 300,
                "successfulJobsHistoryLimit": 1,
                "failedJobsHistoryLimit": 1,
                "jobTemplate": {
                    "spec": {
                        "activeDeadlineSeconds": 120,
                        "backoffLimit": 1,
                        "template": {"spec": _pod(pdp, settings, image, secret)},
                    }
                },
            },
        },
    ]


def _rights(kind: str, metadata: dict[str, str], rules: list[dict[str, list[str]]]) -> list[dict[str, Any]]:
    return [
        {"apiVersion": _RBAC, "kind": kind, "metadata": metadata, "rules": rules},
        {
            "apiVersion": _RBAC,
            "kind": f"{kind}Binding",
            "metadata": metadata,
            "roleRef": {"apiGroup": _GROUP, "kind": kind, "name": REPORTER},
            "subjects": [{"kind": "ServiceAccount", "name": REPORTER, "namespace": NAMESPACE}],
        },
    ]


def _schedule(pdp: PDPName) -> str:
    """Return minutes of the data plane's own, so that a fleet does not come all at once."""
    first = int.from_bytes(hashlib.sha256(str(pdp).encode()).digest()[:4]) % _EVERY_MINUTES
    return f"{','.join(str(minute) for minute in range(first, 60, _EVERY_MINUTES))} * * * *"


def _pod(pdp: PDPName, settings: FleetSettings, image: str, secret: str) -> dict[str, Any]:
    return {
        "serviceAccountName": REPORTER,
        "automountServiceAccountToken": True,
        "restartPolicy": "Never",
        **({"imagePullSecrets": [{"name": REGISTRY_LOGIN}]} if settings.registry_login else {}),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "report",
                "image": image,
                "args": ["report", "--pdp", str(pdp), "--key-file", f"{_KEY_FOLDER}/token"],
                "env": [{"name": "UMS_SERVER", "value": settings.url}],
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "resources": {
                    "requests": {"cpu": "20m", "memory": "64Mi"},
                    "limits": {"cpu": "500m", "memory": "256Mi"},
                },
                "volumeMounts": [{"name": "key", "mountPath": _KEY_FOLDER, "readOnly": True}],
            }
        ],
        "volumes": [
            {
                "name": "key",
                "secret": {"secretName": secret, "defaultMode": 0o440, "items": [{"key": "token", "path": "token"}]},
            }
        ],
    }
