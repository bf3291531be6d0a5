"""The OpenAPI document: valid, complete, and of the models."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.json.provider import DefaultJSONProvider
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.unit.usecases.stage import Stage
from tests.unit.web.documented import UNDOCUMENTED, document, template_of
from ums.web.app import create_app
from ums.web.headers import Secured

METHODS = {"get", "post"}


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    """Return the application."""
    return create_app(Stage(tmp_path).services)


@pytest.fixture(name="document")
def make_document() -> dict[str, Any]:
    """Return its document."""
    return document()


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all operations."""
    return [operation for path in document["paths"].values() for operation in path.values()]


def test_it_is_valid(document: dict[str, Any]) -> None:
    """OpenAPI 3.1, with every reference leading somewhere and every name used once."""
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()


def test_it_names_every_route_and_no_other(app: Flask, document: dict[str, Any]) -> None:
    """Whoever adds a route documents it."""
    routes = {
        (template_of(rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.endpoint not in UNDOCUMENTED
    }
    assert {(path, method) for path, found in document["paths"].items() for method in found} == routes


def test_every_operation_says_what_it_does(document: dict[str, Any]) -> None:
    """In a sentence, in an area, with a schema for every answer that has a body."""
    tags = {tag["name"] for tag in document["tags"]}
    for operation in operations(document):
        assert operation["summary"].endswith("."), operation
        assert set(operation["tags"]) <= tags
        assert {"400", "500"} <= set(operation["responses"])
        for status, response in operation["responses"].items():
            is_answer = status < "300" or (status == "503" and operation["tags"] == ["checks"])
            if status in {"303", "304"}:
                assert not response.get("content")
                continue
            kind = "application/json" if is_answer else "application/problem+json"
            if operation["operationId"] == "getStream" and status == "200":
                kind = "text/event-stream"
            assert set(response["content"]) == {kind}
            assert response["description"]


def test_what_wants_a_token_says_so(document: dict[str, Any]) -> None:
    """All but health, the document itself, logins, and reports, which are signed."""
    wants = {operation["operationId"]: operation.get("security") for operation in operations(document)}
    assert {name for name, security in wants.items() if not security} == {
        "getHealthz",
        "getReadyz",
        "getOpenapi",
        "getLogIn",
        "getComeBack",
    }
    assert {name for name, security in wants.items() if security == [{"signature": []}]} == {
        "reportEvent",
        "reportCluster",
    }


def test_requests_are_described_as_strictly_as_they_are_read(document: dict[str, Any]) -> None:
    """No body may have members that are not there, and every limit is told."""
    for operation in operations(document):
        if "requestBody" not in operation or operation["operationId"] in {"reportEvent", "reportCluster"}:
            continue
        (content,) = operation["requestBody"]["content"].values()
        schema = document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
        assert schema["additionalProperties"] is False, operation["operationId"]


def test_the_page_loads_nothing_from_elsewhere(app: Flask) -> None:
    """And runs no script but those that it names."""
    app.wsgi_app = Secured(app.wsgi_app)  # type: ignore[method-assign]
    client = app.test_client()
    page = client.get("/api/docs")
    policy = page.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "//" not in page.text
    assert "<script>" not in page.text
    linked = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(linked) == 4
    for path in linked:
        with client.get(f"/api/{path}") as answer:
            assert (answer.status_code, answer.headers["Content-Security-Policy"]) == (200, policy)
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
    (url,) = re.findall(r'url: "([^"]+)"', client.get("/api/docs/page.js").text)
    assert client.get(f"/api/{url}").get_json()["openapi"].startswith("3.1")


def test_an_answer_that_is_known_is_not_sent_again(app: Flask) -> None:
    """Not even the document."""
    client = app.test_client()
    first = client.get("/api/v1/openapi.json")
    again = client.get("/api/v1/openapi.json", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_the_document_is_made_once_whoever_asks(stage_app: tuple[Flask, list[int]]) -> None:
    """Anybody may ask for it, also many at once, and it takes a second to make."""
    app, made = stage_app
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: app.test_client().get("/api/v1/openapi.json").data, range(8)))
    assert len(set(answers)) == 1
    assert made == [1]


@pytest.fixture
def stage_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Flask, list[int]]:
    """Return an application, and how often it wrote the document down."""
    made: list[int] = []
    dumps = DefaultJSONProvider.dumps

    def noted(provider: DefaultJSONProvider, data: Any, **how: Any) -> str:  # noqa: ANN401
        made.extend([1] if isinstance(data, dict) and "openapi" in data else [])
        return dumps(provider, data, **how)

    monkeypatch.setattr(DefaultJSONProvider, "dumps", noted)
    return create_app(Stage(tmp_path).services), made
