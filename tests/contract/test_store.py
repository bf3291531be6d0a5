"""What every store of observations and tokens does."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ums.adapters.sql_store import SqlStore
from ums.domain.errors import StorageError
from ums.domain.fleet import Health, Report
from ums.domain.identity import Identity
from ums.domain.names import PDPName
from ums.ports import Store

NOW = datetime(2026, 11, 23, 12, 0, 0, 250_000, tzinfo=UTC)
PROD, TEST = PDPName("acme", "prod"), PDPName("acme", "test")
TOKEN = hashlib.sha256(b"a token").hexdigest()


def report(serial: int = 5, health: Health = Health.HEALTHY, *, seconds: int = 0, heard: int = 0) -> Report:
    """Return what a data plane said."""
    at, received = NOW + timedelta(seconds=seconds), NOW + timedelta(seconds=heard)
    return Report(serial, health, "Zürich – ✓", "platform-cilium", at, received)


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Give an empty store."""
    made = SqlStore("sqlite://" if request.param == "memory" else f"sqlite:///{tmp_path}/ums.db")
    yield made
    made.close()


def test_nothing_is_known_of_nobody(store: Store) -> None:
    """A new store is empty."""
    assert dict(store.reports()) == {}


def test_a_report_reads_as_it_was_recorded(store: Store) -> None:
    """To the fraction of a second, in every letter, each data plane its own."""
    mine, other = report(), replace(report(2**40, Health.FAILED, seconds=1), applied=True)
    assert store.record(PROD, mine)
    assert store.record(TEST, other)
    assert dict(store.reports()) == {PROD: mine, TEST: other}
    assert [store.report(name) for name in (PROD, TEST, PDPName("acme", "dev"))] == [mine, other, None]


@pytest.mark.parametrize(
    ("later", "kept"),
    [
        (report(6, seconds=-9), True),
        (report(4, seconds=9), False),
        (report(seconds=1), True),
        (report(seconds=-1), False),
        (report(heard=60), False),
        (report(health=Health.FAILED), False),
        (report(health=Health.FAILED, seconds=1), True),
    ],
)
def test_the_newest_report_is_kept(store: Store, later: Report, *, kept: bool) -> None:
    """By serial, then the sender's time, then health; when it was heard does not count."""
    store.record(PROD, report())
    assert store.record(PROD, later) is kept
    assert store.reports()[PROD] == (later if kept else report())


def test_of_one_second_the_better_end_is_kept(store: Store) -> None:
    """Flux's clock is as fine as a second: failed, then healthy, is healthy in any order."""
    store.record(PROD, report(health=Health.UPDATING))
    assert store.record(PROD, report(health=Health.FAILED))
    assert store.record(PROD, report(health=Health.HEALTHY))
    assert not store.record(PROD, report(health=Health.FAILED))


def test_what_was_forgotten_is_not_known(store: Store) -> None:
    """Then an older report is news; the other data planes stay, and forgetting twice is fine."""
    store.record(PROD, report(9))
    store.record(TEST, report(9))
    store.forget(PROD)
    store.forget(PROD)
    assert list(store.reports()) == [TEST]
    assert store.record(PROD, report(1))


def test_a_token_stands_for_who_it_was_made_for(store: Store) -> None:
    """With groups and bundles, and for nobody else."""
    identity = Identity("ci", frozenset({"publisher", "viewer"}), frozenset({"platform", "flux"}))
    store.add_token(TOKEN, identity, expires=None)
    assert store.find_identity(TOKEN, now=NOW + timedelta(days=9999)) == identity
    assert store.find_identity(TOKEN.swapcase(), now=NOW) is None
    assert store.find_identity("", now=NOW) is None


def test_a_token_ends_at_its_end(store: Store) -> None:
    """At that very moment, not after it."""
    store.add_token(TOKEN, Identity("ci", frozenset({"viewer"})), expires=NOW)
    assert store.find_identity(TOKEN, now=NOW - timedelta(milliseconds=1)) is not None
    assert store.find_identity(TOKEN, now=NOW) is None


def test_what_was_kept_outlives_the_process(tmp_path: Path) -> None:
    """A file is opened again with what is in it."""
    url = f"sqlite:///{tmp_path}/ums.db"
    first = SqlStore(url)
    first.record(PROD, report())
    first.add_token(TOKEN, Identity("ci", frozenset({"viewer"})), expires=None)
    first.close()
    second = SqlStore(url)
    assert dict(second.reports()) == {PROD: report()}
    assert second.find_identity(TOKEN, now=NOW) is not None
    second.close()


def test_many_threads_leave_the_newest(tmp_path: Path) -> None:
    """Events of one data plane may come in at once; none of them fails."""
    store = SqlStore(f"sqlite:///{tmp_path}/ums.db")
    store.record(PROD, report(0))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda serial: store.record(PROD, report(serial)), range(1, 41)))
    assert store.reports()[PROD].serial == 40
    store.close()


def test_the_first_reports_of_a_data_plane_may_come_at_once(tmp_path: Path) -> None:
    """The race to insert is not an error for who loses it."""
    store = SqlStore(f"sqlite:///{tmp_path}/ums.db")
    for round_number in range(10):
        name = PDPName("acme", f"plane-{round_number}")
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda serial, name=name: store.record(name, report(serial)), range(1, 9)))
        assert store.reports()[name].serial == 8
    store.close()


def test_a_database_that_cannot_be_opened_is_a_storage_error(tmp_path: Path) -> None:
    """Ours, with the driver's own as its cause."""
    with pytest.raises(StorageError) as caught:
        SqlStore(f"sqlite:///{tmp_path}/no/such/folder/ums.db")
    assert isinstance(caught.value.__cause__, Exception)


def test_a_database_that_breaks_under_us_is_a_storage_error(tmp_path: Path) -> None:
    """Not a stack trace of SQL: a table that went missing, for instance."""
    store = SqlStore(f"sqlite:///{tmp_path}/ums.db")
    with sqlite3.connect(tmp_path / "ums.db") as connection:
        connection.execute("DROP TABLE reports")
    connection.close()
    with pytest.raises(StorageError, match="refused"):
        store.record(PROD, report())
    store.close()
