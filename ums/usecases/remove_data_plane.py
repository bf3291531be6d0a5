"""Retire a data plane: it is offered nothing more, and its credentials end. What runs in its cluster runs on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ums.domain import layout
from ums.domain.fleet import Retired
from ums.domain.identity import Permission
from ums.domain.names import PDPName
from ums.domain.security_log import SecurityKind
from ums.domain.world import Content, Document, World
from ums.ports import Store
from ums.usecases.data_planes import require_for
from ums.usecases.instruct import Why
from ums.usecases.record import Change, Outcome, Record, unchanged
from ums.usecases.security_events import SecurityEvents


@dataclass(frozen=True, slots=True)
class RemoveDataPlane:
    """Take a data plane out of the fleet, in one decision; only that it was there is kept."""

    record: Record
    store: Store
    security: SecurityEvents

    def __call__(self, pdp: PDPName, why: Why, *, dry_run: bool = False) -> Outcome:
        """Remove a data plane; one that was removed already stays so, and nothing changes.

        Raises:
            ForbiddenError: the identity may not register, in its channel or its organization.
            NotFoundError: there never was such a data plane.
            InvalidInputError: a reason is missing.
            UnavailableError, StorageError: the database did not take it. It is removed if the release repo says so;
                asking again does the rest.

        """
        why.by.require(Permission.REGISTER, org=pdp.org)

        def change(world: World, now: datetime) -> Change:
            given = why.given(now)
            if pdp not in world.planes and pdp in world.retired:
                return unchanged(world)
            plane = world.plane(pdp)
            require_for(plane.registration, why.by)
            retired = Retired(plane.last_serial or 0, plane.generation, given.by, given.reason, now)
            files: dict[str, Content | None] = {
                layout.fleet_registration(pdp): None,
                layout.in_force(layout.fleet_registration(pdp)): None,
                layout.fleet_decisions(pdp): None,
                layout.fleet_retired(pdp): Document(retired.to_dict()),
            }
            gone = {layout.plane_folder(pdp): None} if plane.desired else {}
            return Change(world.without_plane(pdp, retired), files, delivered=gone)

        outcome = self.record(
            change, subject=f"fleet/{pdp}: Remove", action="pdp-remove", by=why.by, reason=why.reason, dry_run=dry_run
        )
        if outcome.recorded:
            kept = outcome.world.retired[pdp]
            what = {"pdp": str(pdp), "generation": kept.generation, "serial": kept.last_serial}
            with self.security.recording(SecurityKind.PLANE_REMOVED, subject=why.by.subject, **what):
                self.store.forget(pdp)
        elif not dry_run:
            self.store.forget(pdp)  # where the first time did not get so far
        return outcome
