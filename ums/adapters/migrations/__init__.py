"""Bring a database to the tables that this program knows: at every start, one process at a time, whole or not at all.

A migration is a file in ``versions``, written by hand and never changed once released; its name begins with its
revision, and each follows the one before. It may not import the tables of today, nor anything else that changes.
"""

from __future__ import annotations

import re
from pathlib import Path
from threading import Lock

import sqlalchemy as sa

from ums.adapters._database import Database
from ums.domain.errors import StorageError

_PATIENCE_SECONDS = 120
_LOCK = int.from_bytes(b"ums-tabl", "big")
_IN_PROCESS = Lock()
"""Alembic's ``op`` is one for all threads."""
_VERSIONS = Path(__file__).parent / "versions"
_REVISION = re.compile(r"v(\d{4})_\w+\.py")
_AT = sa.table("alembic_version", sa.column("version_num", sa.String))
"""Where Alembic keeps to which revision a database was brought."""


def migrate(database: Database) -> None:
    """Bring a database to the newest revision; one that is there already is not locked.

    Raises:
        StorageError: it is newer than this program, or holds tables of somebody else; nothing was changed.
        UnavailableError: it does not answer, or another process migrates it for very long.

    """
    with database.reading() as connection:
        if _is_newest(connection):
            return
    # Alembic takes 0.2 s to import and keeps 7 MB, and is needed once after an update.
    from ums.adapters.migrations.upgrading import upgrade  # noqa: PLC0415

    with _IN_PROCESS, database.writing() as connection:
        _lock(connection)
        if not _is_newest(connection):  # whoever held the lock before us may have done it
            upgrade(connection, database.seal)


def _is_newest(connection: sa.Connection) -> bool:
    known = sorted(match[1] for path in _VERSIONS.iterdir() if (match := _REVISION.fullmatch(path.name)))
    found: set[str] = set()
    if sa.inspect(connection).has_table(_AT.name):
        found.update(connection.scalars(sa.select(_AT.c.version_num)))
    unknown = sorted(found.difference(known))
    if unknown:
        raise StorageError(
            f"the database is newer than this program: it is at revision {unknown[0]}, "
            f"and {known[-1]} is the last one known here",
            hint="run the UMS that made it, or a newer one; to go back, restore a backup from before",
        )
    return found == {known[-1]}


def _lock(connection: sa.Connection) -> None:
    # SQLite: the transaction itself, which began as one that writes. PostgreSQL: until the transaction ends, however
    # it ends; a migration may take its time.
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_PATIENCE_SECONDS}s'")
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
