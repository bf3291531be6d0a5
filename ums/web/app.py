"""The Flask application."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask

from ums.services import Services
from ums.web import once
from ums.web.api import create_api
from ums.web.docs import make_docs, make_document_route
from ums.web.errors import handle_errors
from ums.web.observing import note_routes
from ums.web.openapi import Application, Areas, make_app
from ums.web.operations import add_metrics_route, make_checks
from ums.web.people import make_login, make_logout, make_people
from ums.web.requests import MAX_BODY_BYTES


def create_app(services: Services, *, anonymous: str = "local") -> Flask:
    """Return the application; it holds nothing but ``services``.

    ``anonymous`` says who reads ``/metrics`` without a token: ``local`` (from this machine), ``never`` or ``always``.
    """
    app = _assemble(Areas(services, documented=False), lambda: _describe(services))
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.json.sort_keys = False  # type: ignore[attr-defined] # DefaultJSONProvider has it
    handle_errors(app, services.security)
    app.register_blueprint(make_docs())
    add_metrics_route(app, services, anonymous)
    note_routes(app)
    return app


def _assemble(areas: Areas, describe: Callable[[], dict[str, Any]]) -> Application:
    app = make_app()
    for area in (
        *create_api(areas),
        make_login(areas),
        make_people(areas),
        make_logout(areas),
        make_document_route(areas, describe),
        make_checks(areas),
    ):
        app.register_api(area)
    return app


def _describe(services: Services) -> dict[str, Any]:
    return once.described(_assemble(Areas(services, documented=True), dict).api_doc)
