"""Who acts, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from ums.domain.errors import ForbiddenError
from ums.domain.instants import to_text


class Permission(StrEnum):
    """What an API call needs."""

    READ = "read"
    PUBLISH = "publish"
    PROMOTE = "promote"
    OPERATE = "operate"
    REGISTER = "register"
    ADMIN = "admin"


ROLES: dict[str, frozenset[Permission]] = {
    "viewer": frozenset({Permission.READ}),
    "publisher": frozenset({Permission.READ, Permission.PUBLISH}),
    "release-engineer": frozenset({Permission.READ, Permission.PUBLISH, Permission.PROMOTE, Permission.OPERATE}),
    "operator": frozenset({Permission.READ, Permission.OPERATE}),
    "admin": frozenset(Permission),
}
"""What groups of these names may do. Any other grants nothing; channels' policies name it in their approvals."""


ALL = "*"
"""In place of a name: all there are, so that whoever is limited to some may not."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A subject, its groups, and what its roles are limited to.

    Attributes:
        bundles, channels, orgs: names; empty means all. Labels limit nothing: whoever names things chooses them.

    """

    subject: str
    groups: frozenset[str] = field(default_factory=frozenset)
    bundles: frozenset[str] = field(default_factory=frozenset)
    channels: frozenset[str] = field(default_factory=frozenset)
    orgs: frozenset[str] = field(default_factory=frozenset)

    def may(self, permission: Permission) -> bool:
        """Return whether any of the groups grants the permission."""
        return any(permission in ROLES.get(group, ()) for group in self.groups)

    def sees(self, org: str) -> bool:
        """Return whether anything of an organization is its business."""
        return not self.orgs or org in self.orgs

    def require(
        self,
        permission: Permission,
        *,
        bundle: str | None = None,
        channel: str | None = None,
        org: str | None = None,
    ) -> None:
        """Check a permission, for what the action concerns: a name, ``ALL`` of a kind, or ``None`` of it.

        Raises:
            ForbiddenError: says what is missing, and which group or limit would do.

        """
        if not self.may(permission):
            having = " or ".join(sorted(role for role, granted in ROLES.items() if permission in granted))
            raise ForbiddenError(
                f"{self.subject} may not {permission.value}", hint=f"ask for a token with group {having}"
            )
        limits = (
            ("bundle", self.bundles, bundle),
            ("channel", self.channels, channel),
            ("organization", self.orgs, org),
        )
        for kind, limit, wanted in limits:
            if wanted is not None and limit and wanted not in limit:
                mine, asked = ", ".join(sorted(limit)), f"every {kind}" if wanted == ALL else wanted
                raise ForbiddenError(
                    f"the token of {self.subject} is limited to {kind} {mine}; this concerns {asked}",
                    hint="use a token whose limits include it",
                )

    def require_admin(self) -> None:
        """Check that everything may be administered.

        Raises:
            ForbiddenError: says what is missing.

        """
        self.require(Permission.ADMIN, bundle=ALL, channel=ALL, org=ALL)


ID_LENGTH = 12
"""Characters of a token's hash that tell it from others."""


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token; never the token itself.

    Attributes:
        last_used: to a few minutes; ``None`` if never.
        id: the beginning of its hash.

    """

    identity: Identity
    issued_by: str = ""
    issued: datetime | None = None
    expires: datetime | None = None
    last_used: datetime | None = None
    id: str = ""

    def is_expired(self, now: datetime) -> bool:
        """Return whether it stands for nobody any more."""
        return self.expires is not None and self.expires <= now

    def to_dict(self) -> dict[str, Any]:
        """Return the form used in API answers."""
        identity = self.identity
        return {
            "id": self.id,
            "subject": identity.subject,
            "groups": sorted(identity.groups),
            "bundles": sorted(identity.bundles),
            "channels": sorted(identity.channels),
            "orgs": sorted(identity.orgs),
            "issuedBy": self.issued_by,
            **{
                name: to_text(moment) if moment else None
                for name, moment in (("issued", self.issued), ("expires", self.expires), ("lastUsed", self.last_used))
            },
        }
