"""One bare repository over Git smart HTTP, read-only: ``git http-backend`` behind plain WSGI.

Only the branches ``main`` and ``delivery`` are shown, whatever else people push. Views of data planes need no process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from ums.adapters._git import Git
from ums.adapters._git_folder import read_ref
from ums.domain import layout
from ums.domain.errors import UnavailableError
from ums.edge.registry import Challenge

_TIMEOUT_SECONDS = 120
_MAX_PROCESSES = 64
_MAX_REQUEST = 4 << 20
_MAX_DIGITS = 20
_CHUNK = 64 << 10
_MAX_HEADER = 4096
_SHOWN = (layout.MAIN, layout.DELIVERY)
_ROUTES = {("GET", "/info/refs"), ("POST", "/git-upload-pack")}

StartResponse = Callable[[str, list[tuple[str, str]]], object]


class GitHTTP:
    """A WSGI application; ``authorize`` gets the Authorization header and says what speaks against reading."""

    def __init__(
        self,
        repository: Path,
        *,
        authorize: Callable[[str | None], Challenge | None],
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> None:
        self._repository = repository
        self._git = Git(repository)
        self._authorize = authorize
        self._timeout_seconds = timeout_seconds
        self._running: dict[_Answer, None] = {}

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        match self._authorize(environ.get("HTTP_AUTHORIZATION")):
            case Challenge.UNAUTHENTICATED:
                challenge = [("WWW-Authenticate", 'Basic realm="ums"')]
                return _refuse(start_response, "401 Unauthorized", "log in with a token", challenge)
            case Challenge.FORBIDDEN:
                return _refuse(start_response, "403 Forbidden", "this credential does not open the release repo")
        try:
            return self._answer(environ, start_response)
        except UnavailableError as error:
            return _refuse(start_response, "503 Service Unavailable", error.message)

    def _answer(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        method, path, query = environ["REQUEST_METHOD"], environ.get("PATH_INFO", ""), environ.get("QUERY_STRING", "")
        if (method, path) not in _ROUTES or (method == "GET" and query != "service=git-upload-pack"):
            return _refuse(start_response, "403 Forbidden", "this repository is read-only")
        try:
            body = read_body(environ, _MAX_REQUEST)
        except BodyError as error:
            return _refuse(start_response, "400 Bad Request", str(error))
        if body is None:
            return _refuse(start_response, "413 Content Too Large", f"a request has at most {_MAX_REQUEST} bytes")
        for branch in _SHOWN:
            read_ref(self._repository, f"refs/heads/{branch}")  # where one is damaged, Git shows the others
        return self._backend(environ, body, start_response)

    def _backend(self, environ: dict[str, Any], body: bytes, start_response: StartResponse) -> Iterable[bytes]:
        # From a file, so that nobody waits for the other: Git may answer before it has read all that was asked.
        with tempfile.TemporaryFile() as asked:
            asked.write(body)
            asked.seek(0)
            process = self._git.serve(
                asked,
                REQUEST_METHOD=environ["REQUEST_METHOD"],
                PATH_INFO=environ.get("PATH_INFO", ""),
                QUERY_STRING=environ.get("QUERY_STRING", ""),
                CONTENT_TYPE=environ.get("CONTENT_TYPE", ""),
                CONTENT_LENGTH=str(len(body)),
                GIT_PROTOCOL=environ.get("HTTP_GIT_PROTOCOL", ""),
            )
        answer = _Answer(process, self._timeout_seconds, self._running)
        status, headers = "200 OK", []
        for name, value in answer.read_headers():
            if name.lower() == "status":
                status = value
            else:
                headers.append((name, value))
        if not headers:
            answer.close()
            return _refuse(start_response, "503 Service Unavailable", "git gave no answer; try again")
        start_response(status, headers)
        return answer


class _Answer:
    """A process's output, a CGI answer. Closing it ends the process, and so does the time it may take.

    The process leads a group: what it started holds its output open, and ends with it.
    """

    def __init__(self, process: subprocess.Popen[bytes], timeout_seconds: float, running: dict[_Answer, None]) -> None:
        assert process.stdout is not None  # noqa: S101 - PIPE was asked for
        # A client that is slow to read keeps its process: where there are many, the oldest gives way.
        for oldest in list(running)[: max(0, len(running) - _MAX_PROCESSES + 1)]:
            oldest.kill()
        running[self] = None
        self._running = running
        self._lock, self._is_over = threading.Lock(), False
        self._process = process
        self._output = process.stdout
        self._deadline = threading.Timer(timeout_seconds, self.kill)
        self._deadline.daemon = True
        self._deadline.start()

    def read_headers(self) -> Iterator[tuple[str, str]]:
        """Give each header, up to the empty line."""
        while (line := self._output.readline(_MAX_HEADER)).strip():
            name, _, value = line.decode("latin-1").strip().partition(": ")
            yield name, value

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self._output.read1(_CHUNK):  # type: ignore[attr-defined]
            yield chunk

    def close(self) -> None:
        """End the process."""
        self._running.pop(self, None)
        self._deadline.cancel()
        self._output.close()
        self.kill()
        with self._lock:
            self._is_over = True  # once waited for, the group's number may be another's
        self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()

    def kill(self) -> None:
        """End the process, whose answer ends there."""
        with self._lock, contextlib.suppress(ProcessLookupError):
            if not self._is_over:
                os.killpg(self._process.pid, signal.SIGKILL)


class BodyError(Exception):
    """A body did not come whole, or is not packed as it says. Never leaves ``ums.edge``."""


def read_body(environ: dict[str, Any], limit: int) -> bytes | None:
    """Return what a client sent, unpacked, or ``None`` if that is, or was, more than ``limit`` bytes.

    It is never left to Git to unpack it: a thousand times as much may come out, and Git keeps all of it.

    Raises:
        BodyError: there is less than was said, or something else.

    """
    try:
        body = _read(environ, limit)
    except ConnectionError as error:
        raise BodyError("the body did not come whole") from error
    if body is None or environ.get("HTTP_CONTENT_ENCODING", "") not in {"gzip", "x-gzip"}:
        return body
    unpacking = zlib.decompressobj(wbits=31)
    try:
        body = unpacking.decompress(body, limit + 1)
    except zlib.error as error:
        raise BodyError("the body is not compressed as it says") from error
    if len(body) > limit:
        return None
    if not unpacking.eof:
        raise BodyError("the body did not come whole")
    return body


def _read(environ: dict[str, Any], limit: int) -> bytes | None:
    announced = environ.get("CONTENT_LENGTH") or ""
    if not announced and environ.get("wsgi.input_terminated", False):
        # What is large, Git sends in chunks; the server says where they end.
        body: bytes = environ["wsgi.input"].read(limit + 1)
        return body if len(body) <= limit else None
    # More digits than this are refused by ``int`` itself.
    is_number = announced.isdecimal() and len(announced) <= _MAX_DIGITS
    length = int(announced) if is_number else limit + 1 if announced else 0
    return environ["wsgi.input"].read(length) if length <= limit else None


def _refuse(
    start_response: StartResponse, status: str, message: str, headers: list[tuple[str, str]] | None = None
) -> Iterable[bytes]:
    start_response(status, [("Content-Type", "text/plain; charset=utf-8"), *(headers or [])])
    return [message.encode() + b"\n"]
