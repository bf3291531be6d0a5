"""Bodies and queries have one reading: what two readers could take for two things is refused, naming it."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.unit.usecases.stage import Stage
from tests.unit.web.test_api import bearer
from ums.web.app import create_app

API = "/api/v1"


@pytest.fixture
def client(tmp_path: Path) -> FlaskClient:
    """Return a client of a service, logged in as an admin."""
    stage = Stage(tmp_path)
    made = create_app(stage.services).test_client()
    made.environ_base["HTTP_AUTHORIZATION"] = bearer(stage, "admin")["Authorization"]
    return made


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ('{"reason": "a", "reason": "b", "dryRun": true}', "'reason'"),
        ('{"reason": "a", "reason": "a", "dryRun": true}', "'reason'"),
        ('{"reason": "a", "dryRun": true, "\\u0064ryRun": false}', "'dryRun'"),
        ('{"reason": "a", "dry_run": true}', "dry_run"),
        ('{"reason": "a", "dryRun": true, "dry_run": false}', "dry_run"),
        ('{"reason": "a", "DryRun": true}', "DryRun"),
        ('{"reason": "a", "dryRun": true, "x": NaN}', "not JSON"),
        ('{"reason": "a", "dryRun": true, "x": Infinity}', "not JSON"),
        ('{"reason": "a", "dryRun": true} {}', "not JSON"),
        ("[]", "an object is needed"),
        ('"x"', "an object is needed"),
        ("null", "an object is needed"),
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"x":' * 40_000, "not JSON"),
        ('{"reason": ' + "1" * 10_000 + "}", ""),
        ('{"reason": "\\ud800", "dryRun": true}', "not JSON"),
        ("\ufeff{}", "not JSON"),
    ],
)
def test_a_body_with_two_readings_is_refused(client: FlaskClient, body: str, named: str) -> None:
    """With 400, which says what is wrong with it."""
    answer = client.post(f"{API}/freezes", data=body.encode(), content_type="application/json")
    assert answer.status_code == 400
    assert named in answer.get_json()["title"]


def test_a_member_that_is_there_twice_is_refused_at_any_depth(client: FlaskClient) -> None:
    """In what is free in form as well."""
    values = '{"platform": {"cilium": {"a": {"b": 1, "b": 2}}}}'
    body = f'{{"pdp": "acme/new", "channel": "edge", "bundles": ["platform"], "values": {values}}}'
    answer = client.post(f"{API}/pdps", data=body, content_type="application/json")
    assert (answer.status_code, "'b'" in answer.get_json()["title"]) == (400, True)


@pytest.mark.parametrize(
    "path",
    [
        "/pdps?channel=edge&channel=stable",
        "/log?limit=1&limit=1",
        "/log?limit=1&limit=",
        "/status?x=1&x=2",
        "/log?Limit=1",
    ],
)
def test_a_parameter_that_is_there_twice_or_unknown_is_refused(client: FlaskClient, path: str) -> None:
    """None of the two counts."""
    assert client.get(API + path).status_code == 400
