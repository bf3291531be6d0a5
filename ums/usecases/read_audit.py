"""Read what is kept for auditors: security events, and all of it with the decisions, as one stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import islice

from ums.domain.identity import Identity
from ums.domain.instants import to_text
from ums.domain.security_log import Entry, SecurityKind
from ums.domain.world import LogEntry
from ums.ports import ReleaseRepo, SecurityLog

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Place:
    """How far a stream was read: the last security event, and the last decision; the start unless given."""

    seq: int = 0
    commit_id: str = ""


Record = Entry | LogEntry
"""What one line tells."""


@dataclass(frozen=True, slots=True)
class ReadAudit:
    """Read the security log and the release repo, for admins."""

    log: SecurityLog
    release_repo: ReleaseRepo

    def newest(
        self,
        *,
        limit: int,
        by: Identity,
        before: int | None = None,
        kind: SecurityKind | None = None,
        subject: str = "",
        since: str = "",
    ) -> Sequence[Entry]:
        """Return security events, newest first.

        Raises:
            ForbiddenError: only admins see them.

        """
        by.require_admin()
        return self.log.newest(limit=limit, before=before, kind=kind, subject=subject, since=since)

    def stream(self, after: Place, *, limit: int, by: Identity) -> Sequence[tuple[Record, Place]]:
        """Return decisions and security events in one, by time, oldest first, each with where to go on behind it.

        Both keep the order of their own, which of two replicas' clocks may not quite be that of time.

        Raises:
            ForbiddenError: only admins see them.
            NotFoundError: the decision to go on behind is gone.

        """
        by.require_admin()
        entries = self.log.read(after=after.seq, limit=limit)
        decisions = self.release_repo.since(after.commit_id, limit=limit)
        found: list[tuple[Record, Place]] = []
        place = after
        parts: tuple[Sequence[Record], ...] = (decisions, entries)
        for record in islice(merge(*parts, key=_time), limit):
            if isinstance(record, Entry):
                place = Place(record.seq, place.commit_id)
            else:
                place = Place(place.seq, record.commit_id)
            found.append((record, place))
        return found


def all_entries(log: SecurityLog) -> Iterator[Entry]:
    """Yield all entries, oldest first, a page at a time."""
    after = 0
    while page := log.read(after=after, limit=_PAGE):
        yield from page
        after = page[-1].seq


def _time(record: Record) -> str:
    return record.at if isinstance(record, Entry) else to_text(record.at)
