"""A service that is told to stop ends well at any moment: with the code of a good end, and without a traceback."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from tests.processes import Process, eventually, free_port, listens
from tests.running_service import ROOT, RunningService

ENDED_WELL = {0, -signal.SIGTERM, 128 + signal.SIGTERM, 128 + signal.SIGINT}
"""Before the service looks after signals itself, the system or the command line does."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give a data folder."""
    with RunningService(tmp_path_factory.mktemp("stopping") / "service") as service:
        service.stop()
        yield service.data


def serve(data: Path, folder: Path) -> tuple[Process, int]:
    """Start a service; return it, and its port."""
    port = free_port()
    command = [sys.executable, "-m", "ums", "serve", str(data), "--listen", f"127.0.0.1:{port}"]
    env = {"PYTHONPATH": str(ROOT), "UMS_RECONCILE_EVERY": "1s"}
    return Process(command, log=folder / "serve.log", env=env), port


def check(process: Process, sign: signal.Signals) -> None:
    """Tell a service to stop, and check how it ends."""
    os.kill(process.pid, sign)
    eventually(lambda: process.exit_code is not None, timeout=40, what="it ends")
    assert process.exit_code in ENDED_WELL, process.tail()
    assert "Traceback" not in process.tail(100_000)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("moment", ["Starting gunicorn", "Listening at", "Booting worker", "Added job"])
def test_a_service_that_starts(data: Path, tmp_path: Path, moment: str, sign: signal.Signals) -> None:
    """Whatever it has come to."""
    process, port = serve(data, tmp_path)
    with process:
        log = tmp_path / "serve.log"
        process.wait_until(lambda: moment in log.read_text() or listens(port)())
        check(process, sign)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_service_under_load(data: Path, tmp_path: Path, sign: signal.Signals) -> None:
    """Clients ask on, on connections that are kept."""
    process, port = serve(data, tmp_path)
    answered = threading.Semaphore(0)

    def ask_on() -> None:
        session = requests.Session()
        with suppress(requests.RequestException):
            while True:
                session.get(f"http://127.0.0.1:{port}/readyz", timeout=30)
                answered.release()

    with process:
        process.wait_until(lambda: requests.get(f"http://127.0.0.1:{port}/healthz", timeout=30).ok)
        clients = [threading.Thread(target=ask_on) for _ in range(4)]
        for client in clients:
            client.start()
        for _ in range(40):
            assert answered.acquire(timeout=30)
        check(process, sign)
        for client in clients:
            client.join(30)
