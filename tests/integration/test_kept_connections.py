"""What is left of a request's body is never taken for the next request, and an answer says whether more may follow."""

from __future__ import annotations

import base64
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
import requests

from tests.processes import eventually
from tests.running_service import RunningService

GOOD = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
HIDDEN = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
WRONG = "Authorization: Basic " + base64.b64encode(b"acme/prod:wrong").decode()
REFUSED = (
    ("POST /git/release-repo/git-upload-pack", 401),
    ("PUT /git/release-repo/anything", 401),
    ("PUT /v2/a/manifests/x", 401),
    ("PATCH /v2/a/blobs/uploads/1", 401),
    ("POST /api/v1/freezes", 401),
    ("POST /nowhere", 404),
)
"""Requests of somebody unknown that have a body, on each surface, and what they give."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """Give a service as it is started by default."""
    folder: Path = tmp_path_factory.mktemp("kept")
    with RunningService(folder / "service") as running:
        yield running


def exchange(service: RunningService, sent: bytes) -> list[tuple[int, bool]]:
    """Send bytes on one connection; return each answer's status, and whether it says that the connection goes on.

    The bytes end with a request that asks for the end, so that all is read as soon as it is there.
    """
    said = b""
    with closing(socket.create_connection(("127.0.0.1", service.port), timeout=10)) as client:
        with suppress(OSError):  # hung up on, which is an answer too
            client.sendall(sent + GOOD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        with suppress(ConnectionError):
            while part := client.recv(65536):
                said += part
    heads = re.findall(rb"HTTP/1\.1 (\d+) .*?\r\nConnection: (\S+)\r\n", said, re.DOTALL)
    return [(int(status), goes_on == b"keep-alive") for status, goes_on in heads]


def request(line: str, body: bytes, *headers: str) -> bytes:
    """Return a request whose body has an announced length."""
    head = "".join(f"{each}\r\n" for each in (f"{line} HTTP/1.1", "Host: x", *headers, f"Content-Length: {len(body)}"))
    return f"{head}\r\n".encode() + body


def in_chunks(line: str, chunks: bytes, *headers: str) -> bytes:
    """Return a request whose body comes in chunks, which are given as they are."""
    chunked = "Transfer-Encoding: chunked"
    head = "".join(f"{each}\r\n" for each in (f"{line} HTTP/1.1", "Host: x", *headers, chunked))
    return f"{head}\r\n".encode() + chunks


def chunk(content: bytes) -> bytes:
    """Return one chunk."""
    return b"%x\r\n%s\r\n" % (len(content), content)


@pytest.mark.parametrize(("line", "status"), REFUSED)
def test_a_refused_request_leaves_nothing_behind(service: RunningService, line: str, status: int) -> None:
    """However its body comes: the next request is answered as it is, and nothing in the body is a request."""
    for sent in (request(line, HIDDEN * 3, WRONG), in_chunks(line, chunk(HIDDEN) * 3 + b"0\r\n\r\n", WRONG)):
        assert exchange(service, sent) == [(status, True), (200, False)]


@pytest.mark.parametrize(("line", "status"), REFUSED)
def test_after_a_body_that_nobody_reads_the_connection_ends(service: RunningService, line: str, status: int) -> None:
    """And the answer says so: else a proxy sends the next request into a connection that is cut."""
    large = HIDDEN * 20_000
    assert exchange(service, request(line, large, WRONG)) in ([(status, False)], [(413, False)])
    assert exchange(service, in_chunks(line, chunk(large) + b"0\r\n\r\n", WRONG)) in ([(status, False)], [(413, False)])


@pytest.mark.parametrize(("line", "_"), REFUSED)
def test_a_body_that_cannot_be_read_has_one_answer(service: RunningService, line: str, _: int) -> None:
    """A second one would be taken for that to the next request, maybe somebody else's."""
    assert exchange(service, in_chunks(line, b"zz\r\n" + HIDDEN, WRONG)) == [(400, False)]
    assert exchange(service, in_chunks(line, chunk(b"x") + b"no end" + HIDDEN, WRONG)) == [(400, False)]


@pytest.mark.parametrize(("line", "_"), REFUSED)
def test_a_body_with_two_lengths_is_refused(service: RunningService, line: str, _: int) -> None:
    """Who stands between may have believed the other one."""
    both = request(line, b"0\r\n\r\n" + HIDDEN, WRONG, "Transfer-Encoding: chunked")
    assert exchange(service, both) == [(400, False)]


def test_who_asks_before_sending_a_body_is_told_to(service: RunningService) -> None:
    """Git and Docker send ``Expect: 100-continue``; the body comes after that, and the connection goes on."""
    for line, status in REFUSED:
        with closing(socket.create_connection(("127.0.0.1", service.port), timeout=10)) as client:
            head, body = request(line, HIDDEN, WRONG, "Expect: 100-continue").split(b"\r\n\r\n", 1)
            client.sendall(head + b"\r\n\r\n")
            assert client.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.sendall(body)
            answer = client.recv(4096)
            assert answer.startswith(f"HTTP/1.1 {status} ".encode()), line
            assert b"Connection: keep-alive" in answer


def test_a_client_of_git_or_the_registry_that_breaks_off_is_told_so(service: RunningService) -> None:
    """Even one that may do it, amid a body that is too large to be read first; nothing failed here."""
    token = "Authorization: Basic " + base64.b64encode(f"token:{service.token}".encode()).decode()
    pack = "Content-Type: application/x-git-upload-pack-request"
    broken = chunk(b"0" * 300_000) + b"zz\r\n"
    git = in_chunks("POST /git/release-repo/git-upload-pack", broken, token, pack)
    assert exchange(service, git) == [(400, False)]
    with closing(socket.create_connection(("127.0.0.1", service.port), timeout=10)) as client:
        client.sendall(request("POST /v2/ums/a/blobs/uploads/", b"", token))
        location = re.search(rb"Location: (\S+)", client.recv(4096))
    assert location
    assert exchange(service, in_chunks(f"PATCH {location[1].decode()}", broken, token)) == [(400, False)]
    assert "Traceback" not in service.log_text()


def test_git_may_ask_in_chunks(service: RunningService) -> None:
    """It does so for what is large; what came in chunks was once taken for nothing, and a fetch failed."""
    token = "Authorization: Basic " + base64.b64encode(f"token:{service.token}".encode()).decode()
    refs = requests.get(
        f"{service.url}/git/release-repo/info/refs?service=git-upload-pack",
        headers={"Authorization": token.partition(": ")[2]},
        timeout=10,
    )
    wanted = refs.content.split(b"0000", 1)[1][4:44]
    lines = (b"want " + wanted + b"\n", b"", b"done\n")
    asked = b"".join(b"%04x%s" % (len(line) + 4, line) if line else b"0000" for line in lines)
    answer = requests.post(
        f"{service.url}/git/release-repo/git-upload-pack",
        data=iter([asked]),  # requests sends what has no length in chunks
        headers={
            "Authorization": token.partition(": ")[2],
            "Content-Type": "application/x-git-upload-pack-request",
        },
        timeout=10,
    )
    assert answer.content.startswith(b"0008NAK\nPACK")


def test_a_client_that_wants_tls_where_there_is_none_is_told_in_one_line(service: RunningService) -> None:
    """Cosign, crane and Flux try it first: that is where gunicorn's *bare LF* comes from, and not from Git."""
    before = service.log_text().count("bare LF")
    plain = socket.create_connection(("127.0.0.1", service.port), timeout=10)
    with closing(plain), pytest.raises(ssl.SSLError):
        ssl.create_default_context().wrap_socket(plain, server_hostname="localhost")
    eventually(lambda: service.log_text().count("bare LF") == before + 1, timeout=5, what="it is told")
