"""One registry over HTTP, with oras-py's session and login: the only file that knows oras.

Of oras-py only the token flow and the look-up of credentials are used: its own transfers check no digest, set no
timeout, hold whole blobs in memory and retry blindly, and its provider takes 0.1 s to import.
"""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import re
from collections.abc import Iterator, Mapping
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urljoin, urlsplit

import oras.auth
import oras.auth.utils
import oras.container
import oras.logger
import oras.utils
import requests
import urllib3
from requests.adapters import HTTPAdapter

from ums import __version__
from ums.domain.errors import IntegrityError, InvalidInputError, UnauthenticatedError, UnavailableError
from ums.ports import Progress

CHUNK = 64 * 1024
MAX_REDIRECTS = 5
SERVER_ERROR = 500
RETRIED_CLIENT_ERRORS = frozenset({408, 429})
_MAX_TOKEN_SIZE = 1024 * 1024
_UNAUTHORIZED = 401


class TransientError(Exception):
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
            if response.status_code >= SERVER_ERROR or response.status_code in RETRIED_CLIENT_ERRORS:
                # oras would take this for a refusal.
                raise requests.ConnectionError(f"the token service answered {response.status_code}", request=request)
            content = response.raw.read(_MAX_TOKEN_SIZE + 1, decode_content=False)
        if len(content) > _MAX_TOKEN_SIZE:
            raise requests.ConnectionError("the token service's answer is too long", request=request)
        response.raw = io.BytesIO(content)
        return response


class Connection:
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
        self._origin = origin(f"{scheme}://{registry}/")
        self._authorization: dict[str, str] = {}
        # Looking for proxies in the environment costs more than all else that requests does for a request.
        self._settings = functools.lru_cache(maxsize=8)(self._settings_from_environment)
        self._session = requests.Session()
        # To a client with cookies, some registries speak as to a browser.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._login = oras.auth.get_auth_backend("token", self._session, insecure=scheme == "http")
        self._session.max_redirects = MAX_REDIRECTS
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
        self, method: str, url: str, headers: Mapping[str, str], body: Upload | bytes | None, *, scope: str
    ) -> requests.Response:
        """Send a request, and once more with new credentials when the registry asks for them.

        The registry's own host alone ever gets an Authorization header. ``scope`` keeps tokens apart.
        """
        try:
            if origin(url) != self._origin:
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
            raise TransientError(
                f"registry {self._registry} did not answer {method} {without_query(url)}: {type(error).__name__}"
            ) from error

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: Upload | bytes | None
    ) -> requests.Response:
        connect, read = self._timeouts
        if isinstance(body, Upload):
            body.rewind()
            # While a body is sent, urllib3 waits for as long as for a connection; a registry may need longer to store.
            connect = read
        # It quacks as requests wants: read, len and iteration.
        data = cast("bytes | None", body)
        request = self._session.prepare_request(requests.Request(method, url, headers=headers, data=data))
        settings = self._settings(urljoin(url, "/"))
        # Not by Session.send, which reads the body of a redirect to its end, wherever that may be.
        return self._session.get_adapter(url).send(request, timeout=(connect, read), **settings)

    def _settings_from_environment(self, host: str) -> Any:  # noqa: ANN401 - proxies, CA file and the like, for requests
        # None stands for "as the session has it", which the stubs do not know of the answer.
        return self._session.merge_environment_settings(host, {}, stream=True, verify=None, cert=None)

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
                    f"registry {self._registry} asks to log in at {without_query(realm)}, which is not https"
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


class Upload:
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
        while chunk := self.read(CHUNK):
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


def origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def without_query(url: str) -> str:
    """Return a URL fit for messages: signed URLs carry secrets behind the question mark."""
    return re.sub(r"//[^/@]*@", "//", url.partition("?")[0])[:200]
