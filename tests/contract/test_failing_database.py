"""A database that is gone, full, busy or broken: one of our errors, with a hint, and never a secret in it."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.contract.places import Place
from tests.postgres import Postgres
from ums.adapters._database import _check_version
from ums.adapters.sql_store import SqlStore
from ums.domain.errors import InvalidInputError, StorageError, UmsError, UnavailableError
from ums.domain.fleet import Health, Report
from ums.domain.identity import Holder, Token
from ums.domain.names import PDPName

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PROD = PDPName("acme", "prod")
WRONG = "hunter2"


def report(serial: int, message: str = "fine") -> Report:
    """Return what a data plane said."""
    return Report(serial, Health.HEALTHY, message, "", NOW, NOW)


@pytest.fixture
def served(postgres: Postgres) -> Place:
    """Give a database on PostgreSQL."""
    return Place(postgres.create_database(), postgres.password)


def break_inserts(place: Place, statement: str) -> None:
    """Let a statement run in the database whenever a report is inserted."""
    place.run(
        f"CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {statement}; RETURN NEW; END $$",
        "CREATE TRIGGER broken BEFORE INSERT ON reports FOR EACH ROW EXECUTE FUNCTION broken()",
    )


@pytest.mark.parametrize("url", ["mysql://x/y", "nonsense", "postgresql://host:port/x", "sqlite+aiosqlite://"])
def test_a_url_of_no_database_that_we_know_is_wrong_input(url: str) -> None:
    """It is refused before anything is asked."""
    with pytest.raises(InvalidInputError):
        SqlStore(url)


def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    """Whoever starts it can try again; the password is not told."""
    with pytest.raises(UnavailableError, match="does not answer") as caught:
        SqlStore(f"postgresql://ums@/ums?host={tmp_path}", password=WRONG)
    assert "is PostgreSQL up" in caught.value.hint
    assert WRONG not in caught.value.message


def test_a_wrong_password_is_said_and_not_shown(served: Place) -> None:
    """PostgreSQL says which user it refuses."""
    with pytest.raises(UnavailableError, match="password authentication failed") as caught:
        SqlStore(served.url, password=WRONG)
    assert WRONG not in caught.value.message


def test_a_connection_lost_amid_a_transaction_is_unavailable(served: Place) -> None:
    """And the next call has a new one."""
    store = served.open()
    break_inserts(served, "IF NEW.message = 'lost' THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF")
    with pytest.raises(UnavailableError) as caught:
        store.record(PROD, report(1, "lost"))
    assert caught.value.hint
    assert store.reports() == {}
    assert store.record(PROD, report(1))
    store.close()


def test_a_server_that_restarted_meanwhile_is_not_noticed(served: Place) -> None:
    """Connections are asked for a sign of life before they are used."""
    store = served.open()
    store.record(PROD, report(1))
    served.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert store.reports() == {PROD: report(1)}
    store.close()


def test_a_server_that_is_too_old_is_refused() -> None:
    """What was never tried there is not promised."""
    for version, refused in ((140_009, True), (150_000, False), (180_001, False)):
        connection = SimpleNamespace(info=SimpleNamespace(server_version=version))
        with pytest.raises(StorageError, match="PostgreSQL 14 is too old") if refused else nullcontext():
            _check_version(connection, None)


def test_parameters_in_the_url_count_more_than_ours(served: Place) -> None:
    """Whoever writes them there knows the server."""
    store = SqlStore(f"{served.url}&application_name=mine", password=served.password)
    with store._database.reading() as connection:
        assert connection.exec_driver_sql("SHOW application_name").scalar() == "mine"
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "30s"
    store.close()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("53100", StorageError),
        ("42501", StorageError),
        ("XX001", StorageError),
        ("53300", UnavailableError),
        ("40P01", UnavailableError),
        ("55P03", UnavailableError),
        ("57014", UnavailableError),
        ("57P01", UnavailableError),
        ("22001", InvalidInputError),
    ],
)
def test_what_postgresql_answers_becomes_ours(served: Place, code: str, kind: type[UmsError]) -> None:
    """By its code; what it says after its first line may be secret, and stays out."""
    store = served.open()
    break_inserts(served, f"RAISE EXCEPTION 'no' USING ERRCODE = '{code}', DETAIL = 'secret'")
    with pytest.raises(kind, match="no") as caught:
        store.record(PROD, report(1))
    assert "secret" not in caught.value.message
    assert store.reports() == {}
    store.close()


def test_a_full_disk_keeps_what_was_there(tmp_path: Path) -> None:
    """SQLite says full; reading goes on."""
    store = Place(f"sqlite:///{tmp_path}/ums.db").open()
    store.record(PROD, report(1))
    with store._database.engine.connect() as connection:  # the one that the pool gives next
        connection.exec_driver_sql("PRAGMA max_page_count=1")
    with pytest.raises(StorageError, match="full") as caught:
        store.record(PROD, report(2, "x" * 100_000))
    assert caught.value.hint == "the disk is full: make room"
    assert store.reports() == {PROD: report(1)}
    store.close()


def test_a_file_that_another_holds_for_long_is_unavailable(tmp_path: Path) -> None:
    """Trying again helps, so it is no storage error."""
    place = Place(f"sqlite:///{tmp_path}/ums.db")
    store, other = place.open(), place.open()
    with store._database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=1")
    with other._database.writing(), pytest.raises(UnavailableError, match="busy"):
        store.record(PROD, report(1))
    assert store.record(PROD, report(1))
    store.close()
    other.close()


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    """It may be somebody's."""
    file = tmp_path / "ums.db"
    file.write_text("dear diary, " * 1000)
    with pytest.raises(StorageError) as caught:
        SqlStore(f"sqlite:///{file}")
    assert "no database" in caught.value.hint
    assert file.read_text().startswith("dear diary")


def test_all_connections_in_use_is_unavailable(tmp_path: Path) -> None:
    """Nobody waits for ever."""
    store = SqlStore(f"sqlite:///{tmp_path}/ums.db")
    pool = store._database.engine.pool
    pool._timeout = 0  # type: ignore[attr-defined]  # of QueuePool: ten seconds else
    held = [store._database.engine.connect() for _ in range(32)]
    with pytest.raises(UnavailableError, match="busy"):
        store.find_token("", now=NOW)
    for connection in held:
        connection.close()
    store.add_token("x", Token(Holder("ci"), expires=NOW + timedelta(days=1)))
    store.close()
