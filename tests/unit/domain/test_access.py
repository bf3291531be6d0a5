"""Roles granted in Git."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ums.domain.access import UNREADABLE, Access, Granted, Grantee, GranteeKind
from ums.domain.errors import InvalidInputError
from ums.domain.identity import ROLES, Grant, Permission

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SAM, OPS = Grantee(GranteeKind.SUBJECT, "sam"), Grantee(GranteeKind.GROUP, "acme-ops")
ACME = Grant("operator", orgs=frozenset({"acme"}))


def test_a_person_has_what_was_granted_to_it_or_to_a_group_of_it() -> None:
    """And nothing that was granted to others; the same twice is once."""
    access = Access((Granted(Grant("viewer"), SAM), Granted(ACME, OPS), Granted(ACME, SAM), Granted(ACME, OPS)))
    assert access.identity_for("sam", {"acme-ops", "chess"}, NOW).grants == (Grant("viewer"), ACME)
    assert access.identity_for("eve", {"acme-ops"}, NOW).grants == (ACME,)
    assert access.identity_for("eve", {"chess"}, NOW).grants == ()


def test_a_group_is_no_subject_and_a_subject_no_group() -> None:
    """Whoever may choose the one must not become the other."""
    access = Access((Granted(Grant("admin"), SAM), Granted(Grant("viewer"), OPS)))
    assert access.identity_for("acme-ops", {"sam"}, NOW).grants == ()


def test_a_group_of_a_roles_name_is_nothing() -> None:
    """Neither a role nor one that approves; other groups stay, for the policies that name them."""
    found = Access().identity_for("eve", {*ROLES, "security"}, NOW)
    assert found.groups == {"security"}
    assert not found.grants
    assert found.groups_for("platform", "stable") == {"security"}
    assert not any(found.may(permission) for permission in Permission)


@pytest.mark.parametrize(
    ("since", "until", "counts"),
    [
        (None, None, True),
        (NOW, None, True),
        (NOW + HOUR, None, False),
        (None, NOW, False),
        (None, NOW + HOUR, True),
        (NOW - HOUR, NOW - HOUR, False),
    ],
)
def test_a_grant_counts_from_its_beginning_to_before_its_end(
    since: datetime | None, until: datetime | None, *, counts: bool
) -> None:
    """To the second."""
    access = Access((Granted(Grant("admin"), SAM, since=since, until=until),))
    assert access.identity_for("sam", (), NOW).may(Permission.ADMIN) is counts
    assert access.has_admin(NOW) is counts


def test_an_admin_with_limits_is_none_who_can_do_everything() -> None:
    """And a file that cannot be read has none."""
    assert not Access((Granted(Grant("admin", orgs=frozenset({"acme"})), SAM),)).has_admin(NOW)
    assert not Access((Granted(Grant("operator"), SAM),)).has_admin(NOW)
    assert UNREADABLE.identity_for("sam", {"admin"}, NOW).grants == ()


@pytest.mark.parametrize("name", ["", " ", " sam", "sam\n", "a\tb", "x" * 201])
def test_nobody_is_called_so(name: str) -> None:
    """What looks like another name is refused."""
    with pytest.raises(InvalidInputError):
        Grantee(GranteeKind.SUBJECT, name)


@pytest.mark.parametrize("grant", [Grant("king"), Grant("viewer", orgs=frozenset({"*"})), Grant("member of a group")])
def test_only_roles_are_granted_and_limits_are_names(grant: Grant) -> None:
    """A limit that is no name could mean all."""
    with pytest.raises(InvalidInputError):
        Granted(grant, SAM)
