"""Clients that send half a request, and then nothing, are hung up on, and hold up nobody meanwhile."""

from __future__ import annotations

import base64
import re
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
THREADS = 2
HALVES = {
    "headers": "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    "events": "POST /api/v1/pdps/a/b/events HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
    "api": "POST /api/v1/freezes HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nAuthorization: Bearer {token}\r\n\r\n{",
    "git": "POST /git/release-repo/git-upload-pack HTTP/1.1\r\nHost: x\r\n{basic}Content-Length: 1000\r\n\r\n0",
    "view": "POST /git/acme/prod/git-upload-pack HTTP/1.1\r\nHost: x\r\n{basic}Content-Length: 1000\r\n\r\n0",
    "registry": "PATCH /v2/ums/a/blobs/uploads/1 HTTP/1.1\r\nHost: x\r\n{basic}Transfer-Encoding: chunked\r\n\r\nf",
}
"""Headers; bodies for what nobody needs a token for, and of somebody with a token for each surface."""
GROWTH_KIB = 100 * 1024
"""That a hundred clients may cost: a thread each, and what little they sent."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """Give a service that answers two requests at a time."""
    folder: Path = tmp_path_factory.mktemp("slow")
    with RunningService(folder / "service", threads=THREADS) as running:
        yield running


def basic(service: RunningService) -> str:
    """Return a login for Git and the registry."""
    return "Basic " + base64.b64encode(f"token:{service.token}".encode()).decode()


def connect(service: RunningService) -> socket.socket:
    """Return a connection."""
    return socket.create_connection(("127.0.0.1", service.port), timeout=30)


def half(service: RunningService, name: str) -> bytes:
    """Return the first half of a request."""
    login = f"Authorization: {basic(service)}\r\n"
    return HALVES[name].replace("{token}", service.token).replace("{basic}", login).encode()


def ask_everywhere(service: RunningService) -> None:
    """Be a good client of each surface."""
    for path, login in (
        ("/api/v1/channels", f"Bearer {service.token}"),
        ("/git/release-repo/info/refs?service=git-upload-pack", basic(service)),
        ("/v2/", basic(service)),
    ):
        answer = requests.get(service.url + path, headers={"Authorization": login}, timeout=30)
        assert answer.status_code == 200, path


def memory_kib(service: RunningService) -> int:
    """Return what the process that does the work holds in memory."""
    children = Path(f"/proc/{service.pid}/task/{service.pid}/children").read_text().split()
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{children[0]}/status").read_text())
    assert found
    return int(found[1])


@pytest.mark.parametrize("name", HALVES)
def test_who_is_slow_holds_up_nobody(service: RunningService, name: str) -> None:
    """Fifty times as many as there are threads: whoever asks meanwhile is answered, at little cost."""
    ask_everywhere(service)
    before = memory_kib(service)
    with ExitStack() as opened:
        for _ in range(SLOW):
            opened.enter_context(closing(connect(service))).sendall(half(service, name))
        started = time.monotonic()
        ask_everywhere(service)
        assert time.monotonic() - started < 4, "sooner than the first of them is hung up on"
        assert memory_kib(service) - before < GROWTH_KIB


def test_who_falls_silent_amid_a_request_is_hung_up_on(service: RunningService) -> None:
    """After five seconds, all of them, and with 400 amid a body. It is no line of the log."""
    with ExitStack() as opened:
        halves = [half(service, name) for name in islice(cycle(HALVES), 20)]
        slow = [opened.enter_context(closing(connect(service))) for _ in halves]
        for client, sent in zip(slow, halves, strict=True):
            client.sendall(sent)
        said = [b""] * len(slow)
        for each in slow:
            each.settimeout(0.01)
        open_ = set(range(len(slow)))

        def all_are_over() -> bool:
            for number in sorted(open_):
                try:
                    part = slow[number].recv(4096)
                except TimeoutError:
                    continue
                except OSError:
                    part = b""
                said[number] += part
                if not part:
                    open_.remove(number)
            return not open_

        eventually(all_are_over, timeout=15, what="all are hung up on", every=0.05)
        for sent, answer in zip(halves, said, strict=True):
            assert answer.startswith(b"HTTP/1.1 400 ") == (b"\r\n\r\n" in sent)
    assert "Traceback" not in service.log_text()


@pytest.mark.parametrize("surface", ["api", "registry"])
def test_who_is_slow_and_steady_is_waited_for(service: RunningService, surface: str) -> None:
    """An upload over a thin line goes on as long as something comes."""
    if surface == "api":
        line, login, status = "POST /api/v1/freezes", f"Bearer {service.token}", 200
        body = b'{"reason": "nobody is patient", "dryRun": true}'
    else:
        start = f"{service.url}/v2/ums/slow/blobs/uploads/"
        upload = requests.post(start, headers={"Authorization": basic(service)}, timeout=30).headers["Location"]
        line, login, status, body = f"PATCH {upload}", basic(service), 202, b"a thin line"
    head = f"{line} HTTP/1.1\r\nHost: x\r\nAuthorization: {login}\r\nContent-Type: application/json\r\n"
    head += f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    with closing(connect(service)) as client:
        client.sendall(head.encode())
        pause = 8.0 / len(body)
        for number in range(len(body)):
            client.sendall(body[number : number + 1])
            time.sleep(pause)  # this is what is tested: longer in all than anybody may be silent
        assert client.recv(4096).startswith(f"HTTP/1.1 {status} ".encode())
