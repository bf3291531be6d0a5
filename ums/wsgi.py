"""A process of the service: gunicorn with one worker of many threads, and the scheduler beside them.

Nothing is opened before the fork: the application, its database and its scheduler are made in the worker.
"""

from __future__ import annotations

import socket
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from threading import BoundedSemaphore, Event
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.util import close, close_graceful
from gunicorn.workers.gthread import ThreadWorker

from ums.adapters.structured_logs import start_logging
from ums.bootstrap import WSGI, make_leadership, make_services, make_wsgi
from ums.config import Settings
from ums.scheduler.jobs import start_scheduler

_SILENCE_SECONDS = 5
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


class _Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Waits only so long for the next bytes of a request: else a few clients that send half of one hold all threads."""

    def init_process(self) -> None:
        """Begin, with threads for closing connections: gunicorn's own way lets nobody in while it lingers on one."""
        self._lingering = ThreadPoolExecutor(_LINGERERS, thread_name_prefix="close")
        self._places = BoundedSemaphore(_LINGER_PLACES)
        super().init_process()

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
            "worker_class": _Worker,
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
        start_scheduler(services, make_leadership(self._settings), due, reconcile_every=self._settings.reconcile_every)
        return make_wsgi(self._settings, services)


def run(settings: Settings, *, threads: int) -> None:
    """Serve until stopped."""
    start_logging(settings.log_format, sys.stderr)
    _Server(settings, threads).run()
