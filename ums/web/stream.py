"""The route of the stream: how everything is, and what happens, as it does (server-sent events, WHATWG HTML § 9.2)."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from threading import Lock

from flask import Response, request

from ums.domain.errors import UmsError, UnavailableError
from ums.domain.identity import Identity
from ums.services import Services
from ums.web.openapi import Area, asker, streams
from ums.web.requests import StreamQuery
from ums.web.status import status_view

PLACES, PLACES_EACH = 8, 4
"""Streams at a time, since each reads the fleet every second; and those of one subject, so that nobody takes all."""
EVERY_SECONDS = 1.0
_BEAT_SECONDS = 15.0
"""Proxies close what is silent for longer."""
_RETRY_MILLISECONDS = 2000


def add_stream_route(api: Area, services: Services) -> None:
    """Add the route."""
    places, shared = _Places(), _Shared(services)

    @api.get("/stream", responses=streams())
    def stream(query: StreamQuery) -> Response:
        """Tell how everything is whenever that changes, and what happens, as server-sent events.

        `status` is what `/status` answers, sent first and at each change; `happened` is a CloudEvent of `/events`;
        `problem` is a problem's title, and ends the stream, as time does: whoever goes on reading asks again with the
        `Last-Event-ID`, as browsers do by themselves, and misses nothing. Whoever's token ended is refused then.
        """
        by, after = asker(), request.headers.get("Last-Event-ID", "") or query.after
        # Asked before anything is told: where nobody can go on from there, that is still an error.
        _, after = services.see.events(by, after=after, limit=0)
        places.take(by.subject)
        response = Response(_follow(services, shared, by, after, query.seconds), mimetype="text/event-stream")
        held = [by.subject]
        # Once, however often a response is closed.
        response.call_on_close(lambda: places.give_back(held.pop()) if held else None)
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Accel-Buffering"] = "no"  # nginx would keep it until it is long
        return response


class _Places:
    def __init__(self) -> None:
        self._lock = Lock()
        self._taken: Counter[str] = Counter()

    def take(self, subject: str) -> None:
        """Take a place.

        Raises:
            UnavailableError: there is none left, or none for this subject.

        """
        with self._lock:
            mine, all_of_them = self._taken[subject], self._taken.total()
            if all_of_them >= PLACES or mine >= PLACES_EACH:
                whose = f"{PLACES} streams" if all_of_them >= PLACES else f"{PLACES_EACH} streams of {subject}"
                raise UnavailableError(f"{whose} are open already", hint="ask for /status now and then instead")
            self._taken[subject] += 1

    def give_back(self, subject: str) -> None:
        """Give a place back."""
        with self._lock:
            self._taken[subject] -= 1
            if not self._taken[subject]:
                del self._taken[subject]


def _follow(services: Services, shared: _Shared, by: Identity, after: str, seconds: int) -> Iterator[str]:
    yield f"retry: {_RETRY_MILLISECONDS}\nid: {after}\n\n"
    said = time.monotonic()
    end, status = said + seconds, ""
    while True:
        try:
            told, after = _told(services, by, after)
            now = shared.status(by)
        except UmsError as error:
            yield _block("problem", services.see.hide(error.message, by))
            return
        if now != status:
            told, status = told + now, now
        if not told and time.monotonic() >= said + _BEAT_SECONDS:
            told = ":\n\n"
        if told:
            said = time.monotonic()
            yield told
        if time.monotonic() + EVERY_SECONDS > end:
            return
        due = time.monotonic() + EVERY_SECONDS
        # PEP 3333: nothing to say yet. The server asks again later, and no thread waits; others ask at once.
        yield ""
        time.sleep(max(0.0, due - time.monotonic()))


class _Shared:
    """The status as streams tell it: made once for all that may see the same, since a large fleet's takes a while."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lock = Lock()
        self._head = ""
        self._made: dict[frozenset[str] | None, tuple[float, str]] = {}

    def status(self, by: Identity) -> str:
        """Return it as of now, or of less than a moment ago where nothing was decided since.

        Raises:
            UmsError: the release repo or the database did not answer.

        """
        see = self._services.see
        with self._lock:
            head, now = see.head(), time.monotonic()
            if head != self._head:
                self._made, self._head = {}, head
            self._made = {orgs: made for orgs, made in self._made.items() if now < made[0] + EVERY_SECONDS}
            if by.orgs not in self._made:
                sight = see(by)
                self._made[by.orgs] = now, _block("status", see.hide(status_view(sight), by))
            return self._made[by.orgs][1]


def _told(services: Services, by: Identity, after: str) -> tuple[str, str]:
    if services.see.head() == after:
        return "", after
    found, now = services.see.events(by, after=after)
    source = services.see.settings().url
    told = "".join(_block("happened", services.see.hide(each.to_dict(source), by)) for each in found)
    # By itself, at the end: who breaks off in between is told all of it again.
    return f"{told}id: {now}\n\n", now


def _block(event: str, data: object) -> str:
    return f"event: {event}\ndata: {json.dumps(data)}\n\n"
