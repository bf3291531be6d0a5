"""Freeze and thaw: stop everything within a scope, and let it go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from ums.domain import layout
from ums.domain.errors import ConflictError, InvalidInputError, NotFoundError
from ums.domain.freezes import UNREADABLE, Freeze, Scope
from ums.domain.identity import ALL, Identity, Permission
from ums.domain.world import Document, World
from ums.usecases.instruct import Why
from ums.usecases.record import Change, Outcome, Record, unchanged


@dataclass(frozen=True, slots=True)
class FreezeFleet:
    """Ban promotions and moves, at any scope; and lift the ban."""

    record: Record

    def freeze(self, name: str, scope: Scope, why: Why, *, dry_run: bool = False) -> Outcome:
        """Stop everything within a scope, now. A freeze of the same name is replaced; the same again changes nothing.

        It does not look at the fleet, so it is quick however large that is.

        Raises:
            ForbiddenError: the identity may not operate there, or not where the one of that name is.
            ConflictError: the name is taken, by a freeze that is not its business.
            NotFoundError: the scope names a channel or data plane that is not there.
            InvalidInputError: a reason is missing.

        """
        _require(why.by, scope)

        def change(world: World, now: datetime) -> Change:
            _check_scope(world, scope, why.by)
            _require_readable(world)
            made = Freeze(name, scope, why.given(now))
            for each in world.freezes:
                if each.name == name and each.given.active(now):
                    _require_replacing(why.by, each)
                    if each.scope == scope and each.given.lasts_as(made.given, now):
                        return unchanged(world)
            others = tuple(each for each in world.freezes if each.name != name and each.given.active(now))
            return _frozen(world, (*others, made))

        return self._record(change, f"fleet: Freeze {scope}", "freeze", why, dry_run=dry_run, settle=False)

    def thaw(self, name: str, why: Why, *, dry_run: bool = False) -> Outcome:
        """Lift a freeze; where nothing is frozen by that name, nothing changes.

        Raises:
            ForbiddenError: the identity may not operate.
            InvalidInputError: a reason is missing.

        """
        why.by.require(Permission.OPERATE)

        def change(world: World, now: datetime) -> Change:
            why.given(now)
            _require_readable(world)
            seen = [each for each in world.freezes if why.by.sees(each.scope.owner)]
            for each in seen:
                if each.name == name:
                    _require(why.by, each.scope)
            if name not in {each.name for each in seen}:
                return unchanged(world)
            return _frozen(world, tuple(each for each in world.freezes if each.name != name))

        return self._record(change, f"fleet: Thaw {name}", "thaw", why, dry_run=dry_run, settle=True)

    def _record(
        self,
        change: Callable[[World, datetime], Change],
        subject: str,
        action: str,
        why: Why,
        *,
        dry_run: bool,
        settle: bool,
    ) -> Outcome:
        return self.record(
            change,
            subject=subject,
            action=action,
            by=why.by,
            reason=why.reason,
            dry_run=dry_run,
            settle=settle,
        )


def _require(by: Identity, scope: Scope) -> None:
    by.require(Permission.OPERATE, bundle=scope.bundle or ALL, channel=scope.channel or ALL, org=scope.owner or ALL)


def _require_replacing(by: Identity, there: Freeze) -> None:
    """Refuse to put a freeze in the place of one that could not be lifted."""
    if not by.sees(there.scope.owner):
        raise ConflictError(f"the name {there.name} is taken", hint="choose another")
    _require(by, there.scope)


def _check_scope(world: World, scope: Scope, by: Identity) -> None:
    """Refuse a scope that covers nothing: whoever names it means something else."""
    if scope.channel is not None:
        world.channel(scope.channel)
    if scope.pdp is not None:
        world.plane(scope.pdp)
    if scope.bundle is not None and scope.bundle not in world.catalog:
        raise NotFoundError(f"there is no bundle {scope.bundle}", hint=f"there are: {', '.join(sorted(world.catalog))}")
    orgs = {name.org for name in world.planes if by.sees(name.org)}
    if scope.org is not None and scope.org not in orgs:
        raise NotFoundError(
            f"there is no data plane of {scope.org}", hint=f"there are some of: {', '.join(sorted(orgs)) or 'nobody'}"
        )


def _require_readable(world: World) -> None:
    if UNREADABLE in world.freezes:
        raise InvalidInputError(
            "freezes.yaml cannot be read, so everything is frozen", hint="mend the file in the release repo"
        )


def _frozen(world: World, freezes: tuple[Freeze, ...]) -> Change:
    document = Document({"schema": layout.SCHEMA, "freezes": [each.to_dict() for each in freezes]})
    return Change(replace(world, freezes=freezes), {layout.FREEZES: document})
