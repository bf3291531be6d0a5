"""The client of the service: what it sends, and what it makes of every kind of answer."""

from __future__ import annotations

import contextlib
import gzip
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.processes import free_port
from ums.client import Client, connection, items_of
from ums.domain.digest import Digest
from ums.domain.errors import ConflictError, Reason, RefusedError, UmsError, UnavailableError
from ums.domain.release import ReleaseName
from ums.outcomes import OUTCOMES


@dataclass
class Answer:
    """What the service says next; ``length`` is what it claims to send."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    cut_off: bool = False


class Service(ThreadingHTTPServer):
    """A service that says what it is told to, and remembers what it was asked.

    Attributes:
        answers: used up one by one; the last one stays.

    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = [Answer()]
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        """Return where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def say(self, *answers: Answer) -> None:
        """Set the next answers."""
        self.answers = list(answers)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Service

    def do_GET(self) -> None:
        """Answer a request as told."""
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.server.asked.append((self.command, self.path, dict(self.headers), body))
        answer = self.server.answers.pop(0) if len(self.server.answers) > 1 else self.server.answers[0]
        if answer.cut_off:
            self.close_connection = True
            return
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(answer.body) if answer.length is None else answer.length))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # a client that had enough hangs up
            self.wfile.write(answer.body)
        self.close_connection = answer.length is not None

    do_POST = do_GET  # noqa: N815 - the name that http.server looks for

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in the base class
        """Say nothing."""


@pytest.fixture
def service() -> Iterator[Service]:
    """Give a service that is up."""
    with Service() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def client(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """Give a client of it."""
    monkeypatch.setattr(connection, "_DELAYS", (0.0, 0.0))
    made = Client(service.url + "/", "ums_secret")
    yield made
    made._session.close()


def problem(code: str, **fields: object) -> bytes:
    """Return a problem document."""
    return json.dumps({"type": f"urn:ums:error:{code}", "title": "no", "hint": "wait", **fields}).encode()


def test_what_is_asked_goes_to_the_api_with_the_token(service: Service, client: Client) -> None:
    """Nothing that was not given is sent."""
    service.say(Answer(body=b'{"items": [1]}'))
    assert client.get("/releases", {"bundle": "platform", "channel": None}) == {"items": [1]}
    client.post("/pdps", {"pdp": "acme/prod", "until": None, "dryRun": False})
    (method, path, headers, _), (_, posted_to, _, body) = service.asked
    assert (method, path, posted_to) == ("GET", "/api/v1/releases?bundle=platform", "/api/v1/pdps")
    assert headers["Authorization"] == "Bearer ums_secret"
    assert json.loads(body) == {"pdp": "acme/prod", "dryRun": False}


def test_a_release_is_told_by_name_and_digest(service: Service, client: Client) -> None:
    """As the port ``Registrar`` wants it."""
    digest = Digest.of(b"x")
    client.register(ReleaseName.parse("platform@1.0.0"), digest)
    _, path, _, body = service.asked[0]
    assert (path, json.loads(body)) == ("/api/v1/releases", {"release": "platform@1.0.0", "digest": str(digest)})


@pytest.mark.parametrize("kind", OUTCOMES)
def test_each_error_of_the_service_comes_out_as_it_went_in(
    service: Service, client: Client, kind: type[UmsError]
) -> None:
    """The class by its name on the wire, message and hint as they were."""
    service.say(Answer(OUTCOMES[kind].status, problem(OUTCOMES[kind].code)))
    with pytest.raises(kind) as caught:
        client.get("/status")
    assert (type(caught.value), caught.value.message, caught.value.hint) == (kind, "no", "wait")


def test_a_refusal_brings_every_reason(service: Service, client: Client) -> None:
    """With its end, and whom to ask."""
    reasons = (Reason("held", "because", "2026-12-01T00:00:00Z", "ops"), Reason("yanked", "bad"))
    service.say(Answer(409, problem("refused", blockedBy=[each.to_dict() for each in reasons])))
    with pytest.raises(RefusedError) as caught:
        client.post("/channels/stable/promotions", {})
    assert caught.value.reasons == reasons


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(200, b"<html>"), UnavailableError),
        (Answer(200, b""), UnavailableError),
        (Answer(200, b'"\xff"'), UnavailableError),
        (Answer(200, b"[" * 100_000), UnavailableError),
        (Answer(502, b"<html>bad gateway</html>"), UnavailableError),
        (Answer(503, problem("something-new")), UnavailableError),
        (Answer(418, problem("something-new")), UmsError),
        (Answer(400, b"[]"), UmsError),
        (Answer(500, b"null"), UnavailableError),
        (Answer(409, problem("refused", blockedBy=[{}])), RefusedError),
        (Answer(409, problem("refused", blockedBy=None)), RefusedError),
        (Answer(409, problem("refused", blockedBy=7)), RefusedError),
        (Answer(200, b"{}", {"Content-Encoding": "gzip"}), UnavailableError),
        (Answer(200, b'{"a"', length=100), UnavailableError),
        (Answer(cut_off=True), UnavailableError),
        (Answer(302, b"{}", {"Location": "http://127.0.0.1:1/"}), UnavailableError),
    ],
    ids=lambda each: str(each)[:60] if isinstance(each, Answer) else each.__name__,
)
def test_whatever_comes_back_is_an_answer_or_an_error_of_ours(
    service: Service, client: Client, answer: Answer, kind: type[UmsError]
) -> None:
    """A proxy's page, half an answer, a redirect, a newer service: never a stack trace, never a success."""
    service.say(answer)
    with pytest.raises(UmsError) as caught:
        client.get("/status")
    assert type(caught.value) is kind


def test_a_redirect_is_not_followed(service: Service, client: Client) -> None:
    """The token would go wherever it points."""
    service.say(Answer(302, b"{}", {"Location": f"{service.url}/elsewhere"}), Answer())
    with pytest.raises(UnavailableError, match="302"):
        client.get("/status")
    assert [path for _, path, _, _ in service.asked] == ["/api/v1/status"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_an_answer_without_end_is_cut_off(
    service: Service, client: Client, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    """Counted after it was unpacked."""
    monkeypatch.setattr(connection, "_MAX_ANSWER", 1000)
    encoding = {} if pack is bytes else {"Content-Encoding": "gzip"}
    service.say(Answer(200, pack(b'"' + b"x" * 1_000_000 + b'"'), encoding))
    with pytest.raises(UnavailableError, match="more than 1000 bytes"):
        client.get("/plan")


def test_reading_is_tried_again_when_the_connection_breaks(service: Service, client: Client) -> None:
    """A service that was just restarted is asked again."""
    service.say(Answer(cut_off=True), Answer(body=b'{"ok": true}'))
    assert client.get("/status") == {"ok": True}


def test_a_change_whose_answer_was_lost_is_sent_again_as_the_same(service: Service, client: Client) -> None:
    """It may have been made: by its key the service knows it again. Another change has another key."""
    service.say(Answer(cut_off=True), Answer(409, problem("in-progress")), Answer(body=b'{"ok": true}'))
    assert client.post("/channels/stable/rollbacks", {}) == {"ok": True}
    client.post("/channels/stable/rollbacks", {})
    keys = [headers["Idempotency-Key"] for _, _, headers, _ in service.asked]
    assert [keys.index(key) for key in keys] == [0, 0, 0, 3]


def test_what_was_answered_is_not_asked_again(service: Service, client: Client) -> None:
    """A no stays a no."""
    service.say(Answer(503, problem("unavailable")), Answer())
    with pytest.raises(UnavailableError):
        client.post("/channels/stable/rollbacks", {})
    assert len(service.asked) == 1


def test_names_stay_names_in_paths() -> None:
    """Whatever is in them."""
    assert connection.path("/a/{x}/b/{y}", "../up", "1.0.0+k3s?") == "/a/..%2Fup/b/1.0.0%2Bk3s%3F"


def test_a_list_is_read_page_by_page(service: Service, client: Client) -> None:
    """To its end, with what was asked for."""
    service.say(Answer(body=b'{"items": [1, 2], "next": "n"}'), Answer(body=b'{"items": [3], "next": null}'))
    assert list(items_of(client.get_planes, channel="stable", org=None)) == [1, 2, 3]
    paths = [path for _, path, _, _ in service.asked]
    assert paths == [f"/api/v1/pdps?channel=stable&limit=500{cursor}" for cursor in ("", "&cursor=n")]


@pytest.mark.parametrize("ask", [lambda it: it.get("/status"), lambda it: it.post("/pdps", {})], ids=["get", "post"])
def test_nobody_there_is_unavailable(ask: Callable[[Client], Any]) -> None:
    """With what to look at, and without the token."""
    client = Client(f"http://127.0.0.1:{free_port()}", "ums_secret")
    with pytest.raises(UnavailableError, match="does not answer") as caught:
        ask(client)
    assert "UMS_SERVER" in caught.value.hint
    assert "ums_secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["nonsense", "http://", "ftp://127.0.0.1", "http://[::1"])
def test_an_address_that_is_none_is_an_error_of_ours(url: str) -> None:
    """Somebody mistyped ``UMS_SERVER``."""
    with pytest.raises(UmsError) as caught:
        Client(url, "t").get("/status")
    assert not isinstance(caught.value, ConflictError)
