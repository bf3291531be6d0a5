"""Of two processes one runs the loop, and the other begins when it ends."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest

from tests.processes import eventually
from tests.unit.usecases.stage import Stage
from ums.adapters.leadership import FileLeadership
from ums.adapters.prometheus_meter import PrometheusMeter
from ums.domain.errors import UnavailableError
from ums.scheduler import leading
from ums.scheduler.jobs import start_scheduler
from ums.scheduler.leading import Leader
from ums.services import Services
from ums.usecases.check_health import CheckHealth, Pulse

HOUR = timedelta(hours=1)


class Process:
    """A scheduler, with what it did."""

    def __init__(self, stage: Stage, lock: Path) -> None:
        self.pulse, self.meter, self.due = Pulse(), PrometheusMeter("test"), Event()
        health = CheckHealth(stage.release_repo, stage.store, stage.clock, self.pulse)
        self.services: Services = replace(stage.services, pulse=self.pulse, meter=self.meter, health=health)
        self.stop: Callable[[], None] = start_scheduler(
            self.services, FileLeadership(lock), self.due, reconcile_every=HOUR
        )

    def says(self, sample: str) -> bool:
        """Return whether the metrics hold a line."""
        return sample.encode() in self.meter.render(()).splitlines()

    def reconciled(self) -> bool:
        """Return whether the loop ran."""
        return b'ums_job_duration_seconds_count{job="reconcile",result="succeeded"}' in self.meter.render(())


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Give a service with a release."""
    made = Stage(tmp_path, database=f"sqlite:///{tmp_path}/ums.db")
    made.publish("1.0.0")
    yield made
    made.store.close()


def test_one_runs_the_loop_and_another_takes_over(stage: Stage, tmp_path: Path) -> None:
    """Within a second or two of its end; until then it is well, and only says that another leads."""
    first = Process(stage, tmp_path / "leader.lock")
    eventually(first.reconciled, timeout=10, what="the first ran the loop", every=0.01)
    second = Process(stage, tmp_path / "leader.lock")
    second.due.set()
    eventually(lambda: second.pulse.beat == stage.clock.now(), timeout=10, what="the second looked", every=0.01)
    assert (first.says("ums_leader 1.0"), second.says("ums_leader 0.0")) == (True, True)
    assert second.services.health.live()[0].message == "another process leads, and runs the loop"
    assert not second.reconciled()
    first.stop()
    eventually(second.reconciled, timeout=10, what="the second runs the loop", every=0.05)
    assert second.says("ums_leader 1.0")
    second.stop()


def test_what_another_process_decided_wakes_the_leader(stage: Stage, tmp_path: Path) -> None:
    """It cannot call it; the leader looks at the head."""
    due = Event()
    leader = Leader(FileLeadership(tmp_path / "leader.lock"), stage.release_repo, stage.meter, due)
    leader.ask()
    assert due.is_set()
    due.clear()
    leader.ask()
    assert not due.is_set()
    stage.promote("1.0.0")
    leader.ask()
    assert due.is_set()
    leader.step_down()


class Unsure:
    """A lock that nobody can ask any more."""

    def __init__(self) -> None:
        self.error: UnavailableError | None = None

    def held(self) -> bool:
        """Return that it is, or say that it cannot be known."""
        if self.error:
            raise self.error
        return True

    def release(self) -> None:
        """Fail, as the connection is gone."""
        raise UnavailableError("the database does not answer")


def test_who_cannot_ask_any_more_leads_no_more(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """At once where the answer is an error, and after a while where there is none."""
    caplog.set_level(logging.INFO)
    lock = Unsure()
    leader = Leader(lock, stage.release_repo, stage.meter, Event())
    leader.ask()
    assert leader.leads()
    lock.error = UnavailableError("the database does not answer")
    with pytest.raises(UnavailableError):
        leader.ask()
    assert not leader.leads()
    lock.error = None
    monkeypatch.setattr(leading, "_COUNTS_SECONDS", 0.0)
    leader.ask()
    assert not leader.leads(), "nobody answers since"
    leader.step_down()
    told = [each.message for each in caplog.records]
    assert told[:3] == ["this process leads", "this process leads no more", "this process leads"]
    assert told[3].endswith("the database does not answer")
