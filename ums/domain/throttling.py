"""How often somebody may do something: a token bucket each, of which there are never more than so many."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address
from threading import Lock

from ums.domain.errors import TooManyRequestsError


@dataclass(frozen=True, slots=True)
class Rate:
    """So often at once, and then once every so long.

    Attributes:
        burst: how often at once; 1 or more.
        every: after how long there is one more; longer than nothing.

    """

    burst: int
    every: timedelta


@dataclass(slots=True)
class Throttle:
    """Buckets by key, for one process; what a key stands for is for the caller to say.

    When there are too many, the one that was used least recently is dropped: whoever has that many keys at hand, such
    as addresses, gets a fresh bucket now and then, and the process never runs out of memory.

    Attributes:
        rate: of every bucket.
        size: how many buckets are kept.

    """

    rate: Rate
    size: int = 10_000
    _full: OrderedDict[str, datetime] = field(default_factory=OrderedDict, repr=False)
    """When each bucket will be full again: all that there is to know of one."""
    _lock: Lock = field(default_factory=Lock, repr=False)

    def take(self, key: str, now: datetime) -> timedelta:
        """Take one from the bucket of ``key``, if there is one; return how long until there is, nothing if there was.

        Being refused costs nothing: whoever waits as long as they are told is let in.
        """
        with self._lock:
            wait, full = self._look(key, now)
            self._full[key] = full if wait else full + self.rate.every
            self._full.move_to_end(key)
            while len(self._full) > self.size:
                self._full.popitem(last=False)
            return wait

    def require(self, key: str, now: datetime, what: str) -> None:
        """Take one from the bucket of ``key``.

        Raises:
            TooManyRequestsError: there is none; ``what`` there is too much of.

        """
        if wait := self.take(key, now):
            raise TooManyRequestsError(f"too many {what}", hint="wait as long as Retry-After says", retry_after=wait)

    def _look(self, key: str, now: datetime) -> tuple[timedelta, datetime]:
        """Return how long to wait for one, and when the bucket will be full if nothing is taken."""
        empty = now + self.rate.every * self.rate.burst
        # A clock that was set back must lock nobody out for longer than an empty bucket does.
        full = min(max(self._full.get(key, now), now), empty)
        return max(full + self.rate.every - empty, timedelta(0)), full


def client_key(address: str | None) -> str:
    """Return what a client's address counts as: of IPv6 the network, since whoever has one has 2**64 addresses."""
    try:
        found = ip_address((address or "").partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or IPv6Address(int(found) >> 64 << 64))
    return str(found)
