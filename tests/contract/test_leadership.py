"""Of all processes on one database one leads, until it lets go, dies, or loses its connection."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.contract.leading import leader_of
from tests.contract.places import Place
from tests.processes import eventually
from ums.adapters._database import Database
from ums.adapters.leadership import FileLeadership, PostgresLeadership
from ums.domain.errors import StorageError, UnavailableError
from ums.ports import Leadership

Make = Callable[[], Leadership]


@pytest.fixture
def make(place: Place, tmp_path: Path) -> Iterator[Make]:
    """Give what makes one process' part; each has a connection of its own."""
    made: list[Leadership] = []

    def new() -> Leadership:
        made.append(leader_of(place.url, place.password, tmp_path / "leader.lock"))
        return made[-1]

    yield new
    for leadership in made:
        leadership.release()


def test_one_leads_until_it_lets_go(make: Make) -> None:
    """However often the others ask; letting go twice is fine."""
    first, second = make(), make()
    assert first.held()
    assert not second.held()
    assert first.held()
    assert not second.held()
    first.release()
    first.release()
    eventually(second.held, timeout=10, what="the server noticed", every=0.01)
    assert not first.held()
    second.release()


def test_who_is_killed_leads_no_more(make: Make, place: Place, tmp_path: Path) -> None:
    """Another does at once, without any word of the first."""
    other = make()
    with subprocess.Popen(
        [sys.executable, "-m", "tests.contract.leading", place.url, str(tmp_path / "leader.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PGPASSWORD": place.password or ""},
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "leads\n"
            assert not other.held()
        finally:
            process.kill()
    killed = time.monotonic()
    eventually(other.held, timeout=10, what="another leads", every=0.02)
    assert time.monotonic() - killed < 2
    other.release()


def test_who_lost_its_connection_notices_and_may_lead_again(make: Make, place: Place) -> None:
    """At the next question; a file is lost with its process alone."""
    if place.url.startswith("sqlite"):
        pytest.skip("there is no connection")
    first, second = make(), make()
    assert first.held()
    place.run("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
    with pytest.raises(UnavailableError):
        first.held()
    eventually(second.held, timeout=10, what="the server noticed", every=0.01)
    assert not first.held()
    second.release()
    eventually(first.held, timeout=10, what="the server noticed", every=0.01)


def test_a_folder_that_is_gone_is_an_error_of_ours(tmp_path: Path) -> None:
    """Nobody leads then."""
    with pytest.raises(StorageError, match=r"^leader\.lock cannot be opened"):
        FileLeadership(tmp_path / "none" / "leader.lock").held()


def test_a_database_that_does_not_answer_has_no_leader(tmp_path: Path) -> None:
    """And says why."""
    url = f"postgresql://u@/d?host={tmp_path}"
    with closing(Database(url)) as database, pytest.raises(UnavailableError):
        PostgresLeadership(database).held()
