"""Who may do what."""

from __future__ import annotations

from typing import Any

import pytest

from ums.domain.errors import ForbiddenError
from ums.domain.identity import ALL, ROLES, Grant, Holder, Identity, Permission

GRANTED = {
    "viewer": {"read"},
    "publisher": {"read", "publish"},
    "approver": {"read", "approve"},
    "operator": {"read", "approve", "operate"},
    "release-engineer": {"read", "approve", "publish", "promote", "operate"},
    "admin": {"read", "approve", "publish", "promote", "operate", "register", "admin"},
}


@pytest.mark.parametrize("permission", Permission)
@pytest.mark.parametrize("role", ROLES)
def test_each_role_has_what_is_written_here(role: str, permission: Permission) -> None:
    """Whoever changes a role changes it twice, and on purpose."""
    assert Holder("x", frozenset({role})).identity.may(permission) is (permission.value in GRANTED[role])


@pytest.mark.parametrize("groups", [set[str](), {"kings"}, {"Admin"}, {"admins"}])
def test_a_group_that_is_no_role_grants_nothing(groups: set[str]) -> None:
    """Not even reading."""
    assert not any(Holder("x", frozenset(groups)).identity.may(permission) for permission in Permission)


def test_groups_add_up() -> None:
    """Two small roles are not one big one."""
    both = Holder("x", frozenset({"publisher", "operator"})).identity
    assert {each.value for each in Permission if both.may(each)} == {"read", "approve", "publish", "operate"}


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
    identity = Holder("ci", frozenset({"publisher"}), **fields).identity
    if allowed:
        identity.require(Permission.PUBLISH, **{kind: concerned})
    else:
        with pytest.raises(
            ForbiddenError,
            match=r"ci may not publish here: as publisher, limited to \w+ b; this concerns (a|every \w+)",
        ):
            identity.require(Permission.PUBLISH, **{kind: concerned})


def test_limits_hold_together() -> None:
    """One that is not met is enough."""
    olga = Holder("olga", frozenset({"operator"}), orgs=frozenset({"acme"}), channels=frozenset({"stable"}))
    identity = olga.identity
    identity.require(Permission.OPERATE, org="acme", channel="stable", bundle="platform")
    for org, channel in (("acme", "edge"), ("globex", "stable")):
        with pytest.raises(ForbiddenError):
            identity.require(Permission.OPERATE, org=org, channel=channel)
    assert (identity.sees("acme"), identity.sees("globex"), Identity("x").sees("acme")) == (True, False, False)


def test_a_refusal_names_the_groups_to_ask_for() -> None:
    """And who was refused what."""
    with pytest.raises(ForbiddenError, match="vera may not promote") as caught:
        Holder("vera", frozenset({"viewer"})).identity.require(Permission.PROMOTE)
    assert caught.value.hint == "ask an admin for role admin or release-engineer"


def test_two_grants_that_each_reach_a_part_are_not_one_that_reaches_both() -> None:
    """Operating edge everywhere, and acme in every channel, is not operating globex in stable; both are named."""
    olga = Identity(
        "olga",
        grants=(Grant("operator", channels=frozenset({"edge"})), Grant("operator", orgs=frozenset({"acme"}))),
    )
    olga.require(Permission.OPERATE, channel="edge", org="globex")
    olga.require(Permission.OPERATE, channel="stable", org="acme")
    with pytest.raises(ForbiddenError) as caught:
        olga.require(Permission.OPERATE, channel="stable", org="globex")
    assert caught.value.message == (
        "olga may not operate here: as operator, limited to channel edge; this concerns stable; "
        "as operator, limited to organization acme; this concerns globex"
    )


def test_a_group_grants_no_role() -> None:
    """Not even one of a role's name: only what was granted counts."""
    assert not any(Identity("eve", frozenset(ROLES)).may(permission) for permission in Permission)


def test_a_roles_group_counts_where_the_role_reaches() -> None:
    """For the approvals of policies that name it."""
    sue = Identity("sue", frozenset({"security"}), (Grant("approver", channels=frozenset({"stable"})),))
    assert sue.groups_for("platform", "stable") == {"security", "approver"}
    assert sue.groups_for("platform", "edge") == {"security"}


def test_a_tokens_other_groups_are_for_approvals_alone() -> None:
    """They let its holder approve, but not as an approver, and nothing without a role."""
    sam = Holder("sam", frozenset({"viewer", "security"})).identity
    assert {each.value for each in Permission if sam.may(each)} == {"read", "approve"}
    assert sam.groups_for("platform", "stable") == {"viewer", "security"}
    assert not Holder("sam", frozenset({"security"})).identity.may(Permission.APPROVE)


ACME, EDGE = frozenset({"acme"}), frozenset({"edge"})


@pytest.mark.parametrize(
    ("mine", "given", "allowed"),
    [
        ((Grant("admin"),), Grant("admin"), True),
        ((Grant("admin"),), Grant("operator", orgs=ACME), True),
        ((Grant("admin", orgs=ACME),), Grant("operator", orgs=ACME), True),
        ((Grant("admin", orgs=ACME),), Grant("operator"), False),
        ((Grant("admin", orgs=ACME),), Grant("operator", orgs=ACME | {"globex"}), False),
        ((Grant("admin", orgs=ACME),), Grant("operator", channels=EDGE), False),
        ((Grant("admin", orgs=ACME), Grant("admin", channels=EDGE)), Grant("viewer", orgs=ACME, channels=EDGE), True),
        ((Grant("admin", orgs=ACME), Grant("viewer")), Grant("viewer"), False),
        ((Grant("release-engineer"),), Grant("viewer"), False),
    ],
)
def test_nobody_gives_more_than_he_has(mine: tuple[Grant, ...], given: Grant, *, allowed: bool) -> None:
    """Neither further nor mightier; and only admins give at all."""
    giver = Identity("ada", grants=mine)
    if allowed:
        giver.require_to_give(given)
    else:
        with pytest.raises(ForbiddenError):
            giver.require_to_give(given)
