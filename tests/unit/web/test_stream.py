"""The stream: what is told, when, to whom, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.unit.usecases.stage import ADMIN, Stage
from tests.unit.web.documented import documented_client
from tests.unit.web.test_api import bearer
from ums.domain.identity import Holder
from ums.web import stream
from ums.web.app import create_app

STREAM = "/api/v1/stream"


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Return a service with a release, in a hurry."""
    monkeypatch.setattr(stream, "EVERY_SECONDS", 0.001)
    made = Stage(tmp_path)
    made.add_plane()
    made.publish("1.0.0")
    return made


@pytest.fixture
def client(stage: Stage) -> FlaskClient:
    """Return a client of its API."""
    return documented_client(create_app(stage.services))


def blocks(chunks: Iterator[bytes]) -> Iterator[dict[str, str]]:
    """Yield what was told, block by block."""
    for chunk in chunks:
        for block in chunk.decode().split("\n\n")[:-1]:
            yield dict(line.partition(": ")[::2] for line in block.splitlines())


def test_a_stream_tells_how_it_is_and_then_what_changes(stage: Stage, client: FlaskClient) -> None:
    """First the status; a promotion brings its events, where to go on from, and the new status."""
    with client.get(STREAM, headers=bearer(stage, "viewer")) as answer:
        told = blocks(iter(answer.response))  # type: ignore[arg-type]
        first = stage.services.release_repo.read().base.main
        assert next(told) == {"retry": "2000", "id": first}
        status = next(told)
        assert status["event"] == "status"
        assert json.loads(status["data"]) == client.get("/api/v1/status", headers=bearer(stage, "viewer")).get_json()
        stage.promote("1.0.0")
        happened, seen = [], next(told)
        while seen.get("event") == "happened":
            happened.append(json.loads(seen["data"])["type"])
            seen = next(told)
        assert happened[0] == "dev.ums.promotion.done"
        assert seen == {"id": stage.services.release_repo.read().base.main}
        channels = json.loads(next(told)["data"])["channels"]
        assert {"1.0.0"} == {each["release"] for channel in channels for each in channel["bundles"].values()}


def test_whoever_comes_back_misses_nothing(stage: Stage, client: FlaskClient) -> None:
    """By ``Last-Event-ID``, as browsers send it, which is newer than the address."""
    before = stage.services.release_repo.read().base.main
    stage.promote("1.0.0")
    headers = {**bearer(stage, "viewer"), "Last-Event-ID": before}
    told = client.get(f"{STREAM}?seconds=0&after=", headers=headers).text
    assert "dev.ums.promotion.done" in told
    assert told.startswith(f"retry: 2000\nid: {before}\n")
    assert f"id: {stage.services.release_repo.read().base.main}\n\n" in told
    assert (
        "promotion" not in client.get(f"{STREAM}?seconds=0", headers=bearer(stage, "viewer")).text.partition("data")[0]
    )


def test_a_stream_ends_in_time_or_when_the_database_does(stage: Stage, client: FlaskClient) -> None:
    """And says why, where it was not time."""
    headers = bearer(stage, "viewer")
    assert client.get(f"{STREAM}?seconds=0", headers=headers).text.count("event: ") == 1
    with client.get(STREAM, headers=headers) as answer:
        told = blocks(iter(answer.response))  # type: ignore[arg-type]
        assert [next(told).get("event"), next(told).get("event")] == [None, "status"]
        with stage.store.database.engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE reports")
        assert next(told)["event"] == "problem"
        assert list(told) == []


def test_a_commit_that_is_none_of_ours_is_an_error_at_once(stage: Stage, client: FlaskClient) -> None:
    """Before anything was told."""
    answer = client.get(f"{STREAM}?after={'0' * 40}", headers=bearer(stage, "viewer"))
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")


def test_only_so_many_streams_are_open_at_a_time(stage: Stage, client: FlaskClient) -> None:
    """Each reads the fleet; one that is closed makes room, read or not. Nobody takes the places of all others."""
    holders = [Holder(name, frozenset({"viewer"})) for name in ("vic", "uma", "sam")]
    tokens = [stage.services.issue_token(holder, expires=None, by=ADMIN) for holder in holders]
    vic, uma, sam = ({"Authorization": f"Bearer {token}"} for token in tokens)
    opened = ExitStack()
    with opened:
        for headers, others in ((vic, uma), (uma, sam)):
            for _ in range(stream.PLACES_EACH):
                assert opened.enter_context(client.get(STREAM, headers=headers)).status_code == 200
            for each in (headers,) if others is uma else (headers, others):
                refused: Any = client.get(STREAM, headers=each)
                assert (refused.status_code, refused.get_json()["type"]) == (503, "urn:ums:error:unavailable")
    for headers in (vic, uma, sam):
        assert client.get(f"{STREAM}?seconds=0", headers=headers).status_code == 200


def test_a_silent_stream_gives_a_sign_now_and_then(
    stage: Stage, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a proxy would take it for dead."""
    monkeypatch.setattr(stream, "_BEAT_SECONDS", 0.0)
    with client.get(STREAM, headers=bearer(stage, "viewer")) as answer:
        chunks = filter(None, answer.response)
        assert [next(chunks)[:6], next(chunks)[:6]] == [b"retry:", b"event:"]
        assert next(chunks) == b":\n\n"
