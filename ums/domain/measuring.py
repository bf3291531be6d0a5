"""The fleet as numbers, for whoever watches it: never by data plane, so that there are as many as there are channels.

How one counts and times what the process itself does is not here: ``ports.Meter``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ums.domain.channels import Channel
from ums.domain.errors import UmsError
from ums.domain.fleet import BundleState, DataPlane, Health
from ums.domain.gates import ask_gates
from ums.domain.linting import problems
from ums.domain.release import ReleaseName
from ums.domain.rollouts import IN_FLIGHT, Pace, Progress, Rollout, RolloutStatus, is_taken
from ums.domain.world import World

SILENCE_SECONDS = (60, 300, 900, 3600, 6 * 3600, 24 * 3600, 7 * 24 * 3600)
"""Bounds of the buckets of how long data planes have been silent."""
_MISSING = "missing"
"""Stands for every channel that data planes follow and that there is not."""
_WAITING, _UPDATING = "waiting", "updating"
_PROGRESS = (_WAITING, _UPDATING, *(each.value for each in Progress if each not in IN_FLIGHT))

Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Family:
    """A number with a name, once for each combination of its labels."""

    name: str
    help: str
    labels: Labels
    samples: Mapping[Labels, float]


@dataclass(frozen=True, slots=True)
class Distribution:
    """How numbers are spread: ``counts`` by ``bounds`` and one more beyond them, not yet added up."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(SILENCE_SECONDS) + 1))
    total: list[float] = field(default_factory=lambda: [0.0])

    def add(self, value: float) -> None:
        """Count a number."""
        index = next((at for at, bound in enumerate(SILENCE_SECONDS) if value <= bound), len(SILENCE_SECONDS))
        self.counts[index] += 1
        self.total[0] += value


@dataclass(frozen=True, slots=True)
class Spread:
    """Distributions with a name, once for each combination of labels."""

    name: str
    help: str
    labels: Labels
    samples: Mapping[Labels, Distribution]


Measurement = Family | Spread


def measure(world: World, now: datetime, *, clock_problem: str = "") -> tuple[Measurement, ...]:
    """Return everything that is told of the fleet at one time; ``clock_problem`` says why the time may be wrong."""
    return (
        *_planes(world, now),
        *_rollouts(world, now),
        *_pending(world, now),
        *_rest(world, now),
        *_clock(world, now, clock_problem),
    )


def _planes(world: World, now: datetime) -> Iterator[Measurement]:
    names = (*world.channels, _MISSING) if _strays(world) else tuple(world.channels)
    health: dict[Labels, float] = {(name, each.value): 0.0 for name in names for each in Health}
    silence: dict[Labels, Distribution] = {(name,): Distribution() for name in names}
    longest: dict[Labels, float] = {(name,): 0.0 for name in names}
    never: dict[Labels, float] = {(name,): 0.0 for name in names}
    for plane in world.planes.values():
        channel = _channel_of(plane, world)
        health[channel, plane.health(now).value] += 1
        if plane.report is None:
            never[channel,] += 1
            continue
        silent = max((now - plane.report.heard).total_seconds(), 0.0)
        silence[channel,].add(silent)
        longest[channel,] = max(longest[channel,], silent)
    yield Family("ums_data_planes", "Data planes by channel and health.", ("channel", "health"), health)
    yield Family("ums_data_planes_never_heard", "Data planes that never reported.", ("channel",), never)
    yield Family(
        "ums_data_plane_silence_max_seconds",
        "Time since the data plane that is silent longest was last heard.",
        ("channel",),
        longest,
    )
    yield Spread(
        "ums_data_plane_silence_seconds", "Time since data planes were last heard, now.", ("channel",), silence
    )


def _strays(world: World) -> bool:
    return any(plane.registration.channel not in world.channels for plane in world.planes.values())


def _channel_of(plane: DataPlane, world: World) -> str:
    name = plane.registration.channel
    return name if name in world.channels else _MISSING


@dataclass(slots=True)
class _Lane:
    """One bundle in one channel, and what its data planes make of it."""

    channel: Channel
    rollout: Rollout | None
    pace: Pace
    counts: Counter[str] = field(default_factory=Counter)
    followers: int = 0
    on_head: int = 0

    def count(self, plane: DataPlane, state: BundleState | None, head: object) -> None:
        self.followers += 1
        report = plane.report
        if state is not None and state.release == head and is_taken(plane, state):
            self.on_head += report is not None and report.health is Health.HEALTHY
        if self.rollout is not None:
            self.counts[_progress(self.pace, self.rollout, plane, state)] += 1


def _progress(pace: Pace, rollout: Rollout, plane: DataPlane, state: BundleState | None) -> str:
    if state is None or state.release != rollout.release:
        return _WAITING
    how = pace.progress(plane, state)
    return _UPDATING if how in IN_FLIGHT else how.value


def _rollouts(world: World, now: datetime) -> Iterator[Measurement]:
    lanes = {
        (name, bundle): _Lane(
            channel,
            rollout := channel.rollouts.get(bundle),
            Pace(rollout.strategy if rollout else channel.policy.rollout, now),
        )
        for name, channel in world.channels.items()
        for bundle in channel.tracks
    }
    for plane in world.planes.values():
        for bundle in world.bundles_of(plane):
            lane = lanes.get((plane.registration.channel, bundle))
            if lane is not None:
                state = plane.desired.bundles.get(bundle) if plane.desired else None
                lane.count(plane, state, lane.channel.tracks[bundle].head.release)
    rolling = {key: lane.rollout for key, lane in lanes.items() if lane.rollout is not None}
    two = ("channel", "bundle")
    yield Family(
        "ums_rollout_status",
        "1 for the status that a channel's newest rollout has, 0 for the others.",
        (*two, "status"),
        {(*key, each.value): float(each is found.status) for key, found in rolling.items() for each in RolloutStatus},
    )
    yield Family(
        "ums_rollout_wave",
        "Number of the wave under way, from 1.",
        two,
        {key: float(min(found.wave, len(found.waves) - 1) + 1) for key, found in rolling.items()},
    )
    yield Family(
        "ums_rollout_waves",
        "How many waves a rollout has.",
        two,
        {key: float(len(found.waves)) for key, found in rolling.items()},
    )
    yield Family(
        "ums_rollout_started_timestamp_seconds",
        "When a channel's newest rollout started.",
        two,
        {key: found.started.timestamp() for key, found in rolling.items()},
    )
    yield Family(
        "ums_rollout_data_planes",
        "Data planes by how far they are with the head of their channel; waiting: not offered it yet, for any reason.",
        (*two, "progress"),
        {(*key, each): float(lanes[key].counts[each]) for key in rolling for each in _PROGRESS},
    )
    yield Family(
        "ums_bundle_data_planes",
        "Data planes that subscribe to a bundle in a channel.",
        two,
        {key: float(lane.followers) for key, lane in lanes.items()},
    )
    yield Family(
        "ums_bundle_data_planes_on_head",
        "Of these, the ones that said they are healthy on the channel's head.",
        two,
        {key: float(lane.on_head) for key, lane in lanes.items()},
    )


def _pending(world: World, now: datetime) -> Iterator[Measurement]:
    gates: dict[Labels, float] = {}
    pending: dict[Labels, float] = dict.fromkeys(((name,) for name in world.channels), 0.0)
    for channel in world.channels.values():
        for name, expedite in _wanted(world, channel).items():
            try:
                answers = ask_gates(world, channel, name, now, expedite=expedite)
            except UmsError:
                continue  # the release is gone from the catalog: there is nothing to wait for
            pending[channel.name,] += 1
            labels = (channel.name, name.bundle, str(name.version))
            gates |= {(*labels, each.name.value): float(each.is_open) for each in answers}
    yield Family("ums_promotions_pending", "Promotions that wait for their gates.", ("channel",), pending)
    yield Family(
        "ums_promotion_gate_open",
        "1 if a gate lets a waiting promotion through, 0 if it is closed.",
        ("channel", "bundle", "release", "gate"),
        gates,
    )


def _wanted(world: World, channel: Channel) -> dict[ReleaseName, bool]:
    """Return the promotions that wait, and whether by the fast path: asked for, or taken by policy."""
    wanted = {
        ReleaseName(each.bundle, each.release): each.expedite
        for each in channel.requests.values()
        if each.wanted and not each.executed
    }
    feeder = world.channels.get(channel.policy.feeder or "") if channel.policy.automatic else None
    for bundle, track in feeder.tracks.items() if feeder else ():
        mine, newest = channel.tracks.get(bundle), track.head.release
        if mine is None or newest > mine.head.release:
            wanted.setdefault(ReleaseName(bundle, newest), False)
    return wanted


def _clock(world: World, now: datetime, problem: str) -> Iterator[Measurement]:
    ahead = sum(plane.is_ahead(now) for plane in world.planes.values())
    yield Family(
        "ums_clock_plausible", "1, or 0: the clock cannot be right, and nothing is recorded.", (), {(): not problem}
    )
    yield Family(
        "ums_data_planes_serial_ahead", "Data planes whose serial is too far ahead of the clock.", (), {(): ahead}
    )


def _rest(world: World, now: datetime) -> Iterator[Measurement]:
    wrong = len(problems(world, world, now))
    freezes = sum(each.given.active(now) for each in world.freezes)
    yield Family(
        "ums_problems",
        "Files of the release repo that are left out, or in which something has no effect.",
        (),
        {(): wrong},
    )
    yield Family("ums_freezes_active", "Freezes in force.", (), {(): freezes})
