"""A cluster's API, spoken to with a bearer token: bounded in time and size, past no redirect or proxy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import requests

from ums.domain import strict_json
from ums.domain.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    UmsError,
    UnauthenticatedError,
    UnavailableError,
)
from ums.domain.strict_json import StrictJSONError

T = TypeVar("T")
_TIMEOUT_SECONDS = (5, 30)
_MAX_ANSWER = 32 << 20
_MAX_SAID = 500
_PAGE, _MAX_PAGES = 100, 1000
_OK, _GONE, _FORBIDDEN = 200, 410, 403
_REFUSALS: dict[int, tuple[type[UmsError], str]] = {
    400: (InvalidInputError, ""),
    401: (UnauthenticatedError, "is the token that of a service account of this cluster, and not expired?"),
    _FORBIDDEN: (ForbiddenError, ""),
    404: (NotFoundError, ""),
    409: (ConflictError, "somebody else changed it; try again"),
    422: (InvalidInputError, ""),
}


class KubeConnection:
    """One cluster.

    Attributes:
        url: where its API is.

    """

    def __init__(self, url: str, token: str, authorities: Path, *, rights: str) -> None:
        """Prepare to ask; ``authorities`` is a file of certificates to trust, ``rights`` says who gives missing ones.

        Raises:
            InvalidInputError: the URL is none that a token may be sent to.

        """
        if not url.startswith("https://"):
            raise InvalidInputError(
                f"{url} is no https:// URL, and the token would be readable on its way", hint="give another --kube-url"
            )
        self.url = url.rstrip("/")
        self._rights = rights
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(authorities)
        self._session.headers["Authorization"] = f"Bearer {token}"

    def items(
        self, path: str, query: Mapping[str, str], read: Callable[[Any], T], *, accept: str = "application/json"
    ) -> Iterator[T]:
        """Yield what ``read`` makes of each item of a list, page by page.

        Raises:
            UnavailableError: it is no such list, or has no end.

        """
        following = ""
        for _ in range(_MAX_PAGES):
            more = {"continue": following} if following else {}
            page = self.get(path, {**query, "limit": str(_PAGE), **more}, accept=accept)
            try:
                found = [read(each) for each in page["items"] or ()]
                following = (page.get("metadata") or {}).get("continue") or ""
            except (KeyError, TypeError, AttributeError, StopIteration) as error:
                raise UnavailableError(f"{self.url}{path} is no list of what it should be: {error!r}") from error
            yield from found
            if not following:
                return
        raise UnavailableError(f"{self.url}{path} has more than {_MAX_PAGES * _PAGE} items, which is not believed")

    def get(self, path: str, query: Mapping[str, str], *, accept: str = "application/json") -> dict[str, Any]:
        """Return an object.

        Raises:
            UnavailableError: the cluster does not answer, or not with one.
            UnauthenticatedError, ForbiddenError: it does not let us look.
            NotFoundError: it is not there.

        """
        return self._ask("GET", path, query, {"Accept": accept})

    def patch(self, path: str, changes: Mapping[str, Any]) -> None:
        """Merge changes into an object; none at all make the server write what it has once more.

        Raises:
            UnavailableError: the cluster does not answer.
            UnauthenticatedError, ForbiddenError: it does not let us write.
            NotFoundError, ConflictError: the object is gone, or changed meanwhile.
            InvalidInputError: it refuses the result.

        """
        self._ask("PATCH", path, {}, {"Content-Type": "application/merge-patch+json"}, json.dumps(changes))

    def _ask(
        self, verb: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: str | None = None
    ) -> dict[str, Any]:
        what = f"{self.url}{path}"
        content = bytearray()
        try:
            with self._session.request(
                verb,
                what,
                params=dict(query),
                headers=dict(headers),
                data=body,
                timeout=_TIMEOUT_SECONDS,
                allow_redirects=False,
                stream=True,
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
            raise kind(
                f"{verb} {what} is refused: {status}{_said(content)}",
                hint=self._rights if status == _FORBIDDEN else hint,
            )
        if status != _OK:
            hint = "the list changed too much while it was read; try again" if status == _GONE else ""
            raise UnavailableError(f"{what} answered {status}", hint=hint)
        try:
            data = strict_json.loads(content, limit=len(content), go=False)
        except StrictJSONError as error:
            raise UnavailableError(f"{what} answered with something that is not JSON") from error
        if not isinstance(data, dict):
            raise UnavailableError(f"{what} answered with something that is no object")
        return data


def _said(content: bytes | bytearray) -> str:
    """Return what the server says of its refusal, if it says something."""
    try:
        message = strict_json.loads(content, go=False)["message"]
    except (StrictJSONError, KeyError, TypeError):
        return ""
    return f", {message:.{_MAX_SAID}}" if isinstance(message, str) else ""
