"""A worker of the service: the WSGI application and, beside it, the scheduler. Made after the fork."""

from __future__ import annotations

from ums.bootstrap import WSGI, make_services, make_wsgi
from ums.config import Settings
from ums.scheduler.jobs import start_scheduler


def create(settings: Settings) -> WSGI:
    """Return the application, with its scheduler running.

    Raises:
        NotFoundError: the data folder was not initialized.

    """
    services = make_services(settings)
    start_scheduler(services, reconcile_every=settings.reconcile_every)
    return make_wsgi(settings, services)
