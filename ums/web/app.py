"""The Flask application."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from flask import Flask, Response, jsonify

from ums.domain.errors import UmsError
from ums.services import Services
from ums.web import answers, once
from ums.web.api import create_api
from ums.web.docs import make_docs, make_document_route
from ums.web.errors import handle_errors, problem
from ums.web.openapi import Application, Area, Areas, checks, make_app
from ums.web.requests import MAX_BODY_BYTES
from ums.web.views import problems_view


def create_app(services: Services) -> Flask:
    """Return the application; it holds nothing but ``services``."""
    app = _assemble(Areas(services, documented=False), cache(lambda: _describe(services)))
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.json.sort_keys = False  # type: ignore[attr-defined] # DefaultJSONProvider has it
    handle_errors(app)
    app.register_blueprint(make_docs())

    @app.after_request
    def believe(response: Response) -> Response:
        """Let no browser guess that an answer is something else."""
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    return app


def _assemble(areas: Areas, describe: Callable[[], dict[str, Any]]) -> Application:
    app = make_app()
    for area in (*create_api(areas), make_document_route(areas, describe), _checks(areas)):
        app.register_api(area)
    return app


def _describe(services: Services) -> dict[str, Any]:
    return once.described(_assemble(Areas(services, documented=True), dict).api_doc)


def _checks(areas: Areas) -> Area:
    area, services = areas.open("checks", "For whoever starts and watches the service."), areas.services

    @area.get("/healthz", responses=checks(answers.Alive))
    def healthz() -> Response:
        """Say that the process answers."""
        return jsonify({"status": "ok"})

    @area.get("/readyz", responses=checks(answers.Ready))
    def readyz() -> Response:
        """Say whether the release repo and the database answer."""
        try:
            world = services.record.world()
        except UmsError as error:
            return problem(503, "unavailable", error.message, hint=error.hint)
        return jsonify({"status": "ok", "problems": problems_view(world, services.clock.now())})

    return area
