"""History is kept for as long as was asked for."""

from __future__ import annotations

from datetime import timedelta

from tests.unit.usecases.stage import PROD, SettableClock
from ums.adapters.sql_sessions import SqlSessions
from ums.adapters.sql_store import SqlStore
from ums.domain.fleet import Health, Report
from ums.domain.sessions import IDLE, Person, Session
from ums.usecases.prune_history import PruneHistory


def test_what_is_older_than_the_retention_goes() -> None:
    """And not a day before."""
    clock, store = SettableClock(), SqlStore("sqlite://")
    for serial, health in enumerate((Health.FAILED, Health.HEALTHY)):
        store.record(PROD, Report(serial, health, "", "", clock.now(), clock.now()))
    prune = PruneHistory(store, SqlSessions(store.database), clock, timedelta(days=30))
    clock.advance(timedelta(days=30))
    assert prune() == 0
    clock.advance(timedelta(seconds=1))
    assert prune() == 1
    assert [each.health for each in store.list_health_changes(PROD, limit=9)] == [Health.HEALTHY]
    store.close()


def test_sessions_that_are_over_go_with_it() -> None:
    """Nobody asks for them any more."""
    clock, store = SettableClock(), SqlStore("sqlite://")
    sessions = SqlSessions(store.database)
    sessions.add_session("a" * 64, Session(Person("ada"), clock.now(), clock.now()))
    prune = PruneHistory(store, sessions, clock, timedelta(days=30))
    prune()
    assert sessions.find_session("a" * 64) is not None
    clock.advance(IDLE)
    prune()
    assert sessions.find_session("a" * 64) is None
    store.close()
