"""The time of day, from the operating system, unless it jumps."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from ums.domain.clock import jump

_TOLERANCE = timedelta(minutes=5)
_DRIFT = 0.001
"""Of the time since the start: what corrections of a clock that runs badly may add up to."""
_ELAPSING = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Linux's clock that nobody can set, and that counts while the machine is suspended."""


def _shown() -> datetime:
    return datetime.now(UTC)


def _elapsed() -> float:
    return time.clock_gettime(_ELAPSING)


class SystemClock:
    """Implements ``ports.WatchedClock``: a jump of the clock while the process runs is not followed, but reported.

    Small corrections, as time synchronization makes them, are followed.

    Args:
        shown: the time of day.
        elapsed: seconds since some moment, by a clock that is never set.

    """

    def __init__(self, shown: Callable[[], datetime] = _shown, elapsed: Callable[[], float] = _elapsed) -> None:
        self._shown, self._elapsed = shown, elapsed
        self._began, self._mark = shown(), elapsed()

    def now(self) -> datetime:
        """Return the time, aware, in UTC: as shown, or, after a jump, as it would be without."""
        shown, expected = self._look()
        return shown if self._agree(shown, expected) else expected

    def problem(self) -> str:
        """Return how the clock jumped while the process ran; empty if it did not, or jumped back since."""
        shown, expected = self._look()
        return "" if self._agree(shown, expected) else jump(shown, expected)

    def _look(self) -> tuple[datetime, datetime]:
        return self._shown(), self._began + timedelta(seconds=self._elapsed() - self._mark)

    def _agree(self, shown: datetime, expected: datetime) -> bool:
        return abs(shown - expected) <= _TOLERANCE + (expected - self._began) * _DRIFT
