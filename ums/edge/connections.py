"""Connections to clients: how long the server waits for their bytes, and how many connections one address has.

No thread that could answer another client waits for a client to read. A thread that waits for a client to send gives
way when too many do.
"""

from __future__ import annotations

import fcntl
import select
import selectors
import socket
import ssl
import struct
import termios
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Generic, Self, TypeVar

_Result = TypeVar("_Result")
_Waiting = TypeVar("_Waiting")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server grants its clients.

    Attributes:
        silence: seconds that a client may send nothing amid a request.
        window: seconds of waiting after which a client's rate is judged.
        rate: bytes a second, averaged over a window, that a client has to send or to take.
        per_address: connections of one address; with proxies in front, requests of one client at a time.
        total: connections of all addresses.
        readers: threads that may wait for what clients send.
        unsent: bytes of responses that may wait for clients to take them.

    """

    silence: float = 5.0
    window: float = 20.0
    rate: float = 1024.0
    per_address: int = 512
    total: int = 2000
    readers: int = 256
    unsent: int = 64 << 20


class Waiting:
    """The threads that wait for clients to send: at most so many; the one that has waited longest gives way."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = Lock()
        self._sockets: dict[int, socket.socket] = {}

    def __call__(self, sock: socket.socket, events: int, seconds: float) -> bool:
        """Wait until the socket is ready or was given up; return whether it is."""
        number = sock.fileno()
        with self._lock:
            if len(self._sockets) >= self._limit:
                # A client that sends steadily never waits for long.
                longest = self._sockets.pop(next(iter(self._sockets)))
                with suppress(OSError):
                    # Not that of an SSL socket, which takes away the cipher before the thread there is through.
                    socket.socket.shutdown(longest, socket.SHUT_RDWR)
            self._sockets[number] = sock
        try:
            poll = select.poll()
            poll.register(number, events)
            return bool(poll.poll(seconds * 1000))
        finally:
            with self._lock:
                self._sockets.pop(number, None)


class FairQueue(Generic[_Waiting]):
    """What waits, by owner: the next is of the owner who has fewest, and among equals of the one served longest ago."""

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()
        """How many each owner has: those that came from here, and those that need not wait."""
        self._waiting: dict[str, deque[_Waiting]] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(self, owner: str, item: _Waiting) -> None:
        """Let something wait."""
        self._waiting.setdefault(owner, deque()).append(item)

    def pop(self) -> _Waiting:
        """Return the next, which its owner has then."""
        owner = min(self._waiting, key=lambda each: self.taken[each])
        items = self._waiting.pop(owner)
        item = items.popleft()
        if items:
            self._waiting[owner] = items  # behind others that have as few
        self.taken[owner] += 1
        return item

    def done(self, owner: str) -> None:
        """Take down that an owner has one fewer."""
        self.taken[owner] -= 1
        if not self.taken[owner]:
            del self.taken[owner]


class Turns:
    """A number of places, which owners share: who has fewest gets the next one, however many others ask."""

    def __init__(self, limit: int) -> None:
        self._lock = Lock()
        self._free = limit
        self._asking: FairQueue[Lock] = FairQueue()

    def take(self, owner: str) -> None:
        """Wait for a place."""
        with self._lock:
            if self._free:
                self._free -= 1
                self._asking.taken[owner] += 1
                return
            turn = Lock()
            turn.acquire()
            self._asking.put(owner, turn)
        turn.acquire()

    def give_back(self, owner: str) -> None:
        """Let another have a place."""
        with self._lock:
            self._asking.done(owner)
            if not self._asking:
                self._free += 1
                return
            turn = self._asking.pop()
        turn.release()


class Place:
    """The place that a thread has while it answers an owner's request; a context manager."""

    def __init__(self, turns: Turns, owner: str) -> None:
        self._turns = turns
        self._owner = owner

    def take(self) -> None:
        """Wait for it."""
        self._turns.take(self._owner)

    def give_back(self) -> None:
        """Let another have it."""
        self._turns.give_back(self._owner)

    def __enter__(self) -> Self:
        self.take()
        return self

    def __exit__(self, *_: object) -> None:
        self.give_back()


class Owners:
    """How many connections or requests each address has; an empty address is not counted."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = Lock()
        self._counts: Counter[str] = Counter()

    def enter(self, owner: str) -> None:
        """Count one more."""
        with self._lock:
            self._counts[owner] += bool(owner)

    def leave(self, owner: str) -> None:
        """Count one less."""
        with self._lock:
            self._counts[owner] -= bool(owner)
            if not self._counts[owner]:
                del self._counts[owner]

    def is_full(self, owner: str) -> bool:
        """Return whether an address has all that it may have."""
        return self._counts[owner] >= self._limit

    def greatest(self) -> str:
        """Return the address that has most; empty if there is none."""
        with self._lock:
            return max(self._counts, key=lambda owner: self._counts[owner], default="")


class Client:
    """A client's socket, which never blocks: what is sent is kept until it can be, what is read is waited for.

    Attributes:
        raw: the socket itself, plain or TLS.
        held: the place of the thread that answers this client; others use it while this client is waited for.
        wants: what the socket waits for before it can send more: ``selectors.EVENT_WRITE``, or over TLS ``EVENT_READ``.

    """

    def __init__(self, sock: socket.socket, limits: Limits, waiting: Waiting) -> None:
        sock.settimeout(0)
        self.raw = sock
        self.held: Place | None = None
        self.wants = selectors.EVENT_WRITE
        self._limits = limits
        self._waiting = waiting
        self._waited = 0.0
        self._received = 0
        self._unsent = memoryview(b"")
        self._parts: list[bytes] = []
        self._sent = 0
        self._watched: tuple[float, int] | None = None

    def begin(self) -> None:
        """Begin a request: the time that the client has for it starts now."""
        self._waited, self._received = 0.0, 0

    def handshake(self) -> None:
        """Agree on TLS.

        Raises:
            TimeoutError: the client was too slow.
            OSError: the client did something else.

        """
        self._patiently(self.raw.do_handshake)  # type: ignore[attr-defined] # an SSL socket

    def recv(self, size: int) -> bytes:
        """Return what the client sends; empty at the end.

        Raises:
            TimeoutError: the client was silent for too long, or too slow.
            OSError: the connection broke.

        """
        data = self._patiently(lambda: self.raw.recv(size))
        self._received += len(data)
        return data

    def _patiently(self, call: Callable[[], _Result]) -> _Result:
        while True:
            try:
                return call()
            except (BlockingIOError, ssl.SSLWantReadError):
                events = select.POLLIN
            except ssl.SSLWantWriteError:
                events = select.POLLOUT
            self._wait(events)

    def _wait(self, events: int) -> None:
        limits, started, held = self._limits, time.monotonic(), self.held
        patience = min(limits.silence, limits.window - self._waited)
        if held is not None:
            held.give_back()
        try:
            is_ready = self._waiting(self.raw, events, patience)
        finally:
            if held is not None:
                held.take()
        # Only what was spent waiting counts: whatever else the thread did was not up to the client.
        self._waited += time.monotonic() - started
        if not is_ready and patience == limits.silence:
            raise TimeoutError("the client fell silent")
        if self._waited >= limits.window:
            if self._received < limits.rate * limits.window:
                raise TimeoutError("the client sends too slowly")
            self.begin()

    def sendall(self, data: bytes) -> None:
        """Keep bytes until ``flush``: the head of a response travels with the first of its body."""
        self._parts.append(data)

    def flush(self) -> bool:
        """Send what the socket takes at once; return whether that was all.

        Raises:
            OSError: the connection broke.

        """
        if self._parts:
            is_one = len(self._parts) == 1 and not self._unsent
            self._unsent = memoryview(self._parts[0] if is_one else b"".join([self._unsent, *self._parts]))
            self._parts = []
        try:
            while self._unsent:
                sent = self.raw.send(self._unsent)
                self._sent += sent
                self._unsent = self._unsent[sent:]
        except (BlockingIOError, ssl.SSLWantWriteError):
            self.wants = selectors.EVENT_WRITE
            return False
        except ssl.SSLWantReadError:
            self.wants = selectors.EVENT_READ
            return False
        self._watched = None
        return True

    @property
    def unsent(self) -> int:
        """Return how many bytes are kept because the client has not taken them."""
        return memoryview(self._unsent.obj).nbytes if self._unsent else 0

    def takes_enough(self, now: float) -> bool:
        """Return whether the client takes what it asked for, at the least rate; ``now`` is monotonic, in seconds."""
        since, before = self._watched or (now, self._taken())
        if self._watched is not None and now - since < self._limits.window:
            return True
        is_new, taken = self._watched is None, self._taken()
        self._watched = (now, taken)
        return is_new or taken - before >= self._limits.rate * self._limits.window

    def _taken(self) -> int:
        """Return how many bytes the client's machine has: the buffer here is large, and empties in steps."""
        (queued,) = struct.unpack("i", fcntl.ioctl(self.raw.fileno(), termios.TIOCOUTQ, bytes(4)))
        return self._sent - int(queued)

    def fileno(self) -> int:
        """Return the number of the socket."""
        return self.raw.fileno()

    def close(self) -> None:
        """Close the socket."""
        self.raw.close()

    def abort(self) -> None:
        """Close the socket, and let the system forget what the client did not take."""
        with suppress(OSError):
            self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.raw.close()

    def gettimeout(self) -> float:
        """Return 0: the socket never blocks."""
        return 0.0

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 - as sockets have it
        """Do nothing: the socket never blocks, whatever is asked for."""

    settimeout = setblocking
