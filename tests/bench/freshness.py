"""What it costs to keep ten thousand offers fresh for a month: ``python -m tests.bench.freshness``.

The real decisions, Git and signatures on a clock that is set; nothing is promoted, so all that is recorded is offers
that are issued again. The loop looks every hour, since offers are renewed by the hour; packs are joined every day.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from tests.bench.events import PLANES, make_fleet
from tests.unit.usecases.stage import SettableClock
from ums.adapters._git import Git
from ums.adapters.git_release_repo import GitReleaseRepo
from ums.adapters.sql_store import SqlStore
from ums.adapters.ssh_signature import SSHStateSigner
from ums.adapters.system_clock import SystemClock
from ums.domain.identity import Holder
from ums.usecases.record import Change, Record

_DAYS = 30
_LOOKS = 24
_BY = Holder("ums", frozenset({"admin"})).identity


def bench_freshness(folder: Path) -> None:
    """Print the figures."""
    make_fleet(folder)
    path = folder / "release-repo.git"
    repo = GitReleaseRepo(path, SSHStateSigner.load(folder / "state.key"), author="UMS <ums@example.com>")
    clock = SettableClock()
    clock.time = SystemClock().now()
    record = Record(repo, SqlStore("sqlite://"), clock)
    repo.maintain()
    print(f"\n{_DAYS} days of {len(PLANES):,} offers, each good for {repo.read().settings.validity.days} days")
    _show("at the start", path)
    issued, recorded, looks, joins = 0, *(list[float]() for _ in range(3))
    for day in range(_DAYS):
        for _ in range(_LOOKS):
            clock.advance(timedelta(days=1) / _LOOKS)
            started = time.perf_counter()
            outcome = record(lambda world, _: Change(world), subject="x", action="reconcile", by=_BY, reason="age")
            (recorded if outcome.recorded else looks).append(time.perf_counter() - started)
            issued += len(outcome.serials)
        started = time.perf_counter()
        repo.maintain()
        joins.append(time.perf_counter() - started)
        if day in {0, 6}:
            _show(f"after {day + 1} days", path)
    _show(f"after {_DAYS} days", path)
    oldest = min(plane.desired.expires for plane in repo.read().planes.values() if plane.desired) - clock.now()
    print(f"  {issued:,} offers in {len(recorded):,} commits; the shortest is good for {oldest.days} days more")
    print(f"  a commit {_ms(recorded)}; a look at nothing to do {_ms(looks)}; joining packs {_ms(joins)}")
    started = time.perf_counter()
    Git(path, timeout=600).run("gc", "--quiet")
    print(f"  git gc, once, at the end: {time.perf_counter() - started:.1f} s")
    _show("and then", path)


def _ms(taken: list[float]) -> str:
    if not taken:
        return "–"
    return f"{statistics.median(taken) * 1000:.0f} ms (at most {max(taken) * 1000:.0f})"


def _show(when: str, path: Path) -> None:
    counted = dict(line.split(": ") for line in Git(path).run("count-objects", "-v").decode().splitlines())
    objects = int(counted["count"]) + int(counted["in-pack"])
    size = (int(counted["size"]) + int(counted["size-pack"])) / 1024
    files = sum(len(names) for _, _, names in os.walk(path))
    print(
        f"  {when:<14} {objects:9,} objects, {size:7.1f} MiB, {counted['packs']:>3} packs, {files:5,} files", flush=True
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch_folder:
        bench_freshness(Path(scratch_folder))
