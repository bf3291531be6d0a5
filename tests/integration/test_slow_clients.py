"""Clients that send half a request, and then nothing, hold up others for seconds, and not for ever."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import cycle, islice
from pathlib import Path

import pytest
import requests

from tests.processes import eventually
from tests.running_service import RunningService

SLOW = 100
"""Far more than there are threads to answer."""
HALVES = (
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    b"POST /api/v1/pdps/a/b/events HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
    b"POST /git/release-repo/git-upload-pack HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n0",
    b"PATCH /v2/a/blobs/uploads/1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nf",
)
"""Headers; bodies for the API, for Git, and for the registry."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """Give a service as it is started by default."""
    folder: Path = tmp_path_factory.mktemp("slow")
    with RunningService(folder / "service") as running:
        yield running


def test_who_falls_silent_amid_a_request_is_hung_up_on(service: RunningService) -> None:
    """Each holds a thread for five seconds at most; then it is somebody else's turn. It is no line of the log."""
    with ExitStack() as opened:
        halves = list(islice(cycle(HALVES), SLOW))
        slow = [opened.enter_context(closing(socket.create_connection(("127.0.0.1", service.port)))) for _ in halves]
        for client, half in zip(slow, halves, strict=True):
            client.sendall(half)
        started = time.monotonic()
        assert requests.get(f"{service.url}/healthz", timeout=30).status_code == 200
        assert time.monotonic() - started < 15
        for each in slow:
            each.settimeout(0.01)
        eventually(lambda: all(is_over(each) for each in slow), timeout=30, what="all are hung up on", every=0.05)
    assert "Traceback" not in service.log_text()


def is_over(client: socket.socket) -> bool:
    """Return whether the service hung up, whatever it said before."""
    try:
        while client.recv(4096):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def test_who_is_slow_and_steady_is_waited_for(service: RunningService) -> None:
    """An upload over a thin line goes on as long as something comes."""
    body = b'{"reason": "nobody is patient", "dryRun": true}'
    head = f"POST /api/v1/freezes HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {service.token}\r\n"
    head += f"Content-Type: application/json\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    with closing(socket.create_connection(("127.0.0.1", service.port))) as client:
        client.sendall(head.encode())
        pause = 7.0 / len(body)
        for number in range(len(body)):
            client.sendall(body[number : number + 1])
            time.sleep(pause)  # this is what is tested: longer in all than anybody may be silent
        client.settimeout(30)
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
