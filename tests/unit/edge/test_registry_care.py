"""What nothing needs goes, all else stays, and what does not hold is found."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path

import pytest
from werkzeug.test import Client

from tests.registry_client import CONTENT, DIGEST, UPLOADS, files, make_index, make_manifest, push_blob, put_manifest
from ums.domain.digest import Digest
from ums.domain.oci import INDEX
from ums.edge.registry_care import check, collect
from ums.edge.registry_storage import Storage, write


def age(root: Path) -> None:
    """Let all that is there be two days old."""
    then = time.time() - 2 * 24 * 3600
    for path in root.rglob("*"):
        if path.is_file():
            os.utime(path, (then, then))


def push(http: Client, content: bytes, reference: str | None = None, media_type: str | None = None) -> Digest:
    """Push a manifest and its blob."""
    push_blob(http)
    arguments = {"media_type": media_type} if media_type else {}
    assert put_manifest(http, content, reference, **arguments).status_code == HTTPStatus.CREATED
    return Digest.of(content)


def test_what_nothing_reaches_goes(http: Client, root: Path, storage: Storage) -> None:
    """A manifest without a tag, blobs that no manifest names, and then the content itself."""
    push(http, make_manifest(1), "v1")
    loose, stray = push(http, make_manifest(2)), push_blob(http, b"stray")
    before = files(root)
    age(root)
    told = collect(storage, (), dry_run=True)
    assert files(root) == before
    done = collect(storage, ())
    assert done == told
    assert (done.manifests, done.blobs) == ([f"org/app@{loose}"], [f"org/app@{stray}"])
    assert sorted(done.content) == sorted([str(loose), str(stray)])
    assert done.size == len(make_manifest(2)) + len(b"stray")
    assert http.get("/v2/org/app/manifests/v1").data == make_manifest(1)
    assert http.get(f"/v2/org/app/manifests/{loose}").status_code == HTTPStatus.NOT_FOUND
    assert collect(storage, ()).to_dict() == collect(Storage(root / "empty"), ()).to_dict()
    assert check(storage).problems == []


def test_what_is_reached_stays(http: Client, root: Path, storage: Storage) -> None:
    """By tags, through indexes in indexes, as a referrer of any of these, or by a release."""
    child = make_manifest(1)
    inner = make_index(child)
    push(http, child)
    push(http, inner, media_type=INDEX)
    push(http, make_index(inner), "v1", INDEX)
    push(http, make_manifest(2, subject=child))
    push(http, make_manifest(3, subject=make_manifest(2, subject=child)))
    released = push(http, make_manifest(4))
    push(http, make_manifest(5, subject=make_manifest(4)))
    age(root)
    before = files(root)
    done = collect(storage, {released})
    assert (done.manifests, done.blobs, done.content, done.problems) == ([], [], [], [])
    assert files(root) == before


def test_referrers_go_with_what_they_refer_to(http: Client, root: Path, storage: Storage) -> None:
    """A signature of what is gone, and one of what never came."""
    push(http, make_manifest(1))
    push(http, make_manifest(2, subject=make_manifest(1)))
    push(http, make_manifest(3, subject=Digest.of(b"never")))
    age(root)
    assert len(collect(storage, ()).manifests) == 3
    assert files(root) == []


def test_what_is_young_stays(http: Client, root: Path, storage: Storage) -> None:
    """A push that is under way: blobs without a manifest, a manifest without a tag and the old blobs it names."""
    push_blob(http)
    age(root)
    assert put_manifest(http, make_manifest()).status_code == HTTPStatus.CREATED
    push_blob(http, b"young")
    before = files(root)
    collect(storage, ())
    assert files(root) == before
    assert collect(storage, (), grace=timedelta(0)).manifests


@pytest.mark.parametrize("path", ["blobs", "manifests"])
def test_what_somebody_asks_for_to_build_on_it_stays(http: Client, root: Path, storage: Storage, path: str) -> None:
    """HEAD is how clients find that they need not push something again: from then on it is young."""
    digest = push(http, make_manifest())
    age(root)
    assert http.head(f"/v2/org/app/{path}/{DIGEST if path == 'blobs' else digest}").status_code == HTTPStatus.OK
    collect(storage, ())
    push_again = make_manifest(1) if path == "blobs" else make_index(make_manifest())
    media_type = {} if path == "blobs" else {"media_type": INDEX}
    assert put_manifest(http, push_again, "v1", **media_type).status_code == HTTPStatus.CREATED
    assert check(storage).problems == []


def before_removing(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let something happen between looking for garbage and removing it."""
    held = Storage.held

    def acted_first(self: Storage, *, alone: bool = False) -> object:
        if alone:
            monkeypatch.setattr(Storage, "held", held)
            act()
        return held(self, alone=alone)

    monkeypatch.setattr(Storage, "held", acted_first)


def test_content_that_is_pushed_meanwhile_stays(
    http: Client, root: Path, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was in no repository when garbage was looked for, and is in one when it is removed."""
    digest = push_blob(http)
    assert http.delete(f"/v2/org/app/blobs/{digest}").status_code == HTTPStatus.ACCEPTED
    age(root)
    before_removing(monkeypatch, lambda: push_blob(http, name="org/other"))
    assert collect(storage, ()).content == []
    assert http.get(f"/v2/org/other/blobs/{digest}").data == CONTENT


def test_what_a_push_builds_on_meanwhile_stays(
    http: Client, root: Path, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Garbage is looked for again once nobody can push: what got a tag since is none."""
    content = make_manifest()
    push(http, content)
    age(root)
    before_removing(monkeypatch, lambda: put_manifest(http, content, "v1"))
    assert collect(storage, ()).manifests == []
    assert http.get("/v2/org/app/manifests/v1").data == content


def test_what_is_linked_meanwhile_is_there(http: Client, storage: Storage) -> None:
    """Even without any grace, no link leads nowhere, whoever comes first: what was taken away is pushed anew."""
    stop = threading.Event()

    def collecting() -> None:
        while not stop.is_set():
            collect(storage, (), grace=timedelta(0))

    thread = threading.Thread(target=collecting)
    thread.start()
    try:
        for number in range(60):
            name = f"org/app{number}"
            http.post(f"/v2/{name}/blobs/uploads/?digest={DIGEST}", data=CONTENT)
            http.post(f"/v2/{name}-too/blobs/uploads/?mount={DIGEST}")
            put_manifest(http, make_manifest(), "v1", name=name)
            assert check(storage).problems == []
    finally:
        stop.set()
        thread.join(30)


def test_what_never_ended_goes(http: Client, root: Path, storage: Storage) -> None:
    """Uploads and drafts of a process that was killed."""
    http.post(UPLOADS)
    claimed = root / "repositories" / "org" / "app" / "_uploads" / f"{'a' * 32}.busy"
    draft = root / "blobs" / "sha256" / f".{'b' * 32}"
    draft.parent.mkdir(parents=True)
    for path in (claimed, draft):
        path.write_bytes(b"half")
    assert collect(storage, ()).drafts == 0
    age(root)
    assert collect(storage, ()).drafts == 3
    assert files(root) == []


def test_a_repository_that_cannot_be_read_is_left_alone(http: Client, root: Path, storage: Storage) -> None:
    """What it needs is not known; others are collected, and the trouble is told."""
    broken = push(http, make_manifest())
    push_blob(http, b"stray", name="org/other")
    storage.blob(broken).write_bytes(b"{")
    age(root)
    done = collect(storage, ())
    assert len(done.problems) == 1
    assert str(broken) in done.problems[0]
    assert [each.partition("@")[0] for each in done.blobs] == ["org/other"]
    assert storage.blob(broken).exists()


def test_an_unreadable_manifest_is_kept_with_all_it_may_name(http: Client, root: Path, storage: Storage) -> None:
    """It has no reading, but its bytes are whole: nothing that is written in it goes, and all else is collected."""
    push_blob(http)
    named, loose = push_blob(http, b"named"), push(http, make_manifest(1))
    content = f'{{"layers": [], "Layers": [{{"digest": "{named}"}}]}}'.encode()
    write(storage.blob(Digest.of(content)), content)
    write(storage.link("org/app", "_manifests", Digest.of(content)), b"text/html")
    age(root)
    done = collect(storage, ())
    assert (done.manifests, done.blobs, done.problems) == ([f"org/app@{loose}"], [f"org/app@{DIGEST}"], [])
    assert http.delete(f"/v2/org/app/manifests/{Digest.of(content)}").status_code == HTTPStatus.ACCEPTED
    assert collect(storage, ()).blobs == [f"org/app@{named}"]


def test_what_an_unreadable_release_may_need_is_left_alone(http: Client, root: Path, storage: Storage) -> None:
    """Its repositories are told, and all others are collected."""
    push(http, make_manifest(1))
    push_blob(http, name="org/other")
    age(root)
    done = collect(storage, (), is_unread=lambda name: name == "org/app")
    assert (done.manifests, done.blobs) == ([], [f"org/other@{DIGEST}"])
    assert "org/app: a release of this bundle cannot be read" in done.problems[0]
    assert collect(storage, ()).manifests, "without that it would be gone"


def damage_content(storage: Storage, _digest: Digest) -> str:
    """Change a byte."""
    storage.blob(DIGEST).write_bytes(b"X" + CONTENT[1:])
    return f"content of {DIGEST}"


def lose_content(storage: Storage, _digest: Digest) -> str:
    """Lose a blob's content."""
    storage.blob(DIGEST).unlink()
    return f"the content of blob {DIGEST}"


def lose_blob(storage: Storage, digest: Digest) -> str:
    """Lose a blob's link."""
    storage.link("org/app", "_blobs", DIGEST).unlink()
    return f"manifest {digest} needs blob {DIGEST}"


def lose_manifest(storage: Storage, digest: Digest) -> str:
    """Lose a manifest's link."""
    storage.link("org/app", "_manifests", digest).unlink()
    return f"tag v1 names {digest}"


def lose_manifest_content(storage: Storage, digest: Digest) -> str:
    """Lose a manifest's content."""
    storage.blob(digest).unlink()
    return f"the content of manifest {digest}"


def lose_referrer(storage: Storage, digest: Digest) -> str:
    """Lose what says who refers to the subject."""
    storage.referrer("org/app", Digest.of(b"subject"), digest).unlink()
    return f"manifest {digest} is not among the referrers"


@pytest.mark.parametrize(
    "hurt",
    [damage_content, lose_content, lose_blob, lose_manifest, lose_manifest_content, lose_referrer],
    ids=lambda hurt: hurt.__name__,
)
def test_what_does_not_hold_is_named(http: Client, storage: Storage, hurt: Callable[[Storage, Digest], str]) -> None:
    """Each kind of damage, by digest; before it, nothing is wrong."""
    digest = push(http, make_manifest(subject=Digest.of(b"subject")), "v1")
    found = check(storage)
    assert (found.problems, found.repositories, found.manifests, found.tags, found.content) == ([], 1, 1, 1, 2)
    assert found.size == len(CONTENT) + len(make_manifest(subject=Digest.of(b"subject")))
    expected = hurt(storage, digest)
    assert any(expected in problem for problem in check(storage).problems), check(storage).problems
