"""Declare a risk, retract it, accept it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from ums.domain import layout
from ums.domain.errors import ConflictError, NotFoundError
from ums.domain.fleet import AcceptedRisk, DataPlane
from ums.domain.identity import ALL, Permission
from ums.domain.names import PDPName
from ums.domain.risks import Risk
from ums.domain.world import Document, World
from ums.usecases.instruct import Why, instruct_plane
from ums.usecases.record import Change, Outcome, Record, unchanged


@dataclass(frozen=True, slots=True)
class DeclareRisk:
    """Tell of a reason not to recommend an update, and to whom it applies."""

    record: Record

    def declare(self, risk: Risk, why: Why, *, dry_run: bool = False) -> Outcome:
        """Declare a risk; declaring it again, the same, changes nothing.

        Raises:
            ForbiddenError: the identity may not promote.
            ConflictError: another risk has that name.
            InvalidInputError: a reason is missing.

        """
        why.by.require(Permission.PROMOTE, bundle=risk.bundle, channel=ALL, org=ALL)

        def change(world: World, now: datetime) -> Change:
            declared = replace(risk, given=why.given(now))
            known = world.risks.get(risk.name)
            if known is not None:
                if replace(known, given=declared.given) == declared and known.given.lasts_as(declared.given, now):
                    return unchanged(world)
                raise ConflictError(f"there is another risk {risk.name}", hint="retract it first, or take another name")
            risks = {**world.risks, risk.name: declared}
            return Change(replace(world, risks=risks), {layout.risk(risk.name): Document(declared.to_dict())})

        return self.record(
            change,
            subject=f"risks: Declare {risk.name}",
            action="declare-risk",
            by=why.by,
            reason=why.reason,
            dry_run=dry_run,
        )

    def retract(self, name: str, why: Why, *, dry_run: bool = False) -> Outcome:
        """Take a risk back; where none of that name is declared, nothing changes.

        Raises:
            ForbiddenError: the identity may not promote.
            InvalidInputError: a reason is missing.

        """
        why.by.require(Permission.PROMOTE)

        def change(world: World, now: datetime) -> Change:
            why.given(now)
            if name not in world.risks:
                return unchanged(world)
            why.by.require(Permission.PROMOTE, bundle=_find(world, name).bundle, channel=ALL, org=ALL)
            risks = {each: risk for each, risk in world.risks.items() if each != name}
            return Change(replace(world, risks=risks), {layout.risk(name): None})

        return self.record(
            change,
            subject=f"risks: Retract {name}",
            action="retract-risk",
            by=why.by,
            reason=why.reason,
            dry_run=dry_run,
        )

    def accept(self, pdp: PDPName, name: str, why: Why, *, dry_run: bool = False) -> Outcome:
        """Let a data plane take a risk.

        Raises:
            ForbiddenError: the identity may not operate.
            NotFoundError: there is no such risk or data plane.

        """

        def change(_world: World, plane: DataPlane, now: datetime) -> DataPlane:
            accepted = AcceptedRisk(name, why.given(now))
            same = [each for each in plane.accepted if each.risk == name]
            if any(each.given.lasts_as(accepted.given, now) for each in same):
                return plane
            return replace(plane, accepted=(*(each for each in plane.accepted if each not in same), accepted))

        return instruct_plane(
            self.record,
            pdp,
            change,
            about=lambda world: _find(world, name).bundle,
            action="accept-risk",
            what=name,
            why=why,
            dry_run=dry_run,
        )


def _find(world: World, name: str) -> Risk:
    if name not in world.risks:
        known = ", ".join(sorted(world.risks))
        raise NotFoundError(f"there is no risk {name}", hint=f"declared are: {known}" if known else "none is declared")
    return world.risks[name]
