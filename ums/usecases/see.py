"""What somebody sees: everything but the data planes of organizations that are not its business.

Routes ask this instead of the release repo, so that one which forgets to filter has nothing to tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ums.domain.clock import HINT
from ums.domain.deciding import Plan, decide
from ums.domain.explaining import Explanation, explain
from ums.domain.feed import Event
from ums.domain.fleet import Cluster, HealthChange
from ums.domain.gates import Gate, ask_gates
from ums.domain.hiding import hide
from ums.domain.identity import Identity
from ums.domain.linting import problems
from ums.domain.names import PDPName
from ums.domain.release import ReleaseName
from ums.domain.world import FleetSettings, LogEntry, World
from ums.usecases.read_feed import ReadFeed
from ums.usecases.record import Record


@dataclass(frozen=True, slots=True)
class Sight:
    """What somebody sees at one time. What would be done is decided on everything there is, and shown in part.

    Attributes:
        world: without what is not its business.

    """

    world: World
    now: datetime
    orgs: frozenset[str] | None
    _everything: World = field(repr=False)
    clock_problem: str = ""

    def plan(self, channel: str = "") -> Plan:
        """Return what would be done now, in one channel or in all."""
        world = self._everything
        if channel:
            world = world.with_planes(
                {name: plane for name, plane in world.planes.items() if plane.registration.channel == channel}
            )
        return decide(world, self.now).for_orgs(self.orgs)

    def explain(self, name: PDPName) -> tuple[Explanation, ...]:
        """Return why a data plane is where it is.

        Raises:
            NotFoundError: it is not registered, or not its business.

        """
        return explain(self._everything, self.now, self.world.plane(name).name)

    def gates(
        self, channel: str, name: ReleaseName, *, expedite: bool = False, verified: bool | None = None
    ) -> tuple[Gate, ...]:
        """Return what the gates between a release and a channel say: of the whole fleet, or it would not be true.

        Raises:
            NotFoundError: there is no such channel or release.

        """
        found = self._everything.channel(channel)
        return ask_gates(self._everything, found, name, self.now, expedite=expedite, verified=verified)

    def problems(self) -> list[str]:
        """Return why nothing is recorded or offered, and which files, or what in them, counts for nothing, and why."""
        ahead = sum(plane.is_ahead(self.now) for plane in self.world.planes.values())
        found = [f"the clock: {self.clock_problem}; {HINT}"] if self.clock_problem else []
        if ahead:
            found.append(f"{ahead} data planes are offered nothing: their serials are far ahead of the clock; {HINT}")
        return [*found, *(str(each) for each in problems(self.world, self._everything, self.now))]


@dataclass(frozen=True, slots=True)
class See:
    """Look at everything with somebody's eyes."""

    record: Record
    read_feed: ReadFeed

    def __call__(self, by: Identity) -> Sight:
        """Return what somebody sees now."""
        everything = self.record.world()
        problem = self.record.clock_problem(everything)
        return Sight(everything.for_orgs(by.orgs), self.record.clock.now(), by.orgs, everything, problem)

    def settings(self) -> FleetSettings:
        """Return what all data planes share, which is no secret."""
        return self.record.release_repo.read().settings

    def history(self, by: Identity, name: PDPName, *, limit: int) -> Sequence[HealthChange]:
        """Return how the health of a data plane changed, newest first.

        Raises:
            NotFoundError: it is not registered, or not its business.
            UnavailableError, StorageError: the database did not answer, or refused.

        """
        return self.record.store.list_health_changes(self(by).world.plane(name).name, limit=limit)

    def cluster(self, by: Identity, name: PDPName) -> Cluster | None:
        """Return what was reported of a data plane's cluster, where that is its business."""
        return self.record.store.cluster(name) if by.orgs is None or name.org in by.orgs else None

    def head(self) -> str:
        """Return the newest commit of ``main``."""
        return self.record.release_repo.read().base.main

    def events(self, by: Identity, *, after: str = "", limit: int = 100) -> tuple[list[Event], str]:
        """Return what happened since a commit, and the commit to go on from.

        Raises:
            NotFoundError: no such commit leads to the head of ``main``.

        """
        found, now = self.read_feed(after=after, limit=limit)
        return [each for each in found if each.is_for(by.orgs)], now

    def log(
        self, by: Identity, *, limit: int, path: str = "", head: str = "", skip: int = 0
    ) -> tuple[Sequence[LogEntry], bool]:
        """Return those of ``limit`` decisions that led to ``head``, past the first, and whether there are more.

        Raises:
            NotFoundError: ``head`` does not lead to the head of ``main``.

        """
        found = self.record.release_repo.log(limit=limit + 1, path=path, head=head, skip=skip)
        return [each for each in found[:limit] if each.is_for(by.orgs)], len(found) > limit

    def hide(self, value: Any, by: Identity, *known: str) -> Any:  # noqa: ANN401 - any JSON value
        """Return JSON whose sentences name no data planes but ``known`` ones, and those that are its business."""
        if by.orgs is None:
            return value
        catalog = self.record.release_repo.read().catalog
        releases = (entry.release for versions in catalog.values() for entry in versions.values())
        components = {f"{release.bundle}/{each.name}" for release in releases for each in release.components}
        return hide(value, by.orgs, components.union(known))
