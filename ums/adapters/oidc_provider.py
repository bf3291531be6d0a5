"""Logins at an OpenID Connect issuer, by Authlib and its JOSE library. The only door.

What the issuer answers is bounded in time and size and leads nowhere else. Of its keys only public ones count, and of
algorithms only those with public keys: neither an unsigned token passes, nor one signed with a public key as if it
were a password.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from threading import BoundedSemaphore, Lock
from typing import Any

import requests
import urllib3
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey, import_key
from requests.adapters import HTTPAdapter

from ums.domain import strict_json
from ums.domain.errors import ForbiddenError, InvalidInputError, UnauthenticatedError, UnavailableError
from ums.domain.issuers import Issuer, check_issuer
from ums.domain.sessions import Person
from ums.domain.strict_json import StrictJSONError

_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
_KEY_TYPES = frozenset({"RSA", "EC"})
_MIN_RSA_BITS = 2048
_MAX_KEYS = 50
_TIMEOUT_SECONDS = (5, 10)
_TOTAL_SECONDS = 15
_MAX_ANSWER = 512 * 1024
_CHUNK = 1 << 14
_AT_ONCE = 4
"""So many logins may wait for the issuer; anybody can begin one, and others need the threads of this process."""
_FRESH_SECONDS = 3600
_REFRESH_SECONDS = 30
"""Keys are read again for a token whose key is not known, but no more often: anybody can make up a key's name."""
_LEEWAY_SECONDS = 60
_MAX_SUBJECT = 200
_MAX_GROUPS = 500
_ERROR = re.compile(r"[a-z_]{1,60}", re.ASCII)

Key = RSAKey | ECKey


class OIDCProvider:
    """Implements ``ports.IdentityProvider``; what an issuer says of itself is kept for an hour."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer
        self._lock = Lock()
        self._turns = BoundedSemaphore(_AT_ONCE)
        self._metadata: tuple[float, Mapping[str, Any]] | None = None
        self._keys: tuple[float, Sequence[Key]] | None = None

    def authorization_url(self, *, redirect_uri: str, state: str, nonce: str, verifier: str) -> str:
        """Return where to send somebody who is to log in.

        Raises:
            UnavailableError: the issuer does not answer, or not as an issuer does.

        """
        with self._turn():
            metadata = self._discover()
        with self._session(metadata) as session:
            url, _ = session.create_authorization_url(
                metadata["authorization_endpoint"],
                state=state,
                nonce=nonce,
                code_verifier=verifier,
                redirect_uri=redirect_uri,
            )
        return str(url)

    def person(self, *, code: str, redirect_uri: str, nonce: str, verifier: str, now: datetime) -> Person:
        """Return who came back with a code.

        Raises:
            UnauthenticatedError: the issuer does not take the code, or its ID token does not hold.
            ForbiddenError: it does not say of this person what the settings ask for.
            UnavailableError: it does not answer, or not as an issuer does.

        """
        with self._turn():
            metadata = self._discover()
            token = self._redeem(metadata, code=code, redirect_uri=redirect_uri, verifier=verifier)
            id_token = token.get("id_token")
            if not isinstance(id_token, str) or not id_token.isascii():
                raise UnauthenticatedError("the issuer sent no ID token", hint="oidc.scopes must name openid")
            try:
                claims = self._verified(
                    id_token, metadata, nonce=nonce, access_token=token.get("access_token"), now=now
                )
            except (JoseError, ValueError, TypeError, KeyError) as error:
                # Its text is about the token, which came from the issuer, and not of it.
                raise UnauthenticatedError(
                    f"the issuer's ID token does not hold: {str(error) or type(error).__name__:.200}",
                    hint="log in again: /auth/login; is oidc.issuer right, and this machine's clock?",
                ) from error
        return self._person(claims)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._turns.acquire(blocking=False):
            raise UnavailableError(f"many wait for the issuer {self._issuer.url} now", hint="try again in a moment")
        try:
            yield
        finally:
            self._turns.release()

    def _redeem(self, metadata: Mapping[str, Any], *, code: str, redirect_uri: str, verifier: str) -> Mapping[str, Any]:
        with self._session(metadata) as session:
            try:
                found = session.fetch_token(
                    metadata["token_endpoint"],
                    grant_type="authorization_code",
                    code=code,
                    redirect_uri=redirect_uri,
                    code_verifier=verifier,
                )
            except OAuthError as error:
                said = error.error if isinstance(error.error, str) and _ERROR.fullmatch(error.error) else "an error"
                raise UnauthenticatedError(
                    f"the issuer does not take the code: {said}", hint="log in again: /auth/login"
                ) from error
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                raise self._unavailable(error) from error
        if not isinstance(found, Mapping):
            raise self._unavailable(ValueError("not an object"))
        return found

    def _verified(
        self, id_token: str, metadata: Mapping[str, Any], nonce: str, access_token: object, now: datetime
    ) -> Mapping[str, Any]:
        header = jws.extract_compact(id_token.encode()).headers()
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in _ALGORITHMS:
            raise ValueError(f"the algorithm {algorithm!r:.20} is none that counts")
        token = next(filter(None, (_decoded(id_token, key) for key in self._candidates(metadata, kid))), None)
        if token is None:
            raise ValueError("none of the issuer's keys signed it")
        if token.claims.get("iss") != self._issuer.url:
            raise ValueError("it is another issuer's")
        claims = CodeIDToken(
            token.claims,
            token.header,
            options={"aud": {"essential": True, "value": self._issuer.client_id}},
            params={"nonce": nonce, "client_id": self._issuer.client_id, "access_token": access_token},
        )
        claims.validate(now=int(now.timestamp()), leeway=_LEEWAY_SECONDS)
        return dict(claims)

    def _person(self, claims: Mapping[str, Any]) -> Person:
        wanted, domains = self._issuer.subject_claim, self._issuer.allowed_domains
        email = claims.get("email") if claims.get("email_verified") is True else None
        _, at, domain = email.rpartition("@") if isinstance(email, str) else ("", "", "")
        if domains and not (at and domain.lower() in domains):
            raise ForbiddenError(
                "the issuer knows of no verified address of yours in an allowed domain", hint="see oidc.allowedDomains"
            )
        subject = email if wanted == "email" else claims.get(wanted)
        if not isinstance(subject, str) or not 0 < len(subject) <= _MAX_SUBJECT or not _is_name(subject):
            verified = "verified " if wanted == "email" else ""
            raise ForbiddenError(
                f"the issuer names no {verified}{wanted} of yours",
                hint="set oidc.subjectClaim to a claim that it gives for everybody, such as sub",
            )
        return Person(subject, _groups(claims.get(self._issuer.groups_claim)))

    def _candidates(self, metadata: Mapping[str, Any], kid: object) -> Sequence[Key]:
        """Return the keys that may have signed: the one of that name, or all where none is named."""
        for patience in (_FRESH_SECONDS, _REFRESH_SECONDS):
            keys = self._read_keys(metadata, patience)
            found = [key for key in keys if kid is None or key.kid == kid]
            if found:
                return found
        return ()

    def _read_keys(self, metadata: Mapping[str, Any], fresh_seconds: float) -> Sequence[Key]:
        with self._lock:
            if self._keys is None or time.monotonic() - self._keys[0] >= fresh_seconds:
                listed = self._get(metadata["jwks_uri"]).get("keys")
                if not isinstance(listed, list):
                    raise self._unavailable(ValueError("no keys"))
                self._keys = time.monotonic(), [key for each in listed[:_MAX_KEYS] if (key := _key(each)) is not None]
            return self._keys[1]

    def _discover(self) -> Mapping[str, Any]:
        with self._lock:
            if self._metadata is None or time.monotonic() - self._metadata[0] >= _FRESH_SECONDS:
                found = self._get(self._issuer.url.rstrip("/") + "/.well-known/openid-configuration")
                if found.get("issuer") != self._issuer.url:
                    raise UnavailableError(
                        f"{self._issuer.url} calls itself {found.get('issuer')!r:.100}",
                        hint="oidc.issuer must be what it calls itself, to the last slash",
                    )
                for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                    try:
                        check_issuer(str(found.get(name)))
                    except InvalidInputError as error:
                        raise self._unavailable(ValueError(f"{name}: {error.message}")) from error
                self._metadata = time.monotonic(), found
            return self._metadata[1]

    def _get(self, url: str) -> Mapping[str, Any]:
        with _bounded_session() as session:
            try:
                answer = session.get(url, withhold_token=True)
                answer.raise_for_status()
                found = strict_json.loads(answer.content, go=False)
            except (
                requests.RequestException,
                urllib3.exceptions.HTTPError,
                OSError,
                ValueError,
                StrictJSONError,
            ) as error:
                raise self._unavailable(error) from error
        if not isinstance(found, dict):
            raise self._unavailable(ValueError("not an object"))
        return found

    def _session(self, metadata: Mapping[str, Any]) -> OAuth2Session:
        methods = metadata.get("token_endpoint_auth_methods_supported")
        method = None
        if self._issuer.client_secret and isinstance(methods, list) and "client_secret_basic" not in methods:
            method = "client_secret_post"
        return _bounded_session(
            client_id=self._issuer.client_id,
            client_secret=self._issuer.client_secret,
            scope=self._issuer.scopes,
            code_challenge_method="S256",
            token_endpoint_auth_method=method,
        )

    def _unavailable(self, error: Exception) -> UnavailableError:
        # Without the library's text: it may show more of a request than a log should.
        said = str(error) if type(error) is ValueError else type(error).__name__
        return UnavailableError(
            f"the issuer {self._issuer.url} does not answer as one: {said:.200}",
            hint="try again in a moment; tokens go on working",
        )


def _bounded_session(**client: Any) -> OAuth2Session:  # noqa: ANN401 - passes through
    session = OAuth2Session(default_timeout=_TIMEOUT_SECONDS, **client)
    session.max_redirects = 0
    session.headers["Accept-Encoding"] = "identity"
    for scheme in ("https://", "http://"):
        session.mount(scheme, _Bounded())
    return session


class _Bounded(HTTPAdapter):
    """Reads no more of an answer than there may be, nor for longer."""

    def send(self, request: requests.PreparedRequest, **kwargs: object) -> requests.Response:  # type: ignore[override]
        deadline = time.monotonic() + _TOTAL_SECONDS
        answer = super().send(request, **{**kwargs, "stream": True})  # type: ignore[arg-type]
        content = bytearray()
        with answer:
            while chunk := answer.raw.read1(_CHUNK, decode_content=True):
                content += chunk
                if len(content) > _MAX_ANSWER or time.monotonic() > deadline:
                    raise requests.ConnectionError("the answer is too long, or takes too long")
        answer.raw = io.BytesIO(content)
        return answer


def _decoded(id_token: str, key: Key) -> jwt.Token | None:
    try:
        return jwt.decode(id_token, key, algorithms=list(_ALGORITHMS))
    except (JoseError, ValueError, TypeError):
        return None


def _key(listed: Any) -> Key | None:  # noqa: ANN401 - any JSON value
    """Return a key to verify with, or ``None`` where it is for something else, or weak, or none."""
    if not isinstance(listed, dict) or listed.get("kty") not in _KEY_TYPES or listed.get("use", "sig") != "sig":
        return None
    try:
        key = import_key(listed)
        if isinstance(key, RSAKey) and key.public_key.key_size < _MIN_RSA_BITS:
            return None
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return key if isinstance(key, RSAKey | ECKey) else None


def _groups(claim: object) -> frozenset[str]:
    listed = claim if isinstance(claim, list) else [claim]
    names = [each for each in listed if isinstance(each, str) and 0 < len(each) <= _MAX_SUBJECT and _is_name(each)]
    if len(names) > _MAX_GROUPS:
        raise ForbiddenError(
            f"the issuer names more than {_MAX_GROUPS} groups of yours", hint="let it send only those that UMS needs"
        )
    return frozenset(names)


def _is_name(text: str) -> bool:
    """Return whether text is fit for a commit's author and for logs."""
    return text.isprintable() and text == text.strip() and not set(text) & set("<>")
