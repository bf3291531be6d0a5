"""Exchange the release repo with a Git host: people merge there, the service records here."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from ums.domain.errors import ConflictError, UmsError
from ums.domain.git_hosts import Exchange
from ums.domain.security_log import SecurityKind
from ums.ports import Clock, GitHost
from ums.usecases.security_events import SecurityEvents

_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class _Last:
    """How it went last."""

    found: Exchange = field(default_factory=Exchange)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ExchangeWithHost:
    """Do so, and remember how it went."""

    host: GitHost | None
    clock: Clock
    security: SecurityEvents
    last: _Last = field(default_factory=_Last)

    def __call__(self) -> bool:
        """Exchange once, where there is a host; return whether something of people's was taken in.

        Raises:
            UmsError: the host does not answer or refuses, or the release repo does.

        """
        if self.host is None:
            return False
        try:
            found = self.host.exchange(at=self.clock.now())
        except ConflictError:
            return False  # the next one finds what moved
        except UmsError as error:
            self.last.problem = error.message
            raise
        if found.left and found.left != self.last.found.left:
            _LOG.warning("what people merged at the Git host is left out: %s", "; ".join(found.reasons))
            self.security.note(SecurityKind.HOST_REFUSED, commit=found.left, reasons="; ".join(found.reasons))
        self.last.found, self.last.problem = found, ""
        return bool(found.taken)

    def problem(self) -> str:
        """Return what stands between the host and here; empty if nothing does."""
        left = self.last.found
        if self.last.problem:
            return f"the Git host: {self.last.problem}"
        return f"commit {left.left:.12} at the Git host is left out: {'; '.join(left.reasons)}" if left.left else ""
