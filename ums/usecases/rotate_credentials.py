"""Give a data plane new credentials, without a moment in which it has none that work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from ums.domain import layout
from ums.domain.bootstrapping import render_credentials
from ums.domain.errors import ConflictError, InvalidInputError
from ums.domain.fleet import DataPlane, Rotation
from ums.domain.identity import Permission
from ums.domain.instants import to_text
from ums.domain.names import PDPName
from ums.domain.security_log import SecurityKind
from ums.domain.world import Document, World
from ums.ports import CredentialSource
from ums.usecases.data_planes import require_for
from ums.usecases.instruct import Why
from ums.usecases.record import Change, Outcome, Record, unchanged
from ums.usecases.security_events import SecurityEvents

OVERLAP = timedelta(days=7)
"""How long the previous generation is accepted unless told otherwise."""
MAX_OVERLAP = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Rotated:
    """What came of it.

    Attributes:
        plane: the data plane afterwards.
        secrets: to apply in its cluster; empty where nothing was recorded.

    """

    outcome: Outcome
    plane: DataPlane
    secrets: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class RotateCredentials:
    """Raise the generation of a data plane's credentials; the one before stays good for a while."""

    record: Record
    credentials: CredentialSource
    security: SecurityEvents

    def __call__(
        self, pdp: PDPName, why: Why, *, overlap: timedelta | None = OVERLAP, dry_run: bool = False
    ) -> Rotated:
        """Raise it by one, and return the new Secrets.

        Args:
            pdp: whose credentials.
            why: who asks, and why.
            overlap: how long the previous generation is accepted, too. ``None``: not at all, nor any before it.
            dry_run: record nothing, and show no secret.

        Raises:
            ForbiddenError: the identity may not register data planes.
            NotFoundError: there is no such data plane.
            InvalidInputError: the overlap is none, or too long.
            ConflictError: the overlap of the rotation before is not over.
            UnavailableError, StorageError: that they were shown could not be kept, so they are not.

        """
        if overlap is not None and not timedelta(0) < overlap <= MAX_OVERLAP:
            raise InvalidInputError(
                f"an overlap lasts up to {MAX_OVERLAP.days} days", hint="none at all is --now, for a stolen one"
            )

        def rotation(plane: DataPlane, now: datetime) -> Rotation:
            if overlap is not None and plane.accepts_previous(now) and plane.previous_until is not None:
                raise ConflictError(
                    f"{pdp} has two generations of credentials already, until {to_text(plane.previous_until)}",
                    hint="apply the newest, then ums pdp rotate --finish; --now ends both at once",
                )
            return Rotation(plane.generation + 1, now + overlap if overlap else None)

        outcome = self._record(pdp, why, rotation, "Rotate the credentials", "pdp-rotate", dry_run=dry_run)
        plane = outcome.world.plane(pdp)
        if not outcome.recorded:
            return Rotated(outcome, plane, [])
        given = self.credentials.credentials(pdp, generation=plane.generation)
        until = plane.previous_until
        what = {"pdp": str(pdp), "generation": plane.generation, "previousUntil": to_text(until) if until else None}
        with self.security.recording(SecurityKind.PLANE_ROTATED, subject=why.by.subject, **what):
            return Rotated(outcome, plane, render_credentials(outcome.world, given))

    def finish(self, pdp: PDPName, why: Why, *, dry_run: bool = False) -> Outcome:
        """End the overlap at once; where there is none, nothing changes.

        Raises:
            ForbiddenError: the identity may not register data planes.
            NotFoundError: there is no such data plane.

        """

        def rotation(plane: DataPlane, now: datetime) -> Rotation | None:
            return Rotation(plane.generation) if plane.accepts_previous(now) else plane.rotation

        outcome = self._record(pdp, why, rotation, "Finish the rotation", "pdp-rotate-finish", dry_run=dry_run)
        if outcome.recorded:
            generation = outcome.world.plane(pdp).generation
            self.security.note(
                SecurityKind.PLANE_ROTATION_FINISHED, subject=why.by.subject, pdp=str(pdp), generation=generation
            )
        return outcome

    def _record(
        self,
        pdp: PDPName,
        why: Why,
        rotation: Callable[[DataPlane, datetime], Rotation | None],
        subject: str,
        action: str,
        *,
        dry_run: bool,
    ) -> Outcome:
        why.by.require(Permission.REGISTER, org=pdp.org)

        def change(world: World, now: datetime) -> Change:
            plane = world.plane(pdp)
            require_for(plane.registration, why.by)
            after = replace(plane, rotation=rotation(plane, now))
            if after == plane:
                return unchanged(world)
            return Change(world.with_plane(after), {layout.fleet_decisions(pdp): Document(after.decisions_document())})

        return self.record(
            change,
            subject=f"fleet/{pdp}: {subject}",
            action=action,
            by=why.by,
            reason=why.reason,
            dry_run=dry_run,
        )
