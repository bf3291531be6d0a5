"""A release repo whose commits are timed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from ums.domain.authority import Trespass
from ums.domain.feed import Fields
from ums.domain.names import PDPName
from ums.domain.world import Base, Decision, LogEntry, World
from ums.ports import Meter, ReleaseRepo


class MeteredReleaseRepo:
    """Implements ``ports.ReleaseRepo`` by another."""

    def __init__(self, inner: ReleaseRepo, meter: Meter) -> None:
        self._inner = inner
        self._meter = meter

    def read(self) -> World:
        """Return the state at the heads."""
        return self._inner.read()

    def commit(self, decision: Decision, *, base: Base) -> Base:
        """Record a decision, and how long that took."""
        with self._meter.time_commit():
            return self._inner.commit(decision, base=base)

    def log(self, *, limit: int, path: str = "", head: str = "", skip: int = 0) -> Sequence[LogEntry]:
        """Return the newest decisions, newest first."""
        return self._inner.log(limit=limit, path=path, head=head, skip=skip)

    def since(self, commit_id: str, *, limit: int) -> Sequence[LogEntry]:
        """Return the first commits after one, oldest first."""
        return self._inner.since(commit_id, limit=limit)

    def documents(self, before: str, after: str) -> Mapping[str, tuple[Fields | None, Fields | None]]:
        """Return the mappings that differ between two commits."""
        return self._inner.documents(before, after)

    def reclaim(self, *, at: datetime) -> str:
        """Put right what somebody else wrote to ``delivery``."""
        return self._inner.reclaim(at=at)

    def restore_main(self, *, at: datetime) -> Trespass | None:
        """Put right what somebody else wrote to ``main``."""
        return self._inner.restore_main(at=at)

    def maintain(self) -> None:
        """Store what there is compactly."""
        self._inner.maintain()

    def serial_at(self, commit_id: str, pdp: PDPName) -> int | None:
        """Return the serial of a data plane's state at a commit of ``delivery``, or ``None``."""
        return self._inner.serial_at(commit_id, pdp)

    def foreign(self) -> Sequence[str]:
        """Return what is in the repository's folder and is not UMS's."""
        return self._inner.foreign()
