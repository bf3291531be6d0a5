"""Bring what is offered in line with what was decided: the step of the loop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from ums.domain import layout
from ums.domain.channels import Channel
from ums.domain.errors import UmsError
from ums.domain.fleet import Given
from ums.domain.gates import ask_gates
from ums.domain.identity import Grant, Identity
from ums.domain.linting import accept, check_waves
from ums.domain.release import ReleaseName
from ums.domain.world import Content, Document, Raw, World
from ums.usecases.promote import Promote, promotion
from ums.usecases.record import Change, Outcome, Record
from ums.usecases.rotate_keys import note_trusted

_ACTOR = "ums"
_SERVICE = Identity(_ACTOR, grants=(Grant("admin"),))


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Do whatever is due: promotions whose gates opened, rollouts, states that age. Run it as often as you like."""

    record: Record
    promote: Promote

    def __call__(self) -> Outcome:
        """Reconcile once.

        Raises:
            UnavailableError: others were faster every time.
            StorageError: the disk refused; nothing was recorded.

        """

        def change(world: World, now: datetime) -> Change:
            files: dict[str, Content | None] = {path: Raw(content) for path, content in world.unkept.items()}
            proposals = world.proposals
            world, refused = accept(world, proposals, now)
            for accepted in proposals.keys() - refused.keys():
                files[layout.channel_policy_in_force(accepted)] = Raw(proposals[accepted].source)
            for name, channel, given, lost in list(_due(world, now)):
                there = world.channel(channel.name)  # as the promotions before this one left it
                if lost:
                    given_up = replace(there.request(name.bundle, name.version), wanted=None, ended=given)
                    world = world.with_channel(there.with_request(given_up))
                    files[layout.channel_request(channel.name, given_up.id)] = Document(given_up.to_dict())
                    continue
                expedite, verified = there.request(name.bundle, name.version).expedite, self._is_verified(name)
                gates = ask_gates(world, there, name, now, expedite=expedite, verified=verified)
                if all(gate.is_open for gate in gates):
                    done = promotion(world, there, name, given, gates)
                    world = done.world
                    files |= done.files
            return note_trusted(Change(world, files), world.trust.trusted)

        return self.record(
            change,
            subject="fleet: Do what is due",
            action="reconcile",
            by=_SERVICE,
            reason="a gate opened, a rollout went on, an instruction ended, a state aged, or a removal was confirmed",
        )

    def _is_verified(self, name: ReleaseName) -> bool:
        try:
            return self.promote.check_signatures(name)
        except UmsError:
            return False  # what cannot be checked now does not pass; the next round asks again


def _due(world: World, now: datetime) -> Iterator[tuple[ReleaseName, Channel, Given, bool]]:
    """Yield promotions that are wanted, by a person or by policy, and that nothing known stands against.

    And those that somebody waits for and that can never be, marked so, with the reason why.
    """
    for channel in world.channels.values():
        wanted = {
            ReleaseName(each.bundle, each.release): each.wanted
            for each in channel.requests.values()
            if each.wanted and not each.executed
        }
        if channel.policy.automatic:
            for name in _next_from_feeder(world, channel):
                wanted.setdefault(name, Given(_ACTOR, f"{channel.name} takes by itself what passes its gates", now))
        for name, given in wanted.items():
            if name.version not in world.catalog.get(name.bundle, {}):
                continue
            request = channel.request(name.bundle, name.version)
            gates = ask_gates(world, channel, name, now, expedite=request.expedite)
            lost = [gate.message for gate in gates if gate.final and not gate.is_open]
            if lost and request.wanted:
                yield name, channel, Given(_ACTOR, "; ".join(lost), now), True
                continue
            try:
                check_waves(world, channel, name.bundle)
            except UmsError:
                continue
            if all(gate.is_open for gate in gates):
                yield name, channel, replace(given, since=now), False


def _next_from_feeder(world: World, channel: Channel) -> Iterator[ReleaseName]:
    feeder = world.channels.get(channel.policy.feeder or "")
    for bundle, track in feeder.tracks.items() if feeder else ():
        mine = channel.tracks.get(bundle)
        newer = [each for each in track.promoted() if mine is None or each > mine.head.release]
        # The highest that passes is enough; the ones below would be overtaken at once.
        yield from (ReleaseName(bundle, each) for each in reversed(newer))
