"""What every store of observations and tokens does."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import pytest

from tests.contract.places import Place, new_place
from tests.postgres import Postgres
from ums.adapters.sql_store import SqlStore
from ums.domain.answers import Kept
from ums.domain.errors import InvalidInputError, StorageError
from ums.domain.fleet import Cluster, Facts, Health, HealthChange, Report
from ums.domain.identity import ID_LENGTH, Holder, Token
from ums.domain.names import PDPName
from ums.domain.version import Version
from ums.ports import Store

NOW = datetime(2026, 11, 23, 12, 0, 0, 250_000, tzinfo=UTC)
PROD, TEST = PDPName("acme", "prod"), PDPName("acme", "test")
TOKEN = hashlib.sha256(b"a token").hexdigest()


def report(serial: int = 5, health: Health = Health.HEALTHY, *, seconds: int = 0, heard: int = 0) -> Report:
    """Return what a data plane said."""
    at, received = NOW + timedelta(seconds=seconds), NOW + timedelta(seconds=heard)
    return Report(serial, health, "Zürich – ✓", "platform-cilium", at, received)


@pytest.fixture(params=["memory", "file", "postgresql"])
def store(request: pytest.FixtureRequest) -> Iterator[SqlStore]:
    """Give an empty store."""
    made = new_place(request.param, request).open()
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
    known = report().well if later.serial >= report().serial else 0
    assert store.reports()[PROD] == (replace(later, well=max(later.well, known)) if kept else report())


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
    holder = Holder("ci", frozenset({"publisher", "viewer"}), frozenset({"platform", "flux"}))
    store.add_token(TOKEN, Token(holder))
    assert store.find_token(TOKEN, now=NOW + timedelta(days=9999)) == Token(holder, id=TOKEN[:ID_LENGTH])
    assert store.find_token(TOKEN.swapcase(), now=NOW) is None
    assert store.find_token("", now=NOW) is None


def test_tokens_are_listed_without_themselves_and_revoked_by_id(store: Store) -> None:
    """With their limits, who issued them, and about when they were last used."""
    of = Holder("olga", frozenset({"operator"}), channels=frozenset({"edge"}), orgs=frozenset({"acme"}))
    token = Token(of, "ada", NOW, NOW + timedelta(days=1))
    store.add_token(TOKEN, token)
    store.add_token("f" * 64, Token(Holder("ci", frozenset({"viewer"})), issued=NOW - timedelta(days=1)))
    (first, second) = store.tokens()
    assert first == replace(token, id=TOKEN[:ID_LENGTH])
    assert (second.id, second.identity.subject) == ("f" * ID_LENGTH, "ci")
    before = None
    for minutes, used in ((1, 1), (2, 1), (9, 9)):
        found = store.find_token(TOKEN, now=NOW + timedelta(minutes=minutes))
        assert found == replace(token, id=TOKEN[:ID_LENGTH], last_used=before)
        before = store.tokens()[0].last_used
        assert before == NOW + timedelta(minutes=used)
    assert not any(
        store.revoke_token(each) for each in ("", "%", "0" * ID_LENGTH, TOKEN, TOKEN[: ID_LENGTH - 1], "%" * 12)
    )
    assert store.revoke_token(TOKEN[:ID_LENGTH])
    assert store.find_token(TOKEN, now=NOW) is None
    assert len(store.tokens()) == 1


def test_a_token_that_expired_is_known_and_not_used(store: Store) -> None:
    """It ends at that very moment, not after it."""
    store.add_token(TOKEN, Token(Holder("ci", frozenset({"viewer"})), expires=NOW))
    found = store.find_token(TOKEN, now=NOW)
    assert found is not None
    assert found.is_expired(NOW)
    assert not found.is_expired(NOW - timedelta(milliseconds=1))
    assert store.tokens()[0].last_used is None
    store.find_token(TOKEN, now=NOW - timedelta(milliseconds=1))
    assert store.tokens()[0].last_used == NOW - timedelta(milliseconds=1)


def test_what_was_kept_outlives_the_process(place: Place) -> None:
    """It is opened again with what is in it."""
    first = place.open()
    first.record(PROD, report())
    first.add_token(TOKEN, Token(Holder("ci", frozenset({"viewer"}))))
    first.close()
    second = place.open()
    assert dict(second.reports()) == {PROD: report()}
    assert second.find_token(TOKEN, now=NOW) is not None
    second.close()


def test_many_threads_leave_the_newest(place: Place) -> None:
    """Events of one data plane may come in at once; none of them fails."""
    store = place.open()
    store.record(PROD, report(0))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda serial: store.record(PROD, report(serial)), range(1, 41)))
    assert store.reports()[PROD].serial == 40
    store.close()


def test_the_first_reports_of_a_data_plane_may_come_at_once(place: Place) -> None:
    """The race to insert is not an error for who loses it."""
    store = place.open()
    for round_number in range(10):
        name = PDPName("acme", f"plane-{round_number}")
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda serial, name=name: store.record(name, report(serial)), range(1, 9)))
        assert store.reports()[name].serial == 8
        assert [each.health for each in store.list_health_changes(name, limit=9)] == [Health.HEALTHY]
    store.close()


def test_health_changes_are_kept_newest_first(store: Store) -> None:
    """Each with what was said when it changed; what only repeats or comes late is none."""
    said = [
        report(5, Health.UPDATING, heard=1),
        report(5, Health.UPDATING, seconds=1, heard=2),
        report(5, Health.FAILED, seconds=2, heard=3),
        report(4, Health.HEALTHY, seconds=3, heard=4),
        report(6, Health.FAILED, heard=5),
        report(6, Health.HEALTHY, seconds=1, heard=6),
    ]
    for each in said:
        store.record(PROD, each)
    store.record(TEST, report())
    expected = [
        HealthChange(each.health, each.component, each.message, each.serial, each.heard)
        for each in (said[5], said[2], said[0])
    ]
    assert store.list_health_changes(PROD, limit=9) == expected
    assert store.list_health_changes(PROD, limit=2) == expected[:2]
    assert len(store.list_health_changes(TEST, limit=9)) == 1
    assert store.list_health_changes(PDPName("acme", "dev"), limit=9) == []


def test_a_health_that_lasts_keeps_its_beginning(store: Store) -> None:
    """Through later reports, and through a new serial."""
    store.record(PROD, report(heard=1))
    store.record(PROD, report(seconds=5, heard=9))
    store.record(PROD, report(7, heard=20))
    assert store.reports()[PROD].since == NOW + timedelta(seconds=1)


def test_the_last_serial_that_was_well_stays_known(store: Store) -> None:
    """Whoever fails on a later one was not well on that; and nothing is believed of a serial from far ahead."""
    for serial, health, well in (
        (5, Health.UPDATING, 0),
        (5, Health.HEALTHY, 5),
        (7, Health.FAILED, 5),
        (8, Health.HEALTHY, 8),
        (8, Health.FAILED, 8),
    ):
        at = NOW + timedelta(seconds=10 * serial + well + (health is Health.FAILED))
        assert store.record(PROD, Report(serial, health, "", "", at, at))
        assert store.reports()[PROD].well == well
    store.update(PROD, lambda _known: Report(6, Health.FAILED, "", "", NOW, NOW))
    assert store.reports()[PROD].well == 0


def test_pruning_drops_what_ended_long_ago(store: Store) -> None:
    """A health that lasts to this day is no history, however long ago it began; of who is forgotten nothing stays."""
    for name in (PROD, TEST):
        store.record(name, report(1, Health.UPDATING, heard=1))
        store.record(name, report(2, Health.FAILED, heard=2))
        store.record(name, report(3, Health.HEALTHY, heard=3))
    store.forget(TEST)
    assert store.prune_health_changes(before=NOW + timedelta(seconds=2)) == 2
    assert [each.serial for each in store.list_health_changes(PROD, limit=9)] == [3, 2]
    assert store.prune_health_changes(before=NOW + timedelta(days=1)) == 3
    assert [each.serial for each in store.list_health_changes(PROD, limit=9)] == [3]
    assert store.list_health_changes(TEST, limit=9) == []
    assert store.prune_health_changes(before=NOW + timedelta(days=1)) == 0


def test_history_outlives_what_was_forgotten(store: Store) -> None:
    """And goes on with the next report."""
    store.record(PROD, report(9))
    store.forget(PROD)
    store.record(PROD, report(1))
    assert [each.serial for each in store.list_health_changes(PROD, limit=9)] == [1, 9]


def test_a_database_that_cannot_be_opened_is_a_storage_error(tmp_path: Path) -> None:
    """Ours, with the driver's own as its cause."""
    with pytest.raises(StorageError) as caught:
        SqlStore(f"sqlite:///{tmp_path}/no/such/folder/ums.db")
    assert isinstance(caught.value.__cause__, Exception)


def test_a_database_that_breaks_under_us_is_a_storage_error(place: Place) -> None:
    """Not a stack trace of SQL: a table that went missing, for instance."""
    store = place.open()
    place.run("DROP TABLE reports")
    with pytest.raises(StorageError, match="refused") as caught:
        store.record(PROD, report())
    assert caught.value.hint
    store.close()


def test_a_value_that_the_database_cannot_hold_is_wrong_input(postgres: Postgres) -> None:
    """It is what was given that is wrong, not the disk."""
    store = SqlStore(postgres.create_database(), password=postgres.password)
    with pytest.raises(InvalidInputError):
        store.add_token(TOKEN, Token(Holder("x" * 201, frozenset({"viewer"}))))
    with pytest.raises(InvalidInputError):
        store.add_token(TOKEN, Token(Holder("x\0", frozenset({"viewer"}))))
    store.close()


def claim(store: Store, key: str, fingerprint: str, *, seconds: int = 0) -> Kept | None:
    """Claim a key, where answers are kept for a minute and claims for ten seconds."""
    at = NOW + timedelta(seconds=seconds)
    done, begun = at - timedelta(minutes=1), at - timedelta(seconds=10)
    return store.claim_key(key, Kept(fingerprint), at=at, done_before=done, begun_before=begun)


def test_a_key_is_claimed_once(store: Store) -> None:
    """Until its claim is dropped, or too old."""
    assert claim(store, "k", "a") is None
    assert claim(store, "k", "b") == Kept("a")
    assert claim(store, "other", "b") is None
    store.keep_answer("k", None)
    assert claim(store, "k", "b", seconds=1) is None
    assert claim(store, "k", "c", seconds=11) == Kept("b")
    assert claim(store, "k", "c", seconds=12) is None


def test_an_answer_is_kept_for_longer_than_a_claim(store: Store) -> None:
    """As it was given."""
    assert claim(store, "k", "a") is None
    store.keep_answer("k", Kept("a", 201, '{"Zürich": "✓"}'))
    assert claim(store, "k", "a", seconds=60) == Kept("a", 201, '{"Zürich": "✓"}')
    assert claim(store, "k", "a", seconds=61) is None


def test_of_several_claims_one_is_first(place: Place) -> None:
    """Whoever asks at the same moment is told."""
    store = place.open()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda number: claim(store, "k", str(number)), range(8)))
    assert found.count(None) == 1
    assert len({each for each in found if each is not None}) == 1
    store.close()


def test_stores_of_one_database_see_each_other(place: Place) -> None:
    """What another process recorded or forgot is seen; without news nothing is made again."""
    first, second = place.open(), place.open()
    assert not second.reports()
    first.record(PROD, report())
    first.record(TEST, report(7))
    seen = second.reports()
    assert dict(seen) == {PROD: report(), TEST: report(7)}
    assert second.reports() is seen
    first.forget(TEST)
    second.record(PROD, report(6))
    first.record(PROD, report(5))
    assert dict(first.reports()) == dict(second.reports()) == {PROD: report(6)}
    assert dict(seen) == {PROD: report(), TEST: report(7)}
    second.record(TEST, report(1))
    assert dict(first.reports()) == dict(second.reports()) == {PROD: report(6), TEST: report(1)}
    first.close()
    second.close()


def test_reports_are_whole_whoever_writes_meanwhile(place: Place) -> None:
    """Two write while a third reads: in the end it has read what a new one reads."""
    stores = [place.open() for _ in range(3)]

    def act(number: int) -> None:
        name = PDPName("acme", f"plane-{number % 7}")
        stores[number % 2].forget(name) if number % 5 == 0 else stores[number % 2].record(name, report(number))
        stores[2].reports()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(act, range(120)))
    stores.append(place.open())
    assert stores[2].reports() == stores[3].reports()
    for each in stores:
        each.close()


def test_a_transaction_that_ends_late_is_not_missed(postgres: Postgres) -> None:
    """It began, and got its number, before another that is read already: PostgreSQL lets them end in any order."""
    url = postgres.create_database()
    slow, quick, reader = (SqlStore(url, password=postgres.password) for _ in range(3))
    slow.record(PROD, report(1))
    begun, end = Event(), Event()

    def wait(_known: Report | None) -> Report:
        begun.set()
        assert end.wait(60)
        return report(2)

    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(slow.update, PROD, wait)
        assert begun.wait(60)
        quick.record(TEST, report(9))
        assert dict(reader.reports()) == {PROD: report(1), TEST: report(9)}
        end.set()
        assert late.result(60)
    quick.record(TEST, report(10))
    assert dict(reader.reports()) == {PROD: report(2), TEST: report(10)}
    for each in (slow, quick, reader):
        each.close()


def test_a_report_is_made_of_the_one_before(store: Store) -> None:
    """Or left as it is; what is made need not be newer."""
    assert not store.update(PROD, lambda _: None)
    assert store.update(PROD, lambda known: report(9) if known is None else None)
    assert not store.update(PROD, lambda _: None)
    assert store.update(PROD, lambda known: report(1) if known == report(9) else None)
    assert dict(store.reports()) == {PROD: report(1)}


def cluster(seconds: float = 0, kubernetes: str = "1.34.1", *images: str) -> Cluster:
    """Return what a reporter saw."""
    facts = Facts(Version(kubernetes) if kubernetes else None, Version("2.9.0"))
    return Cluster(NOW + timedelta(seconds=seconds), NOW, facts, images)


def test_what_was_seen_in_a_cluster_reads_as_it_was_recorded(store: Store) -> None:
    """Each data plane's own; nothing is known of the others."""
    mine, other = cluster(0, "1.34.1", "r/a@sha256:1", "r/b:2"), cluster(1, "")
    assert store.record_cluster(PROD, mine)
    assert store.record_cluster(TEST, other)
    assert [store.cluster(name) for name in (PROD, TEST, PDPName("acme", "dev"))] == [mine, other, None]
    assert dict(store.facts()) == {PROD: mine.facts, TEST: other.facts}
    assert not store.reports()


@pytest.mark.parametrize(("seconds", "kept"), [(-1, False), (0, False), (0.5, True)])
def test_what_was_seen_later_replaces_all_of_it(store: Store, seconds: float, *, kept: bool) -> None:
    """By the sender's time alone: played again, it changes nothing."""
    first, second = cluster(0, "1.34.1", "old"), cluster(seconds, "1.35.0", "new")
    store.record_cluster(PROD, first)
    assert store.record_cluster(PROD, second) is kept
    wanted = second if kept else first
    assert (store.cluster(PROD), dict(store.facts())) == (wanted, {PROD: wanted.facts})


def test_facts_are_the_same_object_until_one_changes(store: Store) -> None:
    """Other images, an hour later, are no news of them."""
    store.record_cluster(PROD, cluster())
    store.record_cluster(TEST, cluster())
    facts = store.facts()
    assert store.record_cluster(PROD, cluster(3600, "1.34.1", "new"))
    assert store.facts() is facts
    store.record_cluster(PROD, cluster(7200, ""))
    assert store.facts()[PROD].kubernetes is None
    assert store.facts()[TEST] is facts[TEST]


def test_a_cluster_is_forgotten_with_its_data_plane(store: Store) -> None:
    """One that comes back begins anew, whatever its clock says; the others stay."""
    store.record_cluster(PROD, cluster())
    store.record_cluster(TEST, cluster())
    assert len(store.facts()) == 2
    store.forget(PROD)
    assert (store.cluster(PROD), list(store.facts())) == (None, [TEST])
    assert store.record_cluster(PROD, cluster(-9))
    assert store.facts()[PROD] == cluster().facts


def test_every_process_sees_what_any_other_saw_in_clusters(place: Place) -> None:
    """And what it forgot."""
    first, second = place.open(), place.open()
    for number in range(3):
        assert first.record_cluster(PROD, cluster(number, f"1.{number}.0"))
        assert second.facts()[PROD].kubernetes == Version(f"1.{number}.0")
    second.forget(PROD)
    assert not first.facts()
    first.close()
    second.close()


def test_of_many_reports_at_once_the_latest_stays(place: Place) -> None:
    """Whoever comes first."""
    store = place.open()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: store.record_cluster(PROD, cluster(number, f"1.{number}.0")), range(24)))
    assert store.cluster(PROD) == cluster(23, "1.23.0")
    assert store.facts()[PROD].kubernetes == Version("1.23.0")
    store.close()
