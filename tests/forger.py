"""Somebody who writes to a release repo past the service: with a key that counts for nobody else, and no scruples."""

from __future__ import annotations

from pathlib import Path

from ums.adapters._signed_main import Counting
from ums.adapters.git_release_repo import GitReleaseRepo
from ums.adapters.ssh_signature import SSHStateSigner
from ums.domain.world import Base


class Believing:
    """Takes whatever is on ``main`` for good: the defence that is switched off."""

    def counting(self, main: str, delivery: str) -> Counting:  # noqa: ARG002 - believed as well
        """Return the head."""
        return Counting(main, frozenset(), leads=True)

    def forget(self) -> None:
        """Do nothing: nothing is remembered."""

    def note(self, commit_id: str) -> None:
        """Do nothing."""

    def ended(self) -> dict[str, str]:
        """Return that no key was dropped."""
        return {}

    def keys_known(self, commit_id: str) -> frozenset[str]:  # noqa: ARG002 - signatures are not looked at
        """Return no key."""
        return frozenset()


class Forger(GitReleaseRepo):
    """Takes everything on both branches for good, and signs with a key of its own."""

    def __init__(self, path: Path, signer: SSHStateSigner, *, author: str = "Mallory <m@example.com>") -> None:
        super().__init__(path, signer, author=author)
        self._main = Believing()  # type: ignore[assignment]

    def _trusted(self, base: Base, keys: frozenset[str]) -> str:  # noqa: ARG002 - everything counts
        return base.delivery
