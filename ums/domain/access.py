"""Roles granted in Git: who has which, how far it reaches, and until when.

What a token may do is kept with the token; this is for people whom an identity provider vouches for.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from ums.domain.errors import InvalidInputError
from ums.domain.identity import ROLES, Grant, Identity, Permission
from ums.domain.instants import to_text
from ums.domain.names import check_name
from ums.domain.subjects import folded

_MAX_CHARACTERS = 200


class GranteeKind(StrEnum):
    """What a role may be granted to."""

    SUBJECT = "subject"
    GROUP = "group"


@dataclass(frozen=True, slots=True)
class Grantee:
    """Whom a role is granted to: a subject, or whoever is in a group, as the identity provider names them."""

    kind: GranteeKind
    name: str

    def __post_init__(self) -> None:
        name = self.name
        if not name.strip() or name != name.strip() or not name.isprintable() or len(name) > _MAX_CHARACTERS:
            raise InvalidInputError(
                f"{name!r:.60} is no {self.kind.value}",
                hint=f"it is printable, of at most {_MAX_CHARACTERS} characters, without spaces around it",
            )

    def is_any_of(self, subject: str, groups: Collection[str]) -> bool:
        """Return whether it is a subject, in its folded form, or one of the groups."""
        return self.name in groups if self.kind is GranteeKind.GROUP else folded(self.name) == subject

    def is_same(self, other: Grantee) -> bool:
        """Return whether both are one person or machine, however it is written, or one group, to the letter."""
        if self.kind is not GranteeKind.SUBJECT or other.kind is not self.kind:
            return self == other
        return folded(self.name) == folded(other.name)

    def __str__(self) -> str:
        return f"{self.kind.value} {self.name}"


@dataclass(frozen=True, slots=True)
class Granted:
    """A grant, whom to, and what is said of it.

    Attributes:
        by, reason: empty where whoever wrote it did not say.
        since, until: it counts from the one on, and before the other.

    """

    grant: Grant
    to: Grantee
    by: str = ""
    reason: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        if self.grant.role not in ROLES:
            raise InvalidInputError(f"there is no role {self.grant.role:.60}", hint=f"roles: {', '.join(ROLES)}")
        limits = (("bundle", self.grant.bundles), ("channel", self.grant.channels), ("organization", self.grant.orgs))
        for kind, names in limits:
            for name in sorted(names):
                check_name(name, f"{kind} name")

    def is_over(self, now: datetime) -> bool:
        """Return whether it ended."""
        return self.until is not None and self.until <= now

    def counts(self, now: datetime) -> bool:
        """Return whether it counts: it began, and is not over."""
        return (self.since is None or self.since <= now) and not self.is_over(now)

    def to_dict(self) -> dict[str, Any]:
        """Return the wire form; what it does not say is left out."""
        grant = self.grant
        limits = {"bundles": grant.bundles, "channels": grant.channels, "orgs": grant.orgs}
        times = {"since": self.since, "until": self.until}
        said = {
            **{name: sorted(names) for name, names in limits.items()},
            "by": self.by,
            "reason": self.reason,
            **{name: to_text(moment) if moment else None for name, moment in times.items()},
        }
        return {
            "role": grant.role,
            "to": {self.to.kind.value: self.to.name},
            **{name: value for name, value in said.items() if value},
        }


@dataclass(frozen=True, slots=True)
class Access:
    """All roles granted in Git.

    Attributes:
        is_readable: whether the file could be read; where not, nobody has a role by it.

    """

    granted: tuple[Granted, ...] = ()
    is_readable: bool = True

    def identity_for(self, subject: str, groups: Collection[str], now: datetime) -> Identity:
        """Return whom an identity provider vouches for, with what was granted to it.

        A group of a role's name is no role, and not for approvals either: whoever names groups there would grant it.
        """
        who = folded(subject)
        mine = (each.grant for each in self.granted if each.to.is_any_of(who, groups) and each.counts(now))
        return Identity(subject, frozenset(groups) - ROLES.keys(), tuple(dict.fromkeys(mine)))

    def has_admin(self, now: datetime) -> bool:
        """Return whether anybody is an admin without limits by it."""
        full = Grant("admin")
        return any(
            each.counts(now) and each.grant.allows(Permission.ADMIN) and each.grant.includes(full)
            for each in self.granted
        )


UNREADABLE = Access(is_readable=False)
"""Stands for a file that is wrong: it grants nothing to anybody, since it may be what was to be taken away."""
