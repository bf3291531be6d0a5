"""Clients that do not read, do not write, or do so slowly: none of them keeps the others from being answered."""

from __future__ import annotations

import logging
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.processes import eventually
from tests.unit.test_wsgi_loop import POLL, Here, Served
from ums import wsgi
from ums.edge.connections import Client, Limits

LARGE = 8 << 20
CLIENTS = 40
"""Twenty times as many as the worker answers at a time, and more than it has readers."""
HASTE = Limits(silence=1.0, window=1.0, rate=64 << 10, per_address=64, total=96, readers=16)
BIG = POLL.replace(b"/git/", b"/big/").replace(b"git-upload-pack", b"middle")
GOOD = POLL.replace(b"/git/", b"/api/")


class Hasty(Here):
    """A worker that loses patience soon, as far as its limits say."""

    limits = HASTE


class Patient(Here):
    """A worker that never loses patience."""

    limits = Limits(
        silence=3600, window=3600, rate=0, per_address=10_000, total=10_000, readers=HASTE.readers, unsent=1 << 30
    )


@contextmanager
def serving(kind: type[Here], folder: Path | None = None) -> Iterator[Served]:
    """Serve with a worker."""
    served = Served(folder, kind)
    try:
        yield served
    finally:
        served.stop()


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


def connect(served: Served, sent: bytes = b"") -> socket.socket:
    """Return a connection whose buffer is small, with bytes that were sent."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(30)
    client.connect(served.address)
    client.sendall(sent)
    return client


def ask(served: Served) -> bool:
    """Return whether a new client is answered."""
    with closing(connect(served, GOOD)) as client:
        return client.recv(12) == b"HTTP/1.1 200"


def is_over(client: socket.socket) -> bool:
    """Return whether a connection was ended, without reading of it."""
    poll = select.poll()
    poll.register(client, select.POLLRDHUP)
    return bool(poll.poll(0))


def is_answered_beside(served: Served, sent: bytes, clients: int = CLIENTS) -> bool:
    """Return whether a new client is answered beside others that sent something, and then nothing more."""
    with ExitStack() as opened:
        for _ in range(clients):
            opened.enter_context(closing(connect(served, sent)))
        return ask(served)


ATTACKS = {
    "nothing": b"",
    "half a head": GOOD[:20],
    "half a body": GOOD.replace(b"\r\n\r\n", b"\r\nContent-Length: 9\r\n\r\n1"),
    "half a chunk": GOOD.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n1"),
    "a response left": BIG,
    "a poll left": POLL.replace(b"git-upload-pack", b"middle"),
    "many responses left": GOOD * 50 + BIG,
    "HEAD, then a response left": BIG.replace(b"GET", b"HEAD") + BIG,
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_others_are_answered_meanwhile(attack: str) -> None:
    """Even by a worker that never hangs up: no thread that others need waits for a client."""
    with serving(Patient) as served:
        assert is_answered_beside(served, ATTACKS[attack])


def test_without_this_defence_seventeen_of_them_stop_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a thread that answers waits until its client takes the response, one per thread is enough."""

    def wait(client: Client) -> bool:
        flush, poll = original, select.poll()
        poll.register(client.raw, select.POLLOUT)
        while not flush(client):
            poll.poll(100)
        return True

    original = Client.flush
    with serving(Patient) as served:
        monkeypatch.setattr(Client, "flush", wait)
        with ExitStack() as opened:
            for _ in range(2):
                opened.enter_context(closing(connect(served, BIG)))

            def is_stopped() -> bool:
                good = opened.enter_context(closing(connect(served, GOOD)))
                good.settimeout(2)
                try:
                    good.recv(12)
                except TimeoutError:
                    return True
                return False

            eventually(is_stopped, timeout=30, what="nobody is answered")


@pytest.mark.parametrize("attack", [name for name, sent in ATTACKS.items() if sent])
def test_who_does_not_go_on_is_hung_up_on(attack: str) -> None:
    """All of them, when the time is up; only an idle connection may stay, while there is room."""
    with serving(Hasty) as served, ExitStack() as opened:
        slow = [opened.enter_context(closing(connect(served, ATTACKS[attack]))) for _ in range(CLIENTS)]
        eventually(lambda: all(map(is_over, slow)), timeout=60, what="all are hung up on")
        assert ask(served)


@pytest.mark.parametrize("sends", [True, False], ids=["sends", "reads"])
def test_who_is_steady_and_too_slow_is_hung_up_on(sends: bool) -> None:  # noqa: FBT001
    """A byte now and then is no silence, but does not help."""
    body = b"\r\nContent-Length: 1000000\r\n\r\n"
    with serving(Hasty) as served, closing(connect(served, GOOD.replace(b"\r\n\r\n", body) if sends else BIG)) as slow:

        def trickle() -> bool:
            if sends:
                slow.sendall(b"1")
            else:
                slow.recv(1)
            return is_over(slow)

        eventually(trickle, timeout=30, what="it is hung up on", every=0.2)


def test_who_is_slow_and_takes_enough_gets_all() -> None:
    """Over a line that is slower than the server by far, for several times what a silent client is granted."""
    with serving(Hasty) as served, closing(connect(served, BIG)) as slow:
        got, started = 0, time.monotonic()
        while got <= LARGE and (part := slow.recv(1 << 20)):
            got += len(part)
            # A thin line, for as long as the patience of the server would be over five times.
            time.sleep(0.01 if time.monotonic() < started + 5 * HASTE.window else 0)
        assert got > LARGE


def test_many_may_take_their_responses_at_the_same_time() -> None:
    """More than there are threads of any kind: each gets all of it."""
    with serving(Patient) as served, ExitStack() as opened:
        ask_for = BIG.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        open_ = [opened.enter_context(closing(connect(served, ask_for))) for _ in range(CLIENTS // 2)]
        for client in open_:
            got = 0
            while part := client.recv(1 << 20):
                got += len(part)
            assert got >= LARGE


@pytest.mark.parametrize("sent", [b"", GOOD, BIG, GOOD[:20]], ids=["new", "kept", "not reading", "half a head"])
def test_a_new_connection_takes_the_place_of_one_that_waits(sent: bytes) -> None:
    """Idle ones or such that wait for their client never use up all places: neither an address's nor all."""
    with serving(Hasty) as served, ExitStack() as opened:
        for _ in range(4 * HASTE.per_address):
            opened.enter_context(closing(connect(served, sent)))
        assert ask(served)
        assert served.worker.nr_conns <= HASTE.total


def test_a_busy_address_does_not_take_the_places_of_others() -> None:
    """Each has its own."""
    with serving(Hasty) as served, ExitStack() as opened, closing(socket.socket()) as other:
        other.bind(("127.0.0.2", 0))
        other.connect(served.address)
        for _ in range(2 * HASTE.total):
            opened.enter_context(closing(connect(served)))
        other.sendall(GOOD)
        other.settimeout(30)
        assert other.recv(12) == b"HTTP/1.1 200"


def test_what_waits_for_clients_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Responses that nobody takes give way to others when they fill the memory granted to them."""
    monkeypatch.setattr(Patient, "limits", Limits(silence=3600, window=3600, unsent=2 * LARGE))
    with serving(Patient) as served, ExitStack() as opened:
        slow = [opened.enter_context(closing(connect(served, BIG))) for _ in range(7)]
        waiting = served.worker._parked

        def settled() -> bool:
            """Return whether all are there: those that are still to come would take the place of the last."""
            over = sum(map(is_over, slow))
            return over >= 3 and over + len(waiting) >= len(slow)

        eventually(settled, timeout=60, what="the first of them are hung up on")
        last = opened.enter_context(closing(connect(served, BIG)))
        eventually(lambda: last.getsockname() in [each.client for each in list(waiting)], timeout=60, what="it waits")
        assert not is_over(last)


def test_a_handshake_that_is_never_completed_holds_up_nobody(tmp_path: Path) -> None:
    """Nor does one that stays silent amid it."""
    with serving(Patient, tmp_path) as served, ExitStack() as opened:
        for number in range(CLIENTS):
            hello = b"" if number % 2 else b"\x16\x03\x01\x02\x00\x01"
            opened.enter_context(closing(connect(served, hello)))
        trusting = ssl.create_default_context(cafile=tmp_path / "tls.crt")
        with trusting.wrap_socket(connect(served), server_hostname="localhost") as good:
            good.sendall(GOOD)
            assert good.recv(12) == b"HTTP/1.1 200"
            good.sendall(BIG)  # and what TLS cannot send at once goes on later
            got = 0
            while got < LARGE:
                got += len(good.recv(1 << 20))


class Pausing:
    """An application that has nothing to say for a while."""

    def wsgi(self) -> Callable[..., Iterable[bytes]]:
        """Return itself, as gunicorn asks."""
        return self

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer."""
        if "none" in environ["PATH_INFO"]:
            start_response("202 Accepted", [("Content-Length", "0")])
            return [b""]
        start_response("200 OK", [("Content-Type", "text/plain")])
        return iter([b"once", b"", b"twice", b"", b"end"] if "big" in environ["PATH_INFO"] else [b"good"])


def test_a_response_that_has_nothing_to_say_yet_holds_no_thread() -> None:
    """It goes on later."""
    with serving(Patient) as served, ExitStack() as opened:
        served.worker.wsgi = Pausing()
        slow = [opened.enter_context(closing(connect(served, BIG))) for _ in range(CLIENTS)]
        assert ask(served)
        for client in slow:
            said = b""
            while not said.endswith(b"0\r\n\r\n"):
                said += client.recv(4096)
            assert b"once" in said
            assert b"twice" in said
            assert b"end" in said


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_response_without_content_is_not_one_that_has_nothing_to_say_yet(
    monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """It is over at once."""
    monkeypatch.setattr("ums.wsgi._PAUSE_SECONDS", 3600)
    with serving(Patient) as served:
        served.worker.wsgi = Pausing()
        asked = GOOD.replace(b"GET /api/", f"{method} /none/".encode())
        with closing(connect(served, asked + GOOD)) as client:
            said = b""
            while b"good" not in said:
                said += client.recv(4096)
        assert said.startswith(b"HTTP/1.1 202")


BUSY = 300


class Working:
    """An application that takes a while to answer ``/api/``, and tells how much it answered."""

    def __init__(self) -> None:
        self.answered = 0

    def wsgi(self) -> Callable[..., Iterable[bytes]]:
        """Return itself, as gunicorn asks."""
        return self

    def __call__(self, _: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer."""
        until = time.thread_time() + 0.005
        while time.thread_time() < until:
            pass
        self.answered += 1
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]


def answered_before(served: Served) -> int:
    """Return how many requests of a busy address were answered before the one of another address."""
    served.worker.wsgi = working = Working()
    with ExitStack() as opened:
        for _ in range(BUSY):
            opened.enter_context(closing(connect(served, GOOD * 10)))
        eventually(lambda: working.answered, timeout=30, what="the first are answered")
        other = opened.enter_context(closing(socket.socket()))
        other.bind(("127.0.0.2", 0))
        other.settimeout(60)
        other.connect(served.address)
        before = working.answered
        other.sendall(GOOD)
        assert other.recv(12) == b"HTTP/1.1 200"
        return working.answered - before


def test_an_address_that_asks_a_lot_is_not_answered_before_others() -> None:
    """Neither the threads that read nor those that answer are for whoever comes first."""
    with serving(Patient) as served:
        assert answered_before(served) < BUSY / 2


def test_without_turns_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all count as one, all requests that came before are answered before."""
    monkeypatch.setattr(wsgi, "client_key", lambda _: "")
    with serving(Patient) as served:
        assert answered_before(served) > 0.8 * BUSY
