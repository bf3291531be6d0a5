"""Read the feed: what happened since a commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ums.domain.feed import Event, events_of
from ums.ports import ReleaseRepo

MAX_SIZE = 128 << 10
"""Characters in the files that are looked at for one answer, about; one commit is always looked at."""
_VALUE = 16


@dataclass(frozen=True, slots=True)
class ReadFeed:
    """Tell what was decided, commit by commit."""

    release_repo: ReleaseRepo

    def __call__(self, *, after: str = "", limit: int = 100) -> tuple[Sequence[Event], str]:
        """Return events, oldest first, and the commit to go on from: an earlier one where there is much to look at.

        Args:
            after: a commit of ``main``; empty for the newest there is, so that only what comes is told.
            limit: how many commits to look at.

        Raises:
            NotFoundError: no such commit leads to the head of ``main``.

        """
        if not after:
            return (), self.release_repo.read().base.main
        found: list[Event] = []
        at, size = after, 0
        for commit in self.release_repo.since(after, limit=limit):
            changes = self.release_repo.documents(at, commit.commit_id)
            found += events_of(commit, changes)
            at = commit.commit_id
            size += sum(_size(each) for both in changes.values() for each in both)
            if size > MAX_SIZE:
                break
        return found, at


def _size(document: Any) -> int:  # noqa: ANN401 - any YAML value
    size, left = 0, [document]
    while left:
        match left.pop():
            case dict() as fields:
                left += [*fields, *fields.values()]
            case list() as items:
                left += items
            case str(text):
                size += len(text)
        size += _VALUE
    return size
