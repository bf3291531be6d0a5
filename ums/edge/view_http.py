"""The Git remotes of data planes: each has one branch with one commit, over smart HTTP, read-only.

A poll is answered from memory, a fetch with a pack made in process: no Git process ever reads what a client sends.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from ums.domain.errors import InvalidInputError
from ums.domain.names import PDPName
from ums.edge.git_http import BodyError, StartResponse, read_body
from ums.edge.registry import Challenge
from ums.edge.upload_pack import Fetch, ProtocolError, advertise, line, parse, version_of
from ums.usecases.serve_view import ServeView

_ADDRESS = re.compile(r"/([^/]+)/([^/]+?)(?:\.git)?/(info/refs|git-upload-pack|git-receive-pack)")
_METHODS = {"info/refs": "GET", "git-upload-pack": "POST"}
_MAX_REQUEST = 1 << 20
_FRESH = [("Cache-Control", "no-cache, max-age=0, must-revalidate")]

Authorize = Callable[[str | None, PDPName, bool], Challenge | None]
"""Takes the Authorization header, whose view is asked for, and whether something is to be written."""


def is_view(path: str) -> bool:
    """Return whether a path below ``/git`` is that of a data plane's remote."""
    return _ADDRESS.fullmatch(path) is not None


class ViewHTTP:
    """A WSGI application for ``/<org>/<pdp>/info/refs`` and ``/<org>/<pdp>/git-upload-pack``."""

    def __init__(self, serve: ServeView, *, authorize: Authorize) -> None:
        self._serve = serve
        self._authorize = authorize

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request.

        Raises:
            NotFoundError: there is no such data plane.
            UnavailableError: its view cannot be served now.

        """
        try:
            status, headers, body = self._answer(environ)
        except _RefusedError as refused:
            status, headers, body = refused.answer()
        start_response(f"{status.value} {status.phrase}", headers)
        return body

    def _answer(self, environ: dict[str, Any]) -> _Answer:
        match = _ADDRESS.fullmatch(environ.get("PATH_INFO", ""))
        try:
            pdp = PDPName(match[1], match[2]) if match else None
        except InvalidInputError:
            pdp = None
        if match is None or pdp is None:
            raise _RefusedError(HTTPStatus.NOT_FOUND, "no such remote")
        method, action = environ["REQUEST_METHOD"], match[3]
        service = environ.get("QUERY_STRING", "") if action == "info/refs" else f"service={action}"
        self._check(environ, pdp, write=service == "service=git-receive-pack")
        if service != "service=git-upload-pack" or method != _METHODS[action]:
            raise _RefusedError(HTTPStatus.FORBIDDEN, "a view is read-only, and speaks Git's smart protocol alone")
        version = version_of(environ.get("HTTP_GIT_PROTOCOL", ""))
        try:
            if action == "info/refs":
                return self._advertise(pdp, version)
            return self._upload_pack(pdp, _body(environ), version)
        except ProtocolError as error:
            raise _RefusedError(HTTPStatus.BAD_REQUEST, f"no request of a Git client: {error}") from error

    def _check(self, environ: dict[str, Any], pdp: PDPName, *, write: bool) -> None:
        match self._authorize(environ.get("HTTP_AUTHORIZATION"), pdp, write):
            case Challenge.UNAUTHENTICATED:
                header = ("WWW-Authenticate", 'Basic realm="ums"')
                raise _RefusedError(HTTPStatus.UNAUTHORIZED, "the credential of this data plane is needed", header)
            case Challenge.FORBIDDEN:
                message = "a view is read-only" if write else "this credential does not open this view"
                raise _RefusedError(HTTPStatus.FORBIDDEN, message)

    def _advertise(self, pdp: PDPName, version: int) -> _Answer:
        content = advertise(self._serve.head(pdp).commit_id, version)
        return _answer("advertisement", content)

    def _upload_pack(self, pdp: PDPName, body: bytes, version: int) -> _Answer:
        asked = parse(body, version)
        if not isinstance(asked, Fetch):
            return _answer("result", asked.answer(self._serve.head(pdp).commit_id))
        wants = set(asked.wants)
        if not wants:
            raise ProtocolError("nothing is wanted")
        if not asked.done:
            return _answer("result", b"".join(asked.answer(b"")))
        pack = self._serve.pack(pdp, asked.wants[0]) if len(wants) == 1 else None
        if pack is None:
            # As Git does: what a client shows to whoever runs it is a line of the protocol.
            return _answer("result", line(f"ERR upload-pack: not our ref {', '.join(sorted(wants)):.200}\n"))
        return _answer("result", b"".join(asked.answer(pack)))


_Answer = tuple[HTTPStatus, list[tuple[str, str]], Iterable[bytes]]
_TEXT = [("Content-Type", "text/plain; charset=utf-8")]


class _RefusedError(Exception):
    """Ends a request; never leaves this module."""

    def __init__(self, status: HTTPStatus, message: str, *headers: tuple[str, str]) -> None:
        super().__init__(message)
        self._status, self._message, self._headers = status, message, headers

    def answer(self) -> _Answer:
        return self._status, [*_TEXT, *self._headers], [f"{self._message}\n".encode()]


def _answer(kind: str, content: bytes) -> _Answer:
    headers = [("Content-Type", f"application/x-git-upload-pack-{kind}"), ("Content-Length", str(len(content)))]
    return HTTPStatus.OK, headers + _FRESH, [content]


def _body(environ: dict[str, Any]) -> bytes:
    """Return what a client sent, unpacked; however it is packed it has a limit."""
    try:
        body = read_body(environ, _MAX_REQUEST)
    except BodyError as error:
        raise ProtocolError(str(error)) from error
    if body is None:
        raise _RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a request has at most {_MAX_REQUEST} bytes")
    return body
