"""Observations and tokens in SQL. Everything else can be rebuilt from Git and is not here."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ums.adapters._database import Database
from ums.adapters._tables import ANSWERS, CLUSTER_REPORTS, HEALTH_CHANGES, METADATA, REPORTS, TOKENS
from ums.adapters.migrations import migrate
from ums.domain.answers import Kept
from ums.domain.errors import StorageError, UmsError, UnavailableError
from ums.domain.fleet import Cluster, Facts, Health, HealthChange, Report
from ums.domain.identity import ID_LENGTH, Holder, Token
from ums.domain.names import PDPName
from ums.domain.version import Version
from ums.waiting import will_wait

_USE_SECONDS = 300
"""So often it is noted that a token was used, at most."""


_REPORT_NAMES = (
    *("serial", "at", "rank", "heard", "since", "health", "component", "message", "applied"),
    *("silent_after", "well"),
)
_CHANGE_NAMES = ("org", "pdp", "health", "component", "message", "serial", "since")
_KNOWN = sa.select(REPORTS).where(REPORTS.c.org == sa.bindparam("of_org"), REPORTS.c.pdp == sa.bindparam("of_pdp"))
_LOCKED = _KNOWN.with_for_update()
_CHANGE = sa.insert(HEALTH_CHANGES)


def _changes(dialect: str, table: sa.Table, *columns: sa.Column[Any]) -> tuple[sa.ColumnElement[int], sa.Select[Any]]:
    """Return what numbers a change of a table, and what reads some columns of the changes since a number.

    Each answer says until where it is whole, and with which server: one that was restarted may have lost changes, and
    another may number otherwise. Of PostgreSQL's transactions some with lower ids end after others with higher ones:
    whole is what is below every id that is still under way. What is above is read again until it is.
    """
    until: sa.ColumnElement[Any]
    number: sa.ColumnElement[Any]
    server: sa.ColumnElement[str]
    if dialect == "postgresql":
        number = sa.cast(sa.cast(sa.func.pg_current_xact_id(), sa.Text), sa.BigInteger)
        until = sa.cast(sa.cast(sa.func.pg_snapshot_xmin(sa.func.pg_current_snapshot()), sa.Text), sa.BigInteger)
        server = sa.cast(sa.func.pg_postmaster_start_time(), sa.Text)
    else:
        # One writes at a time, and no row is ever deleted.
        every = table.alias()
        number = sa.select(sa.func.coalesce(sa.func.max(every.c.changed), 0) + 1).scalar_subquery()
        until, server = number, sa.literal("")
    now = sa.select(until.label("until"), server.label("server")).subquery()
    news = now.outerjoin(table, table.c.changed >= sa.bindparam("since"))
    return number, sa.select(now, *columns).select_from(news)


def _insert(dialect: str, number: sa.ColumnElement[int]) -> sa.Executable:
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    values: dict[str, Any] = {name: sa.bindparam(name) for name in ("org", "pdp", *_REPORT_NAMES)}
    return insert(REPORTS).values({**values, "changed": number}).on_conflict_do_nothing().returning(REPORTS.c.org)


_Value = TypeVar("_Value", Report, Facts)


@dataclass(frozen=True, slots=True)
class _Seen(Generic[_Value]):
    """What is known of each data plane, as it was read last.

    Attributes:
        until: every change with a lower number is among them.
        server: with which this was read.

    """

    until: int = -1
    server: str = ""
    known: Mapping[PDPName, _Value] = field(default_factory=dict)

    def after(self, rows: Sequence[Any], read: Callable[[Any], _Value]) -> _Seen[_Value]:
        """Return what is seen after these changes; some may be known."""
        changed: dict[PDPName, _Value | None] = {}
        for row in rows:
            if row.org is None:
                continue  # nothing but the numbers
            name = PDPName(row.org, row.pdp)
            value = None if row.forgotten else read(row)
            if self.known.get(name) != value:
                changed[name] = value
        known = {name: each for name, each in {**self.known, **changed}.items() if each} if changed else self.known
        return _Seen(rows[0].until, rows[0].server, known)


class _Reading(Generic[_Value]):
    """Reads of a table only what may have changed since the last time; any number of threads may ask."""

    def __init__(self, database: Database, news: sa.Select[Any], read: Callable[[Any], _Value]) -> None:
        self._database, self._news, self._lock = database, news, Lock()
        self._read: Callable[[Any], _Value] = read
        self._seen: _Seen[_Value] = _Seen()

    def __call__(self) -> Mapping[PDPName, _Value]:
        will_wait()
        with self._lock:
            seen = self._seen
            try:
                with self._database.reading() as connection:
                    rows = connection.execute(self._news, {"since": seen.until}).all()
                    if rows[0].server != seen.server or rows[0].until < seen.until:
                        seen = _Seen()
                        rows = connection.execute(self._news, {"since": seen.until}).all()
            except UmsError:
                self._seen = _Seen()
                raise
            self._seen = seen.after(rows, self._read)
            return self._seen.known


class SqlStore:
    """Implements ``ports.Store`` on SQLite or PostgreSQL; ``url``, ``password``, ``master``: as of ``Database``."""

    def __init__(self, url: str, *, password: str | None = None, master: bytes | None = None) -> None:
        """Open the database, and bring its tables to what this program knows.

        Raises:
            InvalidInputError: the URL is none of a database that UMS knows.
            StorageError: it cannot be used: not writable, newer than this program, somebody else's.
            UnavailableError: it does not answer.

        """
        self._database = Database(url, password=password, master=master)
        dialect = self._database.engine.dialect.name
        self._number, news = _changes(dialect, REPORTS, *REPORTS.c)
        self._reports = _Reading(self._database, news, _report)
        facts = [CLUSTER_REPORTS.c[name] for name in ("org", "pdp", "kubernetes", "flux", "forgotten")]
        self._cluster_number, news = _changes(dialect, CLUSTER_REPORTS, *facts)
        self._facts = _Reading(self._database, news, _facts)
        self._insert = _insert(dialect, self._number)
        self._upsert_cluster = _upsert_cluster(dialect, self._cluster_number)
        self._update = (
            sa.update(REPORTS)
            .where(REPORTS.c.org == sa.bindparam("of_org"), REPORTS.c.pdp == sa.bindparam("of_pdp"))
            .values(
                {**{name: sa.bindparam(name) for name in _REPORT_NAMES}, "forgotten": False, "changed": self._number}
            )
        )
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
        """Return the newest report of every data plane heard of: the same object as long as there is no news.

        Only what may have changed since the last reading is read. Every process sees what any other recorded.
        """
        return self._reports()

    def report(self, pdp: PDPName) -> Report | None:
        """Return the newest report of one data plane."""
        with self._database.reading() as connection:
            row = connection.execute(_KNOWN, {"of_org": pdp.org, "of_pdp": pdp.pdp}).first()
        return None if row is None or row.forgotten else _report(row)

    def record(self, pdp: PDPName, report: Report) -> bool:
        """Keep a report if it is newer than what is known, and its health if that changed; return whether it was."""

        def newer(known: Report | None) -> Report | None:
            return report if known is None or report.is_newer_than(known) else None

        return self.update(pdp, newer)

    def update(self, pdp: PDPName, change: Callable[[Report | None], Report | None]) -> bool:
        """Replace the report of a data plane by what ``change`` makes of it, if anything; nobody comes in between."""
        mine = {"of_org": pdp.org, "of_pdp": pdp.pdp}
        with self._database.writing() as connection:
            row = connection.execute(_LOCKED, mine).first()
            if row is None and (new := change(None)) is not None:
                first = {"org": pdp.org, "pdp": pdp.pdp, **_row(new)}
                if connection.execute(self._insert, first).first() is not None:
                    connection.execute(_CHANGE, {name: first[name] for name in _CHANGE_NAMES})
                    return True
                # Another process was first this moment: now it is known.
                row = connection.execute(_LOCKED, mine).first()
            known = None if row is None or row.forgotten else _report(row)
            new = change(known)
            if new is None:
                return False
            values = _row(new)
            same = known is not None and known.health is new.health
            if known is not None and same:
                values["since"] = known.since.timestamp()
            if known is not None and known.well <= new.serial:
                values["well"] = max(known.well, new.well)
            connection.execute(self._update, {**mine, **values})
            if not same:
                change_row = {"org": pdp.org, "pdp": pdp.pdp, **values}
                connection.execute(_CHANGE, {name: change_row[name] for name in _CHANGE_NAMES})
        return True

    def facts(self) -> Mapping[PDPName, Facts]:
        """Return the facts of every cluster that reported: the same object as long as none changed."""
        return self._facts()

    def cluster(self, pdp: PDPName) -> Cluster | None:
        """Return what was reported of one data plane's cluster last."""
        mine = sa.select(CLUSTER_REPORTS).where(_of(CLUSTER_REPORTS, pdp), ~CLUSTER_REPORTS.c.forgotten)
        with self._database.reading() as connection:
            row = connection.execute(mine).first()
        if row is None:
            return None
        at, heard = (datetime.fromtimestamp(each, UTC) for each in (row.at, row.heard))
        return Cluster(at, heard, _facts(row), tuple(row.images))

    def record_cluster(self, pdp: PDPName, cluster: Cluster) -> bool:
        """Keep what was reported of a cluster if it is newer than what is known; nobody comes in between."""
        row = {
            "org": pdp.org,
            "pdp": pdp.pdp,
            "at": cluster.at.timestamp(),
            "heard": cluster.heard.timestamp(),
            **{name: cluster.facts.to_dict().get(name) for name in ("kubernetes", "flux")},
            "images": list(cluster.images),
        }
        with self._database.writing() as connection:
            return connection.execute(self._upsert_cluster, row).first() is not None

    def forget(self, pdp: PDPName) -> None:
        """Drop what a data plane reported of itself and its cluster; its history stays until it is pruned."""
        gone = sa.update(REPORTS).where(_of(REPORTS, pdp)).values(forgotten=True, changed=self._number)
        mine = sa.update(CLUSTER_REPORTS).where(_of(CLUSTER_REPORTS, pdp))
        cluster_gone = mine.values(forgotten=True, images=[], changed=self._cluster_number)
        with self._database.writing() as connection:
            connection.execute(gone)
            connection.execute(cluster_gone)

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
        known = sa.exists().where(
            REPORTS.c.org == HEALTH_CHANGES.c.org, REPORTS.c.pdp == HEALTH_CHANGES.c.pdp, ~REPORTS.c.forgotten
        )
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
                    # It may hold a token that was just made.
                    body = self._database.unseal(known.body, "answers", key, "body") if known.body else ""
                    return Kept(known.fingerprint, known.status, body)

    def keep_answer(self, key: str, answer: Kept | None) -> None:
        """Keep the answer to a claim, or drop the claim."""
        mine = ANSWERS.c.key == key
        with self._database.writing() as connection:
            if answer is None:
                connection.execute(sa.delete(ANSWERS).where(mine))
            else:
                body = self._database.seal(answer.body, "answers", key, "body") if answer.body else ""
                connection.execute(sa.update(ANSWERS).where(mine).values(status=answer.status, body=body))

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


def _upsert_cluster(dialect: str, number: sa.ColumnElement[int]) -> sa.Executable:
    insert = (postgresql.insert if dialect == "postgresql" else sqlite.insert)(CLUSTER_REPORTS)
    names = ("org", "pdp", "at", "heard", "kubernetes", "flux", "images")
    new, known = insert.excluded, CLUSTER_REPORTS.c
    same = (
        ~known.forgotten
        & known.kubernetes.is_not_distinct_from(new.kubernetes)
        & known.flux.is_not_distinct_from(new.flux)
    )
    changed = sa.case((same, known.changed), else_=number)
    return (
        insert.values({**{name: sa.bindparam(name) for name in names}, "changed": number})
        .on_conflict_do_update(
            index_elements=["org", "pdp"],
            set_={**{name: new[name] for name in names[2:]}, "forgotten": False, "changed": changed},
            where=known.forgotten | (new.at > known.at),
        )
        .returning(known.org)
    )


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
        "silent_after": report.silent_after.total_seconds() if report.silent_after is not None else None,
        "well": report.well,
    }


def _facts(row: Any) -> Facts:  # noqa: ANN401 - a row of CLUSTER_REPORTS
    return Facts(*(Version(text) if text else None for text in (row.kubernetes, row.flux)))


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
        silent_after=timedelta(seconds=row.silent_after) if row.silent_after is not None else None,
        well=row.well,
    )
