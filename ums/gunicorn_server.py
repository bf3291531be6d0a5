"""The process model: gunicorn with one worker of many threads. Nothing is opened before the fork."""

from __future__ import annotations

from typing import Any

from gunicorn.app.base import BaseApplication

from ums.config import Settings


class _Server(BaseApplication):  # type: ignore[misc] # gunicorn has no types
    def __init__(self, settings: Settings, threads: int) -> None:
        self._settings = settings
        self._threads = threads
        super().__init__()

    def load_config(self) -> None:
        for name, value in {
            "bind": self._settings.listen,
            "workers": 1,
            "worker_class": "gthread",
            "threads": self._threads,
            "timeout": 120,
            "graceful_timeout": 10,
            "keepalive": 15,
            "limit_request_line": 4094,
            "control_socket_disable": True,
        }.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Any:  # noqa: ANN401 - a WSGI application
        from ums.wsgi import create  # noqa: PLC0415 - the worker makes it, after the fork

        return create(self._settings)


def run(settings: Settings, *, threads: int) -> None:
    """Serve until stopped."""
    _Server(settings, threads).run()
