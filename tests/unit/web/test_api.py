"""What the API lets in, and how it says no."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.unit.usecases.stage import ADMIN, PROD, Stage
from tests.unit.usecases.test_operating import event
from tests.unit.web.documented import UNDOCUMENTED, documented_client
from ums.domain import errors
from ums.domain.identity import Holder
from ums.outcomes import OUTCOMES
from ums.web.app import create_app
from ums.web.errors import handle_errors

OPEN = {
    "login.log_in",
    "login.come_back",
    "checks.healthz",
    "checks.readyz",
    "document.openapi",
    "reports.report_event",
    *UNDOCUMENTED,
}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return a service with a data plane on 1.0.0."""
    made = Stage(tmp_path)
    made.add_plane()
    made.publish("1.0.0")
    made.promote("1.0.0")
    return made


@pytest.fixture
def client(stage: Stage) -> FlaskClient:
    """Return a client of its API."""
    return documented_client(create_app(stage.services))


def bearer(stage: Stage, *groups: str) -> dict[str, str]:
    """Return the header of a new token."""
    token = stage.services.issue_token(Holder("somebody", frozenset(groups)), expires=None, by=ADMIN)
    return {"Authorization": f"Bearer {token}"}


def test_every_route_wants_a_token(stage: Stage, client: FlaskClient) -> None:
    """But health, events, which are signed instead, and metrics, which this machine itself may read."""
    values = {"channel": "edge", "org": "acme", "pdp": "prod", "bundle": "platform", "version": "1.0.0"}
    values |= {"step": "pause", "name": "bad"}
    asked = 0
    for rule in client.application.url_map.iter_rules():
        if rule.endpoint in OPEN:
            continue
        path = rule.rule
        for name, value in values.items():
            path = path.replace(f"<{name}>", value)
        for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}:
            for headers in ({}, {"Authorization": "Bearer ums_wrong"}, {"Authorization": "Basic eDp5"}):
                stage.clock.advance(timedelta(seconds=10))
                answer = client.open(path, method=method, headers=headers, json={})
                assert answer.status_code == 401, rule
                assert "WWW-Authenticate" in answer.headers
                asked += 1
    assert asked > 50


@pytest.mark.parametrize("kind", OUTCOMES)
def test_every_error_is_a_problem_document(stage: Stage, kind: type[errors.UmsError]) -> None:
    """RFC 9457, with what to do next and every reason."""
    from flask import Flask  # noqa: PLC0415 - an app of its own

    app = Flask("x")
    handle_errors(app, stage.services.security)

    @app.get("/")
    def fail() -> str:
        if kind is errors.RefusedError:
            raise errors.RefusedError("no", (errors.Reason("a-rule", "because", None, "somebody"),), hint="wait")
        raise kind("no", hint="wait")

    answer = app.test_client().get("/")
    body = answer.get_json()
    assert (answer.status_code, answer.content_type) == (OUTCOMES[kind].status, "application/problem+json")
    assert (body["title"], body["hint"], body["status"]) == ("no", "wait", answer.status_code)
    assert [each["code"] for each in body["blockedBy"]] == (["a-rule"] if kind is errors.RefusedError else [])


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"release": "platform@1.0.0", "forse": True}, "forse"),
        ({}, "release"),
        ({"release": 7}, "release"),
        ({"release": "platform"}, "bundle@version"),
        ([], "body"),
    ],
)
def test_a_wrong_body_is_told_which_field(stage: Stage, client: FlaskClient, body: object, says: str) -> None:
    """And nothing is recorded."""
    before = stage.repo.read().base
    answer = client.post("/api/v1/channels/edge/promotions", json=body, headers=bearer(stage, "admin"))
    assert answer.status_code == 400
    assert says in json.dumps(answer.get_json())
    assert stage.repo.read().base == before


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("%00", 400),
        ("a%0Ab", 400),
        ("..", 400),
        ("/etc/passwd", 400),
        ("x" * 2001, 400),
        ("", 200),
        ("%ff", 200),
        ("%ED%B3%BF", 200),
        (":(glob)**", 200),
        (":!x", 200),
        ("--all", 200),
        ("*", 200),
    ],
)
def test_the_log_of_an_odd_path_is_refused_or_empty(stage: Stage, client: FlaskClient, path: str, status: int) -> None:
    """Whatever stands there, it is not taken for a pattern or an option, and nothing fails."""
    answer = client.get(f"/api/v1/log?path={path}", headers=bearer(stage, "viewer"))
    assert answer.status_code == status
    assert status == 400 or bool(answer.get_json()["items"]) is (path == "")


def test_a_body_without_end_is_cut_off(stage: Stage, client: FlaskClient) -> None:
    """Before anything reads it."""
    answer = client.post("/api/v1/channels/edge/promotions", data=b"x" * (1 << 20), headers=bearer(stage, "admin"))
    assert answer.status_code == 413


def test_an_event_counts_only_with_its_signature(stage: Stage, client: FlaskClient) -> None:
    """A forged one is refused, and leaves no trace."""
    path, body = f"/api/v1/pdps/{PROD}/events", json.dumps(event(stage, reason="ReconciliationSucceeded")).encode()
    objects = stage.services.bootstrap_data_plane(PROD, by=ADMIN)
    key = next(each["stringData"]["token"] for each in objects if each["metadata"]["name"] == "ums-events")
    for signature in ("", "sha256=" + "0" * 64, "sha1=x"):
        assert client.post(path, data=body, headers={"X-Signature": signature}).status_code == 401
    assert not stage.store.reports()
    right = "sha256=" + hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
    assert client.post(path, data=body, headers={"X-Signature": right}).status_code == 202
    shown = client.get(f"/api/v1/pdps/{PROD}", headers=bearer(stage, "viewer")).get_json()
    assert shown["health"] == "healthy"


def test_secrets_are_for_those_who_register(stage: Stage, client: FlaskClient) -> None:
    """And no cache keeps them."""
    path = f"/api/v1/pdps/{PROD}/bootstrap"
    assert client.get(path, headers=bearer(stage, "release-engineer")).status_code == 403
    answer = client.get(path, headers=bearer(stage, "admin"))
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
