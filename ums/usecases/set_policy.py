"""Set a channel's policy, and say what is wrong with those that stand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from ums.domain import layout
from ums.domain.channels import Channel
from ums.domain.errors import InvalidInputError, NotFoundError
from ums.domain.identity import Permission
from ums.domain.linting import lint
from ums.domain.names import check_name
from ums.domain.policy import Policy
from ums.domain.world import Raw, World
from ums.usecases.instruct import Why
from ums.usecases.record import Change, Outcome, Record

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
        why.by.require(Permission.ADMIN)
        policy = self.parse(content, layout.channel_policy(check_name(channel, "channel name")))

        def change(world: World, now: datetime) -> Change:
            why.given(now)
            known = world.channels.get(channel, Channel(channel))
            if known.policy.source == content:
                return Change(world)
            after = replace(known, policy=policy, in_force=policy.digest)
            problems = tuple(lint(world.with_channel(after), after, now))
            if problems:
                raise InvalidInputError(
                    f"{channel}: {'; '.join(problems)}", hint=f"ums channel lint {channel} FILE checks a file"
                )
            files = {
                layout.channel_policy(channel): Raw(content),
                layout.channel_policy_in_force(channel): Raw(content),
            }
            return Change(world.with_channel(after), files)

        return self.record(
            change,
            subject=f"channels/{channel}: Set the policy",
            action="set-policy",
            actor=why.by.subject,
            reason=why.reason,
            dry_run=dry_run,
            settle=False,
        )

    def lint(self, channel: str, content: bytes | None = None) -> tuple[str, ...]:
        """Return what is wrong with a channel's policy, or with another that it might get.

        Raises:
            NotFoundError: there is no such channel, and no content was given.
            SpecError: the file is wrong.

        """
        world, now = self.record.world(), self.record.clock.now()
        found = tuple(str(each) for each in world.problems if each.file == layout.channel_policy(channel))
        if content is not None:
            policy = self.parse(content, layout.channel_policy(check_name(channel, "channel name")))
            after = replace(world.channels.get(channel, Channel(channel)), policy=policy)
            return tuple(lint(world.with_channel(after), after, now))
        if channel not in world.channels and not found:
            raise NotFoundError(f"there is no channel {channel}")
        there = world.channels.get(channel)
        return (*found, *(lint(world, there, now) if there else ()))
