"""What may be deleted, and which tags stay where they are."""

from __future__ import annotations

import threading
from http import HTTPStatus
from pathlib import Path

import pytest
from werkzeug.test import Client

from tests.registry_client import (
    CONTENT,
    DIGEST,
    Door,
    code,
    files,
    make_index,
    make_manifest,
    push_blob,
    put_manifest,
)
from ums.domain.digest import Digest
from ums.domain.oci import INDEX
from ums.edge.registry import Challenge
from ums.edge.registry_storage import Storage

FLEET = "fleet/app"


def push(http: Client, content: bytes, reference: str | None = None, *, name: str) -> Digest:
    """Push a manifest and its blob."""
    push_blob(http, name=name)
    media_type = INDEX if b'"manifests"' in content else None
    arguments = {"media_type": media_type} if media_type else {}
    assert put_manifest(http, content, reference, name=name, **arguments).status_code == HTTPStatus.CREATED
    return Digest.of(content)


def test_what_is_deleted_is_gone_at_once(http: Client) -> None:
    """Tag, manifest and blob, in that order: 202, then 404, from another look and from another try."""
    digest = push(http, make_manifest(), "v1", name="org/app")
    for path in ("manifests/v1", f"manifests/{digest}", f"blobs/{DIGEST}"):
        assert http.get(f"/v2/org/app/{path}").status_code == HTTPStatus.OK
        assert http.delete(f"/v2/org/app/{path}").status_code == HTTPStatus.ACCEPTED
        assert http.get(f"/v2/org/app/{path}").status_code == HTTPStatus.NOT_FOUND
        assert http.delete(f"/v2/org/app/{path}").status_code == HTTPStatus.NOT_FOUND
    assert http.get("/v2/org/app/tags/list").json == {"name": "org/app", "tags": []}


def test_a_manifest_goes_with_its_tags_and_its_place_among_referrers(http: Client) -> None:
    """Nothing is left that points to it, and others stay."""
    subject = push(http, make_manifest(), "v1", name="org/app")
    going = push(http, make_manifest(1, subject=make_manifest()), "sig", name="org/app")
    staying = push(http, make_manifest(2, subject=make_manifest()), name="org/app")
    http.delete(f"/v2/org/app/manifests/{going}")
    assert http.get("/v2/org/app/tags/list").json == {"name": "org/app", "tags": ["v1"]}
    referrers = http.get(f"/v2/org/app/referrers/{subject}").get_json(force=True)
    assert [each["digest"] for each in referrers["manifests"]] == [str(staying)]


def test_a_blob_stays_while_a_manifest_needs_it(http: Client) -> None:
    """Else the manifest could be pulled no more."""
    push(http, make_manifest(), "v1", name="org/app")
    answer = http.delete(f"/v2/org/app/blobs/{DIGEST}")
    assert (answer.status_code, code(answer)) == (HTTPStatus.METHOD_NOT_ALLOWED, "DENIED")
    assert http.get(f"/v2/org/app/blobs/{DIGEST}").data == CONTENT


def test_deleting_in_one_repository_leaves_the_others(http: Client) -> None:
    """The same content is there still."""
    for name in ("org/app", "org/other"):
        push(http, make_manifest(), "v1", name=name)
    digest = Digest.of(make_manifest())
    for path in (f"manifests/{digest}", f"blobs/{DIGEST}"):
        assert http.delete(f"/v2/org/app/{path}").status_code == HTTPStatus.ACCEPTED
        assert http.get(f"/v2/org/other/{path}").status_code == HTTPStatus.OK


@pytest.mark.parametrize("what", ["itself", "in an index", "a referrer", "a referrer of an index"])
def test_what_releases_need_is_never_deleted(http: Client, released: set[Digest], what: str) -> None:
    """Whatever a release's digest reaches stays, in any repository, with or without a tag."""
    digest = push(http, make_manifest(), name="org/app")
    match what:
        case "itself":
            released.add(digest)
        case "in an index":
            released.add(push(http, make_index(make_manifest()), name="org/app"))
        case "a referrer":
            released.add(digest)
            digest = push(http, make_manifest(1, subject=make_manifest()), name="org/app")
        case _:
            index = make_index(make_manifest())
            released.add(push(http, index, name="org/app"))
            digest = push(http, make_manifest(1, subject=index), name="org/app")
    answer = http.delete(f"/v2/org/app/manifests/{digest}")
    assert (answer.status_code, code(answer)) == (HTTPStatus.METHOD_NOT_ALLOWED, "DENIED")
    assert "release" in answer.text
    assert http.get(f"/v2/org/app/manifests/{digest}").status_code == HTTPStatus.OK


def test_who_may_not_delete_is_turned_away(http: Client, door: Door) -> None:
    """Before anything is looked at."""
    digest = push(http, make_manifest(), "v1", name="org/app")
    door.closed["org/app"] = Challenge.FORBIDDEN
    for path in ("manifests/v1", f"manifests/{digest}", f"blobs/{DIGEST}", "blobs/nonsense"):
        answer = http.delete(f"/v2/org/app/{path}")
        assert (answer.status_code, code(answer)) == (HTTPStatus.FORBIDDEN, "DENIED")


def test_tags_move_where_they_may(http: Client) -> None:
    """Outside the fleet's repositories."""
    push(http, make_manifest(1), "v1", name="org/app")
    second = push(http, make_manifest(2), "v1", name="org/app")
    assert http.head("/v2/org/app/manifests/v1").headers["Docker-Content-Digest"] == str(second)


def test_tags_of_the_fleet_stay(http: Client, root: Path) -> None:
    """A tag takes the same digest again, no other, and is not deleted; the answer says what to do."""
    first = push(http, make_manifest(1), "v1", name=FLEET)
    push(http, make_manifest(1), "v1", name=FLEET)
    before = files(root)
    for reference in ("v1", f"{Digest.of(make_manifest(2))}?tag=v2&tag=v1"):
        moved = put_manifest(http, make_manifest(2), reference, name=FLEET)
        assert (moved.status_code, code(moved)) == (HTTPStatus.CONFLICT, "DENIED")
        assert "publish a new version" in moved.text
    deleted = http.delete(f"/v2/{FLEET}/manifests/v1")
    assert (deleted.status_code, code(deleted)) == (HTTPStatus.METHOD_NOT_ALLOWED, "DENIED")
    assert "publish a new version" in deleted.text
    assert files(root) == before
    assert http.head(f"/v2/{FLEET}/manifests/v1").headers["Docker-Content-Digest"] == str(first)


def test_what_a_tag_of_the_fleet_reaches_stays(http: Client) -> None:
    """Its manifest, what an index lists, and the signatures; what no tag reaches goes."""
    child = push(http, make_manifest(1), name=FLEET)
    index = push(http, make_index(make_manifest(1)), "v1", name=FLEET)
    signature = push(http, make_manifest(2, subject=make_manifest(1)), name=FLEET)
    loose = push(http, make_manifest(3), name=FLEET)
    for digest in (child, index, signature):
        assert http.delete(f"/v2/{FLEET}/manifests/{digest}").status_code == HTTPStatus.METHOD_NOT_ALLOWED
    assert http.delete(f"/v2/{FLEET}/manifests/{loose}").status_code == HTTPStatus.ACCEPTED


def test_fallback_tags_of_referrers_move(http: Client) -> None:
    """Clients that know no referrers API write lists under them, again and again."""
    tag = f"sha256-{DIGEST.hex}"
    push(http, make_index(make_manifest(1)), tag, name=FLEET)
    second = push(http, make_index(make_manifest(1), make_manifest(2)), tag, name=FLEET)
    assert http.head(f"/v2/{FLEET}/manifests/{tag}").headers["Docker-Content-Digest"] == str(second)
    assert http.delete(f"/v2/{FLEET}/manifests/{tag}").status_code == HTTPStatus.ACCEPTED


def test_of_two_who_push_one_tag_one_has_it(http: Client) -> None:
    """Both at once, with different content: one is told that it is taken."""
    push_blob(http, name=FLEET)
    for attempt in range(10):
        start = threading.Barrier(2)
        answers: dict[bytes, int] = {}

        def one(content: bytes, tag: str, start: threading.Barrier, answers: dict[bytes, int]) -> None:
            start.wait(10)
            answers[content] = put_manifest(http, content, tag, name=FLEET).status_code

        contents = (make_manifest(1), make_manifest(2))
        threads = [threading.Thread(target=one, args=(each, f"v{attempt}", start, answers)) for each in contents]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert sorted(answers.values()) == [HTTPStatus.CREATED, HTTPStatus.CONFLICT]
        winner = next(each for each, status in answers.items() if status == HTTPStatus.CREATED)
        assert http.get(f"/v2/{FLEET}/manifests/v{attempt}").data == winner


def test_deleting_waits_for_a_push_and_a_push_for_deleting(http: Client, storage: Storage) -> None:
    """While somebody makes links nobody removes what they lead to."""
    digest = push(http, make_manifest(), name="org/app")
    answers: list[int] = []
    thread = threading.Thread(target=lambda: answers.append(http.delete(f"/v2/org/app/manifests/{digest}").status_code))
    with storage.held():
        thread.start()
        assert put_manifest(http, make_index(make_manifest()), "v1", INDEX).status_code == HTTPStatus.CREATED
        assert http.head(f"/v2/org/app/manifests/{digest}").status_code == HTTPStatus.OK
        assert answers == []
    thread.join(10)
    assert answers == [HTTPStatus.ACCEPTED]
