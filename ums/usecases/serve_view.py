"""Serve a view: the newest state of one data plane, as a Git commit."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock

from ums.domain.clock import is_too_far_ahead
from ums.domain.errors import NotFoundError, UmsError, UnavailableError
from ums.domain.fleet import Report
from ums.domain.names import PDPName
from ums.domain.views import View, check_newest
from ums.ports import Clock, ReleaseRepo, Store, Views

_HEARD_EVERY = timedelta(seconds=2)
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class _Heard:
    """What data planes reported, as of a moment ago: a poll asks no database."""

    store: Store
    reports: Mapping[PDPName, Report] = field(default_factory=dict)
    at: datetime = _NEVER
    lock: Lock = field(default_factory=Lock)

    def of(self, pdp: PDPName, now: datetime) -> Report | None:
        if now - self.at >= _HEARD_EVERY and self.lock.acquire(blocking=False):
            try:
                with suppress(UmsError):  # without a database the fleet goes on updating
                    self.reports = self.store.reports()
                self.at = now
            finally:
                self.lock.release()
        return self.reports.get(pdp)


class ServeView:
    """Answer Git clients of data planes; nearly every poll from memory."""

    def __init__(self, views: Views, release_repo: ReleaseRepo, store: Store, clock: Clock) -> None:
        self._views = views
        self._release_repo = release_repo
        self._clock = clock
        self._heard = _Heard(store)
        self._served: dict[PDPName, int] = {}

    def head(self, pdp: PDPName) -> View:
        """Return what a data plane is to follow.

        Raises:
            NotFoundError: there is no such data plane.
            UnavailableError: it was offered nothing yet, or what is at hand is older than what it has been offered.

        """
        view = self._views.head(pdp)
        if view is None:
            if pdp not in self._release_repo.read().planes:
                raise NotFoundError(f"there is no data plane {pdp}", hint="ums pdp list names those that there are")
            raise UnavailableError(f"{pdp} was offered no state yet", hint="try again in a moment")
        now, served = self._clock.now(), self._served.get(pdp, 0)
        if is_too_far_ahead(served, now):
            served = 0  # no cluster takes it, and ums clock accept numbers such a state anew
        check_newest(pdp, view, served=served, report=self._heard.of(pdp, now), now=now)
        if view.serial > served:
            self._served[pdp] = view.serial
        return view

    def pack(self, pdp: PDPName, commit_id: str) -> bytes | None:
        """Return all objects of a view as a Git pack; ``None`` if it is none that this data plane was offered lately.

        Raises:
            UnavailableError: the release repo does not answer.

        """
        return self._views.pack(pdp, commit_id)
