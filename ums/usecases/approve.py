"""Approve, or reject, a promotion."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from ums.domain.channels import Approval
from ums.domain.errors import ConflictError, ForbiddenError, InvalidInputError
from ums.domain.fleet import Given
from ums.domain.gates import ask_gates, authors
from ums.domain.identity import Identity, Permission
from ums.domain.release import ReleaseName
from ums.domain.subjects import HINT, is_plain, person_key, same_person
from ums.domain.world import World
from ums.usecases.promote import requested
from ums.usecases.record import Change, Outcome, Record, unchanged


@dataclass(frozen=True, slots=True)
class Approve:
    """Record what a person says to a promotion: for this very release, under this very policy."""

    record: Record

    def __call__(
        self,
        name: ReleaseName,
        *,
        to: str,
        by: Identity,
        reason: str,
        rejects: bool = False,
        dry_run: bool = False,
    ) -> Outcome:
        """Record a yes or a no, in place of the same person's earlier answer.

        Raises:
            ForbiddenError: the person may not approve, is its author, or in none of the groups that are asked.
            InvalidInputError: the channel asks for no approvals, or a reason is missing for a no.
            NotFoundError: there is no such release or channel.
            ConflictError: it was promoted there already.

        """
        by.require(Permission.APPROVE, bundle=name.bundle, channel=to)
        mine = by.groups_for(name.bundle, to)
        if not is_plain(by.subject):
            raise ForbiddenError(
                f"{by.subject!r:.60} may look like somebody else's name, and cannot approve",
                hint=f"get a token or account of another name: {HINT}",
            )
        if rejects and not reason.strip():
            raise InvalidInputError("a reason is missing", hint="say why, for those who must mend it: --reason '…'")

        def change(world: World, now: datetime) -> Change:
            channel, entry = world.channel(to), world.entry(name.bundle, name.version)
            policy = channel.policy
            rules = [policy.gates.approvals, policy.expedite.approvals if policy.expedite else None]
            groups = {group for rule in rules if rule for group in rule.groups}
            if not groups:
                raise InvalidInputError(
                    f"{to} asks for no approvals", hint=f"ums gates {name} --to {to} says what it asks"
                )
            known = channel.request(name.bundle, name.version)
            if known.executed is not None:
                raise ConflictError(
                    f"{name} was promoted to {to} already, by {known.executed.given.by}",
                    hint=f"ums rollout pause {to} stops it; ums yank gives it to nobody new",
                )
            if person_key(by.subject) in authors(entry, known):
                raise ForbiddenError(
                    f"{by.subject} published {name} or asked for its promotion, and cannot approve it too",
                    hint=f"ask somebody else of {' or '.join(sorted(groups))}",
                )
            if not groups & mine:
                raise ForbiddenError(
                    f"{by.subject} is in none of the groups that {to} asks: {', '.join(sorted(groups))}",
                    hint="ask somebody who is",
                )
            given = Given(by.subject, reason, now)
            approval = Approval(given, mine & groups, policy.digest, str(entry.digest), rejects)
            if any(same_person(each.given.by, by.subject) and _is_same(each, approval) for each in known.approvals):
                return replace(unchanged(world), gates=ask_gates(world, channel, name, now))
            asked = requested(world, channel, known.with_approval(approval))
            return replace(asked, gates=ask_gates(asked.world, asked.world.channel(to), name, now))

        return self.record(
            change,
            subject=f"channels/{to}: {'Reject' if rejects else 'Approve'} {name}",
            action="reject" if rejects else "approve",
            by=by,
            reason=reason,
            dry_run=dry_run,
            settle=False,
        )


def _is_same(known: Approval, approval: Approval) -> bool:
    """Return whether an answer says what another does, for the same content under the same policy."""
    return replace(known, given=approval.given) == approval
