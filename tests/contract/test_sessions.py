"""What every store of sessions does, on each database."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from tests.contract.places import Place, new_place
from ums.adapters.sql_sessions import SqlSessions
from ums.domain.sessions import IDLE, LIFETIME, PATIENCE, PendingLogin, Person, Session
from ums.ports import SessionStore

NOW = datetime(2026, 11, 23, 12, 0, 0, 250_000, tzinfo=UTC)
ADA = Person("ada@example.com", frozenset({"security", "Zürich – ✓"}))
ONE, TWO = "1" * 64, "2" * 64
MOMENT = timedelta(milliseconds=1)


@pytest.fixture(params=["memory", "file", "postgresql"])
def sessions(request: pytest.FixtureRequest) -> Iterator[SessionStore]:
    """Give a store with nobody in it."""
    store = new_place(request.param, request).open()
    yield SqlSessions(store.database)
    store.close()


def test_a_session_reads_as_it_was_kept(sessions: SessionStore) -> None:
    """Until it is ended; others stay."""
    mine, other = Session(ADA, NOW, NOW), Session(Person("bob"), NOW, NOW)
    sessions.add_session(ONE, mine)
    sessions.add_session(TWO, other)
    assert (sessions.find_session(ONE), sessions.find_session("")) == (mine, None)
    assert sessions.end_session(ONE)
    assert not sessions.end_session(ONE)
    assert (sessions.find_session(ONE), sessions.find_session(TWO)) == (None, other)


def test_it_is_noted_when_a_session_was_used(sessions: SessionStore) -> None:
    """And nothing else of it changes."""
    sessions.add_session(ONE, Session(ADA, NOW, NOW))
    later = NOW + timedelta(minutes=5)
    sessions.touch_session(ONE, seen=later)
    assert sessions.find_session(ONE) == Session(ADA, NOW, later)


def test_a_login_is_taken_once(sessions: SessionStore) -> None:
    """And only by whoever knows it."""
    login = PendingLogin("/channels?x=1", NOW)
    sessions.add_login(ONE, login)
    assert sessions.take_login(TWO) is None
    assert sessions.take_login(ONE) == login
    assert sessions.take_login(ONE) is None


def test_of_several_who_take_a_login_one_gets_it(place: Place) -> None:
    """Whoever asks at the same moment."""
    store = place.open()
    sessions = SqlSessions(store.database)
    sessions.add_login(ONE, PendingLogin("/", NOW))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: sessions.take_login(ONE), range(8)))
    assert found.count(None) == 7
    store.close()


def test_pruning_drops_what_is_over(sessions: SessionStore) -> None:
    """Not a moment before: sessions that nobody used, sessions of long ago, and logins nobody came back from."""
    sessions.add_session(ONE, Session(ADA, NOW, NOW))
    sessions.add_login(ONE, PendingLogin("/", NOW))
    assert sessions.prune_sessions(now=NOW + PATIENCE - MOMENT) == 0
    assert sessions.prune_sessions(now=NOW + PATIENCE) == 1
    assert sessions.take_login(ONE) is None
    assert sessions.prune_sessions(now=NOW + IDLE - MOMENT) == 0
    assert sessions.prune_sessions(now=NOW + IDLE) == 1
    used = Session(ADA, NOW, NOW + LIFETIME - MOMENT)
    sessions.add_session(TWO, used)
    assert sessions.prune_sessions(now=NOW + LIFETIME - MOMENT) == 0
    assert sessions.find_session(TWO) == used
    assert sessions.prune_sessions(now=NOW + LIFETIME) == 1
    assert sessions.find_session(TWO) is None


def test_only_hashes_are_kept(place: Place) -> None:
    """Whoever reads the database can be nobody by it."""
    store = place.open()
    SqlSessions(store.database).add_session(ONE, Session(ADA, NOW, NOW))
    (row,) = place.run("SELECT * FROM sessions")
    assert row[:2] == (ONE, "ada@example.com")
    assert len(row) == 5
    store.close()
