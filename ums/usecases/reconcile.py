"""Bring what is offered in line with what was decided: the step of the loop."""

from __future__ import annotations

from dataclasses import dataclass

from ums.usecases.record import Change, Outcome, Record


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Issue whatever is due: moves, states that age, removals that were confirmed. Run it as often as you like."""

    record: Record

    def __call__(self) -> Outcome:
        """Reconcile once.

        Raises:
            UnavailableError: others were faster every time.
            StorageError: the disk refused; nothing was recorded.

        """
        return self.record(
            lambda world, _: Change(world),
            subject="fleet: Issue due states",
            action="reconcile",
            actor="ums",
            reason="a state aged, an instruction ended, or a removal was confirmed",
        )
