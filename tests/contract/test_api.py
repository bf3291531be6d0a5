"""The API keeps its document's word, whatever is asked: no crash, no answer that is not described."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.unit.usecases.stage import ADA, ADMIN, PROD, Stage
from ums.domain.digest import Digest
from ums.web.app import create_app

EXAMPLES = int(os.environ.get("UMS_API_EXAMPLES", "5"))
"""How many requests to each route, right and wrong, each also to and with what is there; more find more."""
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
KNOWN: dict[str, object] = {
    "channel": "stable",
    "bundle": "platform",
    "version": "1.0.0",
    "org": PROD.org,
    "step": "pause",
    "release": "platform@1.1.0",
    "subject": "platform",
    "digest": str(Digest.of(b"x")),
    "risk": "bad",
    "name": "bad",
    "until": "2027-01-01T00:00:00Z",
    "versions": "1.x",
    "releases": "1.x",
    "reason": "x",
    "policy": "schema: 1\nfeeder: edge\n",
    "from": "1.0.0",
    "bundles": ["platform"],
    "groups": ["viewer"],
    "expires": "2027-01-01T00:00:00Z",
    "kubernetes": "1.34.0",
    "flux": "2.9.2",
    "health": "unknown",
    "cursor": "",
    "url": "https://example.com",
}
"""What the stage knows, by the names of parameters and members."""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaseSchema]:
    """Give the document of a service in which something happened."""
    stage = Stage(tmp_path_factory.mktemp("api"))
    stage.add_plane()
    for version in ("1.0.0", "1.1.0"):
        stage.publish(version)
    stage.promote("1.0.0")
    token = stage.services.issue_token(ADA, expires=None, by=ADMIN)
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", create_app(stage.services))
    schema.config.update(headers={"Authorization": f"Bearer {token}"})
    yield schema
    stage.store.close()


def test_every_answer_is_described(api: BaseSchema) -> None:
    """To what is well-formed, of strangers or of what is there, and to what is not."""
    asked = 0
    for found in api.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        if operation.path == "/api/v1/stream":
            continue  # it goes on for as long as it is asked to
        _ask(operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
        with contextlib.suppress(Unsatisfiable):  # where nothing can be given, nothing can be wrong
            _ask(operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
        asked += 1
    assert asked > 50
    ready = api.app.test_client().get("/readyz").get_json()
    wrong = [each for each in ready["checks"] if each["status"] != "pass"]
    assert not wrong, "something was accepted that cannot be read"


def _ask(cases: SearchStrategy[schemathesis.Case[Any]]) -> None:
    @settings(max_examples=EXAMPLES, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
    @given(case=cases)
    def ask(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(checks=CHECKS)
        values = KNOWN | {"pdp": PROD.pdp if "org" in (case.path_parameters or {}) else str(PROD)}
        if isinstance(case.body, dict) and "subject" in case.body:
            values["release"] = "1.0.0"
        case.path_parameters = _known(case.path_parameters, values)
        case.call_and_validate(checks=CHECKS)
        case.query = _known(case.query, values)
        case.body = _known(case.body, values)
        case.call_and_validate(checks=CHECKS)

    ask()


def _known(given: Any, values: dict[str, object]) -> Any:  # noqa: ANN401 - any JSON value
    return {name: values.get(name, value) for name, value in given.items()} if isinstance(given, dict) else given
