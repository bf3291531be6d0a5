"""A data plane as Flux and the guard make it behave: it takes what is newer, reports late, twice, or not at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from ums.domain.fleet import BundleState, Desired, Health, Report
from ums.domain.names import PDPName
from ums.domain.version import Version


@dataclass
class Cluster:
    """One data plane.

    Attributes:
        bad: releases that do not get well here.
        outbox: reports that were sent and not heard yet; they may be lost, doubled, or overtake each other.

    """

    name: PDPName
    bad: set[Version] = field(default_factory=set)
    online: bool = True
    serial: int = 0
    bundles: dict[str, BundleState] = field(default_factory=dict)
    outbox: list[Report] = field(default_factory=list)
    visited: list[Version] = field(default_factory=list)

    def poll(self, desired: Desired | None, now: datetime) -> None:
        """Take what is offered, unless the guard refuses it, and say how it goes."""
        if not self.online or desired is None or desired.serial <= self.serial or now >= desired.expires:
            return
        self.serial = desired.serial
        self.bundles = dict(desired.bundles)
        releases = {each for state in self.bundles.values() for each in (state.release, *state.components.values())}
        for state in self.bundles.values():
            if not self.visited or self.visited[-1] != state.release:
                self.visited.append(state.release)
        self.outbox.append(self._report(Health.UPDATING, now))
        self.outbox.append(self._report(Health.FAILED if releases & self.bad else Health.HEALTHY, now))

    def mend(self, now: datetime) -> None:
        """Let a release that failed get well, and say so."""
        self.bad.clear()
        if self.serial:
            self.outbox.append(self._report(Health.HEALTHY, now))

    def _report(self, health: Health, now: datetime) -> Report:
        return Report(self.serial, health, "", "", now, now)
