"""Who may do what."""

from __future__ import annotations

import pytest

from ums.domain.errors import ForbiddenError
from ums.domain.identity import ROLES, Identity, Permission

GRANTED = {
    "viewer": {"read"},
    "publisher": {"read", "publish"},
    "operator": {"read", "operate"},
    "release-engineer": {"read", "publish", "promote", "operate"},
    "admin": {"read", "publish", "promote", "operate", "register", "admin"},
}


@pytest.mark.parametrize("permission", Permission)
@pytest.mark.parametrize("role", ROLES)
def test_each_role_has_what_is_written_here(role: str, permission: Permission) -> None:
    """Whoever changes a role changes it twice, and on purpose."""
    assert Identity("x", frozenset({role})).may(permission) is (permission.value in GRANTED[role])


@pytest.mark.parametrize("groups", [set[str](), {"kings"}, {"Admin"}, {"admins"}])
def test_a_group_that_is_no_role_grants_nothing(groups: set[str]) -> None:
    """Not even reading."""
    assert not any(Identity("x", frozenset(groups)).may(permission) for permission in Permission)


def test_groups_add_up() -> None:
    """Two small roles are not one big one."""
    both = Identity("x", frozenset({"publisher", "operator"}))
    assert {each.value for each in Permission if both.may(each)} == {"read", "publish", "operate"}


@pytest.mark.parametrize(
    ("bundles", "bundle", "allowed"),
    [
        (set[str](), "platform", True),
        ({"platform"}, "platform", True),
        ({"platform", "flux"}, "flux", True),
        ({"flux"}, "platform", False),
        ({"flux"}, None, True),
    ],
)
def test_a_token_may_be_limited_to_bundles(bundles: set[str], bundle: str | None, *, allowed: bool) -> None:
    """None means all; an action that concerns no bundle is not limited."""
    identity = Identity("ci", frozenset({"publisher"}), frozenset(bundles))
    if allowed:
        identity.require(Permission.PUBLISH, bundle=bundle)
    else:
        with pytest.raises(ForbiddenError, match="limited to flux, not platform"):
            identity.require(Permission.PUBLISH, bundle=bundle)


def test_a_refusal_names_the_groups_to_ask_for() -> None:
    """And who was refused what."""
    with pytest.raises(ForbiddenError, match="vera may not promote") as caught:
        Identity("vera", frozenset({"viewer"})).require(Permission.PROMOTE)
    assert caught.value.hint == "ask for a token with group admin or release-engineer"
