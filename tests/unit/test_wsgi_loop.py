"""What the loop of a worker answers itself, on connections that were kept, and what it leaves to threads."""

from __future__ import annotations

import logging
import os
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from gunicorn.config import Config

from tests.processes import eventually
from tests.unit.test_config import make_certificate
from ums.waiting import will_wait
from ums.wsgi import ServerLog, Worker

POLL = b"GET /git/a/b/info/refs?service=git-upload-pack HTTP/1.1\r\nHost: x\r\n\r\n"
LARGE = 64 << 20


class App:
    """Answers ``/git/``; ``wait`` and ``fail`` in a query do so first. Tells which threads answered what."""

    def __init__(self) -> None:
        self.answered: list[tuple[str, str]] = []

    def wsgi(self) -> Callable[..., Iterable[bytes]]:
        """Return itself, as gunicorn asks."""
        return self

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer."""
        query = environ["QUERY_STRING"].removeprefix("service=")
        if query == "wait":
            will_wait()
        if query == "fail":
            will_wait()
            raise ValueError("unforeseen")
        size = {"large": LARGE, "middle": 8 << 20}.get(query, 0)
        body = b"x" * size if size else environ["wsgi.input"].read() or b"heads"
        by = "thread" if threading.current_thread().name.startswith("request") else "loop"
        self.answered.append((by, environ["REQUEST_METHOD"]))
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]


class Here(Worker):
    """A worker in this process, whose signals are not for it."""

    def init_signals(self) -> None:
        """Leave them as they are."""


class Served:
    """A worker that serves, and a client that keeps its connection; its first request was answered by a thread."""

    def __init__(self, folder: Path | None = None, kind: type[Worker] = Here) -> None:
        config = Config()
        config.set("keepalive", 15)
        config.set("threads", 2)
        if folder is not None:
            make_certificate(folder)
            config.set("certfile", str(folder / "tls.crt"))
            config.set("keyfile", str(folder / "tls.key"))
        listener = socket.create_server(("127.0.0.1", 0), backlog=1000)
        self.address: tuple[str, int] = listener.getsockname()
        self.app = App()
        self.worker = kind(1, os.getppid(), [listener], self.app, 30, config, ServerLog(config))
        self._loop = threading.Thread(target=self.worker.init_process, daemon=True)
        self._loop.start()
        self.client: socket.socket = socket.create_connection(self.address, timeout=10)
        if folder is not None:
            trusting = ssl.create_default_context(cafile=folder / "tls.crt")
            self.client = trusting.wrap_socket(self.client, server_hostname="localhost")
        self.keep()

    def keep(self) -> None:
        """Ask once, so that the connection is one that was kept, and forget who answered."""
        self.ask(POLL)
        eventually(lambda: self.worker.keepalived_conns, timeout=5, what="the connection is kept")
        self.app.answered.clear()

    def ask(self, sent: bytes, answers: int = 1) -> list[str]:
        """Send bytes, and return the status of each answer; ``answers`` have five bytes or more."""
        self.client.sendall(sent)
        said = b""
        while said.count(b"\r\n\r\n") < answers or len(said) < said.rindex(b"\r\n\r\n") + 4:
            part = self.client.recv(65536)
            said += part
            if not part:
                break
        return [status.decode() for status in re.findall(rb"HTTP/1\.[01] (\d{3}) [A-Z][\w ]+\r\n", said)]

    def stop(self) -> None:
        """End it."""
        self.client.close()
        self.worker.handle_exit(0, None)
        self._loop.join(10)
        assert not self._loop.is_alive()
        self.worker.tmp.close()


@pytest.fixture
def served(caplog: pytest.LogCaptureFixture) -> Iterator[Served]:
    """Give a worker and a connection."""
    caplog.set_level(logging.CRITICAL)
    made = Served()
    yield made
    made.stop()


def test_a_poll_is_answered_by_the_loop(served: Served) -> None:
    """One after the other, and the connection goes on."""
    for _ in range(3):
        assert served.ask(POLL) == ["200"]
    assert served.app.answered == [("loop", "GET")] * 3


def test_over_tls_as_well(tmp_path: Path) -> None:
    """What is read and written there need not be what the socket is ready for."""
    served = Served(tmp_path)
    try:
        for _ in range(3):
            assert served.ask(POLL) == ["200"]
        assert served.app.answered == [("loop", "GET")] * 3
    finally:
        served.stop()


@pytest.mark.parametrize(
    "request_",
    [
        POLL.replace(b"git-upload-pack", b"wait"),
        POLL.replace(b"/git/", b"/v2/"),
        POLL.replace(b"GET", b"HEAD"),
        POLL.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        POLL.replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n"),
        POLL.replace(b"\r\n\r\n", b"\r\nContent-Length: 4\r\n\r\n") + b"\r\n\r\n",
        POLL.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n") + b"0\r\n\r\n",
        POLL.replace(b"\r\n\r\n", b"\r\nX: " + b"x" * 4000 + b"\r\nY: " + b"y" * 5000 + b"\r\n\r\n"),
    ],
    ids=["would wait", "no view", "HEAD", "last", "HTTP 1.0", "body", "chunks", "large"],
)
def test_whatever_else_is_answered_by_a_thread(served: Served, request_: bytes) -> None:
    """Once."""
    assert served.ask(request_) == ["200"]
    (answered,) = served.app.answered
    assert answered[0] == "thread"


def test_a_body_that_comes_later_belongs_to_its_request(served: Served) -> None:
    """It is not the next one, though the head looks like a whole poll."""
    head = POLL.replace(b"\r\n\r\n", b"\r\nContent-Length: %d\r\n\r\n" % len(POLL))
    served.client.sendall(head)
    assert served.ask(POLL) == ["200"]
    assert served.ask(POLL) == ["200"]
    assert [by for by, _ in served.app.answered] == ["thread", "loop"]


def test_a_poll_in_pieces_is_read_by_a_thread(served: Served) -> None:
    """Whoever is slow keeps nobody waiting."""
    served.client.sendall(POLL[:20])
    assert served.ask(POLL[20:]) == ["200"]
    assert served.app.answered == [("thread", "GET")]


def test_polls_sent_together_are_each_answered(served: Served) -> None:
    """In turn."""
    assert served.ask(POLL * 3, answers=3) == ["200"] * 3
    assert [by for by, _ in served.app.answered] == ["thread"] * 3


@pytest.mark.parametrize("broken", [b"GET /git/a b c HTTP/1.1\r\n\r\n", POLL.replace(b"Host", b"Ho st")])
def test_what_cannot_be_read_is_refused_as_ever(served: Served, broken: bytes) -> None:
    """With 400, by a thread; the loop goes on."""
    assert served.ask(broken) == ["400"]


def test_what_fails_is_told_once_and_by_a_thread(served: Served) -> None:
    """The loop goes on."""
    assert served.ask(POLL.replace(b"git-upload-pack", b"fail")) == ["500"]


def test_who_does_not_take_an_answer_is_hung_up_on(served: Served) -> None:
    """The loop waits for nobody."""
    served.client.sendall(POLL.replace(b"git-upload-pack", b"large"))
    got = 0
    with closing(served.client):
        while part := served.client.recv(1 << 20):
            got += len(part)
    assert 0 < got < LARGE
    assert served.app.answered == [("loop", "GET")]
