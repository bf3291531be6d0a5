"""Why a data plane is where it is: every check, and one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ums.domain.deciding import decide_about
from ums.domain.errors import Reason
from ums.domain.fleet import Health
from ums.domain.names import PDPName
from ums.domain.world import World

_CHECKS = {
    "subscription": ("subscribes to it", {"unsubscribed", "no-channel", "nothing-promoted", "no-release"}),
    "order": ("the channel is not behind it", {"ahead-of-channel"}),
    "hold": ("nothing holds it", {"held"}),
    "pin": ("no pin keeps it lower", {"pinned", "pin-unsatisfied"}),
    "recall": ("nothing it has was recalled or yanked", {"recalled", "yanked"}),
    "path": ("there is a way to the release", {"no-path", "unconfirmed", "irreversible"}),
    "requirements": (
        "it has what the release requires, and nothing here requires another",
        {
            "requires-kubernetes",
            "requires-flux",
            "requires-bundle",
            "unknown-kubernetes",
            "unknown-flux",
            "required-by",
        },
    ),
    "keys": ("it knows a key that signed the release", {"key-not-known"}),
    "risk": ("no declared risk concerns it", {"not-recommended", "risk-unknown"}),
    "consent": ("its owner agrees", {"consent"}),
    "window": ("its window is open; windows govern when a release is offered", {"window"}),
    "freeze": ("nothing is frozen", {"frozen"}),
    "serial": ("its serial is not far ahead of the clock", {"serial-ahead"}),
    "rollout": (
        "the rollout goes on",
        {"rollout-paused", "rollout-halted", "rolled-back", "rollout-cancelled", "withdrawn"},
    ),
    "wave": ("its wave has begun", {"wave", "ramp"}),
    "turn": ("few enough are updating", {"max-updating"}),
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be so; ``verdict`` is ``ok``, ``waits`` or ``unknown``."""

    name: str
    verdict: str
    message: str
    until: str | None = None
    who_can_override: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the form used in API answers."""
        return {
            "check": self.name,
            "verdict": self.verdict,
            "message": self.message,
            "until": self.until,
            "who_can_override": self.who_can_override,
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where a data plane is with one bundle, and why it is not further."""

    bundle: str
    running: str | None
    target: str | None
    checks: tuple[Check, ...]
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Return the form used in API answers."""
        return {
            "bundle": self.bundle,
            "running": self.running,
            "target": self.target,
            "checks": [check.to_dict() for check in self.checks],
            "sentence": self.sentence,
        }


def explain(world: World, now: datetime, name: PDPName) -> tuple[Explanation, ...]:
    """Return why a data plane is where it is, for each of its bundles.

    Raises:
        NotFoundError: it is not registered.

    """
    plane = world.plane(name)
    channel = plane.registration.channel
    moves, withheld = decide_about(world, now, name)
    found = []
    offered = plane.desired.bundles if plane.desired else {}
    for bundle in sorted({*world.bundles_of(plane), *offered}):
        state = offered.get(bundle)
        track = world.channels[channel].tracks.get(bundle) if channel in world.channels else None
        target = f"{bundle}@{track.head.release}" if track else None
        reasons, move = withheld.get(bundle, ()), moves.get(bundle)
        running = f"{bundle}@{state.release}" if state else None
        if move is not None:
            sentence = f"{name} gets {bundle}@{move.after.release} now."
        elif reasons:
            sentence = f"{name} waits: {_joined(reasons)}."
        elif plane.health(now) is Health.HEALTHY:
            sentence = f"{name} has what {channel} offers, and is well."
        else:
            sentence = f"{name} was offered what {channel} has, and is {plane.health(now)}{_words(plane.report)}."
        found.append(Explanation(bundle, running, target, _checks(reasons), sentence))
    return tuple(found)


def _checks(reasons: tuple[Reason, ...]) -> tuple[Check, ...]:
    checks = []
    for name, (text, codes) in _CHECKS.items():
        against = [reason for reason in reasons if reason.code in codes]
        checks += [
            Check(
                name, "unknown" if "unknown" in each.code else "waits", each.message, each.until, each.who_can_override
            )
            for each in against
        ] or [Check(name, "ok", text)]
    return tuple(checks)


def _joined(reasons: tuple[Reason, ...]) -> str:
    first = reasons[0]
    until = f", until {first.until}" if first.until else ""
    more = f", and {len(reasons) - 1} more" if len(reasons) > 1 else ""
    return f"{first.message}{until}{more}"


def _words(report: object) -> str:
    message = getattr(report, "message", "")
    return f": {message}" if message else ""
