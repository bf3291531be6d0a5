"""A change that is asked for twice is made once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.unit.usecases.stage import ADA, ADMIN, Stage
from tests.unit.web.documented import document, documented_client
from tests.unit.web.role_table import CHANGES, READERS
from ums.domain.errors import StorageError
from ums.domain.identity import ROLES, Holder
from ums.domain.throttling import Rate
from ums.web.app import create_app
from ums.web.once import NEEDED

API = "/api/v1"
PLANE: dict[str, object] = {"pdp": "acme/new", "channel": "edge", "bundles": ["platform"]}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return a service."""
    return Stage(tmp_path)


@pytest.fixture
def client(stage: Stage) -> FlaskClient:
    """Return a client of its API, logged in as an admin."""
    made = documented_client(create_app(stage.services))
    made.environ_base["HTTP_AUTHORIZATION"] = bearer(stage, ADA)
    return made


def bearer(stage: Stage, holder: Holder) -> str:
    """Return the authorization of a new token."""
    return f"Bearer {stage.services.issue_token(holder, expires=None, by=ADMIN)}"


def post(client: FlaskClient, path: str, body: dict[str, object], key: str = "k", **headers: str) -> TestResponse:
    """Ask for a change with a key."""
    return client.post(API + path, json=body, headers={"Idempotency-Key": key, **headers})


def test_the_same_request_has_the_same_answer(stage: Stage, client: FlaskClient) -> None:
    """For a day, whatever happened since; without its key it would have another."""
    first = post(client, "/pdps", PLANE)
    base = stage.repo.read().base
    again = post(client, "/pdps", PLANE)
    assert (first.status_code, again.status_code, again.get_json()) == (201, 201, first.get_json())
    assert ("Idempotency-Replayed" in first.headers, again.headers["Idempotency-Replayed"]) == (False, "true")
    assert first.get_json()["recorded"]
    assert stage.repo.read().base == base
    assert not post(client, "/pdps", PLANE, "other").get_json()["recorded"]
    stage.clock.advance(timedelta(days=1, seconds=1))
    assert not post(client, "/pdps", PLANE).get_json()["recorded"]


def test_a_key_is_for_one_request(client: FlaskClient) -> None:
    """Of one asker, on one route."""
    assert post(client, "/pdps", PLANE).status_code == 201
    other = post(client, "/pdps", {**PLANE, "pdp": "acme/other"})
    assert (other.status_code, other.get_json()["type"]) == (422, "urn:ums:error:key-reused")
    assert post(client, "/freezes", {"reason": "x"}).status_code == 200


def test_keys_of_others_do_not_meet(stage: Stage, client: FlaskClient) -> None:
    """Nobody reads what somebody else was answered."""
    assert post(client, "/freezes", {"reason": "x"}).status_code == 200
    viewer = bearer(stage, Holder("eve", frozenset({"viewer"})))
    assert post(client, "/freezes", {"reason": "x"}, Authorization=viewer).status_code == 403


def test_an_error_is_not_kept(stage: Stage, client: FlaskClient) -> None:
    """Nothing was done; when its reason is gone, the same request may be."""
    stage.publish("1.0.0")
    body: dict[str, object] = {"release": "platform@1.0.0"}
    assert post(client, "/channels/stable/promotions", body).status_code == 409
    stage.promote("1.0.0", "edge")
    assert post(client, "/channels/stable/promotions", body).status_code == 200


def test_a_secret_is_not_kept(stage: Stage, client: FlaskClient) -> None:
    """It is said that there was one, and no second is made."""
    body: dict[str, object] = {"subject": "ci", "groups": ["viewer"]}
    token = post(client, "/tokens", body).get_json()["token"]
    assert post(client, "/tokens", body).status_code == 409
    assert [each.identity.subject for each in stage.store.tokens()].count("ci") == 1
    with stage.store._database.reading() as connection:
        assert token not in str(connection.exec_driver_sql("SELECT * FROM answers").all())


@pytest.mark.parametrize("key", ["", " ", "x" * 201, "a b", "é"])
def test_a_key_is_plain(client: FlaskClient, key: str) -> None:
    """What cannot be one is told."""
    assert post(client, "/pdps", PLANE, key).status_code == 400


def test_what_was_done_is_told_though_it_cannot_be_kept(
    stage: Stage, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its key is free again some minutes later."""

    def refuse(*_: object) -> None:
        raise StorageError("full")

    with monkeypatch.context() as patch:
        patch.setattr(type(stage.store), "keep_answer", refuse)
        assert post(client, "/pdps", PLANE).status_code == 201
    assert post(client, "/pdps", PLANE).status_code == 409
    stage.clock.advance(timedelta(minutes=6))
    assert post(client, "/pdps", PLANE).status_code == 201


def test_every_change_takes_a_key() -> None:
    """And says so; reports do not, which are states, nor ends of sessions, which know nobody afterwards."""
    for path, found in document()["paths"].items():
        takes = [each["name"] for each in found.get("post", {}).get("parameters", ())]
        assert ("Idempotency-Key" in takes) is (
            "post" in found and not path.endswith(("}/events", "}/report", "/logout"))
        ), path


def kept(stage: Stage) -> int:
    """Return how many keys are held."""
    with stage.store.database.engine.connect() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM answers").scalar_one())


@pytest.mark.parametrize("path", sorted(path for path, row in CHANGES.items() if row.roles != READERS))
def test_nothing_is_kept_for_a_role_that_may_not_do_it(
    stage: Stage, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """It is refused before its key is claimed."""
    monkeypatch.setattr(stage.services.answer_once.store, "claim_key", lambda *_, **__: 1 / 0)
    row = CHANGES[path]
    for role in set(ROLES) - row.roles:
        login = bearer(stage, Holder(role, frozenset({role})))
        assert post(client, path, dict(row.body), Authorization=login).status_code == 403, role


def test_nothing_is_kept_of_what_changes_nothing(stage: Stage, client: FlaskClient) -> None:
    """A policy can be checked as often as somebody likes, with as many keys."""
    for number in range(3):
        answer = post(client, "/channels/edge/policy/lint", {"policy": "x"}, str(number))
        assert answer.status_code == 200
    assert kept(stage) == 0


def test_an_identity_has_only_so_many_keys(stage: Stage, client: FlaskClient) -> None:
    """Each keeps an answer for a day."""
    stage.services.keys_used.rate = Rate(3, timedelta(minutes=1))
    codes = [post(client, "/pdps", PLANE, str(number)).status_code for number in range(5)]
    assert ([code < 300 for code in codes[:3]], codes[3:]) == ([True] * 3, [429, 429])
    assert kept(stage) == 3
    assert client.post(f"{API}/pdps", json=PLANE).status_code < 300
    other = bearer(stage, Holder("ann", frozenset({"admin"})))
    assert post(client, "/pdps", PLANE, Authorization=other).status_code < 300


def test_every_change_says_what_it_needs(stage: Stage) -> None:
    """And only one of those that read does not."""
    rules = create_app(stage.services).url_map.iter_rules()
    posts = {rule.endpoint.rpartition(".")[2] for rule in rules if "POST" in (rule.methods or set())}
    assert posts - set(NEEDED) == {"lint_policy", "report_event", "report_cluster", "log_out"}
    assert set(NEEDED) < posts
