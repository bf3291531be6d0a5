"""A limit on the work that an evaluation may be, beside the limits on the size of what it evaluates.

A short text can ask for much: an alias that repeats a list, a path through a thousand releases. Whoever evaluates such
text takes a budget as an argument, and spends a step for each thing that it looks at. Steps are counted instead of
seconds: the same input is accepted on every machine, however busy.
"""

from __future__ import annotations

from ums.domain.errors import InvalidInputError


class BudgetError(InvalidInputError):
    """What was given is more work than it may be."""


class Budget:
    """A number of steps, shared by all that works on one thing."""

    def __init__(self, steps: float, what: str) -> None:
        """Allow so many steps; ``what`` names the thing in the error, and what its steps are."""
        self._steps = steps
        self._left = steps
        self._what = what

    def spend(self, steps: int = 1) -> None:
        """Take steps.

        Raises:
            BudgetError: there are not as many left.

        """
        self._left -= steps
        if self._left < 0:
            raise BudgetError(f"{self._what}: more than {self._steps:,}", hint="make it simpler, or split it")
