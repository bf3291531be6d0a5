"""Steering a rollout: what each step does, where it makes no sense, and what stands in Git afterwards."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from tests.contract.test_release_repo import git_repo
from tests.unit.usecases.stage import Stage
from ums.domain import layout
from ums.domain.errors import ForbiddenError, InvalidInputError, NotFoundError, UmsError
from ums.domain.fleet import Health
from ums.domain.identity import Holder
from ums.domain.names import PDPName
from ums.domain.rollouts import Rollout, RolloutStatus
from ums.usecases.instruct import Why
from ums.usecases.steer_rollout import STEPS

ENGINEER = Holder("erik", frozenset({"release-engineer"})).identity
OPERATOR = Holder("olga", frozenset({"operator"})).identity
PLANES = [PDPName("acme", f"pdp-{number}") for number in range(3)]
MINUTE = timedelta(minutes=1)
WAVES = {
    "waves": [{"name": "canary", "share": 1, "soak": "1h"}, {"name": "everyone"}],
    "maxUpdating": "100%",
    "healthyFor": "0s",
}


def on_the_way(stage: Stage) -> Stage:
    """Return three data planes on 1.0.0, of which one was just offered 1.1.0 as the canary."""
    for name in PLANES:
        stage.add_plane(name, "edge")
    stage.publish("1.0.0")
    stage.promote("1.0.0", "edge")
    stage.hear(Health.HEALTHY, *PLANES)
    stage.services.reconcile()
    stage.set_policy("edge", rollout=WAVES)
    stage.clock.advance(MINUTE)
    stage.publish("1.1.0")
    stage.promote("1.1.0", "edge")
    stage.clock.advance(MINUTE)
    return stage


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return a rollout that has just begun."""
    return on_the_way(Stage(tmp_path))


def rollout(stage: Stage) -> Rollout:
    """Return the rollout."""
    return stage.world().channel("edge").rollouts["platform"]


def steer(stage: Stage, step: str, reason: str = "case 4711", *, dry_run: bool = False) -> bool:
    """Take a step a minute later, and return whether something was recorded."""
    stage.clock.advance(MINUTE)
    why = Why(ENGINEER, reason)
    return stage.services.steer_rollout(step, "edge", "platform", why, dry_run=dry_run).recorded


def updated(stage: Stage) -> list[PDPName]:
    """Return who is offered the new release."""
    return [name for name in PLANES if set(stage.running(name).values()) == {"1.1.0"}]


def fail(stage: Stage, *, on_halt: str = "pause") -> None:
    """Let the canary fail, and the loop see it."""
    if on_halt == "rollback":
        stage.set_policy("edge", rollout={**WAVES, "onHalt": on_halt})
        stage.publish("1.1.1")
        stage.promote("1.1.1", "edge")
        stage.clock.advance(MINUTE)
    stage.hear(Health.FAILED, *PLANES)
    stage.services.reconcile()


def get_well(stage: Stage) -> None:
    """Let whoever has something be well on it, and the loop see it."""
    stage.hear(Health.HEALTHY, *PLANES)
    stage.services.reconcile()


def finish(stage: Stage) -> None:
    """Let everybody get well, wave after wave."""
    for _ in range(3):
        get_well(stage)
        stage.clock.advance(timedelta(hours=2))


REACHED: dict[RolloutStatus, Callable[[Stage], object]] = {
    RolloutStatus.RUNNING: get_well,
    RolloutStatus.PAUSED: lambda stage: steer(stage, "pause"),
    RolloutStatus.HALTED: fail,
    RolloutStatus.ROLLED_BACK: lambda stage: fail(stage, on_halt="rollback"),
    RolloutStatus.CANCELLED: lambda stage: steer(stage, "cancel"),
    RolloutStatus.FINISHED: finish,
}
FROM = {
    RolloutStatus.RUNNING: "pause resume! cancel retry next",
    RolloutStatus.PAUSED: "pause! resume cancel retry",
    RolloutStatus.HALTED: "resume cancel retry",
    RolloutStatus.ROLLED_BACK: "resume cancel retry",
    RolloutStatus.CANCELLED: "cancel!",
    RolloutStatus.FINISHED: "",
}
"""From each status, the steps that may be taken; ``!`` marks those that were, and change nothing."""


@pytest.mark.parametrize(("status", "possible"), FROM.items())
def test_a_step_is_taken_where_it_makes_sense_and_refused_elsewhere(
    stage: Stage, status: RolloutStatus, possible: str
) -> None:
    """A refusal says where the rollout stands; what is so already is no decision."""
    REACHED[status](stage)
    assert rollout(stage).status is status
    before = stage.world()
    for step in STEPS:
        why = Why(ENGINEER, "because")
        if step not in possible.replace("!", "").split():
            with pytest.raises(InvalidInputError, match=f"is {status}: it cannot {step}") as caught:
                stage.services.steer_rollout(step, "edge", "platform", why)
            assert "ums rollout status edge platform" in caught.value.hint
        elif f"{step}!" in possible:
            assert not stage.services.steer_rollout(step, "edge", "platform", why).recorded
        else:
            after = stage.services.steer_rollout(step, "edge", "platform", why, dry_run=True).world
            steered = after.channel("edge").rollouts["platform"]
            assert (steered.given.by, steered.given.reason) == ("erik", "because")
        assert stage.world() == before, "nothing was recorded"


@pytest.mark.parametrize(
    ("bundle", "why", "error"),
    [
        ("platform", Why(ENGINEER, " "), InvalidInputError),
        ("platform", Why(OPERATOR, "because"), ForbiddenError),
        ("other", Why(ENGINEER, "because"), NotFoundError),
    ],
    ids=["no reason", "no right", "no rollout"],
)
def test_every_step_needs_a_reason_a_right_and_a_rollout(
    stage: Stage, bundle: str, why: Why, error: type[UmsError]
) -> None:
    """And leaves no trace otherwise."""
    before = stage.world()
    for step in STEPS:
        with pytest.raises(error):
            stage.services.steer_rollout(step, "edge", bundle, why)
    assert stage.world() == before


def test_a_pause_stops_the_soak_and_resume_goes_on_with_it(stage: Stage) -> None:
    """The hour after the canary is an hour of running."""
    stage.hear(Health.HEALTHY, *PLANES)
    stage.services.reconcile()
    steer(stage, "pause")
    stage.clock.advance(timedelta(days=1))
    stage.services.reconcile()
    steer(stage, "resume")
    assert len(updated(stage)) == 1
    stage.clock.advance(timedelta(minutes=58))
    assert not stage.services.reconcile().recorded
    stage.clock.advance(MINUTE)
    stage.services.reconcile()
    assert len(updated(stage)) == 3


def test_next_does_not_wait_for_the_wave(stage: Stage) -> None:
    """Neither for all its data planes nor for its soak, but for one to be well; after the last wave there is none."""
    before = stage.world()
    with pytest.raises(InvalidInputError, match="nobody is well on"):
        stage.services.steer_rollout("next", "edge", "platform", Why(ENGINEER, "now"))
    assert stage.world() == before
    stage.hear(Health.HEALTHY, *PLANES)
    steer(stage, "next")
    assert len(updated(stage)) == 3
    steer(stage, "next")
    assert rollout(stage).status is RolloutStatus.FINISHED
    assert rollout(stage).given.by == "erik"


def test_retry_offers_the_same_again_to_those_who_failed(stage: Stage) -> None:
    """With a new serial, so that their Flux tries again; a halt is over, and the failures of before do not count."""
    fail(stage)
    (canary,) = updated(stage)
    before = stage.world().plane(canary).desired
    steer(stage, "retry", "the registry was full")
    after = stage.world().plane(canary).desired
    assert before is not None
    assert after is not None
    assert (after.serial > before.serial, after.bundles) == (True, before.bundles)
    assert (rollout(stage).status, updated(stage)) == (RolloutStatus.RUNNING, [canary])
    stage.hear(Health.FAILED, canary)
    stage.services.reconcile()
    assert rollout(stage).status is RolloutStatus.HALTED, "a new failure is one"


def test_resume_after_a_halt_forgives_what_failed(stage: Stage) -> None:
    """Whoever resumes has seen it: it goes on to the others when there is a success."""
    fail(stage)
    steer(stage, "resume")
    stage.services.reconcile()
    assert rollout(stage).status is RolloutStatus.RUNNING
    assert len(updated(stage)) == 2, "another goes first now"
    stage.hear(Health.HEALTHY, *updated(stage))
    steer(stage, "next")
    assert len(updated(stage)) == 3


def test_a_cancelled_rollout_takes_back_what_was_not_taken(stage: Stage) -> None:
    """For good: the next promotion is the way on."""
    assert len(updated(stage)) == 1
    steer(stage, "cancel")
    assert updated(stage) == []
    stage.publish("1.2.0")
    stage.promote("1.2.0", "edge")
    assert rollout(stage).status is RolloutStatus.RUNNING


def test_steps_stand_in_git_with_who_and_why(tmp_path: Path) -> None:
    """Whoever reads the repository anew finds the rollout as it was left, and every reason in the log."""
    stage = on_the_way(Stage(tmp_path, release_repo=git_repo(tmp_path)))
    stage.hear(Health.HEALTHY, *PLANES)
    assert [
        steer(stage, step, f"{step}, said erik") for step in ("pause", "pause", "resume", "retry", "next", "cancel")
    ] == [
        True,
        False,
        True,
        True,
        True,
        True,
    ]
    anew = git_repo(tmp_path)
    path = layout.channel_rollout("edge", "platform")
    log = anew.log(limit=5, path=path)
    assert [(each.actor, each.action, each.reason) for each in log] == [
        ("erik", f"rollout-{step}", f"{step}, said erik") for step in ("cancel", "next", "retry", "resume", "pause")
    ]
    assert log[0].subject == "channels/edge: Cancel the rollout of platform"
    found = anew.read().channel("edge").rollouts["platform"]
    assert found == rollout(stage)
    assert (found.status, found.wave, found.given.reason) == (RolloutStatus.CANCELLED, 1, "cancel, said erik")
