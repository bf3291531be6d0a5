"""Which commits count: those that somebody we know has signed, whoever could write to the branch."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ums.adapters._git import Git
from ums.adapters._git_objects import take_apart
from ums.adapters._git_reader import Objects
from ums.adapters.ssh_signature import verify_ssh_signature
from ums.domain.errors import UnavailableError

_MAX_COMMIT = 1 << 20
_KNOWN = 1024


class SignedCommits:
    """Looks for signed commits in a repository, whose objects it reads."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self.objects = Objects(git)
        self._known: dict[tuple[str, frozenset[str]], bool] = {}

    def is_signed(self, commit_id: str, keys: Collection[str]) -> bool:
        """Return whether one of the keys (OpenSSH form) signed a commit.

        Raises:
            UnavailableError: there is no such commit.

        """
        asked = commit_id, frozenset(keys)
        if asked not in self._known:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[asked] = self._check(commit_id, keys)
        return self._known[asked]

    def _check(self, commit_id: str, keys: Collection[str]) -> bool:
        found = self.objects.get(commit_id, limit=_MAX_COMMIT)
        if found is None or found[0] != "commit":
            # To take it for one that nobody signed would be to forget what it says.
            raise UnavailableError(
                f"commit {commit_id} is not in the release repo", hint="git fsck tells what else is not"
            )
        parts = take_apart(found[1])
        return bool(parts.signature) and verify_ssh_signature(parts.payload, parts.signature, list(keys)) is not None

    def newest(self, head: str, keys: Collection[str]) -> str:
        """Return the newest commit that led to ``head``, or it itself, that one of the keys signed; else nothing.

        On all ways: whoever writes to a branch chooses which of them comes first.
        """
        return next((each for each in self._led_to(head) if self.is_signed(each, keys)), "") if head else ""

    def _led_to(self, head: str) -> Iterator[str]:
        # Nearly always the first is the one.
        yield head
        yield from self._git.run("rev-list", "--date-order", head).decode().split()[1:]
