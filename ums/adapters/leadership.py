"""Which process leads: a lock that ends with its holder, in a file or in PostgreSQL."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from ums.adapters._database import Database, errors_as_ours
from ums.domain.errors import StorageError

KEY = int.from_bytes(b"ums-lead", "big")
"""Of the advisory lock; others of the same database have others."""
_TRY = sa.select(sa.func.pg_try_advisory_lock(KEY))
# The server notices within some 10 seconds that a leader's machine is gone without a word, and frees the lock.
_SESSION = (
    "SET tcp_keepalives_idle = 3",
    "SET tcp_keepalives_interval = 2",
    "SET tcp_keepalives_count = 3",
    "SET statement_timeout = '3s'",
)


class FileLeadership:
    """Implements ``ports.Leadership`` for the processes of one machine: ``flock`` on a file, which stays."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def held(self) -> bool:
        """Return whether this process leads, and try to where nobody does."""
        if self._descriptor is not None:
            return True
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(f"{self._path.name} cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Let another lead."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


class PostgresLeadership:
    """Implements ``ports.Leadership`` by a session's advisory lock, on a connection of its own.

    Behind a pooler that gives each statement another session, the lock means nothing.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: sa.Connection | None = None
        self._leads = False

    def held(self) -> bool:
        """Return whether this process leads, and try to where nobody does."""
        try:
            with errors_as_ours():
                if self._connection is None:
                    self._connection = self._connect()
                if self._leads:
                    # Whoever answers still has the session, and with it the lock.
                    self._connection.exec_driver_sql("SELECT 1")
                else:
                    self._leads = self._connection.execute(_TRY).scalar_one()
        except BaseException:
            self.release()
            raise
        return self._leads

    def _connect(self) -> sa.Connection:
        connection = self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        for statement in _SESSION:
            connection.exec_driver_sql(statement)
        return connection

    def release(self) -> None:
        """Let another lead."""
        connection, self._connection, self._leads = self._connection, None, False
        if connection is not None:
            # It ends with the session, whether or not that was lost before.
            with contextlib.suppress(SQLAlchemyError):
                connection.invalidate()
                connection.close()
