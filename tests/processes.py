"""Processes that tests start: on free ports, waited for by a condition, ended by pid."""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

Value = TypeVar("Value")

_PR_SET_PDEATHSIG = 1


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def eventually(condition: Callable[[], Value], *, timeout: float, what: str, every: float = 0.1) -> Value:
    """Return the condition's value as soon as it is truthy; an exception in it counts as *not yet*."""
    deadline = time.monotonic() + timeout
    last: object = None
    while time.monotonic() < deadline:
        try:
            value = condition()
        except Exception as error:  # noqa: BLE001 - told when the time is up
            last = error
        else:
            if value:
                return value
            last = value
        time.sleep(every)
    raise AssertionError(f"after {timeout:.0f} s still not: {what}; last seen: {last!r}")


def listens(port: int) -> Callable[[], bool]:
    """Return a condition: something listens on the port."""

    def check() -> bool:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True

    return check


class Process:
    """A child process that dies with the test run, its output in a file."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
    ) -> None:
        self.log = log
        self._command = [str(part) for part in command]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                user=user,
                group=None if user is None else pwd.getpwnam(user).pw_gid,
                extra_groups=None if user is None else [],
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - one call of prctl
            )

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Return how it ended; ``None`` while it runs."""
        return self._process.poll()

    def wait_until(self, condition: Callable[[], object], *, timeout: float = 60) -> Process:
        """Wait for a condition; if the process ends before, show what it said."""

        def check() -> bool:
            if self._process.poll() is not None:
                return True
            return bool(condition())

        try:
            eventually(check, timeout=timeout, what=f"{self._command[0]} is ready")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.tail()}") from error
        if self._process.poll() is not None:
            raise AssertionError(f"{self._command[0]} ended with {self._process.returncode}\n{self.tail()}")
        return self

    def wait_until_ended(self, *, timeout: float = 120) -> None:
        """Wait until it ended well; if it did not, show what it said."""
        if self._process.wait(timeout):
            raise AssertionError(f"{self._command[0]} ended with {self._process.returncode}\n{self.tail()}")

    def tail(self, size: int = 3000) -> str:
        """Return the end of what it said."""
        return self.log.read_text(errors="replace")[-size:]

    def stop(self, *, sign: int = signal.SIGTERM) -> None:
        """End the process."""
        if self._process.poll() is None:
            self._process.send_signal(sign)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
