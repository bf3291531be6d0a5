"""Grant a role in Git, take it back, and see who has which."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from ums.domain import layout
from ums.domain.access import Access, Granted, Grantee, GranteeKind
from ums.domain.errors import ForbiddenError, InvalidInputError, NotFoundError
from ums.domain.identity import Grant, Identity, Permission
from ums.domain.instants import to_text
from ums.domain.subjects import normal_subject
from ums.domain.world import World, edited
from ums.usecases.instruct import Why
from ums.usecases.record import Change, Outcome, Record, unchanged

_MAX_CHARACTERS = 400_000
"""A file too large to be read would take everybody's roles."""


@dataclass(frozen=True, slots=True)
class GrantRoles:
    """Change ``access.yaml``. Admins do, and nobody gives or takes what is beyond his own limits."""

    record: Record

    def list(self, *, by: Identity) -> tuple[bool, Sequence[Granted]]:
        """Return whether the file can be read, and the grants that somebody could give.

        Raises:
            ForbiddenError: only admins see them.

        """
        by.require(Permission.ADMIN)
        access = self.record.world().access
        return access.is_readable, [each for each in access.granted if _may_give(by, each.grant)]

    def grant(self, grant: Grant, to: Grantee, why: Why, *, dry_run: bool = False) -> Outcome:
        """Grant a role; the same again changes nothing, or with another end takes the place of the first.

        Raises:
            ForbiddenError: the identity is no admin, or would give more than it has.
            InvalidInputError: a reason is missing, there is no such role, nobody can be called so, or the file cannot
                be read.

        """
        why.by.require_to_give(grant)
        if to.kind is GranteeKind.SUBJECT:
            to = Grantee(to.kind, normal_subject(to.name))

        def change(world: World, now: datetime) -> Change:
            given = why.given(now)
            made = Granted(grant, to, given.by, given.reason, given.since, given.until)
            granted = _readable(world).granted
            others = [each for each in granted if each.grant != grant or not each.to.is_same(to)]
            for known in granted:
                if known not in others and known.counts(now) and _end(known) == _end(made):
                    return unchanged(world)
            return _changed(world, [*others, made], now)

        return self._record(change, f"access: Grant {grant.role} to {to}", "grant-role", why, dry_run=dry_run)

    def revoke(self, grant: Grant, to: Grantee, why: Why, *, dry_run: bool = False) -> Outcome:
        """Take a role back: with limits the grant of just these, without any every grant of the role.

        Raises:
            ForbiddenError: the identity is no admin.
            NotFoundError: nobody granted that, or it is beyond what the identity could grant.
            InvalidInputError: a reason is missing, or the file cannot be read.

        """
        why.by.require(Permission.ADMIN)

        def change(world: World, now: datetime) -> Change:
            why.given(now)
            access, every = _readable(world), Grant(grant.role)
            # To whom it is beyond, it is not there: a refusal would tell of it.
            theirs = [each for each in access.granted if each.to.is_same(to) and _may_give(why.by, each.grant)]
            gone = [
                each for each in theirs if each.grant == grant or (grant == every and each.grant.role == grant.role)
            ]
            if not gone:
                has = ", ".join(str(each.grant) for each in theirs)
                raise NotFoundError(
                    f"{to} was not granted {grant}", hint=f"granted was: {has}" if has else "ums role list shows all"
                )
            return _changed(world, [each for each in access.granted if each not in gone], now)

        return self._record(change, f"access: Revoke {grant.role} from {to}", "revoke-role", why, dry_run=dry_run)

    def _record(
        self, change: Callable[[World, datetime], Change], subject: str, action: str, why: Why, *, dry_run: bool
    ) -> Outcome:
        return self.record(
            change,
            subject=subject,
            action=action,
            by=why.by,
            reason=why.reason,
            dry_run=dry_run,
            settle=False,
        )


def _may_give(by: Identity, grant: Grant) -> bool:
    try:
        by.require_to_give(grant)
    except ForbiddenError:
        return False
    return True


def _end(granted: Granted) -> str | None:
    return to_text(granted.until) if granted.until else None


def _readable(world: World) -> Access:
    world.require_valid(layout.ACCESS)
    return world.access


def _changed(world: World, granted: Sequence[Granted], now: datetime) -> Change:
    """Return the change; what is over goes with it."""
    access = Access(tuple(each for each in granted if not each.is_over(now)))
    grants = [each.to_dict() for each in access.granted]
    if len(json.dumps(grants)) > _MAX_CHARACTERS:
        raise InvalidInputError("there are too many grants to keep", hint="grant to groups, and shorten the reasons")
    files = edited(layout.ACCESS, {"schema": layout.SCHEMA, "grants": grants})
    return Change(replace(world, access=access), files)
