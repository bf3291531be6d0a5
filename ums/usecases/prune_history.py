"""Drop health history that is older than it is kept, and sessions that are over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from ums.ports import Clock, SessionStore, Store

DEFAULT_RETENTION = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class PruneHistory:
    """Keep as much of the past as was asked for. The health that a data plane has now is no past."""

    store: Store
    sessions: SessionStore
    clock: Clock
    retention: timedelta = DEFAULT_RETENTION

    def __call__(self) -> int:
        """Drop what is older; return how many changes that were.

        Raises:
            UnavailableError, StorageError: the database did not answer, or refused.

        """
        now = self.clock.now()
        self.sessions.prune_sessions(now=now)
        return self.store.prune_health_changes(before=now - self.retention)
