"""Reading what a cluster runs. It never writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ums.adapters._kube import KubeConnection

_RIGHTS = "apply the output of ums pdp bootstrap --reporter again in that cluster"


class KubeReader:
    """Implements ``ports.ClusterReader``; ``authorities`` is a file of certificates to trust."""

    def __init__(self, url: str, token: str, authorities: Path) -> None:
        """Prepare to read.

        Raises:
            InvalidInputError: the URL is none that a token may be sent to.

        """
        self._kube = KubeConnection(url, token, authorities, rights=_RIGHTS)

    def kubernetes_version(self) -> str:
        """Return what the API server calls its version."""
        return str(self._kube.get("/version", {}).get("gitVersion"))

    def flux_versions(self, namespace: str) -> Sequence[str]:
        """Return the versions on the labels of Flux's Deployments."""
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
        query = {"labelSelector": "app.kubernetes.io/part-of=flux"}
        labels = self._kube.items(path, query, lambda each: each["metadata"].get("labels") or {})
        return sorted({str(version) for each in labels if (version := each.get("app.kubernetes.io/version"))})

    def images(self) -> Iterator[str]:
        """Yield the image of every container that runs, by digest where that is known."""
        for images in self._kube.items("/api/v1/pods", {"fieldSelector": "status.phase=Running"}, _images):
            yield from images


def _images(pod: Any) -> list[str]:  # noqa: ANN401 - any JSON value
    status = pod.get("status") or {}
    known = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    if not known:  # its node did not tell yet
        return [str(each["image"]) for each in pod["spec"]["containers"]]
    return [_image(each) for each in known if "running" in (each.get("state") or {})]


def _image(status: Mapping[str, Any]) -> str:
    """Return what a container runs: a bare digest would not say from where."""
    by_digest, name = str(status.get("imageID") or ""), str(status.get("image") or "")
    return by_digest.rpartition("://")[2] if "@" in by_digest else name or by_digest
