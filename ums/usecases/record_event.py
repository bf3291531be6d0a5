"""Record an event: what a data plane says becomes its reported state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ums.domain.events import FluxEvent, report_of
from ums.domain.fleet import Report
from ums.domain.names import PDPName
from ums.ports import Clock, ReleaseRepo, Store


@dataclass(frozen=True, slots=True)
class RecordEvent:
    """Take an event whose sender was authenticated."""

    release_repo: ReleaseRepo
    store: Store
    clock: Clock

    def __call__(self, pdp: PDPName, body: Mapping[str, Any]) -> bool:
        """Record an event; return whether it changed what is known.

        Raises:
            InvalidInputError: it is no event of ours.

        """
        event = FluxEvent.from_dict(body)
        serial = self.release_repo.serial_at(event.commit_id, pdp) if event.commit_id else None
        known = self._known(pdp)
        report = report_of(event, serial=serial, known=known, heard=self.clock.now())
        return report is not None and self.store.record(pdp, report)

    def _known(self, pdp: PDPName) -> Report | None:
        """Return the newest report, unless it is on a serial that nobody stands by any more.

        Who could write to the branch may have offered a serial from far ahead: when the branch is put right, what was
        reported on it must not drown out what comes after.
        """
        known = self.store.report(pdp)
        plane = self.release_repo.read().planes.get(pdp)
        if known and plane and plane.desired and known.serial > plane.desired.serial:
            self.store.forget(pdp)
            return None
        return known
