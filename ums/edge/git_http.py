"""One bare repository over Git smart HTTP, read-only: ``git http-backend`` behind plain WSGI.

Good enough for one shared repository; views per data plane will not need a process a request.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

_TIMEOUT_SECONDS = 120
_MAX_REQUEST = 4 << 20
_CHUNK = 64 << 10
_ROUTES = {("GET", "/info/refs"), ("POST", "/git-upload-pack")}

StartResponse = Callable[[str, list[tuple[str, str]]], object]


class GitHTTP:
    """A WSGI application; ``authorize`` gets the Authorization header and says whether its sender may read."""

    def __init__(self, repository: Path, *, authorize: Callable[[str | None], bool]) -> None:
        self._repository = repository.resolve()
        self._authorize = authorize
        self._git = shutil.which("git") or "git"

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        if not self._authorize(environ.get("HTTP_AUTHORIZATION")):
            challenge = [("WWW-Authenticate", 'Basic realm="ums"')]
            return _refuse(start_response, "401 Unauthorized", "the credential of a data plane is needed", challenge)
        method, path, query = environ["REQUEST_METHOD"], environ.get("PATH_INFO", ""), environ.get("QUERY_STRING", "")
        if (method, path) not in _ROUTES or (method == "GET" and query != "service=git-upload-pack"):
            return _refuse(start_response, "403 Forbidden", "this repository is read-only")
        length = environ.get("CONTENT_LENGTH") or "0"
        if not length.isdecimal() or int(length) > _MAX_REQUEST:
            return _refuse(start_response, "413 Content Too Large", f"a request has at most {_MAX_REQUEST} bytes")
        body = environ["wsgi.input"].read(int(length)) if method == "POST" else b""
        return self._backend(environ, body, start_response)

    def _backend(self, environ: dict[str, Any], body: bytes, start_response: StartResponse) -> Iterable[bytes]:
        env = {
            "PATH": os.pathsep.join([str(Path(self._git).parent), os.defpath]),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_PROJECT_ROOT": str(self._repository),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": environ["REQUEST_METHOD"],
            "PATH_INFO": environ.get("PATH_INFO", ""),
            "QUERY_STRING": environ.get("QUERY_STRING", ""),
            "CONTENT_TYPE": environ.get("CONTENT_TYPE", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": environ.get("HTTP_CONTENT_ENCODING", ""),
            "GIT_PROTOCOL": environ.get("HTTP_GIT_PROTOCOL", ""),
            # The folder may belong to another user than the one that serves it.
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": str(self._repository),
        }
        process = subprocess.Popen(  # noqa: S603 - two words of ours
            [self._git, "http-backend"],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdin is not None  # noqa: S101 - PIPE was asked for
        assert process.stdout is not None  # noqa: S101 - PIPE was asked for
        try:
            process.stdin.write(body)
            process.stdin.close()
        except BrokenPipeError:
            pass
        status, headers = "200 OK", []
        while (line := process.stdout.readline(4096)) not in {b"\r\n", b"\n", b""}:
            name, _, value = line.decode("latin-1").strip().partition(": ")
            if name.lower() == "status":
                status = value
            else:
                headers.append((name, value))
        start_response(status, headers)
        return _Stream(process)


class _Stream:
    """The rest of a process's output; closing it ends the process."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def __iter__(self) -> Iterator[bytes]:
        assert self._process.stdout is not None  # noqa: S101 - PIPE was asked for
        while chunk := self._process.stdout.read1(_CHUNK):  # type: ignore[attr-defined]
            yield chunk

    def close(self) -> None:
        """End the process."""
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process.terminate()
        try:
            self._process.wait(_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()


def _refuse(
    start_response: StartResponse, status: str, message: str, headers: list[tuple[str, str]] | None = None
) -> Iterable[bytes]:
    start_response(status, [("Content-Type", "text/plain; charset=utf-8"), *(headers or [])])
    return [message.encode() + b"\n"]
