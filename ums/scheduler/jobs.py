"""The jobs, as a table. Each is level-triggered: missed or doubled, it does no harm."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from types import MappingProxyType

from apscheduler.schedulers.background import BackgroundScheduler

from ums.domain.errors import UmsError
from ums.ports import Leadership
from ums.scheduler.leading import Leader
from ums.services import Services
from ums.usecases.record import Outcome

_LOG = logging.getLogger(__name__)
_MISFIRE_GRACE_SECONDS = 60
_WEBHOOKS_EVERY = timedelta(seconds=5)
_NOTICED_EVERY = timedelta(seconds=15)
_COUNTED_EVERY = timedelta(seconds=15)
_NOTED_EVERY = timedelta(minutes=1)
_ASKED_EVERY = timedelta(seconds=1)
_DAILY, _FIRST_DAILY = timedelta(days=1), timedelta(minutes=10)
"""What runs daily runs soon after the start as well: few processes live for a day for sure."""
_LOOP = "reconcile"


def start_scheduler(
    services: Services,
    leadership: Leadership,
    due: Event,
    *,
    reconcile_every: timedelta,
    daily: Mapping[str, Callable[[], object]] = MappingProxyType({}),
) -> Callable[[], None]:
    """Start the jobs in daemon threads of this process, and reconcile as well whenever ``due`` is set.

    What is to be done ``daily`` each process does for itself.

    Of all processes on one database one leads, and runs what is not each one's own. Return what ends them.
    """
    leader = Leader(leadership, services.release_repo, services.meter, due)
    shared: dict[str, tuple[Callable[[], object], timedelta]] = {
        _LOOP: (services.reconcile, reconcile_every),
        "reclaim": (services.reclaim, reconcile_every),
        "git-host": (services.exchange, reconcile_every),
        "webhooks": (services.deliver_webhooks, _WEBHOOKS_EVERY),
        "notices": (services.take_notice, _NOTICED_EVERY),
        "prune-history": (services.prune_history, timedelta(hours=1)),
        "maintain-repo": (services.release_repo.maintain, timedelta(hours=1)),
    }
    own: dict[str, tuple[Callable[[], object], timedelta]] = {
        "security-log": (services.security.flush, _COUNTED_EVERY),
        "clock": (services.note_clock, _NOTED_EVERY),
        "leader": (leader.ask, _ASKED_EVERY),
    }
    scheduler = BackgroundScheduler(
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": _MISFIRE_GRACE_SECONDS},
        daemon=True,
        timezone="UTC",
    )
    for name, (job, every) in (shared | own).items():
        run = observed(name, job, services)
        if name in shared:
            run = _if_leading(leader, run, name, services)
        scheduler.add_job(run, "interval", seconds=every.total_seconds(), id=name, name=name)
    for name, job in daily.items():
        run, first = observed(name, job, services), datetime.now(UTC) + _FIRST_DAILY
        scheduler.add_job(run, "interval", seconds=_DAILY.total_seconds(), id=name, name=name, next_run_time=first)
    scheduler.modify_job("leader", next_run_time=datetime.now(UTC))
    scheduler.start()
    waker = Thread(target=_reconcile_when, args=(due, scheduler), name="due", daemon=True)
    waker.start()
    # There is no other way to ask for its thread.
    alive = {"due": waker.is_alive, "scheduler": lambda: bool(scheduler.running and scheduler._thread.is_alive())}  # noqa: SLF001
    services.pulse.start(reconcile_every, services.clock.now(), alive, leader.leads)

    def stop() -> None:
        scheduler.shutdown()
        leader.step_down()

    return stop


def _if_leading(leader: Leader, run: Callable[[], None], name: str, services: Services) -> Callable[[], None]:
    """Return a job that another process runs unless this one leads; that it looked is a sign of life."""

    def run_if_leading() -> None:
        if leader.leads():
            run()
        elif name == _LOOP:
            services.pulse.beat = services.clock.now()

    return run_if_leading


def _reconcile_when(due: Event, scheduler: BackgroundScheduler) -> None:
    while due.wait():
        due.clear()
        # The same job, so that there are never two at once.
        scheduler.modify_job(_LOOP, next_run_time=datetime.now(UTC))


def observed(name: str, job: Callable[[], object], services: Services) -> Callable[[], None]:
    """Return a job that is timed, that tells when it recorded something, and that outlives its failures."""

    def run() -> None:
        try:
            with services.meter.time_job(name):
                done = job()
            if isinstance(done, Outcome) and done.recorded:
                _LOG.info("recorded", extra={"job": name, **_summary(done)})
        except UmsError as error:
            _LOG.warning("%s: %s", name, error.message, extra={"job": name})
        except Exception:  # noqa: BLE001 - logged, and tried again
            # The next run may fare better.
            _LOG.exception("%s failed", name, extra={"job": name})
        finally:
            if name == _LOOP:
                services.pulse.beat = services.clock.now()

    return run


def _summary(outcome: Outcome) -> dict[str, object]:
    return {
        "commit": outcome.base.main,
        "moves": len(outcome.plan.moves),
        "offers": len(outcome.serials),
        "rollouts": [
            f"{channel}/{bundle}@{rollout.release} {rollout.status}"
            for (channel, bundle), rollout in sorted(outcome.plan.rollouts.items())
        ],
    }
