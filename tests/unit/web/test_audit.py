"""What auditors read over the API, and who may."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.unit.usecases.stage import ADMIN, Stage
from tests.unit.web.documented import documented_client
from ums.domain.identity import ROLES, Holder
from ums.domain.security_log import Entry, verify_chain
from ums.web.app import create_app
from ums.web.observing import Observed

API = "/api/v1"


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return a service on which a few things happened, a second apart."""
    made = Stage(tmp_path)
    for number in range(5):
        made.clock.advance(timedelta(seconds=2))
        made.services.issue_token(Holder(f"u{number}", frozenset({"viewer"})), expires=None, by=ADMIN)
    made.clock.advance(timedelta(seconds=1))
    made.add_plane()
    return made


@pytest.fixture
def client(stage: Stage) -> FlaskClient:
    """Return an admin's client of its API."""
    app = create_app(stage.services)
    app.wsgi_app = Observed(app.wsgi_app, stage.meter)  # type: ignore[method-assign]
    made = documented_client(app)
    made.environ_base["HTTP_AUTHORIZATION"] = bearer(stage, "admin")
    return made


def bearer(stage: Stage, role: str, **limits: frozenset[str]) -> str:
    """Return the header of a role."""
    holder = Holder(f"the-{role}", frozenset({role}), **limits)
    return f"Bearer {stage.services.issue_token(holder, expires=None, by=ADMIN)}"


def pages(client: FlaskClient, path: str) -> list[dict[str, Any]]:
    """Return all items of all pages."""
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        data = client.get(f"{API}{path}&cursor={cursor}").get_json()
        found += data["items"]
        cursor = data["next"]
    return found


def test_only_admins_without_limits_read_it(stage: Stage, client: FlaskClient) -> None:
    """It tells of everybody; and whoever tries is told of in it."""
    for path in ("/audit", "/audit/export"):
        for role in ROLES:
            answer = client.get(API + path, headers={"Authorization": bearer(stage, role)})
            assert answer.status_code == (200 if role == "admin" else 403), (path, role)
        limited = bearer(stage, "admin", orgs=frozenset({"acme"}))
        assert client.get(API + path, headers={"Authorization": limited}).status_code == 403
    denied = client.get(f"{API}/audit?kind=permission.denied&subject=the-viewer").get_json()["items"]
    assert [each["what"]["request"] for each in denied] == ["GET /api/v1/audit"]
    assert denied[0]["address"] == "127.0.0.1"
    assert denied[0]["requestId"]
    stage.clock.advance(timedelta(minutes=1))
    stage.services.security.flush()
    (counted, _) = client.get(f"{API}/audit?kind=permission.denied&subject=the-viewer").get_json()["items"]
    assert (counted["what"]["request"], counted["what"]["count"]) == ("GET /api/v1/audit/export", 1)


def test_a_wrong_token_is_told_of_and_a_missing_one_is_not(client: FlaskClient) -> None:
    """Whoever shows none was never turned away for it."""
    for header in ("Bearer ums_wrong", "Basic eA==", ""):
        assert client.get(f"{API}/info", headers={"Authorization": header}).status_code == 401
    (failed,) = client.get(f"{API}/audit?kind=authentication.failed").get_json()["items"]
    assert (failed["subject"], failed["what"]) == ("", {})


@pytest.mark.parametrize("limit", [1, 2, 5, 500])
def test_pages_are_the_whole_log(client: FlaskClient, limit: int) -> None:
    """Newest first."""
    items = pages(client, f"/audit?limit={limit}&kind=token.issued")
    assert [each["what"]["to"] for each in items] == ["the-admin", "u4", "u3", "u2", "u1", "u0"]
    assert len(pages(client, f"/audit?limit={limit}&since=2026-11-23T12:00:06Z&kind=token.issued")) == 4


@pytest.mark.parametrize("limit", [1, 3, 7, 500])
def test_an_export_is_all_there_is_by_time(stage: Stage, client: FlaskClient, limit: int) -> None:
    """Decisions among security events, nothing twice; and its chain holds."""
    items = pages(client, f"/audit/export?limit={limit}")
    assert [each["at"] for each in items] == sorted(each["at"] for each in items)
    decisions = [each["commit"] for each in items if each["type"] == "decision"]
    assert decisions == [each.commit_id for each in reversed(stage.services.log(limit=99))]
    entries = [Entry.from_dict(each) for each in items if each["type"] == "securityEvent"]
    assert entries == list(stage.services.security.log.read(after=0, limit=99))
    assert verify_chain(entries, []).broken is None
    kinds = [each["type"][0] for each in items]
    assert "".join(kinds) in {"dsssssdss", "dsssssds"}


@pytest.mark.parametrize(
    "path",
    [
        "/audit?kind=tea",
        "/audit?limit=0",
        "/audit?since=yesterday",
        "/audit?cursor=eA==",
        "/audit?cursor=OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5",
        "/audit/export?cursor=OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTo=",
        "/audit/export?limit=501",
        "/audit/export?kind=login",
    ],
)
def test_what_makes_no_sense_is_refused(client: FlaskClient, path: str) -> None:
    """And says what does."""
    assert client.get(API + path).status_code == 400


def test_a_cursor_of_another_history_begins_nothing(client: FlaskClient) -> None:
    """Options of Git neither."""
    for cursor in ("MDotLWFsbA==", "MTow"):
        assert client.get(f"{API}/audit/export?cursor={cursor}").status_code == 404
