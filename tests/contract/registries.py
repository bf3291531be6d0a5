"""Registries to run the contract against: started on free ports of the loopback, gone at the end."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from wsgiref.types import WSGIApplication

import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.doubles.memory_registry import MemoryRegistry
from ums.adapters.oras_registry import OrasRegistry
from ums.domain.oci import Repository
from ums.edge.registry import EmbeddedRegistry
from ums.ports import Registry

_START_DEADLINE = 30.0


@dataclass(frozen=True, slots=True)
class Place:
    """A registry under test, and where it may be written to."""

    registry: Registry
    address: str

    def repository(self, name: str) -> Repository:
        """Return a repository for one test alone."""
        return Repository(self.address, f"contract/{name}")


@contextlib.contextmanager
def memory(_folder: Path) -> Iterator[Place]:
    """Give a registry in memory."""
    yield Place(MemoryRegistry(), "memory.test")


@contextlib.contextmanager
def memory_without_api(_folder: Path) -> Iterator[Place]:
    """Give a registry in memory without the referrers API."""
    yield Place(MemoryRegistry(referrers_api=False), "memory.test")


@contextlib.contextmanager
def embedded(folder: Path) -> Iterator[Place]:
    """Serve our own registry."""
    application = EmbeddedRegistry(
        folder,
        authorize=lambda _header, _access, _name: None,
        has_fixed_tags=lambda _name: False,
        released=frozenset,
    )
    with serve(application) as address, client() as registry:
        yield Place(registry, address)


@contextlib.contextmanager
def distribution(folder: Path) -> Iterator[Place]:
    """Run the reference registry, which has no referrers API."""
    binary = _find_binary("registry", "docker-registry")
    address = f"127.0.0.1:{_free_port()}"
    config = folder / "config.yml"
    storage = {"filesystem": {"rootdirectory": str(folder / "data")}}
    config.write_text(json.dumps({"version": "0.1", "storage": storage, "http": {"addr": address}}))
    with _run([binary, "serve", str(config)], address, {"OTEL_TRACES_EXPORTER": "none"}), client() as registry:
        yield Place(registry, address)


@contextlib.contextmanager
def crane(folder: Path) -> Iterator[Place]:
    """Run crane's registry, which has the referrers API."""
    binary = _find_binary("crane")
    address = f"127.0.0.1:{_free_port()}"
    with (
        _run([binary, "registry", "serve", "--address", address, "--disk", str(folder)], address),
        client() as registry,
    ):
        yield Place(registry, address)


REGISTRIES: dict[str, Callable[[Path], contextlib.AbstractContextManager[Place]]] = {
    "memory": memory,
    "memory-without-api": memory_without_api,
    "embedded": embedded,
    "distribution": distribution,
    "crane": crane,
}


@contextlib.contextmanager
def client(
    *,
    read_timeout: timedelta = timedelta(seconds=30),
    tries: int = 4,
    max_wait: timedelta = timedelta(milliseconds=50),
    username: str | None = None,
) -> Iterator[OrasRegistry]:
    """Give the adapter, with waits that suit tests."""
    registry = OrasRegistry(
        username=username,
        password="secret" if username else None,
        plain_http=True,
        read_timeout=read_timeout,
        tries=tries,
        max_wait=max_wait,
    )
    try:
        yield registry
    finally:
        registry.close()


class _Quiet(WSGIRequestHandler):
    """Writes no log."""

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - the signature is werkzeug's
        """Say nothing."""


@contextlib.contextmanager
def serve(application: WSGIApplication) -> Iterator[str]:
    """Serve a WSGI application in a thread and give its address."""
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _TolerantServer(ThreadingHTTPServer):
    """Takes it that clients hang up on a liar."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Report what is not a closed connection."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type] # typeshed wants a socket


@dataclass(slots=True)
class Asked:
    """What a hostile registry was asked."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass(slots=True)
class HostileRegistry:
    """An HTTP server that answers as a test tells it, and remembers what it was asked.

    Attributes:
        answer: called for each request, with the handler to write to.
        bodies: the body of each request.
        sent: bytes that an answer has poured out, where it counts them.

    """

    address: str = ""
    answer: Callable[[BaseHTTPRequestHandler, int], None] = lambda _handler, _number: None
    asked: list[Asked] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    sent: int = 0
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def repository(self) -> Repository:
        """Return a repository of this registry."""
        return Repository(self.address, "hostile/repository")

    @contextlib.contextmanager
    def running(self, tls: ssl.SSLContext | None = None) -> Iterator[HostileRegistry]:
        """Serve until the end of the block, with TLS if told so."""
        hostile = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature is given
                """Say nothing."""

            def _serve(self) -> None:
                hostile.bodies.append(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
                hostile.asked.append(Asked(self.command, self.path, dict(self.headers)))
                with contextlib.suppress(ConnectionError):
                    hostile.answer(self, len(hostile.asked))

            do_GET = do_HEAD = do_POST = do_PUT = _serve  # noqa: N815 - names are given

        server = _TolerantServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.address = f"127.0.0.1:{server.server_address[1]}"
        try:
            yield self
        finally:
            self.closing.set()
            server.shutdown()
            thread.join()
            server.server_close()


def reply(
    handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", *, length: int | None = None, **headers: str
) -> None:
    """Write a whole answer; ``_`` in header names stands for ``-``."""
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)


def _find_binary(*names: str) -> str:
    cache = Path(os.environ.get("UMS_E2E_CACHE") or Path.home() / ".cache" / "ums-e2e") / "bin"
    for name in names:
        if (cache / name).is_file():
            return str(cache / name)
        # On PATH, "registry" alone may be anything.
        if name != "registry" and (found := shutil.which(name)):
            return found
    pytest.skip(f"{' or '.join(names)} is not installed: see tests/e2e/tools")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def _run(command: list[str], address: str, environment: dict[str, str] | None = None) -> Iterator[None]:
    """Run a server until the end of the block; enter when it answers."""
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **(environment or {})}
    ) as process:
        try:
            _wait_for(address, process)
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_DEADLINE
    while True:
        try:
            with urllib.request.urlopen(f"http://{address}/v2/", timeout=5):
                return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{process.args!r} did not start")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.05)
