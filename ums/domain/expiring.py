"""Which instructions end soon by themselves: a warning to whoever relies on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ums.domain.fleet import Given, Hold, Pin
from ums.domain.instants import to_text
from ums.domain.release import ReleaseName
from ums.domain.world import World

_NOTICE = timedelta(days=3)
_SHARE = 5
"""Nobody is warned before four fifths of a short instruction's life are over."""


@dataclass(frozen=True, slots=True)
class Expiring:
    """An instruction that ends soon.

    Attributes:
        kind: ``pin``, ``hold`` or ``freeze``.
        target: the data plane or channel, or the freeze's name.
        what: what it says.
        then: what happens when it ends.

    """

    kind: str
    target: str
    what: str
    given: Given
    then: str

    def to_dict(self) -> dict[str, Any]:
        """Return the form used in API answers."""
        return {
            "kind": self.kind,
            "target": self.target,
            "what": self.what,
            "then": self.then,
            **self.given.to_dict(),
        }


def find_expiring(world: World, now: datetime) -> tuple[Expiring, ...]:
    """Return the pins, holds and freezes that end soon, the first to end first."""
    found = [*_of_planes(world, now), *_of_channels(world, now), *_of_freezes(world, now)]
    return tuple(sorted(found, key=lambda each: to_text(each.given.until) if each.given.until else ""))


def ends_soon(given: Given, now: datetime) -> bool:
    """Return whether an instruction in force ends in the last fifth of its life, and within three days."""
    if given.until is None or not given.active(now):
        return False
    return now >= given.until - min(_NOTICE, (given.until - given.since) / _SHARE)


def _of_planes(world: World, now: datetime) -> Iterator[Expiring]:
    for name, plane in world.planes.items():
        if not plane.pins and not plane.holds:
            continue
        instructions: tuple[Pin | Hold, ...] = (*plane.pins, *plane.holds)
        for each in instructions:
            if ends_soon(each.given, now):
                channel = plane.registration.channel
                yield _expiring(each, str(name), f"it follows {channel}{_head(world, channel, each.bundle)}")


def _of_channels(world: World, now: datetime) -> Iterator[Expiring]:
    for name, channel in world.channels.items():
        for each in channel.holds:
            if ends_soon(each.given, now):
                yield _expiring(each, name, then_moves(world, name, each))


def then_moves(world: World, channel: str, hold: Hold) -> str:
    """Return who moves, and where to, when a channel's hold ends."""
    track = world.channels[channel].tracks.get(hold.bundle)
    moving = 0
    for plane in world.followers(channel, hold.bundle):
        own = any(each.bundle == hold.bundle and not each.component for each in plane.holds)
        state = plane.state_of(hold.bundle)
        moving += not own and (state is None or track is None or state.release != track.head.release)
    if not moving:
        return "no data plane moves"
    head = _head(world, channel, hold.bundle)
    return f"{moving} data plane{'s' if moving > 1 else ''} follow{'s' if moving == 1 else ''} it{head}, wave by wave"


def _expiring(each: Pin | Hold, target: str, then: str) -> Expiring:
    subject = f"{each.bundle}/{each.component}" if each.component else each.bundle
    kind, where = ("pin", f"within {each.versions}") if isinstance(each, Pin) else ("hold", f"at {each.release}")
    return Expiring(kind, target, f"{subject} {where}", each.given, f"then {then}")


def _of_freezes(world: World, now: datetime) -> Iterator[Expiring]:
    for each in world.freezes:
        if ends_soon(each.given, now):
            yield Expiring("freeze", each.name, str(each.scope), each.given, "then promotions and rollouts go on")


def _head(world: World, channel: str, bundle: str) -> str:
    track = world.channels[channel].tracks.get(bundle) if channel in world.channels else None
    return f" to {ReleaseName(bundle, track.head.release)}" if track else ""
