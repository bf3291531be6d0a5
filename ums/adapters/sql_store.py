"""Observations and tokens in SQL. Everything else can be rebuilt from Git and is not here."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ums.adapters._database import Database
from ums.adapters._tables import ANSWERS, HEALTH_CHANGES, METADATA, REPORTS, TOKENS
from ums.adapters.migrations import migrate
from ums.domain.answers import Kept
from ums.domain.errors import StorageError, UnavailableError
from ums.domain.fleet import Health, HealthChange, Report
from ums.domain.identity import ID_LENGTH, Holder, Token
from ums.domain.names import PDPName

_USE_SECONDS = 300
"""So often it is noted that a token was used, at most."""


class SqlStore:
    """Implements ``ports.Store`` on SQLite or PostgreSQL; ``url`` is an SQLAlchemy URL without a password."""

    def __init__(self, url: str, *, password: str | None = None) -> None:
        """Open the database, and bring its tables to what this program knows.

        Raises:
            InvalidInputError: the URL is none of a database that UMS knows.
            StorageError: it cannot be used: not writable, newer than this program, somebody else's.
            UnavailableError: it does not answer.

        """
        self._database = Database(url, password=password)
        try:
            if self._database.is_memory:
                # It ends with the process, so there is nothing to migrate.
                with self._database.writing() as connection:
                    METADATA.create_all(connection)
            else:
                migrate(self._database)
        except BaseException:
            self._database.close()
            raise

    @property
    def database(self) -> Database:
        """Return the database, for what else is kept there."""
        return self._database

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def reports(self) -> Mapping[PDPName, Report]:
        """Return the newest report of every data plane heard of."""
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(REPORTS)).all()
        return {PDPName(row.org, row.pdp): _report(row) for row in rows}

    def report(self, pdp: PDPName) -> Report | None:
        """Return the newest report of one data plane."""
        with self._database.reading() as connection:
            row = connection.execute(sa.select(REPORTS).where(_of(REPORTS, pdp))).first()
        return None if row is None else _report(row)

    def record(self, pdp: PDPName, report: Report) -> bool:
        """Keep a report if it is newer than what is known, and its health if that changed; return whether it was."""
        row = {"org": pdp.org, "pdp": pdp.pdp, **_row(report)}
        with self._database.writing() as connection:
            known = self._known_or_first(connection, pdp, row)
            if known is not None:
                if not report.is_newer_than(known):
                    return False
                if known.health is report.health:
                    row["since"] = known.since.timestamp()
                connection.execute(sa.update(REPORTS).where(_of(REPORTS, pdp)).values(row))
            if known is None or known.health is not report.health:
                names = ("org", "pdp", "health", "component", "message", "serial", "since")
                connection.execute(sa.insert(HEALTH_CHANGES).values({name: row[name] for name in names}))
        return True

    def _known_or_first(self, connection: sa.Connection, pdp: PDPName, row: Mapping[str, Any]) -> Report | None:
        """Return the report that is known, locked until the transaction ends; or keep this one as the first."""
        insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        while True:
            known = connection.execute(sa.select(REPORTS).where(_of(REPORTS, pdp)).with_for_update()).first()
            if known is not None:
                return _report(known)
            # Another process may do so this moment: then it was first, and is known in the next round.
            first = insert(REPORTS).values(row).on_conflict_do_nothing().returning(REPORTS.c.org)
            if connection.execute(first).first() is not None:
                return None

    def forget(self, pdp: PDPName) -> None:
        """Drop the newest report of a data plane; its history stays until it is pruned."""
        with self._database.writing() as connection:
            connection.execute(sa.delete(REPORTS).where(_of(REPORTS, pdp)))

    def list_health_changes(self, pdp: PDPName, *, limit: int) -> Sequence[HealthChange]:
        """Return how the health of a data plane changed, newest first."""
        newest = sa.select(HEALTH_CHANGES).where(_of(HEALTH_CHANGES, pdp)).order_by(HEALTH_CHANGES.c.id.desc())
        with self._database.reading() as connection:
            rows = connection.execute(newest.limit(limit)).all()
        return [
            HealthChange(
                Health(row.health), row.component, row.message, row.serial, datetime.fromtimestamp(row.since, UTC)
            )
            for row in rows
        ]

    def prune_health_changes(self, *, before: datetime) -> int:
        """Drop changes that are older, but for the newest of each data plane that is known; return how many."""
        later = HEALTH_CHANGES.alias()
        superseded = sa.exists().where(
            later.c.org == HEALTH_CHANGES.c.org, later.c.pdp == HEALTH_CHANGES.c.pdp, later.c.id > HEALTH_CHANGES.c.id
        )
        known = sa.exists().where(REPORTS.c.org == HEALTH_CHANGES.c.org, REPORTS.c.pdp == HEALTH_CHANGES.c.pdp)
        old = HEALTH_CHANGES.c.since < before.timestamp()
        with self._database.writing() as connection:
            return connection.execute(sa.delete(HEALTH_CHANGES).where(old, superseded | ~known)).rowcount

    def add_token(self, token_hash: str, token: Token) -> None:
        """Keep the hash of a token and who it stands for."""
        holder = token.holder
        with self._database.writing() as connection:
            connection.execute(
                sa.insert(TOKENS).values(
                    hash=token_hash,
                    subject=holder.subject,
                    groups=sorted(holder.groups),
                    bundles=sorted(holder.bundles),
                    channels=sorted(holder.channels),
                    orgs=sorted(holder.orgs),
                    issued_by=token.issued_by,
                    issued=_seconds(token.issued),
                    expires=_seconds(token.expires),
                )
            )

    def find_token(self, token_hash: str, *, now: datetime) -> Token | None:
        """Return what is known of a token; of one that is valid it is noted that it is used, to a few minutes."""
        mine = TOKENS.c.hash == token_hash
        with self._database.reading() as connection:
            row = connection.execute(sa.select(TOKENS).where(mine)).first()
        if row is None:
            return None
        token = _token(row)
        if not token.is_expired(now) and (row.last_used is None or now.timestamp() - row.last_used > _USE_SECONDS):
            # A full disk must lock nobody out.
            with contextlib.suppress(StorageError, UnavailableError), self._database.writing() as connection:
                connection.execute(sa.update(TOKENS).where(mine).values(last_used=now.timestamp()))
        return token

    def claim_key(
        self, key: str, claim: Kept, *, at: datetime, done_before: datetime, begun_before: datetime
    ) -> Kept | None:
        """Keep a claim if its key is free, and return what holds it otherwise; of several callers one is first."""
        done, begun = done_before.timestamp(), begun_before.timestamp()
        old = (ANSWERS.c.begun < done) | ((ANSWERS.c.status == 0) & (ANSWERS.c.begun < begun))
        row = {"key": key, "fingerprint": claim.fingerprint, "status": 0, "body": "", "begun": at.timestamp()}
        with self._database.writing() as connection:
            connection.execute(sa.delete(ANSWERS).where(old))
            insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
            while True:
                first = insert(ANSWERS).values(row).on_conflict_do_nothing().returning(ANSWERS.c.key)
                if connection.execute(first).first() is not None:
                    return None
                known = connection.execute(sa.select(ANSWERS).where(ANSWERS.c.key == key)).first()
                if known is not None:  # else it was dropped this moment, and is free in the next round
                    return Kept(known.fingerprint, known.status, known.body)

    def keep_answer(self, key: str, answer: Kept | None) -> None:
        """Keep the answer to a claim, or drop the claim."""
        mine = ANSWERS.c.key == key
        with self._database.writing() as connection:
            if answer is None:
                connection.execute(sa.delete(ANSWERS).where(mine))
            else:
                connection.execute(sa.update(ANSWERS).where(mine).values(status=answer.status, body=answer.body))

    def tokens(self) -> Sequence[Token]:
        """Return all tokens, the newest first."""
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(TOKENS).order_by(TOKENS.c.issued.desc(), TOKENS.c.hash)).all()
        return [_token(row) for row in rows]

    def revoke_token(self, token_id: str) -> bool:
        """Forget the token of an id; return whether there was one."""
        if len(token_id) != ID_LENGTH or not token_id.isalnum():
            return False
        with self._database.writing() as connection:
            return connection.execute(sa.delete(TOKENS).where(TOKENS.c.hash.startswith(token_id))).rowcount > 0


def _token(row: Any) -> Token:  # noqa: ANN401 - a row of TOKENS
    times = (_time(row.issued), _time(row.expires), _time(row.last_used))
    return Token(_holder(row), row.issued_by or "", *times, row.hash[:ID_LENGTH])


def _holder(row: Any) -> Holder:  # noqa: ANN401 - a row of TOKENS
    limits = (frozenset(each or ()) for each in (row.groups, row.bundles, row.channels, row.orgs))
    return Holder(row.subject, *limits)


def _seconds(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment else None


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _of(table: sa.Table, pdp: PDPName) -> sa.ColumnElement[bool]:
    return (table.c.org == pdp.org) & (table.c.pdp == pdp.pdp)


def _row(report: Report) -> dict[str, Any]:
    return {
        "serial": report.serial,
        "at": report.at.timestamp(),
        "rank": report.rank,
        "heard": report.heard.timestamp(),
        "since": report.since.timestamp(),
        "health": report.health.value,
        "component": report.component,
        "message": report.message,
        "applied": report.applied,
    }


def _report(row: Any) -> Report:  # noqa: ANN401 - a row of REPORTS
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
