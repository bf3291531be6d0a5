"""The route on which reporters tell what they saw in a cluster."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.unit.usecases.stage import ADMIN, PROD, Stage
from tests.unit.web.test_api import bearer
from tests.unit.web.test_event_route import key_of
from ums.domain.errors import RefusedError
from ums.domain.fleet import Facts
from ums.domain.identity import Holder
from ums.domain.names import PDPName
from ums.domain.version import Version
from ums.usecases.record_cluster import REPORTS
from ums.web.app import create_app
from ums.web.requests import MAX_BODY_BYTES

SAID = {
    "at": "2020-01-01T00:00:00Z",
    "kubernetes": "v1.34.1+k3s1",
    "flux": "v2.9.0",
    "images": ["registry.example.com/b@sha256:2", "registry.example.com/a:1", "registry.example.com/a:1"],
}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return a data plane whose registration knows its Flux, and an older Kubernetes than it has."""
    made = Stage(tmp_path)
    made.add_plane(facts=Facts(Version("1.30.0"), Version("2.9.1")))
    return made


@pytest.fixture
def client(stage: Stage) -> FlaskClient:
    """Return a client that has no token."""
    return create_app(stage.services).test_client()


def send(stage: Stage, client: FlaskClient, said: Any = None, pdp: PDPName = PROD, **fields: Any) -> TestResponse:  # noqa: ANN401 - any JSON value
    """Send what the reporter of PROD signed."""
    content = said if isinstance(said, bytes) else json.dumps({**SAID, **fields} if said is None else said).encode()
    signature = hmac.new(key_of(stage), content, hashlib.sha256).hexdigest()
    return client.post(f"/api/v1/pdps/{pdp}/report", data=content, headers={"X-Signature": f"sha256={signature}"})


def shown(stage: Stage, client: FlaskClient) -> Any:  # noqa: ANN401 - any JSON value
    """Return the data plane as the API shows it."""
    return client.get(f"/api/v1/pdps/{PROD}", headers=bearer(stage, "viewer")).get_json()


def test_what_was_reported_beats_the_registration(stage: Stage, client: FlaskClient) -> None:
    """Field by field; before there is a report, nothing is shown of one."""
    assert shown(stage, client)["cluster"] is None
    answer = send(stage, client, flux=None)
    assert (answer.status_code, answer.json) == (202, {"recorded": True})
    found = shown(stage, client)
    assert found["facts"] == {"kubernetes": "1.34.1", "flux": "2.9.1"}
    assert found["cluster"] == {
        "heard": "2026-11-23T12:00:00Z",
        "kubernetes": "1.34.1",
        "flux": None,
        "images": ["registry.example.com/a:1", "registry.example.com/b@sha256:2"],
    }
    assert stage.services.record.world().plane(PROD).facts == Facts(Version("1.34.1"), Version("2.9.1"))


def test_it_decides_what_a_data_plane_may_get(stage: Stage, client: FlaskClient) -> None:
    """A release that needs a newer Kubernetes than the registration says is promoted once that was reported."""
    stage.publish("1.0.0", requires={"kubernetes": ">=1.34"})
    with pytest.raises(RefusedError):
        stage.promote("1.0.0")
    send(stage, client)
    stage.promote("1.0.0", "stable")
    assert stage.running() == {"cilium": "1.0.0", "gateway": "1.0.0"}


@pytest.mark.parametrize("at", ["2019-12-31T23:59:59Z", SAID["at"]])
def test_what_was_captured_turns_nothing_back(stage: Stage, client: FlaskClient, at: str) -> None:
    """Played again it is taken, and changes nothing."""
    send(stage, client)
    before = shown(stage, client)
    stage.clock.advance(timedelta(minutes=15))
    answer = send(stage, client, at=at, kubernetes="v1.20.0")
    assert (answer.status_code, answer.json) == (202, {"recorded": False})
    assert shown(stage, client)["cluster"] == before["cluster"]


def test_a_clock_may_be_ahead_by_a_day(stage: Stage, client: FlaskClient) -> None:
    """Further, and a clock that is set right would be told for years that it is late."""
    assert send(stage, client, at="2026-11-24T12:00:00Z").json == {"recorded": True}


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"{",
        b"[" * 100_000,
        [],
        {},
        {**SAID, "at": 5},
        {**SAID, "at": "yesterday"},
        {**SAID, "at": "2026-11-24T12:00:01Z"},
        {**SAID, "at": "9999-12-31T23:59:59-23:59"},
        {**SAID, "kubernetes": "new"},
        {**SAID, "kubernetes": {}},
        {**SAID, "flux": "1." * 100_000},
        {**SAID, "images": "a"},
        {**SAID, "images": [1]},
        {**SAID, "images": ["a b"]},
        {**SAID, "images": ["a\0"]},
        {**SAID, "images": ["\ud800"]},
        {**SAID, "images": [""]},
        {**SAID, "images": ["a" * 513]},
        {**SAID, "images": ["a"] * 1001},
        {**SAID, "secrets": []},
    ],
)
def test_what_is_no_report_is_invalid(stage: Stage, client: FlaskClient, said: Any) -> None:  # noqa: ANN401 - any JSON value
    """However well it is signed; nothing is kept."""
    answer = send(stage, client, said)
    assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")
    assert stage.store.cluster(PROD) is None


def test_the_largest_that_is_allowed_is_taken(stage: Stage, client: FlaskClient) -> None:
    """A thousand images; and one of 512 characters."""
    images = [f"{number:04}" + "a" * 200 for number in range(999)] + ["b" * 512]
    assert send(stage, client, images=images).status_code == 202
    assert shown(stage, client)["cluster"]["images"] == images
    assert send(stage, client, b" " * (MAX_BODY_BYTES + 1)).status_code == 413


def test_nobody_speaks_for_another_or_learns_who_is_there(stage: Stage, client: FlaskClient) -> None:
    """A wrong key and an unknown name get the same answer."""
    other, nobody = PDPName("acme", "other"), PDPName("acme", "none")
    stage.add_plane(other)
    wrong, unknown = send(stage, client, pdp=other), send(stage, client, pdp=nobody)
    assert wrong.status_code == unknown.status_code == 401
    assert unknown.data.replace(str(nobody).encode(), str(other).encode()) == wrong.data
    assert not stage.store.facts()


def test_who_reports_too_much_waits(stage: Stage, client: FlaskClient) -> None:
    """Until there is room for one more."""
    for _ in range(REPORTS.burst):
        assert send(stage, client).status_code == 202
    refused = send(stage, client)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "60")
    stage.clock.advance(timedelta(minutes=1))
    assert send(stage, client).status_code == 202


def test_a_cluster_is_shown_to_whose_it_is(stage: Stage, client: FlaskClient) -> None:
    """Not even that there is one is told to others."""
    send(stage, client)
    stranger = Holder("olga", frozenset({"viewer"}), orgs=frozenset({"globex"}))
    token = stage.services.issue_token(stranger, expires=None, by=ADMIN)
    answer = client.get(f"/api/v1/pdps/{PROD}", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 404
    assert stage.services.see.cluster(stranger.identity, PROD) is None
    assert stage.services.see.cluster(ADMIN, PROD) is not None
