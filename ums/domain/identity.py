"""Who acts, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from ums.domain.errors import ForbiddenError
from ums.domain.instants import to_text


class Permission(StrEnum):
    """What an API call needs."""

    READ = "read"
    APPROVE = "approve"
    PUBLISH = "publish"
    PROMOTE = "promote"
    OPERATE = "operate"
    REGISTER = "register"
    ADMIN = "admin"


ROLES: dict[str, frozenset[Permission]] = {
    "viewer": frozenset({Permission.READ}),
    "approver": frozenset({Permission.READ, Permission.APPROVE}),
    "publisher": frozenset({Permission.READ, Permission.PUBLISH}),
    "release-engineer": frozenset(
        {Permission.READ, Permission.APPROVE, Permission.PUBLISH, Permission.PROMOTE, Permission.OPERATE}
    ),
    "operator": frozenset({Permission.READ, Permission.APPROVE, Permission.OPERATE}),
    "admin": frozenset(Permission),
}
"""What roles may do. Whoever approves must also be in a group that the channel's policy asks."""

_MEMBER = "member of a group"
"""The role of tokens with a group that is none: no name, so that nobody can be given it."""
_ROLES = {**ROLES, _MEMBER: frozenset({Permission.APPROVE})}

ALL = "*"
"""In place of a name: all there are, so that whoever is limited to some may not."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A role, and how far it reaches.

    Attributes:
        bundles, channels, orgs: names; empty means all. Labels limit nothing: whoever names things chooses them.

    """

    role: str
    bundles: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset()
    orgs: frozenset[str] = frozenset()

    def allows(self, permission: Permission) -> bool:
        """Return whether the role has a permission, wherever it reaches."""
        return permission in _ROLES.get(self.role, ())

    def beyond(self, bundle: str | None, channel: str | None, org: str | None) -> str:
        """Return which limit something is beyond, in words; empty where it reaches all of it."""
        limits = (
            ("bundle", self.bundles, bundle),
            ("channel", self.channels, channel),
            ("organization", self.orgs, org),
        )
        for kind, limit, wanted in limits:
            if wanted is not None and limit and wanted not in limit:
                asked = f"every {kind}" if wanted == ALL else wanted
                return f"limited to {kind} {', '.join(sorted(limit))}; this concerns {asked}"
        return ""

    def includes(self, other: Grant) -> bool:
        """Return whether it reaches wherever another one does."""
        pairs = ((self.bundles, other.bundles), (self.channels, other.channels), (self.orgs, other.orgs))
        return all(not mine or (bool(theirs) and theirs <= mine) for mine, theirs in pairs)

    def __str__(self) -> str:
        limits = (("bundle", self.bundles), ("channel", self.channels), ("organization", self.orgs))
        parts = [f"{kind} {', '.join(sorted(names))}" for kind, names in limits if names]
        return self.role + (f" of {'; '.join(parts)}" if parts else "")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who acts: a subject, its groups, and what was granted to it.

    Attributes:
        groups: channels' policies name them in their approvals; they grant no role.

    """

    subject: str
    groups: frozenset[str] = frozenset()
    grants: tuple[Grant, ...] = ()

    def may(self, permission: Permission) -> bool:
        """Return whether any grant has the permission, wherever it reaches."""
        return any(each.allows(permission) for each in self.grants)

    @property
    def orgs(self) -> frozenset[str] | None:
        """Return the organizations whose data planes are its business; ``None`` means all there are."""
        readers = [each.orgs for each in self.grants if each.allows(Permission.READ)]
        return None if any(not orgs for orgs in readers) else frozenset().union(*readers)

    def sees(self, org: str | None) -> bool:
        """Return whether something of an organization, or of none, is its business."""
        return org is None or self.orgs is None or org in self.orgs

    def groups_for(self, bundle: str, channel: str) -> frozenset[str]:
        """Return the groups that count for an approval: its own, and the roles that it has there."""
        there = {each.role for each in self.grants if not each.beyond(bundle, channel, None)}
        return self.groups | there & ROLES.keys()

    def require(
        self,
        permission: Permission,
        *,
        bundle: str | None = None,
        channel: str | None = None,
        org: str | None = None,
    ) -> None:
        """Check a permission, for all that the action concerns: of each kind a name, ``ALL`` of it, or ``None``.

        One grant must reach all of it: two that each reach a part are not one that reaches both.

        Raises:
            ForbiddenError: says what is missing, and which role or limit would do.

        """
        able = [each for each in self.grants if each.allows(permission)]
        beyond = [(each.role, each.beyond(bundle, channel, org)) for each in able]
        if all(limit for _, limit in beyond):
            having = " or ".join(sorted(role for role, granted in ROLES.items() if permission in granted))
            told = "; ".join(dict.fromkeys(f"as {role}, {limit}" for role, limit in beyond))
            there = " that reaches this, or ask somebody who has one" if told else ""
            raise ForbiddenError(
                f"{self.subject} may not {permission.value}{f' here: {told}' if told else ''}",
                hint=f"ask an admin for role {having}{there}",
            )

    def require_admin(self) -> None:
        """Check that everything may be administered.

        Raises:
            ForbiddenError: says what is missing.

        """
        self.require(Permission.ADMIN, bundle=ALL, channel=ALL, org=ALL)

    def require_to_give(self, grant: Grant) -> None:
        """Check that somebody may give a grant: an admin who reaches as far. Admins have what every role has.

        Raises:
            ForbiddenError: says what is missing.

        """
        self.require(Permission.ADMIN)
        mine = [each for each in self.grants if each.allows(Permission.ADMIN)]
        if not any(each.includes(grant) for each in mine):
            raise ForbiddenError(
                f"{self.subject} may not give {grant}: nobody gives more than he has, {', '.join(map(str, mine))}",
                hint="limit it as your own role is, or ask an admin without limits",
            )


@dataclass(frozen=True, slots=True)
class Holder:
    """Whom a token stands for: groups, of which some are roles, and what these are limited to.

    Attributes:
        bundles, channels, orgs: names; empty means all.

    """

    subject: str
    groups: frozenset[str] = frozenset()
    bundles: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset()
    orgs: frozenset[str] = frozenset()

    @property
    def identity(self) -> Identity:
        """Return what the token makes of whoever shows it.

        A group that is no role is for approvals alone: who has one beside a role may approve, if a policy asks it.
        """
        roles = sorted(self.groups & ROLES.keys())
        if roles and len(roles) < len(self.groups):
            roles.append(_MEMBER)
        limits = (self.bundles, self.channels, self.orgs)
        return Identity(self.subject, self.groups, tuple(Grant(role, *limits) for role in roles))


ID_LENGTH = 12
"""Characters of a token's hash that tell it from others."""


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token; never the token itself.

    Attributes:
        last_used: to a few minutes; ``None`` if never.
        id: the beginning of its hash.

    """

    holder: Holder
    issued_by: str = ""
    issued: datetime | None = None
    expires: datetime | None = None
    last_used: datetime | None = None
    id: str = ""

    @property
    def identity(self) -> Identity:
        """Return whom it stands for."""
        return self.holder.identity

    def is_expired(self, now: datetime) -> bool:
        """Return whether it stands for nobody any more."""
        return self.expires is not None and self.expires <= now

    def to_dict(self) -> dict[str, Any]:
        """Return the form used in API answers."""
        holder = self.holder
        return {
            "id": self.id,
            "subject": holder.subject,
            "groups": sorted(holder.groups),
            "bundles": sorted(holder.bundles),
            "channels": sorted(holder.channels),
            "orgs": sorted(holder.orgs),
            "issuedBy": self.issued_by,
            **{
                name: to_text(moment) if moment else None
                for name, moment in (("issued", self.issued), ("expires", self.expires), ("lastUsed", self.last_used))
            },
        }
