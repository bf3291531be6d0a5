"""The Flask application."""

from __future__ import annotations

from flask import Flask, Response, jsonify

from ums.domain.errors import UmsError
from ums.services import Services
from ums.web.api import create_api
from ums.web.errors import handle_errors, problem
from ums.web.requests import MAX_BODY_BYTES
from ums.web.views import problems_view


def create_app(services: Services) -> Flask:
    """Return the application; it holds nothing but ``services``."""
    app = Flask("ums")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.json.sort_keys = False  # type: ignore[attr-defined] # DefaultJSONProvider has it
    handle_errors(app)
    app.register_blueprint(create_api(services), url_prefix="/api/v1")

    @app.get("/healthz")
    def healthz() -> Response:
        return jsonify({"status": "ok"})

    @app.get("/readyz")
    def readyz() -> Response:
        """Say whether the release repo and the database answer."""
        try:
            world = services.record.world()
        except UmsError as error:
            return problem(503, "unavailable", error.message, hint=error.hint)
        return jsonify({"status": "ok", "problems": problems_view(world, services.clock.now())})

    return app
