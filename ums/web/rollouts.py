"""Rollouts as the JSON that the API answers with: what became of each wave, and how soon it can be through."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from ums.domain.channels import Channel
from ums.domain.composing import hold_reason, yank_reason
from ums.domain.deciding import Plan, decide
from ums.domain.errors import Reason
from ums.domain.instants import duration_text, parse_instant, to_text
from ums.domain.policy import Wave
from ums.domain.rollouts import Member, Progress, Rollout, RolloutStatus, WaveCount, count
from ums.domain.world import World

_NAMED = 10
"""How many data planes are named where all are counted."""


def channel_plan(world: World, channel: str, now: datetime) -> Plan:
    """Return what would be done now in one channel."""
    planes = {name: plane for name, plane in world.planes.items() if plane.registration.channel == channel}
    return decide(world.with_planes(planes), now)


def rollout_view(world: World, channel: Channel, bundle: str, plan: Plan, now: datetime) -> dict[str, Any]:
    """Return a rollout with what became of each of its waves."""
    rollout = channel.rollouts[bundle]
    members = plan.members.get((channel.name, bundle))
    followers = list(world.followers(channel.name, bundle))
    stops = list(_stops(world, channel, bundle, now))
    begin = _begin(stops, now)
    states = [plane.desired.bundles.get(bundle) for plane in followers if plane.desired]
    return {
        "channel": channel.name,
        "bundle": bundle,
        "release": f"{bundle}@{rollout.release}",
        "status": rollout.status.value,
        **rollout.given.to_dict(),
        "started": to_text(rollout.started),
        "through": _text(rollout.through),
        "catchUp": _text(rollout.catch_up),
        "wave": rollout.current_wave.name,
        "waves": waves_view(rollout, members, begin),
        "earliest": _text(earliest_end(rollout, members, begin)),
        "dataPlanes": len(followers),
        "offered": sum(state is not None and state.release == rollout.release for state in states),
        "failed": sorted(str(each.name) for each in members or () if each.progress is Progress.FAILED)[:_NAMED],
        "stoppedBy": [each.to_dict() for each in stops],
    }


def rollout_summary(rollout: Rollout) -> dict[str, Any]:
    """Return where a rollout stands, without asking its data planes."""
    return {
        "release": str(rollout.release),
        "status": rollout.status.value,
        "wave": rollout.current_wave.name,
        "waves": [wave.name for wave in rollout.waves],
        "soakingUntil": _text(rollout.wave_done + rollout.current_wave.soak) if rollout.wave_done else None,
        **rollout.given.to_dict(),
    }


def waves_view(rollout: Rollout, members: Sequence[Member] | None, now: datetime | None) -> list[dict[str, Any]]:
    """Return the waves; without members, those are not counted, and without a time to begin there is no end."""
    counts: Sequence[WaveCount | None] = count(rollout, members) if members is not None else [None] * len(rollout.waves)
    ends = _ends(rollout, counts, now)
    return [
        {
            "name": wave.name,
            "labels": dict(wave.labels),
            "share": str(wave.share) if wave.share else None,
            "over": duration_text(wave.over),
            "soak": duration_text(wave.soak),
            "state": _state(rollout, index),
            "earliest": _text(ends[index]),
            **(found.to_dict() if found else {}),
        }
        for index, (wave, found) in enumerate(zip(rollout.waves, counts, strict=True))
    ]


def earliest_end(rollout: Rollout, members: Sequence[Member] | None, now: datetime | None) -> datetime | None:
    """Return when a rollout can be finished if nothing goes wrong and nobody keeps it waiting."""
    counts: Sequence[WaveCount | None] = count(rollout, members) if members is not None else [None] * len(rollout.waves)
    return _ends(rollout, counts, now)[-1]


def _ends(rollout: Rollout, counts: Sequence[WaveCount | None], now: datetime | None) -> list[datetime | None]:
    """Return when each wave can be through at the earliest; one that selects nobody takes no time."""
    ends: list[datetime | None] = []
    if now is None or rollout.status is not RolloutStatus.RUNNING:
        return [None] * len(counts)
    end = now
    for index, (wave, found) in enumerate(zip(rollout.waves, counts, strict=True)):
        if index < rollout.wave:
            ends.append(None)
            continue
        if found is None or found.targets:
            end = _current_end(rollout, wave, found, now) if index == rollout.wave else end + _length(rollout, wave)
        ends.append(end)
    return ends


def _length(rollout: Rollout, wave: Wave) -> timedelta:
    return wave.over + rollout.strategy.healthy_for + wave.soak


def _current_end(rollout: Rollout, wave: Wave, found: WaveCount | None, now: datetime) -> datetime:
    if rollout.wave_done is not None:
        return max(rollout.wave_done + wave.soak, now)
    through = found is not None and found.succeeded == found.targets
    well = now if through else now + rollout.strategy.healthy_for
    return max(well, rollout.wave_since + wave.over) + wave.soak


def _state(rollout: Rollout, index: int) -> str:
    if rollout.status is RolloutStatus.FINISHED or index < rollout.wave:
        return "done"
    if index > rollout.wave:
        return "waiting"
    if rollout.status is not RolloutStatus.RUNNING:
        return rollout.status.value
    return "soaking" if rollout.wave_done is not None else "updating"


def _stops(world: World, channel: Channel, bundle: str, now: datetime) -> Iterator[Reason]:
    for freeze in world.freezes:
        if (
            freeze.given.active(now)
            and freeze.scope.is_whole
            and freeze.scope.covers(channel=channel.name, bundle=bundle)
        ):
            yield freeze.reason
    entry = world.catalog.get(bundle, {}).get(channel.rollouts[bundle].release)
    if entry is not None and entry.yanked:
        yield yank_reason(entry)
    for hold in channel.holds:
        if hold.bundle == bundle and hold.given.active(now):
            yield hold_reason(hold, channel.name)


def _begin(stops: Sequence[Reason], now: datetime) -> datetime | None:
    """Return when a rollout can go on; ``None`` where that cannot be told."""
    if any(stop.until is None for stop in stops):
        return None
    return max([now, *(parse_instant(stop.until) for stop in stops if stop.until)])


def _text(instant: datetime | None) -> str | None:
    return to_text(instant) if instant is not None else None
