"""Reclaim ``delivery``: put what was really offered on top of what somebody else wrote there."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from ums.domain.errors import ConflictError
from ums.domain.security_log import SecurityKind
from ums.ports import Clock, ReleaseRepo
from ums.usecases.security_events import SecurityEvents

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reclaim:
    """Undo what no state key signed. It counted for nothing meanwhile: neither here nor in a cluster."""

    release_repo: ReleaseRepo
    clock: Clock
    security: SecurityEvents

    def __call__(self) -> bool:
        """Look at the branch; return whether it had to be put right.

        Raises:
            StorageError: the disk refused.
            UnavailableError: the release repo does not answer, or nothing on the branch is signed.

        """
        try:
            foreign = self.release_repo.reclaim(at=self.clock.now())
        except ConflictError:
            return False  # somebody is recording a decision, which does the same
        if not foreign:
            return False
        _LOG.warning("somebody else wrote to the branch that data planes follow", extra={"commit": foreign})
        self.security.note(SecurityKind.DELIVERY_RECLAIMED, commit=foreign)
        return True
