"""Which commits count: those that a key we know has signed, whoever could write to the branch."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime

from ums.adapters._git import Git, one_line
from ums.adapters._git_objects import CommitParts, take_apart
from ums.adapters._git_reader import Objects
from ums.adapters.ssh_signature import verify_ssh_signature
from ums.domain import layout
from ums.domain.errors import UnavailableError
from ums.domain.world import UNSIGNED, LogEntry

_MAX_COMMIT = 1 << 20
_KNOWN = 4096
_DECISION = re.compile(rf"^{layout.DECISION}: ([0-9a-f]{{40}})$", re.MULTILINE)
_ACTION = re.compile(r"^UMS-Action: ", re.MULTILINE)
_TRAILER = re.compile(r"^UMS-(Actor|Action|Reason): (.*)$", re.MULTILINE)


def branch_of(message: str) -> str:
    """Return the branch that a commit of ours was made for; empty for any other, such as that of a view.

    The same key signs commits of both branches and of views. Each is for its place alone: a commit of ``delivery`` that
    somebody merges into ``main`` must not decide what is on ``main``.
    """
    trailers = message.partition("\n\n")[2]
    if f"\n{layout.DECISION}: " in f"\n{trailers}":
        return layout.DELIVERY
    return layout.MAIN if _ACTION.search(trailers) else ""


def decision_of(message: str) -> str:
    """Return the commit on ``main`` that a commit of ``delivery`` says it follows from, or the empty string."""
    found = _DECISION.findall(message.partition("\n\n")[2])
    return found[-1] if found else ""


def _missing(name: str) -> UnavailableError:
    # To take it for a commit without a signature, or for no file, would be to forget what it says.
    return UnavailableError(f"object {name} is not in the release repo", hint="git fsck tells what else is missing")


class SignedCommits:
    """Looks for signed commits in a repository, whose objects it reads."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self.objects = Objects(git)
        self._known: dict[tuple[str, str, frozenset[str]], bool] = {}

    def is_signed(self, commit_id: str, keys: Collection[str], branch: str) -> bool:
        """Return whether one of the keys (OpenSSH form) signed a commit, as one of this branch.

        Raises:
            UnavailableError: there is no such commit.

        """
        asked = commit_id, branch, frozenset(keys)
        if asked not in self._known:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[asked] = self._check(commit_id, keys, branch)
        return self._known[asked]

    def file(self, commit_id: str, path: str, *, limit: int) -> tuple[str, str, bytes]:
        """Return id, kind and content of what is at a path; empty where nothing is, or more than ``limit`` bytes."""
        name = self.objects.find(commit_id, path)
        found = self._get(name, limit) if name else None
        return (name, *found) if found else ("", "", b"")

    def parts(self, commit_id: str) -> CommitParts:
        """Return a commit, taken apart; nothing of one that is larger than any of ours.

        Raises:
            UnavailableError: there is no such commit.

        """
        kind, content = self._get(commit_id, _MAX_COMMIT) or ("commit", b"")
        if kind != "commit":
            raise _missing(commit_id)
        return take_apart(content)

    def entry(self, commit_id: str, *, is_signed: bool) -> LogEntry:
        """Return a commit of ``main`` for the log. Its trailers count where a state key signed it, else its author.

        It is read here and not by ``git log``, which could be shown another one under its name.

        Raises:
            UnavailableError: there is no such commit.

        """
        parts = self.parts(commit_id)
        at = datetime.fromtimestamp(parts.seconds, UTC)
        head, _, rest = parts.message.lstrip("\n").partition("\n\n")
        subject = one_line(head)
        if not is_signed:
            return LogEntry(commit_id, at, subject, one_line(parts.author) or "-", UNSIGNED, "", is_signed=False)
        given = {name: one_line(text) for name, text in _TRAILER.findall(rest)}
        who, action, reason = (given.get(name, "") for name in ("Actor", "Action", "Reason"))
        return LogEntry(commit_id, at, subject, who, action, reason)

    def _check(self, commit_id: str, keys: Collection[str], branch: str) -> bool:
        parts = self.parts(commit_id)
        return (
            bool(parts.signature)
            and branch_of(parts.message) == branch
            and verify_ssh_signature(parts.payload, parts.signature, list(keys)) is not None
        )

    def _get(self, name: str, limit: int) -> tuple[str, bytes] | None:
        """Return kind and content of an object, or ``None`` where it is larger than ``limit`` bytes.

        Raises:
            UnavailableError: it is not there.

        """
        try:
            found = self.objects.get(name, limit=limit)
        except UnavailableError:
            if int(self._git.run("cat-file", "-s", name)) > limit:
                return None  # whoever may push could otherwise stop us with one long message
            raise
        if found is None:
            raise _missing(name)
        return found

    def newest(self, head: str, keys: Collection[str], branch: str) -> str:
        """Return the newest commit that led to ``head``, or it itself, that one of the keys signed; else nothing.

        On all ways: whoever writes to a branch chooses which of them comes first.
        """
        return next((each for each in self.led_to(head) if self.is_signed(each, keys, branch)), "") if head else ""

    def following(self, start: str, head: str) -> Iterable[tuple[str, Collection[str]]]:
        """Return the commits that led to ``head`` and not to ``start``, each after its parents, and these.

        Git says which to look at, and no more: the parents are those in commits that were hashed. Git could be shown
        others, and would then take a commit of the past for one that follows.
        """
        if head == start or not head:
            return ()
        listed = self._git.run("rev-list", "--topo-order", "--reverse", head, f"^{start}").decode().split()
        return ((commit, self.parts(commit).parents) for commit in listed)

    def led_to(self, head: str) -> Iterator[str]:
        """Yield a commit and those that led to it, the newest first. Nearly always the first is the one."""
        yield head
        yield from self._git.run("rev-list", "--date-order", head).decode().split()[1:]
