"""Requests to the embedded registry and its answers: what is read of a WSGI environment, checked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from typing import Any, BinaryIO
from urllib.parse import parse_qs, urlencode
from wsgiref.types import WSGIEnvironment

from ums.domain.oci import is_repository, is_tag

CHUNK = 256 * 1024
_ROUTE = re.compile(r"/v2/(.+?)/(manifests|blobs/uploads|blobs|tags|referrers)/([^/]*)")
_NUMBER = r"[0-9]{1,18}"
_LENGTH = re.compile(_NUMBER)
_CONTENT_RANGE = re.compile(rf"({_NUMBER})-({_NUMBER})")
_RANGE = re.compile(rf"bytes=(?:({_NUMBER})-({_NUMBER})?|-({_NUMBER}))")


class Access(Enum):
    """What a request does to a repository."""

    READ = "pull from"
    WRITE = "push to"
    DELETE = "delete from"


class RefusalError(Exception):
    """Ends a request with the spec's error document; never leaves the registry."""

    def __init__(self, status: HTTPStatus, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self._status, self._code, self._message, self._headers = status, code, message, headers

    def answer(self) -> Answer:
        """Return the document."""
        body = {"errors": [{"code": self._code, "message": self._message}]}
        return Answer.of_json(body, headers=self._headers, status=self._status)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent: content, or ``size`` bytes of a file from where it stands."""

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
    ) -> Answer:
        """Return an answer in JSON."""
        content = json.dumps(data).encode()
        return cls(status, {"Content-Type": media_type, **(headers or {})}, content, size=len(content))


class Request:
    """What we read of a WSGI environment: ``/v2/<name>/<kind>/<rest>``, all empty for ``/v2/``."""

    def __init__(self, environ: WSGIEnvironment) -> None:
        self._environ = environ
        self.method: str = environ["REQUEST_METHOD"]
        self.authorization: str | None = environ.get("HTTP_AUTHORIZATION")
        self.content_type: str = environ.get("CONTENT_TYPE", "").partition(";")[0].strip()
        self._query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        self.query = {key: values[-1] for key, values in self._query.items()}
        self.name, self.kind, self.rest = "", "", ""
        self.caller = ""  # set by the registry, where what one may have under way is limited
        path = environ.get("PATH_INFO", "")
        if path not in {"/v2", "/v2/"}:
            route = _ROUTE.fullmatch(path)
            if route is None or not is_repository(route[1]):
                raise RefusalError(HTTPStatus.NOT_FOUND, "NAME_INVALID", "no such address")
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
                raise RefusalError(HTTPStatus.BAD_REQUEST, "TAG_INVALID", f"{tag!r:.140} is no tag")
        return list(dict.fromkeys(tags))

    @property
    def algorithm(self) -> str:
        """Return the algorithm of the digest that an upload will have, as far as the client says."""
        named = self.query.get("digest", "").partition(":")[0]
        algorithm: str = self.query.get("digest-algorithm", named if named in {"sha256", "sha512"} else "sha256")
        if algorithm not in {"sha256", "sha512"}:
            text = f"{algorithm!r:.40}: digests are sha256 or sha512"
            raise RefusalError(HTTPStatus.BAD_REQUEST, "DIGEST_INVALID", text)
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
            status, text = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, f"the upload has {size} bytes so far"
            raise RefusalError(status, "BLOB_UPLOAD_INVALID", text, going_on(self, size).headers)
        announced = self._environ.get("CONTENT_LENGTH") or ""
        if _LENGTH.fullmatch(announced) and int(match[2]) + 1 - size != int(announced):
            raise RefusalError(HTTPStatus.BAD_REQUEST, "SIZE_INVALID", "Content-Range and Content-Length differ")

    def read_body(self, limit: int) -> Iterator[bytes]:
        """Yield the body piece by piece; refuse one that is longer than ``limit``, ends early, or is compressed."""
        if self._environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
            text = "content is taken as it is: send it without Content-Encoding"
            raise RefusalError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED", text)
        announced = self._environ.get("CONTENT_LENGTH") or ""
        if announced and not _LENGTH.fullmatch(announced):
            raise RefusalError(HTTPStatus.BAD_REQUEST, "SIZE_INVALID", "Content-Length is no number")
        # Without a length the body is chunked, and ends where the server says so, or there is none.
        is_chunked = not announced and self._environ.get("wsgi.input_terminated", False)
        length = limit + 1 if is_chunked else int(announced or 0)
        if length > limit and not is_chunked:
            raise RefusalError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "SIZE_INVALID", f"more than {limit} bytes")
        left = length
        while left and (chunk := self._read(min(CHUNK, left))):
            left -= len(chunk)
            yield chunk
        if is_chunked and not left:
            raise RefusalError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "SIZE_INVALID", f"more than {limit} bytes")
        if left and not is_chunked:
            raise RefusalError(HTTPStatus.BAD_REQUEST, "SIZE_INVALID", "the body ended early")

    def _read(self, size: int) -> bytes:
        try:
            return bytes(self._environ["wsgi.input"].read(size))
        except ConnectionError as error:
            # The client fell silent or hung up; errors of the disk are ours, and told so.
            raise RefusalError(HTTPStatus.BAD_REQUEST, "SIZE_INVALID", "the body did not come whole") from error


def going_on(request: Request, size: int, status: HTTPStatus = HTTPStatus.ACCEPTED) -> Answer:
    """Return how an upload stands: of so many bytes."""
    location = request.url(f"blobs/uploads/{request.rest}")
    return Answer(status, {"Location": location, "Range": f"0-{max(size - 1, 0)}", "Docker-Upload-UUID": request.rest})
