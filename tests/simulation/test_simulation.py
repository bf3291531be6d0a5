"""A few thousand steps, in every test run; ``make simulate`` takes a million."""

from __future__ import annotations

import pytest

from tests.simulation.run import search

_RUNS, _STEPS = 4, 100


@pytest.mark.parametrize("start", [100 * number for number in range(6)])
def test_the_invariants_hold_whatever_happens(start: int) -> None:
    """Offline, late, doubled, killed, overtaken – and people who change their minds."""
    assert not (found := search(iter(range(start, start + _RUNS)), _STEPS)), found
