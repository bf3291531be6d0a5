"""Policies that people propose: what comes into force, and what is said of the rest."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.unit.domain.worlds import NOW, make_world
from ums.domain.linting import accept, refused_policies
from ums.domain.policy import Adoption, Amount, GateRules, Policy, Strategy, Wave
from ums.domain.windows import Schedule, Span
from ums.domain.world import World

WORLD = make_world([])
"""One channel, stable, that nothing feeds, followed by one data plane."""
PAST = Schedule(allow=(Span(NOW - timedelta(days=2), NOW - timedelta(days=1)),))
LABELLED = Strategy(waves=(Wave("plants", {"kind": "plant"}),))


@pytest.mark.parametrize(
    ("name", "policy", "problem"),
    [
        ("stable", Policy(feeder="stable"), "in a circle: stable <- stable"),
        ("stable", Policy(feeder="edge"), "stable is fed by edge, which does not exist"),
        ("stable", Policy(windows=PAST), "windows do not open within a year"),
        ("stable", Policy(gates=GateRules(windows=PAST)), "gates.windows do not open within a year"),
        ("stable", Policy(rollout=LABELLED), "wave plants selects nobody"),
        (
            "lts",
            Policy(feeder="stable", gates=GateRules(adoption=Adoption(Amount("2"), timedelta(), Amount("0")))),
            "wants 2 data planes of stable, which has 1: write a percentage",
        ),
    ],
)
def test_what_could_never_work_does_not_come_into_force(name: str, policy: Policy, problem: str) -> None:
    """It is said why, and the policy before stays."""
    world, refused = accept(WORLD, {name: policy}, NOW)
    assert world == WORLD
    (found,) = refused[name]
    assert problem in found
    (shown,) = refused_policies(replace(WORLD, proposals={name: policy}), NOW)
    assert shown.file == f"channels/{name}/policy.yaml"
    assert found in shown.message
    assert "what was in force stays" in shown.message


def test_a_channel_and_its_feeder_may_come_at_once() -> None:
    """Whichever is looked at first."""
    proposals = {"stable": Policy(feeder="edge"), "edge": Policy()}
    world, refused = accept(WORLD, proposals, NOW)
    assert not refused
    assert {name: channel.policy.feeder for name, channel in world.channels.items()} == {"stable": "edge", "edge": None}


def test_what_depends_on_a_refused_policy_is_refused_too() -> None:
    """And what does not is accepted: one person's mistake is not another's."""
    proposals = {"lts": Policy(feeder="edge"), "edge": Policy(windows=PAST), "stable": Policy(description="new")}
    world, refused = accept(WORLD, proposals, NOW)
    assert sorted(refused) == ["edge", "lts"]
    assert _described(world) == {"stable": "new"}


def _described(world: World) -> dict[str, str]:
    return {name: channel.policy.description for name, channel in world.channels.items()}
