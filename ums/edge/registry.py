"""The embedded OCI registry: distribution-spec 1.1 as plain WSGI over a folder.

Who may do what, which tags stay where they are and what releases need is decided by what is passed in. What nothing
reaches any more is removed elsewhere (``registry_care``).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus
from io import RawIOBase
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qs, urlencode
from wsgiref.types import StartResponse, WSGIEnvironment

from ums.domain.canonical import canonical_json
from ums.domain.digest import Digest
from ums.domain.errors import InvalidInputError
from ums.domain.oci import INDEX, Descriptor, is_repository, is_tag
from ums.edge.registry_storage import (
    Manifest,
    Storage,
    blobs_of,
    is_fallback_tag,
    move,
    names,
    reached,
    remove,
    write,
)

_CHUNK = 256 * 1024
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
_ROUTE = re.compile(r"/v2/(.+?)/(manifests|blobs/uploads|blobs|tags|referrers)/([^/]*)")
_UPLOAD_ID = re.compile(r"[0-9a-f]{32}")
_NUMBER = r"[0-9]{1,18}"
_LENGTH = re.compile(_NUMBER)
_CONTENT_RANGE = re.compile(rf"({_NUMBER})-({_NUMBER})")
_RANGE = re.compile(rf"bytes=(?:({_NUMBER})-({_NUMBER})?|-({_NUMBER}))")
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}")


class Challenge(Enum):
    """Why a request is turned away."""

    UNAUTHENTICATED = auto()
    """Nobody known asks: 401."""
    FORBIDDEN = auto()
    """Somebody asks who may not: 403."""


class Access(Enum):
    """What a request does to a repository."""

    READ = "pull from"
    WRITE = "push to"
    DELETE = "delete from"


Authorize = Callable[[str | None, Access, str], Challenge | None]
"""Takes the Authorization header, what is asked, and the repository (empty for ``/v2/`` itself)."""


class EmbeddedRegistry:
    """A WSGI application that serves the registry kept in a folder.

    Args:
        root: the folder; made when absent.
        authorize: asked before the folder is looked at.
        has_fixed_tags: whether in a repository tags stay where they are, and what they reach with them.
        released: digests that releases need: they, and what they reach, are never deleted.
        max_blob_size: bytes; larger uploads answer 413.

    """

    def __init__(
        self,
        root: Path,
        *,
        authorize: Authorize,
        has_fixed_tags: Callable[[str], bool],
        released: Callable[[], Collection[Digest]],
        max_blob_size: int = 4 * 1024**3,
    ) -> None:
        self._storage = Storage(root)
        self._authorize = authorize
        self._has_fixed_tags = has_fixed_tags
        self._released = released
        self._max_blob_size = max_blob_size
        self._hashes = _Hashes()
        self._handlers: dict[tuple[str, str], Callable[[_Request], _Answer]] = {
            ("", "GET"): lambda _: _Answer.of_json({}),
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
            answer = self._answer(_Request(environ))
        except _RefusalError as refusal:
            answer = refusal.answer()
        except OSError as error:
            # A full disk is for its owner to mend: said plainly, and nothing half-written stays.
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                answer = _RefusalError(HTTPStatus.INSUFFICIENT_STORAGE, "UNKNOWN", "the disk is full").answer()
            else:
                answer = _RefusalError(HTTPStatus.INTERNAL_SERVER_ERROR, "UNKNOWN", "the disk failed").answer()
        headers = {"Docker-Distribution-API-Version": "registry/2.0", "X-Content-Type-Options": "nosniff"}
        if answer.status is not HTTPStatus.NOT_MODIFIED:
            headers["Content-Length"] = str(answer.size)
        start_response(f"{answer.status.value} {answer.status.phrase}", list({**headers, **answer.headers}.items()))
        if environ["REQUEST_METHOD"] != "HEAD":
            return _pieces(answer.file, answer.size) if answer.file else (answer.content,)
        if answer.file:
            answer.file.close()
        return ()

    def _answer(self, request: _Request) -> _Answer:
        match self._authorize(request.authorization, request.access, request.name):
            case Challenge.UNAUTHENTICATED:
                headers = {"WWW-Authenticate": 'Basic realm="ums"'}
                raise _RefusalError(HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED", "log in first", headers)
            case Challenge.FORBIDDEN:
                raise _RefusalError(HTTPStatus.FORBIDDEN, "DENIED", f"you may not {request.access.value} this")
        method = "GET" if request.method == "HEAD" else request.method
        handler = self._handlers.get((request.kind, method))
        if handler is None:
            allowed = ", ".join(sorted(known for kind, known in self._handlers if kind == request.kind))
            text = f"{request.method} is not possible here"
            raise _RefusalError(HTTPStatus.METHOD_NOT_ALLOWED, "UNSUPPORTED", text, {"Allow": allowed})
        return handler(request)

    def _get_blob(self, request: _Request) -> _Answer:
        digest = _parse_digest(request.rest)
        unknown = _RefusalError(HTTPStatus.NOT_FOUND, "BLOB_UNKNOWN", "no such blob in this repository")
        return self._content(request, self._storage.link(request.name, "_blobs", digest), digest, unknown)

    def _get_manifest(self, request: _Request) -> _Answer:
        unknown = _RefusalError(HTTPStatus.NOT_FOUND, "MANIFEST_UNKNOWN", "no such manifest here")
        if is_tag(request.rest):
            digest = self._storage.tag(request.name, request.rest)
            if digest is None:
                raise unknown
        else:
            digest = _parse_digest(request.rest)
        return self._content(request, self._storage.link(request.name, "_manifests", digest), digest, unknown)

    def _content(self, request: _Request, link: Path, digest: Digest, unknown: _RefusalError) -> _Answer:
        """Answer with what a link stands for: all of it, a part, or that the client has it."""
        try:
            media_type = link.read_text() or "application/octet-stream"
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
            return _Answer(HTTPStatus.NOT_MODIFIED, headers)
        headers |= {"Content-Type": media_type, "Accept-Ranges": "bytes"}
        part = request.part(size, etag)
        if part is None:
            return _Answer(HTTPStatus.OK, headers, file=file, size=size)
        if not part:
            file.close()
            text, headers = f"there are {size} bytes", {"Content-Range": f"bytes */{size}"}
            raise _RefusalError(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "SIZE_INVALID", text, headers)
        file.seek(part.start)
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
        return _Answer(HTTPStatus.PARTIAL_CONTENT, headers, file=file, size=len(part))

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

    def _put_manifest(self, request: _Request) -> _Answer:
        tags = request.tags
        content = b"".join(request.read_body(_MAX_MANIFEST_SIZE))
        digest = Digest.of(content) if is_tag(request.rest) else _parse_digest(request.rest)
        if hashlib.new(digest.algorithm, content).hexdigest() != digest.hex:
            raise _RefusalError(HTTPStatus.BAD_REQUEST, "DIGEST_INVALID", "the manifest has another digest")
        manifest = _parse_manifest(content, request.content_type)
        storage, name = self._storage, request.name
        headers = {"Location": request.url(f"manifests/{digest}"), "Docker-Content-Digest": str(digest)}
        with storage.held():
            for blob in manifest.blobs:
                if not storage.link(name, "_blobs", blob).exists():
                    raise _RefusalError(HTTPStatus.BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN", f"push {blob} first")
            # Before anything is written: tags that cannot be are the more likely reason to say no.
            for tag in tags:
                self._check_tag(name, tag, digest)
            # In this order, so that after a crash nothing points to what is not there; a referrer counts with its link.
            write(storage.blob(digest), content)
            if manifest.subject:
                entry = Descriptor(
                    request.content_type, digest, len(content), manifest.annotations, manifest.artifact_type
                )
                write(storage.referrer(name, manifest.subject, digest), canonical_json(entry.to_dict()))
                headers["OCI-Subject"] = str(manifest.subject)
            write(storage.link(name, "_manifests", digest), request.content_type.encode())
            for tag in tags:
                self._set_tag(name, tag, digest)
        if not is_tag(request.rest) and tags:
            headers["OCI-Tag"] = ", ".join(tags)
        return _Answer(HTTPStatus.CREATED, headers)

    def _is_fixed(self, name: str, tag: str) -> bool:
        return not is_fallback_tag(tag) and self._has_fixed_tags(name)

    def _check_tag(self, name: str, tag: str, digest: Digest) -> None:
        there = self._storage.tag(name, tag)
        if there not in {None, digest} and self._is_fixed(name, tag):
            text = f"tag {tag} names {there}, and tags never move here: publish a new version"
            raise _RefusalError(HTTPStatus.CONFLICT, "DENIED", text)

    def _set_tag(self, name: str, tag: str, digest: Digest) -> None:
        path = self._storage.folder(name, "_tags") / tag
        try:
            write(path, str(digest).encode(), new=self._is_fixed(name, tag))
        except FileExistsError:
            # It was there, or two pushed at once: whoever came first has it.
            self._check_tag(name, tag, digest)

    def _delete_manifest(self, request: _Request) -> _Answer:
        storage, name = self._storage, request.name
        released = self._released()
        with storage.held(alone=True):
            if is_tag(request.rest):
                self._delete_tag(name, request.rest)
                return _Answer(HTTPStatus.ACCEPTED)
            digest = _parse_digest(request.rest)
            if not storage.link(name, "_manifests", digest).exists():
                raise _RefusalError(HTTPStatus.NOT_FOUND, "MANIFEST_UNKNOWN", "no such manifest here")
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
                remove(storage.referrer(name, subject, digest))
        return _Answer(HTTPStatus.ACCEPTED)

    def _delete_tag(self, name: str, tag: str) -> None:
        path = self._storage.folder(name, "_tags") / tag
        if path.exists() and self._is_fixed(name, tag):
            raise _kept(f"tag {tag} stays, as all do here: publish a new version, and yank this one")
        if not remove(path):
            raise _RefusalError(HTTPStatus.NOT_FOUND, "MANIFEST_UNKNOWN", "no such tag here")

    def _delete_blob(self, request: _Request) -> _Answer:
        storage, name, digest = self._storage, request.name, _parse_digest(request.rest)
        released = self._released()
        with storage.held(alone=True):
            if not storage.link(name, "_blobs", digest).exists():
                raise _RefusalError(HTTPStatus.NOT_FOUND, "BLOB_UNKNOWN", "no such blob in this repository")
            if digest in released or digest in blobs_of(storage.manifests(name).values()):
                raise _kept("a manifest of this repository needs it: delete that first")
            remove(storage.link(name, "_blobs", digest))
        return _Answer(HTTPStatus.ACCEPTED)

    def _list_tags(self, request: _Request) -> _Answer:
        if request.rest != "list" or not self._storage.is_repository(request.name):
            raise _RefusalError(HTTPStatus.NOT_FOUND, "NAME_UNKNOWN", "no such repository")
        last, wanted = request.query.get("last", ""), request.query.get("n", "")
        limit = min(int(wanted), _TAGS_PAGE) if re.fullmatch(r"[0-9]{1,9}", wanted) else _TAGS_PAGE
        tags = [tag for tag in names(self._storage.folder(request.name, "_tags")) if tag > last]
        headers: dict[str, str] = {}
        if limit < len(tags):
            tags = tags[:limit]
            if tags:
                headers["Link"] = request.link_to_next("tags/list", tags[-1])
        return _Answer.of_json({"name": request.name, "tags": tags}, headers=headers)

    def _list_referrers(self, request: _Request) -> _Answer:
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
                entry = json.loads((folder / name).read_bytes())
                is_there = self._storage.link(request.name, "_manifests", Digest.parse(entry["digest"])).exists()
                if is_there and artifact_type in {None, entry.get("artifactType")}:
                    found.append(entry)
        return _Answer.of_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": found}, INDEX, headers)

    def _start_upload(self, request: _Request) -> _Answer:
        if request.rest:
            raise _RefusalError(HTTPStatus.METHOD_NOT_ALLOWED, "UNSUPPORTED", "an upload goes on by PATCH or PUT")
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
        (uploads / request.rest).touch(exist_ok=False)
        self._hashes.keep(request.rest, _Hash(algorithm))
        return self._finish_upload(request) if "digest" in request.query else _going_on(request, 0)

    def _mount(self, request: _Request) -> _Answer | None:
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

    def _blob_created(self, request: _Request, digest: Digest) -> _Answer:
        write(self._storage.link(request.name, "_blobs", digest), b"")
        headers = {"Location": request.url(f"blobs/{digest}"), "Docker-Content-Digest": str(digest)}
        return _Answer(HTTPStatus.CREATED, headers)

    @contextlib.contextmanager
    def _claim(self, request: _Request) -> Iterator[Path]:
        """Own an upload: whoever renames it first; two requests never write to one. It goes on unless it is gone."""
        unknown = _RefusalError(HTTPStatus.NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "no such upload; start again")
        if not _UPLOAD_ID.fullmatch(request.rest):
            raise unknown
        path = self._storage.folder(request.name, "_uploads") / request.rest
        try:
            claimed = path.rename(path.with_suffix(".busy"))
        except FileNotFoundError:
            raise unknown from None
        try:
            yield claimed
        finally:
            with contextlib.suppress(FileNotFoundError):
                claimed.rename(path)

    def _find_upload(self, request: _Request) -> _Answer:
        with self._claim(request) as claimed:
            return _going_on(request, claimed.stat().st_size, HTTPStatus.NO_CONTENT)

    def _cancel_upload(self, request: _Request) -> _Answer:
        with self._claim(request) as claimed:
            claimed.unlink()
            return _Answer(HTTPStatus.NO_CONTENT)

    def _append_chunk(self, request: _Request) -> _Answer:
        """Add to an upload; what does not come whole is taken back, so that the client can go on from there."""
        with self._claim(request) as claimed:
            start = size = claimed.stat().st_size
            request.check_range(start)
            checksum = self._hashes.take(request.rest, start)
            grown = checksum.copy() if checksum else None
            try:
                with claimed.open("ab", buffering=0) as file:
                    for chunk in request.read_body(self._max_blob_size - start):
                        _write_all(file, chunk)
                        if grown:
                            grown.update(chunk)
                size, checksum = claimed.stat().st_size, grown
            finally:
                os.truncate(claimed, size)
                if checksum:
                    self._hashes.keep(request.rest, checksum)
            return _going_on(request, size)

    def _finish_upload(self, request: _Request) -> _Answer:
        with self._claim(request) as claimed:
            size = claimed.stat().st_size
            request.check_range(size)
            try:
                digest = _parse_digest(request.query.get("digest"))
                checksum = self._hashes.take(request.rest, size)
                with claimed.open("r+b", buffering=0) as file:
                    if checksum is None or checksum.algorithm != digest.algorithm:
                        checksum = _Hash(digest.algorithm)
                        while chunk := file.read(_CHUNK):
                            checksum.update(chunk)
                    file.seek(size)
                    for chunk in request.read_body(self._max_blob_size - size):
                        checksum.update(chunk)
                        _write_all(file, chunk)
                    if checksum.hex != digest.hex:
                        raise _RefusalError(HTTPStatus.BAD_REQUEST, "DIGEST_INVALID", f"got {checksum.hex}")
                    os.fsync(file.fileno())
                with self._storage.held():
                    move(claimed, self._storage.blob(digest))
                    return self._blob_created(request, digest)
            finally:
                claimed.unlink(missing_ok=True)


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


class _RefusalError(Exception):
    """Ends a request with the spec's error document; never leaves this module."""

    def __init__(self, status: HTTPStatus, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self._status, self._code, self._message, self._headers = status, code, message, headers

    def answer(self) -> _Answer:
        body = {"errors": [{"code": self._code, "message": self._message}]}
        return _Answer.of_json(body, headers=self._headers, status=self._status)


def _kept(reason: str) -> _RefusalError:
    return _RefusalError(HTTPStatus.METHOD_NOT_ALLOWED, "DENIED", reason, {"Allow": "GET, HEAD, PUT"})


@dataclass(frozen=True, slots=True)
class _Answer:
    status: HTTPStatus
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes = b""
    file: BinaryIO | None = None
    size: int = 0

    @classmethod
    def of_json(
        cls,
        data: dict[str, Any],
        media_type: str = "application/json",
        headers: dict[str, str] | None = None,
        status: HTTPStatus = HTTPStatus.OK,
    ) -> _Answer:
        content = json.dumps(data).encode()
        return cls(status, {"Content-Type": media_type, **(headers or {})}, content, size=len(content))


class _Request:
    """What we read of a WSGI environment: ``/v2/<name>/<kind>/<rest>``, all empty for ``/v2/``."""

    def __init__(self, environ: WSGIEnvironment) -> None:
        self._environ = environ
        self.method: str = environ["REQUEST_METHOD"]
        self.authorization: str | None = environ.get("HTTP_AUTHORIZATION")
        self.content_type: str = environ.get("CONTENT_TYPE", "").partition(";")[0].strip()
        self._query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        self.query = {key: values[-1] for key, values in self._query.items()}
        self.name, self.kind, self.rest = "", "", ""
        path = environ.get("PATH_INFO", "")
        if path not in {"/v2", "/v2/"}:
            route = _ROUTE.fullmatch(path)
            if route is None or not is_repository(route[1]):
                raise _RefusalError(HTTPStatus.NOT_FOUND, "NAME_INVALID", "no such address")
            self.name, self.kind, self.rest = route[1], route[2], route[3]

    @property
    def access(self) -> Access:
        """Return what is asked; to give up an upload is part of pushing."""
        if self.method in {"GET", "HEAD"}:
            return Access.READ
        return Access.DELETE if self.method == "DELETE" and self.kind != "blobs/uploads" else Access.WRITE

    @property
    def tags(self) -> list[str]:
        """Return the tags that a manifest is pushed under: by its address, or beside its digest."""
        tags = [self.rest] if is_tag(self.rest) else self._query.get("tag", [])
        for tag in tags:
            if not is_tag(tag):
                raise _RefusalError(HTTPStatus.BAD_REQUEST, "TAG_INVALID", f"{tag!r:.140} is no tag")
        return list(dict.fromkeys(tags))

    @property
    def algorithm(self) -> str:
        """Return the algorithm of the digest that an upload will have, as far as the client says."""
        named = self.query.get("digest", "").partition(":")[0]
        algorithm: str = self.query.get("digest-algorithm", named if named in {"sha256", "sha512"} else "sha256")
        if algorithm not in {"sha256", "sha512"}:
            text = f"{algorithm!r:.40}: digests are sha256 or sha512"
            raise _RefusalError(HTTPStatus.BAD_REQUEST, "DIGEST_INVALID", text)
        return algorithm

    def url(self, path: str) -> str:
        """Return the address of something in the same repository."""
        return f"{self._environ.get('SCRIPT_NAME', '').rstrip('/')}/v2/{self.name}/{path}"

    def link_to_next(self, path: str, last: str) -> str:
        """Return the header that leads to the page after ``last``."""
        return f'<{self.url(path)}?{urlencode({**self.query, "last": last})}>; rel="next"'

    def has_already(self, etag: str) -> bool:
        """Return whether the client says that it has the content: what has a digest never changes."""
        given = [each.strip().removeprefix("W/") for each in self._environ.get("HTTP_IF_NONE_MATCH", "").split(",")]
        return etag in given or "*" in given

    def part(self, size: int, etag: str) -> range | None:
        """Return which part of so many bytes is wanted: empty if there is none such, ``None`` for all.

        Of several parts all is given, as RFC 9110 allows, and of what is no range of bytes.
        """
        match = _RANGE.fullmatch(self._environ.get("HTTP_RANGE", ""))
        if match is None or self._environ.get("HTTP_IF_RANGE", etag) != etag:
            return None
        if match[3]:
            return range(max(0, size - int(match[3])), size)
        return range(int(match[1]), min(int(match[2] or size) + 1, size))

    def check_range(self, size: int) -> None:
        """Check that a chunk, if it says where it begins, begins where the upload ends, and is as long as it says."""
        given = self._environ.get("HTTP_CONTENT_RANGE", "")
        if not given:
            return
        match = _CONTENT_RANGE.fullmatch(given.removeprefix("bytes "))
        if match is None or int(match[1]) != size:
            going_on = _going_on(self, size)
            status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
            raise _RefusalError(status, "BLOB_UPLOAD_INVALID", f"the upload has {size} bytes so far", going_on.headers)
        announced = self._environ.get("CONTENT_LENGTH") or ""
        if _LENGTH.fullmatch(announced) and int(match[2]) + 1 - size != int(announced):
            raise _RefusalError(HTTPStatus.BAD_REQUEST, "SIZE_INVALID", "Content-Range and Content-Length differ")

    def read_body(self, limit: int) -> Iterator[bytes]:
        """Yield the body piece by piece; refuse one that is longer than ``limit``, ends early, or is compressed."""
        if self._environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
            text = "content is taken as it is: send it without Content-Encoding"
            raise _RefusalError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED", text)
        announced = self._environ.get("CONTENT_LENGTH") or ""
        if announced and not _LENGTH.fullmatch(announced):
            raise _RefusalError(HTTPStatus.BAD_REQUEST, "SIZE_INVALID", "Content-Length is no number")
        # Without a length the body is chunked, and ends where the server says so, or there is none.
        is_chunked = not announced and self._environ.get("wsgi.input_terminated", False)
        length = limit + 1 if is_chunked else int(announced or 0)
        if length > limit and not is_chunked:
            raise _RefusalError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "SIZE_INVALID", f"more than {limit} bytes")
        left = length
        while left and (chunk := self._read(min(_CHUNK, left))):
            left -= len(chunk)
            yield chunk
        if is_chunked and not left:
            raise _RefusalError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "SIZE_INVALID", f"more than {limit} bytes")
        if left and not is_chunked:
            raise _RefusalError(HTTPStatus.BAD_REQUEST, "SIZE_INVALID", "the body ended early")

    def _read(self, size: int) -> bytes:
        try:
            return bytes(self._environ["wsgi.input"].read(size))
        except ConnectionError as error:
            # The client fell silent or hung up; errors of the disk are ours, and told so.
            raise _RefusalError(HTTPStatus.BAD_REQUEST, "SIZE_INVALID", "the body did not come whole") from error


def _going_on(request: _Request, size: int, status: HTTPStatus = HTTPStatus.ACCEPTED) -> _Answer:
    location = request.url(f"blobs/uploads/{request.rest}")
    return _Answer(status, {"Location": location, "Range": f"0-{max(size - 1, 0)}", "Docker-Upload-UUID": request.rest})


def _parse_digest(text: object) -> Digest:
    try:
        return Digest.parse(str(text))
    except InvalidInputError as error:
        raise _RefusalError(HTTPStatus.BAD_REQUEST, "DIGEST_INVALID", error.message) from error


def _parse_manifest(content: bytes, media_type: str) -> Manifest:
    if not _MEDIA_TYPE.fullmatch(media_type):
        raise _RefusalError(HTTPStatus.BAD_REQUEST, "MANIFEST_INVALID", "Content-Type is no media type of a manifest")
    try:
        return Manifest.parse(content, media_type)
    except InvalidInputError as error:
        raise _RefusalError(HTTPStatus.BAD_REQUEST, "DIGEST_INVALID", error.message) from error
    except ValueError as error:
        raise _RefusalError(HTTPStatus.BAD_REQUEST, "MANIFEST_INVALID", str(error)) from error


def _write_all(file: RawIOBase, content: bytes) -> None:
    """Write all of it: a disk that fills up takes a part first."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) or 0 :]


def _pieces(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield so many bytes of a file, from where it stands."""
    with contextlib.closing(file):
        while size and (chunk := file.read(min(size, _CHUNK))):
            size -= len(chunk)
            yield chunk
