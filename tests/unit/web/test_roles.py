"""Roles over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.unit.usecases.stage import ADA, ADMIN, Stage
from tests.unit.web.documented import documented_client
from ums.domain import layout
from ums.domain.identity import Holder
from ums.domain.world import Decision, Raw
from ums.web.app import create_app


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return a service."""
    return Stage(tmp_path)


@pytest.fixture
def client(stage: Stage) -> FlaskClient:
    """Return a client of its API, logged in as an admin."""
    made = documented_client(create_app(stage.services))
    made.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {stage.services.issue_token(ADA, expires=None, by=ADMIN)}"
    return made


def post(client: FlaskClient, path: str = "", **body: object) -> TestResponse:
    """Change roles."""
    return client.post(f"/api/v1/roles{path}", json={"reason": "x", **body})


def test_a_role_is_granted_listed_and_revoked(stage: Stage, client: FlaskClient) -> None:
    """With all that was said of it."""
    stage.clock.time = stage.clock.time.replace(microsecond=0)
    answer = post(client, role="operator", group="acme-ops", orgs=["acme"], until="2026-12-01T00:00:00Z")
    assert (answer.status_code, answer.json["recorded"], answer.json["warnings"]) == (200, True, [])  # type: ignore[index]
    assert client.get("/api/v1/roles").json == {
        "readable": True,
        "items": [
            {
                "role": "operator",
                "to": {"group": "acme-ops"},
                "bundles": [],
                "channels": [],
                "orgs": ["acme"],
                "by": "ada",
                "reason": "x",
                "since": "2026-11-23T12:00:00Z",
                "until": "2026-12-01T00:00:00Z",
                "counts": True,
            }
        ],
    }
    assert post(client, "/revoke", role="operator", group="acme-ops").status_code == 200
    assert client.get("/api/v1/roles").get_json()["items"] == []
    assert post(client, "/revoke", role="operator", group="acme-ops").status_code == 404


def test_taking_the_last_admins_role_is_possible_and_warned_of(client: FlaskClient) -> None:
    """Tokens remain."""
    for subject in ("sam", "sue"):
        post(client, role="admin", subject=subject)
    assert post(client, "/revoke", role="admin", subject="sam").get_json()["warnings"] == []
    tried = post(client, "/revoke", role="admin", subject="sue", dryRun=True).get_json()
    done = post(client, "/revoke", role="admin", subject="sue").get_json()
    assert (tried["recorded"], done["recorded"]) == (False, True)
    assert tried["warnings"] == done["warnings"] != []


@pytest.mark.parametrize(
    "body",
    [
        {"role": "viewer"},
        {"role": "viewer", "subject": "a", "group": "b"},
        {"role": "king", "subject": "a"},
        {"role": "viewer", "subject": " a"},
        {"role": "viewer", "subject": "a", "orgs": ["*"]},
        {"role": "viewer", "subject": "a", "reason": " "},
        {"role": "viewer", "subject": "a", "until": "2026-01-01T00:00:00Z"},
    ],
)
def test_what_cannot_be_granted_is_refused(client: FlaskClient, body: dict[str, Any]) -> None:
    """Before anything is written."""
    assert post(client, **body).status_code == 400
    assert client.get("/api/v1/roles").get_json()["items"] == []


def test_a_file_that_cannot_be_read_is_told_of(stage: Stage, client: FlaskClient) -> None:
    """Here, in status, and to whoever would change it."""
    edit = Decision("x", "x", "x", "x", stage.clock.now(), {layout.ACCESS: Raw(b"grants: 3\n")})
    stage.repo.commit(edit, base=stage.repo.read().base)
    assert client.get("/api/v1/roles").json == {"readable": False, "items": []}
    assert "access.yaml" in client.get("/api/v1/status").get_json()["problems"][0]
    answer = post(client, role="viewer", subject="a")
    assert (answer.status_code, "access.yaml" in answer.get_json()["title"]) == (400, True)


def test_an_admin_of_one_organization_rules_its_people(stage: Stage, client: FlaskClient) -> None:
    """Sees no grants of others, and gives none beyond."""
    post(client, role="operator", group="globex-ops", orgs=["globex"])
    olga = Holder("olga", frozenset({"admin"}), orgs=frozenset({"acme"}))
    token = stage.services.issue_token(olga, expires=None, by=ADMIN)
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    assert client.get("/api/v1/roles").get_json()["items"] == []
    assert post(client, role="operator", group="acme-ops", orgs=["acme"]).status_code == 200
    assert post(client, role="viewer", subject="olga").status_code == 403
    assert post(client, role="admin", subject="olga").status_code == 403
    assert post(client, "/revoke", role="operator", group="globex-ops").status_code == 404
    assert [each["to"] for each in client.get("/api/v1/roles").get_json()["items"]] == [{"group": "acme-ops"}]
