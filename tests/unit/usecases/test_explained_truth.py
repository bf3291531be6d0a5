"""Every reason of ``ums explain`` comes true, in random fleets and by each reason there is."""

from __future__ import annotations

import pytest

from tests.unit.domain.random_worlds import Past
from tests.unit.domain.test_explaining import REASONS
from tests.unit.domain.worlds import NOW, PROD
from tests.unit.usecases.truth import ENDS_OTHERWISE, Acting, Kept, check, named
from ums.domain.errors import ForbiddenError
from ums.domain.explaining import _CHECKS
from ums.domain.identity import Identity

CHUNKS, SEEDS, STEPS = 8, 50, 5
"""Together 2,000 worlds."""


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_whatever_is_told_comes_true(chunk: int) -> None:
    """In random fleets, of a random data plane."""
    codes: set[str] = set()
    for seed in range(chunk * SEEDS, (chunk + 1) * SEEDS):
        past = Past(seed)
        for step, (world, now) in enumerate(past.worlds(STEPS)):
            name = past.plane().name
            try:
                codes |= check(world, now, name)
            except Exception as error:
                raise AssertionError(f"seed {seed}, step {step}, {name}: {error}") from error
    assert codes >= {"held", "pinned", "frozen", "consent", "window", "wave", "yanked", "not-recommended"}


@pytest.mark.parametrize("code", REASONS)
def test_each_reason_there_is_comes_true(code: str) -> None:
    """Also those that random fleets seldom have."""
    assert code in check(REASONS[code][0], NOW, PROD)


def test_no_reason_is_left_out() -> None:
    """Neither of those that explain knows, nor of those that name neither a time nor a command."""
    assert set(REASONS) == set().union(*(codes for _, codes in _CHECKS.values())) >= set(ENDS_OTHERWISE)


def test_whoever_lacks_the_role_that_is_named_is_refused() -> None:
    """Or the roles that reasons name would prove nothing: each command asks for one, and takes no other's."""
    world = REASONS["held"][0]
    for by in (named("an operator of globex"), named("an admin of globex"), Identity("sam")):
        with pytest.raises(ForbiddenError):
            Acting(Kept(world, NOW), by).unhold("acme/prod", "platform")
