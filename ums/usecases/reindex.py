"""Bring the database in line with the release repo, and say what Git cannot give back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ums.domain.identity import Holder, Permission
from ums.domain.names import PDPName
from ums.domain.security_log import SecurityKind
from ums.ports import Clock, ReleaseRepo, Store, WebhookQueue
from ums.usecases.security_events import SecurityEvents
from ums.usecases.tokens import IssueToken

_ADMIN = Holder("admin", frozenset({"admin"}))


@dataclass(frozen=True, slots=True)
class Reindexed:
    """What differed.

    Attributes:
        strangers: reports of data planes, or of their clusters, that are not registered; dropped.
        ahead: reports on a serial newer than what is offered, as after a restored release repo; dropped, since they
            would drown out what comes.
        unheard: data planes that nothing was heard of: their health is unknown until they report.
        data_planes: how many are registered.
        webhooks: how many there are.
        admins: tokens that may do everything.
        token: a new one, made because there was none; shown once.

    """

    strangers: Sequence[PDPName]
    ahead: Sequence[PDPName]
    unheard: Sequence[PDPName]
    data_planes: int
    webhooks: int
    admins: int
    token: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return the form that is printed."""
        return {
            "strangers": [str(each) for each in self.strangers],
            "ahead": [str(each) for each in self.ahead],
            "unheard": [str(each) for each in self.unheard],
            "dataPlanes": self.data_planes,
            "webhooks": self.webhooks,
            "admins": self.admins,
            "token": self.token,
        }


@dataclass(frozen=True, slots=True)
class Reindex:
    """Compare, and mend. Whoever holds the data folder may: there may be no token left."""

    release_repo: ReleaseRepo
    store: Store
    queue: WebhookQueue
    clock: Clock
    security: SecurityEvents

    def __call__(self, *, by: str, dry_run: bool = False) -> Reindexed:
        """Return what differed; with ``dry_run`` it is left so.

        Args:
            by: who does this, for the security log: nobody proved it.
            dry_run: change nothing.

        Raises:
            UnavailableError, StorageError: the database or the release repo did not answer.

        """
        world, reports = self.release_repo.read(), self.store.reports()
        desired = {name: plane.desired for name, plane in world.planes.items()}
        strangers = sorted((reports.keys() | self.store.facts().keys()) - desired.keys())
        ahead = sorted(
            name
            for name, report in reports.items()
            if (state := desired.get(name)) is not None and report.serial > state.serial
        )
        now = self.clock.now()
        tokens = self.store.tokens()
        admins = [each for each in tokens if each.identity.may(Permission.ADMIN) and not each.is_expired(now)]
        token = None
        if not dry_run:
            for name in (*strangers, *ahead):
                self.store.forget(name)
            if not admins:
                with self.security.recording(SecurityKind.DATABASE_REBUILT, subject=by, main=world.base.main):
                    token = IssueToken(self.store, self.clock, self.security)(_ADMIN, expires=None, by=_ADMIN.identity)
        return Reindexed(
            strangers,
            ahead,
            sorted(desired.keys() - reports.keys()),
            len(desired),
            len(self.queue.webhooks()),
            len(admins),
            token,
        )
