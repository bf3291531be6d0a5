"""What registries answer, checked: manifests, blobs, indexes and errors. Bytes in, values out; nothing is sent here."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO

import requests
import urllib3

from ums.adapters._oras_connection import CHUNK, RETRIED_CLIENT_ERRORS, SERVER_ERROR, TransientError
from ums.domain import strict_json
from ums.domain.digest import Digest
from ums.domain.errors import (
    ForbiddenError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    StorageError,
    UmsError,
    UnauthenticatedError,
    UnavailableError,
)
from ums.domain.oci import INDEX, Descriptor, Document

_MAX_MANIFEST_SIZE = 4 * 1024 * 1024


def content_type(response: requests.Response) -> str:
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def failure_of(response: requests.Response, what: str) -> UmsError | TransientError:
    """Return the error that an unexpected answer stands for."""
    status = response.status_code
    message = f"{what} answered {status}{_reason(response)}"
    if status >= SERVER_ERROR or status in RETRIED_CLIENT_ERRORS:
        return TransientError(message, retry_after=_retry_after(response.headers.get("Retry-After", "")))
    match status:
        case 401:
            return UnauthenticatedError(
                message, hint="log in to the registry (docker login), or check user and password"
            )
        case 403 | 405:
            return ForbiddenError(message, hint="ask the registry's owner for the permission")
        case 404:
            return NotFoundError(message)
        case _ if 400 <= status < SERVER_ERROR:  # noqa: PLR2004 - a client error
            return InvalidInputError(message)
        case _:
            return UnavailableError(f"{message}, which no registry does", hint="see what proxy stands before it")


def _reason(response: requests.Response) -> str:
    """Return what the registry said in its error document, if it said something readable."""
    try:
        errors = strict_json.loads(response.raw.read(CHUNK, decode_content=False), floats=True)["errors"]
        text = f"{errors[0].get('code', '')} {errors[0].get('message', '')}".strip()
    except (urllib3.exceptions.HTTPError, InvalidInputError, LookupError, TypeError, AttributeError):
        return ""
    return f": {''.join(character if character.isprintable() else ' ' for character in text[:200])}" if text else ""


def _retry_after(value: str) -> float | None:
    """Return the seconds that ``Retry-After`` asks for, as a number or a date."""
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _chunks(response: requests.Response, what: str) -> Iterator[bytes]:
    """Yield an answer's bytes as they came; a connection that breaks may be tried again."""
    try:
        yield from response.raw.stream(CHUNK, decode_content=False)
    except urllib3.exceptions.HTTPError as error:
        raise TransientError(f"{what}: the connection broke while reading: {type(error).__name__}") from error


def read_manifest(response: requests.Response, what: str) -> bytes:
    content = bytearray()
    for chunk in _chunks(response, what):
        content += chunk
        if len(content) > _MAX_MANIFEST_SIZE:
            raise IntegrityError(f"{what} is longer than the {_MAX_MANIFEST_SIZE} bytes that a manifest may have")
    return bytes(content)


def save_blob(response: requests.Response, descriptor: Descriptor, file: BinaryIO, where: str) -> None:
    """Write an answer to a file; stop at the first byte too many."""
    what = f"blob {descriptor.digest} in {where}"
    announced = response.headers.get("Content-Length", "")
    if announced.isdecimal() and announced != str(descriptor.size):
        raise IntegrityError(f"{what} has {announced:.20} bytes, not {descriptor.size}")
    checksum = hashlib.new(descriptor.digest.algorithm)
    size = 0
    for chunk in _chunks(response, what):
        size += len(chunk)
        if size > descriptor.size:
            raise IntegrityError(f"{what} has more than {descriptor.size} bytes")
        checksum.update(chunk)
        try:
            file.write(chunk)
        except OSError as error:
            raise StorageError(
                f"{what} cannot be kept: {error}", hint="make room where temporary files are kept"
            ) from error
    if size != descriptor.size or checksum.hexdigest() != descriptor.digest.hex:
        raise IntegrityError(f"{what} is not what its digest and size ({descriptor.size}) say: {size} bytes")


def check_content(source: BinaryIO, descriptor: Descriptor) -> None:
    """Check what is about to be sent."""
    checksum = hashlib.new(descriptor.digest.algorithm)
    size = 0
    try:
        while chunk := source.read(CHUNK):
            checksum.update(chunk)
            size += len(chunk)
    except OSError as error:
        raise StorageError(f"{descriptor.digest} cannot be read: {error}") from error
    if size != descriptor.size or checksum.hexdigest() != descriptor.digest.hex:
        raise IntegrityError(
            f"content to push is {checksum.hexdigest()} ({size} bytes), "
            f"not {descriptor.digest} ({descriptor.size} bytes)"
        )


def describe_manifest(response: requests.Response, content: bytes, digest: Digest | None, what: str) -> Descriptor:
    """Return the descriptor of a manifest as read, checked against all that was said about it."""
    claimed = response.headers.get("Docker-Content-Digest")
    try:
        expected = digest or (Digest.parse(claimed) if claimed else Digest.of(content))
    except InvalidInputError as error:
        raise IntegrityError(f"{what}: Docker-Content-Digest is no digest") from error
    actual = hashlib.new(expected.algorithm, content).hexdigest()
    if actual != expected.hex:
        raise IntegrityError(f"{what} is not what its digest says: {expected.algorithm}:{actual}, not {expected}")
    said = content_type(response)
    # One document that two readers take for two things (CVE-2021-41190).
    parse_document(content, said, what)
    return Descriptor(said, expected, len(content))


def parse_document(content: bytes, media_type: str, what: str) -> Document:
    """Return a manifest or index of any registry, in the one way in which Go reads it too."""
    try:
        return Document.from_bytes(content, media_type, foreign=True)
    except InvalidInputError as error:
        raise IntegrityError(f"{what} has no one reading: {error.message}") from error


def parse_index(content: bytes, what: str) -> dict[str, Any]:
    """Return an index with all its members."""
    parse_document(content, INDEX, what)
    index: dict[str, Any] = strict_json.loads(content, floats=True)
    return {**index, "manifests": index.get("manifests") or []}


def parse_descriptors(entries: list[Any], what: str) -> list[Descriptor]:
    try:
        return [Descriptor.from_dict(entry, foreign=True) for entry in entries]
    except InvalidInputError as error:
        raise IntegrityError(f"{what} has an entry that is no descriptor: {error}") from error
