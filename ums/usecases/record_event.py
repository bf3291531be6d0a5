"""Record an event: what a data plane says becomes its reported state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from ums.domain import layout
from ums.domain.errors import TooManyRequestsError
from ums.domain.events import FluxEvent, report_of
from ums.domain.fleet import Report
from ums.domain.names import PDPName
from ums.domain.throttling import Rate, Throttle
from ums.ports import Clock, ReleaseRepo, Store, Views

EVENTS = Rate(burst=120, every=timedelta(seconds=1))
"""Of one data plane, in each process: a rollout of sixty components tells of each one twice, and then it is quiet."""


@dataclass(frozen=True, slots=True)
class RecordEvent:
    """Take an event whose sender was authenticated."""

    release_repo: ReleaseRepo
    views: Views
    store: Store
    clock: Clock
    throttle: Throttle = field(default_factory=lambda: Throttle(EVENTS))

    def __call__(self, pdp: PDPName, body: Mapping[str, Any]) -> bool:
        """Record an event; return whether it changed what is known.

        Raises:
            InvalidInputError: it is no event of ours.
            TooManyRequestsError: the data plane tells more than anybody needs to know.

        """
        now = self.clock.now()
        if wait := self.throttle.take(str(pdp), now):
            hint = "Flux tries again by itself; what lasts is told again"
            raise TooManyRequestsError(f"too many events of {pdp}", hint=hint, retry_after=wait)
        event = FluxEvent.from_dict(body)
        follows = self.views if event.branch == layout.VIEW else self.release_repo
        serial = follows.serial_at(event.commit_id, pdp) if event.commit_id else None
        silent_after = self.release_repo.read().settings.silent_after

        def change(known: Report | None) -> Report | None:
            known = self._believed(pdp, known)
            return report_of(event, serial=serial, known=known, heard=now, silent_after=silent_after)

        return self.store.update(pdp, change)

    def _believed(self, pdp: PDPName, known: Report | None) -> Report | None:
        """Return the newest report, unless it is on a serial that nobody stands by any more.

        Who could write to the branch may have offered a serial from far ahead: when the branch is put right, what was
        reported on it must not drown out what comes after. What was offered is read after what was reported on it.
        """
        plane = self.release_repo.read().planes.get(pdp)
        ahead = known and plane and plane.desired and known.serial > plane.desired.serial
        return None if ahead else known
