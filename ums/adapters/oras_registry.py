"""OCI registries over HTTP, through oras-py's session and login.

Of oras-py only the session (cookies off), the token flow and the look-up of credentials are used: its own
transfers check no digest, set no timeout, hold whole blobs in memory and retry blindly. So bytes are streamed,
bounded, checked and retried here. Not responsible for what the bytes mean.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import logging
import random
import re
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast
from urllib.parse import urlencode, urljoin, urlsplit

import oras.auth.utils
import oras.container
import oras.logger
import oras.provider
import oras.utils
import requests
import urllib3
from requests.adapters import HTTPAdapter

from ums import __version__
from ums.domain.artifact import Artifact, Blob
from ums.domain.digest import Digest
from ums.domain.errors import (
    ConflictError,
    ForbiddenError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    StorageError,
    UmsError,
    UnauthenticatedError,
    UnavailableError,
)
from ums.domain.oci import INDEX, MANIFEST, Descriptor, Repository, is_tag
from ums.ports import Progress

T = TypeVar("T")

_CHUNK = 64 * 1024
_SPOOL_SIZE = 8 * 1024 * 1024
_MAX_MANIFEST_SIZE = 4 * 1024 * 1024
_MAX_TOKEN_SIZE = 1024 * 1024
_MAX_REDIRECTS = 5
_MAX_PAGES = 64
_FALLBACK_ROUNDS = 5
_MANIFEST_TYPES = (
    MANIFEST,
    INDEX,
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_OK, _CREATED, _ACCEPTED, _NOT_FOUND, _SERVER_ERROR = 200, 201, 202, 404, 500
_UNAUTHORIZED = 401
_RETRIED_CLIENT_ERRORS = frozenset({408, 429})

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
        self._idle: dict[str, list[_Connection]] = {}

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
                content = _read_limited(response, f"{repository} {reference}")
                return _describe(response, content, digest, f"{repository} {reference}"), content

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
                    _save(response, descriptor, cast("BinaryIO", file), str(repository))
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
            _check_content(source, blob.descriptor)
            if self.has_blob(repository, blob.descriptor.digest):
                return
            body = _Upload(source, blob.descriptor.size, progress)
            # As a whole: after a PUT that failed, most registries no longer know the upload.
            self._retry(lambda: self._upload(repository, blob.descriptor.digest, body))

    def push_manifest(self, repository: Repository, artifact: Artifact, *, tag: str | None = None) -> None:
        """Store an artifact's manifest (its blobs must be there), and tag it.

        If it has a ``subject`` and the registry has no referrers API, the fallback tag is updated too.

        Raises:
            IntegrityError: the manifest is not what its descriptor says, here or at the registry.
            ConflictError: other writers of the fallback tag kept removing our entry.

        """
        _check_content(io.BytesIO(artifact.manifest), artifact.descriptor)
        manifest = _parse_object(artifact.manifest, str(artifact.descriptor.digest))
        knows_referrers = self._put_manifest(
            repository, tag or str(artifact.descriptor.digest), artifact.manifest, artifact.descriptor.media_type
        )
        if (subject := manifest.get("subject")) is not None and not knows_referrers:
            entry = Descriptor(
                artifact.descriptor.media_type,
                artifact.descriptor.digest,
                artifact.descriptor.size,
                manifest.get("annotations") or {},
                # distribution-spec, *listing referrers*: the config's type stands in for a missing artifactType.
                manifest.get("artifactType") or manifest["config"]["mediaType"],
            )
            self._add_to_fallback(repository, Descriptor.from_dict(subject).digest, entry)

    def referrers(self, repository: Repository, subject: Digest, artifact_type: str) -> Sequence[Descriptor]:
        """Return the manifests that refer to ``subject``, by referrers API or fallback tag."""
        found = self._ask_referrers_api(repository, subject, artifact_type)
        if found is None:
            found = self._read_fallback(repository, subject)["manifests"]
        what = f"referrers of {subject} in {repository}"
        # Filtered again: a registry need not filter.
        return tuple(each for each in _parse_descriptors(found, what) if each.artifact_type == artifact_type)

    def _upload(self, repository: Repository, digest: Digest, body: _Upload) -> None:
        with self._exchange("POST", repository, "blobs/uploads/", expect=(_ACCEPTED,)) as response:
            location = self._resolve(response, repository, response.headers.get("Location", ""))
        if urlsplit(location).scheme != self._scheme:
            raise UnavailableError(
                f"registry {repository.registry} wants uploads at {_without_query(location)}, not {self._scheme}",
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
                if response.status_code == _NOT_FOUND or _content_type(response) != INDEX:
                    return None
                page = _parse_index(_read_limited(response, what), what)["manifests"]
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
            if _origin(url) != _origin(self._base(repository)):
                raise IntegrityError(f"{what} go on at another host, {_without_query(url)}")
        raise IntegrityError(f"{what} fill more than {_MAX_PAGES} pages")

    def _read_fallback(self, repository: Repository, subject: Digest) -> dict[str, Any]:
        """Return the index under the fallback tag, which may be empty."""
        tag = _fallback_tag(subject)
        try:
            _, content = self.get_manifest(repository, tag)
        except NotFoundError:
            return {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
        return _parse_index(content, f"{repository}:{tag}")

    def _add_to_fallback(self, repository: Repository, subject: Digest, entry: Descriptor) -> None:
        """Read, modify and write the fallback tag until our entry is seen in it.

        Registries have no compare-and-swap: within a process the lock keeps writers apart, between processes
        reading again narrows the gap and cannot close it.
        """
        with _subject_lock(f"{repository}@{subject}"):
            for _ in range(_FALLBACK_ROUNDS):
                index = self._read_fallback(repository, subject)
                known = _parse_descriptors(index["manifests"], f"{repository}:{_fallback_tag(subject)}")
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
            except _TransientError as error:
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
        body: _Upload | bytes | None = None,
    ) -> Iterator[requests.Response]:
        """Send one request, to a path in the repository or a whole URL, and yield the expected answer."""
        url = path if "://" in path else f"{self._base(repository)}{path}"
        with self._connection(repository.registry) as connection:
            response = self._follow(connection, method, repository, url, headers=headers or {}, body=body)
            with contextlib.closing(response):
                if response.status_code not in expect:
                    raise _failure(response, f"registry {repository.registry}: {method} {_without_query(url)}")
                yield response
                # What is left of a small answer is read, so that the connection can be used again.
                with contextlib.suppress(urllib3.exceptions.HTTPError):
                    response.raw.read(_CHUNK, decode_content=False)

    def _follow(
        self,
        connection: _Connection,
        method: str,
        repository: Repository,
        url: str,
        *,
        headers: Mapping[str, str],
        body: _Upload | bytes | None,
    ) -> requests.Response:
        """Return the answer behind all redirects, as cloud registries make them for downloads.

        A redirected upload is returned as it is, and refused: it would send content where nobody said it may go.
        """
        reading = method in {"GET", "HEAD"}
        for _ in range(_MAX_REDIRECTS):
            response = connection.send(method, url, headers, body, scope=f"{repository.path} {reading}")
            if not (reading and response.status_code in _REDIRECTS and "Location" in response.headers):
                return response
            response.close()
            url = self._resolve(response, repository, response.headers["Location"])
            if self._scheme == "https" and urlsplit(url).scheme != "https":
                raise UnavailableError(
                    f"registry {repository.registry} redirects to {_without_query(url)}, not to https"
                )
        raise UnavailableError(f"registry {repository.registry} redirects more than {_MAX_REDIRECTS} times")

    @contextlib.contextmanager
    def _connection(self, registry: str) -> Iterator[_Connection]:
        """Lend a connection to one thread at a time: neither oras's login nor its session is shared."""
        with self._lock:
            idle = self._idle.setdefault(registry, [])
            connection = idle.pop() if idle else None
        if connection is None:
            connection = _Connection(
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
            scheme, host, _ = _origin(url)
        except ValueError:
            url = scheme = host = ""
        if scheme not in {"http", "https"} or not host:
            raise UnavailableError(f"registry {repository.registry} points to {location[:200]!r}, which is no URL")
        return url


class _TransientError(Exception):
    """What failed may work when tried again."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after


class _TokenBounds(HTTPAdapter):
    """Gives oras's own requests, which are those for tokens, the bounds that oras does not set.

    They are told by not being streamed; all of ours are.
    """

    def __init__(self, timeouts: tuple[float, float]) -> None:
        super().__init__()
        self._timeouts = timeouts

    def send(  # noqa: PLR0917 - the signature is requests's
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002
        timeout: Any = None,  # noqa: ANN401
        verify: Any = True,  # noqa: ANN401, FBT002
        cert: Any = None,  # noqa: ANN401
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send a request; a token's answer is read here, up to a limit."""
        if stream:
            return super().send(request, True, timeout, verify, cert, proxies)  # noqa: FBT003
        response = super().send(request, True, self._timeouts, verify, cert, proxies)  # noqa: FBT003
        with contextlib.closing(response):
            if response.status_code >= _SERVER_ERROR or response.status_code in _RETRIED_CLIENT_ERRORS:
                # oras would take this for a refusal.
                raise requests.ConnectionError(f"the token service answered {response.status_code}", request=request)
            content = response.raw.read(_MAX_TOKEN_SIZE + 1, decode_content=False)
        if len(content) > _MAX_TOKEN_SIZE:
            raise requests.ConnectionError("the token service's answer is too long", request=request)
        response.raw = io.BytesIO(content)
        return response


class _Connection:
    """oras's session and login for one registry, with the authorization last accepted for each repository."""

    def __init__(
        self,
        registry: str,
        scheme: str,
        timeouts: tuple[float, float],
        *,
        credentials: tuple[str, str] | None,
        docker_config: Path | None,
    ) -> None:
        oras.logger.logger.set_level(logging.CRITICAL)  # it would write to stderr what we raise
        self._registry = registry
        self._scheme = scheme
        self._timeouts = timeouts
        self._origin = _origin(f"{scheme}://{registry}/")
        self._authorization: dict[str, str] = {}
        provider = oras.provider.Registry(hostname=registry, insecure=scheme == "http")
        self._login = provider.auth
        self._session: requests.Session = provider.session
        self._session.max_redirects = _MAX_REDIRECTS
        self._session.headers.update({"User-Agent": f"ums/{__version__}", "Accept-Encoding": "identity"})
        # Without this, requests takes a netrc file over the header we set.
        self._session.auth = _keep_authorization
        for prefix in ("http://", "https://"):
            self._session.mount(prefix, _TokenBounds(timeouts))
        if credentials:
            self._login.set_basic_auth(*credentials)
        else:
            self._load_credentials(docker_config)

    def close(self) -> None:
        """Close the sockets."""
        self._session.close()

    def send(
        self, method: str, url: str, headers: Mapping[str, str], body: _Upload | bytes | None, *, scope: str
    ) -> requests.Response:
        """Send a request, and once more with new credentials when the registry asks for them.

        The registry's own host alone ever gets an Authorization header. ``scope`` keeps tokens apart.
        """
        try:
            if _origin(url) != self._origin:
                return self._send(method, url, headers, body)
            known = self._authorization.get(scope)
            response = self._send(method, url, _authorized(headers, known), body)
            if response.status_code != _UNAUTHORIZED:
                return response
            authorization = self._authenticate(response)
            if authorization is None:
                return response
            response.close()
            self._authorization[scope] = authorization
            return self._send(method, url, _authorized(headers, authorization), body)
        except requests.exceptions.SSLError as error:
            raise UnavailableError(
                f"registry {self._registry} has no TLS that we trust: {error}",
                hint="REQUESTS_CA_BUNDLE names the file of a private certificate authority",
            ) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise _TransientError(
                f"registry {self._registry} did not answer {method} {_without_query(url)}: {type(error).__name__}"
            ) from error

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: _Upload | bytes | None
    ) -> requests.Response:
        connect, read = self._timeouts
        if isinstance(body, _Upload):
            body.rewind()
            # While a body is sent, urllib3 waits for as long as for a connection; a registry may need longer to store.
            connect = read
        # It quacks as requests wants: read, len and iteration.
        data = cast("bytes | None", body)
        request = self._session.prepare_request(requests.Request(method, url, headers=headers, data=data))
        # None stands for "as the session has it", which the stubs do not know of the answer.
        settings: Any = self._session.merge_environment_settings(url, {}, stream=True, verify=None, cert=None)
        # Not by Session.send, which reads the body of a redirect to its end, wherever that may be.
        return self._session.get_adapter(url).send(request, timeout=(connect, read), **settings)

    def _authenticate(self, response: requests.Response) -> str | None:
        """Return the header that answers a challenge, or ``None`` when we have nothing to answer."""
        challenge = response.headers.get("WWW-Authenticate", "")
        scheme = challenge.partition(" ")[0].lower()
        if scheme == "basic":
            basic = getattr(self._login, "_basic_auth", None)
            return f"Basic {basic}" if basic else None
        realm = oras.auth.utils.parse_auth_header(challenge).realm
        if scheme != "bearer" or not realm:
            return None
        try:
            if urlsplit(realm).scheme not in {"https", self._scheme}:
                raise UnauthenticatedError(
                    f"registry {self._registry} asks to log in at {_without_query(realm)}, which is not https"
                )
            headers, changed = self._login.authenticate_request(response, {}, refresh=True)
        except (AttributeError, TypeError, ValueError) as error:
            if isinstance(error, requests.RequestException):
                raise
            raise UnavailableError(
                f"the token service of registry {self._registry} does not answer with JSON"
            ) from error
        return str(headers["Authorization"]) if changed else None

    def _load_credentials(self, docker_config: Path | None) -> None:
        try:
            if docker_config:
                config = oras.utils.read_json(str(docker_config))
                # oras would mix the file with the user's own, in an order that changes from run to run.
                self._login._auth_config = {  # noqa: SLF001 - see above
                    "auths": config.get("auths", {}),
                    "credsStore": config.get("credsStore"),
                    "credHelpers": config.get("credHelpers", {}),
                }
            self._login.load_configs(oras.container.Container("ums", registry=self._registry))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidInputError(
                f"no credentials for registry {self._registry} could be read from Docker's configuration: {error}",
                hint=f"repair {docker_config or '~/.docker/config.json'}, or give user name and password",
            ) from error


class _Upload:
    """A blob as the body of a request, which can be sent again."""

    def __init__(self, source: BinaryIO, size: int, progress: Progress | None) -> None:
        self._source = source
        self._size = size
        self._progress = progress
        self._position = 0
        self._reported = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self.read(_CHUNK):
            yield chunk

    def rewind(self) -> None:
        """Start again."""
        self._source.seek(0)
        self._position = 0

    def read(self, amount: int) -> bytes:
        """Return the next bytes, and report those never reported before."""
        chunk = self._source.read(min(amount, self._size - self._position))
        if not chunk and self._position < self._size:
            raise IntegrityError("a file became shorter while it was pushed")
        self._position += len(chunk)
        if self._progress and self._position > self._reported:
            self._progress(self._position - self._reported)
            self._reported = self._position
        return chunk


def _keep_authorization(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _authorized(headers: Mapping[str, str], authorization: str | None) -> dict[str, str]:
    return {**headers, **({"Authorization": authorization} if authorization else {})}


def _subject_lock(key: str) -> threading.Lock:
    with _guard:
        return _subject_locks.setdefault(key, threading.Lock())


def _fallback_tag(subject: Digest) -> str:
    # distribution-spec, *referrers tag schema*: at most 32 and 64 characters.
    return f"{subject.algorithm[:32]}-{subject.hex[:64]}"


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _without_query(url: str) -> str:
    """Return a URL fit for messages: signed URLs carry secrets behind the question mark."""
    return re.sub(r"//[^/@]*@", "//", url.partition("?")[0])[:200]


def _content_type(response: requests.Response) -> str:
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _parse_reference(reference: str) -> Digest | None:
    """Return the digest that a reference is, or ``None`` for a tag."""
    if ":" in reference:
        return Digest.parse(reference)
    if not is_tag(reference):
        raise InvalidInputError(f"{reference[:140]!r} is neither a tag nor a digest")
    return None


def _failure(response: requests.Response, what: str) -> UmsError | _TransientError:
    """Return the error that an unexpected answer stands for."""
    status = response.status_code
    message = f"{what} answered {status}{_reason(response)}"
    if status >= _SERVER_ERROR or status in _RETRIED_CLIENT_ERRORS:
        return _TransientError(message, retry_after=_retry_after(response.headers.get("Retry-After", "")))
    match status:
        case 401:
            return UnauthenticatedError(
                message, hint="log in to the registry (docker login), or check user and password"
            )
        case 403 | 405:
            return ForbiddenError(message, hint="ask the registry's owner for the permission")
        case 404:
            return NotFoundError(message)
        case _ if 400 <= status < _SERVER_ERROR:  # noqa: PLR2004 - a client error
            return InvalidInputError(message)
        case _:
            return UnavailableError(f"{message}, which no registry does", hint="see what proxy stands before it")


def _reason(response: requests.Response) -> str:
    """Return what the registry said in its error document, if it said something readable."""
    try:
        errors = json.loads(response.raw.read(_CHUNK, decode_content=False))["errors"]
        text = f"{errors[0].get('code', '')} {errors[0].get('message', '')}".strip()
    except (urllib3.exceptions.HTTPError, ValueError, RecursionError, LookupError, TypeError, AttributeError):
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
        yield from response.raw.stream(_CHUNK, decode_content=False)
    except urllib3.exceptions.HTTPError as error:
        raise _TransientError(f"{what}: the connection broke while reading: {type(error).__name__}") from error


def _read_limited(response: requests.Response, what: str) -> bytes:
    content = bytearray()
    for chunk in _chunks(response, what):
        content += chunk
        if len(content) > _MAX_MANIFEST_SIZE:
            raise IntegrityError(f"{what} is longer than the {_MAX_MANIFEST_SIZE} bytes that a manifest may have")
    return bytes(content)


def _save(response: requests.Response, descriptor: Descriptor, file: BinaryIO, where: str) -> None:
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


def _open(blob: Blob) -> BinaryIO:
    if isinstance(blob.content, bytes):
        return io.BytesIO(blob.content)
    try:
        return blob.content.open("rb")
    except OSError as error:
        raise StorageError(f"{blob.content} cannot be read: {error}") from error


def _check_content(source: BinaryIO, descriptor: Descriptor) -> None:
    """Check what is about to be sent."""
    checksum = hashlib.new(descriptor.digest.algorithm)
    size = 0
    try:
        while chunk := source.read(_CHUNK):
            checksum.update(chunk)
            size += len(chunk)
    except OSError as error:
        raise StorageError(f"{descriptor.digest} cannot be read: {error}") from error
    if size != descriptor.size or checksum.hexdigest() != descriptor.digest.hex:
        raise IntegrityError(
            f"content to push is {checksum.hexdigest()} ({size} bytes), "
            f"not {descriptor.digest} ({descriptor.size} bytes)"
        )


def _describe(response: requests.Response, content: bytes, digest: Digest | None, what: str) -> Descriptor:
    """Return the descriptor of a manifest as read, checked against all that was said about it."""
    claimed = response.headers.get("Docker-Content-Digest")
    try:
        expected = digest or (Digest.parse(claimed) if claimed else Digest.of(content))
    except InvalidInputError as error:
        raise IntegrityError(f"{what}: Docker-Content-Digest is no digest") from error
    actual = hashlib.new(expected.algorithm, content).hexdigest()
    if actual != expected.hex:
        raise IntegrityError(f"{what} is not what its digest says: {expected.algorithm}:{actual}, not {expected}")
    said, stands = _content_type(response), _parse_object(content, what).get("mediaType")
    # One document that two readers take for two things (CVE-2021-41190).
    if stands is not None and said != stands:
        raise IntegrityError(f"{what} is served as {said:.100}, but says it is {stands!s:.100}")
    return Descriptor(said, expected, len(content))


def _parse_object(content: bytes, what: str) -> dict[str, Any]:
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{what} is not JSON") from error
    if not isinstance(data, dict):
        raise IntegrityError(f"{what} is not a JSON object")
    return data


def _parse_index(content: bytes, what: str) -> dict[str, Any]:
    index = _parse_object(content, what)
    if index.get("mediaType", INDEX) != INDEX or not isinstance(index.get("manifests"), list):
        raise IntegrityError(f"{what} is not an OCI index")
    return index


def _parse_descriptors(entries: list[Any], what: str) -> list[Descriptor]:
    try:
        return [Descriptor.from_dict(entry) for entry in entries]
    except (InvalidInputError, TypeError, ValueError, AttributeError) as error:
        raise IntegrityError(f"{what} has an entry that is no descriptor: {error}") from error
