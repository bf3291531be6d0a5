"""What those ask who run the service: does it live, is it ready, how does it do."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from ipaddress import ip_address

from flask import Flask, Request, Response, jsonify, request

from ums.domain.errors import UmsError, UnavailableError
from ums.domain.identity import ALL, Permission
from ums.outcomes import OUTCOMES
from ums.services import Services
from ums.usecases.check_health import Check, Status
from ums.web import answers
from ums.web.auth import identify
from ums.web.openapi import Area, Areas, checks

_LOG = logging.getLogger(__name__)
_TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


def make_checks(areas: Areas) -> Area:
    """Return the routes of the checks, which anybody may ask for."""
    area, services = areas.open("checks", "For whoever starts and watches the service."), areas.services

    @area.get("/healthz", responses=checks(answers.ServiceHealth))
    def healthz() -> Response:
        """Say whether the process lives; restarting it is the remedy where not."""
        return _answer(services.health.live())

    @area.get("/readyz", responses=checks(answers.ServiceHealth))
    def readyz() -> Response:
        """Say whether the process can do its work now."""
        return _answer(services.health.ready())

    return area


def add_metrics_route(app: Flask, services: Services) -> None:
    """Add the route that Prometheus asks; it answers in Prometheus' format, so the API's document leaves it out."""

    @app.get("/metrics")
    def metrics() -> Response:
        """Tell everything in numbers, to who may read or is on this machine."""
        if "Authorization" in request.headers or not is_local(request):
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
    """Return whether a request comes from this machine itself, and not through a proxy that is on it."""
    if any(name in asked.headers for name in _FORWARDED):
        return False
    try:
        return ip_address(asked.remote_addr or "").is_loopback
    except ValueError:
        return False


def _answer(checks: Sequence[Check]) -> Response:
    failed = any(each.status is Status.FAIL for each in checks)
    response = jsonify({"status": "fail" if failed else "ok", "checks": [each.to_dict() for each in checks]})
    response.status_code = OUTCOMES[UnavailableError].status if failed else 200
    response.headers["Cache-Control"] = "no-store"
    return response
