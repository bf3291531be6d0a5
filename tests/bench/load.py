"""A client that asks as fast as it is answered, over connections that are kept: one thread, so that it costs little."""

from __future__ import annotations

import selectors
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice


@dataclass(frozen=True, slots=True)
class Load:
    """What was measured: answers per second, latencies in seconds, and how many answers had which status."""

    per_second: float
    latencies: Sequence[float]
    statuses: Counter[int]

    def percentile(self, share: float) -> float:
        """Return the latency that this share of the requests did not exceed."""
        return self.latencies[min(int(len(self.latencies) * share), len(self.latencies) - 1)]


def post(path: str, body: bytes, *headers: str) -> bytes:
    """Return the bytes of a POST."""
    lines = [f"POST {path} HTTP/1.1", "Host: bench", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def get(path: str, token: str) -> bytes:
    """Return the bytes of a GET."""
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


def drive(ports: Sequence[int], requests: Iterator[bytes], *, connections: int, count: int) -> Load:
    """Send ``count`` requests, one at a time on each connection to one of the ports; return once all are answered."""
    latencies: list[float] = []
    statuses: Counter[int] = Counter()
    left = count
    selector = selectors.DefaultSelector()
    started: dict[socket.socket, float] = {}
    answers: dict[socket.socket, bytes] = {}

    def ask(sock: socket.socket) -> None:
        nonlocal left
        left -= 1
        answers[sock], started[sock] = b"", time.perf_counter()
        sock.sendall(next(requests))

    begun = time.perf_counter()
    for port in islice(cycle(ports), connections):
        made = socket.create_connection(("127.0.0.1", port), timeout=60)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(made, selectors.EVENT_READ, made)
        ask(made)
    while len(latencies) < count:
        for key, _ in selector.select(60):
            sock: socket.socket = key.data
            received = sock.recv(1 << 20)
            assert received, f"the service hung up after {answers[sock][:200]!r}"
            answers[sock] += received
            status = _status(answers[sock])
            if status is None:
                continue
            latencies.append(time.perf_counter() - started[sock])
            statuses[status] += 1
            if left > 0:
                ask(sock)
    taken = time.perf_counter() - begun
    selector.close()
    for each in started:
        each.close()
    return Load(count / taken, sorted(latencies), statuses)


def _status(answer: bytes) -> int | None:
    """Return the status of an answer that is whole."""
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return None
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    length = fields.get(b"content-length")
    is_whole = body.endswith(b"0\r\n\r\n") if length is None else len(body) >= int(length)
    return int(head.split()[1]) if is_whole else None
