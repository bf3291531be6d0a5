"""Check whether this process lives, and whether it can do its work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from ums.domain.clock import HINT
from ums.domain.errors import StorageError, UmsError, UnavailableError
from ums.domain.instants import duration_text
from ums.domain.linting import problems
from ums.domain.names import PDPName
from ums.ports import Clock, Disk, ReleaseRepo, Store

_INTERVALS = 10
_PATIENCE = timedelta(minutes=5)
"""A large fleet may keep the loop busy for long; who is killed for that never gets through."""
_SHOWN = 3
_NOBODY = PDPName("ums", "health")
MIN_FREE_BYTES = 200 << 20


class Status(StrEnum):
    """What a check found. ``warn`` is to be looked at, and keeps nothing from working."""

    PASS = "pass"  # noqa: S105 - no password
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    status: Status
    message: str

    def to_dict(self) -> dict[str, str]:
        """Return the form used in answers."""
        return {"name": self.name, "status": self.status.value, "message": self.message}


@dataclass(slots=True)
class Pulse:
    """What the loop leaves behind, so that it is seen when it stops."""

    every: timedelta | None = None
    beat: datetime | None = None
    threads: Mapping[str, Callable[[], bool]] = field(default_factory=dict)
    leads: Callable[[], bool] = lambda: True

    def start(
        self,
        every: timedelta,
        now: datetime,
        threads: Mapping[str, Callable[[], bool]],
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        """Expect a beat at each interval from now on, by threads that say whether they live."""
        self.every, self.beat, self.threads, self.leads = every, now, threads, leads

    def check(self, now: datetime) -> tuple[Check, ...]:
        """Return whether the loop ran lately and its threads live."""
        if self.every is None or self.beat is None:
            return (Check("loop", Status.PASS, "this process runs no loop"),)
        silent, limit = now - self.beat, max(_INTERVALS * self.every, _PATIENCE)
        text = (
            f"the loop ran {duration_text(silent)} ago; it is to run every {duration_text(self.every)}"
            if self.leads()
            else "another process leads, and runs the loop"
        )
        dead = sorted(name for name, is_alive in self.threads.items() if not is_alive())
        return (
            Check("loop", Status.PASS if silent <= limit else Status.FAIL, text),
            Check("threads", Status.FAIL, f"ended: {', '.join(dead)}")
            if dead
            else Check("threads", Status.PASS, f"{len(self.threads)} live"),
        )


@dataclass(frozen=True, slots=True)
class CheckHealth:
    """Look at what the process stands on."""

    release_repo: ReleaseRepo
    store: Store
    clock: Clock
    pulse: Pulse
    disk: Disk | None = None
    host_problem: Callable[[], str] = lambda: ""
    clock_problem: Callable[[], str] = lambda: ""
    min_free_bytes: int = MIN_FREE_BYTES

    def live(self) -> tuple[Check, ...]:
        """Return whether the process lives: only restarting it mends what fails here."""
        return self.pulse.check(self.clock.now())

    def ready(self) -> tuple[Check, ...]:
        """Return whether the process can do its work."""
        checks = [
            *self._release_repo(),
            *self._folder(),
            _answers("database", self._ask_database),
            *self.live(),
        ]
        if self.disk is not None:
            checks.append(_answers("disk", self._ask_disk))
        checks.append(_answers("clock", self._ask_clock))
        if problem := self.host_problem():
            checks.append(Check("git-host", Status.WARN, problem))
        return tuple(checks)

    def _release_repo(self) -> tuple[Check, ...]:
        try:
            world = self.release_repo.read()
        except UmsError as error:
            return (Check("release-repo", Status.FAIL, error.message),)
        read = Check("release-repo", Status.PASS, f"main is at {world.base.main[:12]}")
        wrong = len(problems(world, world, self.clock.now()))
        if not wrong:
            return (read,)
        return (
            read,
            Check(
                "files",
                Status.WARN,
                f"{wrong} are left out, or have no effect, because they are wrong: ums status names them",
            ),
        )

    def _folder(self) -> tuple[Check, ...]:
        """Return a check that fails if the repository's folder holds what is not UMS's; else none."""
        try:
            found = self.release_repo.foreign()
        except UmsError as error:
            return (Check("release-repo-folder", Status.FAIL, error.message),)
        if not found:
            return ()
        more = f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        text = f"the repository was changed from outside: {'; '.join(found[:_SHOWN])}{more}"
        return (Check("release-repo-folder", Status.FAIL, text),)

    def _ask_database(self) -> str:
        self.store.report(_NOBODY)
        return "it answers"

    def _ask_clock(self) -> str:
        if problem := self.clock_problem():
            raise UnavailableError(f"{problem}; {HINT}")
        return "it is plausible"

    def _ask_disk(self) -> str:
        assert self.disk is not None  # noqa: S101 - asked only where there is one
        free = self.disk.free_bytes()
        if free < self.min_free_bytes:
            raise StorageError(f"{free >> 20} MiB are free; below {self.min_free_bytes >> 20} it is as good as full")
        return f"{free >> 20} MiB are free"


def _answers(name: str, ask: Callable[[], str]) -> Check:
    try:
        return Check(name, Status.PASS, ask())
    except UmsError as error:
        return Check(name, Status.FAIL, error.message)
