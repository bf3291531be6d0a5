"""A process of the service: gunicorn with one worker of many threads, and the scheduler beside them.

Nothing is opened before the fork: the application, its database and its scheduler are made in the worker.
"""

from __future__ import annotations

import socket
import ssl
import struct
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from threading import BoundedSemaphore, Event
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.http.body import Body, LengthReader
from gunicorn.http.errors import ParseException
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader
from gunicorn.http.wsgi import create
from gunicorn.util import close, close_graceful, write_error
from gunicorn.workers.gthread import ThreadWorker

from ums.adapters.structured_logs import start_logging
from ums.bootstrap import GIT_PREFIX, WSGI, collect_daily, make_leadership, make_services, make_wsgi
from ums.config import Settings
from ums.edge.registry_messages import CHUNK
from ums.scheduler.jobs import start_scheduler
from ums.waiting import at_once
from ums.web.requests import MAX_BODY_BYTES

_SILENCE_SECONDS = 5
_POLL, _MAX_POLL = f"GET {GIT_PREFIX}/".encode(), 8192
"""How a request begins that may be answered at once, and the size that such a one does not reach."""
_READERS = 256
"""Threads that wait for what clients send, beside those that answer; each may hold a body of the API."""
_LINGER_SECONDS = 1.0
_LINGERERS, _LINGER_PLACES = 8, 64
"""Threads that close connections, and how many connections may wait for that; of more the end is abrupt."""


class ServerLog(Logger):  # type: ignore[misc]  # gunicorn has no types
    """Gunicorn's own messages, by the handler of the process; requests are told by the application."""

    def setup(self, cfg: object) -> None:
        """Hand everything to the root logger."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True

    def exception(self, msg: str, *args: object, **kwargs: object) -> None:
        """Tell of an error, unless a client fell silent: that is no fault here, and anybody may cause it often."""
        if isinstance(sys.exc_info()[1], BlockingIOError):
            self.debug("a client fell silent amid a request")
        else:
            super().exception(msg, *args, **kwargs)


class _Body(Body):  # type: ignore[misc]  # gunicorn has no types
    """The body of a request: it knows whether all of it came, and has one kind of error, that of a lost connection."""

    def _read_reader(self, size: int) -> bytes:
        try:
            return bytes(super()._read_reader(size))
        except (ParseException, OSError) as error:
            raise ConnectionAbortedError(str(error)) from error

    @property
    def is_over(self) -> bool:
        """Return whether the next byte of the connection belongs to the next request."""
        if self.failed:
            return False
        return self.reader.length == 0 if isinstance(self.reader, LengthReader) else self.reader.parser is None

    def read_in(self, limit: int) -> None:
        """Wait for the body, or for the beginning of one in chunks; one announced as larger is left where it is."""
        if isinstance(self.reader, LengthReader) and self.reader.length > limit:
            return
        content = self.read(limit + 1)
        rest = self.buf.getvalue()
        self.buf.seek(0)
        self.buf.write(content + rest)


class _Joining:
    """A socket that sends the head of an answer together with the first of its body: half as many packets for a poll.

    Whatever else is asked of it, what it holds is sent first.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._held = b""

    def sendall(self, data: bytes) -> None:
        """Send bytes, or hold them if they are a head."""
        if not self._held and data.startswith(b"HTTP/1."):
            self._held = data
            return
        held, self._held = self._held, b""
        self._sock.sendall(held + data)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a socket has
        """Return what the socket has."""
        if self._held:
            self.sendall(b"")
        return getattr(self._sock, name)


class _Gathered:
    """In the place of a socket: it keeps what is to be sent."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.sendall = self.parts.append


@contextmanager
def _together(conn: Any) -> Iterator[None]:  # noqa: ANN401 - gunicorn's connection
    sock, conn.sock = conn.sock, _Joining(conn.sock)
    try:
        yield
    finally:
        joining, conn.sock = conn.sock, sock
        joining.fileno()  # an answer without a body is sent now


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Lets nobody wait for who is slow.

    Requests are read by threads of which there are many, and answered by ``--threads`` at a time: else a few clients
    that send half of one keep everybody out. Who falls silent amid a request is hung up on. Polls, of which there are
    more than of all else, are answered by the loop itself, unless that would have to wait for something (ADR 0023).
    """

    def init_process(self) -> None:
        """Begin, with threads for closing connections: gunicorn's own way lets nobody in while it lingers on one."""
        self._answering = BoundedSemaphore(self.cfg.threads)
        self._lingering = ThreadPoolExecutor(_LINGERERS, thread_name_prefix="close")
        self._places = BoundedSemaphore(_LINGER_PLACES)
        super().init_process()

    def get_thread_pool(self) -> ThreadPoolExecutor:
        """Return the threads that read; a thread is made when it is needed."""
        return ThreadPoolExecutor(self.cfg.threads + _READERS, thread_name_prefix="request")

    def handle_request(self, req: Any, conn: Any) -> bool:  # noqa: ANN401 - gunicorn's
        """Read a request, then answer it; return whether the connection goes on."""
        req.body = body = _Body(req.body.reader)
        # As much as is asked for: gunicorn copies what it read ahead, all of it, each time some of it is taken.
        req.unreader.max_body_chunk = CHUNK
        asked = req.should_close
        # Asked when the answer begins: what would be left of a body must not be taken for the next request.
        req.should_close = lambda: asked() or not body.is_over
        try:
            if req._expected_100_continue:  # noqa: SLF001 - gunicorn says so later, when we have waited already
                conn.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                req._expected_100_continue = False  # noqa: SLF001 - said
            body.read_in(MAX_BODY_BYTES)
        except ConnectionError:
            write_error(conn.sock, 400, "Bad Request", "the body did not come whole")
            return False
        with self._answering, _together(conn):
            return bool(super().handle_request(req, conn))

    def on_client_socket_readable(self, conn: Any, client: Any) -> None:  # noqa: ANN401 - gunicorn's
        """Answer what comes on a connection that was kept: a poll here, and whatever else by a thread."""
        try:
            asked = client.recv(_MAX_POLL)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except OSError:
            asked = b""
        answer = self._answer_at_once(asked, conn)
        if answer is None:
            conn.parser.unreader.unread(asked)
            super().on_client_socket_readable(conn, client)
            return
        self.keepalived_conns.remove(conn)
        try:
            is_sent = client.send(answer) == len(answer)
        except OSError:
            is_sent = False
        if is_sent:
            conn.set_timeout()
            self.keepalived_conns.append(conn)
        else:
            # It asks, and does not take what it asked for.
            self.poller.unregister(client)
            self.nr_conns -= 1
            conn.close()

    def _answer_at_once(self, asked: bytes, conn: Any) -> bytes | None:  # noqa: ANN401 - gunicorn's connection
        """Return the answer to one whole poll, after which the connection goes on; ``None``: let a thread see to it."""
        is_whole = asked.find(b"\r\n\r\n") == len(asked) - 4 and len(asked) < _MAX_POLL
        if not self.alive or not is_whole or not asked.startswith(_POLL):
            return None
        gathered = _Gathered()
        try:
            # By a parser of its own: whoever answers instead begins with the first byte.
            request = Request(self.cfg, IterUnreader([asked]), conn.client, conn.parser.req_count + 1)
            has_body = request._expected_100_continue or not _Body(request.body.reader).is_over  # noqa: SLF001
            if has_body or request.should_close() or request.version < (1, 1):
                return None
            response, environ = create(request, gathered, conn.client, conn.server, self.cfg)
            with at_once(), ExitStack() as ending:
                parts = self.wsgi(environ, response.start_response)
                ending.callback(getattr(parts, "close", lambda: None))
                for part in parts:
                    response.write(part)
                response.close()
        except Exception:  # noqa: BLE001 - it would wait, or fails, and then a thread finds so too, and tells
            return None
        return b"".join(gathered.parts)

    def enqueue_req(self, conn: Any) -> None:  # noqa: ANN401 - gunicorn's connection
        """Hand a connection to a thread."""
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", _SILENCE_SECONDS, 0))
        conn.close = partial(self._close, conn)
        super().enqueue_req(conn)

    def _close(self, conn: Any, *, graceful: bool = False) -> None:  # noqa: ANN401 - gunicorn's connection
        """Close a connection; where the client may still read, linger for a moment, but not in the main thread."""
        if not graceful or not self._places.acquire(blocking=False):
            close(conn.sock)
            return
        with suppress(OSError):
            conn.sock.settimeout(None)
        closed = self._lingering.submit(close_graceful, conn.sock, _LINGER_SECONDS)
        closed.add_done_callback(lambda _: self._places.release())


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    def __init__(self, settings: Settings, threads: int) -> None:
        self._settings = settings
        self._threads = threads
        super().__init__()

    def load_config(self) -> None:
        for name, value in {
            "bind": self._settings.listen,
            "workers": 1,
            "worker_class": Worker,
            "threads": self._threads,
            "logger_class": ServerLog,
            "accesslog": None,
            "timeout": 120,
            "graceful_timeout": 10,
            "keepalive": 15,
            "control_socket_disable": True,
            # What proxies say is read by the application, which knows how many there are.
            "forwarded_allow_ips": "",
            "certfile": str(self._settings.tls_cert_file) if self._settings.tls_cert_file else None,
            "keyfile": str(self._settings.tls_key_file) if self._settings.tls_key_file else None,
        }.items():
            # A setting that this gunicorn does not have is not needed there.
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> WSGI:
        due = Event()
        services = make_services(self._settings, due.set)
        start_scheduler(
            services,
            make_leadership(self._settings),
            due,
            reconcile_every=self._settings.reconcile_every,
            daily={"registry-gc": partial(collect_daily, self._settings, services)},
        )
        return make_wsgi(self._settings, services)


def run(settings: Settings, *, threads: int) -> None:
    """Serve until stopped."""
    start_logging(settings.log_format, sys.stderr)
    _Server(settings, threads).run()
