"""When the service ran last, in SQL."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa

from ums.adapters._database import Database
from ums.adapters._tables import CLOCK


class SqlClock:
    """Implements ``ports.ClockWitness``: one row, whichever process of the service writes it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def seen(self) -> datetime | None:
        """Return the latest time that was noted; ``None`` if none was."""
        with self._database.reading() as connection:
            seen = connection.scalar(sa.select(CLOCK.c.seen))
        return None if seen is None else datetime.fromtimestamp(seen, UTC)

    def note(self, now: datetime) -> None:
        """Note that the service runs; an earlier time than the one noted changes nothing."""
        self._write(now, CLOCK.c.seen < now.timestamp())

    def reset(self, now: datetime) -> None:
        """Note a time, also if it is earlier."""
        self._write(now, sa.true())

    def _write(self, now: datetime, condition: sa.ColumnElement[bool]) -> None:
        with self._database.writing() as connection:
            connection.execute(sa.update(CLOCK).where(condition).values(seen=now.timestamp()))
            if connection.scalar(sa.select(CLOCK.c.id)) is None:
                connection.execute(sa.insert(CLOCK).values(id=1, seen=now.timestamp()))
