"""Whatever comes to the route on which data planes report."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from tests.unit.usecases.stage import ADMIN, PROD, Stage
from tests.unit.usecases.test_operating import event
from ums.domain.errors import StorageError, UnavailableError
from ums.domain.fleet import Report
from ums.domain.names import PDPName
from ums.usecases.record_event import EVENTS
from ums.web.app import create_app
from ums.web.requests import MAX_BODY_BYTES


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return a data plane on 1.0.0."""
    made = Stage(tmp_path)
    made.add_plane()
    made.publish("1.0.0")
    made.promote("1.0.0")
    return made


@pytest.fixture
def client(stage: Stage) -> FlaskClient:
    """Return a client that has no token."""
    return create_app(stage.services).test_client()


def key_of(stage: Stage, pdp: PDPName = PROD) -> bytes:
    """Return what a data plane signs with."""
    objects = stage.services.bootstrap_data_plane(pdp, by=ADMIN)
    token: str = next(each["stringData"]["token"] for each in objects if each["metadata"]["name"] == "ums-events")
    return token.encode()


def send(stage: Stage, client: FlaskClient, body: bytes | dict[str, Any], **headers: str) -> TestResponse:
    """Send a body that the data plane signed."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    signature = hmac.new(key_of(stage), content, hashlib.sha256).hexdigest()
    signed = {"X-Signature": f"sha256={signature}", **headers}
    return client.post(f"/api/v1/pdps/{PROD}/events", data=content, headers=signed)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b"\0",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"involvedObject": []}',
        b'{"involvedObject": {"kind": 1, "name": {}, "namespace": []}}',
    ],
)
def test_what_is_no_event_is_invalid(stage: Stage, client: FlaskClient, body: bytes) -> None:
    """However well it is signed; nothing is kept."""
    response = send(stage, client, body)
    assert (response.status_code, response.mimetype) == (400, "application/problem+json")
    assert not stage.store.reports()


@pytest.mark.parametrize(
    "fields",
    [
        {"metadata": []},
        {"metadata": "text"},
        {"metadata": {"x/revision": {"deep": [1]}}},
        {"timestamp": 0},
        {"timestamp": "9999-12-31T23:59:59-23:59"},
        {"timestamp": None},
        {"severity": None},
        {"reason": ["ReconciliationSucceeded"]},
        {"message": {"not": "text"}},
        {"message": "\0\ud800 \r\nSet-Cookie: a=b"},
        {"involvedObject": {"kind": "Kustomization", "name": "\0\r\nX: y", "namespace": "ums-system"}},
    ],
)
def test_wrong_types_break_nothing(stage: Stage, client: FlaskClient, fields: dict[str, Any]) -> None:
    """They are refused, or mean nothing; no header and no line of the log is anybody else's."""
    response = send(stage, client, {**event(stage, reason="ReconciliationSucceeded"), **fields})
    assert response.status_code in {202, 400}
    assert "Set-Cookie" not in response.headers
    assert "\0" not in "".join(each.message + each.component for each in stage.store.reports().values())


@pytest.mark.parametrize("signature", ["", "sha256=", "sha256=" + "0" * 64, "sha1=" + "0" * 40, "é", "sha256=\xff"])
def test_who_is_not_known_is_told_what_a_forger_is_told(stage: Stage, client: FlaskClient, signature: str) -> None:
    """To the byte, but for the name that was asked for; a header that is no ASCII is only wrong."""
    body = json.dumps(event(stage, reason="ReconciliationSucceeded")).encode()
    nobody = PDPName("acme", "none")
    headers = {"X-Signature": signature}
    wrong, unknown = (client.post(f"/api/v1/pdps/{pdp}/events", data=body, headers=headers) for pdp in (PROD, nobody))
    assert wrong.status_code == unknown.status_code == 401
    assert unknown.data.replace(str(nobody).encode(), str(PROD).encode()) == wrong.data
    varying = {"Content-Length"}
    assert [each for each in wrong.headers if each[0] not in varying] == [
        each for each in unknown.headers if each[0] not in varying
    ]
    assert not stage.store.reports()


def test_one_data_plane_cannot_speak_for_another(stage: Stage, client: FlaskClient) -> None:
    """The key is of one name."""
    other = PDPName("acme", "other")
    stage.add_plane(other)
    body = json.dumps(event(stage, reason="ReconciliationSucceeded")).encode()
    signature = hmac.new(key_of(stage, other), body, hashlib.sha256).hexdigest()
    response = client.post(f"/api/v1/pdps/{PROD}/events", data=body, headers={"X-Signature": f"sha256={signature}"})
    assert response.status_code == 401


def test_a_captured_event_turns_nothing_back(stage: Stage, client: FlaskClient) -> None:
    """Played again it is known; what came after stays."""
    old = event(stage, reason="ReconciliationSucceeded", at=1)
    assert send(stage, client, old).json == {"recorded": True}
    assert send(stage, client, event(stage, reason="HealthCheckFailed", at=2)).json == {"recorded": True}
    kept = dict(stage.store.reports())
    assert send(stage, client, old).json == {"recorded": False}
    assert dict(stage.store.reports()) == kept


def test_who_tells_too_much_waits(stage: Stage, client: FlaskClient) -> None:
    """And is let in after as long as was said; whoever forges signatures uses nothing of it up."""
    path, body = f"/api/v1/pdps/{PROD}/events", event(stage, reason="ReconciliationSucceeded")
    for _ in range(EVENTS.burst + 1):
        assert client.post(path, data=b"{}").status_code == 401
    for _ in range(EVENTS.burst):
        assert send(stage, client, body).status_code == 202
    refused = send(stage, client, body)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    stage.clock.advance(timedelta(seconds=1))
    assert send(stage, client, body).status_code == 202


@pytest.mark.parametrize("error", [UnavailableError("the database is gone"), StorageError("the disk is full")])
def test_what_cannot_be_kept_is_told_as_such(
    stage: Stage, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """With a status that lets Flux try again."""

    def fail(*_: object) -> bool:
        raise error

    monkeypatch.setattr(type(stage.store), "update", fail)
    assert send(stage, client, event(stage, reason="ReconciliationSucceeded")).status_code >= 500


def test_what_is_too_large_is_not_read(stage: Stage, client: FlaskClient) -> None:
    """With a length that says so, or in pieces that never say."""
    body = b" " * (MAX_BODY_BYTES + 1)
    assert send(stage, client, body).status_code == 413
    chunked = client.post(
        f"/api/v1/pdps/{PROD}/events",
        input_stream=BytesIO(body),
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert chunked.status_code == 413
    assert not stage.store.reports()


STATES = [("ReconciliationSucceeded", "info"), ("HealthCheckFailed", "error"), ("Progressing", "info")]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.sampled_from(STATES), st.integers(0, 3)), min_size=1, max_size=5), st.randoms())
def test_order_and_repetition_mean_nothing(
    stage: Stage, said: list[tuple[tuple[str, str], int]], chance: Random
) -> None:
    """The root's events leave one state, in whatever order and however often they come."""
    events = [event(stage, reason=reason, at=at) for (reason, _), at in said]
    stage.store.forget(PROD)
    for each in events:
        stage.services.record_event(PROD, each)
    expected = state(stage.store.reports()[PROD])
    stage.store.forget(PROD)
    again = events * 2
    chance.shuffle(again)
    for each in again:
        stage.clock.advance(timedelta(seconds=30))
        stage.services.record_event(PROD, each)
    assert state(stage.store.reports()[PROD]) == expected


def state(report: Report) -> tuple[object, ...]:
    """Return what a report says, without when we heard it."""
    return (report.serial, report.health, report.component, report.at, report.applied)
