"""Observations and tokens in SQL. Everything else can be rebuilt from Git and is not here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from ums.domain.errors import StorageError
from ums.domain.fleet import Health, Report
from ums.domain.identity import Identity
from ums.domain.names import PDPName

_METADATA = sa.MetaData()
_REPORTS = sa.Table(
    "reports",
    _METADATA,
    sa.Column("org", sa.String(40), primary_key=True),
    sa.Column("pdp", sa.String(40), primary_key=True),
    sa.Column("serial", sa.BigInteger, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("rank", sa.SmallInteger, nullable=False),
    sa.Column("heard", sa.Float, nullable=False),
    sa.Column("since", sa.Float, nullable=False),
    sa.Column("health", sa.String(16), nullable=False),
    sa.Column("component", sa.String(253), nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("applied", sa.Boolean, nullable=False),
)
_TOKENS = sa.Table(
    "tokens",
    _METADATA,
    sa.Column("hash", sa.String(64), primary_key=True),
    sa.Column("subject", sa.String(200), nullable=False),
    sa.Column("groups", sa.JSON, nullable=False),
    sa.Column("bundles", sa.JSON, nullable=False),
    sa.Column("expires", sa.Float),
)


class SqlStore:
    """Implements ``ports.Store`` on SQLAlchemy; ``url`` is an SQLAlchemy URL."""

    def __init__(self, url: str) -> None:
        self._engine = sa.create_engine(url)
        if self._engine.dialect.name == "sqlite":
            sa.event.listen(self._engine, "connect", _tune_sqlite)
        with self._transaction() as connection:
            _METADATA.create_all(connection)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def reports(self) -> Mapping[PDPName, Report]:
        """Return the newest report of every data plane heard of."""
        with self._transaction() as connection:
            rows = connection.execute(sa.select(_REPORTS)).all()
        return {PDPName(row.org, row.pdp): _report(row) for row in rows}

    def report(self, pdp: PDPName) -> Report | None:
        """Return the newest report of one data plane."""
        mine = (_REPORTS.c.org == pdp.org) & (_REPORTS.c.pdp == pdp.pdp)
        with self._transaction() as connection:
            row = connection.execute(sa.select(_REPORTS).where(mine)).first()
        return None if row is None else _report(row)

    def record(self, pdp: PDPName, report: Report) -> bool:
        """Keep a report if it is newer than what is known; return whether it was."""
        values = {
            "serial": report.serial,
            "at": report.at.timestamp(),
            "rank": report.rank,
            "heard": report.heard.timestamp(),
            "health": report.health.value,
            "component": report.component,
            "message": report.message,
            "applied": report.applied,
        }
        mine = (_REPORTS.c.org == pdp.org) & (_REPORTS.c.pdp == pdp.pdp)
        known = sa.tuple_(_REPORTS.c.serial, _REPORTS.c.at, _REPORTS.c.rank)
        older = known < sa.tuple_(report.serial, report.at.timestamp(), report.rank)
        since = report.since.timestamp()
        lasts = sa.case((_REPORTS.c.health == report.health.value, _REPORTS.c.since), else_=since)
        with self._transaction() as connection:
            if connection.execute(sa.update(_REPORTS).where(mine & older).values(**values, since=lasts)).rowcount:
                return True
            if connection.execute(sa.select(_REPORTS.c.org).where(mine)).first() is not None:
                return False
            connection.execute(sa.insert(_REPORTS).values(org=pdp.org, pdp=pdp.pdp, **values, since=since))
            return True

    def forget(self, pdp: PDPName) -> None:
        """Drop what was observed of a data plane."""
        with self._transaction() as connection:
            connection.execute(sa.delete(_REPORTS).where((_REPORTS.c.org == pdp.org) & (_REPORTS.c.pdp == pdp.pdp)))

    def add_token(self, token_hash: str, identity: Identity, *, expires: datetime | None) -> None:
        """Keep the hash of a token and who it stands for."""
        with self._transaction() as connection:
            connection.execute(
                sa.insert(_TOKENS).values(
                    hash=token_hash,
                    subject=identity.subject,
                    groups=sorted(identity.groups),
                    bundles=sorted(identity.bundles),
                    expires=expires.timestamp() if expires else None,
                )
            )

    def find_identity(self, token_hash: str, *, now: datetime) -> Identity | None:
        """Return who an unexpired token stands for, or ``None``."""
        with self._transaction() as connection:
            row = connection.execute(sa.select(_TOKENS).where(_TOKENS.c.hash == token_hash)).first()
        if row is None or (row.expires is not None and row.expires <= now.timestamp()):
            return None
        return Identity(row.subject, frozenset(row.groups), frozenset(row.bundles))

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise StorageError(
                f"the database refused: {error.orig}", hint="is the disk full, or the file not writable?"
            ) from error


def _tune_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401 - a DBAPI connection
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA busy_timeout=10000")
    cursor.close()


def _report(row: Any) -> Report:  # noqa: ANN401 - a row of _REPORTS
    return Report(
        serial=row.serial,
        health=Health(row.health),
        message=row.message,
        component=row.component,
        at=datetime.fromtimestamp(row.at, UTC),
        heard=datetime.fromtimestamp(row.heard, UTC),
        since=datetime.fromtimestamp(row.since, UTC),
        applied=row.applied,
    )
