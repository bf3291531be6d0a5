"""The embedded OCI registry: distribution-spec 1.1 as plain WSGI over a folder.

Content lies once, in ``blobs/<algorithm>/<hex>`` as in an OCI image layout; small link files below
``repositories/<name>/`` say what a repository has, so that access to one repository opens no other's content.
Whatever appears under its final name is complete, checked and on disk. Who may do what is decided by the
``authorize`` that is passed in; nothing is ever deleted or collected here.
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
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode
from wsgiref.types import StartResponse, WSGIEnvironment

from ums.domain.canonical import canonical_json
from ums.domain.digest import Digest
from ums.domain.errors import InvalidInputError
from ums.domain.oci import INDEX, MANIFEST, Descriptor, is_repository, is_tag

_CHUNK = 64 * 1024
_PAGE = 100
_MAX_MANIFEST_SIZE = 4 * 1024 * 1024
_UPLOAD_AGE_SECONDS = 24 * 3600
_ROUTE = re.compile(r"/v2/(.+?)/(manifests|blobs/uploads|blobs|tags|referrers)/([^/]*)")
_UPLOAD_ID = re.compile(r"[0-9a-f]{32}")
_LENGTH = re.compile(r"[0-9]{1,18}")
_RANGE = re.compile(r"([0-9]{1,18})-[0-9]{1,18}")


class Challenge(Enum):
    """Why a request is turned away."""

    UNAUTHENTICATED = auto()
    """Nobody known asks: 401."""
    FORBIDDEN = auto()
    """Somebody asks who may not: 403."""


Authorize = Callable[[str | None, bool, str], Challenge | None]
"""Takes the Authorization header, whether it is a write, and the repository (empty for ``/v2/`` itself)."""


class EmbeddedRegistry:
    """A WSGI application that serves the registry kept in a folder.

    Args:
        root: the folder; made when absent.
        authorize: asked before the folder is looked at.
        max_blob_size: bytes; larger uploads answer 413.

    """

    def __init__(self, root: Path, *, authorize: Authorize, max_blob_size: int = 4 * 1024**3) -> None:
        self._root = root
        self._authorize = authorize
        self._max_blob_size = max_blob_size

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
        headers |= {"Content-Length": str(answer.size), **answer.headers}
        start_response(f"{answer.status.value} {answer.status.phrase}", list(headers.items()))
        return () if environ["REQUEST_METHOD"] == "HEAD" else answer.body

    def _answer(self, request: _Request) -> _Answer:
        match self._authorize(request.authorization, request.method not in {"GET", "HEAD"}, request.name):
            case Challenge.UNAUTHENTICATED:
                headers = {"WWW-Authenticate": 'Basic realm="ums"'}
                raise _RefusalError(HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED", "log in first", headers)
            case Challenge.FORBIDDEN:
                raise _RefusalError(HTTPStatus.FORBIDDEN, "DENIED", "you may not do this")
        handlers: dict[tuple[str, str], Callable[[_Request], _Answer]] = {
            ("", "GET"): lambda _: _Answer.of_json({}),
            ("manifests", "GET"): self._get_manifest,
            ("manifests", "PUT"): self._put_manifest,
            ("blobs", "GET"): self._get_blob,
            ("tags", "GET"): self._list_tags,
            ("referrers", "GET"): self._list_referrers,
            ("blobs/uploads", "POST"): self._start_upload,
            ("blobs/uploads", "GET"): self._find_upload,
            ("blobs/uploads", "PATCH"): self._append_chunk,
            ("blobs/uploads", "PUT"): self._finish_upload,
            ("blobs/uploads", "DELETE"): self._cancel_upload,
        }
        handler = handlers.get((request.kind, "GET" if request.method == "HEAD" else request.method))
        if handler is None:
            raise _RefusalError(HTTPStatus.METHOD_NOT_ALLOWED, "UNSUPPORTED", f"{request.method} is not possible here")
        return handler(request)

    def _blob_path(self, digest: Digest) -> Path:
        return self._root / "blobs" / digest.algorithm / digest.hex

    def _link(self, name: str, kind: str, digest: Digest) -> Path:
        # No part of a repository's name begins with an underscore, so kinds and names cannot meet.
        return self._root / "repositories" / name / kind / digest.algorithm / digest.hex

    def _folder(self, request: _Request, kind: str) -> Path:
        return self._root / "repositories" / request.name / kind

    def _get_blob(self, request: _Request) -> _Answer:
        digest = _parse_digest(request.rest)
        if not self._link(request.name, "_blobs", digest).exists():
            raise _RefusalError(HTTPStatus.NOT_FOUND, "BLOB_UNKNOWN", "no such blob in this repository")
        return _Answer.of_file(self._blob_path(digest), "application/octet-stream", digest)

    def _get_manifest(self, request: _Request) -> _Answer:
        try:
            if is_tag(request.rest):
                digest = Digest.parse((self._folder(request, "_tags") / request.rest).read_text())
            else:
                digest = _parse_digest(request.rest)
            media_type = self._link(request.name, "_manifests", digest).read_text()
        except FileNotFoundError:
            raise _RefusalError(HTTPStatus.NOT_FOUND, "MANIFEST_UNKNOWN", "no such manifest here") from None
        return _Answer.of_file(self._blob_path(digest), media_type, digest)

    def _put_manifest(self, request: _Request) -> _Answer:
        tag = request.rest if is_tag(request.rest) else None
        content = b"".join(request.read_body(_MAX_MANIFEST_SIZE))
        digest = Digest.of(content) if tag else _parse_digest(request.rest)
        if hashlib.new(digest.algorithm, content).hexdigest() != digest.hex:
            raise _RefusalError(HTTPStatus.BAD_REQUEST, "DIGEST_INVALID", "the manifest has another digest")
        manifest = _Manifest.parse(content, request.content_type)
        for blob in manifest.blobs:
            if not self._link(request.name, "_blobs", blob).exists():
                raise _RefusalError(HTTPStatus.BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN", f"push {blob} first")
        # In this order, so that after a crash nothing points to what is not there.
        _write(self._blob_path(digest), content)
        _write(self._link(request.name, "_manifests", digest), request.content_type.encode())
        headers = {"Location": request.url(f"manifests/{digest}"), "Docker-Content-Digest": str(digest)}
        if manifest.subject:
            entry = Descriptor(request.content_type, digest, len(content), manifest.annotations, manifest.artifact_type)
            folder = self._link(request.name, "_referrers", manifest.subject)
            _write(folder / f"{digest.algorithm}-{digest.hex}", canonical_json(entry.to_dict()))
            headers["OCI-Subject"] = str(manifest.subject)
        if tag:
            _write(self._folder(request, "_tags") / tag, str(digest).encode())
        return _Answer(HTTPStatus.CREATED, headers)

    def _list_tags(self, request: _Request) -> _Answer:
        if request.rest != "list" or not self._folder(request, "").is_dir():
            raise _RefusalError(HTTPStatus.NOT_FOUND, "NAME_UNKNOWN", "no such repository")
        last, wanted = request.query.get("last", ""), request.query.get("n", "")
        tags = [tag for tag in _names(self._folder(request, "_tags")) if tag > last]
        headers: dict[str, str] = {}
        if re.fullmatch(r"[0-9]{1,9}", wanted) and int(wanted) < len(tags):
            tags = tags[: int(wanted)]
            if tags:
                headers["Link"] = request.link_to_next("tags/list", tags[-1])
        return _Answer.of_json({"name": request.name, "tags": tags}, headers=headers)

    def _list_referrers(self, request: _Request) -> _Answer:
        subject = _parse_digest(request.rest)
        artifact_type, last = request.query.get("artifactType"), request.query.get("last", "")
        headers = {"OCI-Filters-Applied": "artifactType"} if artifact_type else {}
        folder = self._link(request.name, "_referrers", subject)
        found: list[dict[str, Any]] = []
        for name in _names(folder):
            if name <= last:
                continue
            if len(found) == _PAGE:
                headers["Link"] = request.link_to_next(f"referrers/{subject}", found[-1]["digest"].replace(":", "-"))
                break
            entry = json.loads((folder / name).read_bytes())
            if artifact_type is None or entry.get("artifactType") == artifact_type:
                found.append(entry)
        return _Answer.of_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": found}, INDEX, headers)

    def _start_upload(self, request: _Request) -> _Answer:
        if request.rest:
            raise _RefusalError(HTTPStatus.METHOD_NOT_ALLOWED, "UNSUPPORTED", "an upload goes on by PATCH or PUT")
        if "mount" in request.query and (mounted := self._mount(request)):
            return mounted
        uploads = self._folder(request, "_uploads")
        uploads.mkdir(parents=True, exist_ok=True)
        for abandoned in uploads.iterdir():
            with contextlib.suppress(FileNotFoundError):  # somebody else sweeps, or finishes it
                if abandoned.stat().st_mtime < time.time() - _UPLOAD_AGE_SECONDS:
                    abandoned.unlink()
        request.rest = uuid.uuid4().hex
        (uploads / request.rest).touch(exist_ok=False)
        return self._finish_upload(request) if "digest" in request.query else _going_on(request, 0)

    def _mount(self, request: _Request) -> _Answer | None:
        """Link a blob of another repository that the caller may read, if there is one."""
        source, digest = request.query.get("from", ""), _parse_digest(request.query["mount"])
        if (
            not is_repository(source)
            or self._authorize(request.authorization, False, source)  # noqa: FBT003 - so the caller's type says
            or not self._link(source, "_blobs", digest).exists()
        ):
            return None
        return self._blob_created(request, digest)

    def _blob_created(self, request: _Request, digest: Digest) -> _Answer:
        _write(self._link(request.name, "_blobs", digest), b"")
        headers = {"Location": request.url(f"blobs/{digest}"), "Docker-Content-Digest": str(digest)}
        return _Answer(HTTPStatus.CREATED, headers)

    @contextlib.contextmanager
    def _claim(self, request: _Request) -> Iterator[Path]:
        """Own an upload: whoever renames it first; two requests never write to one."""
        unknown = _RefusalError(HTTPStatus.NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "no such upload; start again")
        if not _UPLOAD_ID.fullmatch(request.rest):
            raise unknown
        path = self._folder(request, "_uploads") / request.rest
        try:
            claimed = path.rename(path.with_suffix(".busy"))
        except FileNotFoundError:
            raise unknown from None
        yield claimed

    def _find_upload(self, request: _Request) -> _Answer:
        with self._claim(request) as claimed:
            size = claimed.stat().st_size
            claimed.rename(claimed.with_suffix(""))
            return _going_on(request, size, HTTPStatus.NO_CONTENT)

    def _cancel_upload(self, request: _Request) -> _Answer:
        with self._claim(request) as claimed:
            claimed.unlink()
            return _Answer(HTTPStatus.NO_CONTENT)

    def _append_chunk(self, request: _Request) -> _Answer:
        """Add to an upload; what does not come whole is taken back, so that the client can go on from there."""
        with self._claim(request) as claimed:
            start = size = claimed.stat().st_size
            try:
                request.check_range(start)
                with claimed.open("ab") as file:
                    file.writelines(request.read_body(self._max_blob_size - start))
                size = claimed.stat().st_size
            finally:
                os.truncate(claimed, size)
                claimed.rename(claimed.with_suffix(""))
            return _going_on(request, size)

    def _finish_upload(self, request: _Request) -> _Answer:
        with self._claim(request) as claimed:
            try:
                digest = _parse_digest(request.query.get("digest"))
                checksum = hashlib.new(digest.algorithm)
                with claimed.open("r+b") as file:
                    while chunk := file.read(_CHUNK):
                        checksum.update(chunk)
                    request.check_range(file.tell())
                    for chunk in request.read_body(self._max_blob_size - file.tell()):
                        checksum.update(chunk)
                        file.write(chunk)
                    if checksum.hexdigest() != digest.hex:
                        raise _RefusalError(HTTPStatus.BAD_REQUEST, "DIGEST_INVALID", f"got {checksum.hexdigest()}")
                    file.flush()
                    os.fsync(file.fileno())
                _move(claimed, self._blob_path(digest))
            finally:
                claimed.unlink(missing_ok=True)
            return self._blob_created(request, digest)


class _RefusalError(Exception):
    """Ends a request with the spec's error document; never leaves this module."""

    def __init__(self, status: HTTPStatus, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self._status, self._code, self._message, self._headers = status, code, message, headers

    def answer(self) -> _Answer:
        body = {"errors": [{"code": self._code, "message": self._message}]}
        return _Answer.of_json(body, headers=self._headers, status=self._status)


@dataclass(frozen=True, slots=True)
class _Answer:
    status: HTTPStatus
    headers: dict[str, str] = field(default_factory=dict)
    body: Iterable[bytes] = ()
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
        return cls(status, {"Content-Type": media_type, **(headers or {})}, (content,), len(content))

    @classmethod
    def of_file(cls, path: Path, media_type: str, digest: Digest) -> _Answer:
        headers = {"Content-Type": media_type, "Docker-Content-Digest": str(digest), "ETag": f'"{digest}"'}
        return cls(HTTPStatus.OK, headers, _read(path), path.stat().st_size)


class _Request:
    """What we read of a WSGI environment: ``/v2/<name>/<kind>/<rest>``, all empty for ``/v2/``."""

    def __init__(self, environ: WSGIEnvironment) -> None:
        self._environ = environ
        self.method: str = environ["REQUEST_METHOD"]
        self.authorization: str | None = environ.get("HTTP_AUTHORIZATION")
        self.content_type: str = environ.get("CONTENT_TYPE", "").partition(";")[0].strip()
        self.query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
        self.name, self.kind, self.rest = "", "", ""
        path = environ.get("PATH_INFO", "")
        if path not in {"/v2", "/v2/"}:
            route = _ROUTE.fullmatch(path)
            if route is None or not is_repository(route[1]):
                raise _RefusalError(HTTPStatus.NOT_FOUND, "NAME_INVALID", "no such address")
            self.name, self.kind, self.rest = route[1], route[2], route[3]

    def url(self, path: str) -> str:
        """Return the address of something in the same repository."""
        return f"{self._environ.get('SCRIPT_NAME', '').rstrip('/')}/v2/{self.name}/{path}"

    def link_to_next(self, path: str, last: str) -> str:
        """Return the header that leads to the page after ``last``."""
        return f'<{self.url(path)}?{urlencode({**self.query, "last": last})}>; rel="next"'

    def check_range(self, size: int) -> None:
        """Check that a chunk, if it says where it begins, begins where the upload ends."""
        given = self._environ.get("HTTP_CONTENT_RANGE", "")
        match = _RANGE.fullmatch(given)
        if given and (match is None or int(match[1]) != size):
            status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
            raise _RefusalError(status, "BLOB_UPLOAD_INVALID", f"the upload has {size} bytes so far")

    def read_body(self, limit: int) -> Iterator[bytes]:
        """Yield the body piece by piece; refuse one that is longer than ``limit`` or ends early."""
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


@dataclass(frozen=True, slots=True)
class _Manifest:
    """What the registry itself needs of a manifest or index."""

    blobs: tuple[Digest, ...]
    subject: Digest | None
    annotations: dict[str, str]
    artifact_type: str | None

    @classmethod
    def parse(cls, content: bytes, media_type: str) -> _Manifest:
        try:
            data = json.loads(content)
            config = data.get("config") or {}
            blobs = [config, *(data.get("layers") or ())] if config or media_type == MANIFEST else []
            manifest = cls(
                tuple(_parse_digest(blob["digest"]) for blob in blobs if not blob.get("urls")),
                _parse_digest(data["subject"]["digest"]) if data.get("subject") else None,
                {str(key): str(value) for key, value in (data.get("annotations") or {}).items()},
                data.get("artifactType") or config.get("mediaType"),
            )
            is_valid = bool(media_type) and data.get("mediaType", media_type) == media_type
        except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
            is_valid, manifest = False, None
        if not is_valid or manifest is None or not isinstance(manifest.artifact_type, str | None):
            raise _RefusalError(HTTPStatus.BAD_REQUEST, "MANIFEST_INVALID", f"this is no {media_type or 'manifest'}")
        return manifest


def _going_on(request: _Request, size: int, status: HTTPStatus = HTTPStatus.ACCEPTED) -> _Answer:
    location = request.url(f"blobs/uploads/{request.rest}")
    return _Answer(status, {"Location": location, "Range": f"0-{max(size - 1, 0)}", "Docker-Upload-UUID": request.rest})


def _parse_digest(text: object) -> Digest:
    try:
        return Digest.parse(str(text))
    except InvalidInputError as error:
        raise _RefusalError(HTTPStatus.BAD_REQUEST, "DIGEST_INVALID", error.message) from error


def _names(folder: Path) -> list[str]:
    """Return what is in a folder, in order, without drafts."""
    return sorted(path.name for path in folder.iterdir() if path.name[0] != ".") if folder.is_dir() else []


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _write(path: Path, content: bytes) -> None:
    """Put a file in place, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.parent / f".{uuid.uuid4().hex}"
    try:
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _move(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _move(source: Path, target: Path) -> None:
    """Rename for good: the new name is on disk when this returns."""
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
