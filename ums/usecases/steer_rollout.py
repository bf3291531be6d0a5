"""Steer a rollout: pause, resume, cancel, retry what failed, go on to the next wave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from ums.domain import layout
from ums.domain.deciding import decide
from ums.domain.errors import InvalidInputError, NotFoundError
from ums.domain.fleet import Given
from ums.domain.identity import ALL, Permission
from ums.domain.rollouts import Rollout, RolloutStatus, is_past_canary
from ums.domain.world import Document, World
from ums.usecases.instruct import Why
from ums.usecases.record import Change, Outcome, Record, unchanged

_OPEN = frozenset({RolloutStatus.RUNNING, RolloutStatus.PAUSED, RolloutStatus.HALTED, RolloutStatus.ROLLED_BACK})
_Step = Callable[[Rollout, Given], Rollout]


def _pause(rollout: Rollout, given: Given) -> Rollout:
    return rollout.paused(given)


def _resume(rollout: Rollout, given: Given) -> Rollout:
    return rollout.resumed(given)


def _cancel(rollout: Rollout, given: Given) -> Rollout:
    return rollout.stopped(RolloutStatus.CANCELLED, given)


def _retry(rollout: Rollout, given: Given) -> Rollout:
    running = rollout if rollout.status is RolloutStatus.RUNNING else rollout.resumed(given)
    return replace(running, forgiven=given.since, retried=given.since, given=given)


def _next(rollout: Rollout, given: Given) -> Rollout:
    return replace(rollout.at_wave(rollout.wave + 1, given.since), given=given)


STEPS: dict[str, tuple[_Step, frozenset[RolloutStatus]]] = {
    "pause": (_pause, frozenset({RolloutStatus.RUNNING})),
    "resume": (_resume, frozenset({RolloutStatus.PAUSED, RolloutStatus.HALTED, RolloutStatus.ROLLED_BACK})),
    "cancel": (_cancel, _OPEN),
    "retry": (_retry, _OPEN),
    "next": (_next, frozenset({RolloutStatus.RUNNING})),
}
"""What people may do to a rollout, and to which: ``next`` goes past what the wave still waits for."""


def _check_proven(world: World, now: datetime, channel: str, bundle: str, rollout: Rollout) -> None:
    """Check that a rollout's first wave had somebody well on it.

    Raises:
        InvalidInputError: it had nobody: there is no way past a canary.

    """
    members = decide(world, now).members.get((channel, bundle), ())
    if not is_past_canary(rollout, members):
        raise InvalidInputError(
            f"nobody is well on {bundle}@{rollout.release} in {channel} yet: it goes to others after its canary",
            hint=f"see who it waits for: ums rollout status {channel} {bundle}; another goes first where that one is "
            "held: ums hold, or was removed: ums pdp remove",
        )


@dataclass(frozen=True, slots=True)
class SteerRollout:
    """Change what a rollout does next."""

    record: Record

    def __call__(self, step: str, channel: str, bundle: str, why: Why, *, dry_run: bool = False) -> Outcome:
        """Take one of ``STEPS``; one that was taken already changes nothing.

        Raises:
            ForbiddenError: the identity may not promote.
            NotFoundError: no such channel, or nothing was promoted to it.
            InvalidInputError: the rollout is where this step makes no sense, or a reason is missing.

        """
        why.by.require(Permission.PROMOTE, bundle=bundle, channel=channel, org=ALL)
        act, allowed = STEPS[step]
        done = {"pause": RolloutStatus.PAUSED, "cancel": RolloutStatus.CANCELLED, "resume": RolloutStatus.RUNNING}

        def change(world: World, now: datetime) -> Change:
            found = world.channel(channel)
            rollout = found.rollouts.get(bundle)
            if rollout is None:
                raise NotFoundError(f"there is no rollout of {bundle} in {channel}", hint="ums promote starts one")
            given = why.given(now)
            if rollout.status is done.get(step):
                return unchanged(world)
            if rollout.status not in allowed:
                raise InvalidInputError(
                    f"the rollout of {bundle}@{rollout.release} in {channel} is {rollout.status}: it cannot {step}",
                    hint=f"ums rollout status {channel} {bundle}",
                )
            if step == "next":
                _check_proven(world, now, channel, bundle, rollout)
            after = act(rollout, given)
            files = {layout.channel_rollout(channel, bundle): Document(after.to_dict())}
            return Change(world.with_channel(found.with_rollout(bundle, after)), files)

        return self.record(
            change,
            subject=f"channels/{channel}: {step.capitalize()} the rollout of {bundle}",
            action=f"rollout-{step}",
            by=why.by,
            reason=why.reason,
            dry_run=dry_run,
        )
