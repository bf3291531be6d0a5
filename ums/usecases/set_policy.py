"""Set a channel's policy, and say what is wrong with those that stand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from ums.domain import layout
from ums.domain.errors import InvalidInputError, NotFoundError
from ums.domain.identity import ALL, Identity, Permission
from ums.domain.linting import accept, lint, refused_policies
from ums.domain.names import check_name
from ums.domain.policy import Policy
from ums.domain.world import Raw, World
from ums.usecases.instruct import Why
from ums.usecases.record import Change, Outcome, Record, unchanged

ParsePolicy = Callable[[bytes, str], Policy]
"""Reads a policy file, by content and name; raises ``SpecError``."""


@dataclass(frozen=True, slots=True)
class SetPolicy:
    """Replace ``policy.yaml`` of a channel; of one that does not exist yet, too."""

    record: Record
    parse: ParsePolicy

    def __call__(self, channel: str, content: bytes, why: Why, *, dry_run: bool = False) -> Outcome:
        """Set a policy; rollouts that run go on as they started.

        Raises:
            ForbiddenError: the identity may not administer.
            SpecError: the file is wrong; names line and field.
            InvalidInputError: it could never let anything pass, or a reason is missing.

        """
        why.by.require(Permission.ADMIN, bundle=ALL, channel=channel, org=ALL)
        path = layout.channel_policy(check_name(channel, "channel name"))
        policy = self.parse(content, path)

        def change(world: World, now: datetime) -> Change:
            why.given(now)
            there = world.channels.get(channel)
            edited = channel in world.proposals or any(each.file == path for each in world.problems)
            if there is not None and there.policy == policy and not edited:
                return unchanged(world)
            world, refused = accept(world, {channel: policy}, now)
            if refused:
                raise InvalidInputError(
                    f"{channel}: {'; '.join(refused[channel])}", hint=f"ums channel lint {channel} FILE checks a file"
                )
            files = {
                path: Raw(content),
                layout.channel_policy_in_force(channel): Raw(content),
            }
            return Change(world, files)

        return self.record(
            change,
            subject=f"channels/{channel}: Set the policy",
            action="set-policy",
            by=why.by,
            reason=why.reason,
            dry_run=dry_run,
            settle=False,
        )

    def try_out(self, channel: str, content: bytes, by: Identity) -> tuple[str, ...]:
        """Return what is wrong with a policy that a channel might get.

        Raises:
            ForbiddenError: the identity may not set it: evaluating a policy is work.
            SpecError: the file is wrong.

        """
        by.require(Permission.ADMIN, bundle=ALL, channel=channel, org=ALL)
        path = layout.channel_policy(check_name(channel, "channel name"))
        policy = self.parse(content, path)
        return accept(self.record.world(), {channel: policy}, self.record.clock.now())[1].get(channel, ())

    def lint(self, channel: str) -> tuple[str, ...]:
        """Return what is wrong with a channel's policy.

        Raises:
            NotFoundError: there is no such channel.

        """
        world, now = self.record.world(), self.record.clock.now()
        path = layout.channel_policy(check_name(channel, "channel name"))
        there = world.channels.get(channel)
        found = tuple(str(each) for each in (*world.problems, *refused_policies(world, now)) if each.file == path)
        if there is None and not found:
            raise NotFoundError(f"there is no channel {channel}")
        return (*found, *(lint(world, there, now) if there else ()))
