"""Record an event: what a data plane says becomes its reported state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ums.domain.events import FluxEvent, report_of
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
        known = self.store.reports().get(pdp)
        report = report_of(event, serial=serial, known=known, heard=self.clock.now())
        return report is not None and self.store.record(pdp, report)
