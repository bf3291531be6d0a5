"""A process of the service: gunicorn with one worker of many threads, and the scheduler beside them.

Nothing is opened before the fork: the application, its database and its scheduler are made in the worker.
"""

from __future__ import annotations

import errno
import logging
import math
import selectors
import socket
import ssl
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from contextvars import Context, copy_context
from dataclasses import replace
from enum import Enum
from functools import partial
from threading import BoundedSemaphore, Event
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.http import get_parser
from gunicorn.http.body import Body, LengthReader
from gunicorn.http.errors import ParseException
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader
from gunicorn.http.wsgi import create
from gunicorn.sock import ssl_wrap_socket
from gunicorn.util import close, close_graceful
from gunicorn.workers.gthread import TConn, ThreadWorker

from ums.adapters.structured_logs import start_logging
from ums.bootstrap import GIT_PREFIX, WSGI, collect_daily, make_leadership, make_services, make_wsgi
from ums.config import Settings
from ums.domain.errors import UmsError
from ums.domain.throttling import client_key
from ums.edge.connections import Client, FairQueue, Limits, Owners, Place, Turns, Waiting
from ums.edge.forwarded import forwarded_client
from ums.edge.registry_messages import CHUNK
from ums.scheduler.jobs import start_scheduler
from ums.waiting import at_once
from ums.web.headers import secured
from ums.web.requests import MAX_BODY_BYTES

_LOG = logging.getLogger(__name__)
_POLL, _MAX_POLL = f"GET {GIT_PREFIX}/".encode(), 8192
"""How a request begins that may be answered at once, and the size that such a one does not reach."""
_CLOSED = -1
"""The number of a socket that was closed."""
_PAUSE_SECONDS = 1.0
"""After which an application that had nothing to say is asked again."""
_LAST_SECONDS = 4.0
"""How long a service that stops lets clients take what they asked for."""
_LOOK_SECONDS = 0.25
"""How often responses that wait are looked at."""
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
        if isinstance(sys.exc_info()[1], TimeoutError):
            self.debug("a client was too slow")
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


class _Gathered:
    """In the place of a socket: it keeps what is to be sent."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.sendall = self.parts.append


class _ErrorWriter:
    """In the place of a socket, where gunicorn answers by itself: what it writes as HTML is sent as plain text."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def sendall(self, page: bytes) -> None:
        """Send the status of a page."""
        status = page.partition(b"\r\n")[0].partition(b" ")[2].decode("latin-1")
        _refuse(self._client, status, status.partition(" ")[2])

    def gettimeout(self) -> float:
        """Return 0, as a client has it."""
        return 0.0


def _refuse(client: Client, status: str, text: str) -> None:
    """Answer without the application, for the last time on this connection."""
    body = f"{text}\n".encode()
    headers = [
        ("Connection", "close"),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
    ]
    headers = secured("", headers, is_tls=isinstance(client.raw, ssl.SSLSocket))
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers), "", ""]
    client.sendall("\r\n".join(lines).encode("latin-1") + body)
    with suppress(OSError):
        client.flush()


class _State(Enum):
    """Why a response does not go on."""

    FULL = "the client has to take something first"
    PAUSED = "the application has nothing to say yet"


_Steps = Generator[_State, None, bool]
"""A response, from one pause to the next; returns whether the connection goes on."""


class Connection(TConn):  # type: ignore[misc]  # gunicorn has no types
    """A connection, and the response that is under way on it.

    Attributes:
        owner: the address that it counts for.
        asker: the client that its request counts for, where that came by a proxy.
        steps: the response under way.
        context: what the application remembers of the request, whichever thread goes on with it.
        is_abandoned: the client does not take its response, or has to give way.

    """

    sock: Client
    initialized: bool

    def __init__(self, worker: Worker, sock: socket.socket, address: Any, server: Any, owner: str) -> None:  # noqa: ANN401 - gunicorn's
        super().__init__(worker.cfg, Client(sock, worker.limits, worker.waiting), address, server)
        self.owner, self.asker = owner, ""
        self.steps: _Steps | None = None
        self.context = Context()
        self.is_abandoned = False
        self.close = partial(worker.end_connection, self)

    def init(self) -> None:
        """Agree on TLS, where there is a certificate."""
        if self.initialized:
            return
        self.initialized = True
        if self.cfg.is_ssl:
            self.sock.raw = ssl_wrap_socket(self.sock.raw, self.cfg)
            self.sock.handshake()
        self.parser = get_parser(self.cfg, self.sock, self.client)


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Serves clients whatever others do.

    A connection has a thread once the client has sent something. Requests are read by threads of which there are many,
    and answered by ``--threads`` at a time. A response that its client does not take at once, or that has nothing to
    say yet, waits without a thread. Polls, of which there are more than of all else, are answered by the loop itself,
    unless that would have to wait for something (ADR 0023).
    """

    limits = Limits()
    proxies = 0

    def init_process(self) -> None:
        """Begin, with threads for closing connections: gunicorn's own way lets nobody in while it lingers on one."""
        self._answering = Turns(self.cfg.threads)
        self._lingering = ThreadPoolExecutor(_LINGERERS, thread_name_prefix="close")
        self._places = BoundedSemaphore(_LINGER_PLACES)
        self.waiting = Waiting(self.limits.readers)
        self._owners, self._askers = Owners(self.limits.per_address), Owners(self.limits.per_address)
        self._ready: FairQueue[Connection] = FairQueue()
        """Connections with something to do, and how many of each address have a thread."""
        self._parked: dict[Connection, float] = {}
        """By when they go on, in monotonic seconds; never where the client has to take something first. Oldest first"""
        self._next_look, self._give_up = 0.0, math.inf
        # Gunicorn would stop accepting; we close another connection instead.
        self.worker_connections = sys.maxsize
        super().init_process()

    def get_thread_pool(self) -> ThreadPoolExecutor:
        """Return the threads that read; a thread is made when it is needed."""
        return ThreadPoolExecutor(self.cfg.threads + self.limits.readers, thread_name_prefix="request")

    def enqueue_req(self, conn: Connection) -> None:
        """Give a connection a thread; where there are not enough, first those of the address that has fewest."""
        self._ready.put(conn.owner, conn)
        self._hand_out()

    def _hand_out(self) -> None:
        while self._ready and self._ready.taken.total() < self.cfg.threads + self.limits.readers:
            super().enqueue_req(self._ready.pop())

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection, which gets a thread as soon as something comes."""
        try:
            sock, address = listener.accept()
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                self._make_room(self._owners.greatest())
            return
        owner = "" if self.proxies else client_key(address[0])
        if self._owners.is_full(owner) and not self._make_room(owner):
            sock.close()
            return
        if self.nr_conns >= self.limits.total:
            self._make_room(self._owners.greatest())
        self.nr_conns += 1
        self._owners.enter(owner)
        conn = Connection(self, sock, address, listener.getsockname(), owner)
        conn.set_timeout()
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def _make_room(self, owner: str) -> bool:
        """Close the oldest connection of an address that no thread is busy with: an idle one, if there is one."""
        for waiting in (self.pending_conns, self.keepalived_conns):
            for conn in waiting:
                if conn.owner == owner:
                    waiting.remove(conn)
                    self.poller.unregister(conn.sock)
                    self.nr_conns -= 1
                    conn.close()
                    return True
        parked = next((conn for conn in self._parked if conn.owner == owner), None)
        if parked is not None:
            self._abandon(parked)
        return parked is not None

    def handle(self, conn: Connection) -> bool | _State:
        """Go on with a response, or begin with the next request."""
        if conn.steps is None:
            conn.sock.begin()
            return super().handle(conn)  # type: ignore[no-any-return]
        try:
            if conn.is_abandoned:
                conn.context.run(conn.steps.close)
                return False
            return self._advance(conn)
        except OSError:
            return False
        except Exception:
            self.log.exception("a response failed")
            return False

    def handle_request(self, req: Any, conn: Connection) -> bool | _State:  # noqa: ANN401 - gunicorn's
        """Read a request, then begin to answer it."""
        req.body = body = _Body(req.body.reader)
        # As much as is asked for: gunicorn copies what it read ahead, all of it, each time some of it is taken.
        req.unreader.max_body_chunk = CHUNK
        asked = req.should_close
        # Asked when the answer begins: what would be left of a body must not be taken for the next request.
        req.should_close = lambda: asked() or not body.is_over
        if self.proxies:
            forwarded = (value for name, value in req.headers if name == "X-FORWARDED-FOR")
            asker = client_key(forwarded_client(",".join(forwarded), self.proxies) or conn.client[0])
            if self._askers.is_full(asker):
                _refuse(conn.sock, "429 Too Many Requests", "too many requests of this client are under way")
                return False
            self._askers.enter(asker)
            conn.asker = asker
        try:
            if req._expected_100_continue:  # noqa: SLF001 - gunicorn says so later, when we have waited already
                conn.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                conn.sock.flush()
                req._expected_100_continue = False  # noqa: SLF001 - said
            body.read_in(MAX_BODY_BYTES)
        except ConnectionError:
            _refuse(conn.sock, "400 Bad Request", "the body did not come whole")
            return False
        conn.steps, conn.context = self._answer(req, conn), copy_context()
        return self._advance(conn)

    def _answer(self, req: Any, conn: Connection) -> _Steps:  # noqa: ANN401 - gunicorn's
        response, environ = create(req, conn.sock, conn.client, conn.server, self.cfg)
        environ["wsgi.multithread"] = True
        if not self.alive:
            response.force_close()
        try:
            parts = self.wsgi(environ, response.start_response)
            with _ended(parts):
                for part in parts:
                    response.write(part)
                    while not conn.sock.flush():
                        yield _State.FULL
                    if not part and response.response_length is None and not response._omits_body:  # noqa: SLF001
                        # PEP 3333: with an empty string an application says that it has nothing to say yet.
                        yield _State.PAUSED
                response.close()
                while not conn.sock.flush():
                    yield _State.FULL
        except OSError:
            raise
        except Exception:
            if not response.headers_sent:
                raise
            self.log.exception("a response failed")
            return False
        return not response.should_close()

    def _advance(self, conn: Connection) -> bool | _State:
        """Go on with a response until it is through, or waits."""
        assert conn.steps is not None  # noqa: S101 - it has begun
        with Place(self._answering, conn.asker or conn.owner) as place:
            conn.sock.held = place
            try:
                return conn.context.run(next, conn.steps)
            except StopIteration as end:
                conn.steps = None
                return bool(end.value)
            except BaseException:
                conn.steps = None
                raise
            finally:
                conn.sock.held = None

    def _keepalive_after(self, conn: Connection, keepalive: bool | _State) -> bool | _State:  # noqa: ARG002, FBT001 - gunicorn's
        """Leave it as it is: where something is left of a body, the response said that the connection ends."""
        return keepalive

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:  # noqa: ANN401 - gunicorn's
        """Refuse a request that cannot be read."""
        super().handle_error(req, _ErrorWriter(client), addr, exc)

    def finish_request(self, conn: Connection, fs: Future[bool | _State]) -> None:
        """Go on with a connection when its thread is through: in the loop."""
        self._ready.done(conn.owner)
        self._hand_out()
        result = None if fs.cancelled() or fs.exception() else fs.result()
        if isinstance(result, _State):
            self._park(conn, result)
            return
        self._askers.leave(conn.asker)
        conn.asker = ""
        if result and isinstance(conn.sock.raw, ssl.SSLSocket) and (left := conn.sock.raw.pending()):
            # The poller does not know of what TLS has read already.
            conn.parser.unreader.unread(conn.sock.raw.recv(left))
        super().finish_request(conn, fs)

    def _park(self, conn: Connection, state: _State) -> None:
        if state is _State.PAUSED:
            self._parked[conn] = time.monotonic() + _PAUSE_SECONDS
            return
        self._parked[conn] = math.inf
        conn.sock.takes_enough(time.monotonic())
        self.poller.register(conn.sock, conn.sock.wants, lambda _: self._resume(conn))
        while sum(each.sock.unsent for each in self._parked) > self.limits.unsent and len(self._parked) > 1:
            self._abandon(next(each for each in self._parked if each.sock.unsent))

    def _resume(self, conn: Connection) -> None:
        until = self._parked.pop(conn, None)
        if until is None:
            return  # it had to give way just now
        if until == math.inf:
            self.poller.unregister(conn.sock)
        self.enqueue_req(conn)

    def _abandon(self, conn: Connection) -> None:
        conn.is_abandoned = True
        self._resume(conn)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait for what comes; not for long where a response waits for its time."""
        super().wait_for_and_dispatch_events(min(timeout, _LOOK_SECONDS) if self._parked else timeout)

    def murder_pending(self) -> None:
        """Look after the connections that wait, as gunicorn asks for after all that came."""
        now = time.monotonic()
        for conn in () if self.alive else self.pending_conns:
            conn.timeout = now  # it has asked for nothing
        super().murder_pending()
        if self.alive:
            self._give_up = now + _LAST_SECONDS
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_SECONDS
        for conn, until in list(self._parked.items()):
            may_go_on = conn.sock.takes_enough(now) and now < self._give_up if until == math.inf else self.alive
            if not may_go_on:
                self._abandon(conn)
            elif until <= now:
                self._resume(conn)

    def on_pending_socket_readable(self, conn: Connection, client: Client) -> None:
        """Hand a connection on which something comes to a thread, unless it had to give way just now."""
        if client.fileno() != _CLOSED:
            super().on_pending_socket_readable(conn, client)

    def on_client_socket_readable(self, conn: Connection, client: Client) -> None:
        """Answer what comes on a connection that was kept: a poll here, and whatever else by a thread."""
        if client.fileno() == _CLOSED:
            return
        try:
            asked = client.raw.recv(_MAX_POLL)
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
        client.sendall(answer)
        try:
            is_sent = client.flush()
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

    def end_connection(self, conn: Connection, *, graceful: bool = False) -> None:
        """Close a connection; where the client may still read, linger for a moment, but not in the main thread."""
        self._owners.leave(conn.owner)
        if conn.is_abandoned:
            conn.sock.abort()
        elif not graceful or not self._places.acquire(blocking=False):
            close(conn.sock)
        else:
            closed = self._lingering.submit(close_graceful, conn.sock.raw, _LINGER_SECONDS)
            closed.add_done_callback(lambda _: self._places.release())


@contextmanager
def _ended(parts: Iterable[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        getattr(parts, "close", lambda: None)()


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    def __init__(self, settings: Settings, threads: int) -> None:
        self._settings = settings
        self._threads = threads
        self._stop_scheduler: Callable[[], None] = lambda: None
        super().__init__()

    def load_config(self) -> None:
        for name, value in {
            "bind": self._settings.listen,
            "workers": 1,
            "worker_class": self._worker(),
            "threads": self._threads,
            "logger_class": ServerLog,
            "accesslog": None,
            "timeout": 120,
            "graceful_timeout": 10,
            "keepalive": 15,
            "control_socket_disable": True,
            # Else jobs come due while the interpreter ends, and fail with a traceback.
            "worker_exit": lambda _arbiter, _worker: self._stop_scheduler(),
            # What proxies say is read by the application, which knows how many there are.
            "forwarded_allow_ips": "",
            "certfile": str(self._settings.tls_cert_file) if self._settings.tls_cert_file else None,
            "keyfile": str(self._settings.tls_key_file) if self._settings.tls_key_file else None,
        }.items():
            # A setting that this gunicorn does not have is not needed there.
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def _worker(self) -> type[Worker]:
        limits = replace(Limits(), per_address=self._settings.connections_per_address)
        return type("Worker", (Worker,), {"limits": limits, "proxies": self._settings.trusted_proxies})

    def load(self) -> WSGI:
        due = Event()
        try:
            services = make_services(self._settings, due.set)
        except UmsError as error:
            # Gunicorn shows where it was raised and ends with 3; that tells an operator nothing.
            _LOG.error("the service cannot start: %s", "; ".join(filter(None, (error.message, error.hint))))
            raise
        self._stop_scheduler = start_scheduler(
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
    for exposed in settings.exposed:
        _LOG.warning("other users of this machine can read %s: take that right away from them", exposed)
    _Server(settings, threads).run()
