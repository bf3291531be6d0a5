"""What the embedded registry takes, so that a client never reads another document than the registry did."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client

from tests.registry_client import (
    CONTENT,
    DIGEST,
    UPLOADS,
    Door,
    Whole,
    code,
    describe,
    files,
    make_index,
    make_manifest,
    push_blob,
    put_manifest,
)
from ums.domain.digest import Digest
from ums.domain.oci import DOCKER_INDEX, DOCKER_MANIFEST, INDEX, MANIFEST
from ums.edge.registry import EmbeddedRegistry
from ums.edge.registry_care import collect
from ums.edge.registry_quotas import Quotas
from ums.edge.registry_storage import Storage, write

FLEET = "fleet/trust/guard"
EVIL = [{"mediaType": "text/plain", "digest": str(Digest.of(b"evil")), "size": 4}]


def changed(change: dict[str, Any]) -> bytes:
    """Return a manifest with members added or replaced."""
    return json.dumps({**json.loads(make_manifest()), **change}).encode()


def in_layer(change: dict[str, Any]) -> bytes:
    """Return a manifest with members of its layer added or replaced."""
    (layer,) = json.loads(make_manifest())["layers"]
    return changed({"layers": [{**layer, **change}]})


TWO_READINGS = [
    (changed({"Layers": EVIL}), "Layers"),
    (changed({"layer\u017f": EVIL}), "layer\\u017f"),
    (make_manifest().replace(b'"layers"', b'"\\u006cayers":[],"layers"'), "layers"),
    (make_manifest().replace(b'"layers"', b'"Layers"'), "Layers"),
    (changed({"Config": EVIL[0]}), "Config"),
    (changed({"MediaType": INDEX}), "MediaType"),
    (changed({"Subject": EVIL[0]}), "Subject"),
    (changed({"manifests": EVIL}), "manifests"),
    (changed({"Manifests": EVIL}), "Manifests"),
    (changed({"fsLayers": []}), "fsLayers"),
    (changed({"annotations": {"a": "b", "A": "c"}}), "A"),
    (changed({"annotations": {"a\x01": "b"}}), "a\\x01"),
    (changed({"annotations": {"a": "\ud800"}}), "ud800"),
    (changed({"annotations": ["x"]}), "annotations"),
    (in_layer({"Digest": str(Digest.of(b"evil"))}), "Digest"),
    (in_layer({"data": "ZXZpbA=="}), "data"),
    (in_layer({"size": 12.0}), "size"),
    (in_layer({"mediaType": "text/html\r\nx: y"}), "mediaType"),
    (in_layer({"artifactType": "\u0000"}), "artifactType"),
    (make_manifest() + b"{}", "JSON"),
    (b"\xef\xbb\xbf" + make_manifest(), "byte order mark"),
]


@pytest.mark.parametrize(("content", "says"), TWO_READINGS)
@pytest.mark.parametrize("name", [FLEET, "org/app"])
def test_a_manifest_has_one_reading(http: Client, root: Path, name: str, content: bytes, says: str) -> None:
    """Also outside the fleet: otherwise what a client needs would be collected as garbage."""
    push_blob(http, name=name)
    before = files(root)
    answer = put_manifest(http, content, "v1", name=name)
    assert (answer.status_code, code(answer)) == (HTTPStatus.BAD_REQUEST, "MANIFEST_INVALID")
    assert says in json.loads(answer.data)["errors"][0]["message"]
    assert files(root) == before


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (changed({"comment": "x"}), "comment"),
        (in_layer({"comment": "x"}), "comment"),
        (in_layer({"urls": ["https://example.com/x"]}), "urls"),
        (in_layer({"platform": {"os": "linux", "new": 1}}), "new"),
        (changed({"subject": None}), "a descriptor"),
        (json.dumps({k: v for k, v in json.loads(make_manifest()).items() if k != "mediaType"}).encode(), "mediaType"),
    ],
)
def test_the_fleet_has_no_use_for_all_that_the_spec_allows(http: Client, content: bytes, says: str) -> None:
    """Below its prefix a member that UMS does not know is refused, and named; elsewhere it is read past."""
    push_blob(http)
    push_blob(http, name=FLEET)
    answer = put_manifest(http, content, "v1", name=FLEET)
    assert (answer.status_code, code(answer)) == (HTTPStatus.BAD_REQUEST, "MANIFEST_INVALID")
    assert says in json.loads(answer.data)["errors"][0]["message"]
    assert put_manifest(http, content, "v1").status_code == HTTPStatus.CREATED


@pytest.mark.parametrize(
    "media_type", ["text/html", "application/json", "image/svg+xml", "text/html; charset=utf-8", ""]
)
def test_only_manifests_are_taken_as_manifests(http: Client, root: Path, media_type: str) -> None:
    """A page that a browser would run is none, whatever its bytes are."""
    push_blob(http)
    before = files(root)
    content = changed({"mediaType": media_type, "x": "<script>alert(1)</script>"})
    assert code(put_manifest(http, content, "v1", media_type)) == "MANIFEST_INVALID"
    assert files(root) == before


def test_the_four_kinds_are_taken(http: Client) -> None:
    """Manifests and indexes, of OCI and of Docker."""
    push_blob(http)
    for media_type in (MANIFEST, DOCKER_MANIFEST):
        content = changed({"mediaType": media_type})
        assert put_manifest(http, content, "v1", media_type).status_code == HTTPStatus.CREATED
    for media_type in (INDEX, DOCKER_INDEX):
        content = json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": []}).encode()
        assert put_manifest(http, content, "v1", media_type).status_code == HTTPStatus.CREATED
        assert http.get("/v2/org/app/manifests/v1").content_type == media_type


def test_what_was_stored_as_a_page_is_not_served(http: Client, storage: Storage) -> None:
    """A manifest that an older version took as text/html is not there; a blob is always plain bytes."""
    page = b"<script>alert(1)</script>"
    digest = push_blob(http, page)
    write(storage.link("org/app", "_blobs", digest), b"text/html")
    write(storage.link("org/app", "_manifests", digest), b"text/html")
    write(storage.folder("org/app", "_tags") / "v1", str(digest).encode())
    for reference in ("v1", str(digest)):
        answer = http.get(f"/v2/org/app/manifests/{reference}")
        assert (answer.status_code, code(answer)) == (HTTPStatus.NOT_FOUND, "MANIFEST_UNKNOWN")
        assert answer.content_type == "application/json"
    blob = http.get(f"/v2/org/app/blobs/{digest}")
    assert (blob.data, blob.content_type) == (page, "application/octet-stream")


def test_sizes_are_those_of_what_is_there(http: Client, root: Path) -> None:
    """Of configuration, layers, listed manifests and subject: a client that trusts a size would read something else."""
    push_blob(http)
    assert put_manifest(http, make_manifest()).status_code == HTTPStatus.CREATED
    before, wrong = files(root), {**describe(make_manifest()), "size": 5}
    for content, media_type in (
        (in_layer({"size": len(CONTENT) + 1}), MANIFEST),
        (in_layer({"size": 0}), MANIFEST),
        (in_layer({"size": 5, "urls": ["https://example.com/x"]}), MANIFEST),
        (changed({"config": {"mediaType": "text/plain", "digest": str(DIGEST), "size": 1}}), MANIFEST),
        (changed({"subject": wrong}), MANIFEST),
        (json.dumps({"schemaVersion": 2, "manifests": [wrong]}).encode(), INDEX),
        (make_index(make_manifest()).replace(MANIFEST.encode(), DOCKER_MANIFEST.encode()), INDEX),
    ):
        answer = put_manifest(http, content, "v1", media_type)
        assert (answer.status_code, code(answer)) == (HTTPStatus.BAD_REQUEST, "MANIFEST_INVALID")
    assert files(root) == before


def test_what_an_index_lists_is_there(http: Client) -> None:
    """Manifests, indexes, or blobs, as some caches list them; but in lists of referrers some may be gone."""
    push_blob(http)
    index = make_index(make_manifest())
    answer = put_manifest(http, index, "v1", INDEX)
    assert (answer.status_code, code(answer)) == (HTTPStatus.BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN")
    assert put_manifest(http, index, f"sha256-{DIGEST.hex}", INDEX).status_code == HTTPStatus.CREATED
    put_manifest(http, make_manifest())
    listed = [describe(make_manifest()), {"mediaType": "text/plain", "digest": str(DIGEST), "size": len(CONTENT)}]
    content = json.dumps({"schemaVersion": 2, "manifests": listed}).encode()
    assert put_manifest(http, content, "v1", INDEX).status_code == HTTPStatus.CREATED
    assert put_manifest(http, make_index(content), "v2", INDEX).status_code == HTTPStatus.CREATED


@pytest.fixture
def callers(root: Path, door: Door) -> Client:
    """Give a registry that tells callers apart by their Authorization header."""
    return Whole(
        EmbeddedRegistry(
            root,
            authorize=door,
            has_fixed_tags=lambda _name: False,
            released=frozenset,
            caller=lambda header: header or "nobody",
        )
    )


def start(http: Client, who: str, count: int) -> Iterator[tuple[int, str]]:
    """Begin uploads; yield status and address of each."""
    for _ in range(count):
        answer = http.post(UPLOADS, headers={"Authorization": who})
        yield answer.status_code, answer.headers.get("Location", "")


def age(root: Path) -> None:
    """Let uploads be two days old."""
    then = time.time() - 2 * 24 * 3600
    for path in root.rglob("*"):
        if path.is_file():
            os.utime(path, (then, then))


def test_one_caller_has_so_many_uploads(callers: Client, root: Path, storage: Storage) -> None:
    """The hundred-and-first is refused until one is over; others do not notice, and nobody goes on with another's."""
    started = list(start(callers, "eve", 130))
    assert [status for status, _ in started] == [HTTPStatus.ACCEPTED] * 100 + [HTTPStatus.TOO_MANY_REQUESTS] * 30
    assert [status for status, _ in start(callers, "ada", 3)] == [HTTPStatus.ACCEPTED] * 3
    eve, first = {"Authorization": "eve"}, started[0][1]
    assert callers.patch(first, data=CONTENT, headers={"Authorization": "ada"}).status_code == HTTPStatus.NOT_FOUND
    assert callers.put(f"{first}?digest={DIGEST}", data=CONTENT, headers=eve).status_code == HTTPStatus.CREATED
    assert callers.delete(started[1][1], headers=eve).status_code == HTTPStatus.NO_CONTENT
    assert [status for status, _ in start(callers, "eve", 3)] == [HTTPStatus.ACCEPTED] * 2 + [429]
    assert len(list(root.glob("callers/*/*"))) == 103
    age(root)
    assert [status for status, _ in start(callers, "eve", 100)] == [HTTPStatus.ACCEPTED] * 100
    age(root)
    collect(storage, ())
    assert list(root.glob("callers/*/*")) == []


def test_without_a_limit_uploads_have_no_end(http: Client) -> None:
    """It is the limit for each caller that refuses them."""
    assert {http.post(UPLOADS).status_code for _ in range(130)} == {HTTPStatus.ACCEPTED}


def test_one_caller_has_so_many_bytes(tmp_path: Path) -> None:
    """Of all open uploads together, while they come in."""
    quotas, uploads = Quotas(tmp_path, max_bytes=10), tmp_path / "repositories" / "a" / "_uploads"
    uploads.mkdir(parents=True)
    for name in ("one", "two"):
        with quotas.beginning("eve", uploads / name):
            (uploads / name).write_bytes(b"1234")
    (uploads / "one").rename(uploads / "one.busy")
    assert list(quotas.within("eve", [b"56"])) == [b"56"]
    with pytest.raises(Exception, match="your open uploads have"):
        list(quotas.within("eve", [b"567"]))
    assert list(quotas.within("ada", [b"567"])) == [b"567"]
    quotas.end("eve", uploads / "two")
    assert list(quotas.within("eve", [b"567"])) == [b"567"]
