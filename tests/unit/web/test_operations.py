"""Health that tells the truth, and metrics for those who may read them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Event, Lock
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.processes import eventually
from tests.unit.usecases.stage import Stage
from tests.unit.web.test_api import bearer
from ums.adapters.git_release_repo import GitReleaseRepo
from ums.adapters.ssh_signature import SSHStateSigner
from ums.usecases.check_health import Check, CheckHealth
from ums.web import operations
from ums.web.app import create_app

LIVE, READY = "/healthz", "/readyz"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Give a service on a real repository and a real file, with a loop that ran just now."""
    GitReleaseRepo.create(tmp_path / "release-repo.git")
    signer = SSHStateSigner.load_or_generate(tmp_path / "state.key")
    repo = GitReleaseRepo(tmp_path / "release-repo.git", signer, author="UMS <ums@localhost>")
    (tmp_path / "data").mkdir()
    made = Stage(tmp_path / "data", database=f"sqlite:///{tmp_path}/ums.db", release_repo=repo)
    made.services.pulse.start(timedelta(seconds=10), made.clock.now(), {"scheduler": lambda: True})
    yield made
    made.store.close()


@pytest.fixture
def client(stage: Stage) -> FlaskClient:
    """Return a client without a token."""
    return create_app(stage.services).test_client(use_cookies=False)


def ask(client: FlaskClient, path: str) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Return the status, each check's, and the answer."""
    answer = client.get(path)
    body = answer.get_json()
    assert body["status"] == ("ok" if answer.status_code == 200 else "fail")
    assert all(set(each) == {"name", "status", "message"} and each["message"] for each in body["checks"])
    return answer.status_code, {each["name"]: each["status"] for each in body["checks"]}, body


def test_all_is_well(client: FlaskClient) -> None:
    """Every check says so."""
    assert ask(client, LIVE)[:2] == (200, {"loop": "pass", "threads": "pass"})
    expected = {"release-repo": "pass", "database": "pass", "loop": "pass", "threads": "pass"} | {
        "clock": "pass",
        "disk": "pass",
    }
    assert ask(client, READY)[:2] == (200, expected)


def test_without_its_repository_it_lives_and_is_not_ready(client: FlaskClient, tmp_path: Path) -> None:
    """And is again when the repository is back."""
    repo = tmp_path / "release-repo.git"
    repo.rename(tmp_path / "elsewhere")
    assert ask(client, LIVE)[0] == 200
    status, checks, body = ask(client, READY)
    assert (status, checks["release-repo"], checks["database"]) == (503, "fail", "pass")
    assert str(tmp_path) not in str(body)
    (tmp_path / "elsewhere").rename(repo)
    assert ask(client, READY)[0] == 200


def test_a_repository_that_is_damaged_is_not_ready(client: FlaskClient, tmp_path: Path) -> None:
    """Its head is gone."""
    shutil.rmtree(tmp_path / "release-repo.git" / "objects")
    (tmp_path / "release-repo.git" / "HEAD").unlink()
    status, checks, _ = ask(client, READY)
    assert (status, checks["release-repo"]) == (503, "fail")


def test_without_its_database_it_lives_and_is_not_ready(stage: Stage, client: FlaskClient, tmp_path: Path) -> None:
    """Closed, and its file is not there to be opened again."""
    stage.store.close()
    for path in tmp_path.glob("ums.db*"):
        path.unlink()
    (tmp_path / "ums.db").mkdir()
    assert ask(client, LIVE)[0] == 200
    status, checks, _ = ask(client, READY)
    assert (status, checks["database"], checks["release-repo"]) == (503, "fail", "pass")
    (tmp_path / "ums.db").rmdir()


def test_a_database_that_is_no_database_is_not_ready(stage: Stage, client: FlaskClient, tmp_path: Path) -> None:
    """Its content was written over."""
    stage.store.close()
    for path in tmp_path.glob("ums.db*"):
        path.unlink()
    (tmp_path / "ums.db").write_bytes(b"no database" * 1000)
    status, checks, _ = ask(client, READY)
    assert (status, checks["database"]) == (503, "fail")


def test_a_data_folder_that_is_gone_is_not_ready(client: FlaskClient, tmp_path: Path) -> None:
    """There is nothing to write to."""
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    status, checks, _ = ask(client, READY)
    assert (status, checks["disk"]) == (503, "fail")


def test_a_loop_that_stands_is_dead(stage: Stage, client: FlaskClient) -> None:
    """After ten intervals, and never before five minutes: a large fleet takes its time."""
    stage.clock.advance(5 * MINUTE)
    assert ask(client, LIVE)[0] == ask(client, READY)[0] == 200
    stage.clock.advance(timedelta(seconds=1))
    assert ask(client, LIVE)[:2] == (503, {"loop": "fail", "threads": "pass"})
    assert ask(client, READY)[0] == 503
    stage.services.pulse.start(MINUTE, stage.clock.now(), {})
    stage.clock.advance(10 * MINUTE)
    assert ask(client, LIVE)[0] == 200


def test_a_thread_that_ended_is_dead(stage: Stage, client: FlaskClient) -> None:
    """Whichever it is, it is named."""
    threads = {"due": lambda: False, "scheduler": lambda: True}
    stage.services.pulse.start(MINUTE, stage.clock.now(), threads)
    status, checks, body = ask(client, LIVE)
    assert (status, checks) == (503, {"loop": "pass", "threads": "fail"})
    assert "due" in str(body)
    assert "scheduler" not in str(body)


def test_files_that_are_wrong_warn(stage: Stage, client: FlaskClient) -> None:
    """The others count on, so it is ready; which files they are is not for everybody."""
    from ums.domain.world import Decision, Raw  # noqa: PLC0415 - this test alone writes

    files = {"channels/secret-project/policy.yaml": Raw(b"nonsense: true"), "risks/x.yaml": Raw(b"[")}
    repo = stage.release_repo
    repo.commit(Decision("a", "a", "a", "a", stage.clock.now(), {**files}), base=repo.read().base)
    status, checks, body = ask(client, READY)
    assert (status, checks["files"]) == (200, "warn")
    assert "secret-project" not in str(body)


ELSEWHERE = {"REMOTE_ADDR": "192.0.2.7"}
PROMETHEUS = {
    "User-Agent": "Prometheus/3.5.0",
    "Accept": "text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
    "Accept-Encoding": "gzip",
    "X-Prometheus-Scrape-Timeout-Seconds": "10",
}


def test_metrics_are_for_viewers_and_this_machine(stage: Stage, client: FlaskClient) -> None:
    """Not for clients elsewhere, nor with a token that is none."""
    assert client.get("/metrics", headers=PROMETHEUS).status_code == 200
    assert client.get("/metrics", environ_base={"REMOTE_ADDR": "::1"}).status_code == 200
    assert client.get("/metrics", environ_base={"REMOTE_ADDR": "::ffff:127.0.0.1"}).status_code == 200
    assert client.get("/metrics", environ_base=ELSEWHERE).status_code == 401
    assert client.get("/metrics", environ_base={"REMOTE_ADDR": ""}).status_code == 401
    assert client.get("/metrics", environ_base=ELSEWHERE, headers=bearer(stage, "viewer")).status_code == 200
    assert client.get("/metrics", headers={"Authorization": "Bearer ums_wrong"}).status_code == 401


@pytest.mark.parametrize(
    "name",
    [
        *("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Server", "Forwarded", "X-Real-IP", "Via", "X-Client-IP"),
        *("CF-Connecting-IP", "X-Envoy-External-Address", "X-Original-URI", "Cookie", "Origin", "Sec-Fetch-Site"),
    ],
)
def test_metrics_and_details_are_not_for_clients_of_a_proxy_or_a_page(client: FlaskClient, name: str) -> None:
    """Whatever a scraper does not send, a proxy or a browser may have added."""
    assert client.get("/metrics", headers={name: "127.0.0.1"}).status_code == 401
    assert all(not each["message"] for each in client.get(READY, headers={name: "127.0.0.1"}).get_json()["checks"])


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8080", "LOCALHOST", "127.0.0.1:80", "127.8.8.8", "[::1]:8080"]
)
def test_metrics_are_for_those_who_ask_for_this_machine(client: FlaskClient, host: str) -> None:
    """By one of its own names."""
    assert client.get("/metrics", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        *("ums.example.com", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil@localhost"),
        *("[::1", "localhost,evil.example", "192.0.2.7:8080", "localhost:80:80", ""),
    ],
)
def test_metrics_are_not_for_those_who_ask_for_another_host(client: FlaskClient, host: str) -> None:
    """A page may have its own name mean this machine, and a browser here asks (DNS rebinding)."""
    assert client.get("/metrics", headers={"Host": host}).status_code in {400, 401}


def test_a_setting_says_who_reads_metrics_without_a_token(stage: Stage) -> None:
    """Nobody, or everybody."""
    never, always = (create_app(stage.services, anonymous=each).test_client() for each in ("never", "always"))
    assert never.get("/metrics").status_code == 401
    assert never.get("/metrics", headers=bearer(stage, "viewer")).status_code == 200
    assert always.get("/metrics", environ_base=ELSEWHERE, headers={"Host": "ums.example.com"}).status_code == 200


def test_strangers_learn_whether_it_is_well_and_no_more(stage: Stage, client: FlaskClient) -> None:
    """Commits, sizes and errors are for clients on this machine, and for those who may read."""
    for path in (LIVE, READY):
        known = client.get(path).get_json()
        asked = client.get(path, environ_base=ELSEWHERE).get_json()
        assert asked["status"] == known["status"]
        assert [(each["name"], each["status"], each["message"]) for each in asked["checks"]] == [
            (each["name"], each["status"], "") for each in known["checks"]
        ]
        told = client.get(path, environ_base=ELSEWHERE, headers=bearer(stage, "viewer")).get_json()
        assert all(each["message"] for each in told["checks"])
        wrong = client.get(path, environ_base=ELSEWHERE, headers={"Authorization": "Bearer ums_wrong"})
        assert (wrong.status_code, wrong.get_json()) == (200, asked)


def test_a_scrape_does_not_fail(client: FlaskClient, tmp_path: Path) -> None:
    """What cannot be read is a number, and the process is told of all the same."""
    answer = client.get("/metrics")
    assert answer.content_type.startswith("text/plain; version=0.0.4")
    assert "\nums_fleet_readable 1.0\n" in answer.text
    (tmp_path / "release-repo.git").rename(tmp_path / "elsewhere")
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert "\nums_fleet_readable 0.0\n" in answer.text
    assert "\nums_scrape_errors_total 1.0\n" in answer.text
    assert "ums_data_planes" not in answer.text


def test_a_scrape_outlives_what_nobody_foresaw(
    stage: Stage, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, with where it came from."""
    monkeypatch.setattr(stage.store, "reports", lambda: 1 / 0)
    assert "\nums_fleet_readable 0.0\n" in client.get("/metrics").text
    assert any(record.exc_info for record in caplog.records)


def test_who_asks_at_the_same_time_shares_a_look_at_the_service(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody may ask, and a look takes a while: it is taken once for all who asked before it began."""
    asked: list[int] = []
    looks: list[bool] = []
    may_look = Event()
    ready = type(stage.services.health).ready

    def look(health: CheckHealth) -> Sequence[Check]:
        looks.append(may_look.wait(30))
        return ready(health)

    monkeypatch.setattr(CheckHealth, "ready", look)
    monkeypatch.setattr(operations, "Lock", lambda: Counting(asked))
    client = create_app(stage.services).test_client(use_cookies=False)
    with ThreadPoolExecutor(20) as threads:
        answers = [threads.submit(client.get, READY) for _ in range(20)]
        eventually(lambda: len(asked) == 20, timeout=30, what="all have asked")
        may_look.set()
        assert {each.result().status_code for each in answers} == {200}
    assert len(looks) <= 2
    client.get(READY)
    assert len(looks) <= 3, "and later ones look again"


class Counting:
    """A lock that notes who asks for it."""

    def __init__(self, asked: list[int]) -> None:
        self._lock = Lock()
        self._asked = asked

    def __enter__(self) -> None:
        self._asked.append(1)
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
