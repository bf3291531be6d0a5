"""The chain of security events in SQL: one chain, however many processes write."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import fields
from typing import Any

import sqlalchemy as sa

from ums.adapters._database import Database
from ums.adapters._tables import SECURITY_EVENTS
from ums.domain.security_log import Anchor, Entry, SecurityEvent, SecurityKind

_LOCK = int.from_bytes(b"ums-secu", "big")
_COLUMNS = [field.name for field in fields(Entry)]


class SqlSecurityLog:
    """Implements ``ports.SecurityLog``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, event: SecurityEvent) -> Entry:
        """Add an event behind the newest entry, whoever else adds one meanwhile."""
        with self._database.together(), self._database.writing() as connection:
            # One at a time, until the transaction ends. SQLite: the transaction itself, which began as one that
            # writes. Were there two all the same, both would be of one number, and the table takes one.
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            entry = event.after(_head(connection))
            connection.execute(sa.insert(SECURITY_EVENTS).values({name: getattr(entry, name) for name in _COLUMNS}))
        return entry

    def together(self) -> AbstractContextManager[None]:
        """Make one of all that this thread writes to the same database inside: all of it is kept, or nothing."""
        return self._database.together()

    def read(self, *, after: int, limit: int) -> Sequence[Entry]:
        """Return the first entries behind one, oldest first."""
        return self._entries(
            sa.select(SECURITY_EVENTS).where(SECURITY_EVENTS.c.seq > after).order_by(SECURITY_EVENTS.c.seq).limit(limit)
        )

    def newest(
        self,
        *,
        limit: int,
        before: int | None = None,
        kind: SecurityKind | None = None,
        subject: str = "",
        since: str = "",
    ) -> Sequence[Entry]:
        """Return the newest entries, newest first."""
        wanted = sa.select(SECURITY_EVENTS).order_by(SECURITY_EVENTS.c.seq.desc()).limit(limit)
        if before is not None:
            wanted = wanted.where(SECURITY_EVENTS.c.seq < before)
        if kind is not None:
            wanted = wanted.where(SECURITY_EVENTS.c.kind == kind.value)
        if subject:
            # Those from before names were kept in one form are found as well; of others than ASCII, to the letter.
            kept = sa.func.lower(sa.func.trim(SECURITY_EVENTS.c.subject))
            wanted = wanted.where((SECURITY_EVENTS.c.subject == subject) | (kept == subject.strip().lower()))
        if since:
            wanted = wanted.where(SECURITY_EVENTS.c.at >= since)
        return self._entries(wanted)

    def head(self) -> Anchor | None:
        """Return which entry is the newest, or ``None`` if there is none."""
        with self._database.reading() as connection:
            return _head(connection)

    def _entries(self, wanted: sa.Select[Any]) -> list[Entry]:
        with self._database.reading() as connection:
            return [Entry(*(row._mapping[name] for name in _COLUMNS)) for row in connection.execute(wanted)]  # noqa: SLF001 - its public face


def _head(connection: sa.Connection) -> Anchor | None:
    newest = sa.select(SECURITY_EVENTS.c.seq, SECURITY_EVENTS.c.hash).order_by(SECURITY_EVENTS.c.seq.desc()).limit(1)
    row = connection.execute(newest).first()
    return None if row is None else Anchor(row.seq, row.hash)
