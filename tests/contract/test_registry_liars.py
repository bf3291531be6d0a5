"""What the registry adapter does when the other side lies, stalls or breaks."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.contract.registries import HostileRegistry, client, reply
from ums.adapters.oras_registry import OrasRegistry
from ums.domain.artifact import EMPTY_BLOB, Artifact, Blob
from ums.domain.digest import Digest
from ums.domain.errors import (
    ForbiddenError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    UmsError,
    UnauthenticatedError,
    UnavailableError,
)
from ums.domain.oci import INDEX, MANIFEST, SIGSTORE_BUNDLE, Descriptor

CONTENT = b"what was promised" * 100
BLOB = Descriptor.of(CONTENT, "application/octet-stream")
ARTIFACT = Artifact.assemble(config=EMPTY_BLOB, layers=(), annotations={})
Answer = Callable[[BaseHTTPRequestHandler, int], None]


@pytest.fixture
def hostile() -> Iterator[HostileRegistry]:
    """Give a registry that answers as it is told."""
    with HostileRegistry().running() as started:
        yield started


@pytest.fixture
def other() -> Iterator[HostileRegistry]:
    """Give a second host."""
    with HostileRegistry().running() as started:
        yield started


@pytest.fixture
def registry() -> Iterator[OrasRegistry]:
    """Give the adapter without credentials."""
    with client(read_timeout=timedelta(seconds=5)) as made:
        yield made


@pytest.fixture
def logged_in() -> Iterator[OrasRegistry]:
    """Give the adapter with credentials."""
    with client(read_timeout=timedelta(seconds=5), username="robot") as made:
        yield made


def always(status: int, body: bytes = b"", *, length: int | None = None, **headers: str) -> Answer:
    """Answer everything alike."""
    return lambda handler, _: reply(handler, status, body, length=length, **headers)


def read_blob(registry: OrasRegistry, hostile: HostileRegistry) -> bytes:
    """Read the promised blob."""
    with registry.open_blob(hostile.repository, BLOB) as file:
        return file.read()


@pytest.mark.parametrize(
    "body",
    [b"x" * len(CONTENT), CONTENT[:-1], CONTENT + b"x", b""],
    ids=["other-bytes", "shorter", "longer", "nothing"],
)
def test_wrong_blob(registry: OrasRegistry, hostile: HostileRegistry, body: bytes) -> None:
    """A blob with other bytes or another size is refused at once, without trying again."""
    hostile.answer = always(200, body)
    with pytest.raises(IntegrityError):
        read_blob(registry, hostile)
    assert len(hostile.asked) == 1


def test_endless_blob(registry: OrasRegistry, hostile: HostileRegistry) -> None:
    """Reading stops soon after the promised size, however much the registry would send."""

    def pour(handler: BaseHTTPRequestHandler, _: int) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.close_connection = True
        while not hostile.closing.is_set():
            handler.wfile.write(b"x" * 65536)
            hostile.sent += 65536

    hostile.answer = pour
    with pytest.raises(IntegrityError):
        read_blob(registry, hostile)
    # What socket buffers hold counts as sent.
    assert hostile.sent < 16 * 1024 * 1024
    with pytest.raises(IntegrityError, match="longer than"):
        registry.get_manifest(hostile.repository, "latest")
    assert hostile.sent < 48 * 1024 * 1024


def test_endless_redirect(registry: OrasRegistry, hostile: HostileRegistry) -> None:
    """The body of a redirect is not read."""

    def pour(handler: BaseHTTPRequestHandler, number: int) -> None:
        if number > 1:
            return reply(handler, 200, CONTENT)
        handler.send_response(307)
        handler.send_header("Location", "/elsewhere")
        handler.end_headers()
        handler.close_connection = True
        while not hostile.closing.is_set():
            handler.wfile.write(b"x" * 65536)
            hostile.sent += 65536
        return None

    hostile.answer = pour
    assert read_blob(registry, hostile) == CONTENT
    assert hostile.sent < 16 * 1024 * 1024


def test_broken_download_is_tried_again(registry: OrasRegistry, hostile: HostileRegistry) -> None:
    """A connection that breaks in the middle is a fault, not a lie."""

    def break_once(handler: BaseHTTPRequestHandler, number: int) -> None:
        reply(handler, 200, CONTENT if number > 1 else CONTENT[:100], length=len(CONTENT))
        handler.close_connection = True

    hostile.answer = break_once
    assert read_blob(registry, hostile) == CONTENT
    assert len(hostile.asked) == 2


def test_download_that_always_breaks(registry: OrasRegistry, hostile: HostileRegistry) -> None:
    """Tries are bounded."""

    def cut_off(handler: BaseHTTPRequestHandler, _: int) -> None:
        reply(handler, 200, CONTENT[:100], length=len(CONTENT))
        handler.close_connection = True

    hostile.answer = cut_off
    with pytest.raises(UnavailableError):
        read_blob(registry, hostile)
    assert len(hostile.asked) == 4


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_passing_trouble_is_waited_out(registry: OrasRegistry, hostile: HostileRegistry, status: int) -> None:
    """Answers that mean *later* are tried again."""
    hostile.answer = lambda handler, number: reply(
        handler, 200 if number > 2 else status, CONTENT if number > 2 else b""
    )
    assert read_blob(registry, hostile) == CONTENT


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, InvalidInputError),
        (401, UnauthenticatedError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (405, ForbiddenError),
        (418, InvalidInputError),
        (204, UnavailableError),
    ],
)
def test_refusals_are_not_retried(
    registry: OrasRegistry, hostile: HostileRegistry, status: int, error: type[UmsError]
) -> None:
    """A refusal becomes the error that says so, with the registry's own words in one line."""
    document = {"errors": [{"code": "DENIED", "message": "not\ntoday"}]}
    hostile.answer = always(status, json.dumps(document).encode() if status != 204 else b"")
    with pytest.raises(error) as caught:
        read_blob(registry, hostile)
    assert "DENIED not today" in caught.value.message or status == 204
    assert len(hostile.asked) == 1


@pytest.mark.parametrize("kind", ["seconds", "date", "rubbish", "huge"])
def test_retry_after_is_honoured_up_to_a_limit(hostile: HostileRegistry, kind: str) -> None:
    """The registry says how long to wait; we say how long at most."""
    value = {
        "seconds": "1",
        "date": format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True),
        "rubbish": "soon",
        "huge": "9" * 5000,
    }[kind]
    hostile.answer = lambda handler, number: (
        reply(handler, 429, Retry_After=value) if number == 1 else reply(handler, 200, CONTENT)
    )
    with client(max_wait=timedelta(seconds=0.8)) as registry:
        started = time.monotonic()
        assert read_blob(registry, hostile) == CONTENT
        waited = time.monotonic() - started
    assert waited < 5
    assert waited >= 0.8 or kind in {"rubbish", "huge"}


def test_silence_ends(hostile: HostileRegistry) -> None:
    """A registry that says nothing is given up after the timeout, as often as there are tries."""

    def say_nothing(_handler: BaseHTTPRequestHandler, _: int) -> None:
        hostile.closing.wait(30)

    hostile.answer = say_nothing
    with client(read_timeout=timedelta(seconds=0.2), tries=2) as registry:
        started = time.monotonic()
        with pytest.raises(UnavailableError, match="ReadTimeout"):
            read_blob(registry, hostile)
        assert time.monotonic() - started < 5
    assert len(hostile.asked) == 2


def test_nobody_listens(registry: OrasRegistry) -> None:
    """A closed port is an outage, and says which registry."""
    with HostileRegistry().running() as gone:
        repository = gone.repository
    with pytest.raises(UnavailableError, match=repository.registry):
        registry.find(repository, "latest")


def test_credentials_do_not_follow_a_redirect(
    logged_in: OrasRegistry, hostile: HostileRegistry, other: HostileRegistry
) -> None:
    """A download that is redirected to another host works, and that host never sees our credentials."""

    def redirect(handler: BaseHTTPRequestHandler, _: int) -> None:
        if "Authorization" not in handler.headers:
            reply(handler, 401, WWW_Authenticate='Basic realm="x"')
        else:
            reply(handler, 307, Location=f"http://{other.address}/storage?signature=x")

    hostile.answer = redirect
    other.answer = always(200, CONTENT)
    assert read_blob(logged_in, hostile) == CONTENT
    assert "Authorization" in hostile.asked[-1].headers
    assert [asked.path for asked in other.asked] == ["/storage?signature=x"]
    assert "Authorization" not in other.asked[0].headers


def test_another_host_gets_no_login(logged_in: OrasRegistry, hostile: HostileRegistry, other: HostileRegistry) -> None:
    """The host behind a redirect cannot ask for a login either."""
    hostile.answer = always(307, Location=f"http://{other.address}/storage")
    other.answer = always(401, WWW_Authenticate='Basic realm="x"')
    with pytest.raises(UnauthenticatedError):
        read_blob(logged_in, hostile)
    assert len(other.asked) == 1


@pytest.mark.parametrize("location", ["/v2/", "ftp://127.0.0.1/", "http://[", "file:///etc/passwd"])
def test_redirects_that_lead_nowhere(registry: OrasRegistry, hostile: HostileRegistry, location: str) -> None:
    """A circle of redirects ends, and only HTTP is followed."""
    hostile.answer = always(302, Location=location)
    with pytest.raises(UnavailableError):
        read_blob(registry, hostile)
    assert len(hostile.asked) <= 5


def test_uploads_go_where_the_registry_says_without_credentials_for_others(
    logged_in: OrasRegistry, hostile: HostileRegistry, other: HostileRegistry
) -> None:
    """An upload may continue at another host, which then gets the bytes alone; its query is kept."""

    def take(handler: BaseHTTPRequestHandler, _: int) -> None:
        if handler.command == "HEAD":
            reply(handler, 404)
        elif "Authorization" not in handler.headers:
            reply(handler, 401, WWW_Authenticate='Basic realm="x"')
        else:
            reply(handler, 202, Location=f"http://{other.address}/upload?state=1")

    hostile.answer = take
    other.answer = always(201)
    logged_in.push_blob(hostile.repository, Blob(BLOB, CONTENT))
    (asked,) = other.asked
    assert (asked.method, asked.path) == ("PUT", f"/upload?state=1&digest=sha256%3A{BLOB.digest.hex}")
    assert "Authorization" not in asked.headers


@pytest.mark.parametrize("location", ["https://127.0.0.1:1/upload", "", "ftp://127.0.0.1/upload"])
def test_uploads_elsewhere_are_refused(registry: OrasRegistry, hostile: HostileRegistry, location: str) -> None:
    """An upload that should go on by another scheme, or nowhere, is refused."""
    hostile.answer = lambda handler, _: (
        reply(handler, 404) if handler.command == "HEAD" else reply(handler, 202, Location=location)
    )
    with pytest.raises(UnavailableError):
        registry.push_blob(hostile.repository, Blob(BLOB, CONTENT))
    assert [asked.method for asked in hostile.asked] == ["HEAD", "POST"]


def test_redirected_upload_is_refused(registry: OrasRegistry, hostile: HostileRegistry, other: HostileRegistry) -> None:
    """Content is not sent where a redirect points."""
    hostile.answer = lambda handler, _: (
        reply(handler, 404) if handler.command == "HEAD" else reply(handler, 307, Location=f"http://{other.address}/")
    )
    with pytest.raises(UnavailableError):
        registry.push_blob(hostile.repository, Blob(BLOB, CONTENT))
    assert other.asked == []


def test_failed_upload_starts_again(registry: OrasRegistry, hostile: HostileRegistry, tmp_path: Path) -> None:
    """After a failed PUT the upload begins anew, and progress still adds up to the size."""
    path = tmp_path / "blob"
    path.write_bytes(CONTENT)
    answers = {"HEAD": [404], "POST": [202, 202], "PUT": [502, 201]}
    hostile.answer = lambda handler, _: reply(handler, answers[handler.command].pop(0), Location="/upload")
    reported: list[int] = []
    registry.push_blob(hostile.repository, Blob(BLOB, path), progress=reported.append)
    assert [asked.method for asked in hostile.asked] == ["HEAD", "POST", "PUT", "POST", "PUT"]
    assert sum(reported) == BLOB.size


def token_service(hostile: HostileRegistry, *, realm: str = "") -> Answer:
    """Answer as a registry with a token service, whose tokens are good for one use each."""
    used: set[str] = set()

    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        given = handler.headers.get("Authorization", "")
        if handler.path.startswith("/token"):
            basic = base64.b64encode(b"robot:secret").decode()
            reply(handler, 200 if given == f"Basic {basic}" else 401, json.dumps({"token": f"t{number}"}).encode())
        elif given.startswith("Bearer t") and given not in used:
            used.add(given)
            reply(handler, 200, CONTENT)
        else:
            where = realm or f"http://{hostile.address}/token"
            challenge = f'Bearer realm="{where}",service="test",scope="repository:hostile/repository:pull"'
            reply(handler, 401, WWW_Authenticate=challenge)

    return answer


def test_expired_token_is_renewed(logged_in: OrasRegistry, hostile: HostileRegistry) -> None:
    """A token that is no longer accepted is replaced, once a request; the scope is the one asked for."""
    hostile.answer = token_service(hostile)
    for _ in range(3):
        assert read_blob(logged_in, hostile) == CONTENT
    tokens = [asked.path for asked in hostile.asked if asked.path.startswith("/token")]
    assert len(tokens) == 3
    assert "scope=repository%3Ahostile%2Frepository%3Apull" in tokens[0]


def test_token_that_never_helps(logged_in: OrasRegistry, hostile: HostileRegistry) -> None:
    """A registry that refuses what it just handed out is not asked forever."""
    hostile.answer = lambda handler, _: (
        reply(handler, 200, b'{"token": "t"}')
        if handler.path.startswith("/token")
        else reply(handler, 401, WWW_Authenticate=f'Bearer realm="http://{hostile.address}/token"')
    )
    with pytest.raises(UnauthenticatedError):
        read_blob(logged_in, hostile)
    assert len(hostile.asked) == 3


def test_wrong_password(hostile: HostileRegistry) -> None:
    """Basic credentials that are refused are not sent again and again."""
    hostile.answer = always(401, WWW_Authenticate='Basic realm="x"')
    with client(username="stranger") as registry, pytest.raises(UnauthenticatedError):
        read_blob(registry, hostile)
    assert len(hostile.asked) == 2


def test_password_is_not_sent_before_it_is_asked_for(logged_in: OrasRegistry, hostile: HostileRegistry) -> None:
    """An open registry never learns our credentials."""
    hostile.answer = always(200, CONTENT)
    read_blob(logged_in, hostile)
    assert "Authorization" not in hostile.asked[0].headers


@pytest.mark.parametrize("body", [b"not json", b"[]", b"{" + b" " * 2 * 1024 * 1024, b'{"token": "a\\nb"}'])
def test_token_service_that_talks_nonsense(logged_in: OrasRegistry, hostile: HostileRegistry, body: bytes) -> None:
    """What is no token answer, or an endless one, is an outage."""
    hostile.answer = lambda handler, _: (
        reply(handler, 200, body)
        if handler.path.startswith("/token")
        else reply(handler, 401, WWW_Authenticate=f'Bearer realm="http://{hostile.address}/token"')
    )
    with pytest.raises(UnavailableError):
        read_blob(logged_in, hostile)


def test_token_service_in_trouble_is_waited_out(logged_in: OrasRegistry, hostile: HostileRegistry) -> None:
    """A token service that is down for a moment is not a wrong password."""
    healthy = token_service(hostile)
    hostile.answer = lambda handler, number: reply(handler, 503) if number == 2 else healthy(handler, number)
    assert read_blob(logged_in, hostile) == CONTENT


def served(content: bytes, media_type: str = MANIFEST, digest: Digest | None = None) -> Answer:
    """Answer with a manifest."""
    return always(200, content, Content_Type=media_type, Docker_Content_Digest=str(digest or Digest.of(content)))


@pytest.mark.parametrize(
    "answer",
    [
        served(ARTIFACT.manifest, digest=Digest.of(b"other")),
        served(ARTIFACT.manifest, INDEX),
        served(b"not json"),
        served(b"[" * 100_000),
        served(b"[]"),
        always(200, ARTIFACT.manifest, Content_Type=MANIFEST, Docker_Content_Digest="md5:1"),
    ],
    ids=["digest", "type", "no-json", "deep", "no-object", "no-digest"],
)
def test_lying_tag(registry: OrasRegistry, hostile: HostileRegistry, answer: Answer) -> None:
    """A manifest that contradicts what is said about it is refused, by tag too."""
    hostile.answer = answer
    with pytest.raises(IntegrityError):
        registry.get_manifest(hostile.repository, "latest")


def test_lying_digest(registry: OrasRegistry, hostile: HostileRegistry) -> None:
    """Another manifest than asked for is refused, even when its header repeats what was asked."""
    asked = Digest.of(b"asked for")
    hostile.answer = served(ARTIFACT.manifest, digest=asked)
    with pytest.raises(IntegrityError):
        registry.find(hostile.repository, str(asked))


def index_page(*entries: object) -> bytes:
    """Return an index."""
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()


def referrer(number: int) -> dict[str, object]:
    """Return an entry of an index."""
    descriptor = Descriptor(MANIFEST, Digest.of(str(number).encode()), 1, artifact_type=SIGSTORE_BUNDLE)
    return descriptor.to_dict()


def test_referrers_on_several_pages(registry: OrasRegistry, hostile: HostileRegistry) -> None:
    """Pages are followed to the last."""

    def page(handler: BaseHTTPRequestHandler, number: int) -> None:
        link = f'</v2/hostile/repository/referrers/x?page={number}>; rel="{"next" if number < 3 else "self"}"'
        reply(handler, 200, index_page(referrer(number)), Content_Type=INDEX, Link=link)

    hostile.answer = page
    assert len(registry.referrers(hostile.repository, BLOB.digest, SIGSTORE_BUNDLE)) == 3


@pytest.mark.parametrize(
    "answer",
    [
        always(200, index_page(), Content_Type=INDEX, Link='</v2/again>; rel="next"'),
        always(200, index_page(), Content_Type=INDEX, Link='<http://127.0.0.1:1/>; rel="next"'),
        always(200, b"{}", Content_Type=INDEX),
        always(200, index_page("text"), Content_Type=INDEX),
        always(200, index_page({"mediaType": MANIFEST}), Content_Type=INDEX),
        always(200, index_page({**referrer(1), "size": -1}), Content_Type=INDEX),
        always(200, index_page({**referrer(1), "annotations": ["x"]}), Content_Type=INDEX),
    ],
    ids=["circle", "other-host", "no-list", "text", "incomplete", "negative", "annotations"],
)
def test_lying_referrers(registry: OrasRegistry, hostile: HostileRegistry, answer: Answer) -> None:
    """A list of referrers that is none is refused, never taken for an empty one."""
    hostile.answer = answer
    with pytest.raises(IntegrityError):
        registry.referrers(hostile.repository, BLOB.digest, SIGSTORE_BUNDLE)


def test_referrers_api_that_does_not_filter(registry: OrasRegistry, hostile: HostileRegistry) -> None:
    """Other types than asked for are dropped."""
    hostile.answer = always(
        200, index_page(referrer(1), {**referrer(2), "artifactType": "application/x"}), Content_Type=INDEX
    )
    assert len(registry.referrers(hostile.repository, BLOB.digest, SIGSTORE_BUNDLE)) == 1


def test_page_for_people_is_no_referrers_api(registry: OrasRegistry, hostile: HostileRegistry) -> None:
    """A registry that answers HTML where the referrers API would be has none: the fallback tag counts."""
    hostile.answer = lambda handler, _: (
        reply(handler, 200, b"<html>", Content_Type="text/html")
        if "/referrers/" in handler.path
        else reply(handler, 200, index_page(referrer(1)), Content_Type=INDEX)
    )
    assert len(registry.referrers(hostile.repository, BLOB.digest, SIGSTORE_BUNDLE)) == 1
    assert hostile.asked[-1].path.endswith(f"/manifests/sha256-{BLOB.digest.hex}")


def test_fallback_tag_is_written_again_when_others_overwrite_it(
    registry: OrasRegistry, hostile: HostileRegistry
) -> None:
    """An entry that another writer removed is added again; entries and members of others stay."""
    attached = Artifact.assemble(
        config=EMPTY_BLOB, layers=(), annotations={}, artifact_type=SIGSTORE_BUNDLE, subject=BLOB
    )
    theirs = json.loads(index_page(referrer(1))) | {"annotations": {"by": "others"}, "weight": 1.5}
    states: list[bytes] = [json.dumps(theirs).encode()]
    written: list[bytes] = []

    def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
        if handler.command == "PUT":
            written.append(hostile.bodies[-1])
            # The first write is lost to somebody else's.
            if len(written) != 2:
                states.append(written[-1])
            reply(handler, 201)
        else:
            reply(handler, 200, states[-1] if len(written) > 2 else states[0], Content_Type=INDEX)

    hostile.answer = answer
    registry.push_manifest(hostile.repository, attached)
    final = json.loads(states[-1])
    assert len(written) == 3
    assert final["annotations"] == theirs["annotations"]
    assert [entry["digest"] for entry in final["manifests"]] == [
        referrer(1)["digest"],
        str(attached.descriptor.digest),
    ]


def test_stored_under_another_digest(registry: OrasRegistry, hostile: HostileRegistry) -> None:
    """A registry that claims to have stored something else is not believed."""
    hostile.answer = always(201, Docker_Content_Digest=str(BLOB.digest))
    with pytest.raises(IntegrityError):
        registry.push_manifest(hostile.repository, ARTIFACT, tag="1.0.0")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"layers":', b'"Layers":[],"layers":'),
        (b'"layers":', b'"layers":[],"layers":'),
        (b'"layers":', b'"Layers":'),
        (b'"layers":', b'"manifests":[],"layers":'),
        (b'"schemaVersion":2', b'"schemaVersion":2.0'),
    ],
)
def test_a_manifest_that_others_read_differently_is_refused(
    registry: OrasRegistry, hostile: HostileRegistry, before: bytes, after: bytes
) -> None:
    """Whatever the registry is: its digest may be right, and Flux still fetch something else by it."""
    content = ARTIFACT.manifest.replace(before, after)
    assert content != ARTIFACT.manifest
    hostile.answer = lambda handler, _: reply(handler, 200, content, Content_Type=MANIFEST)
    with pytest.raises(IntegrityError, match="has no one reading"):
        registry.get_manifest(hostile.repository, str(Digest.of(content)))
