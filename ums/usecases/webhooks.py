"""Webhooks: who is told, and the telling."""

from __future__ import annotations

import base64
import logging
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from ums.domain.errors import ConflictError, NotFoundError, StorageError, UmsError, UnavailableError
from ums.domain.feed import Event
from ums.domain.identity import Identity
from ums.domain.noticing import changes
from ums.domain.security_log import SecurityKind
from ums.domain.webhooks import SECRET_PREFIX, Delivery, Status, Webhook, body_of, headers_of, next_attempt
from ums.ports import Clock, ReleaseRepo, Sender, WebhookQueue
from ums.usecases.read_feed import ReadFeed
from ums.usecases.record import Record
from ums.usecases.security_events import SecurityEvents

_LOG = logging.getLogger(__name__)
_BATCH = 20
"""Of one webhook at a time."""
_TURN = timedelta(seconds=20)
"""So long one webhook may hold up the others: below what a claim is good for."""
_COMMITS = 100
KEPT = timedelta(days=14)
"""So long what was delivered, or given up, can be looked at and sent again."""


def make_secret() -> str:
    """Return a new secret of 192 bits, in the form of Standard Webhooks."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(24)).decode()


@dataclass(frozen=True, slots=True)
class ManageWebhooks:
    """Add, list and remove webhooks, and look at what became of deliveries."""

    queue: WebhookQueue
    release_repo: ReleaseRepo
    clock: Clock
    security: SecurityEvents

    def add(self, webhook: Webhook, *, by: Identity) -> None:
        """Add a webhook; it is told what happens from now on.

        Raises:
            ForbiddenError: only admins do.
            ConflictError: there is one of that name.

        """
        by.require_admin()
        told = self.release_repo.read().base.main
        with self.security.recording(
            SecurityKind.WEBHOOK_ADDED,
            subject=by.subject,
            webhook=webhook.name,
            kinds=webhook.kinds,
            private=webhook.private,
        ):
            if not self.queue.add(webhook, told=told):
                raise ConflictError(
                    f"there is a webhook {webhook.name} already", hint="remove it first, or take another name"
                )

    def list(self, *, by: Identity) -> Sequence[Webhook]:
        """Return all webhooks.

        Raises:
            ForbiddenError: only admins see them.

        """
        by.require_admin()
        return [webhook for webhook, _ in self.queue.webhooks()]

    def remove(self, name: str, *, by: Identity, dry_run: bool = False) -> None:
        """Remove a webhook, and drop what is on its way.

        Raises:
            ForbiddenError: only admins do.
            NotFoundError: there is none of that name.

        """
        by.require_admin()
        unknown = NotFoundError(f"there is no webhook {name:.40}", hint="ums webhook list shows all")
        if dry_run:
            if name not in {webhook.name for webhook, _ in self.queue.webhooks()}:
                raise unknown
            return
        with self.security.recording(SecurityKind.WEBHOOK_REMOVED, subject=by.subject, webhook=name):
            if not self.queue.remove(name):
                raise unknown

    def deliveries(self, name: str, *, limit: int, by: Identity) -> Sequence[Delivery]:
        """Return the newest deliveries to a webhook.

        Raises:
            ForbiddenError: only admins see them.

        """
        by.require_admin()
        return self.queue.deliveries(name, limit=limit)

    def replay(self, delivery_id: int, *, by: Identity) -> None:
        """Send a delivery once more, with the same id.

        Raises:
            ForbiddenError: only admins do.
            NotFoundError: there is none of that id.

        """
        by.require_admin()
        if not self.queue.replay(delivery_id, now=self.clock.now()):
            raise NotFoundError(f"there is no delivery {delivery_id}", hint="ums webhook deliveries shows their ids")


@dataclass(frozen=True, slots=True)
class TakeNotice:
    """Queue what is told of data planes and instructions without anybody's decision: the step of a job."""

    queue: WebhookQueue
    record: Record

    def __call__(self) -> int:
        """Do so once, and return of how much there was to tell.

        Raises:
            UnavailableError, StorageError: the database or the release repo did not answer; the next step makes up.

        """
        world, now = self.record.world(), self.record.clock.now()
        new, over, events = changes(world, now, self.queue.noticed())
        if not new and not over:
            return 0
        hooks = [webhook for webhook, _ in self.queue.webhooks()]
        deliveries = _deliveries(hooks, events, source=world.settings.url, now=now)
        return len(events) if self.queue.notice(new, over, deliveries) else 0


def _deliveries(hooks: Iterable[Webhook], events: Sequence[Event], *, source: str, now: datetime) -> list[Delivery]:
    return [
        Delivery(hook.name, each.id, each.kind, each.subject, body_of(each, hook.form, source=source).decode(), now)
        for hook in hooks
        for each in events
        if hook.wants(each)
    ]


def _printable(text: str) -> str:
    """Return text that every database can hold."""
    return "".join(each if each.isprintable() else " " for each in text)


@dataclass(frozen=True, slots=True)
class DeliverWebhooks:
    """Queue what happened, and post what is due: the step of a job, safe on several replicas."""

    queue: WebhookQueue
    read_feed: ReadFeed
    sender: Sender
    clock: Clock
    _failing: dict[str, str] = field(default_factory=dict)
    """What was last logged of a webhook: the job runs every few seconds."""

    def __call__(self) -> int:
        """Do so once, and return how many deliveries were taken.

        Raises:
            UnavailableError, StorageError: the database or the release repo did not answer; nothing is lost.

        """
        taken = 0
        for webhook, told in self.queue.webhooks():
            try:
                self._queue_news(webhook, told)
                taken += self._deliver(webhook)
                self._failing.pop(webhook.name, None)
            except (UnavailableError, StorageError):
                raise  # the database or the release repo: no other webhook fares better
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one webhook concerns no other
                if self._failing.get(webhook.name) != repr(error):
                    self._failing[webhook.name] = repr(error)
                    _LOG.exception("webhook %s was not told", webhook.name)
        self.queue.prune(before=self.clock.now() - KEPT)
        return taken

    def _deliver(self, webhook: Webhook) -> int:
        """Post what is due to one webhook, for a limited time: the others wait for it."""
        begun, taken = self.clock.now(), 0
        for delivery in self.queue.claim(begun, limit=_BATCH, webhook=webhook.name):
            self.queue.settle(done := self._post(webhook, delivery))
            taken += done.status is Status.DELIVERED
            if self.clock.now() - begun >= _TURN:
                break  # the rest is due again when the claim ends
        return taken

    def _queue_news(self, webhook: Webhook, told: str) -> None:
        try:
            events, now_told = self.read_feed(after=told, limit=_COMMITS)
        except NotFoundError:
            # Somebody replaced the history: what lies between cannot be told, what comes now can.
            events, now_told = self.read_feed(after="", limit=_COMMITS)
        if now_told == told:
            return
        source, now = self.read_feed.release_repo.read().settings.url, self.clock.now()
        deliveries = _deliveries([webhook], events, source=source, now=now)
        self.queue.enqueue(webhook.name, deliveries, was=told, told=now_told)

    def _post(self, webhook: Webhook, delivery: Delivery) -> Delivery:
        now, body = self.clock.now(), delivery.body.encode()
        attempts = delivery.attempts + 1
        try:
            headers = headers_of(webhook, delivery.event_id, body, at=now)
            self.sender.send(webhook.url, body, headers, private=webhook.private)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this delivery's: it is tried again, or given up
            if not isinstance(error, UmsError):
                _LOG.exception("a delivery to webhook %s failed", webhook.name)
            again = next_attempt(attempts, now)
            status = Status.PENDING if again else Status.FAILED
            text = error.message if isinstance(error, UmsError) else f"unforeseen: {type(error).__name__}"
            return replace(delivery, status=status, attempts=attempts, due=again or now, error=_printable(text))
        return replace(delivery, status=Status.DELIVERED, attempts=attempts, due=now, error="")
