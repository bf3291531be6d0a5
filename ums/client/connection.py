"""How the API is spoken: requests, errors, and trying again."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar, cast
from urllib.parse import quote

import requests

from ums.domain import strict_json
from ums.domain.digest import Digest
from ums.domain.errors import InProgressError, Reason, RefusedError, UmsError, UnavailableError
from ums.domain.names import PDPName
from ums.domain.release import ReleaseName
from ums.domain.strict_json import StrictJSONError
from ums.outcomes import error_of

_TIMEOUT = (5.0, 60.0)
_MAX_ANSWER = 64 << 20
_DELAYS = (0.2, 1.0)
"""Seconds before each further try: a service that is restarted, or another that takes over, is there by then."""
_PAGE = 500
_OK, _REDIRECT, _CLIENT_ERROR, _SERVER_ERROR = 200, 300, 400, 500
T = TypeVar("T")


class Connection:
    """Speaks ``/api/v1``; implements ``ports.Registrar``. Errors of the service are raised as their own class.

    Attributes:
        token: also opens the embedded registry.

    """

    def __init__(self, url: str, token: str) -> None:
        self.token = token
        self._url = url.rstrip("/") + "/api/v1"
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str, query: Mapping[str, object] | None = None) -> Any:  # noqa: ANN401 - any JSON value
        """Return the answer to a GET; parameters that are ``None`` are not sent.

        Raises:
            UmsError: what the service said, or that it does not answer.

        """
        given = {key: _text(value) for key, value in (query or {}).items() if value is not None}
        return self._send("GET", path, params=given)

    def post(self, path: str, body: Mapping[str, object]) -> Any:  # noqa: ANN401 - any JSON value
        """Return the answer to a POST; members that are ``None`` are not sent.

        Raises:
            UmsError: what the service said, or that it does not answer.

        """
        given = {key: value for key, value in body.items() if value is not None}
        # An answer that is lost leaves open whether the change was made: with a key, asking again tells.
        return self._send("POST", path, json=given, headers={"Idempotency-Key": uuid.uuid4().hex})

    def report(self, pdp: PDPName, said: Mapping[str, object], *, key: str) -> bool:
        """Tell what was seen in the cluster of a data plane, signed with its event key; return whether it was news.

        Raises:
            UmsError: what the service said, or that it does not answer.

        """
        content = json.dumps(said).encode()
        signature = "sha256=" + hmac.new(key.encode(), content, hashlib.sha256).hexdigest()
        headers = {"X-Signature": signature, "Content-Type": "application/json", "Authorization": None}
        answer = self._send("POST", path("/pdps/{org}/{pdp}/report", pdp.org, pdp.pdp), data=content, headers=headers)
        return bool(answer["recorded"])

    def register(self, name: ReleaseName, digest: Digest, *, override_floors: str = "") -> None:
        """Tell the service of a release."""
        reason = {"overrideFloors": override_floors} if override_floors else {}
        self.post("/releases", {"release": str(name), "digest": str(digest), **reason})

    def follow(self, after: str = "") -> Iterator[tuple[str, Any]]:
        """Yield what the stream tells, as it does: ``status``, ``happened`` or ``problem``, and the data.

        Goes on where it was broken off, until the caller has enough.

        Args:
            after: the commit to begin at; the newest unless given.

        Raises:
            UmsError: what the service said, or that it no longer answers.

        """
        while True:
            for name, data in self._stream(after):
                if name == "id":
                    after = data
                else:
                    yield name, strict_json.loads(data.encode(), limit=_MAX_ANSWER, go=False)
            time.sleep(_DELAYS[-1])

    def _stream(self, after: str) -> Iterator[tuple[str, str]]:
        response = self._retrying(self._open, "GET", "/stream", params={"after": after})
        with response:
            if response.status_code != _OK:
                self._read(response, self._bounded(response))
            event = ""
            try:
                for line in response.iter_lines(decode_unicode=True):
                    field, _, value = line.partition(": ")
                    if field == "event":
                        event = value
                    elif field in {"id", "data"}:
                        yield event if field == "data" else field, value
            except requests.RequestException:
                return  # asked for again

    def _send(self, method: str, path: str, **kwargs: Any) -> Any:  # noqa: ANN401 - any JSON value
        return self._retrying(self._try, method, path, **kwargs)

    def _retrying(self, ask: Callable[..., T], method: str, path: str, **kwargs: Any) -> T:  # noqa: ANN401 - requests'
        for delay in _DELAYS:
            try:
                return ask(method, path, **kwargs)
            except (UnavailableError, InProgressError) as error:
                if not isinstance(error, InProgressError) and not isinstance(error.__cause__, requests.ConnectionError):
                    raise
                time.sleep(delay)
        return ask(method, path, **kwargs)

    def _try(self, method: str, path: str, **kwargs: Any) -> Any:  # noqa: ANN401 - any JSON value
        with self._open(method, path, **kwargs) as response:
            return self._read(response, self._bounded(response))

    def _open(self, method: str, path: str, **kwargs: Any) -> requests.Response:  # noqa: ANN401 - requests'
        with self._reached():
            return self._session.request(
                method, self._url + path, timeout=_TIMEOUT, allow_redirects=False, stream=True, **kwargs
            )

    def _bounded(self, response: requests.Response) -> bytes:
        """Return the body, or its beginning when it is too long."""
        content = bytearray()
        with self._reached():
            for chunk in response.iter_content(1 << 16):
                content += chunk
                if len(content) > _MAX_ANSWER:
                    break
        return bytes(content)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except (requests.RequestException, OSError) as error:
            raise UnavailableError(
                f"{self._url} does not answer: {error}", hint="is ums serve running, and UMS_SERVER right?"
            ) from error

    def _read(self, response: requests.Response, content: bytes) -> Any:  # noqa: ANN401 - any JSON value
        try:
            data = strict_json.loads(content, limit=_MAX_ANSWER, go=False)
        except StrictJSONError as error:
            raise UnavailableError(
                f"{self._url} answered {response.status_code} with something that is not JSON: {error}",
                hint="is UMS_SERVER the address of a UMS service?",
            ) from error
        if response.status_code < _REDIRECT:
            return data
        raise _error(response.status_code, data)


def path(template: str, *names: str) -> str:
    """Return a path with names in the places of its parameters."""
    parts = iter(names)
    return re.sub(r"{\w+}", lambda _: quote(next(parts), safe=""), template)


def items_of(operation: Callable[..., Any], **query: object) -> Iterator[Any]:
    """Yield what a list has, page by page: ``items_of(client.get_planes, channel="stable")``.

    Raises:
        UmsError: as the operation does, while it goes on.

    """
    cursor: str | None = ""
    while cursor is not None:
        answer = operation(**query, limit=_PAGE, **({"cursor": cursor} if cursor else {}))
        yield from answer["items"]
        cursor = cast("str | None", answer["next"])


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _error(status: int, data: Any) -> UmsError:  # noqa: ANN401 - any JSON value
    problem = data if isinstance(data, dict) else {}
    title, hint = str(problem.get("title", f"the service answered {status}")), str(problem.get("hint", ""))
    kind = error_of(str(problem.get("type", "")).rpartition(":")[2])
    if kind is RefusedError:
        return RefusedError(title, _reasons(problem.get("blockedBy")), hint=hint)
    if kind is None:
        kind = UmsError if _CLIENT_ERROR <= status < _SERVER_ERROR else UnavailableError
    return kind(title, hint=hint)


def _reasons(data: Any) -> tuple[Reason, ...]:  # noqa: ANN401 - any JSON value
    try:
        return tuple(
            Reason(each["code"], each["message"], each.get("until"), each.get("who_can_override")) for each in data
        )
    except (KeyError, TypeError, AttributeError):
        return ()  # the title stands for them
