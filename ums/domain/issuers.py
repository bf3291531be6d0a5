"""An OpenID Connect issuer, and what is made of what it says of people."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

from ums.domain.errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class Issuer:
    """Where people log in, and what is made of what the issuer says.

    Attributes:
        url: exactly as it calls itself.
        client_id, client_secret: of the service, there; a public client has no secret.
        scopes: asked for, separated by blanks.
        groups_claim: the claim that lists groups.
        subject_claim: the claim that people are called by. One, and never another in its place: somebody with two
            names would count as two who approve.
        allowed_domains: of addresses that may log in; none for all.

    """

    url: str
    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    scopes: str = "openid email profile"
    groups_claim: str = "groups"
    subject_claim: str = "email"
    allowed_domains: frozenset[str] = frozenset()


def check_issuer(url: str) -> None:
    """Check the URL of an issuer, or of what it names.

    Raises:
        InvalidInputError: it is not HTTPS, and not on this machine either.

    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    good = bool(host) and not parts.username and not parts.fragment
    if not good or parts.scheme not in {"https", "http"}:
        raise InvalidInputError(f"{url!r:.100} is no URL of an issuer", hint="write https://login.example.com")
    if parts.scheme == "http" and not is_loopback(host or ""):
        raise InvalidInputError(f"{url!r:.100} is not HTTPS", hint="http counts on this machine alone")


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine by its very name."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
