"""``--wait``: stay until the data planes that were moved have said how they are."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from ums.cli.output import health_text
from ums.outcomes import NOT_HEALTHY, TIMED_OUT

if TYPE_CHECKING:
    from ums.adapters.service_client import ServiceClient

_POLL_SECONDS = 1.0


def wait_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--wait`` and ``--timeout``."""
    command = click.option(
        "--timeout", default="10m", show_default=True, help="How long --wait waits: 90s, 10m, PT1H."
    )(command)
    return click.option("--wait", is_flag=True, help="Wait until the data planes moved report healthy, or failed.")(
        command
    )


def wait_for(client: ServiceClient, serials: Mapping[str, int], timeout: str) -> int:
    """Wait until each data plane reported on its serial; return the exit code."""
    from ums.domain.instants import parse_duration

    deadline = time.monotonic() + parse_duration(timeout).total_seconds()
    waiting, failed = dict(serials), 0
    while waiting:
        for plane in client.get("/pdps")["items"]:
            serial, reported = waiting.get(plane["pdp"]), plane["reported"]
            if serial is None or reported is None or reported["serial"] < serial:
                continue
            if reported["health"] not in {"healthy", "failed"}:
                continue
            del waiting[plane["pdp"]]
            failed += reported["health"] == "failed"
            detail = f"  {reported['component']} {reported['message']}" if reported["health"] == "failed" else ""
            click.echo(f"  {plane['pdp']:<30} {health_text(reported['health'])}{detail}")
        if not waiting:
            break
        if time.monotonic() > deadline:
            names = ", ".join(sorted(waiting)[:5]) + (" …" if len(waiting) > 5 else "")  # noqa: PLR2004 - enough to recognize
            click.echo(f"{len(waiting)} of {len(serials)} did not report in {timeout}: {names}", err=True)
            return TIMED_OUT
        time.sleep(_POLL_SECONDS)
    return NOT_HEALTHY if failed else 0
