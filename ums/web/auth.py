"""Who asks: bearer tokens of people and machines, and sessions of people's browsers."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from flask import Request, Response, g

from ums.domain.errors import ForbiddenError, UnauthenticatedError
from ums.domain.identity import Identity, Permission
from ums.domain.issuers import is_loopback
from ums.domain.throttling import client_key
from ums.services import Services
from ums.web.observing import note

CSRF_HEADER = "X-CSRF-Token"
SESSION_COOKIE = "ums"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, and how that is known.

    Attributes:
        expires: when it ends, if nothing is done; ``None`` for never.
        csrf_token: what a page must send along to change something; ``None`` for tokens.

    """

    identity: Identity
    expires: datetime | None
    csrf_token: str | None = None


def identify(services: Services, request: Request, needed: Permission = Permission.READ) -> Identity:
    """Return who asks, if they may.

    Raises:
        UnauthenticatedError: neither a valid token nor a session came with the request.
        ForbiddenError: the identity lacks the permission; or a session is to change something, and this does not look
            like a page of ours.
        TooManyRequestsError: too many wrong tokens came from this address.

    """
    secret = _session(services, request)
    identity = _by_session(services, request, secret).identity if secret else _by_token(services, request)[0]
    identity.require(needed)
    return identity


def recognize(services: Services, request: Request) -> Asker:
    """Return who asks, whatever they may, and until when.

    Raises:
        UnauthenticatedError, ForbiddenError, TooManyRequestsError: as ``identify`` does.

    """
    secret = _session(services, request)
    if secret:
        return _by_session(services, request, secret)
    identity, token = _by_token(services, request)
    return Asker(identity, services.authenticate.expiry(token))


def _by_token(services: Services, request: Request) -> tuple[Identity, str]:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise UnauthenticatedError("a token is needed", hint="set UMS_TOKEN, or give --token-file")
    token = token.strip()
    try:
        identity = services.authenticate(token)
    except UnauthenticatedError:
        # A right token is let in always: many may share an address, and one of them be wrong.
        services.wrong_tokens.require(client_key(request.remote_addr), services.clock.now(), "wrong tokens from here")
        raise
    g.identity = identity
    note(subject=identity.subject)
    return identity, token


def _session(services: Services, request: Request) -> str:
    """Return the secret of the session; empty if there is none, or a token, which counts alone."""
    if "Authorization" in request.headers or not request.cookies:
        return ""
    try:
        return request.cookies.get(cookie_name(services, SESSION_COOKIE), "")
    except ForbiddenError:
        return ""  # others' cookies: here nobody could get one


def _by_session(services: Services, request: Request, secret: str) -> Asker:
    identity, session = services.sessions(secret)
    g.identity = identity
    note(subject=identity.subject)
    csrf_token = services.sessions.csrf_token(secret)
    if request.method not in _SAFE:
        _check_page(services, request, csrf_token)
    return Asker(identity, session.expires, csrf_token)


def _check_page(services: Services, request: Request, csrf_token: str) -> None:
    """Check that a page of ours sent a request, not another one that a browser shows."""
    given = request.headers.get(CSRF_HEADER, "")
    if not hmac.compare_digest(given.encode(), csrf_token.encode()):
        raise ForbiddenError(f"{CSRF_HEADER} is missing or wrong", hint="send the csrfToken of /api/v1/whoami along")
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    known = origin is not None or site is not None
    if not known or origin not in {None, _origin(services)} or site not in {None, "same-origin"}:
        raise ForbiddenError("this does not come from a page of this service", hint=f"use it at {_url(services)}")


def cookie_name(services: Services, name: str) -> str:
    """Return a cookie's whole name: one that only this very host can set, over HTTPS, unless all is on this machine.

    Raises:
        ForbiddenError: the service is reached without HTTPS, and from elsewhere.

    """
    parts = urlsplit(_url(services))
    if parts.scheme == "https":
        return f"__Host-{name}"
    if is_loopback(parts.hostname or ""):
        return name
    raise ForbiddenError("without HTTPS nobody logs in", hint="set an https url in ums.yaml, or use a token")


def set_cookie(services: Services, response: Response, name: str, value: str, *, seconds: int) -> None:
    """Give a browser a cookie; no script reads it, and other sites' requests leave it out, but for links."""
    full = cookie_name(services, name)
    secure = full != name
    response.set_cookie(full, value, max_age=seconds, path="/", secure=secure, httponly=True, samesite="Lax")


def callback_url(services: Services) -> str:
    """Return where the issuer sends browsers back to. It never follows from what a client says."""
    return f"{_url(services)}/auth/callback"


def _url(services: Services) -> str:
    return services.see.settings().url.rstrip("/")


def _origin(services: Services) -> str:
    parts = urlsplit(_url(services))
    return f"{parts.scheme}://{parts.netloc}".lower()
