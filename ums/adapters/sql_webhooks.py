"""Webhooks and their queue in SQL: what was queued is posted at least once, also where a process dies in between."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ums.adapters._database import Database
from ums.adapters._tables import DELIVERIES, NOTICES, WEBHOOKS
from ums.domain.errors import UmsError
from ums.domain.webhooks import Delivery, Format, Status, Webhook

_LOG = logging.getLogger(__name__)
_LEASE = timedelta(seconds=60)
"""So long nobody else takes what one process took; then it died, and the next one does."""
_MAX_ERROR = 300


class SqlWebhooks:
    """Implements ``ports.WebhookQueue``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._left_out: dict[str, str] = {}
        """Why a webhook was left out when that was last said: it is read every few seconds."""

    def add(self, webhook: Webhook, *, told: str) -> bool:
        """Keep a webhook that is told what comes after a commit; return whether its name was free."""
        insert = self._insert(WEBHOOKS).on_conflict_do_nothing().returning(WEBHOOKS.c.name)
        row = {
            "name": webhook.name,
            "url": self._database.seal(webhook.url, "webhooks", webhook.name, "url"),
            "secret": self._database.seal(webhook.secret, "webhooks", webhook.name, "secret"),
            "kinds": list(webhook.kinds),
            "channels": sorted(webhook.channels),
            "form": webhook.form.value,
            "private": webhook.private,
            "told": told,
        }
        with self._database.writing() as connection:
            return connection.execute(insert.values(row)).first() is not None

    def remove(self, name: str) -> bool:
        """Forget a webhook and what is on its way to it; return whether there was one."""
        with self._database.writing() as connection:
            connection.execute(sa.delete(DELIVERIES).where(DELIVERIES.c.webhook == name))
            return connection.execute(sa.delete(WEBHOOKS).where(WEBHOOKS.c.name == name)).rowcount > 0

    def webhooks(self) -> Sequence[tuple[Webhook, str]]:
        """Return all webhooks that can be read, each with the commit up to which it was told."""
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(WEBHOOKS).order_by(WEBHOOKS.c.name)).all()
        for gone in self._left_out.keys() - {row.name for row in rows}:
            self._left_out.pop(gone, None)
        return [(webhook, row.told) for row in rows if (webhook := self._read(row)) is not None]

    def _read(self, row: Any) -> Webhook | None:  # noqa: ANN401 - a row of WEBHOOKS
        """Return a webhook, or ``None`` where it cannot be read: that must not keep events from all the others."""
        try:
            webhook = Webhook(
                row.name,
                self._database.unseal(row.url, "webhooks", row.name, "url"),
                self._database.unseal(row.secret, "webhooks", row.name, "secret"),
                tuple(row.kinds),
                frozenset(row.channels),
                Format(row.form),
                private=row.private,
            )
        except (UmsError, ValueError, TypeError) as error:
            if self._left_out.get(row.name) != str(error):
                self._left_out[row.name] = str(error)
                _LOG.warning("webhook %s is left out, remove it and add it anew: %s", row.name, error)
            return None
        self._left_out.pop(row.name, None)
        return webhook

    def enqueue(self, name: str, deliveries: Sequence[Delivery], *, was: str, told: str) -> bool:
        """Queue what a webhook is told of the commits from one to another; return whether nobody else did."""
        moved = sa.update(WEBHOOKS).where(WEBHOOKS.c.name == name, WEBHOOKS.c.told == was).values(told=told)
        with self._database.writing() as connection:
            if connection.execute(moved).rowcount == 0:
                return False
            for each in deliveries:
                connection.execute(self._insert(DELIVERIES).on_conflict_do_nothing().values(_row(each)))
        return True

    def noticed(self) -> frozenset[str]:
        """Return the keys of what is so without anybody's decision, and was told."""
        with self._database.reading() as connection:
            return frozenset(connection.execute(sa.select(NOTICES.c.key)).scalars())

    def notice(self, new: Collection[str], over: Collection[str], deliveries: Sequence[Delivery]) -> bool:
        """Queue what is told of it and remember that, both or neither; return whether nobody else did."""
        with self._database.writing() as connection:
            for key in new:
                first = self._insert(NOTICES).values(key=key).on_conflict_do_nothing().returning(NOTICES.c.key)
                if connection.execute(first).first() is None:
                    connection.rollback()
                    return False
            for key in over:
                connection.execute(sa.delete(NOTICES).where(NOTICES.c.key == key))
            for each in deliveries:
                connection.execute(self._insert(DELIVERIES).on_conflict_do_nothing().values(_row(each)))
        return True

    def claim(self, now: datetime, *, limit: int, webhook: str | None = None) -> Sequence[Delivery]:
        """Take what is due, to one webhook or to all, so that no other process does for a while."""
        due = (DELIVERIES.c.status == Status.PENDING.value) & (DELIVERIES.c.due <= now.timestamp())
        if webhook is not None:
            due &= DELIVERIES.c.webhook == webhook
        found = sa.select(DELIVERIES).where(due).order_by(DELIVERIES.c.due, DELIVERIES.c.id).limit(limit)
        with self._database.writing() as connection:
            rows = connection.execute(found.with_for_update(skip_locked=True)).all()
            ids = [row.id for row in rows]
            lease = sa.update(DELIVERIES).where(DELIVERIES.c.id.in_(ids)).values(due=(now + _LEASE).timestamp())
            if ids:
                connection.execute(lease)
        return [_delivery(row) for row in rows]

    def settle(self, delivery: Delivery) -> None:
        """Keep what became of a delivery."""
        values = {
            "status": delivery.status.value,
            "attempts": delivery.attempts,
            "due": delivery.due.timestamp(),
            "error": delivery.error[:_MAX_ERROR],
        }
        with self._database.writing() as connection:
            connection.execute(sa.update(DELIVERIES).where(DELIVERIES.c.id == delivery.id).values(values))

    def deliveries(self, name: str, *, limit: int) -> Sequence[Delivery]:
        """Return the newest deliveries to a webhook, newest first."""
        found = sa.select(DELIVERIES).where(DELIVERIES.c.webhook == name).order_by(DELIVERIES.c.id.desc())
        with self._database.reading() as connection:
            return [_delivery(row) for row in connection.execute(found.limit(limit)).all()]

    def replay(self, delivery_id: int, *, now: datetime) -> bool:
        """Make a delivery due again, whatever became of it; return whether there is one."""
        values = {"status": Status.PENDING.value, "attempts": 0, "due": now.timestamp(), "error": ""}
        with self._database.writing() as connection:
            changed = connection.execute(sa.update(DELIVERIES).where(DELIVERIES.c.id == delivery_id).values(values))
            return changed.rowcount > 0

    def prune(self, *, before: datetime) -> int:
        """Drop what is through and older; return how many."""
        through = DELIVERIES.c.status != Status.PENDING.value
        with self._database.writing() as connection:
            old = sa.delete(DELIVERIES).where(through, DELIVERIES.c.due < before.timestamp())
            return connection.execute(old).rowcount

    def _insert(self, table: sa.Table) -> Any:  # noqa: ANN401 - of either dialect, which share what is used
        return (postgresql.insert if self._database.engine.dialect.name == "postgresql" else sqlite.insert)(table)


def _row(each: Delivery) -> dict[str, Any]:
    return {
        "webhook": each.webhook,
        "event_id": each.event_id,
        "kind": each.kind,
        "subject": each.subject,
        "body": each.body,
        "due": each.due.timestamp(),
        "status": each.status.value,
        "attempts": each.attempts,
        "error": each.error[:_MAX_ERROR],
    }


def _delivery(row: Any) -> Delivery:  # noqa: ANN401 - a row of DELIVERIES
    return Delivery(
        webhook=row.webhook,
        event_id=row.event_id,
        kind=row.kind,
        subject=row.subject,
        body=row.body,
        due=datetime.fromtimestamp(row.due, UTC),
        status=Status(row.status),
        attempts=row.attempts,
        error=row.error,
        id=row.id,
    )
