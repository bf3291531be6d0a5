"""Change a data plane's registration: another channel, other bundles, labels, facts, values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from ums.domain import layout
from ums.domain.fleet import Registration
from ums.domain.identity import Permission
from ums.domain.names import PDPName
from ums.domain.tailoring import require_charts
from ums.domain.world import World, edited
from ums.usecases.instruct import Why
from ums.usecases.record import Change, Outcome, Record, unchanged


@dataclass(frozen=True, slots=True)
class ChangeDataPlane:
    """Change some fields of ``registration.yaml``, and leave the others as people wrote them."""

    record: Record

    def __call__(
        self, pdp: PDPName, change: Callable[[Registration], Registration], why: Why, *, dry_run: bool = False
    ) -> Outcome:
        """Change a registration; what it is already changes nothing. Following another channel never downgrades.

        Raises:
            ForbiddenError: the identity may not register.
            NotFoundError: there is no such data plane or channel.
            InvalidInputError: its registration is wrong, a reason is missing, or values are for what is no chart, or
                the data plane is sealed.

        """
        why.by.require(Permission.REGISTER, org=pdp.org)

        def apply(world: World, now: datetime) -> Change:
            why.given(now)
            plane = world.plane(pdp)
            after = change(plane.registration)
            world.channel(after.channel)
            changed = set(after.bundles) ^ set(plane.registration.bundles)
            values = plane.registration.values, after.values
            changed |= {bundle for each in values for bundle in each if values[0].get(bundle) != values[1].get(bundle)}
            for channel in (plane.registration.channel, after.channel):
                for bundle in changed or (None,):
                    why.by.require(Permission.REGISTER, bundle=bundle, channel=channel, org=pdp.org)
            if after == plane.registration:
                return unchanged(world)
            world.require_valid(layout.fleet_registration(pdp))
            if after.values != plane.registration.values:
                require_charts(world, after)
            old, new = plane.registration.to_dict(), after.to_dict()
            edits = {key: new.get(key) for key in {**old, **new} if old.get(key) != new.get(key)}
            files = edited(layout.fleet_registration(pdp), edits)
            return Change(world.with_plane(replace(plane, registration=after)), files)

        return self.record(
            apply,
            subject=f"fleet/{pdp}: Change the registration",
            action="pdp-set",
            by=why.by,
            reason=why.reason,
            dry_run=dry_run,
        )
