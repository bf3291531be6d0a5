"""The embedded OCI registry: distribution-spec 1.1 as plain WSGI over a folder.

Who may do what, which tags stay where they are and what releases need is decided by what is passed in. What nothing
reaches any more is removed elsewhere (``registry_care``).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator
from enum import Enum, auto
from http import HTTPStatus
from io import RawIOBase
from pathlib import Path
from typing import Any, BinaryIO
from wsgiref.types import StartResponse, WSGIEnvironment

from ums.domain import strict_json
from ums.domain.canonical import canonical_json
from ums.domain.digest import Digest
from ums.domain.errors import InvalidInputError
from ums.domain.oci import DOCUMENT_TYPES, INDEX, Descriptor, is_repository, is_tag
from ums.edge.registry_messages import CHUNK, Access, Answer, RefusalError, Request, going_on
from ums.edge.registry_quotas import Quotas
from ums.edge.registry_storage import (
    Manifest,
    Part,
    Storage,
    blobs_of,
    is_fallback_tag,
    move,
    names,
    reached,
    remove,
    write,
)

_PAGE = 100
_TAGS_PAGE = 1000
_MAX_MANIFEST_SIZE = 4 * 1024 * 1024
_UPLOAD_AGE_SECONDS = 24 * 3600
_RENEWED_SECONDS = 3600
"""Of what somebody asks for, in order to build on it, the age begins anew; not more often than this."""
_HASHES = 256
"""Uploads whose checksum is kept from request to request; of others, the content is read again at their end."""
_SOURCES = 8
"""Repositories that are asked for a blob, if a client does not say which has it."""
_UPLOAD_ID = re.compile(r"[0-9a-f]{32}")
_BLOB_TYPE = "application/octet-stream"


class Challenge(Enum):
    """Why a request is turned away."""

    UNAUTHENTICATED = auto()
    """Nobody known asks: 401."""
    FORBIDDEN = auto()
    """Somebody asks who may not: 403."""


Authorize = Callable[[str | None, Access, str], Challenge | None]
"""Takes the Authorization header, what is asked, and the repository (empty for ``/v2/`` itself)."""


class EmbeddedRegistry:
    """A WSGI application that serves the registry kept in a folder.

    Args:
        root: the folder; made when absent.
        authorize: asked before the folder is looked at.
        has_fixed_tags: whether in a repository tags stay where they are, and what they reach with them. There, Flux
            fetches: only manifests are taken that have no member which UMS does not know.
        released: digests that releases need: they, and what they reach, are never deleted.
        is_unread: whether a repository holds what a release needs which cannot be read; nothing is deleted there.
        caller: names who asks, by the Authorization header; what one may have under way is limited then.
        max_blob_size: bytes; larger uploads answer 413.

    """

    def __init__(
        self,
        root: Path,
        *,
        authorize: Authorize,
        has_fixed_tags: Callable[[str], bool],
        released: Callable[[], Collection[Digest]],
        is_unread: Callable[[str], bool] = lambda _name: False,
        caller: Callable[[str | None], str] | None = None,
        max_blob_size: int = 4 * 1024**3,
    ) -> None:
        self._storage = Storage(root)
        self._authorize = authorize
        self._has_fixed_tags = has_fixed_tags
        self._released = released
        self._is_unread = is_unread
        self._max_blob_size = max_blob_size
        self._hashes = _Hashes()
        self._caller = caller
        self._quotas = Quotas(root)
        self._handlers: dict[tuple[str, str], Callable[[Request], Answer]] = {
            ("", "GET"): lambda _: Answer.of_json({}),
            ("manifests", "GET"): self._get_manifest,
            ("manifests", "PUT"): self._put_manifest,
            ("manifests", "DELETE"): self._delete_manifest,
            ("blobs", "GET"): self._get_blob,
            ("blobs", "DELETE"): self._delete_blob,
            ("tags", "GET"): self._list_tags,
            ("referrers", "GET"): self._list_referrers,
            ("blobs/uploads", "POST"): self._start_upload,
            ("blobs/uploads", "GET"): self._find_upload,
            ("blobs/uploads", "PATCH"): self._append_chunk,
            ("blobs/uploads", "PUT"): self._finish_upload,
            ("blobs/uploads", "DELETE"): self._cancel_upload,
        }

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        try:
            answer = self._answer(Request(environ))
        except RefusalError as refusal:
            answer = refusal.answer()
        except OSError as error:
            # A full disk is for its owner to mend: said plainly, and nothing half-written stays.
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                answer = RefusalError(HTTPStatus.INSUFFICIENT_STORAGE, "UNKNOWN", "the disk is full").answer()
            else:
                answer = RefusalError(HTTPStatus.INTERNAL_SERVER_ERROR, "UNKNOWN", "the disk failed").answer()
        headers = {"Docker-Distribution-API-Version": "registry/2.0"}
        if answer.status is not HTTPStatus.NOT_MODIFIED:
            headers["Content-Length"] = str(answer.size)
        start_response(f"{answer.status.value} {answer.status.phrase}", list({**headers, **answer.headers}.items()))
        if environ["REQUEST_METHOD"] != "HEAD":
            return _pieces(answer.file, answer.size) if answer.file else (answer.content,)
        if answer.file:
            answer.file.close()
        return ()

    def _answer(self, request: Request) -> Answer:
        match self._authorize(request.authorization, request.access, request.name):
            case Challenge.UNAUTHENTICATED:
                headers = {"WWW-Authenticate": 'Basic realm="ums"'}
                raise RefusalError(HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED", "log in first", headers)
            case Challenge.FORBIDDEN:
                raise RefusalError(HTTPStatus.FORBIDDEN, "DENIED", f"you may not {request.access.value} this")
        method = "GET" if request.method == "HEAD" else request.method
        handler = self._handlers.get((request.kind, method))
        if handler is None:
            allowed = ", ".join(sorted(known for kind, known in self._handlers if kind == request.kind))
            text = f"{request.method} is not possible here"
            raise RefusalError(HTTPStatus.METHOD_NOT_ALLOWED, "UNSUPPORTED", text, {"Allow": allowed})
        if request.kind == "blobs/uploads" and self._caller is not None:
            request.caller = self._caller(request.authorization)
        return handler(request)

    def _get_blob(self, request: Request) -> Answer:
        digest = _parse_digest(request.rest)
        unknown = RefusalError(HTTPStatus.NOT_FOUND, "BLOB_UNKNOWN", "no such blob in this repository")
        return self._content(request, self._storage.link(request.name, "_blobs", digest), digest, unknown, _BLOB_TYPE)

    def _get_manifest(self, request: Request) -> Answer:
        unknown = RefusalError(HTTPStatus.NOT_FOUND, "MANIFEST_UNKNOWN", "no such manifest here")
        if is_tag(request.rest):
            digest = self._storage.tag(request.name, request.rest)
            if digest is None:
                raise unknown
        else:
            digest = _parse_digest(request.rest)
        link = self._storage.link(request.name, "_manifests", digest)
        try:
            media_type = link.read_text()
        except FileNotFoundError:
            raise unknown from None
        if media_type not in DOCUMENT_TYPES:
            # Taken in before the rules of today: a browser would run it.
            text = f"it was pushed as {media_type!a:.100}, which is not served"
            raise RefusalError(HTTPStatus.NOT_FOUND, "MANIFEST_UNKNOWN", text)
        return self._content(request, link, digest, unknown, media_type)

    def _content(self, request: Request, link: Path, digest: Digest, unknown: RefusalError, media_type: str) -> Answer:
        """Answer with what a link stands for: all of it, a part, or that the client has it."""
        try:
            link.stat()
            if request.method == "HEAD":
                self._renew(link)
            file = self._storage.blob(digest).open("rb", buffering=0)
        except FileNotFoundError:
            raise unknown from None
        size = os.fstat(file.fileno()).st_size
        etag = f'"{digest}"'
        headers = {"Docker-Content-Digest": str(digest), "ETag": etag}
        if request.has_already(etag):
            file.close()
            return Answer(HTTPStatus.NOT_MODIFIED, headers)
        headers |= {"Content-Type": media_type, "Accept-Ranges": "bytes"}
        part = request.part(size, etag)
        if part is None:
            return Answer(HTTPStatus.OK, headers, file=file, size=size)
        if not part:
            file.close()
            text, headers = f"there are {size} bytes", {"Content-Range": f"bytes */{size}"}
            raise RefusalError(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "SIZE_INVALID", text, headers)
        file.seek(part.start)
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
        return Answer(HTTPStatus.PARTIAL_CONTENT, headers, file=file, size=len(part))

    def _renew(self, link: Path) -> None:
        """Let a link's age begin anew, so that it is not removed before what is built on it comes."""
        if link.stat().st_mtime < time.time() - _RENEWED_SECONDS:
            with self._storage.held():
                try:
                    os.utime(link)
                except FileNotFoundError:
                    raise
                except OSError:
                    # A disk that cannot be written to can be read from; nothing is removed from it either.
                    return

    def _put_manifest(self, request: Request) -> Answer:
        tags = request.tags
        content = b"".join(request.read_body(_MAX_MANIFEST_SIZE))
        digest = Digest.of(content) if is_tag(request.rest) else _parse_digest(request.rest)
        if hashlib.new(digest.algorithm, content).hexdigest() != digest.hex:
            raise RefusalError(HTTPStatus.BAD_REQUEST, "DIGEST_INVALID", "the manifest has another digest")
        storage, name = self._storage, request.name
        manifest = _parse_manifest(content, request.content_type, strict=self._has_fixed_tags(name))
        headers = {"Location": request.url(f"manifests/{digest}"), "Docker-Content-Digest": str(digest)}
        with storage.held():
            # Lists of referrers may name what is gone: clients add to what they find.
            self._check_parts(name, manifest, whole=not any(map(is_fallback_tag, tags)))
            # Before anything is written: tags that cannot be are the more likely reason to say no.
            for tag in tags:
                self._check_tag(name, tag, digest)
            # In this order, so that after a crash nothing points to what is not there; a referrer counts with its link.
            write(storage.blob(digest), content)
            if manifest.subject:
                entry = Descriptor(
                    request.content_type, digest, len(content), manifest.annotations, manifest.artifact_type
                )
                write(storage.referrer(name, manifest.subject.digest, digest), canonical_json(entry.to_dict()))
                headers["OCI-Subject"] = str(manifest.subject.digest)
            write(storage.link(name, "_manifests", digest), request.content_type.encode())
            for tag in tags:
                self._set_tag(name, tag, digest)
        if not is_tag(request.rest) and tags:
            headers["OCI-Tag"] = ", ".join(tags)
        return Answer(HTTPStatus.CREATED, headers)

    def _check_parts(self, name: str, manifest: Manifest, *, whole: bool) -> None:
        """Check that what a manifest names is there, and is what its descriptors say of size and kind."""
        for part in manifest.blobs:
            if not self._storage.link(name, "_blobs", part.digest).exists():
                raise _missing(part)
            self._check_size(part)
        for part in manifest.elsewhere:
            if self._storage.link(name, "_blobs", part.digest).exists():
                self._check_size(part)
        for part in manifest.children:
            if not self._check_manifest(name, part) and whole:
                raise _missing(part)
        if manifest.subject:
            self._check_manifest(name, manifest.subject)

    def _check_manifest(self, name: str, part: Part) -> bool:
        """Check a descriptor of a manifest; return whether that is there. Some indexes list blobs, too."""
        media_type = self._storage.media_type(name, part.digest)
        if media_type is None and not self._storage.link(name, "_blobs", part.digest).exists():
            return False
        self._check_size(part)
        if media_type not in {None, part.media_type}:
            text = f"the descriptor of {part.digest} says it is {part.media_type}, but it came as {media_type}"
            raise RefusalError(HTTPStatus.BAD_REQUEST, "MANIFEST_INVALID", text)
        return True

    def _check_size(self, part: Part) -> None:
        size = self._storage.blob(part.digest).stat().st_size
        if size != part.size:
            text = f"the descriptor of {part.digest} says it has {part.size} bytes, but it has {size}"
            raise RefusalError(HTTPStatus.BAD_REQUEST, "MANIFEST_INVALID", text)

    def _is_fixed(self, name: str, tag: str) -> bool:
        return not is_fallback_tag(tag) and self._has_fixed_tags(name)

    def _check_tag(self, name: str, tag: str, digest: Digest) -> None:
        there = self._storage.tag(name, tag)
        if there not in {None, digest} and self._is_fixed(name, tag):
            text = f"tag {tag} names {there}, and tags never move here: publish a new version"
            raise RefusalError(HTTPStatus.CONFLICT, "DENIED", text)

    def _set_tag(self, name: str, tag: str, digest: Digest) -> None:
        path = self._storage.folder(name, "_tags") / tag
        try:
            write(path, str(digest).encode(), new=self._is_fixed(name, tag))
        except FileExistsError:
            # It was there, or two pushed at once: whoever came first has it.
            self._check_tag(name, tag, digest)

    def _delete_manifest(self, request: Request) -> Answer:
        storage, name = self._storage, request.name
        released = self._released()
        self._check_readable(name)
        with storage.held(alone=True):
            if is_tag(request.rest):
                self._delete_tag(name, request.rest)
                return Answer(HTTPStatus.ACCEPTED)
            digest = _parse_digest(request.rest)
            if not storage.link(name, "_manifests", digest).exists():
                raise RefusalError(HTTPStatus.NOT_FOUND, "MANIFEST_UNKNOWN", "no such manifest here")
            manifests, tags = storage.manifests(name), storage.tags(name)
            if digest in reached(manifests, released):
                raise _kept("a release needs it; what the release repo lists stays")
            fixed = [tag for tag in tags if self._is_fixed(name, tag)]
            holding = [tag for tag in fixed if digest in reached(manifests, [tags[tag]])]
            if holding:
                raise _kept(f"tag {holding[0]} reaches it, and tags stay here: publish a new version")
            # In the reverse order of a push: what points to it goes first.
            for tag in (tag for tag, named in tags.items() if named == digest):
                remove(storage.folder(name, "_tags") / tag)
            subject = manifests[digest].subject
            remove(storage.link(name, "_manifests", digest))
            if subject:
                remove(storage.referrer(name, subject.digest, digest))
        return Answer(HTTPStatus.ACCEPTED)

    def _check_readable(self, name: str) -> None:
        if self._is_unread(name):
            raise _kept("a release of this bundle cannot be read in the release repo, so nobody knows what it needs")

    def _delete_tag(self, name: str, tag: str) -> None:
        path = self._storage.folder(name, "_tags") / tag
        if path.exists() and self._is_fixed(name, tag):
            raise _kept(f"tag {tag} stays, as all do here: publish a new version, and yank this one")
        if not remove(path):
            raise RefusalError(HTTPStatus.NOT_FOUND, "MANIFEST_UNKNOWN", "no such tag here")

    def _delete_blob(self, request: Request) -> Answer:
        storage, name, digest = self._storage, request.name, _parse_digest(request.rest)
        released = self._released()
        self._check_readable(name)
        with storage.held(alone=True):
            if not storage.link(name, "_blobs", digest).exists():
                raise RefusalError(HTTPStatus.NOT_FOUND, "BLOB_UNKNOWN", "no such blob in this repository")
            if digest in released or digest in blobs_of(storage.manifests(name).values()):
                raise _kept("a manifest of this repository needs it: delete that first")
            remove(storage.link(name, "_blobs", digest))
        return Answer(HTTPStatus.ACCEPTED)

    def _list_tags(self, request: Request) -> Answer:
        if request.rest != "list" or not self._storage.is_repository(request.name):
            raise RefusalError(HTTPStatus.NOT_FOUND, "NAME_UNKNOWN", "no such repository")
        last, wanted = request.query.get("last", ""), request.query.get("n", "")
        limit = min(int(wanted), _TAGS_PAGE) if re.fullmatch(r"[0-9]{1,9}", wanted) else _TAGS_PAGE
        tags = [tag for tag in names(self._storage.folder(request.name, "_tags")) if tag > last]
        headers: dict[str, str] = {}
        if limit < len(tags):
            tags = tags[:limit]
            if tags:
                headers["Link"] = request.link_to_next("tags/list", tags[-1])
        return Answer.of_json({"name": request.name, "tags": tags}, headers=headers)

    def _list_referrers(self, request: Request) -> Answer:
        subject = _parse_digest(request.rest)
        artifact_type, last = request.query.get("artifactType"), request.query.get("last", "")
        headers = {"OCI-Filters-Applied": "artifactType"} if artifact_type else {}
        folder = self._storage.link(request.name, "_referrers", subject)
        found: list[dict[str, Any]] = []
        for name in names(folder):
            if name <= last:
                continue
            if len(found) == _PAGE:
                headers["Link"] = request.link_to_next(f"referrers/{subject}", found[-1]["digest"].replace(":", "-"))
                break
            with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                entry = strict_json.loads((folder / name).read_bytes())
                is_there = self._storage.media_type(request.name, Digest.parse(entry["digest"])) in DOCUMENT_TYPES
                if is_there and artifact_type in {None, entry.get("artifactType")}:
                    found.append(entry)
        return Answer.of_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": found}, INDEX, headers)

    def _start_upload(self, request: Request) -> Answer:
        if request.rest:
            raise RefusalError(HTTPStatus.METHOD_NOT_ALLOWED, "UNSUPPORTED", "an upload goes on by PATCH or PUT")
        if "mount" in request.query and (mounted := self._mount(request)):
            return mounted
        algorithm = request.algorithm
        uploads = self._storage.folder(request.name, "_uploads")
        uploads.mkdir(parents=True, exist_ok=True)
        for abandoned in uploads.iterdir():
            with contextlib.suppress(FileNotFoundError):  # somebody else sweeps, or finishes it
                if abandoned.stat().st_mtime < time.time() - _UPLOAD_AGE_SECONDS:
                    abandoned.unlink()
        request.rest = uuid.uuid4().hex
        upload = uploads / request.rest
        with self._quotas.beginning(request.caller, upload):
            upload.touch(exist_ok=False)
        self._hashes.keep(request.rest, _Hash(algorithm))
        return self._finish_upload(request) if "digest" in request.query else going_on(request, 0)

    def _mount(self, request: Request) -> Answer | None:
        """Link a blob of another repository that the caller may read, if there is one."""
        digest, sources = _parse_digest(request.query["mount"]), [request.query.get("from", "")]
        if "from" not in request.query:
            sources = self._sources(digest) if self._storage.blob(digest).exists() else []
        for source in sources:
            if not is_repository(source) or self._authorize(request.authorization, Access.READ, source):
                continue
            with self._storage.held():
                if self._storage.link(source, "_blobs", digest).exists():
                    return self._blob_created(request, digest)
        return None

    def _sources(self, digest: Digest) -> list[str]:
        """Return some repositories that have a blob."""
        found: list[str] = []
        for name in self._storage.repositories():
            if self._storage.link(name, "_blobs", digest).exists():
                found.append(name)
                if len(found) == _SOURCES:
                    break
        return found

    def _blob_created(self, request: Request, digest: Digest) -> Answer:
        write(self._storage.link(request.name, "_blobs", digest), b"")
        headers = {"Location": request.url(f"blobs/{digest}"), "Docker-Content-Digest": str(digest)}
        return Answer(HTTPStatus.CREATED, headers)

    @contextlib.contextmanager
    def _claim(self, request: Request) -> Iterator[Path]:
        """Own an upload: whoever renames it first; two requests never write to one. It goes on unless it is gone."""
        unknown = RefusalError(HTTPStatus.NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "no such upload; start again")
        if not _UPLOAD_ID.fullmatch(request.rest):
            raise unknown
        path = self._storage.folder(request.name, "_uploads") / request.rest
        if not self._quotas.owns(request.caller, path):
            raise unknown  # it is another's
        try:
            claimed = path.rename(path.with_suffix(".busy"))
        except FileNotFoundError:
            raise unknown from None
        try:
            yield claimed
        finally:
            with contextlib.suppress(FileNotFoundError):
                claimed.rename(path)

    def _body(self, request: Request, size: int) -> Iterator[bytes]:
        """Yield what is added to an upload of so many bytes, within the limits of blobs and of the caller."""
        return self._quotas.within(request.caller, request.read_body(self._max_blob_size - size))

    def _forget(self, request: Request) -> None:
        self._quotas.end(request.caller, self._storage.folder(request.name, "_uploads") / request.rest)

    def _find_upload(self, request: Request) -> Answer:
        with self._claim(request) as claimed:
            return going_on(request, claimed.stat().st_size, HTTPStatus.NO_CONTENT)

    def _cancel_upload(self, request: Request) -> Answer:
        with self._claim(request) as claimed:
            claimed.unlink()
            self._forget(request)
            return Answer(HTTPStatus.NO_CONTENT)

    def _append_chunk(self, request: Request) -> Answer:
        """Add to an upload; what does not come whole is taken back, so that the client can go on from there."""
        with self._claim(request) as claimed:
            start = size = claimed.stat().st_size
            request.check_range(start)
            checksum = self._hashes.take(request.rest, start)
            grown = checksum.copy() if checksum else None
            try:
                with claimed.open("ab", buffering=0) as file:
                    for chunk in self._body(request, start):
                        _write_all(file, chunk)
                        if grown:
                            grown.update(chunk)
                size, checksum = claimed.stat().st_size, grown
            finally:
                os.truncate(claimed, size)
                if checksum:
                    self._hashes.keep(request.rest, checksum)
            return going_on(request, size)

    def _finish_upload(self, request: Request) -> Answer:
        with self._claim(request) as claimed:
            size = claimed.stat().st_size
            request.check_range(size)
            try:
                digest = _parse_digest(request.query.get("digest"))
                checksum = self._hashes.take(request.rest, size)
                with claimed.open("r+b", buffering=0) as file:
                    if checksum is None or checksum.algorithm != digest.algorithm:
                        checksum = _Hash(digest.algorithm)
                        while chunk := file.read(CHUNK):
                            checksum.update(chunk)
                    file.seek(size)
                    for chunk in self._body(request, size):
                        checksum.update(chunk)
                        _write_all(file, chunk)
                    if checksum.hex != digest.hex:
                        raise RefusalError(HTTPStatus.BAD_REQUEST, "DIGEST_INVALID", f"got {checksum.hex}")
                    os.fsync(file.fileno())
                with self._storage.held():
                    move(claimed, self._storage.blob(digest))
                    return self._blob_created(request, digest)
            finally:
                claimed.unlink(missing_ok=True)
                self._forget(request)


class _Hash:
    """A checksum under way, and of how many bytes it is."""

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        self.size = 0
        self._state = hashlib.new(algorithm)

    def update(self, chunk: bytes) -> None:
        self._state.update(chunk)
        self.size += len(chunk)

    def copy(self) -> _Hash:
        copied = _Hash(self.algorithm)
        copied._state, copied.size = self._state.copy(), self.size
        return copied

    @property
    def hex(self) -> str:
        return self._state.hexdigest()


class _Hashes:
    """Checksums of uploads under way, so that content is read once; the oldest are forgotten."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Hash] = OrderedDict()

    def keep(self, upload: str, checksum: _Hash) -> None:
        self._kept[upload] = checksum
        while len(self._kept) > _HASHES:
            with contextlib.suppress(KeyError):  # another thread forgot the last
                self._kept.popitem(last=False)

    def take(self, upload: str, size: int) -> _Hash | None:
        """Return the checksum of an upload, if it is that of all its bytes."""
        checksum = self._kept.pop(upload, None)
        return checksum if checksum is not None and checksum.size == size else None


def _kept(reason: str) -> RefusalError:
    return RefusalError(HTTPStatus.METHOD_NOT_ALLOWED, "DENIED", reason, {"Allow": "GET, HEAD, PUT"})


def _missing(part: Part) -> RefusalError:
    return RefusalError(HTTPStatus.BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN", f"push {part.digest} first")


def _parse_digest(text: object) -> Digest:
    try:
        return Digest.parse(str(text))
    except InvalidInputError as error:
        raise RefusalError(HTTPStatus.BAD_REQUEST, "DIGEST_INVALID", error.message) from error


def _parse_manifest(content: bytes, media_type: str, *, strict: bool) -> Manifest:
    if media_type not in DOCUMENT_TYPES:
        text = f"Content-Type is none of {', '.join(sorted(DOCUMENT_TYPES))}"
        raise RefusalError(HTTPStatus.BAD_REQUEST, "MANIFEST_INVALID", text)
    try:
        return Manifest.parse(content, media_type, strict=strict)
    except InvalidInputError as error:
        raise RefusalError(HTTPStatus.BAD_REQUEST, "DIGEST_INVALID", error.message) from error
    except ValueError as error:
        raise RefusalError(HTTPStatus.BAD_REQUEST, "MANIFEST_INVALID", str(error)) from error


def _write_all(file: RawIOBase, content: bytes) -> None:
    """Write all of it: a disk that fills up takes a part first."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) or 0 :]


def _pieces(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield so many bytes of a file, from where it stands."""
    with contextlib.closing(file):
        while size and (chunk := file.read(min(size, CHUNK))):
            size -= len(chunk)
            yield chunk
