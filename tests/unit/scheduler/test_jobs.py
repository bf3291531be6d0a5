"""Jobs are timed, tell what they recorded, and outlive their failures."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest

from tests.processes import eventually
from tests.unit.usecases.stage import ADMIN, PROD, Stage
from ums.adapters.leadership import FileLeadership
from ums.domain.errors import UnavailableError
from ums.domain.fleet import Health
from ums.domain.names import PDPName
from ums.domain.release import ReleaseName
from ums.scheduler import jobs
from ums.scheduler.jobs import observed, start_scheduler

LAB = PDPName("acme", "lab")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Give a service with a release and a data plane that was offered nothing yet."""
    made = Stage(tmp_path, database=f"sqlite:///{tmp_path}/ums.db")
    made.publish("1.0.0")
    made.promote("1.0.0")
    made.add_plane()
    yield made
    made.store.close()


def told(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return what the jobs logged."""
    return [each for each in caplog.records if each.name == "ums.scheduler.jobs"]


def test_a_step_that_recorded_something_is_one_line(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """With the commit and how many moved; one with nothing to do says nothing."""
    caplog.set_level(logging.INFO)
    stage.publish("1.1.0")
    stage.services.promote(ReleaseName.parse("platform@1.1.0"), to="edge", by=ADMIN)
    run = observed("reconcile", stage.services.reconcile, stage.services)
    stage.add_plane(LAB, "edge")
    run()
    run()
    assert not told(caplog)
    stage.hear(Health.HEALTHY, LAB)
    stage.clock.advance(timedelta(hours=1))
    run()
    (record,) = told(caplog)
    assert (record.levelname, record.msg) == ("INFO", "recorded")
    assert vars(record)["job"] == "reconcile"
    assert vars(record)["commit"] == stage.world().base.main
    assert vars(record)["rollouts"] == ["edge/platform@1.1.0 finished"]


@pytest.mark.parametrize(
    ("error", "traceback"), [(UnavailableError("git is down"), False), (ZeroDivisionError(), True)]
)
def test_a_failure_is_told_and_the_loop_lives(
    stage: Stage,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    traceback: bool,  # noqa: FBT001 - a table
) -> None:
    """A traceback is for what nobody foresaw; it counts as a beat, and not as a success."""

    def fail() -> None:
        raise error

    stage.clock.advance(timedelta(hours=1))
    observed("reconcile", fail, stage.services)()
    (record,) = caplog.records
    assert bool(record.exc_info) is traceback
    assert stage.services.pulse.beat == stage.clock.now()
    assert b'ums_job_duration_seconds_count{job="reconcile",result="failed"} 1.0' in stage.meter.render(())


def test_only_the_loop_beats(stage: Stage) -> None:
    """Webhooks that go out do not hide that it stands."""
    observed("webhooks", lambda: None, stage.services)()
    assert stage.services.pulse.beat is None


def test_who_wakes_the_loop_need_not_wait(stage: Stage, tmp_path: Path) -> None:
    """It runs at once, in threads that say that they live."""
    due = Event()
    stop = start_scheduler(
        stage.services, FileLeadership(tmp_path / "leader.lock"), due, reconcile_every=timedelta(hours=1)
    )
    started = stage.clock.now()
    assert [each.status for each in stage.services.health.live()] == ["pass", "pass"]
    stage.clock.advance(timedelta(seconds=1))
    due.set()
    eventually(lambda: stage.services.pulse.beat != started, timeout=10, what="the loop", every=0.01)
    stop()
    assert stage.world().plane(PROD).desired is not None
    assert "scheduler" in stage.services.health.live()[1].message


def test_what_is_daily_runs_soon_after_the_start(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where another process leads: nobody knows whether this one lives for a day."""
    monkeypatch.setattr(jobs, "_FIRST_DAILY", timedelta(0))
    ran, other = Event(), FileLeadership(tmp_path / "leader.lock")
    assert other.held()
    leadership = FileLeadership(tmp_path / "leader.lock")
    stop = start_scheduler(
        stage.services, leadership, Event(), reconcile_every=timedelta(hours=1), daily={"registry-gc": ran.set}
    )
    assert ran.wait(10)
    stop()
    other.release()
    assert b'ums_job_duration_seconds_count{job="registry-gc",result="succeeded"} 1.0' in stage.meter.render(())
