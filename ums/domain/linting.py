"""What is wrong with policies taken together, or with the fleet that there is: what no file shows by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from ums.domain import layout
from ums.domain.channels import Channel
from ums.domain.errors import InvalidInputError, SpecError
from ums.domain.policy import Policy
from ums.domain.tailoring import unused_values
from ums.domain.world import World


def accept(world: World, proposals: Mapping[str, Policy], now: datetime) -> tuple[World, dict[str, tuple[str, ...]]]:
    """Return the world with the proposed policies that may come into force, and what is wrong with the others.

    They are looked at together, since a channel and its feeder may come at once. A channel whose policy is refused
    keeps the one it has.
    """
    refused: dict[str, tuple[str, ...]] = {}
    while True:
        tried = world
        for name, policy in proposals.items():
            if name not in refused:
                tried = tried.with_policy(name, policy)
        found = {
            name: problems
            for name in proposals
            if name not in refused and (problems := tuple(lint(tried, tried.channels[name], now)))
        }
        if not found:
            return tried, refused
        refused |= found


def lint(world: World, channel: Channel, now: datetime) -> Iterator[str]:
    """Yield everything that would keep a channel from ever moving, or from doing what it says."""
    policy = channel.policy
    if policy.feeder is not None:
        yield from _feeder_problems(world, channel)
    for what, schedule in (("gates.windows", policy.gates.windows), ("windows", policy.windows)):
        if not schedule.is_open(now) and schedule.next_opening(now) is None:
            yield f"{what} do not open within a year: nothing would ever pass"
    if policy.gates.adoption is not None and policy.feeder in world.channels:
        there = sum(plane.registration.channel == policy.feeder for plane in world.planes.values())
        text = policy.gates.adoption.healthy.text
        if there and not text.endswith("%") and int(text) > there:
            yield f"gates.adoption wants {text} data planes of {policy.feeder}, which has {there}: write a percentage"
    yield from empty_waves(world, channel, None)


def refused_policies(world: World, now: datetime) -> tuple[SpecError, ...]:
    """Return what keeps policies that people wrote in the release repo from coming into force."""
    return tuple(
        SpecError(f"{'; '.join(problems)}; what was in force stays", file=layout.channel_policy(name))
        for name, problems in accept(world, world.proposals, now)[1].items()
    )


def problems(seen: World, everything: World, now: datetime) -> tuple[SpecError, ...]:
    """Return all that is wrong in files that people write: what was left out, and what has no effect.

    ``seen`` may hold less than ``everything``: the data planes that somebody may see.
    """
    return (*seen.problems, *refused_policies(everything, now), *unused_values(seen))


def _feeder_problems(world: World, channel: Channel) -> Iterator[str]:
    seen, at = [channel.name], channel.policy.feeder
    while at is not None:
        if at in seen:
            yield f"channels feed each other in a circle: {' <- '.join([*seen, at])}; nothing could enter any of them"
            return
        if at not in world.channels:
            yield f"{seen[-1]} is fed by {at}, which does not exist"
            return
        seen.append(at)
        at = world.channels[at].policy.feeder


def empty_waves(world: World, channel: Channel, bundle: str | None) -> Iterator[str]:
    """Yield each wave whose labels no data plane of the channel carries, once there are any."""
    planes = [plane.registration for plane in world.followers(channel.name, bundle)]
    for wave in channel.policy.rollout.waves:
        if planes and wave.labels and not any(wave.selects(each.labels) for each in planes):
            labels = ", ".join(f"{key}={value}" for key, value in sorted(wave.labels.items()))
            yield f"wave {wave.name} selects nobody: no data plane of {channel.name} is labelled {labels}"


def check_waves(world: World, channel: Channel, bundle: str) -> None:
    """Check that each wave selects somebody, before a rollout starts.

    Raises:
        InvalidInputError: one selects nobody: its soak would prove nothing.

    """
    for problem in empty_waves(world, channel, bundle):
        raise InvalidInputError(
            problem, hint=f"label some data planes, or change the wave: ums channel show {channel.name}"
        )
