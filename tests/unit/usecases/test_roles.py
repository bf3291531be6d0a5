"""Granting roles in Git, and taking them back."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.unit.usecases.stage import ADMIN, Stage
from ums.domain import layout
from ums.domain.access import Grantee, GranteeKind
from ums.domain.errors import ForbiddenError, InvalidInputError, NotFoundError
from ums.domain.identity import Grant, Identity, Permission
from ums.domain.world import Decision, Raw
from ums.usecases.instruct import Why

SAM, OPS = Grantee(GranteeKind.SUBJECT, "sam"), Grantee(GranteeKind.GROUP, "acme-ops")
ACME = frozenset({"acme"})
WHY = Why(ADMIN, "new here")
OWNER = Why(Identity("olga", grants=(Grant("admin", orgs=ACME),)), "our people")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return a service."""
    return Stage(tmp_path)


def write(stage: Stage, content: bytes) -> None:
    """Let somebody edit the file."""
    edit = Decision("x", "x", "x", "x", stage.clock.now(), {layout.ACCESS: Raw(content)})
    stage.repo.commit(edit, base=stage.repo.read().base)


def who(stage: Stage, subject: str, *groups: str) -> Identity:
    """Return a person as the service knows it now."""
    return stage.world().access.identity_for(subject, groups, stage.clock.now())


def test_a_role_is_granted_until_its_end(stage: Stage) -> None:
    """By a decision that says who, to whom and why, but no names of those it is limited to."""
    until = stage.clock.now() + timedelta(hours=1)
    stage.services.grant_roles.grant(Grant("operator", orgs=ACME), OPS, Why(ADMIN, "on call", until))
    (entry,) = stage.services.log(limit=1)
    assert (entry.subject, entry.action, entry.actor, entry.reason) == (
        "access: Grant operator to group acme-ops",
        "grant-role",
        "ada",
        "on call",
    )
    who(stage, "sam", "acme-ops").require(Permission.OPERATE, org="acme")
    with pytest.raises(ForbiddenError):
        who(stage, "sam", "acme-ops").require(Permission.OPERATE, org="globex")
    stage.clock.advance(timedelta(hours=1))
    assert not who(stage, "sam", "acme-ops").may(Permission.READ)
    stage.services.grant_roles.grant(Grant("viewer"), SAM, WHY)
    assert [each.to for each in stage.world().access.granted] == [SAM]


def test_granting_again_takes_the_place_of_the_first(stage: Stage) -> None:
    """With another end; trying it changes nothing."""
    do = stage.services.grant_roles
    do.grant(Grant("viewer"), SAM, Why(ADMIN, "a while", stage.clock.now() + timedelta(days=1)))
    assert not do.grant(Grant("viewer"), SAM, WHY, dry_run=True).recorded
    assert stage.world().access.granted[0].until is not None
    do.grant(Grant("viewer"), SAM, WHY)
    (only,) = stage.world().access.granted
    assert (only.until, only.reason, only.by) == (None, "new here", "ada")


def test_revoking_a_role_takes_every_grant_of_it(stage: Stage) -> None:
    """Unless limits say which one; other roles and other people keep theirs."""
    do = stage.services.grant_roles
    for grant in (Grant("operator"), Grant("operator", orgs=ACME), Grant("viewer")):
        do.grant(grant, SAM, WHY)
    do.grant(Grant("operator"), OPS, WHY)
    do.revoke(Grant("operator", orgs=ACME), SAM, WHY)
    assert [str(each.grant) for each in stage.world().access.granted] == ["operator", "viewer", "operator"]
    do.grant(Grant("operator", orgs=ACME), SAM, WHY)
    do.revoke(Grant("operator"), SAM, WHY)
    assert [(str(each.grant), each.to) for each in stage.world().access.granted] == [("viewer", SAM), ("operator", OPS)]
    with pytest.raises(NotFoundError, match="subject sam was not granted operator") as caught:
        do.revoke(Grant("operator"), SAM, WHY)
    assert caught.value.hint == "granted was: viewer"


def test_nobody_gives_or_takes_what_is_beyond_his_own(stage: Stage) -> None:
    """An admin of one organization rules its people, and sees no others' grants."""
    do = stage.services.grant_roles
    do.grant(Grant("operator", orgs=frozenset({"globex"})), SAM, WHY)
    do.grant(Grant("operator"), SAM, WHY)
    do.grant(Grant("operator", orgs=ACME), SAM, OWNER)
    for grant in (Grant("viewer"), Grant("admin"), Grant("admin", channels=frozenset({"edge"}))):
        with pytest.raises(ForbiddenError, match="nobody gives more than he has, admin of organization acme"):
            do.grant(grant, SAM, OWNER)
    for grant in (Grant("admin"), Grant("operator", orgs=frozenset({"globex"}))):
        with pytest.raises(NotFoundError) as caught:
            do.revoke(grant, SAM, OWNER)
        assert caught.value.hint == "granted was: operator of organization acme"
    assert [each.grant.orgs for each in do.list(by=OWNER.by)[1]] == [ACME]
    assert len(do.list(by=ADMIN)[1]) == 3
    do.revoke(Grant("operator"), SAM, OWNER)
    assert [str(each.grant) for each in stage.world().access.granted] == ["operator of organization globex", "operator"]


@pytest.mark.parametrize("role", ["viewer", "approver", "publisher", "operator", "release-engineer"])
def test_only_admins_give_take_or_see(stage: Stage, role: str) -> None:
    """Least of all to themselves."""
    do, eve = stage.services.grant_roles, Identity("eve", frozenset({"admin"}), (Grant(role),))
    for act in (
        lambda: do.grant(Grant(role), Grantee(GranteeKind.SUBJECT, "eve"), Why(eve, "x")),
        lambda: do.grant(Grant("admin"), Grantee(GranteeKind.SUBJECT, "eve"), Why(eve, "x")),
        lambda: do.revoke(Grant("admin"), SAM, Why(eve, "x")),
        lambda: do.list(by=eve),
    ):
        with pytest.raises(ForbiddenError):
            act()


@pytest.mark.parametrize(
    "content",
    [
        b"grants: [",
        b"grants: 3\n",
        b"grants: [{role: viewer, to: {subject: sam}}, {role: king, to: {subject: sam}}]\n",
        b"grants: [{role: viewer, to: {subject: sam}, org: [acme]}]\n",
        b"grants: [{role: viewer, to: {subject: sam}, orgs: []}]\n",
        b"grants: [{role: viewer, to: {subject: sam, group: x}}]\n",
        b"grants: [{role: viewer, to: {subject: sam}, until: soon}]\n",
        b"schema: 2\ngrants: [{role: viewer, to: {subject: sam}}]\n",
    ],
)
def test_a_file_that_is_wrong_grants_what_it_did(stage: Stage, content: bytes) -> None:
    """It is a problem that status tells, and no verb overwrites it; one that was never valid grants nothing."""
    write(stage, content)
    assert not who(stage, "sam").may(Permission.READ)
    write(stage, b"grants: []\n")
    stage.services.grant_roles.grant(Grant("viewer"), SAM, WHY)
    write(stage, content)
    assert who(stage, "sam").may(Permission.READ)
    assert not who(stage, "sam").may(Permission.ADMIN)
    assert [each.file for each in stage.world().problems] == [layout.ACCESS]
    for act in (stage.services.grant_roles.grant, stage.services.grant_roles.revoke):
        with pytest.raises(InvalidInputError, match=r"access\.yaml cannot be changed"):
            act(Grant("viewer"), SAM, WHY)
    assert stage.repo.file("main", layout.ACCESS) == content


def test_what_people_wrote_beside_the_grants_stays(stage: Stage) -> None:
    """A comment, and a grant with no more than it needs."""
    write(stage, b"# ours\nschema: 1\ngrants:\n- {role: viewer, to: {group: acme-ops}, until: 2027-01-01T00:00:00Z}\n")
    stage.services.grant_roles.grant(Grant("admin"), SAM, WHY)
    content = stage.repo.file("main", layout.ACCESS) or b""
    assert content.startswith(b"# ours\nschema: 1\ngrants:\n- role: viewer\n  to:\n    group: acme-ops\n  until:")
    assert who(stage, "sam").may(Permission.ADMIN)
    assert who(stage, "eve", "acme-ops").may(Permission.READ)
    assert stage.world().problems == ()


def test_a_file_does_not_grow_until_nobody_can_read_it(stage: Stage) -> None:
    """That would take everybody's roles."""
    rows = "".join(f"- {{role: viewer, to: {{subject: s{n}}}, reason: {'x' * 2000}}}\n" for n in range(199))
    write(stage, f"grants:\n{rows}".encode())
    assert stage.world().problems == ()
    with pytest.raises(InvalidInputError, match="too many grants"):
        stage.services.grant_roles.grant(Grant("viewer"), SAM, Why(ADMIN, "x" * 2000))
