"""``--wait``: stay until the data planes that were moved have said how they are, or until a rollout has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from ums.cli.output import echo, health_text, some
from ums.cli.types import DURATION
from ums.outcomes import NOT_HEALTHY, TIMED_OUT

if TYPE_CHECKING:
    from datetime import timedelta

    from ums.client import Client

_POLL_SECONDS = 1.0
_ENDED = {"finished": 0, "halted": NOT_HEALTHY, "rolled-back": NOT_HEALTHY, "cancelled": NOT_HEALTHY}


def wait_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--wait`` and ``--timeout``."""
    return _options(command, "10m", "Wait until the data planes moved report healthy, or failed.")


def rollout_wait_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--wait`` and ``--timeout``, for what takes as long as its waves soak."""
    return _options(command, "2h", "Wait until the rollout is finished, halted, rolled back or cancelled.")


def _options(command: Callable[..., Any], timeout: str, text: str) -> Callable[..., Any]:
    command = click.option(
        "--timeout", type=DURATION, default=timeout, show_default=True, help="How long --wait waits: 90s, 10m, PT1H."
    )(command)
    return click.option("--wait", is_flag=True, help=text)(command)


def pause() -> None:
    """Let some time pass before the service is asked again."""
    time.sleep(_POLL_SECONDS)


def wait_for(client: Client, serials: Mapping[str, int], timeout: timedelta) -> int:
    """Wait until each data plane reported on its serial; return the exit code."""
    deadline = time.monotonic() + timeout.total_seconds()
    waiting, failed = dict(serials), 0
    while waiting:
        for plane in client.get_planes()["items"]:
            serial, reported = waiting.get(plane["pdp"]), plane["reported"]
            if serial is None or reported is None or reported["serial"] < serial:
                continue
            if reported["health"] not in {"healthy", "failed"}:
                continue
            del waiting[plane["pdp"]]
            failed += reported["health"] == "failed"
            detail = f"  {reported['component']} {reported['message']}" if reported["health"] == "failed" else ""
            echo(f"  {plane['pdp']:<30} {health_text(reported['health'])}{detail}")
        if not waiting:
            break
        if time.monotonic() > deadline:
            text = f"{len(waiting)} of {len(serials)} did not report in {_text(timeout)}: {some(sorted(waiting))}"
            echo(text, err=True)
            return TIMED_OUT
        pause()
    return NOT_HEALTHY if failed else 0


def wait_for_rollout(client: Client, channel: str, release: str, timeout: timedelta) -> int:
    """Wait until the rollout of a release in a channel has ended, and say how it goes; return the exit code."""
    deadline, bundle = time.monotonic() + timeout.total_seconds(), release.partition("@")[0]
    said, begun = "", False
    while True:
        items = client.get_rollouts(channel, bundle=bundle)["items"]
        rollout = next((each for each in items if each["release"] == release), None)
        if rollout is None and begun:
            echo(f"another release of {bundle} was promoted to {channel} meanwhile", err=True)
            return NOT_HEALTHY
        begun = begun or rollout is not None
        if rollout is None and (ended := _given_up(client, channel, release)):
            echo(f"{release} is not promoted to {channel}: {ended}", err=True)
            return NOT_HEALTHY
        if rollout and rollout["status"] == "running" and not rollout["dataPlanes"]:
            text = f"no data plane of {channel} follows {bundle} yet: {release} begins with the first that does"
            echo(text, err=True)
            return 0
        text = _progress(rollout) if rollout else f"{release} waits for the gates of {channel}"
        if text != said:
            echo(f"  {text}", err=True)
            said = text
        if rollout and rollout["status"] in _ENDED:
            return _ENDED[rollout["status"]]
        if time.monotonic() > deadline:
            hint = f"ums rollout status {channel} {bundle}" if begun else f"ums gates {release} --to {channel}"
            echo(f"not finished after {_text(timeout)}; it goes on without you: {hint}", err=True)
            return TIMED_OUT
        pause()


def _given_up(client: Client, channel: str, release: str) -> str:
    """Return why a promotion that waited for its gates was given up; the empty string if it was not."""
    requests = client.get_channel(channel)["requests"]
    ended = (each["ended"] for each in requests if each["release"] == release and each.get("ended"))
    return next((each["reason"] for each in ended if each), "")


def _progress(rollout: Mapping[str, Any]) -> str:
    names = [wave["name"] for wave in rollout["waves"]]
    if rollout["status"] != "running":
        return f"{rollout['status']}: {rollout['reason']}"
    wave = next(each for each in rollout["waves"] if each["state"] in {"updating", "soaking"})
    text = f"wave {wave['name']} ({names.index(wave['name']) + 1} of {len(names)}) is {wave['state']}"
    if "targets" in wave:
        text += f": {wave['succeeded']} of {wave['targets']} well"
    if wave.get("failed"):
        text += f", {wave['failed']} failed: {some(rollout['failed'])}"
    if rollout["stoppedBy"]:
        text += f" – {rollout['stoppedBy'][0]['message']}"
    return text


def _text(timeout: timedelta) -> str:
    from ums.domain.instants import duration_text

    return duration_text(timeout)
