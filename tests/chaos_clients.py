"""Clients of a service that is killed at random: one thing after another, each tried again until it succeeds."""

from __future__ import annotations

import base64
import contextlib
import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from tests.running_service import RunningService

PATIENCE_SECONDS = 300.0
"""Until somebody gives up: on a busy machine a service that is killed each second gets little done in between."""


class UnluckyError(Exception):
    """Something went wrong as it may when a server is killed: try again."""


@dataclass
class Book:
    """What was acknowledged, and what went wrong.

    Attributes:
        there: what was pushed and not deleted since, by repository and reference.
        serials: the newest state that each data plane was offered, or has seen.

    """

    there: dict[tuple[str, str], bytes] = field(default_factory=dict)
    serials: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)
    done: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def see(self, serials: Mapping[str, int]) -> None:
        """Keep the newest states of data planes."""
        with self.lock:
            self.serials |= Counter(serials)


class Client(threading.Thread):
    """Somebody who does one thing after another, each until it succeeds."""

    KIND = ""

    def __init__(self, name: str, service: RunningService, stop: threading.Event, book: Book, seed: int) -> None:
        super().__init__(name=name, daemon=True)
        self.service, self._stopping, self._book = service, stop, book
        self._random = random.Random(seed)  # noqa: S311 - a test
        self._count = 0
        login = base64.b64encode(f"token:{service.token}".encode()).decode()
        self._headers = {"Authorization": f"Basic {login}"}

    def run(self) -> None:
        """Go on until told to stop; what is begun is ended."""
        while not self._stopping.is_set():
            self._count += 1
            deadline = time.monotonic() + PATIENCE_SECONDS
            verb = self._choose()
            while True:
                try:
                    if verb is not None:
                        verb()
                        self._book.done[verb.__name__] += 1
                    break
                except (UnluckyError, OSError, http.client.HTTPException) as error:
                    self._book.done[f"{self.KIND} tried again"] += 1
                    if time.monotonic() > deadline:
                        self._book.wrong.append(f"{self.name} {self._count}: gave up: {error!r}")
                        break
                    time.sleep(0.2)
                except Exception as error:  # noqa: BLE001 - told at the end
                    self._book.wrong.append(f"{self.name} {self._count}: {error!r}")
                    break

    def _choose(self) -> Callable[[], None] | None:
        raise NotImplementedError

    def _ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, str, bytes]:
        """Return status, Location and body of an answer; a server's error is bad luck."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.service.port, timeout=20)) as connection:
            connection.request(method, path, body=body or None, headers={**self._headers, **(headers or {})})
            answer = connection.getresponse()
            content = answer.read()
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise UnluckyError(f"{method} {path}: {answer.status} {content[:200]!r}")
        return answer.status, answer.headers.get("Location", ""), content
