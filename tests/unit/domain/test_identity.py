"""Who may do what."""

from __future__ import annotations

from typing import Any

import pytest

from ums.domain.errors import ForbiddenError
from ums.domain.identity import ALL, ROLES, Identity, Permission

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


@pytest.mark.parametrize("kind", ["bundle", "channel", "org"])
@pytest.mark.parametrize(
    ("limit", "concerned", "allowed"),
    [
        (set[str](), "a", True),
        (set[str](), ALL, True),
        ({"a"}, "a", True),
        ({"a", "b"}, "b", True),
        ({"b"}, "a", False),
        ({"b"}, ALL, False),
        ({"b"}, None, True),
    ],
)
def test_a_token_may_be_limited(kind: str, limit: set[str], concerned: str | None, *, allowed: bool) -> None:
    """No limit means all; what concerns all is not for whoever is limited to some; what concerns none is for each."""
    fields: dict[str, Any] = {f"{kind}s": frozenset(limit)}
    identity = Identity("ci", frozenset({"publisher"}), **fields)
    if allowed:
        identity.require(Permission.PUBLISH, **{kind: concerned})
    else:
        with pytest.raises(ForbiddenError, match=r"the token of ci is limited to \w+ b; this concerns (a|every \w+)"):
            identity.require(Permission.PUBLISH, **{kind: concerned})


def test_limits_hold_together() -> None:
    """One that is not met is enough."""
    identity = Identity("olga", frozenset({"operator"}), orgs=frozenset({"acme"}), channels=frozenset({"stable"}))
    identity.require(Permission.OPERATE, org="acme", channel="stable", bundle="platform")
    for org, channel in (("acme", "edge"), ("globex", "stable")):
        with pytest.raises(ForbiddenError):
            identity.require(Permission.OPERATE, org=org, channel=channel)
    assert (identity.sees("acme"), identity.sees("globex"), Identity("x").sees("globex")) == (True, False, True)


def test_a_refusal_names_the_groups_to_ask_for() -> None:
    """And who was refused what."""
    with pytest.raises(ForbiddenError, match="vera may not promote") as caught:
        Identity("vera", frozenset({"viewer"})).require(Permission.PROMOTE)
    assert caught.value.hint == "ask for a token with group admin or release-engineer"
