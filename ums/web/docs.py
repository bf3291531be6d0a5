"""The OpenAPI document, and a page to try it on, which loads nothing from other hosts and has no script of its own."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from threading import Lock
from typing import Any

from flask import Blueprint, Response, current_app, send_from_directory

from ums.web import answers
from ums.web.openapi import PREFIX, Area, Areas, publishes, spare

_FOLDER = str(files("flask_openapi3_swagger") / "templates" / "swagger")
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>UMS API</title>
<link rel="icon" href="docs/assets/images/swagger.svg">
<link rel="stylesheet" href="docs/assets/css/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/assets/js/swagger-ui-bundle.js"></script>
<script src="docs/page.js"></script>
</body>
</html>
"""
_SCRIPT = """\
SwaggerUIBundle({
  url: "v1/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  docExpansion: "none",
  tagsSorter: "alpha",
  validatorUrl: null,
});
"""


def make_document_route(areas: Areas, describe: Callable[[], dict[str, Any]]) -> Area:
    """Return the route of the document, which anybody may read; it is made when it is asked for."""
    area = areas.open("document", "This document.", prefix=PREFIX)
    area.after_request(spare)
    lock, made = Lock(), list[str]()

    @area.get("/openapi.json", responses=publishes(answers.Document))
    def openapi() -> Response:
        """Show this document."""
        with lock:  # it takes a while, and anybody may ask
            if not made:
                made.append(current_app.json.dumps(describe()))
        return Response(made[0], mimetype="application/json")

    return area


def make_docs() -> Blueprint:
    """Return the page."""
    docs = Blueprint("docs", __name__, url_prefix="/api")

    @docs.get("/docs")
    def page() -> Response:
        return Response(_PAGE, mimetype="text/html")

    @docs.get("/docs/page.js")
    def script() -> Response:
        return Response(_SCRIPT, mimetype="text/javascript")

    @docs.get("/docs/assets/<path:name>")
    def assets(name: str) -> Response:
        return send_from_directory(_FOLDER, name, max_age=3600)

    return docs
