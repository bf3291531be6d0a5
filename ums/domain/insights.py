"""How well delivery goes, in the four figures of DORA, by channel: from what the release repo records.

Some of it is approximate; ``APPROXIMATIONS`` says what, and whoever shows the figures shows that too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from ums.domain.channels import Channel
from ums.domain.errors import InvalidInputError
from ums.domain.fleet import DataPlane, Health
from ums.domain.instants import to_text
from ums.domain.release import ReleaseName
from ums.domain.rollouts import WITHDRAWN, is_taken, offered_at
from ums.domain.version import Version
from ums.domain.world import World

APPROXIMATIONS = (
    "A release counts as published when the service accepted it.",
    (
        "Lead time of a channel's head: until the given share of its data planes said that they are healthy on it; each"
        " is dated by the later of its offer and the start of its present health: one that failed in between is late."
    ),
    (
        "Lead time of what was replaced since: until its rollout had finished, as arrivals are not kept."
        " Unfinished rollouts, and returns to a release promoted before, have none."
    ),
    (
        "A promotion failed if its rollout ever halted, was rolled back or cancelled, or if its release is yanked or"
        " recalled now, whenever that was."
    ),
    (
        "Time to restore runs from the first halt, cancellation or recall to the next finished rollout of the bundle in"
        " the channel. When a release was yanked is not recorded: it has none."
    ),
)
_WEEK = timedelta(weeks=1)
_WHOLE = 100
_NINE_TENTHS = 90


@dataclass(frozen=True, slots=True)
class Times:
    """How long something took, each time."""

    count: int = 0
    median: timedelta | None = None
    p90: timedelta | None = None

    @classmethod
    def of(cls, spans: Sequence[timedelta]) -> Self:
        """Sum up; 90 % took no longer than ``p90``."""
        if not spans:
            return cls()
        ordered = sorted(spans)
        middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
        return cls(len(ordered), middle, ordered[_enough(_NINE_TENTHS, len(ordered)) - 1])

    def to_dict(self) -> dict[str, Any]:
        """Return the form used in API answers."""
        found = {"medianSeconds": self.median, "p90Seconds": self.p90}
        spans = {name: int(span.total_seconds()) if span is not None else None for name, span in found.items()}
        return {"count": self.count, **spans}


@dataclass(frozen=True, slots=True)
class Insights:
    """The figures of one channel over a time.

    Attributes:
        promotions: how many there were.
        per_week: how many that is a week.
        lead_time: from publishing to the channel's data planes.
        failed: promotions that failed.
        restore_time: from a failure to the next success.
        unrestored: failures after which there was no success yet.

    """

    channel: str
    promotions: int
    per_week: float
    lead_time: Times
    failed: int
    restore_time: Times
    unrestored: int

    @property
    def failure_rate(self) -> float | None:
        """Return the share of promotions that failed; ``None`` if there were none."""
        return self.failed / self.promotions if self.promotions else None

    def to_dict(self) -> dict[str, Any]:
        """Return the form used in API answers."""
        rate = self.failure_rate
        return {
            "channel": self.channel,
            "promotions": self.promotions,
            "promotionsPerWeek": round(self.per_week, 2),
            "leadTime": self.lead_time.to_dict(),
            "failed": self.failed,
            "changeFailureRate": round(rate, 4) if rate is not None else None,
            "restoreTime": self.restore_time.to_dict(),
            "unrestored": self.unrestored,
        }


@dataclass(frozen=True, slots=True)
class _Step:
    """One promotion, and what became of it."""

    release: Version
    at: datetime
    first: bool
    arrived: datetime | None
    finished: datetime | None
    failed: bool
    failed_at: datetime | None


def find_insights(
    world: World, now: datetime, *, since: datetime, share: int = _NINE_TENTHS, channel: str | None = None
) -> tuple[Insights, ...]:
    """Return the figures of each channel, or of one.

    Args:
        world: as it is now; its history reaches back.
        now: the end of the time looked at.
        since: its beginning; a promotion belongs to the time in which it was recorded.
        share: percentage of a channel's data planes that must have a release for it to have arrived.
        channel: the only one, if not all.

    Raises:
        NotFoundError: there is no such channel.
        InvalidInputError: the time or the share makes no sense.

    """
    if since >= now:
        raise InvalidInputError("the time looked at has not begun", hint="for instance: since 90d")
    if not 0 < share <= _WHOLE:
        raise InvalidInputError("the share is a percentage from 1 to 100")
    channels = [world.channel(channel)] if channel else [each for _, each in sorted(world.channels.items())]
    return tuple(_of_channel(world, each, now, since, share) for each in channels)


def _of_channel(world: World, channel: Channel, now: datetime, since: datetime, share: int) -> Insights:
    counted: list[_Step] = []
    leads: list[timedelta] = []
    restored: list[timedelta] = []
    unrestored = 0
    for bundle in channel.tracks:
        steps = list(_steps(world, channel, bundle, share))
        for index, step in enumerate(steps):
            if not since <= step.at <= now:
                continue
            counted.append(step)
            entry = world.catalog.get(bundle, {}).get(step.release)
            if entry is not None and step.first and step.arrived is not None:
                leads.append(max(step.arrived - entry.registered_at, timedelta()))
            if step.failed_at is None:
                continue
            successes = [each.finished for each in steps[index:] if each.finished and each.finished > step.failed_at]
            if successes:
                restored.append(min(successes) - step.failed_at)
            else:
                unrestored += 1
    return Insights(
        channel.name,
        len(counted),
        len(counted) / ((now - since) / _WEEK),
        Times.of(leads),
        sum(each.failed for each in counted),
        Times.of(restored),
        unrestored,
    )


def _steps(world: World, channel: Channel, bundle: str, share: int) -> Iterator[_Step]:
    seen: set[Version] = set()
    history = channel.tracks[bundle].history
    for index, promoted in enumerate(history):
        step, is_head = promoted, index == len(history) - 1
        rollout = channel.rollouts.get(bundle) if is_head else None
        if rollout is not None and rollout.release == step.release:
            step = step.with_end(rollout)
        failed_at = step.failed
        if failed_at is None and rollout is not None and rollout.status in WITHDRAWN:
            failed_at = rollout.given.since  # an older UMS stopped it
        entry = world.catalog.get(bundle, {}).get(step.release)
        if failed_at is None and entry is not None and entry.recall is not None:
            failed_at = max(entry.recall.given.since, step.given.since)
        withdrawn = entry is not None and bool(entry.yanked or entry.recall)
        arrived = step.finished
        if is_head:
            name = ReleaseName(bundle, step.release)
            arrived = _first(arrived, _arrived(world, channel, name, share, step.given.since))
        failed = bool(failed_at or step.stopped or withdrawn)
        yield _Step(step.release, step.given.since, step.release not in seen, arrived, step.finished, failed, failed_at)
        seen.add(step.release)


def _first(*instants: datetime | None) -> datetime | None:
    return min((each for each in instants if each is not None), default=None)


def _arrived(world: World, channel: Channel, name: ReleaseName, share: int, since: datetime) -> datetime | None:
    """Return when enough of a channel's data planes had its head; ``None`` if they do not yet."""
    followers = list(world.followers(channel.name, name.bundle))
    arrivals = sorted(at for plane in followers if (at := _arrival(plane, name)) is not None)
    needed = _enough(share, len(followers))
    if not followers or len(arrivals) < needed:
        return None
    return max(arrivals[needed - 1], since)


def _arrival(plane: DataPlane, name: ReleaseName) -> datetime | None:
    state = plane.desired.bundles.get(name.bundle) if plane.desired else None
    if state is None or state.release != name.version or plane.report is None or not is_taken(plane, state):
        return None
    if plane.report.health is not Health.HEALTHY:
        return None
    return max(offered_at(state), plane.report.since)


def _enough(share: int, total: int) -> int:
    """Return how many of ``total`` a share is, rounded up."""
    return -(-share * total // _WHOLE)


def insights_document(found: Sequence[Insights], *, since: datetime, now: datetime, share: int) -> dict[str, Any]:
    """Return the form used in API answers."""
    return {
        "since": to_text(since),
        "until": to_text(now),
        "share": share,
        "items": [each.to_dict() for each in found],
        "approximations": list(APPROXIMATIONS),
    }
