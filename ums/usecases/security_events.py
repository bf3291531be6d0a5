"""Keep security events: together with the act that they tell of, or – of what was refused – as well as can be."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

from ums.domain.errors import UmsError
from ums.domain.instants import to_text
from ums.domain.security_log import NOWHERE, Anchor, Origin, SecurityEvent, SecurityKind
from ums.ports import Clock, SecurityLog
from ums.waiting import will_wait

_LOG = logging.getLogger(__name__)
_WINDOW = timedelta(minutes=1)
_MAX_SOURCES = 50
"""So many addresses are told apart of a kind and subject at a time; beyond that, all are one."""

_Source = tuple[SecurityKind, str, str]
"""A kind, the client's address, and who it was if that is proven."""


@dataclass(slots=True)
class _Flood:
    """What came from one source since something of it was last kept, and the latest of it."""

    since: datetime
    count: int = 0
    what: dict[str, object] | None = None
    origin: Origin = NOWHERE


class SecurityEvents:
    """The one door to the log. ``origin`` says which request is being answered."""

    def __init__(self, log: SecurityLog, clock: Clock, origin: Callable[[], Origin] = lambda: NOWHERE) -> None:
        self.log = log
        self._clock = clock
        self._origin = origin
        self._lock = Lock()
        self._floods: dict[_Source, _Flood] = {}

    @contextmanager
    def recording(self, kind: SecurityKind, *, subject: str, **what: object) -> Iterator[None]:
        """Keep an event together with what is written to the database inside: both, or neither.

        Args:
            kind: what happens.
            subject: who does it.
            what: to what, in words that JSON has; never a secret.

        Raises:
            UmsError: whatever is raised inside; then nothing is kept.
            UnavailableError, StorageError: the database could not keep it; then nothing was done.

        """
        with self.log.together():
            yield
            self.log.append(self._event(kind, subject, what, self._origin()))

    def note(self, kind: SecurityKind, *, subject: str = "", **what: object) -> None:
        """Keep an event of something that was refused, or only seen. This raises nothing, and is bounded.

        The first from a source is kept at once; of what follows within a minute, one entry tells the latest and how
        many there were.

        Args:
            kind: what happened.
            subject: who it was, if that is proven; what a stranger says of itself belongs into ``what``.
            what: more of it, in words that JSON has; never a secret.

        """
        will_wait()
        now, origin = self._clock.now(), self._origin()
        with self._lock:
            source = (kind, origin.address, subject)
            if source not in self._floods and self._is_crowded(kind, subject):
                source, what, origin = (kind, "", subject), {"sources": "many"}, NOWHERE
            flood = self._floods.get(source)
            if flood is None:
                self._floods[source] = _Flood(now)
            else:
                flood.count, flood.what, flood.origin = flood.count + 1, what, origin
        if flood is None and not self._kept(self._event(kind, source[2], what, origin)):
            with self._lock:
                held = self._floods[source]
                held.count, held.what, held.origin = held.count + 1, what, origin

    def flush(self) -> int:
        """Keep what was only counted so far and is a minute old; return how many entries that made."""
        now, made = self._clock.now(), 0
        with self._lock:
            due = {source: flood for source, flood in self._floods.items() if now - flood.since >= _WINDOW}
            for source, flood in due.items():
                if flood.count:
                    self._floods[source] = _Flood(now)
                else:
                    del self._floods[source]
        for (kind, _, subject), flood in due.items():
            if not flood.count:
                continue
            what = {**(flood.what or {}), "count": flood.count, "since": to_text(flood.since)}
            if self._kept(self._event(kind, subject, what, flood.origin)):
                made += 1
            else:
                self._count_again((kind, flood.origin.address, subject), flood)
        return made

    def anchor(self) -> Anchor | None:
        """Return which entry a commit should name; ``None`` also where the database does not say: commits go on."""
        try:
            return self.log.head()
        except UmsError as error:
            _LOG.warning("a commit will name no security event: %s", error.message)
            return None

    def _is_crowded(self, kind: SecurityKind, subject: str) -> bool:
        return sum(each[0] is kind and each[2] == subject for each in self._floods) >= _MAX_SOURCES

    def _event(self, kind: SecurityKind, subject: str, what: dict[str, object], origin: Origin) -> SecurityEvent:
        return SecurityEvent.make(kind, at=self._clock.now(), subject=subject, what=what, origin=origin)

    def _kept(self, event: SecurityEvent) -> bool:
        try:
            self.log.append(event)
        except UmsError as error:
            _LOG.warning("a security event waits to be kept: %s", error.message, extra={"kind": event.kind.value})
            return False
        return True

    def _count_again(self, source: _Source, flood: _Flood) -> None:
        with self._lock:
            held = self._floods.setdefault(source, flood)
            if held is not flood:
                held.count, held.since = held.count + flood.count, flood.since
                if held.what is None:
                    held.what, held.origin = flood.what, flood.origin
