"""Tokens: issue them, and find out who holds one. Only their hashes are kept."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ums.domain.errors import InvalidInputError, NotFoundError, UnauthenticatedError
from ums.domain.identity import ALL, ROLES, Identity, Permission, Token
from ums.domain.names import check_name
from ums.ports import Clock, Store

_PREFIX = "ums_"
"""Lets secret scanners recognize a token that leaked."""


def _hash(token: str) -> str:
    # A token has 256 random bits, so a plain hash cannot be searched; looking it up by hash also means that
    # no comparison leaks how much of a guess was right.
    return hashlib.sha256(token.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class IssueToken:
    """Make a token for a subject."""

    store: Store
    clock: Clock

    def __call__(self, identity: Identity, *, expires: datetime | None, by: Identity) -> str:
        """Return a new token; it is shown once and never again.

        Raises:
            ForbiddenError: only admins issue tokens.
            InvalidInputError: none of the groups is a role, so the token could do nothing; or one is no name.

        """
        by.require(Permission.ADMIN, bundle=ALL, channel=ALL, org=ALL)
        for group in identity.groups:
            check_name(group, "group name")
        if not identity.groups & ROLES.keys():
            given = f"; {', '.join(sorted(identity.groups))} is for approvals alone" if identity.groups else ""
            raise InvalidInputError(f"a token needs a role{given}", hint=f"roles: {', '.join(ROLES)}")
        token = _PREFIX + secrets.token_urlsafe(32)
        self.store.add_token(_hash(token), Token(identity, by.subject, self.clock.now(), expires))
        return token


@dataclass(frozen=True, slots=True)
class ManageTokens:
    """See what tokens there are, and end one."""

    store: Store

    def list(self, *, by: Identity) -> Sequence[Token]:
        """Return all tokens, the newest first.

        Raises:
            ForbiddenError: only admins see them.

        """
        by.require(Permission.ADMIN, bundle=ALL, channel=ALL, org=ALL)
        return self.store.tokens()

    def revoke(self, token_id: str, *, by: Identity) -> None:
        """End a token at once.

        Raises:
            ForbiddenError: only admins do.
            NotFoundError: there is none of that id.

        """
        by.require(Permission.ADMIN, bundle=ALL, channel=ALL, org=ALL)
        if not self.store.revoke_token(token_id):
            raise NotFoundError(f"there is no token {token_id:.40}", hint="ums token list shows their ids")


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Find out who holds a token."""

    store: Store
    clock: Clock

    def __call__(self, token: str) -> Identity:
        """Return the identity.

        Raises:
            UnauthenticatedError: nobody does, or it expired.

        """
        identity = self.store.find_identity(_hash(token), now=self.clock.now())
        if identity is None:
            raise UnauthenticatedError(
                "the token is unknown or expired", hint="ask an admin for a new one: ums token create"
            )
        return identity
