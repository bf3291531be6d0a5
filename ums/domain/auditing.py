"""What must hold of the release repo's history, so that whoever reads it can rely on it.

On ``main`` everything that UMS writes comes from commits signed with a state key; people's commits may change what
people write, and nothing else. Every commit of ``delivery`` is signed, follows the one before, names the decision
that it follows from, and lets no data plane's serial fall.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ums.domain.names import PDPName
from ums.domain.security_log import Anchor, Chain

CLOCK_ACCEPTED = "fleet: Accept the clock"
"""Subject of the one decision that may lower serials: clusters refused those for being ahead of their clocks."""
_NAME = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
_WRITTEN_BY_PEOPLE = re.compile(
    rf"(ums|trust|access)\.yaml|channels/{_NAME}/policy\.yaml|fleet/{_NAME}/{_NAME}/registration\.yaml"
    # What UMS does not read: about the repository, for people and for Git hosts.
    rf"|((channels|fleet)/({_NAME}/){{0,2}})?{_NAME}\.(md|txt)|[A-Z][A-Za-z_-]*|\.(gitignore|gitattributes|editorconfig|gitlab-ci\.yml)"
    rf"|(\.github|\.gitlab|\.gitea|\.forgejo|docs|schemas|scripts)(/\.?{_NAME})+"
)
"""Everything else is UMS's: a kind of file that is added one day is protected from that day on."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit as it was read.

    Attributes:
        signed_by: the state key that signed it (OpenSSH form), or ``None``: nobody whose key counts.
        decision: for ``delivery``, the commit on ``main`` that it says it follows from.
        anchor: for ``main``, the newest security event that there was.

    """

    id: str
    parents: tuple[str, ...]
    author: str
    subject: str
    signed_by: str | None
    decision: str = ""
    anchor: Anchor | None = None


@dataclass(frozen=True, slots=True)
class Flaw:
    """A commit that does not hold, and why."""

    branch: str
    commit: str
    author: str
    message: str

    def to_dict(self) -> dict[str, Any]:
        """Return the form used in answers."""
        return {"branch": self.branch, "commit": self.commit, "author": self.author, "message": self.message}


@dataclass(frozen=True, slots=True)
class Audited:
    """What was looked at, and what does not hold, oldest first.

    Attributes:
        security: ``None`` if no log was given.
        ignored: what in the clone would run commands if Git obeyed it, a sentence each; here it does not.

    """

    decisions: int
    by_people: int
    deliveries: int
    flaws: tuple[Flaw, ...]
    security: Chain | None = None
    ignored: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Return whether all does that was looked at."""
        return not self.flaws and not (self.security and self.security.broken)

    def to_dict(self) -> dict[str, Any]:
        """Return the form used in answers."""
        return {
            "decisions": self.decisions,
            "byPeople": self.by_people,
            "deliveries": self.deliveries,
            "flaws": [flaw.to_dict() for flaw in self.flaws],
            "securityEvents": self.security.to_dict() if self.security else None,
            "ignored": list(self.ignored),
        }


def signed_in_time(
    main: Sequence[Commit], delivery: Sequence[Commit], keys: Mapping[str, Collection[str]]
) -> tuple[list[Commit], list[Commit]]:
    """Return the commits of both branches, each signed by nobody where its key did not count any more, or not yet.

    Args:
        main: each after its parents.
        delivery: each after its parents.
        keys: the state keys that each commit of ``main`` says count. Only what commits say that count themselves is
            heeded: the newest of them before a commit says whose signature it takes. The very first vouches for itself.

    """
    newest: dict[str, str] = {}
    count: dict[str, int] = {"": 0}
    checked: list[Commit] = []

    def then(each: Commit) -> tuple[str, Collection[str]]:
        before = max((newest[parent] for parent in each.parents), key=lambda known: count[known], default="")
        return before, keys.get(before or each.id, ()) if before or not checked else ()

    for each in main:
        before, counting = then(each)
        counts = each.signed_by in counting
        checked.append(each if counts else replace(each, signed_by=None))
        newest[each.id] = each.id if counts else before
        count[each.id] = count[before] + 1
    places = {each.id: place for place, each in enumerate(main)}
    furthest, delivered = -1, []
    for each in delivery:
        # Whoever has a key of old may name a decision of old: what was delivered before is the measure.
        furthest = max(furthest, places.get(each.decision, -1))
        decided = main[furthest] if furthest >= 0 else None
        after = keys.get(newest[decided.id], ()) if decided else ()
        earlier = [keys.get(newest[parent], ()) for parent in decided.parents] if decided else []
        taken = {key for known in (after, *earlier) for key in known}
        delivered.append(each if each.signed_by in taken else replace(each, signed_by=None))
    return checked, delivered


def trespasses(paths: Iterable[str]) -> list[str]:
    """Return those of the paths that only UMS writes: all but the few that people may."""
    return [path for path in paths if not _WRITTEN_BY_PEOPLE.fullmatch(path)]


def fallen(serials: Iterable[tuple[PDPName, int | None, int | None]], decision: str = "") -> list[str]:
    """Return what is wrong with states that changed.

    Args:
        serials: each data plane's serial before and after.
        decision: subject of the signed decision that they follow from.

    """
    problems = []
    for name, before, after in serials:
        if after is None:
            problems.append(f"the state of {name} cannot be read")
        elif before is not None and after <= before and decision != CLOCK_ACCEPTED:
            problems.append(f"the serial of {name} did not rise: {before}, then {after}")
    return problems
