"""Who acts, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from ums.domain.errors import ForbiddenError


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


@dataclass(frozen=True, slots=True)
class Identity:
    """A subject, its groups, and the bundles its token is limited to (empty: all)."""

    subject: str
    groups: frozenset[str] = field(default_factory=frozenset)
    bundles: frozenset[str] = field(default_factory=frozenset)

    def may(self, permission: Permission) -> bool:
        """Return whether any of the groups grants the permission."""
        return any(permission in ROLES.get(group, ()) for group in self.groups)

    def require(self, permission: Permission, *, bundle: str | None = None) -> None:
        """Check a permission, for one bundle where the action concerns one.

        Raises:
            ForbiddenError: says what is missing and which group has it.

        """
        if not self.may(permission):
            having = " or ".join(sorted(role for role, granted in ROLES.items() if permission in granted))
            raise ForbiddenError(
                f"{self.subject} may not {permission.value}", hint=f"ask for a token with group {having}"
            )
        if bundle is not None and self.bundles and bundle not in self.bundles:
            raise ForbiddenError(
                f"the token of {self.subject} is limited to {', '.join(sorted(self.bundles))}, not {bundle}",
                hint=f"use a token whose bundles include {bundle}",
            )
