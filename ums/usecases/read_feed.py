"""Read the feed: what happened since a commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ums.domain.feed import Event, events_of
from ums.ports import ReleaseRepo


@dataclass(frozen=True, slots=True)
class ReadFeed:
    """Tell what was decided, commit by commit."""

    release_repo: ReleaseRepo

    def __call__(self, *, after: str = "", limit: int = 100) -> tuple[Sequence[Event], str]:
        """Return events, oldest first, and the commit to go on from.

        Args:
            after: a commit of ``main``; empty for the newest there is, so that only what comes is told.
            limit: how many commits to look at.

        Raises:
            NotFoundError: no such commit leads to the head of ``main``.

        """
        if not after:
            return (), self.release_repo.read().base.main
        found: list[Event] = []
        at = after
        for commit in self.release_repo.since(after, limit=limit):
            found += events_of(commit, self.release_repo.documents(at, commit.commit_id))
            at = commit.commit_id
        return found, at
