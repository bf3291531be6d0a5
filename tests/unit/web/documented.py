"""A client of the API that holds every answer against the OpenAPI document."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jsonschema
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse

from tests.unit.usecases.stage import Stage
from ums.web.app import create_app

UNDOCUMENTED = {"static", "metrics", "docs.page", "docs.script", "docs.assets"}
"""Endpoints that answer people, or Prometheus in its own format."""


@cache
def document() -> dict[str, Any]:
    """Return the document, which is the same for all."""
    with TemporaryDirectory() as folder:
        answer = create_app(Stage(Path(folder)).services).test_client().get("/api/v1/openapi.json")
    found: dict[str, Any] = json.loads(answer.data)
    return found


def template_of(rule: str) -> str:
    """Return a rule as the document writes it."""
    return rule.replace("<", "{").replace(">", "}")


class DocumentedClient(FlaskClient):
    """Fails where an answer is not as documented: its status, its type, and every member."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:  # noqa: ANN401 - what the parent takes
        """Make a request and look at the answer."""
        answer = super().open(*args, **kwargs)
        check(self.application, answer)
        return answer


def documented_client(app: Flask) -> FlaskClient:
    """Return a client that looks at every answer."""
    app.test_client_class = DocumentedClient
    return app.test_client()


def check(app: Flask, answer: TestResponse) -> None:
    """Hold an answer against the document."""
    method, path = answer.request.method, answer.request.path
    try:
        rule, _ = app.url_map.bind("").match(path, method=method, return_rule=True)
    except HTTPException:
        return
    if rule.endpoint in UNDOCUMENTED or method in {"HEAD", "OPTIONS"}:
        return
    operation = document()["paths"][template_of(rule.rule)][method.lower()]
    where = f"{method} {path}: {answer.status_code}"
    assert str(answer.status_code) in operation["responses"], f"{where} is not documented"
    content = operation["responses"][str(answer.status_code)].get("content", {})
    if not content:
        assert not answer.data, where
        return
    assert answer.mimetype in content, f"{where} is {answer.mimetype}"
    if answer.mimetype == "text/event-stream":
        return
    found = [error.message for error in _validator(_name(content[answer.mimetype])).iter_errors(answer.get_json())]
    assert not found, f"{where}: {found}"


def _name(content: Mapping[str, Any]) -> str:
    reference: str = content["schema"]["$ref"]
    return reference.rpartition("/")[2]


@cache
def _validator(name: str) -> jsonschema.Draft202012Validator:
    schemas = copy.deepcopy(document()["components"]["schemas"])
    for schema in schemas.values():
        # Clients must bear members that they do not know; we must not answer with any.
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    checker = jsonschema.FormatChecker()
    root = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
    return jsonschema.Draft202012Validator(root, format_checker=checker)
