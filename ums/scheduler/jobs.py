"""The jobs, as a table. Each is level-triggered: missed or doubled, it does no harm."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Event, Thread

from apscheduler.schedulers.background import BackgroundScheduler

from ums.domain.errors import UmsError
from ums.services import Services

_LOG = logging.getLogger(__name__)
_MISFIRE_GRACE_SECONDS = 60
_WEBHOOKS_EVERY = timedelta(seconds=5)


def start_scheduler(services: Services, due: Event, *, reconcile_every: timedelta) -> None:
    """Start the jobs in daemon threads of this process; reconcile as well whenever ``due`` is set."""
    jobs: dict[str, tuple[Callable[[], object], timedelta]] = {
        "reconcile": (services.reconcile, reconcile_every),
        "webhooks": (services.deliver_webhooks, _WEBHOOKS_EVERY),
        "prune-history": (services.prune_history, timedelta(hours=1)),
    }
    scheduler = BackgroundScheduler(
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": _MISFIRE_GRACE_SECONDS},
        daemon=True,
        timezone="UTC",
    )
    for name, (job, every) in jobs.items():
        scheduler.add_job(_logged(name, job), "interval", seconds=every.total_seconds(), id=name)
    scheduler.start()
    Thread(target=_reconcile_when, args=(due, scheduler), name="due", daemon=True).start()


def _reconcile_when(due: Event, scheduler: BackgroundScheduler) -> None:
    while due.wait():
        due.clear()
        # The same job, so that there are never two at once.
        scheduler.modify_job("reconcile", next_run_time=datetime.now(UTC))


def _logged(name: str, job: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        try:
            job()
        except UmsError as error:
            _LOG.warning("%s: %s", name, error.message)
        except Exception:  # noqa: BLE001 - logged, and tried again
            # The next run may fare better.
            _LOG.exception("%s failed", name)

    return run
