"""How the registry adapter finds credentials, and what it does not do over TLS."""

from __future__ import annotations

import base64
import ipaddress
import json
import ssl
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.contract.registries import HostileRegistry, reply, serve
from ums.adapters.oras_registry import OrasRegistry
from ums.domain.artifact import Blob
from ums.domain.errors import (
    ForbiddenError,
    InvalidInputError,
    StorageError,
    UmsError,
    UnauthenticatedError,
    UnavailableError,
)
from ums.domain.oci import Descriptor, Repository
from ums.edge.registry import Challenge, EmbeddedRegistry
from ums.edge.registry_messages import Access

BLOB = Blob.of(b"content", "text/plain")
WORD = "open-sesame"


def basic(username: str, password: str) -> str:
    """Return credentials as Docker writes them."""
    return base64.b64encode(f"{username}:{password}".encode()).decode()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a home without any configuration."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    return home


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Repository]:
    """Give a repository of a real registry, where the robot may write and the guest may read."""

    def authorize(authorization: str | None, access: Access, _name: str) -> Challenge | None:
        if authorization == f"Basic {basic('robot', WORD)}":
            return None
        if authorization == f"Basic {basic('guest', WORD)}":
            return None if access is Access.READ else Challenge.FORBIDDEN
        return Challenge.UNAUTHENTICATED

    registry = EmbeddedRegistry(
        tmp_path / "registry", authorize=authorize, has_fixed_tags=lambda _name: False, released=frozenset
    )
    with serve(registry) as address:
        yield Repository(address, "org/app")


def write_config(path: Path, data: object) -> Path:
    """Write a Docker configuration."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path


def credentials_for(repository: Repository, username: str) -> dict[str, object]:
    """Return a Docker configuration that knows one registry."""
    return {"auths": {repository.registry: {"auth": basic(username, WORD)}}}


def push(registry: OrasRegistry, repository: Repository) -> None:
    """Push a blob and close."""
    with closing(registry):
        registry.push_blob(repository, BLOB)


def test_user_and_password(home: Path, locked: Repository) -> None:
    """What is given counts, whatever Docker's configuration says."""
    write_config(home / ".docker" / "config.json", credentials_for(locked, "guest"))
    push(OrasRegistry(username="robot", password=WORD, plain_http=True), locked)


def test_docker_configuration_of_the_user(home: Path, locked: Repository) -> None:
    """Without a user name, Docker's configuration is asked."""
    write_config(home / ".docker" / "config.json", credentials_for(locked, "robot"))
    push(OrasRegistry(plain_http=True), locked)


def test_named_docker_configuration_is_the_only_one(home: Path, locked: Repository, tmp_path: Path) -> None:
    """A configuration that is named replaces the user's own."""
    write_config(home / ".docker" / "config.json", credentials_for(locked, "robot"))
    named = write_config(tmp_path / "named.json", credentials_for(locked, "guest"))
    with pytest.raises(ForbiddenError, match="DENIED"):
        push(OrasRegistry(docker_config=named, plain_http=True), locked)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("username", "error"), [(None, UnauthenticatedError), ("nobody", UnauthenticatedError), ("guest", ForbiddenError)]
)
def test_refusals(locked: Repository, username: str | None, error: type[UmsError]) -> None:
    """No or wrong credentials, and credentials that do not suffice, are different errors."""
    with pytest.raises(error):
        push(OrasRegistry(username=username, password=WORD, plain_http=True), locked)


@pytest.mark.usefixtures("home")
def test_netrc_is_not_read(locked: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials come from where we say, not from a file that the HTTP library looks for."""
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login guest password {WORD}\n")
    monkeypatch.setenv("NETRC", str(netrc))
    push(OrasRegistry(username="robot", password=WORD, plain_http=True), locked)
    with pytest.raises(UnauthenticatedError):
        push(OrasRegistry(plain_http=True), locked)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("content", ["not json", "[]", '{"auths": {"127.0.0.1": "x"}}', None])
def test_broken_docker_configuration(locked: Repository, tmp_path: Path, content: str | None) -> None:
    """A configuration that cannot be read is the user's to mend, and is named."""
    path = tmp_path / "config.json"
    if content is not None:
        path.write_text(content.replace("127.0.0.1", locked.registry))
    with pytest.raises(InvalidInputError) as caught:
        push(OrasRegistry(docker_config=path, plain_http=True), locked)
    assert str(path) in caught.value.hint


@pytest.mark.usefixtures("home")
def test_a_file_that_is_gone(locked: Repository, tmp_path: Path) -> None:
    """A blob whose file cannot be read is this machine's fault."""
    registry = OrasRegistry(username="robot", password=WORD, plain_http=True)
    with closing(registry), pytest.raises(StorageError, match="gone"):
        registry.push_blob(locked, Blob(BLOB.descriptor, tmp_path / "gone"))


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Give a file with a certificate for the loopback, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path / "certificate.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


@pytest.fixture
def secure(certificate: Path) -> Iterator[HostileRegistry]:
    """Give a registry that speaks TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with HostileRegistry().running(context) as started:
        yield started


@pytest.fixture
def plain() -> Iterator[HostileRegistry]:
    """Give a host that does not."""
    with HostileRegistry().running() as started:
        yield started


@pytest.fixture
def over_tls(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OrasRegistry]:
    """Give the adapter, trusting the certificate."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with closing(OrasRegistry(username="robot", password=WORD)) as registry:
        yield registry


def test_tls(over_tls: OrasRegistry, secure: HostileRegistry) -> None:
    """A registry with a certificate that the environment trusts is spoken to."""
    secure.answer = lambda handler, _: reply(handler, 200)
    assert over_tls.has_blob(secure.repository, BLOB.descriptor.digest)


@pytest.mark.usefixtures("home")
def test_unknown_certificate(secure: HostileRegistry) -> None:
    """A certificate that nobody vouches for ends it, without trying again."""
    with closing(OrasRegistry()) as registry, pytest.raises(UnavailableError, match="no TLS that we trust"):
        registry.has_blob(secure.repository, BLOB.descriptor.digest)
    assert secure.asked == []


def test_no_download_in_clear(over_tls: OrasRegistry, secure: HostileRegistry, plain: HostileRegistry) -> None:
    """A redirect from HTTPS to HTTP is not followed."""
    secure.answer = lambda handler, _: reply(handler, 307, Location=f"http://{plain.address}/blob")
    with pytest.raises(UnavailableError, match="not to https"):
        over_tls.open_blob(secure.repository, Descriptor("text/plain", BLOB.descriptor.digest, 7))
    assert plain.asked == []


def test_no_upload_in_clear(over_tls: OrasRegistry, secure: HostileRegistry, plain: HostileRegistry) -> None:
    """An upload that should go on by HTTP is not."""
    secure.answer = lambda handler, _: (
        reply(handler, 404)
        if handler.command == "HEAD"
        else reply(handler, 202, Location=f"http://{plain.address}/upload")
    )
    with pytest.raises(UnavailableError, match="not https"):
        over_tls.push_blob(secure.repository, BLOB)
    assert plain.asked == []


def test_no_login_in_clear(over_tls: OrasRegistry, secure: HostileRegistry, plain: HostileRegistry) -> None:
    """A token service without TLS never sees the password."""
    secure.answer = lambda handler, _: reply(
        handler, 401, WWW_Authenticate=f'Bearer realm="http://{plain.address}/token"'
    )
    with pytest.raises(UnauthenticatedError, match="not https"):
        over_tls.has_blob(secure.repository, BLOB.descriptor.digest)
    assert plain.asked == []
