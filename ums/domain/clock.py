"""Whether the time that a clock shows can be right, and how far ahead of it a serial may be.

Serials, and the times of decisions, come from the clock. A serial that is far ahead of the clocks of the clusters is
refused there until these catch up, so that a clock which is wrong for a moment must not reach the release repo.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ums.domain.instants import duration_text, to_text

MAX_AHEAD = timedelta(days=1)
"""How far ahead of its API server's clock a cluster accepts a serial."""
MAX_ISSUED_AHEAD = MAX_AHEAD - timedelta(hours=1)
"""How far ahead of our clock one is issued: the clock of a cluster may be behind ours."""
MAX_SILENCE = MAX_ISSUED_AHEAD
"""How long a service may have been off before a start needs ``ums clock accept``: a jump of this size is harmless."""
MAX_BEHIND = timedelta(hours=1)
"""How far behind the last known time a clock may be at a start."""
HINT = "correct the clock of this machine; if it is right, ums clock accept says so, and is recorded"


def is_too_far_ahead(serial: int, now: datetime) -> bool:
    """Return whether clusters, whose clocks may be somewhat behind ``now``, would refuse a serial (unix seconds)."""
    return serial > (now + MAX_ISSUED_AHEAD).timestamp()


def accepted_from(serial: int) -> datetime:
    """Return from when on clusters accept a serial, as far as ``is_too_far_ahead`` knows."""
    return datetime.fromtimestamp(serial, UTC) - MAX_ISSUED_AHEAD


def clock_doubt(now: datetime, *, last_known: datetime, latest_known: datetime) -> str:
    """Return why the time at a start of the service cannot be taken for right; empty if it can.

    Args:
        now: what the clock shows.
        last_known: a time that has passed for sure; a clock that is behind it is wrong, or was.
        latest_known: the latest time at which the service is known to have run.

    """
    if now > latest_known + MAX_SILENCE:
        return (
            f"the clock shows {to_text(now)}, {_span(now - latest_known)} after the last sign of this service:"
            " it was off for that long, or the clock is ahead"
        )
    if now < last_known - MAX_BEHIND:
        return (
            f"the clock shows {to_text(now)}, {_span(last_known - now)} before the last sign of this service:"
            " it is behind, or was ahead"
        )
    return ""


def jump(shown: datetime, expected: datetime) -> str:
    """Return what to say of a clock that was set while the process ran."""
    direction = "forward" if shown > expected else "back"
    return (
        f"the clock jumped {direction} by {_span(abs(shown - expected))} while the service ran:"
        f" it shows {to_text(shown)}, and {to_text(expected)} was expected"
    )


def _span(span: timedelta) -> str:
    return duration_text(timedelta(seconds=round(span.total_seconds())))
