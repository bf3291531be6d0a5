"""What those ask who run the service: does it live, is it ready, how does it do."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Lock

from flask import Flask, Request, Response, jsonify, request

from ums.domain.errors import UmsError, UnavailableError
from ums.domain.identity import ALL, Permission
from ums.domain.issuers import is_loopback
from ums.outcomes import OUTCOMES
from ums.services import Services
from ums.usecases.check_health import Check, Status
from ums.web import answers
from ums.web.auth import identify
from ums.web.openapi import Area, Areas, checks

_LOG = logging.getLogger(__name__)
_TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"
_PLAIN = frozenset(
    {"host", "user-agent", "accept", "accept-encoding", "connection", "x-prometheus-scrape-timeout-seconds"}
)
"""Headers of a scraper or a probe. A proxy adds others, and so does a browser that shows another site's page."""

_LOCAL_HOST = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?", re.ASCII | re.IGNORECASE)


class _Together:
    """Work that anybody may ask for: done once for all who ask while it is done before, and after they asked."""

    def __init__(self, work: Callable[[], Sequence[Check]]) -> None:
        self._work = work
        self._lock = Lock()
        self._begun = self._done = 0
        self._found: Sequence[Check] = ()

    def __call__(self) -> Sequence[Check]:
        wanted = self._begun + 1
        with self._lock:
            if self._done < wanted:
                self._begun += 1
                self._found = self._work()
                self._done = self._begun
            return self._found


def make_checks(areas: Areas) -> Area:
    """Return the routes of the checks, which anybody may ask for."""
    area, services = areas.open("checks", "For whoever starts and watches the service."), areas.services
    ready = _Together(services.health.ready)

    @area.get("/healthz", responses=checks(answers.ServiceHealth))
    def healthz() -> Response:
        """Say whether the process lives; restarting it is the remedy where not. Messages are for those who may read."""
        return _answer(services, services.health.live())

    @area.get("/readyz", responses=checks(answers.ServiceHealth))
    def readyz() -> Response:
        """Say whether the process can do its work now. Messages are for those who may read."""
        return _answer(services, ready())

    return area


def add_metrics_route(app: Flask, services: Services, anonymous: str) -> None:
    """Add the route that Prometheus asks; it answers in Prometheus' format, so the API's document leaves it out."""

    @app.get("/metrics")
    def metrics() -> Response:
        """Tell everything in numbers, to those who may read, or need no token."""
        is_open = anonymous == "always" or (anonymous == "local" and is_local(request))
        if "Authorization" in request.headers or not is_open:
            identify(services, request).require(Permission.READ, org=ALL)
        try:
            fleet = services.measure()
        except UmsError as error:
            _LOG.warning("the fleet could not be measured: %s", error.message)
            fleet = None
        except Exception:  # noqa: BLE001 - logged and counted; what else there is to tell is told
            _LOG.exception("the fleet could not be measured")
            fleet = None
        return Response(services.meter.render(fleet), content_type=_TEXT_FORMAT)


def is_local(asked: Request) -> bool:
    """Return whether a client on this machine asks for this machine, and nothing stands between.

    The host counts too: a page whose name was made to mean this machine (DNS rebinding) has a browser here ask.
    """
    if not {name.lower() for name, _ in asked.headers} <= _PLAIN:
        return False
    host = asked.environ.get("HTTP_HOST", "")
    return is_loopback((asked.remote_addr or "").removeprefix("::ffff:")) and bool(_LOCAL_HOST.fullmatch(host))


def _may_know(services: Services) -> bool:
    """Return whether the client may know more of the service than whether it is well."""
    if "Authorization" not in request.headers:
        return is_local(request)
    try:
        identify(services, request).require(Permission.READ, org=ALL)
    except UmsError:
        return False  # also where the database does not answer, which is what the check says
    return True


def _answer(services: Services, checks: Sequence[Check]) -> Response:
    if not _may_know(services):
        checks = [replace(each, message="") for each in checks]
    failed = any(each.status is Status.FAIL for each in checks)
    response = jsonify({"status": "fail" if failed else "ok", "checks": [each.to_dict() for each in checks]})
    response.status_code = OUTCOMES[UnavailableError].status if failed else 200
    response.headers["Cache-Control"] = "no-store"
    return response
