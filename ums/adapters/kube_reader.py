"""Reading a cluster's API with a bearer token: bounded in time and size, past no redirect or proxy. The only door."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import requests

from ums.domain.errors import ForbiddenError, InvalidInputError, UmsError, UnauthenticatedError, UnavailableError

T = TypeVar("T")
_TIMEOUT_SECONDS = (5, 30)
_MAX_ANSWER = 32 << 20
_PAGE, _MAX_PAGES = 100, 1000
_OK, _GONE = 200, 410
_REFUSALS: dict[int, tuple[type[UmsError], str]] = {
    401: (UnauthenticatedError, "is the token that of a service account of this cluster, and not expired?"),
    403: (ForbiddenError, "apply the output of ums pdp bootstrap --reporter again in that cluster"),
}


class KubeReader:
    """Implements ``ports.ClusterReader``; ``authorities`` is a file of certificates to trust."""

    def __init__(self, url: str, token: str, authorities: Path) -> None:
        """Prepare to read.

        Raises:
            InvalidInputError: the URL is none that a token may be sent to.

        """
        if not url.startswith("https://"):
            raise InvalidInputError(
                f"{url} is no https:// URL, and the token would be readable on its way", hint="give another --kube-url"
            )
        self._url = url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(authorities)
        self._session.headers["Authorization"] = f"Bearer {token}"

    def kubernetes_version(self) -> str:
        """Return what the API server calls its version."""
        return str(self._get("/version", {}).get("gitVersion"))

    def flux_versions(self, namespace: str) -> Sequence[str]:
        """Return the versions on the labels of Flux's Deployments."""
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
        query = {"labelSelector": "app.kubernetes.io/part-of=flux"}
        labels = self._items(path, query, lambda each: each["metadata"].get("labels") or {})
        return sorted({str(version) for each in labels if (version := each.get("app.kubernetes.io/version"))})

    def images(self) -> Iterator[str]:
        """Yield the image of every container that runs, by digest where that is known."""
        for images in self._items("/api/v1/pods", {"fieldSelector": "status.phase=Running"}, _images):
            yield from images

    def _items(self, path: str, query: Mapping[str, str], read: Callable[[Any], T]) -> Iterator[T]:
        following = ""
        for _ in range(_MAX_PAGES):
            page = self._get(path, {**query, "limit": str(_PAGE), **({"continue": following} if following else {})})
            try:
                found = [read(each) for each in page["items"] or ()]
                following = (page.get("metadata") or {}).get("continue") or ""
            except (KeyError, TypeError, AttributeError) as error:
                raise UnavailableError(f"{self._url}{path} is no list of what it should be: {error!r}") from error
            yield from found
            if not following:
                return
        raise UnavailableError(f"{self._url}{path} has more than {_MAX_PAGES * _PAGE} items, which is not believed")

    def _get(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        what = f"{self._url}{path}"
        content = bytearray()
        try:
            with self._session.get(
                what, params=dict(query), timeout=_TIMEOUT_SECONDS, allow_redirects=False, stream=True
            ) as answer:
                for chunk in answer.iter_content(1 << 16):
                    content += chunk
                    if len(content) > _MAX_ANSWER:
                        raise UnavailableError(f"{what} answers with more than {_MAX_ANSWER} bytes")
        except (requests.RequestException, OSError) as error:
            raise UnavailableError(
                f"{what} does not answer: {error}", hint="are --kube-url and --kube-ca those of this cluster?"
            ) from error
        status = answer.status_code
        if status in _REFUSALS:
            kind, hint = _REFUSALS[status]
            raise kind(f"{what} does not let us read: {status}", hint=hint)
        if status != _OK:
            hint = "the list changed too much while it was read; try again" if status == _GONE else ""
            raise UnavailableError(f"{what} answered {status}", hint=hint)
        try:
            data = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise UnavailableError(f"{what} answered with something that is not JSON") from error
        if not isinstance(data, dict):
            raise UnavailableError(f"{what} answered with something that is no object")
        return data


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
