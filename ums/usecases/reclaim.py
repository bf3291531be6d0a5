"""Reclaim both branches: put what UMS wrote on top of what somebody else wrote in its place."""

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
        """Look at the branches; return whether one had to be put right.

        Raises:
            StorageError: the disk refused.
            UnavailableError: the release repo does not answer, or nothing on a branch is signed.

        """
        restored = self._restore_main()
        return self._reclaim_delivery() or restored

    def _restore_main(self) -> bool:
        try:
            trespass = self.release_repo.restore_main(at=self.clock.now())
        except ConflictError:
            return False  # a decision was recorded meanwhile, which does the same
        if trespass is None:
            return False
        _LOG.warning("%s", trespass, extra={"commit": trespass.commit})
        self.security.note(
            SecurityKind.MAIN_RESTORED,
            commit=trespass.commit,
            authors=list(trespass.authors),
            paths=list(trespass.paths),
            replaced=trespass.is_past,
        )
        return True

    def _reclaim_delivery(self) -> bool:
        try:
            foreign = self.release_repo.reclaim(at=self.clock.now())
        except ConflictError:
            return False  # somebody is recording a decision, which does the same
        if not foreign:
            return False
        _LOG.warning("somebody else wrote to the branch that data planes follow", extra={"commit": foreign})
        self.security.note(SecurityKind.DELIVERY_RECLAIMED, commit=foreign)
        return True
