"""The clock of the machine, which somebody may set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ums.adapters.system_clock import SystemClock

START = datetime(2026, 12, 1, 12, tzinfo=UTC)


class Machine:
    """A machine whose clock shows ``shown`` after ``elapsed`` seconds."""

    def __init__(self) -> None:
        self.shown, self.elapsed = START, 1000.0
        self.clock = SystemClock(lambda: self.shown, lambda: self.elapsed)

    def run(self, span: timedelta, *, shown: timedelta | None = None) -> None:
        """Let time pass, of which the clock shows the same or another span."""
        self.elapsed += span.total_seconds()
        self.shown += span if shown is None else shown


def test_the_real_clock_runs() -> None:
    """Without arguments it is that of the operating system."""
    clock = SystemClock()
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(minutes=1)
    assert clock.problem() == ""


@pytest.mark.parametrize("jump", [timedelta(days=10), timedelta(minutes=7), -timedelta(minutes=7), -timedelta(days=10)])
def test_a_jump_is_reported_and_not_followed(jump: timedelta) -> None:
    """Forward and back; once it is undone, everything is as before."""
    machine = Machine()
    machine.run(timedelta(minutes=1), shown=jump)
    assert machine.clock.now() == START + timedelta(minutes=1)
    assert ("forward" if jump > timedelta(0) else "back") in machine.clock.problem()
    machine.shown = START + timedelta(minutes=1)
    assert machine.clock.problem() == ""


def test_corrections_are_followed() -> None:
    """As time synchronization makes them: at once by little, and over weeks by more."""
    machine = Machine()
    machine.run(timedelta(minutes=1), shown=timedelta(minutes=4))
    assert (machine.clock.now(), machine.clock.problem()) == (machine.shown, "")
    machine.run(timedelta(days=30), shown=timedelta(days=30, minutes=30))
    assert (machine.clock.now(), machine.clock.problem()) == (machine.shown, "")


@given(
    st.lists(
        st.tuples(
            st.timedeltas(timedelta(0), timedelta(days=20)), st.timedeltas(-timedelta(days=40), timedelta(days=40))
        ),
        max_size=20,
    )
)
def test_no_time_is_far_from_the_true_one(steps: list[tuple[timedelta, timedelta]]) -> None:
    """Whatever the clock shows, in whatever steps: it stays within minutes, and a thousandth of what has passed."""
    machine = Machine()
    for passed, shown in steps:
        machine.run(passed, shown=shown)
        true = START + timedelta(seconds=machine.elapsed - 1000.0)
        allowed = timedelta(minutes=5, seconds=1) + (true - START) / 1000
        assert abs(machine.clock.now() - true) <= allowed
