"""The embedded registry, request by request."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest
from werkzeug.test import Client, EnvironBuilder

from tests.registry_client import (
    CONTENT,
    DIGEST,
    UPLOADS,
    Door,
    Whole,
    code,
    files,
    make_manifest,
    push_blob,
    put_manifest,
)
from ums.domain.digest import Digest
from ums.domain.oci import INDEX, MANIFEST
from ums.edge.registry import Challenge, EmbeddedRegistry
from ums.edge.registry_messages import Access


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_says_that_it_is_a_registry(http: Client, path: str) -> None:
    """The base address answers 200 with the version header."""
    response = http.get(path)
    assert response.status_code == HTTPStatus.OK
    assert response.headers["Docker-Distribution-API-Version"] == "registry/2.0"


@pytest.mark.parametrize(
    ("method", "path", "access", "name"),
    [
        ("GET", "/v2/", Access.READ, ""),
        ("GET", "/v2/org/app/manifests/x", Access.READ, "org/app"),
        ("HEAD", f"/v2/org/app/blobs/{DIGEST}", Access.READ, "org/app"),
        ("GET", "/v2/org/app/tags/list", Access.READ, "org/app"),
        ("PUT", "/v2/org/app/manifests/x", Access.WRITE, "org/app"),
        ("POST", UPLOADS, Access.WRITE, "org/app"),
        ("DELETE", f"{UPLOADS}x", Access.WRITE, "org/app"),
        ("DELETE", "/v2/org/app/manifests/x", Access.DELETE, "org/app"),
        ("DELETE", f"/v2/org/app/blobs/{DIGEST}", Access.DELETE, "org/app"),
    ],
)
def test_asks_at_the_door(http: Client, door: Door, *, method: str, path: str, access: Access, name: str) -> None:
    """Each request is judged by its header, what it does, and its repository; a refusal says how to log in."""
    door.closed[name] = Challenge.UNAUTHENTICATED
    response = http.open(path, method=method, headers={"Authorization": "Basic eA=="})
    assert response.status_code == HTTPStatus.UNAUTHORIZED
    assert response.headers["WWW-Authenticate"] == 'Basic realm="ums"'
    assert door.came == [("Basic eA==", access, name)]
    door.closed[name] = Challenge.FORBIDDEN
    assert http.open(path, method=method).status_code == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize("ways", ["post-put", "post", "patch-put", "patch-patch-put", "put-rest"])
def test_ways_to_push_a_blob(http: Client, root: Path, ways: str) -> None:
    """However a blob comes, it is stored whole under its digest, and no upload is left."""
    if ways == "post":
        response = http.post(f"{UPLOADS}?digest={DIGEST}", data=CONTENT)
    else:
        location = http.post(UPLOADS).headers["Location"]
        parts = {"post-put": [], "patch-put": [CONTENT], "patch-patch-put": [CONTENT[:4], CONTENT[4:]]}
        start = 0
        for part in parts.get(ways, [CONTENT[:5]]):
            header = {"Content-Range": f"{start}-{start + len(part) - 1}"}
            answer = http.patch(location, data=part, headers=header)
            start += len(part)
            assert (answer.status_code, answer.headers["Range"]) == (HTTPStatus.ACCEPTED, f"0-{start - 1}")
            location = answer.headers["Location"]
        response = http.put(f"{location}?digest={DIGEST}", data=CONTENT[start:])
    assert response.status_code == HTTPStatus.CREATED
    blob = http.get(response.headers["Location"])
    assert (blob.data, blob.headers["Docker-Content-Digest"]) == (CONTENT, str(DIGEST))
    head = http.head(response.headers["Location"])
    assert (head.status_code, head.headers["Content-Length"], head.data) == (HTTPStatus.OK, str(len(CONTENT)), b"")
    assert files(root) == [
        f"blobs/sha256/{DIGEST.hex}",
        f"repositories/org/app/_blobs/sha256/{DIGEST.hex}",
    ]


def test_chunks_come_in_order(http: Client) -> None:
    """A chunk that does not begin where the upload ends is refused; the upload can be asked, and goes on."""
    location = http.post(UPLOADS).headers["Location"]
    http.patch(location, data=CONTENT[:4])
    for wrong in ("0-3", "5-9", "nonsense"):
        response = http.patch(location, data=b"xxxx", headers={"Content-Range": wrong})
        assert response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    status = http.get(location)
    assert (status.status_code, status.headers["Range"]) == (HTTPStatus.NO_CONTENT, "0-3")
    response = http.put(f"{location}?digest={DIGEST}", data=CONTENT[4:], headers={"Content-Range": "4-11"})
    assert response.status_code == HTTPStatus.CREATED


def test_an_upload_can_be_given_up(http: Client, root: Path) -> None:
    """A cancelled upload leaves nothing, and cannot go on."""
    location = http.post(UPLOADS).headers["Location"]
    assert http.delete(location).status_code == HTTPStatus.NO_CONTENT
    assert http.patch(location, data=b"x").status_code == HTTPStatus.NOT_FOUND
    assert files(root) == []


def test_a_last_chunk_out_of_order_does_not_end_the_upload(http: Client) -> None:
    """The client is told where it stands, and goes on from there."""
    location = http.post(UPLOADS).headers["Location"]
    http.patch(location, data=CONTENT[:4])
    early = http.put(f"{location}?digest={DIGEST}", data=CONTENT[8:], headers={"Content-Range": "8-11"})
    assert early.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    assert (early.headers["Range"], early.headers["Location"]) == ("0-3", location)
    assert http.put(f"{location}?digest={DIGEST}", data=CONTENT[4:]).status_code == HTTPStatus.CREATED


def test_a_range_is_as_long_as_the_body(http: Client) -> None:
    """A chunk that says two lengths is refused, and changes nothing."""
    location = http.post(UPLOADS).headers["Location"]
    answer = http.patch(location, data=b"four", headers={"Content-Range": "0-9"})
    assert (answer.status_code, code(answer)) == (HTTPStatus.BAD_REQUEST, "SIZE_INVALID")
    assert http.get(location).headers["Range"] == "0-0"


@pytest.mark.parametrize("announced", ["", "&digest-algorithm=sha512", "&digest-algorithm=sha256"])
def test_content_by_sha512(http: Client, announced: str) -> None:
    """Whether or not the client says so before, content goes by SHA-512 as well."""
    digest = f"sha512:{hashlib.sha512(CONTENT).hexdigest()}"
    location = http.post(f"{UPLOADS}?x{announced}").headers["Location"]
    http.patch(location, data=CONTENT[:4])
    assert http.put(f"{location}?digest={digest}", data=CONTENT[4:]).status_code == HTTPStatus.CREATED
    assert http.get(f"/v2/org/app/blobs/{digest}").data == CONTENT


def test_no_other_algorithm(http: Client) -> None:
    """An upload for a digest that cannot be is refused before its content comes."""
    answer = http.post(f"{UPLOADS}?digest-algorithm=md5")
    assert (answer.status_code, code(answer)) == (HTTPStatus.BAD_REQUEST, "DIGEST_INVALID")


def test_an_upload_outlives_its_server(http: Client, root: Path, door: Door) -> None:
    """What was kept of it in memory is not needed: another process ends it."""
    location = http.post(UPLOADS).headers["Location"]
    http.patch(location, data=CONTENT[:4])
    other = EmbeddedRegistry(root, authorize=door, has_fixed_tags=lambda _name: False, released=frozenset)
    assert Whole(other).put(f"{location}?digest={DIGEST}", data=CONTENT[4:]).status_code == HTTPStatus.CREATED


def test_checksums_are_kept_of_few_uploads(http: Client) -> None:
    """The upload that was begun first of a thousand ends as well as the last."""
    locations = [http.post(UPLOADS).headers["Location"] for _ in range(300)]
    for location in (locations[0], locations[-1]):
        assert http.patch(location, data=CONTENT).status_code == HTTPStatus.ACCEPTED
        assert http.put(f"{location}?digest={DIGEST}").status_code == HTTPStatus.CREATED


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br, gzip"])
def test_takes_content_as_it_is(http: Client, root: Path, encoding: str) -> None:
    """A compressed body is refused: what is stored must be what has the digest."""
    headers = {"Content-Encoding": encoding}
    blob = http.post(f"{UPLOADS}?digest={DIGEST}", data=CONTENT, headers=headers)
    manifest = http.put("/v2/org/app/manifests/v1", data=b"{}", content_type=MANIFEST, headers=headers)
    assert {blob.status_code, manifest.status_code} == {HTTPStatus.UNSUPPORTED_MEDIA_TYPE}
    assert files(root) == []


@pytest.mark.parametrize(
    ("asked", "status", "content", "said"),
    [
        ("bytes=5-8", HTTPStatus.PARTIAL_CONTENT, CONTENT[5:9], "bytes 5-8/12"),
        ("bytes=5-", HTTPStatus.PARTIAL_CONTENT, CONTENT[5:], "bytes 5-11/12"),
        ("bytes=-4", HTTPStatus.PARTIAL_CONTENT, CONTENT[-4:], "bytes 8-11/12"),
        ("bytes=-400", HTTPStatus.PARTIAL_CONTENT, CONTENT, "bytes 0-11/12"),
        ("bytes=0-0", HTTPStatus.PARTIAL_CONTENT, CONTENT[:1], "bytes 0-0/12"),
        ("bytes=8-100", HTTPStatus.PARTIAL_CONTENT, CONTENT[8:], "bytes 8-11/12"),
        ("bytes=12-", HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, None, "bytes */12"),
        ("bytes=5-4", HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, None, "bytes */12"),
        ("bytes=-0", HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, None, "bytes */12"),
        ("bytes=0-1,4-5", HTTPStatus.OK, CONTENT, None),
        ("lines=1-2", HTTPStatus.OK, CONTENT, None),
        ("bytes=" + "9" * 30 + "-", HTTPStatus.OK, CONTENT, None),
    ],
)
def test_parts_of_a_blob(http: Client, asked: str, status: HTTPStatus, content: bytes | None, said: str | None) -> None:
    """One range of bytes is given, one that is not there refused, anything else answered with all."""
    digest = push_blob(http)
    answer = http.get(f"/v2/org/app/blobs/{digest}", environ_overrides={"HTTP_RANGE": asked})
    assert (answer.status_code, answer.headers.get("Content-Range")) == (status, said)
    if content is not None:
        assert (answer.data, answer.headers["Content-Length"]) == (content, str(len(content)))


def test_a_part_only_of_what_the_client_has(http: Client) -> None:
    """If-Range with another ETag gives all of it."""
    digest = push_blob(http)
    headers = {"Range": "bytes=0-1", "If-Range": f'"{digest}"'}
    assert http.get(f"/v2/org/app/blobs/{digest}", headers=headers).data == CONTENT[:2]
    headers["If-Range"] = '"other"'
    assert http.get(f"/v2/org/app/blobs/{digest}", headers=headers).data == CONTENT


def test_what_a_client_has_is_not_sent(http: Client) -> None:
    """304 for an ETag that holds, by tag as well; the whole for another."""
    push_blob(http)
    put_manifest(http, make_manifest(), "v1")
    for path in ("manifests/v1", f"blobs/{DIGEST}"):
        etag = http.head(f"/v2/org/app/{path}").headers["ETag"]
        same = http.get(f"/v2/org/app/{path}", headers={"If-None-Match": f'"x", W/{etag}'})
        assert (same.status_code, same.data) == (HTTPStatus.NOT_MODIFIED, b"")
        assert http.get(f"/v2/org/app/{path}", headers={"If-None-Match": '"x"'}).status_code == HTTPStatus.OK


def test_a_refused_method_says_which_there_are(http: Client) -> None:
    """405 with Allow."""
    answer = http.post("/v2/org/app/manifests/v1")
    assert (answer.status_code, answer.headers["Allow"]) == (HTTPStatus.METHOD_NOT_ALLOWED, "DELETE, GET, PUT")


def test_abandoned_uploads_are_swept(http: Client, root: Path) -> None:
    """An upload that nobody touched for a day goes when the next begins."""
    abandoned = (
        root
        / "repositories"
        / http.post(UPLOADS).headers["Location"].removeprefix("/v2/").replace("blobs/uploads", "_uploads")
    )
    yesterday = time.time() - 25 * 3600
    os.utime(abandoned, (yesterday, yesterday))
    http.post(UPLOADS)
    assert not abandoned.exists()
    assert len(files(root)) == 1


class FullDisk(io.RawIOBase):
    """A body whose reading ends as a write to a full disk does."""

    def read(self, _size: int = -1, /) -> bytes:
        """Fail."""
        raise OSError(errno.ENOSPC, "No space left on device")


def request_with(stream: object, **environ: object) -> EnvironBuilder:
    """Return a push whose body comes from a stream."""
    overrides = {"wsgi.input": stream, "CONTENT_LENGTH": str(len(CONTENT)), **environ}
    return EnvironBuilder(path=UPLOADS, method="POST", query_string=f"digest={DIGEST}", environ_overrides=overrides)


@pytest.mark.parametrize(
    ("stream", "environ", "status"),
    [
        (io.BytesIO(b"other bytes."), {}, HTTPStatus.BAD_REQUEST),
        (io.BytesIO(CONTENT[:5]), {}, HTTPStatus.BAD_REQUEST),
        (FullDisk(), {}, HTTPStatus.INSUFFICIENT_STORAGE),
        (io.BytesIO(b"x" * 2000), {"CONTENT_LENGTH": "-5"}, HTTPStatus.BAD_REQUEST),
        (io.BytesIO(b"x" * 2000), {"CONTENT_LENGTH": "2000"}, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
        (
            io.BytesIO(b"x" * 2000),
            {"CONTENT_LENGTH": "", "wsgi.input_terminated": True},
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        ),
        (io.BytesIO(CONTENT), {"QUERY_STRING": "digest=sha256:12"}, HTTPStatus.BAD_REQUEST),
    ],
    ids=["digest", "cut-off", "disk-full", "negative", "too-large", "too-large-chunked", "no-digest"],
)
def test_a_push_that_fails_leaves_nothing(
    http: Client, root: Path, stream: object, environ: dict[str, object], status: HTTPStatus
) -> None:
    """Whatever goes wrong, no part of the upload is kept."""
    response = http.open(request_with(stream, **environ))
    assert response.status_code == status
    assert code(response)
    assert files(root) == []


def test_a_chunk_that_fails_is_taken_back(http: Client) -> None:
    """After a broken PATCH the upload stands where it stood."""
    location = http.post(UPLOADS).headers["Location"]
    http.patch(location, data=CONTENT[:4])
    broken = EnvironBuilder(
        path=location, method="PATCH", environ_overrides={"wsgi.input": io.BytesIO(b"xy"), "CONTENT_LENGTH": "8"}
    )
    assert http.open(broken).status_code == HTTPStatus.BAD_REQUEST
    assert http.get(location).headers["Range"] == "0-3"
    assert http.put(f"{location}?digest={DIGEST}", data=CONTENT[4:]).status_code == HTTPStatus.CREATED


class SlowBody(io.RawIOBase):
    """A body that waits for a sign before it ends."""

    def __init__(self) -> None:
        self.reading = threading.Event()
        self.go_on = threading.Event()
        self._content = io.BytesIO(CONTENT)

    def read(self, size: int = -1) -> bytes:
        """Wait, then give the content."""
        self.reading.set()
        self.go_on.wait(10)
        return self._content.read(size)


def test_two_requests_never_write_to_one_upload(http: Client, root: Path) -> None:
    """While one request writes, another finds no upload to write to."""
    location = http.post(UPLOADS).headers["Location"]
    body = SlowBody()
    first = EnvironBuilder(
        path=location,
        method="PUT",
        query_string=f"digest={DIGEST}",
        environ_overrides={"wsgi.input": body, "CONTENT_LENGTH": str(len(CONTENT))},
    )
    answers: list[int] = []
    thread = threading.Thread(target=lambda: answers.append(http.open(first).status_code))
    thread.start()
    assert body.reading.wait(10)
    second = http.put(f"{location}?digest={DIGEST}", data=CONTENT)
    body.go_on.set()
    thread.join(10)
    assert (second.status_code, answers) == (HTTPStatus.NOT_FOUND, [HTTPStatus.CREATED])
    assert (root / "blobs" / "sha256" / DIGEST.hex).read_bytes() == CONTENT


PATHS = [
    "/v2/../../etc/manifests/passwd",
    "/v2/org/../../../x/blobs/uploads/",
    "/v2/org/app/manifests/..",
    "/v2/org/app/manifests/%2e%2e",
    "/v2/org/app/manifests/..%2f..%2fx",
    "/v2/org/app/blobs/sha256:../../../etc/passwd",
    "/v2/org/app/blobs/uploads/..",
    "/v2/org/app/blobs/uploads/..%2f_tags",
    "/v2/org/_tags/manifests/x",
    "/v2/Org/manifests/x",
    "/v2/org/app/referrers/..",
    "/v2//manifests/x",
    "/other",
    "/v2/org/app/manifests/x%00y",
    "/v2/" + "a/" * 200 + "manifests/x",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"])
def test_no_way_out_of_the_folder(http: Client, tmp_path: Path, path: str, method: str) -> None:
    """A path with anything but valid names, tags and digests is a client's error and touches no file."""
    response = http.open(path, method=method, data=b"{}", content_type=MANIFEST)
    assert HTTPStatus.BAD_REQUEST <= response.status_code < HTTPStatus.INTERNAL_SERVER_ERROR
    assert files(tmp_path) == []


def test_repositories_are_apart(http: Client) -> None:
    """Content that one repository has is not served in another."""
    digest = push_blob(http)
    response = http.get(f"/v2/org/other/blobs/{digest}")
    assert (response.status_code, code(response)) == (HTTPStatus.NOT_FOUND, "BLOB_UNKNOWN")


@pytest.mark.parametrize(
    ("source", "closed", "status"),
    [
        ("org/app", False, HTTPStatus.CREATED),
        ("org/app", True, HTTPStatus.ACCEPTED),
        ("org/empty", False, HTTPStatus.ACCEPTED),
        ("../org", False, HTTPStatus.ACCEPTED),
    ],
)
def test_mounting(http: Client, door: Door, *, source: str, closed: bool, status: HTTPStatus) -> None:
    """A blob is mounted from a repository that the caller may read; else an upload begins."""
    digest = push_blob(http)
    if closed:
        door.closed[source] = Challenge.FORBIDDEN
    response = http.post(f"/v2/org/new/blobs/uploads/?mount={digest}&from={source}")
    assert response.status_code == status
    there = http.head(f"/v2/org/new/blobs/{digest}").status_code
    assert there == (HTTPStatus.OK if status is HTTPStatus.CREATED else HTTPStatus.NOT_FOUND)


@pytest.mark.parametrize(("closed", "status"), [(False, HTTPStatus.CREATED), (True, HTTPStatus.ACCEPTED)])
def test_mounting_without_a_source(http: Client, door: Door, *, closed: bool, status: HTTPStatus) -> None:
    """A blob that any repository has is mounted, if the caller may read that one."""
    digest = push_blob(http)
    if closed:
        door.closed["org/app"] = Challenge.FORBIDDEN
    assert http.post(f"/v2/org/new/blobs/uploads/?mount={digest}").status_code == status
    unknown = Digest.of(b"nobody has it")
    assert http.post(f"/v2/org/new/blobs/uploads/?mount={unknown}").status_code == HTTPStatus.ACCEPTED


def test_tags_beside_a_digest(http: Client) -> None:
    """A manifest is pushed by any digest under many tags at once."""
    push_blob(http)
    content = make_manifest()
    digest = f"sha512:{hashlib.sha512(content).hexdigest()}"
    answer = put_manifest(http, content, f"{digest}?tag=v1&tag=latest&tag=v1")
    assert (answer.status_code, answer.headers["OCI-Tag"]) == (HTTPStatus.CREATED, "v1, latest")
    for tag in ("v1", "latest"):
        assert http.get(f"/v2/org/app/manifests/{tag}").headers["Docker-Content-Digest"] == digest
    assert code(put_manifest(http, content, f"{digest}?tag=..")) == "TAG_INVALID"


def test_tags_are_listed_a_thousand_at_a_time(http: Client, root: Path) -> None:
    """Without a wish there are pages as well, so that no answer is without bounds."""
    push_blob(http)
    put_manifest(http, make_manifest(), "v0")
    tags = root / "repositories" / "org" / "app" / "_tags"
    for number in range(1, 1100):
        os.link(tags / "v0", tags / f"v{number}")
    first = http.get("/v2/org/app/tags/list")
    following = http.get(first.headers["Link"].partition(">")[0].removeprefix("<"))
    assert [len(json.loads(page.data)["tags"]) for page in (first, following)] == [1000, 100]
    assert http.get("/v2/org/tags/list").status_code == HTTPStatus.NOT_FOUND


def test_manifests(http: Client) -> None:
    """A manifest is served by tag and digest, with the type it came with; tags are listed in order."""
    push_blob(http)
    content = make_manifest()
    for tag in ("v2", "v1", "latest"):
        response = put_manifest(http, content, tag)
        assert response.status_code == HTTPStatus.CREATED
        assert response.headers["Docker-Content-Digest"] == str(Digest.of(content))
    for reference in ("v1", str(Digest.of(content))):
        answer = http.get(f"/v2/org/app/manifests/{reference}")
        assert (answer.data, answer.content_type) == (content, MANIFEST)
    assert http.get("/v2/org/app/tags/list").json == {"name": "org/app", "tags": ["latest", "v1", "v2"]}
    page = http.get("/v2/org/app/tags/list?n=2")
    assert page.json == {"name": "org/app", "tags": ["latest", "v1"]}
    following = page.headers["Link"].partition(">")[0].removeprefix("<")
    assert http.get(following).json == {"name": "org/app", "tags": ["v2"]}
    assert http.get("/v2/org/app/tags/list?n=0").json == {"name": "org/app", "tags": []}
    assert http.get("/v2/org/nothing/tags/list").status_code == HTTPStatus.NOT_FOUND


@pytest.mark.parametrize(
    ("content", "media_type", "wanted"),
    [
        (b"not json", MANIFEST, "MANIFEST_INVALID"),
        (b"[]", MANIFEST, "MANIFEST_INVALID"),
        (b"[" * 100_000, MANIFEST, "MANIFEST_INVALID"),
        (b"{}", MANIFEST, "MANIFEST_INVALID"),
        (b"{}", "", "MANIFEST_INVALID"),
        (make_manifest(), INDEX, "MANIFEST_INVALID"),
        (make_manifest(), "text", "MANIFEST_INVALID"),
        (b'{"manifests": []}', "text/x\x01y", "MANIFEST_INVALID"),
        (b'{"manifests": [{"digest": "sha256:../../x"}]}', INDEX, "DIGEST_INVALID"),
        (b'{"manifests": 5}', INDEX, "MANIFEST_INVALID"),
        (b'{"config": {"digest": "sha256:12"}}', MANIFEST, "DIGEST_INVALID"),
        (b'{"config": "text"}', MANIFEST, "MANIFEST_INVALID"),
        (b'{"manifests": [], "artifactType": 5}', INDEX, "MANIFEST_INVALID"),
        (b'{"manifests": [], "annotations": ["x"]}', INDEX, "MANIFEST_INVALID"),
        (b'{"manifests": [], "subject": {"digest": 7}}', INDEX, "DIGEST_INVALID"),
        (b" " * (4 * 1024 * 1024 + 1), MANIFEST, "SIZE_INVALID"),
        (make_manifest(), MANIFEST, "MANIFEST_BLOB_UNKNOWN"),
    ],
)
def test_refuses_what_is_no_manifest(http: Client, root: Path, content: bytes, media_type: str, wanted: str) -> None:
    """What is no manifest, or names blobs that are not there, is not stored."""
    response = put_manifest(http, content, "latest", media_type)
    assert code(response) == wanted
    assert files(root) == []


def test_a_manifest_goes_under_its_own_digest_only(http: Client) -> None:
    """Pushing by a digest that the manifest does not have is refused."""
    push_blob(http)
    assert code(put_manifest(http, make_manifest(), str(Digest.of(b"other")))) == "DIGEST_INVALID"


def collect(http: Client, path: str) -> Iterator[dict[str, object]]:
    """Yield the entries of all pages."""
    while path:
        response = http.get(path)
        assert response.content_type == INDEX
        yield from json.loads(response.data)["manifests"]
        path = response.headers.get("Link", "").partition(">")[0].removeprefix("<")


def test_referrers(http: Client) -> None:
    """Referrers are listed page by page, filtered on demand, with type and annotations; the subject may be absent."""
    push_blob(http)
    subject = Digest.of(b"to come")
    assert list(collect(http, f"/v2/org/app/referrers/{subject}")) == []
    for number in range(130):
        content = make_manifest(number, subject=subject, artifact_type="application/x" if number < 110 else None)
        assert put_manifest(http, content).headers["OCI-Subject"] == str(subject)
    everything = list(collect(http, f"/v2/org/app/referrers/{subject}"))
    filtered = list(collect(http, f"/v2/org/app/referrers/{subject}?artifactType=application/x"))
    assert len({str(entry["digest"]) for entry in everything}) == 130
    assert len({str(entry["digest"]) for entry in filtered}) == 110
    # Without a type of its own, a manifest goes by that of its config.
    assert {str(entry["artifactType"]) for entry in everything} == {"application/x", "text/plain"}
    assert http.get(f"/v2/org/app/referrers/{subject}?artifactType=x").headers["OCI-Filters-Applied"] == "artifactType"
