"""Posting to receivers, on a real server."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ums.adapters import webhook_sender
from ums.adapters.webhook_sender import WebhookSender
from ums.domain.errors import ForbiddenError, InvalidInputError, UnavailableError


@dataclass
class Receiver:
    """What a receiver got, and where it is."""

    port: int = 0
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


@contextmanager
def receiving(context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Run a receiver: the path says how it answers."""
    state = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.got.append((self.path, dict(self.headers), body))
            self.send_response(int(self.path.strip("/")))
            self.send_header("Location", f"http://127.0.0.1:{state.port}/200")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    state.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Return a receiver without TLS."""
    with receiving() as running:
        yield running


def certified(folder: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    """Return what a server of a name shows, and the file that makes one trust it."""
    key, now = generate_private_key(SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    chain, secret = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(certificate.public_bytes(Encoding.PEM))
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, secret)
    return context, chain


@pytest.mark.parametrize(("name", "taken"), [("localhost", True), ("example.com", False)])
def test_a_receiver_shows_a_certificate_for_its_name(tmp_path: Path, name: str, *, taken: bool) -> None:
    """Although the connection goes to an address; and one that nobody vouches for is not spoken to."""
    context, chain = certified(tmp_path, name)
    with receiving(context) as running:
        url = f"https://localhost:{running.port}/200"
        with pytest.raises(UnavailableError):
            WebhookSender().send(url, b"{}", {}, private=True)
        if taken:
            assert WebhookSender(chain).send(url, b"{}", {}, private=True) == 200
        else:
            with pytest.raises(UnavailableError):
                WebhookSender(chain).send(url, b"{}", {}, private=True)
        assert len(running.got) == taken


def test_what_is_posted_arrives_with_its_headers(receiver: Receiver) -> None:
    """By name, with the name as the host, at the address that was checked."""
    headers = {"webhook-id": "1", "Content-Type": "application/json"}
    sent = WebhookSender().send(f"http://localhost:{receiver.port}/204", b"{}", headers, private=True)
    ((path, arrived, body),) = receiver.got
    assert (sent, path, body) == (204, "/204", b"{}")
    assert (arrived["webhook-id"], arrived["Host"]) == ("1", f"localhost:{receiver.port}")


def test_a_receiver_that_drips_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then keeps to every limit but this one."""
    monkeypatch.setattr(webhook_sender, "_WHOLE_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        gone = threading.Event()

        def drip() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while not gone.wait(0.02):
                    connection.sendall(b"x")
            gone.set()

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        started = time.monotonic()
        with pytest.raises(UnavailableError, match="localhost does not answer"):
            WebhookSender().send(f"http://localhost:{server.getsockname()[1]}/", b"{}", {}, private=True)
        assert time.monotonic() - started < 5
        assert gone.wait(5), "and it notices"
        thread.join()


@pytest.mark.parametrize("status", [301, 307, 400, 410, 500])
def test_a_receiver_that_does_not_take_it_is_told_again_later(receiver: Receiver, status: int) -> None:
    """A redirect is followed to nowhere: it could lead inside."""
    with pytest.raises(UnavailableError, match=f"answered {status}"):
        WebhookSender().send(f"http://127.0.0.1:{receiver.port}/{status}", b"{}", {}, private=True)
    assert len(receiver.got) == 1


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "10.0.0.1"]
)
def test_a_receiver_inside_is_not_spoken_to_unless_it_may(receiver: Receiver, host: str) -> None:
    """Whoever adds a webhook could ask the service to speak for them otherwise."""
    with pytest.raises(ForbiddenError, match="is not a public address"):
        WebhookSender().send(f"http://{host}:{receiver.port}/200", b"{}", {}, private=False)
    assert not receiver.got


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:99999/", "http://2130706433/", "http://user@127.0.0.1/", "http://a b/"]
)
def test_a_url_that_no_webhook_may_have_is_not_posted_to(url: str) -> None:
    """Also where it is in the database already."""
    with pytest.raises(InvalidInputError):
        WebhookSender().send(url, b"{}", {}, private=True)


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that leads inside the second time gains nothing: it is not looked up a second time."""
    asked: list[str] = []

    def resolve(host: str, port: int, *_: object, **__: object) -> list[object]:
        asked.append(host)
        if host == "rebinding.example.com":
            address = "127.0.0.1" if len(asked) == 1 else "127.0.0.2"
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]
        return real(host, port, *_, **__)  # type: ignore[arg-type,return-value]

    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    url = f"http://rebinding.example.com:{receiver.port}/200"
    assert WebhookSender().send(url, b"{}", {}, private=True) == 200
    assert asked.count("rebinding.example.com") == 1


def test_a_receiver_that_is_not_there_is_unavailable(receiver: Receiver) -> None:
    """Neither the name, nor the port, nor TLS where there is none."""
    for url in ("http://nobody.invalid/", "http://127.0.0.1:1/", f"https://127.0.0.1:{receiver.port}/200"):
        with pytest.raises(UnavailableError):
            WebhookSender().send(url, b"{}", {}, private=True)
