"""Whether this process runs the jobs of which one runner is enough."""

from __future__ import annotations

import logging
import time
from math import inf
from threading import Event

from ums.domain.errors import UmsError
from ums.ports import Leadership, Meter, ReleaseRepo

_LOG = logging.getLogger(__name__)
_COUNTS_SECONDS = 5.0
"""So long an answer counts: whoever cannot ask any more stops, though another may lead for a moment already."""


class Leader:
    """Leads as long as the lock says so; wakes the loop when it begins to, and when another process decided something.

    Attributes:
        due: set when the loop has something to do.

    """

    def __init__(self, leadership: Leadership, release_repo: ReleaseRepo, meter: Meter, due: Event) -> None:
        self._leadership = leadership
        self._release_repo = release_repo
        self._meter = meter
        self._due = due
        self._until = -inf
        self._was = False
        self._head = ""

    def leads(self) -> bool:
        """Return whether this process led a moment ago."""
        return time.monotonic() < self._until

    def ask(self) -> None:
        """Ask again; once a second is often enough.

        Raises:
            UnavailableError, StorageError: it cannot be known; or the release repo cannot be read.

        """
        asked, leads = time.monotonic(), False
        try:
            leads = self._leadership.held()
        finally:
            self._until = asked + _COUNTS_SECONDS if leads else -inf
            if leads != self._was:
                _LOG.info("this process leads" if leads else "this process leads no more")
            began, self._was = leads and not self._was, leads
            self._meter.tell_leader(leads=leads)
        if leads:
            head = self._release_repo.read().base.main
            if began or head != self._head:
                self._head = head
                self._due.set()

    def step_down(self) -> None:
        """Let another lead."""
        self._until = -inf
        try:
            self._leadership.release()
        except UmsError as error:
            _LOG.warning("the lock of the leader: %s", error.message)
