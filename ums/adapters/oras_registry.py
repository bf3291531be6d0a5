"""OCI registries over HTTP (distribution-spec 1.1). Bytes are streamed, bounded, checked and retried.

Not responsible for what the bytes mean. The connection and its login are in ``_oras_connection``, what answers mean in
``_oci_answers``.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import random
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast
from urllib.parse import urlencode, urljoin, urlsplit

import requests
import urllib3

from ums.adapters._oci_answers import (
    check_content,
    content_type,
    describe_manifest,
    failure_of,
    parse_descriptors,
    parse_document,
    parse_index,
    read_manifest,
    save_blob,
)
from ums.adapters._oras_connection import (
    CHUNK,
    MAX_REDIRECTS,
    Connection,
    TransientError,
    Upload,
    origin,
    without_query,
)
from ums.domain.artifact import Artifact, Blob
from ums.domain.digest import Digest
from ums.domain.errors import (
    ConflictError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    StorageError,
    UnavailableError,
)
from ums.domain.oci import INDEX, MANIFEST, Descriptor, Repository, is_tag
from ums.ports import Progress

T = TypeVar("T")

_SPOOL_SIZE = 8 * 1024 * 1024
_MAX_PAGES = 64
_FALLBACK_ROUNDS = 5
_MANIFEST_TYPES = (
    MANIFEST,
    INDEX,
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_OK, _CREATED, _ACCEPTED, _NOT_FOUND = 200, 201, 202, 404

_guard = threading.Lock()
_subject_locks: weakref.WeakValueDictionary[str, threading.Lock] = weakref.WeakValueDictionary()


class OrasRegistry:
    """The registry port over HTTP; safe to use from several threads.

    Args:
        username: for every registry asked; without it, Docker's configuration names the credentials.
        password: belongs to ``username``.
        docker_config: read in place of ``~/.docker/config.json``.
        plain_http: speak HTTP; only for a loopback or test registry.
        connect_timeout: for one connection.
        read_timeout: between two pieces of an answer.
        tries: how often an operation is tried in all when the registry is not well.
        backoff: the first wait between tries; doubles, with jitter.
        max_wait: the longest wait, whatever ``Retry-After`` says.

    """

    def __init__(
        self,
        *,
        username: str | None = None,
        password: str | None = None,
        docker_config: Path | None = None,
        plain_http: bool = False,
        connect_timeout: timedelta = timedelta(seconds=5),
        read_timeout: timedelta = timedelta(seconds=30),
        tries: int = 4,
        backoff: timedelta = timedelta(milliseconds=500),
        max_wait: timedelta = timedelta(seconds=30),
    ) -> None:
        self._credentials = (username, password or "") if username else None
        self._docker_config = docker_config
        self._scheme = "http" if plain_http else "https"
        self._timeouts = (connect_timeout.total_seconds(), read_timeout.total_seconds())
        self._tries = tries
        self._backoff = backoff.total_seconds()
        self._max_wait = max_wait.total_seconds()
        self._lock = threading.Lock()
        self._idle: dict[str, list[Connection]] = {}

    def close(self) -> None:
        """Close the connections kept for reuse."""
        with self._lock:
            connections = [connection for idle in self._idle.values() for connection in idle]
            self._idle.clear()
        for connection in connections:
            connection.close()

    def find(self, repository: Repository, reference: str) -> Descriptor | None:
        """Return the descriptor of the manifest at a tag or digest, or ``None`` when absent.

        The manifest is read: what HEAD answers is a claim that nobody could check.
        """
        try:
            return self.get_manifest(repository, reference)[0]
        except NotFoundError:
            return None

    def get_manifest(self, repository: Repository, reference: str) -> tuple[Descriptor, bytes]:
        """Return a manifest by tag or digest, checked against the digest.

        Raises:
            NotFoundError: it is not there.
            InvalidInputError: ``reference`` is neither a tag nor a digest.

        """
        digest = _parse_reference(reference)

        def read() -> tuple[Descriptor, bytes]:
            with self._exchange(
                "GET", repository, f"manifests/{reference}", headers={"Accept": ", ".join(_MANIFEST_TYPES)}
            ) as response:
                content = read_manifest(response, f"{repository} {reference}")
                return describe_manifest(response, content, digest, f"{repository} {reference}"), content

        return self._retry(read)

    def has_blob(self, repository: Repository, digest: Digest) -> bool:
        """Return whether a blob is there."""

        def ask() -> bool:
            with self._exchange("HEAD", repository, f"blobs/{digest}", expect=(_OK, _NOT_FOUND)) as response:
                return response.status_code == _OK

        return self._retry(ask)

    def open_blob(self, repository: Repository, descriptor: Descriptor) -> BinaryIO:
        """Return a local, checked copy of a blob, positioned at its start; the caller closes it.

        Raises:
            NotFoundError: it is not there.
            IntegrityError: digest or size differ from the descriptor.
            StorageError: there is no room for the copy.

        """

        def download() -> BinaryIO:
            with contextlib.ExitStack() as stack:
                file = stack.enter_context(tempfile.SpooledTemporaryFile(max_size=_SPOOL_SIZE))
                with self._exchange("GET", repository, f"blobs/{descriptor.digest}") as response:
                    save_blob(response, descriptor, cast("BinaryIO", file), str(repository))
                file.seek(0)
                stack.pop_all()
                return cast("BinaryIO", file)

        return self._retry(download)

    def push_blob(self, repository: Repository, blob: Blob, *, progress: Progress | None = None) -> None:
        """Store a blob unless it is there already.

        ``progress`` hears of each byte once, however often a broken connection makes us send it.

        Raises:
            IntegrityError: the content is not what the descriptor says; nothing was sent.
            StorageError: the file cannot be read.

        """
        with contextlib.closing(_open(blob)) as source:
            check_content(source, blob.descriptor)
            if self.has_blob(repository, blob.descriptor.digest):
                return
            body = Upload(source, blob.descriptor.size, progress)
            # As a whole: after a PUT that failed, most registries no longer know the upload.
            self._retry(lambda: self._upload(repository, blob.descriptor.digest, body))

    def push_manifest(self, repository: Repository, artifact: Artifact, *, tag: str | None = None) -> None:
        """Store an artifact's manifest (its blobs must be there), and tag it.

        If it has a ``subject`` and the registry has no referrers API, the fallback tag is updated too.

        Raises:
            IntegrityError: the manifest is not what its descriptor says, here or at the registry.
            ConflictError: other writers of the fallback tag kept removing our entry.

        """
        check_content(io.BytesIO(artifact.manifest), artifact.descriptor)
        manifest = parse_document(artifact.manifest, artifact.descriptor.media_type, str(artifact.descriptor.digest))
        knows_referrers = self._put_manifest(
            repository, tag or str(artifact.descriptor.digest), artifact.manifest, artifact.descriptor.media_type
        )
        if manifest.subject is not None and not knows_referrers:
            entry = Descriptor(
                artifact.descriptor.media_type,
                artifact.descriptor.digest,
                artifact.descriptor.size,
                manifest.annotations,
                # distribution-spec, *listing referrers*: the config's type stands in for a missing artifactType.
                manifest.artifact_type or (manifest.config.media_type if manifest.config else None),
            )
            self._add_to_fallback(repository, manifest.subject.digest, entry)

    def referrers(self, repository: Repository, subject: Digest, artifact_type: str) -> Sequence[Descriptor]:
        """Return the manifests that refer to ``subject``, by referrers API or fallback tag."""
        found = self._ask_referrers_api(repository, subject, artifact_type)
        if found is None:
            found = self._read_fallback(repository, subject)["manifests"]
        what = f"referrers of {subject} in {repository}"
        # Filtered again: a registry need not filter.
        return tuple(each for each in parse_descriptors(found, what) if each.artifact_type == artifact_type)

    def _upload(self, repository: Repository, digest: Digest, body: Upload) -> None:
        with self._exchange("POST", repository, "blobs/uploads/", expect=(_ACCEPTED,)) as response:
            location = self._resolve(response, repository, response.headers.get("Location", ""))
        if urlsplit(location).scheme != self._scheme:
            raise UnavailableError(
                f"registry {repository.registry} wants uploads at {without_query(location)}, not {self._scheme}",
                hint="behind a proxy, tell the registry its outside URL (X-Forwarded-Proto)",
            )
        url = f"{location}{'&' if '?' in location else '?'}{urlencode({'digest': str(digest)})}"
        with self._exchange(
            "PUT",
            repository,
            url,
            expect=(_CREATED,),
            headers={"Content-Type": "application/octet-stream"},
            body=body if len(body) else b"",
        ):
            pass

    def _put_manifest(self, repository: Repository, reference: str, content: bytes, media_type: str) -> bool:
        """Store a manifest; return whether the registry keeps referrers by itself."""

        def put() -> bool:
            with self._exchange(
                "PUT",
                repository,
                f"manifests/{reference}",
                expect=(_CREATED,),
                headers={"Content-Type": media_type},
                body=content,
            ) as response:
                claimed = response.headers.get("Docker-Content-Digest", "")
                if claimed.startswith("sha256:") and claimed != str(Digest.of(content)):
                    raise IntegrityError(
                        f"registry {repository.registry} stored {reference} as {claimed:.80}, "
                        f"not as {Digest.of(content)}"
                    )
                return "OCI-Subject" in response.headers

        return self._retry(put)

    def _ask_referrers_api(self, repository: Repository, subject: Digest, artifact_type: str) -> list[object] | None:
        """Return the entries of all pages, or ``None`` when the registry has no referrers API."""
        what = f"referrers of {subject} in {repository}"

        def ask(url: str) -> tuple[list[object], str] | None:
            with self._exchange(
                "GET", repository, url, expect=(_OK, _NOT_FOUND), headers={"Accept": INDEX}
            ) as response:
                # As oras-go: some registries answer a page for people to any address.
                if response.status_code == _NOT_FOUND or content_type(response) != INDEX:
                    return None
                page = parse_index(read_manifest(response, what), what)["manifests"]
                following = response.links.get("next", {}).get("url", "")
                return page, self._resolve(response, repository, following) if following else ""

        url = f"referrers/{subject}?{urlencode({'artifactType': artifact_type})}"
        found: list[object] = []
        for _ in range(_MAX_PAGES):
            answer = self._retry(functools.partial(ask, url))
            if answer is None:
                return None
            page, url = answer
            found += page
            if not url:
                return found
            if origin(url) != origin(self._base(repository)):
                raise IntegrityError(f"{what} go on at another host, {without_query(url)}")
        raise IntegrityError(f"{what} fill more than {_MAX_PAGES} pages")

    def _read_fallback(self, repository: Repository, subject: Digest) -> dict[str, Any]:
        """Return the index under the fallback tag, which may be empty."""
        tag = _fallback_tag(subject)
        try:
            _, content = self.get_manifest(repository, tag)
        except NotFoundError:
            return {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
        return parse_index(content, f"{repository}:{tag}")

    def _add_to_fallback(self, repository: Repository, subject: Digest, entry: Descriptor) -> None:
        """Read, modify and write the fallback tag until our entry is seen in it.

        Registries have no compare-and-swap: within a process the lock keeps writers apart, between processes
        reading again narrows the gap and cannot close it.
        """
        with _subject_lock(f"{repository}@{subject}"):
            for _ in range(_FALLBACK_ROUNDS):
                index = self._read_fallback(repository, subject)
                known = parse_descriptors(index["manifests"], f"{repository}:{_fallback_tag(subject)}")
                if any(each.digest == entry.digest for each in known):
                    return
                index["manifests"].append(entry.to_dict())
                content = json.dumps(index, separators=(",", ":")).encode()
                self._put_manifest(repository, _fallback_tag(subject), content, INDEX)
        raise ConflictError(
            f"other writers keep removing {entry.digest} from {repository}:{_fallback_tag(subject)}",
            hint="try again when nobody else attaches to this artifact, or use a registry with the referrers API",
        )

    def _retry(self, operation: Callable[[], T]) -> T:
        attempt = 1
        while True:
            try:
                return operation()
            except TransientError as error:
                if attempt >= self._tries:
                    raise UnavailableError(
                        f"{error.message} ({attempt} tries)", hint="see whether the registry is well, then try again"
                    ) from (error.__cause__ or error)
                wait = error.retry_after
            if wait is None:
                wait = self._backoff * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)  # noqa: S311 - jitter, no secret
            time.sleep(min(wait, self._max_wait))
            attempt += 1

    @contextlib.contextmanager
    def _exchange(
        self,
        method: str,
        repository: Repository,
        path: str,
        *,
        expect: tuple[int, ...] = (_OK,),
        headers: Mapping[str, str] | None = None,
        body: Upload | bytes | None = None,
    ) -> Iterator[requests.Response]:
        """Send one request, to a path in the repository or a whole URL, and yield the expected answer."""
        url = path if "://" in path else f"{self._base(repository)}{path}"
        with self._connection(repository.registry) as connection:
            response = self._follow(connection, method, repository, url, headers=headers or {}, body=body)
            with contextlib.closing(response):
                if response.status_code not in expect:
                    raise failure_of(response, f"registry {repository.registry}: {method} {without_query(url)}")
                yield response
                # What is left of a small answer is read, so that the connection can be used again.
                with contextlib.suppress(urllib3.exceptions.HTTPError):
                    response.raw.read(CHUNK, decode_content=False)

    def _follow(
        self,
        connection: Connection,
        method: str,
        repository: Repository,
        url: str,
        *,
        headers: Mapping[str, str],
        body: Upload | bytes | None,
    ) -> requests.Response:
        """Return the answer behind all redirects, as cloud registries make them for downloads.

        A redirected upload is returned as it is, and refused: it would send content where nobody said it may go.
        """
        reading = method in {"GET", "HEAD"}
        for _ in range(MAX_REDIRECTS):
            response = connection.send(method, url, headers, body, scope=f"{repository.path} {reading}")
            if not (reading and response.status_code in _REDIRECTS and "Location" in response.headers):
                return response
            response.close()
            url = self._resolve(response, repository, response.headers["Location"])
            if self._scheme == "https" and urlsplit(url).scheme != "https":
                raise UnavailableError(
                    f"registry {repository.registry} redirects to {without_query(url)}, not to https"
                )
        raise UnavailableError(f"registry {repository.registry} redirects more than {MAX_REDIRECTS} times")

    @contextlib.contextmanager
    def _connection(self, registry: str) -> Iterator[Connection]:
        """Lend a connection to one thread at a time: neither oras's login nor its session is shared."""
        with self._lock:
            idle = self._idle.setdefault(registry, [])
            connection = idle.pop() if idle else None
        if connection is None:
            connection = Connection(
                registry, self._scheme, self._timeouts, credentials=self._credentials, docker_config=self._docker_config
            )
        try:
            yield connection
        finally:
            with self._lock:
                self._idle.setdefault(registry, []).append(connection)

    def _base(self, repository: Repository) -> str:
        return f"{self._scheme}://{repository.registry}/v2/{repository.path}/"

    def _resolve(self, response: requests.Response, repository: Repository, location: str) -> str:
        """Return where an answer points to as a URL that HTTP can be spoken to."""
        try:
            url = urljoin(response.url, location) if location else ""
            scheme, host, _ = origin(url)
        except ValueError:
            url = scheme = host = ""
        if scheme not in {"http", "https"} or not host:
            raise UnavailableError(f"registry {repository.registry} points to {location[:200]!r}, which is no URL")
        return url


def _subject_lock(key: str) -> threading.Lock:
    with _guard:
        return _subject_locks.setdefault(key, threading.Lock())


def _fallback_tag(subject: Digest) -> str:
    # distribution-spec, *referrers tag schema*: at most 32 and 64 characters.
    return f"{subject.algorithm[:32]}-{subject.hex[:64]}"


def _parse_reference(reference: str) -> Digest | None:
    """Return the digest that a reference is, or ``None`` for a tag."""
    if ":" in reference:
        return Digest.parse(reference)
    if not is_tag(reference):
        raise InvalidInputError(f"{reference[:140]!r} is neither a tag nor a digest")
    return None


def _open(blob: Blob) -> BinaryIO:
    if isinstance(blob.content, bytes):
        return io.BytesIO(blob.content)
    try:
        return blob.content.open("rb")
    except OSError as error:
        raise StorageError(f"{blob.content} cannot be read: {error}") from error
