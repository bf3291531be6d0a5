"""Answer a request that was sent twice as it was answered the first time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from ums.domain.answers import Kept
from ums.domain.identity import Identity
from ums.domain.subjects import folded
from ums.ports import Clock, Store

_KEPT = timedelta(days=1)
_PATIENCE = timedelta(minutes=5)
"""A request takes no longer: whoever took it is gone."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A request, as far as it must be known to tell whether it is the same.

    Attributes:
        key: a hash of who asks, what was granted to it, for what, and of their key; keys of others do not meet it.
        fingerprint: a hash of what was sent.

    """

    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class AnswerOnce:
    """Keep answers by the keys that their askers gave."""

    store: Store
    clock: Clock

    def claim(self, by: Identity, what: str, key: str, content: bytes) -> tuple[Claim, Kept | None]:
        """Return what is kept for a key, or take it for this request.

        Raises:
            UnavailableError, StorageError: the database did not answer, or refused.

        """
        # Two of one name who do not see the same are not one.
        reach = " ".join(sorted(str(each) for each in by.grants))
        name = hashlib.sha256(b"\0".join(part.encode() for part in (folded(by.subject), reach, what, key))).hexdigest()
        claim, now = Claim(name, hashlib.sha256(content).hexdigest()), self.clock.now()
        kept = self.store.claim_key(
            name, Kept(claim.fingerprint), at=now, done_before=now - _KEPT, begun_before=now - _PATIENCE
        )
        return claim, kept

    def keep(self, claim: Claim, answer: Kept | None) -> None:
        """Keep the answer; ``None`` where nothing was done, so that the same may be tried again."""
        self.store.keep_answer(claim.key, answer)
