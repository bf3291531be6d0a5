"""What every security log does, on each database: one chain, whoever writes, and nothing half."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.contract.places import Place, new_place
from ums.adapters.sql_security_log import SqlSecurityLog
from ums.adapters.sql_store import SqlStore
from ums.domain.errors import StorageError
from ums.domain.identity import Holder, Token
from ums.domain.security_log import NOWHERE, Anchor, Anchored, Entry, Origin, SecurityEvent, SecurityKind, verify_chain
from ums.usecases.read_audit import all_entries

ROOT = Path(__file__).parent.parent.parent
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
WRITER = """
import sys
from tests.contract.places import Place
from tests.contract.test_security_log import happening
from ums.adapters.sql_security_log import SqlSecurityLog
store = Place(*sys.argv[1:]).open()
for number in range(25):
    SqlSecurityLog(store.database).append(happening(number))
store.close()
"""


def happening(
    number: int = 0, kind: SecurityKind = SecurityKind.TOKEN_ISSUED, subject: str = "ada", origin: Origin = NOWHERE
) -> SecurityEvent:
    """Return something that happened."""
    at = NOW + timedelta(seconds=number)
    return SecurityEvent.make(kind, at=at, subject=subject, what={"to": "Zoë ✓", "number": number}, origin=origin)


@pytest.fixture(params=["memory", "file", "postgresql"])
def store(request: pytest.FixtureRequest) -> Iterator[SqlStore]:
    """Give an empty database."""
    made = new_place(request.param, request).open()
    yield made
    made.close()


@pytest.fixture
def log(store: SqlStore) -> SqlSecurityLog:
    """Return the log in it."""
    return SqlSecurityLog(store.database)


def test_what_was_added_reads_as_it_was_and_follows_what_was_there(log: SqlSecurityLog) -> None:
    """In every letter; numbers begin at 1 and have no gaps."""
    assert (log.head(), log.read(after=0, limit=9), log.newest(limit=9)) == (None, [], [])
    added = [log.append(happening(number, origin=Origin("192.0.2.7", "r1"))) for number in range(3)]
    assert [each.seq for each in added] == [1, 2, 3]
    assert log.read(after=0, limit=9) == added
    assert log.head() == Anchor(3, added[2].hash)
    assert verify_chain(added, []).entries == 3


def test_it_is_read_in_pages_from_either_end(log: SqlSecurityLog) -> None:
    """And filtered from the newest on."""
    kinds = (SecurityKind.TOKEN_ISSUED, SecurityKind.PERMISSION_DENIED)
    added = [log.append(happening(number, kinds[number % 2], f"u{number % 3}")) for number in range(7)]
    assert [each.seq for each in log.read(after=2, limit=3)] == [3, 4, 5]
    assert list(all_entries(log)) == added
    assert [each.seq for each in log.newest(limit=2)] == [7, 6]
    assert [each.seq for each in log.newest(limit=2, before=4)] == [3, 2]
    assert [each.seq for each in log.newest(limit=9, kind=SecurityKind.PERMISSION_DENIED)] == [6, 4, 2]
    assert [each.seq for each in log.newest(limit=9, subject="u1")] == [5, 2]
    assert [each.seq for each in log.newest(limit=9, kind=SecurityKind.PERMISSION_DENIED, subject="u1")] == [2]
    assert [each.seq for each in log.newest(limit=9, since=added[4].at)] == [7, 6, 5]


def test_an_act_and_its_entry_are_kept_together_or_not_at_all(store: SqlStore, log: SqlSecurityLog) -> None:
    """Whichever of the two fails."""
    token = Token(Holder("ci", frozenset({"viewer"})))
    with log.together():
        store.add_token("a" * 64, token)
        log.append(happening())

    def fail(act: Callable[[], object]) -> None:
        with log.together():
            store.add_token("b" * 64, token)
            log.append(happening())
            act()

    with pytest.raises(ZeroDivisionError):
        fail(lambda: 1 // 0)
    with pytest.raises(StorageError):
        fail(lambda: store.add_token("a" * 64, token))
    assert [each.id for each in store.tokens()] == ["a" * 12]
    assert [each.seq for each in log.read(after=0, limit=9)] == [1]
    assert log.append(happening()).seq == 2


def test_many_threads_write_one_chain(place: Place) -> None:
    """As requests of one process do."""
    store = place.open()
    log = SqlSecurityLog(store.database)
    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(lambda number: log.append(happening(number)), range(80)))
    assert sorted(each.seq for each in added) == list(range(1, 81))
    found = list(all_entries(log))
    assert verify_chain(found, [Anchored("c", Anchor(80, found[-1].hash))]).entries == 80
    store.close()


def test_several_replicas_write_one_chain(place: Place) -> None:
    """No fork, and nobody is turned away."""
    place.open().close()
    command = [sys.executable, "-c", WRITER, place.url, *([place.password] if place.password else [])]
    processes = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 3, said
    store = place.open()
    chain = verify_chain(all_entries(SqlSecurityLog(store.database)), [])
    assert (chain.entries, chain.broken) == (75, None)
    store.close()


def chain_of(place: Place, anchors: list[Anchored]) -> tuple[int, str]:
    """Return the first row that does not hold, and why."""
    store = place.open()
    broken = verify_chain(all_entries(SqlSecurityLog(store.database)), anchors).broken
    store.close()
    return (broken.seq, broken.message) if broken else (0, "")


def filled(place: Place) -> list[Entry]:
    """Write ten rows."""
    store = place.open()
    added = [SqlSecurityLog(store.database).append(happening(number)) for number in range(10)]
    store.close()
    return added


@pytest.mark.parametrize(
    "change",
    [
        "at = '2020-01-01T00:00:00Z'",
        "kind = 'token.revoked'",
        "subject = 'eve'",
        """what = '{"number":4,"to":"eve"}'""",
        """what = '{"number": 3,"to":"Zoë ✓"}'""",
        "what = 'x'",
        "address = '192.0.2.9'",
        "request_id = 'r2'",
        "previous = ''",
        "hash = 'sha256:00'",
    ],
)
def test_a_row_that_was_changed_is_named(place: Place, change: str) -> None:
    """Whichever of its columns."""
    filled(place)
    assert chain_of(place, []) == (0, "")
    place.run(f"UPDATE security_events SET {change} WHERE seq = 4")  # noqa: S608 - ours
    seq, message = chain_of(place, [])
    assert seq == 4
    assert message.startswith("was changed")


def test_a_row_that_is_gone_is_named(place: Place) -> None:
    """Amid the others, at the beginning, and at the end if a commit names it or one behind it."""
    added = filled(place)
    anchors = [Anchored("early", Anchor(3, added[2].hash)), Anchored("late", Anchor(8, added[7].hash))]
    place.run("DELETE FROM security_events WHERE seq = 10")
    assert chain_of(place, anchors) == (0, "")  # behind the last anchor nobody can know
    place.run("DELETE FROM security_events WHERE seq = 8", "DELETE FROM security_events WHERE seq = 9")
    seq, message = chain_of(place, anchors)
    assert (seq, "commit late names one of them" in message) == (8, True)
    place.run("DELETE FROM security_events WHERE seq = 5")
    assert chain_of(place, anchors) == (5, "is missing")
    place.run("DELETE FROM security_events WHERE seq = 1")
    assert chain_of(place, anchors) == (1, "is missing")


def test_rows_written_anew_with_hashes_that_fit_are_not_what_was_anchored(place: Place) -> None:
    """Whoever owns the database can make a chain of any story, but not the commits."""
    added = filled(place)
    place.run("DELETE FROM security_events WHERE seq > 5")
    store = place.open()
    for number in range(5):
        SqlSecurityLog(store.database).append(happening(number, subject="eve"))
    store.close()
    assert chain_of(place, []) == (0, "")
    seq, message = chain_of(place, [Anchored("c", Anchor(5, added[4].hash)), Anchored("d", Anchor(9, added[8].hash))])
    assert seq == 9
    assert "is not the one that commit d names: a row from 6 on was replaced" in message
