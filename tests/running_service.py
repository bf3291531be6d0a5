"""A real service on this machine, spoken to by its own command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.processes import Process, eventually, free_port, listens
from ums.client import Client

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
_ROLLOUT = {"waves": [{"name": "everyone"}], "maxUpdating": "100%", "healthyFor": "0s"}
_FEEDERS = {"edge": None, "candidate": "edge", "stable": "candidate", "lts": "stable"}
AT_ONCE = {name: {"feeder": feeder, "rollout": _ROLLOUT} for name, feeder in _FEEDERS.items()}
"""Channels whose gates are open, and whose rollouts have one wave."""
PASSWORD = "correct horse"  # noqa: S105 - of a key that lives for a test


class RunningService:
    """``ums serve`` on a fresh data folder; a context manager. ``settings`` are variables of its environment.

    Attributes:
        url: where it listens.
        key: the release key to publish with.

    """

    def __init__(
        self,
        folder: Path,
        *,
        registry: str | None = None,
        interval: str = "3s",
        reconcile: str = "1s",
        channels: Mapping[str, object] = AT_ONCE,
        threads: int | None = None,
        topology: str = "view",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self._channels = channels
        self.data = folder / "data"
        self.key = folder / "release.key"
        self._registry = registry
        self._interval = interval
        self._reconcile = reconcile
        self._threads = threads
        self._topology = topology
        self._settings = settings or {}
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.token = ""
        self._process: Process | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ums("keys", "generate", str(self.key))
        arguments = ["init", str(self.data), "--url", self.url, "--release-key", str(self.key.with_suffix(".pub"))]
        arguments += ["--interval", self._interval, "--root-timeout", "2m", "-o", "json"]
        arguments += ["--topology", self._topology]
        channels = self.folder / "channels"
        for name, policy in self._channels.items():
            (channels / name).mkdir(parents=True)
            (channels / name / "policy.yaml").write_text(yaml.safe_dump(policy))
        arguments += ["--channels", str(channels)]
        if self._registry:
            arguments += ["--registry", self._registry, "--plain-http"]
        self.token = json.loads(self.ums(*arguments))["token"]
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the process."""
        command = [sys.executable, "-m", "ums", "serve", str(self.data), "--listen", f"127.0.0.1:{self.port}"]
        command += ["--threads", str(self._threads)] if self._threads else []
        env = {**self._env(), "UMS_RECONCILE_EVERY": self._reconcile, **self._settings}
        self._process = Process(command, log=self.folder / "serve.log", env=env)
        self._process.wait_until(listens(self.port))

    def stop(self) -> None:
        """Stop the process."""
        if self._process is not None:
            self._process.stop()

    @property
    def pid(self) -> int:
        """Return the process id of the service, whose child does the work."""
        assert self._process is not None, "it was not started"
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Return how the service ended; ``None`` while it runs."""
        assert self._process is not None, "it was not started"
        return self._process.exit_code

    def log_text(self) -> str:
        """Return what the process wrote to its log."""
        return (self.folder / "serve.log").read_text()

    def _env(self) -> dict[str, str]:
        return {
            "PYTHONPATH": str(ROOT),
            "UMS_SERVER": self.url,
            "UMS_TOKEN": self.token,
            "UMS_KEY": str(self.key) if self.key.exists() else "",
            "UMS_KEY_PASSWORD": PASSWORD,
        }

    def run(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command of ``ums`` and return how it ended."""
        full = {**os.environ, **{key: value for key, value in self._env().items() if value}, **env}
        command = [sys.executable, "-m", "ums", *arguments]
        return subprocess.run(
            command, env=full, capture_output=True, text=True, timeout=300, check=False, cwd=self.folder
        )

    def ums(self, *arguments: str, **env: str) -> str:
        """Run a command of ``ums`` that must succeed, and return what it printed."""
        done = self.run(*arguments, **env)
        if done.returncode:
            raise AssertionError(f"ums {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def json(self, *arguments: str) -> Any:  # noqa: ANN401 - any JSON value
        """Run a command of ``ums`` that must succeed, and return its JSON."""
        return json.loads(self.ums(*arguments, "-o", "json"))

    def get(self, path: str) -> Any:  # noqa: ANN401 - any JSON value
        """Return what the API answers: cheaper than a command, for conditions that are asked often."""
        return Client(self.url, self.token).get(path)

    def publish(self, folder: Path, version: str) -> None:
        """Publish a bundle."""
        self.ums("publish", str(folder), "--version", version)

    def promote(self, release: str, *channels: str) -> None:
        """Promote a release along channels."""
        for channel in channels or ("edge", "candidate", "stable"):
            self.ums("promote", release, "--to", channel, "--reason", "a test")
        self.wait_offered()

    def wait_offered(self) -> None:
        """Wait until the loop has offered what is due."""
        eventually(lambda: not self.get("/plan")["moves"], timeout=30, what="the loop has moved everybody")
