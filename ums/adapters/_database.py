"""A connection pool to SQLite or PostgreSQL, whose every error is one of ours. It knows no table."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import local
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from ums.adapters.sealing import Sealer
from ums.domain.errors import InvalidInputError, StorageError, UmsError, UnavailableError
from ums.waiting import will_wait

_PSYCOPG = "postgresql+psycopg"
_DRIVERS = {"sqlite": "sqlite", "postgresql": _PSYCOPG, "postgres": _PSYCOPG, _PSYCOPG: _PSYCOPG}
_OLDEST_POSTGRESQL = (15,)
_BUSY_MILLISECONDS = 10_000
_POOL = {"pool_size": 8, "max_overflow": 24, "pool_timeout": 10}
_CONNECT = {
    "application_name": "ums",
    "connect_timeout": 5,
    # A peer that vanished without a word is noticed within half a minute, also amid a statement.
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    # So that no request waits longer for the database than its client waits for us.
    "options": "-c statement_timeout=30s -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s",
    # A pooler in between may send each statement elsewhere.
    "prepare_threshold": None,
}
_TRY_AGAIN = frozenset({"40001", "40P01", "53300", "55P03", "25P03", "57014", "SQLITE_BUSY", "SQLITE_LOCKED"})
"""Serialization, deadlock, too many connections, locks and timeouts: another moment may fare better."""
_GONE = ("08", "57P")
"""Classes of PostgreSQL's: the connection broke, the server goes down or is not up yet."""
_HINTS = {
    "53100": "the disk of the database is full: make room there",
    "SQLITE_FULL": "the disk is full: make room",
    "SQLITE_READONLY": "the file or its folder is not writable for this user",
    "SQLITE_CANTOPEN": "does the folder exist, and may this user write there?",
    "SQLITE_NOTADB": "the file is no database: move it away, or restore a backup",
    "SQLITE_CORRUPT": "the file is damaged: restore a backup",
    "42501": "the role needs to own the database, or CREATE on its schema",
    "42P01": "a table is missing: was the database changed by hand?",
}
_WRITE = "write postgresql://user@host/name, or sqlite:///path"
_REACHABLE = "is PostgreSQL up and reachable, and are database, user and password right?"


class Database:
    """A database by its SQLAlchemy URL; the password is never part of it.

    Args:
        url: without a password.
        password: for PostgreSQL.
        master: the master secret, where secrets are to be kept or read; one in memory needs none.

    """

    def __init__(self, url: str, *, password: str | None = None, master: bytes | None = None) -> None:
        parsed = _parse(url)
        if password is not None and parsed.drivername != "sqlite":
            parsed = parsed.set(password=password)
        self.is_memory = _is_memory(parsed)
        if master is None and self.is_memory:
            master = os.urandom(32)
        self._sealer = Sealer(master) if master is not None else None
        self.engine = _make_engine(parsed, pooled=not self.is_memory)
        self._writer = self.engine.execution_options(writes=True)
        self._mine = local()
        """Of each thread, the ``connection`` in which all that it does is one."""

    def seal(self, secret: str, *place: str) -> str:
        """Return a secret encrypted; ``place`` is the table, row and column where it is kept.

        Raises:
            StorageError: the database was opened without the master secret.

        """
        return self._with_key().seal(secret, *place)

    def unseal(self, sealed: str, *place: str) -> str:
        """Return a secret that was encrypted for ``place``.

        Raises:
            StorageError: it cannot be decrypted, or the database was opened without the master secret.

        """
        return self._with_key().open(sealed, *place)

    def _with_key(self) -> Sealer:
        if self._sealer is None:
            raise StorageError("secrets in the database need the master key", hint="is master.key in the data folder?")
        return self._sealer

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Give a connection in a transaction that only reads.

        Raises:
            UnavailableError: the database does not answer, or not in time.
            StorageError: it refused.

        """
        will_wait()
        with errors_as_ours(), self._joined() or self.engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Give a connection in a transaction that writes.

        Raises:
            UnavailableError: the database does not answer, or not in time; whether anything was kept is open.
            StorageError: it refused; nothing was kept.
            InvalidInputError: it cannot hold such a value.

        """
        will_wait()
        with errors_as_ours(), self._joined() or self._writer.begin() as connection:
            yield connection

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make one transaction of all that this thread reads and writes inside; it outlives a loss of power.

        Raises:
            UnavailableError, StorageError, InvalidInputError: as ``writing`` does.

        """
        will_wait()
        if self._joined() is not None:
            yield
            return
        options = self.engine.execution_options(writes=True, durable=True)
        with errors_as_ours(), options.begin() as connection:
            self._mine.connection = connection
            try:
                yield
            finally:
                self._mine.connection = None

    def _joined(self) -> AbstractContextManager[sa.Connection] | None:
        connection: sa.Connection | None = getattr(self._mine, "connection", None)
        return nullcontext(connection) if connection is not None else None


def check_url(url: str) -> None:
    """Check that a URL is one of a database that UMS knows.

    Raises:
        InvalidInputError: it is not, it holds a password, or what is kept there would end with the process.

    """
    if _is_memory(_parse(url)):
        raise InvalidInputError("this database would be in memory alone", hint=_WRITE)


def _is_memory(url: sa.URL) -> bool:
    return url.drivername == "sqlite" and url.database in {None, "", ":memory:"}


def _parse(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError) as error:
        # Without its text: it may show a password.
        raise InvalidInputError("this is no URL of a database", hint=_WRITE) from error
    if parsed.drivername not in _DRIVERS:
        raise InvalidInputError(f"{parsed.drivername!r:.40} is no database that UMS knows", hint=_WRITE)
    if parsed.password is not None or "password" in parsed.query:
        raise InvalidInputError("a password does not belong into a URL", hint="write it into a file, and name the file")
    return parsed.set(drivername=_DRIVERS[parsed.drivername])


@contextmanager
def errors_as_ours() -> Iterator[None]:
    """Turn the library's errors into ours, with a hint and without anything of the statement."""
    try:
        yield
    except SQLAlchemyError as error:
        raise _ours(error) from error


def _ours(error: SQLAlchemyError) -> UmsError:
    if isinstance(error, PoolTimeoutError):
        return UnavailableError("all connections to the database are busy", hint="try again in a moment")
    if not isinstance(error, DBAPIError):
        return StorageError(f"the database refused: {type(error).__name__}")
    code = getattr(error.orig, "sqlstate", None) or _primary(getattr(error.orig, "sqlite_errorname", None) or "")
    # The first line alone: those after it may show values.
    text = next(iter(str(error.orig).splitlines()), "") or type(error.orig).__name__
    if code in _TRY_AGAIN:
        return UnavailableError(f"the database is busy: {text}", hint="try again in a moment")
    lost = not code and isinstance(error, OperationalError)
    if lost or error.connection_invalidated or code.startswith(_GONE):
        return UnavailableError(f"the database does not answer: {text}", hint=_REACHABLE)
    if isinstance(error, DataError):
        return InvalidInputError(f"the database cannot hold this: {text}")
    return StorageError(
        f"the database refused: {text}", hint=_HINTS.get(code, "is the disk full, or the file not writable?")
    )


def _primary(name: str) -> str:
    """Return ``SQLITE_READONLY`` for ``SQLITE_READONLY_DIRECTORY``."""
    return "_".join(name.split("_")[:2])


def _make_engine(url: sa.URL, *, pooled: bool) -> sa.Engine:
    options: dict[str, Any] = dict(_POOL) if pooled else {}
    if url.drivername != "sqlite":
        # What the URL says is meant.
        connect = {name: value for name, value in _CONNECT.items() if name not in url.query}
        engine = sa.create_engine(url, connect_args=connect, pool_pre_ping=True, hide_parameters=True, **options)
        sa.event.listen(engine, "connect", _check_version)
        return engine
    engine = sa.create_engine(url, hide_parameters=True, **options)
    sa.event.listen(engine, "connect", _tune_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _check_version(connection: Any, _record: object) -> None:  # noqa: ANN401 - a DBAPI connection
    major = connection.info.server_version // 10_000
    if (major,) < _OLDEST_POSTGRESQL:
        raise StorageError(f"PostgreSQL {major} is too old", hint=f"UMS needs {_OLDEST_POSTGRESQL[0]} or newer")


def _tune_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401 - a DBAPI connection
    connection.isolation_level = None  # transactions begin where we say, not where the driver guesses
    cursor = connection.cursor()
    # First: another process may be changing the mode this very moment.
    cursor.execute(f"PRAGMA busy_timeout={_BUSY_MILLISECONDS}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    # Who means to write takes the lock at once: whoever read first would be refused it, without any wait.
    options = connection.get_execution_options()
    if options.get("writes", False):
        # What Git will name must not be gone after a loss of power; the rest may be, and is told again.
        connection.exec_driver_sql(f"PRAGMA synchronous={'FULL' if options.get('durable', False) else 'NORMAL'}")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.exec_driver_sql("BEGIN")
