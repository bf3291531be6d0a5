"""How databases of any age come to the tables of today."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from tests.contract.places import Place
from ums.adapters import migrations
from ums.adapters._database import Database
from ums.adapters._tables import METADATA
from ums.adapters.sql_webhooks import SqlWebhooks
from ums.domain.answers import Kept
from ums.domain.errors import StorageError
from ums.domain.fleet import Health, Report
from ums.domain.identity import Holder
from ums.domain.names import PDPName

ROOT = Path(__file__).parent.parent.parent
PROD = PDPName("acme", "prod")
AT = datetime(2026, 11, 20, 12, 0, 0, 500_000, tzinfo=UTC)
TOKEN = hashlib.sha256(b"a token").hexdigest()
TOKENS = (
    'hash VARCHAR(64) PRIMARY KEY, subject VARCHAR(200) NOT NULL, "groups" JSON NOT NULL, bundles JSON NOT NULL, '
    "expires DOUBLE PRECISION"
)
COLUMNS = {
    "org": "VARCHAR(40)",
    "pdp": "VARCHAR(40)",
    "serial": "BIGINT NOT NULL",
    "at": "DOUBLE PRECISION NOT NULL",
    "rank": "SMALLINT NOT NULL",
    "heard": "DOUBLE PRECISION NOT NULL",
    "since": "DOUBLE PRECISION NOT NULL",
    "health": "VARCHAR(16) NOT NULL",
    "component": "VARCHAR(64) NOT NULL",
    "message": "TEXT NOT NULL",
    "applied": "BOOLEAN NOT NULL",
}
VALUES = {
    "org": "'acme'",
    "pdp": "'prod'",
    "serial": str(2**40),
    "at": str(AT.timestamp()),
    "rank": "2",
    "heard": str(AT.timestamp() + 9),
    "since": str(AT.timestamp() + 1),
    "health": "'healthy'",
    "component": "''",
    "message": "'Zürich – ✓'",
    "applied": "TRUE",
}


def make_old(place: Place, *missing: str) -> None:
    """Make a database as UMS left it before it knew migrations, with a report and a token."""
    names = [name for name in COLUMNS if name not in missing]
    columns = ", ".join(f'"{name}" {COLUMNS[name]}' for name in names)
    place.run(
        f"CREATE TABLE reports ({columns}, PRIMARY KEY (org, pdp))",
        f"INSERT INTO reports VALUES ({', '.join(VALUES[name] for name in names)})",  # noqa: S608
        f"CREATE TABLE tokens ({TOKENS})",
        f"INSERT INTO tokens VALUES ('{TOKEN}', 'ci', '[\"viewer\"]', '[\"platform\"]', NULL)",  # noqa: S608
    )


def test_migrations_make_the_tables_of_the_metadata(place: Place) -> None:
    """Column by column, type by type, index by index."""
    place.open().close()
    database = Database(place.url, password=place.password)
    with database.reading() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True, "target_metadata": METADATA}
        )
        assert compare_metadata(context, METADATA) == []
    database.close()


@pytest.mark.parametrize("missing", [(), ("applied",), ("since", "applied"), ("rank", "since", "applied")], ids=str)
def test_a_database_from_before_migrations_is_adopted(place: Place, missing: tuple[str, ...]) -> None:
    """Reports and tokens stay; what was not kept then is what the rest says."""
    make_old(place, *missing)
    store = place.open()
    since = AT.timestamp() + (9 if "since" in missing else 1)
    heard = datetime.fromtimestamp(AT.timestamp() + 9, UTC)
    begun = datetime.fromtimestamp(since, UTC)
    assert store.reports() == {PROD: Report(2**40, Health.HEALTHY, "Zürich – ✓", "", AT, heard, begun, applied=True)}
    (token,) = store.tokens()
    assert token.identity == Holder("ci", frozenset({"viewer"}), frozenset({"platform"})).identity
    assert [(each.health, each.since) for each in store.list_health_changes(PROD, limit=9)] == [(Health.HEALTHY, begun)]
    store.close()
    test_migrations_make_the_tables_of_the_metadata(place)


def test_the_name_of_a_migration_begins_with_its_revision() -> None:
    """Whether a database is up to date is told from the names, and without Alembic; each follows the one before."""
    scripts = list(ScriptDirectory(migrations.__path__[0]).walk_revisions())
    named = sorted((each.revision, Path(each.path).name[1:5]) for each in scripts)
    assert [revision for revision, _ in named] == [name for _, name in named]
    assert [each.down_revision for each in scripts] == [*(each.revision for each in scripts[1:]), None]
    assert len(scripts) == len(list(Path(migrations.__path__[0], "versions").glob("v*.py")))


def test_a_database_newer_than_the_program_is_refused(place: Place) -> None:
    """An older UMS does not write into what it does not understand."""
    place.open().close()
    place.run("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StorageError, match="newer than this program: it is at revision 9999") as caught:
        place.open()
    assert "restore" in caught.value.hint
    assert place.run("SELECT version_num FROM alembic_version") == [("9999",)]


def test_a_database_of_somebody_else_is_left_alone(place: Place) -> None:
    """What was adopted before the table that is not ours is as it was."""
    make_old(place, "since", "applied")
    place.run("ALTER TABLE tokens ADD COLUMN colour TEXT")
    with pytest.raises(StorageError, match="'tokens' that is not one of UMS"):
        place.open()
    assert len(place.run("SELECT * FROM reports")[0]) == len(COLUMNS) - 2
    assert len(place.run("SELECT * FROM tokens")) == 1


def test_several_processes_may_start_at_once(place: Place) -> None:
    """One migrates; the others wait, and find it done."""
    make_old(place, "applied")
    code = "import sys; from tests.contract.places import Place; Place(*sys.argv[1:]).open().close()"
    command = [sys.executable, "-c", code, place.url, *([place.password] if place.password else [])]
    processes = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    said = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, said
    assert len(place.run("SELECT * FROM health_changes")) == 1


def test_several_threads_may_start_at_once(place: Place) -> None:
    """Closer together than processes ever are."""
    with ThreadPoolExecutor(6) as pool:
        for store in list(pool.map(lambda _: place.open(), range(6))):
            store.close()
    assert len(place.run("SELECT * FROM alembic_version")) == 1


def test_secrets_that_were_kept_in_clear_are_encrypted(place: Place) -> None:
    """Those of webhooks, and answers to requests that may come twice: one may hold a token that was just made."""
    place.open().close()
    place.run(
        "INSERT INTO webhooks VALUES"
        " ('chat', 'https://example.com/T0P', 'whsec_c2VjcmV0', '[]', '[]', 'slack', FALSE, 'a')",
        "INSERT INTO answers VALUES ('k', 'f', 201, '{\"token\": \"ums_x\"}', 0)",
        "ALTER TABLE reports DROP COLUMN silent_after",
        "ALTER TABLE reports DROP COLUMN well",
        "UPDATE alembic_version SET version_num = '0013'",
    )
    store = place.open()
    ((url, secret),), ((body,),) = place.run("SELECT url, secret FROM webhooks"), place.run("SELECT body FROM answers")
    assert not any(clear in url + secret + body for clear in ("T0P", "whsec", "ums_x"))
    ((webhook, _),) = SqlWebhooks(store.database).webhooks()
    assert (webhook.url, webhook.secret) == ("https://example.com/T0P", "whsec_c2VjcmV0")
    then = datetime.fromtimestamp(0, UTC)
    kept = store.claim_key("k", Kept("f"), at=then, done_before=then, begun_before=then)
    assert kept == Kept("f", 201, '{"token": "ums_x"}')
    store.close()
