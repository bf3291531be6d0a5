"""Watch the clock: record nothing while the time cannot be right, and let an administrator say that it is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from ums.domain import layout
from ums.domain.auditing import CLOCK_ACCEPTED
from ums.domain.clock import clock_doubt, is_too_far_ahead
from ums.domain.errors import ConflictError
from ums.domain.fleet import DataPlane, Desired
from ums.domain.instants import to_text
from ums.domain.names import PDPName
from ums.domain.rendering import offer, render_planes
from ums.domain.security_log import SecurityKind
from ums.domain.world import Content, Document, World
from ums.ports import ClockWitness, WatchedClock
from ums.usecases.instruct import Why
from ums.usecases.record import Change, Record
from ums.usecases.security_events import SecurityEvents


@dataclass(slots=True)
class WatchClock:
    """Compare the clock with itself while the process runs, and once at its start with the last known time."""

    clock: WatchedClock
    witness: ClockWitness
    _is_plausible: bool = field(default=False, init=False)

    def problem(self, world: World) -> str:
        """Return why the time cannot be taken for right; empty if it can.

        Raises:
            UnavailableError, StorageError: the database did not say when the service ran last.

        """
        if problem := self.clock.problem():
            return problem
        if not self._is_plausible:
            # An administrator may have accepted a time before the newest one in the release repo.
            known = [each for each in (self.witness.seen(), _newest(world)) if each is not None]
            if known:
                doubt = clock_doubt(self.clock.now(), last_known=known[0], latest_known=max(known))
                if doubt:
                    return doubt
            self._is_plausible = True
        return ""

    def beat(self, world: World) -> None:
        """Keep that the service runs now, for the next start to compare with; not if the time may be wrong."""
        if not self.problem(world):
            self.witness.note(self.clock.now())


@dataclass(frozen=True, slots=True)
class AcceptClock:
    """Say that the clock is right, however long the service was off or whatever it showed before.

    Attributes:
        record: one that does not watch the clock itself.

    """

    record: Record
    clock: WatchedClock
    witness: ClockWitness
    security: SecurityEvents

    def __call__(self, why: Why, *, dry_run: bool = False) -> tuple[PDPName, ...]:
        """Accept the time, and number anew the states whose serials every cluster would refuse for being ahead.

        A cluster whose own clock is right cannot have taken such a state from its root: a lower serial replaces nothing
        there. Return the data planes that got new serials.

        Raises:
            ForbiddenError: only admins do.
            InvalidInputError: a reason is missing.
            ConflictError: the clock jumped while this ran.
            UnavailableError, StorageError: the release repo or the database did not take it.

        """
        why.by.require_admin()
        why.given(self.clock.now())
        if problem := self.clock.problem():
            raise ConflictError(problem, hint="let the clock settle, and try again")
        outcome = self.record(
            _numbered_anew,
            subject=CLOCK_ACCEPTED,
            action="clock-accept",
            by=why.by,
            reason=why.reason,
            dry_run=dry_run,
            settle=False,
        )
        now, planes = self.clock.now(), outcome.before.planes
        renumbered = tuple(sorted(name for name, plane in planes.items() if _is_ahead(plane, now)))
        if not dry_run:
            seen = self.witness.seen()
            with self.security.recording(
                SecurityKind.CLOCK_ACCEPTED,
                subject=why.by.subject,
                clock=to_text(now),
                seen=to_text(seen) if seen else None,
                reason=why.reason,
                renumbered=[str(name) for name in renumbered],
            ):
                self.witness.reset(now)
        return renumbered


def _newest(world: World) -> datetime | None:
    """Return the latest time that the release repo or a report tells of."""
    offers = [plane.desired.issued for plane in world.planes.values() if plane.desired]
    reports = [plane.report.heard for plane in world.planes.values() if plane.report]
    return max((*offers, *reports), default=None)


def _is_ahead(plane: DataPlane, now: datetime) -> bool:
    return plane.desired is not None and is_too_far_ahead(plane.desired.serial, now)


def _numbered_anew(world: World, now: datetime) -> Change:
    """Return the states and tombstones with serials that no cluster accepts at ``now``, with serials of now."""
    serial = int(now.timestamp())
    files: dict[str, Content | None] = {}
    for name, retired in world.retired.items():
        if is_too_far_ahead(retired.last_serial, now):
            files[layout.fleet_retired(name)] = Document(replace(retired, last_serial=serial - 1).to_dict())
    issued: dict[PDPName, Desired] = {}
    for name, plane in world.planes.items():
        if plane.desired is not None and _is_ahead(plane, now):
            # What was first offered ahead counts as offered now, or no report could ever confirm it.
            bundles = {
                bundle: replace(state, since=min(state.since, serial))
                for bundle, state in plane.desired.bundles.items()
            }
            issued[name] = offer(world, name, bundles, serial=serial, now=now)
    return Change(world, files, delivered=render_planes(world, issued))
