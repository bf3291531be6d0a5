"""Clients that send half a request, and then nothing, are hung up on, and hold up nobody meanwhile."""

from __future__ import annotations

import base64
import re
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from hashlib import sha256
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


BLOB = b"x" * (8 << 20)
UNREAD = {
    "docs": "GET /api/docs/assets/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n" * 20,
    "document": "GET /api/v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 20,
    "health": "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 5000,
    "errors": "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n" * 5000,
    "head": "HEAD /api/v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 2000,
    "api": "GET /api/v1/channels HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n" * 1000,
    "blob": "GET /v2/ums/large/blobs/{blob} HTTP/1.1\r\nHost: x\r\n{basic}\r\n",
    "part of a blob": "GET /v2/ums/large/blobs/{blob} HTTP/1.1\r\nHost: x\r\n{basic}Range: bytes=1-\r\n\r\n",
    "git": "GET /git/release-repo/info/refs?service=git-upload-pack HTTP/1.1\r\nHost: x\r\n{basic}\r\n" * 1000,
    "stream": "GET /api/v1/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n",
}
"""Requests whose responses nobody reads: first such that nobody needs a token for."""


def push(service: RunningService) -> str:
    """Push a blob, and return its digest."""
    digest, login = f"sha256:{sha256(BLOB).hexdigest()}", {"Authorization": basic(service)}
    start = requests.post(f"{service.url}/v2/ums/large/blobs/uploads/", headers=login, timeout=30)
    url = f"{start.headers['Location']}?digest={digest}"
    assert requests.put(service.url + url, data=BLOB, headers=login, timeout=60).status_code == 201
    return digest


def unread(service: RunningService, asked: str) -> socket.socket:
    """Return a connection on which as much is asked for as the service takes, and nothing read."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", service.port))
    client.settimeout(0)
    client.send(asked.encode())
    return client


def is_over(client: socket.socket) -> bool:
    """Return whether the service ended a connection, without reading of it."""
    poll = select.poll()
    poll.register(client, select.POLLRDHUP)
    return bool(poll.poll(0))


@pytest.mark.parametrize("name", UNREAD)
def test_who_does_not_read_holds_up_nobody(service: RunningService, name: str) -> None:
    """Fifty times as many as there are threads, which once held a thread each."""
    digest = push(service) if "blob" in name else ""
    asked = UNREAD[name].replace("{token}", service.token).replace("{blob}", digest)
    asked = asked.replace("{basic}", f"Authorization: {basic(service)}\r\n")
    with ExitStack() as opened:
        for _ in range(SLOW):
            opened.enter_context(closing(unread(service, asked)))
        for _ in range(5):
            ask_everywhere(service)


def test_who_goes_on_too_slowly_is_hung_up_on(service: RunningService) -> None:
    """Whether it sends or reads a byte now and then: after some twenty seconds."""
    digest = push(service)
    asked = UNREAD["blob"].replace("{basic}", f"Authorization: {basic(service)}\r\n").replace("{blob}", digest)
    with ExitStack() as opened:
        readers = [opened.enter_context(closing(unread(service, asked))) for _ in range(3)]
        writers = [opened.enter_context(closing(unread(service, half(service, name).decode()))) for name in HALVES]

        def are_over() -> bool:
            for each in readers:
                each.recv(1) if not is_over(each) else None
            for each in writers:
                each.send(b"f") if not is_over(each) else None
            return all(map(is_over, [*readers, *writers]))

        eventually(are_over, timeout=90, what="all are hung up on", every=1)
        ask_everywhere(service)
    assert "Traceback" not in service.log_text()


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"], ids=["new", "kept"])
def test_idle_connections_do_not_use_up_all_places(tmp_path: Path, sent: bytes) -> None:
    """The oldest of an address makes room for a new one."""
    with RunningService(tmp_path / "service", settings={"UMS_CONNECTIONS_PER_ADDRESS": "20"}) as running:
        with ExitStack() as opened:
            idle = [opened.enter_context(closing(connect(running))) for _ in range(60)]
            for each in idle:
                each.sendall(sent)
            ask_everywhere(running)
            eventually(lambda: sum(map(is_over, idle)) >= 40, timeout=10, what="the oldest made room")

        def is_answered() -> bool:
            """Return whether all is well again: until it has seen that they are gone, their places are taken."""
            ask_everywhere(running)
            return True

        eventually(is_answered, timeout=10, what="others are answered")


def test_behind_a_proxy_each_client_has_its_own_places(tmp_path: Path) -> None:
    """One of them may use up its own, and nobody else's, whatever it says of others."""
    settings = {"UMS_CONNECTIONS_PER_ADDRESS": "5", "UMS_TRUSTED_PROXIES": "1"}
    with RunningService(tmp_path / "service", settings=settings) as running, ExitStack() as opened:
        digest = push(running)
        asked = UNREAD["blob"].replace("{basic}", f"Authorization: {basic(running)}\r\nX-Forwarded-For: %s\r\n")
        for number in range(20):
            header = f"10.1.1.{number}, 10.0.0.1"
            opened.enter_context(closing(unread(running, asked.replace("{blob}", digest) % header)))

        def status(forwarded: str) -> int:
            headers = {"X-Forwarded-For": forwarded}
            return requests.get(f"{running.url}/healthz", headers=headers, timeout=30).status_code

        eventually(lambda: status("10.1.1.99, 10.0.0.1") == 429, timeout=30, what="it has used up its own")
        assert status("10.0.0.2") == 200
        assert status("10.0.0.1, 10.0.0.3") == 200


def test_a_service_stops_beside_clients_that_wait(tmp_path: Path) -> None:
    """Soon, with the code of a good end, and without a traceback."""
    with RunningService(tmp_path / "service", threads=1) as running, ExitStack() as opened:
        digest = push(running)
        for name in ("stream", "blob", "health"):
            asked = UNREAD[name].replace("{basic}", f"Authorization: {basic(running)}\r\n").replace("{blob}", digest)
            for _ in range(4):
                opened.enter_context(closing(unread(running, asked.replace("{token}", running.token))))
        opened.enter_context(closing(unread(running, "")))
        ask_everywhere(running)
        running.stop()
        assert running.exit_code == 0
        assert "Traceback" not in running.log_text()
