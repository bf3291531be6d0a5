"""Take back the wish for a promotion that waits for its gates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from ums.domain.errors import ConflictError
from ums.domain.identity import ALL, Permission
from ums.domain.release import ReleaseName
from ums.domain.world import World
from ums.usecases.instruct import Why
from ums.usecases.promote import requested
from ums.usecases.record import Change, Outcome, Record, unchanged


@dataclass(frozen=True, slots=True)
class CancelPromotion:
    """Undo ``ums promote --when-ready``, before it was executed."""

    record: Record

    def __call__(self, name: ReleaseName, *, to: str, why: Why, dry_run: bool = False) -> Outcome:
        """Take the wish back; where nobody asked, nothing changes. Approvals stay, for the next who asks.

        Raises:
            ForbiddenError: the identity may not promote this bundle.
            NotFoundError: there is no such channel.
            ConflictError: it was promoted meanwhile.
            InvalidInputError: a reason is missing.

        """
        why.by.require(Permission.PROMOTE, bundle=name.bundle, channel=to, org=ALL)

        def change(world: World, now: datetime) -> Change:
            why.given(now)
            channel = world.channel(to)
            known = channel.request(name.bundle, name.version)
            if known.executed is not None:
                raise ConflictError(
                    f"{name} was promoted to {to} already, by {known.executed.given.by}",
                    hint=f"ums rollout cancel {to} {name.bundle} ends its rollout",
                )
            if known.wanted is None:
                return unchanged(world)
            return requested(world, channel, replace(known, wanted=None, expedite=False))

        return self.record(
            change,
            subject=f"channels/{to}: Cancel the promotion of {name}",
            action="cancel-promotion",
            by=why.by,
            reason=why.reason,
            dry_run=dry_run,
            settle=False,
        )
