"""Bring a database to the tables that this program knows: at every start, one process at a time, whole or not at all.

A migration is a file in ``versions``, written by hand and never changed once released. It may not import the tables
of today, nor anything else that changes.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any

import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from ums.adapters._database import Database
from ums.domain.errors import StorageError

_PATIENCE_SECONDS = 120
_LOCK = int.from_bytes(b"ums-tabl", "big")
_IN_PROCESS = Lock()
"""Alembic's ``op`` is one for all threads."""


def migrate(database: Database) -> None:
    """Bring a database to the newest revision; one that is there already is not locked.

    Raises:
        StorageError: it is newer than this program, or holds tables of somebody else; nothing was changed.
        UnavailableError: it does not answer, or another process migrates it for very long.

    """
    scripts = ScriptDirectory(Path(__file__).parent)
    with database.reading() as connection:
        if _is_newest(connection, scripts):
            return
    with _IN_PROCESS, database.writing() as connection:
        _lock(connection)
        if not _is_newest(connection, scripts):  # whoever held the lock before us may have done it
            _upgrade(connection, scripts)


def _is_newest(connection: sa.Connection, scripts: ScriptDirectory) -> bool:
    found = MigrationContext.configure(connection).get_current_heads()
    known = {script.revision for script in scripts.walk_revisions()}
    unknown = sorted(set(found) - known)
    if unknown:
        raise StorageError(
            f"the database is newer than this program: it is at revision {unknown[0]}, "
            f"and {scripts.get_current_head()} is the last one known here",
            hint="run the UMS that made it, or a newer one; to go back, restore a backup from before",
        )
    return set(found) == set(scripts.get_heads())


def _lock(connection: sa.Connection) -> None:
    # SQLite: the transaction itself, which began as one that writes. PostgreSQL: until the transaction ends, however
    # it ends; a migration may take its time.
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_PATIENCE_SECONDS}s'")
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))


def _upgrade(connection: sa.Connection, scripts: ScriptDirectory) -> None:
    def steps(revision: Any, _context: MigrationContext) -> Any:  # noqa: ANN401 - Alembic's own
        return scripts._upgrade_revs("head", revision)  # noqa: SLF001 - what its command "upgrade" passes here

    with EnvironmentContext(Config(), scripts, fn=steps) as environment:
        environment.configure(connection=connection)
        environment.run_migrations()
