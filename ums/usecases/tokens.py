"""Tokens: issue them, and find out who holds one. Only their hashes are kept."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from ums.domain.errors import InvalidInputError, NotFoundError, UnauthenticatedError
from ums.domain.identity import ID_LENGTH, ROLES, Holder, Identity, Token
from ums.domain.instants import to_text
from ums.domain.names import PDPName, check_name
from ums.domain.security_log import SecurityKind
from ums.domain.subjects import normal_subject
from ums.ports import Clock, Store
from ums.usecases.security_events import SecurityEvents

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
    security: SecurityEvents

    def __call__(self, holder: Holder, *, expires: datetime | None, by: Identity) -> str:
        """Return a new token; it is shown once and never again.

        Raises:
            ForbiddenError: only admins issue tokens, and none that may more than they.
            InvalidInputError: none of the groups is a role, so the token could do nothing; or one is no name; or nobody
                can be called so.
            UnavailableError, StorageError: that it was issued could not be kept, so it was not.

        """
        by.require_admin()
        holder = replace(holder, subject=normal_subject(holder.subject))
        for group in holder.groups:
            check_name(group, "group name")
        if not holder.groups & ROLES.keys():
            given = f"; {', '.join(sorted(holder.groups))} is for approvals alone" if holder.groups else ""
            raise InvalidInputError(f"a token needs a role{given}", hint=f"roles: {', '.join(ROLES)}")
        for grant in holder.identity.grants:
            by.require_to_give(grant)
        token = _PREFIX + secrets.token_urlsafe(32)
        token_hash = _hash(token)
        with self.security.recording(
            SecurityKind.TOKEN_ISSUED,
            subject=by.subject,
            token=token_hash[:ID_LENGTH],
            to=holder.subject,
            groups=sorted(holder.groups),
            bundles=sorted(holder.bundles),
            channels=sorted(holder.channels),
            orgs=sorted(holder.orgs),
            expires=to_text(expires) if expires else None,
        ):
            self.store.add_token(token_hash, Token(holder, by.subject, self.clock.now(), expires))
        return token


@dataclass(frozen=True, slots=True)
class ManageTokens:
    """See what tokens there are, and end one."""

    store: Store
    security: SecurityEvents

    def list(self, *, by: Identity) -> Sequence[Token]:
        """Return all tokens, the newest first.

        Raises:
            ForbiddenError: only admins see them.

        """
        by.require_admin()
        return self.store.tokens()

    def revoke(self, token_id: str, *, by: Identity, dry_run: bool = False) -> Token:
        """End a token at once, and return it.

        Raises:
            ForbiddenError: only admins do.
            NotFoundError: there is none of that id.

        """
        by.require_admin()
        unknown = NotFoundError(f"there is no token {token_id:.40}", hint="ums token list shows their ids")
        token = next((each for each in self.store.tokens() if each.id == token_id), None)
        if token is None:
            raise unknown
        if not dry_run:
            with self.security.recording(SecurityKind.TOKEN_REVOKED, subject=by.subject, token=token_id):
                if not self.store.revoke_token(token_id):
                    raise unknown
        return token


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Find out who holds a token."""

    store: Store
    clock: Clock
    security: SecurityEvents

    def __call__(self, token: str, *, user: str = "") -> Identity:
        """Return the identity.

        Args:
            token: what was shown.
            user: the name that came with it, where one did; the token alone decides.

        Raises:
            UnauthenticatedError: nobody does, or it expired.

        """
        now = self.clock.now()
        known = self.store.find_token(_hash(token), now=now)
        if known is None or known.is_expired(now):
            self._note(known, user)
            raise UnauthenticatedError(
                "the token is unknown or expired", hint="ask an admin for a new one: ums token create"
            )
        if known.last_used is None:
            self.security.note(SecurityKind.TOKEN_FIRST_USED, subject=known.identity.subject, token=known.id)
        return known.identity

    def expiry(self, token: str) -> datetime | None:
        """Return when a token that counts ends; ``None`` for never."""
        known = self.store.find_token(_hash(token), now=self.clock.now())
        return known.expires if known else None

    def _note(self, known: Token | None, user: str) -> None:
        if known is not None:
            self.security.note(SecurityKind.TOKEN_EXPIRED, subject=known.identity.subject, token=known.id)
            return
        try:
            # A data plane's, that was looked for among them first. Any other name may be a secret in the wrong place.
            self.security.note(SecurityKind.PLANE_REFUSED, claims=str(PDPName.parse(user)), proof="password")
        except InvalidInputError:
            self.security.note(SecurityKind.AUTHENTICATION_FAILED)
