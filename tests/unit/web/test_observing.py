"""Each request leaves one line in the log and one count, whoever answers it, and no secret."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from werkzeug.test import Client, TestResponse

from tests.unit.usecases.stage import ADA, ADMIN, PROD, Stage
from tests.unit.usecases.test_operating import event
from tests.unit.web.test_api import bearer
from tests.unit.web.test_api_answers import signed_event
from ums.adapters.prometheus_meter import PrometheusMeter
from ums.domain.errors import UnavailableError
from ums.web.app import create_app
from ums.web.observing import Observed, note


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Give a service with a data plane on 1.0.0."""
    made = Stage(tmp_path)
    made.add_plane()
    made.publish("1.0.0")
    made.promote("1.0.0")
    yield made
    made.store.close()


class Buffered(FlaskClient):
    """A client that reads each answer to its end, as a server does."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:  # noqa: ANN401 - passes through
        """Ask."""
        return super().open(*args, **{"buffered": True, **kwargs})


@pytest.fixture
def client(stage: Stage, caplog: pytest.LogCaptureFixture) -> FlaskClient:
    """Return a client of its API, observed."""
    caplog.set_level(logging.INFO)
    app = create_app(stage.services)
    app.wsgi_app = Observed(app.wsgi_app, stage.meter)  # type: ignore[method-assign]
    app.test_client_class = Buffered
    return app.test_client()


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Return what was logged of requests."""
    standard = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
    return [
        {name: value for name, value in vars(record).items() if name not in standard}
        for record in caplog.records
        if record.name == "ums.request" and record.msg == "request"
    ]


def count(meter: PrometheusMeter, name: str, **labels: str) -> float:
    """Return a counter."""
    families = text_string_to_metric_families(meter.render(()).decode())
    found = [s for family in families for s in family.samples if s.name == name and labels.items() <= s.labels.items()]
    return sum(each.value for each in found)


def test_a_request_is_one_line(stage: Stage, client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    """Who asked, by its name; by which route, not which path; how long it took."""
    headers = bearer(stage, "viewer")
    answer = client.get("/api/v1/log?path=hunter2", headers=headers)
    (line,) = lines(caplog)
    assert line.pop("duration_ms") >= 0
    assert line.pop("request_id") == answer.headers["X-Request-Id"]
    assert line == {
        "method": "GET",
        "surface": "api",
        "route": "/api/v1/log",
        "status": 200,
        "subject": "somebody",
    }
    assert "hunter2" not in caplog.text
    assert headers["Authorization"].removeprefix("Bearer ") not in caplog.text
    assert count(stage.meter, "ums_http_requests_total", route="/api/v1/log", status="200") == 1


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a1-B2.c_3", True),
        ("x" * 64, True),
        ("x" * 65, False),
        ("", False),
        ("-leading", False),
        ("two words", False),
        ('quote"', False),
        ("ünicode", False),
    ],
)
def test_a_request_id_is_kept_if_it_is_one(client: FlaskClient, given: str, kept: bool) -> None:  # noqa: FBT001 - a table
    """Otherwise one is made, and echoed as well."""
    answer = client.get("/healthz", headers={"X-Request-Id": given})
    ids = answer.headers.getlist("X-Request-Id")
    assert len(ids) == 1
    assert (ids[0] == given) is kept
    assert len(ids[0]) == (len(given) if kept else 32)


def test_paths_that_nobody_serves_are_one(stage: Stage, client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    """Who scans for holes makes no series and no names."""
    for number in range(5):
        assert client.get(f"/wp-admin/{number}").status_code == 404
    assert {line["route"] for line in lines(caplog)} == {"unmatched"}
    assert "wp-admin" not in caplog.text
    assert count(stage.meter, "ums_http_requests_total", route="unmatched", status="404") == 5


def test_a_wrong_token_is_nobody(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    """And stands nowhere."""
    assert client.get("/api/v1/status", headers={"Authorization": "Bearer ums_hunter2"}).status_code == 401
    (line,) = lines(caplog)
    assert (line["subject"], line["status"]) == (None, 401)
    assert "hunter2" not in caplog.text


def test_events_are_counted_by_what_became_of_them(
    stage: Stage, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    """New, known already, not one of ours, not signed."""
    body = json.dumps(event(stage, reason="ReconciliationSucceeded")).encode()
    assert signed_event(stage, client, body).status_code == 202
    assert signed_event(stage, client, body).status_code == 202
    assert signed_event(stage, client, b"{").status_code == 400
    assert client.post(f"/api/v1/pdps/{PROD}/events", data=body).status_code == 401
    for result in ("recorded", "known", "invalid", "unauthenticated"):
        assert count(stage.meter, "ums_events_total", result=result) == 1, result
    assert [line["subject"] for line in lines(caplog)] == ["acme/prod", "acme/prod", "acme/prod", None]


def test_what_was_not_foreseen_has_a_traceback_and_the_same_id(
    stage: Stage, client: FlaskClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that whoever is told the id finds it; what was foreseen has none."""
    monkeypatch.setattr(stage.store, "reports", lambda: 1 / 0)
    answer = client.get("/api/v1/status", headers=bearer(stage, "viewer"))
    assert answer.status_code == 500
    failed = next(record for record in caplog.records if record.exc_info)
    assert vars(failed)["request_id"] == answer.headers["X-Request-Id"] == lines(caplog)[0]["request_id"]
    assert next(record.levelname for record in caplog.records if record.msg == "request") == "WARNING"
    caplog.clear()

    def refuse() -> None:
        raise UnavailableError("down")

    monkeypatch.setattr(stage.store, "reports", refuse)
    assert client.get("/api/v1/status", headers=bearer(stage, "viewer")).status_code == 503
    assert not any(record.exc_info for record in caplog.records)


Respond = Callable[[str, list[tuple[str, str]]], object]


class Body:
    """An answer that is closed once."""

    def __init__(self, chunks: list[bytes | Exception]) -> None:
        self.chunks = chunks
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self.chunks:
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk

    def close(self) -> None:
        """Count."""
        self.closed += 1


def make_edge(chunks: list[bytes | Exception], caplog: pytest.LogCaptureFixture) -> tuple[Body, Observed]:
    """Return an application that is no Flask."""
    caplog.set_level(logging.INFO)
    body = Body(chunks)

    def app(_environ: dict[str, Any], respond: Callable[..., Any]) -> Iterable[bytes]:
        note(surface="git", route="/info/refs", subject="acme/prod")
        respond("200 OK", [("Content-Type", "text/plain"), ("X-Request-Id", "theirs")])
        return body

    return body, Observed(app, PrometheusMeter("test"))


def test_the_edge_is_observed_to_its_last_byte(caplog: pytest.LogCaptureFixture) -> None:
    """The line comes when all was sent; what is under it is closed."""
    body, app = make_edge([b"a", b"b"], caplog)
    with Client(app).get("/info/refs", buffered=False) as answer:
        assert not lines(caplog)
        assert answer.data == b"ab"
        assert answer.headers.getlist("X-Request-Id") != ["theirs"]
    (line,) = lines(caplog)
    assert (line["surface"], line["route"], line["subject"], body.closed) == ("git", "/info/refs", "acme/prod", 1)


def test_what_fails_at_the_edge_is_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    """With a traceback in the log and none in the answer."""

    def app(_environ: dict[str, Any], _respond: Callable[..., Any]) -> Iterable[bytes]:
        raise OSError("no more processes")

    answer = Client(Observed(app, PrometheusMeter("test"))).get("/")
    assert answer.status_code == 500
    assert b"processes" not in answer.data
    assert any(record.exc_info for record in caplog.records)


def test_nobody_notes_outside_of_a_request() -> None:
    """The loop uses the same services."""
    note(subject="ums")


def test_an_admin_is_told_by_name(stage: Stage, client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    """Of one request after the other, each its own."""
    token = stage.services.issue_token(ADA, expires=None, by=ADMIN)
    client.get("/api/v1/status", headers={"Authorization": f"Bearer {token}"})
    client.get("/healthz")
    assert [line["subject"] for line in lines(caplog)] == ["ada", None]
