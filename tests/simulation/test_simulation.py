"""A few thousand steps, in every test run; ``make simulate`` takes a million."""

from __future__ import annotations

import re

import pytest

from tests.simulation.run import Step, broken, search

_RUNS, _STEPS = 4, 100
FOUND = {
    "one on a hop, when its rollout is over, is told the truth": (
        600007,
        (
            "move(3138619185) promote(1925150388) poll(3071425988) wait(3084233278) hear(1705218955) "
            "promote(1610971337) wait(2952158524) promote(3247486364) reconcile(3458660902) forget(2620161621)"
        ),
    ),
    "a canary is still one while a component is removed": (
        602005,
        (
            "promote(2681215005) promote(1429671036) reconcile(3148345829) promote(4080616378) wait(3177867564) "
            "promote(2540391126) poll(2647170426) reconcile(2963210919) hear(940722896) reconcile(4046196833)"
        ),
    ),
}
"""The shortest steps that once broke an invariant, with the seed of their run."""


@pytest.mark.parametrize("start", [100 * number for number in range(6)])
def test_the_invariants_hold_whatever_happens(start: int) -> None:
    """Offline, late, doubled, killed, overtaken – and people who change their minds."""
    assert not (found := search(iter(range(start, start + _RUNS)), _STEPS)), found


@pytest.mark.parametrize("what", FOUND)
def test_what_was_found_before_stays_mended(what: str) -> None:
    """Each broke an invariant before."""
    seed, steps = FOUND[what]
    assert not broken(seed, [Step(kind, int(number)) for kind, number in re.findall(r"(\w+)\((\d+)\)", steps)])
