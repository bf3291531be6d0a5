"""Each request leaves one line in the log and a count in the metrics, whoever answers it.

Never in them: the query, the body, headers, or a path that is not a template.
"""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from flask import Flask, request

from ums.domain.security_log import NOWHERE, Origin
from ums.ports import Meter
from ums.waiting import WouldWaitError, will_wait

WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_LOG = logging.getLogger("ums.request")
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_ENVIRON_KEY = "ums.request_id"
_EVENTS = "/api/v1/pdps/<org>/<pdp>/events"
_EVENT_RESULTS = {400: "invalid", 401: "unauthenticated", 413: "invalid"}
_OK, _SERVER_ERROR = 200, 500
_UNFORESEEN = b"something failed that UMS did not foresee; its log has the details\n"


@dataclass(slots=True)
class _Noted:
    """What is learnt about a request while it is answered."""

    surface: str = "api"
    route: str = "unmatched"
    subject: str = ""
    event: str = ""
    status: int = 0
    is_routine: bool = False
    """Asked by each data plane each minute: counted, but not told where it succeeds."""
    origin: Origin = NOWHERE


_NOTED: ContextVar[_Noted | None] = ContextVar("noted", default=None)


def note(**known: str | bool) -> None:
    """Note something about the request under way: ``surface``, ``route``, ``subject``, ``event``, ``is_routine``."""
    noted = _NOTED.get()
    for name, value in known.items() if noted is not None else ():
        setattr(noted, name, value)


def origin() -> Origin:
    """Return which request is under way; nowhere if none is, or nobody observes."""
    noted = _NOTED.get()
    return noted.origin if noted is not None else NOWHERE


def request_id() -> str:
    """Return the id of the request that Flask answers; empty if nobody observes."""
    return str(request.environ.get(_ENVIRON_KEY, ""))


def note_routes(app: Flask) -> None:
    """Note the route of each request to the application."""

    @app.before_request
    def matched() -> None:
        if request.url_rule is not None:
            note(route=request.url_rule.rule)


class Observed:
    """A WSGI application around another."""

    def __init__(self, app: WSGI, meter: Meter, *, timer: Callable[[], float] = time.perf_counter) -> None:
        self._app = app
        self._meter = meter
        self._timer = timer

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        start, noted = self._timer(), _Noted()
        given = environ.get("HTTP_X_REQUEST_ID", "")
        # Nobody gains anything by guessing one.
        identifier = given if _REQUEST_ID.fullmatch(given) else f"{random.getrandbits(128):032x}"
        environ[_ENVIRON_KEY] = identifier
        noted.origin = Origin(str(environ.get("REMOTE_ADDR", "")), identifier)
        _NOTED.set(noted)

        def start_observed(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:  # noqa: ANN401 - WSGI's
            code = int(status[:3])
            if not noted.is_routine or code != _OK:
                will_wait()  # for the log, which may be a pipe that nobody reads
            noted.status = code
            others = [each for each in headers if each[0].lower() != "x-request-id"]
            return start_response(status, [*others, ("X-Request-Id", identifier)], *rest)

        def end() -> None:
            _NOTED.set(None)
            self._tell(environ, noted, identifier, self._timer() - start)

        try:
            body = self._app(environ, start_observed)
        except WouldWaitError:
            _NOTED.set(None)  # another thread answers it, and tells
            raise
        except Exception:
            will_wait()  # it fails there too
            _LOG.exception("request failed", extra={"route": noted.route, "request_id": identifier})
            if noted.status:
                noted.status = _SERVER_ERROR
                end()
                raise
            start_observed("500 Internal Server Error", [("Content-Type", "text/plain; charset=utf-8")])
            body = [_UNFORESEEN]
        return _Body(body, end)

    def _tell(self, environ: dict[str, Any], noted: _Noted, identifier: str, seconds: float) -> None:
        method = str(environ["REQUEST_METHOD"])
        self._meter.count_request(noted.surface, noted.route, method, noted.status, seconds)
        if noted.route == _EVENTS:
            self._meter.count_event(noted.event or _EVENT_RESULTS.get(noted.status, "failed"))
        level = logging.WARNING if noted.status >= _SERVER_ERROR else logging.INFO
        if noted.is_routine and noted.status == _OK:
            level = logging.DEBUG
        if not _LOG.isEnabledFor(level):
            return
        _LOG.log(
            level,
            "request",
            extra={
                "method": method,
                "surface": noted.surface,
                "route": noted.route,
                "status": noted.status,
                "duration_ms": round(seconds * 1000, 1),
                "request_id": identifier,
                "subject": noted.subject or None,
            },
        )


class _Body:
    """What is answered; at its end, however it comes, the request is told."""

    def __init__(self, body: Iterable[bytes], end: Callable[[], None]) -> None:
        self._body = body
        self._end: Callable[[], None] | None = end

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        """End it; once is enough."""
        end, self._end = self._end, None
        try:
            if (close := getattr(self._body, "close", None)) is not None:
                close()
        finally:
            if end is not None:
                end()
