"""No request brings text that hides something from those who read it later."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient
from pydantic import BaseModel

from tests.unit.domain.test_text import FINE, HOSTILE
from tests.unit.usecases.stage import ADA, ADMIN, Stage
from ums.adapters._release_files import parse_policy
from ums.domain.errors import SpecError
from ums.domain.events import FluxEvent
from ums.domain.text import is_plain
from ums.web import requests
from ums.web.app import create_app

API = "/api/v1"


@pytest.fixture
def client(tmp_path: Path) -> FlaskClient:
    """Return a client of an admin."""
    stage = Stage(tmp_path)
    stage.add_plane()
    made = create_app(stage.services).test_client()
    made.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {stage.services.issue_token(ADA, expires=None, by=ADMIN)}"
    return made


@pytest.mark.parametrize("character", [each for each in HOSTILE if not "\ud800" <= each <= "\udfff"], ids=ascii)
def test_hidden_characters_are_refused(client: FlaskClient, character: str) -> None:
    """In words, names, lists, keys and parameters."""
    hidden = f"a{character}b"
    for path, body in (
        ("/freezes", {"reason": hidden}),
        ("/freezes", {"reason": "x", "channel": hidden}),
        ("/pdps", {"pdp": "acme/new", "channel": "edge", "bundles": [hidden]}),
        ("/pdps", {"pdp": "acme/new", "channel": "edge", "bundles": ["platform"], "labels": {hidden: "x"}}),
        ("/channels/stable/policy", {"policy": f"description: a{character}b\n", "reason": "x"}),
    ):
        answer = client.post(f"{API}{path}", json=body)
        assert answer.status_code == 400, (path, body)
        assert is_plain(answer.get_json()["title"])
    assert client.get(f"{API}/log", query_string={"path": hidden}).status_code == 400


def test_what_people_write_is_taken(client: FlaskClient) -> None:
    """Accents, scripts, emoji; and several lines in a reason, but not in a name."""
    assert client.post(f"{API}/freezes", json={"reason": f"{FINE}\n\tand more"}).status_code == 200
    assert client.post(f"{API}/freezes", json={"reason": "x", "channel": "a\nb"}).status_code == 400


def test_every_model_of_a_request_is_checked() -> None:
    """By their base, so that nobody forgets a field."""
    models = [
        each
        for each in vars(requests).values()
        if isinstance(each, type) and issubclass(each, BaseModel) and each is not BaseModel
    ]
    assert len(models) > 40
    assert [each for each in models if not issubclass(each, requests.Checked)] == []


def test_a_policy_hides_nothing() -> None:
    """Not by an escape of YAML either; the line is named."""
    for text in ("description: a\u202eb", 'description: "a\\u202eb"', 'description: "\\e[2J"', '"a\\u200b": 1'):
        with pytest.raises(SpecError, match=r"policy.yaml:2: .*not shown"):
            parse_policy(f"schema: 1\n{text}\n".encode(), "policy.yaml")


def test_a_cluster_s_message_is_shown_with_escapes() -> None:
    """It is kept, since it says what failed; lines of logs stay lines."""
    event = FluxEvent.from_dict(
        {
            "involvedObject": {"kind": "Kustomization", "name": "x", "namespace": "ums-system"},
            "severity": "error",
            "reason": "HealthCheckFailed",
            "message": "failed\n\x1b[2J\u202eok \ud800\0",
            "timestamp": "2026-12-01T00:00:00Z",
        }
    )
    assert event.message == "failed\n\\x1b[2J\\u202eok \\ud800\\x00"
