"""People who logged in in a browser: what is known of a session, and what is derived from the secret it is known by."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from ums.domain.errors import InvalidInputError

IDLE = timedelta(hours=1)
"""A session that nobody used for so long is over."""
LIFETIME = timedelta(hours=12)
"""So is one that began so long ago; groups are read when it begins, so this is how old they can be."""
PATIENCE = timedelta(minutes=10)
"""So long somebody may take to log in at the issuer."""
_MAX_NEXT = 1000
_LOCAL = re.compile(r"/(?![/\\])[!-\[\]-~]*", re.ASCII)
"""A path of this site: browsers take ``//host`` and ``/\\host`` for another, and drop tabs and line ends."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody, as the issuer names them.

    Attributes:
        groups: as the issuer has them; what they grant is not its business.

    """

    subject: str
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who logged in.

    Attributes:
        begun: when.
        seen: when it was last used, to a minute.

    """

    person: Person
    begun: datetime
    seen: datetime

    @property
    def expires(self) -> datetime:
        """Return when it ends if it is not used again."""
        return min(self.begun + LIFETIME, self.seen + IDLE)


@dataclass(frozen=True, slots=True)
class PendingLogin:
    """Somebody who was sent to the issuer.

    Attributes:
        next: the path they wanted.
        begun: when they were sent.

    """

    next: str
    begun: datetime


def fingerprint(secret: str) -> str:
    """Return what is kept of a secret of 256 random bits: it cannot be searched for, and no comparison leaks."""
    return hashlib.sha256(secret.encode()).hexdigest()


def derive(secret: str, purpose: str) -> str:
    """Return a secret of its own for a purpose; whoever learns it learns nothing of the others."""
    return hmac.new(secret.encode(), b"ums/v1/" + purpose.encode(), "sha256").hexdigest()


def check_local(path: str) -> None:
    """Check that a browser which is sent to a path stays here.

    Raises:
        InvalidInputError: it might not.

    """
    if len(path) > _MAX_NEXT or not _LOCAL.fullmatch(path):
        raise InvalidInputError(f"{path!r:.60} is no path of this service", hint="write one that begins with one /")
