"""Why a data plane is where it is: every check, every reason in the order in which they will matter, and one sentence.

``decide`` stops at the first thing that keeps a data plane: while a hold does, nobody asks for a pin. So what it says
is taken away – the hold is lifted, the window open, the risk accepted – and it is asked again, until there is nothing
left to take away.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ums.domain.bundle import Requires, UpgradeRules
from ums.domain.composing import find_hold, hold_owner, pin_owner, unyanker
from ums.domain.deciding import Move, decide_about
from ums.domain.errors import Reason
from ums.domain.fleet import AcceptedRisk, DataPlane, Given, Health
from ums.domain.instants import parse_instant
from ums.domain.lanes import Road, find_hold_of_channel
from ums.domain.names import PDPName
from ums.domain.risks import acceptor
from ums.domain.rollouts import WITHDRAWN, RolloutStatus, resumer
from ums.domain.version import Version
from ums.domain.windows import Schedule
from ums.domain.world import CatalogEntry, World

_CHECKS = {
    "subscription": ("subscribes to it", {"unsubscribed", "no-channel", "nothing-promoted", "no-release"}),
    "recall": ("no recall or yank keeps it from the release", {"recalled", "yanked"}),
    "hold": ("no hold keeps it from the release", {"held"}),
    "pin": ("no pin keeps it lower", {"pinned", "pin-unsatisfied"}),
    "order": ("the channel is not behind it", {"ahead-of-channel"}),
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
    "consent": ("no consent of its owner is missing", {"consent"}),
    "window": ("no window keeps it; windows govern when a release is offered", {"window"}),
    "serial": ("its serial is not far ahead of the clock", {"serial-ahead"}),
    "freeze": ("no freeze covers it", {"frozen"}),
    "rollout": (
        "the rollout goes on",
        {"rollout-paused", "rollout-halted", "rolled-back", "rollout-cancelled", "withdrawn"},
    ),
    "wave": ("its wave has begun", {"wave", "ramp"}),
    "turn": ("few enough are updating", {"max-updating", "first", "first-failed"}),
}
"""What must be so, in the order in which it is looked at."""

NOT_EVALUATED = "not-evaluated"
_Decided = tuple[Move | None, tuple[Reason, ...]]
_Key = tuple[str, str, str | None]
_IN_ROLLOUT = _CHECKS["wave"][1] | _CHECKS["turn"][1]
_DEPTH = 40
"""Of questions, at most: each takes at least one thing away, so that there are far fewer."""

_TARGET = ("subscription", "recall", "hold")
_OWN = ("requirements", "keys", "risk", "consent", "window")
_ALWAYS = ("serial", "freeze")
_REACHED = {
    Road.ORDERED: ("path", *_ALWAYS),
    Road.DUE: ("path", *_OWN, *_ALWAYS, "turn"),
    Road.FOLLOW: ("path", *_OWN, *_ALWAYS, "rollout", "wave", "turn"),
}
"""What was looked at, besides where to go, before somebody moves by a road."""
_BEFORE = {
    **dict.fromkeys(("path", "recall"), ()),
    **dict.fromkeys(_OWN, ("path", *_OWN)),
    **dict.fromkeys(("serial", "freeze", "rollout"), ()),
    "wave": ("path", *_OWN, *_ALWAYS, "rollout"),
    "turn": ("path", *_OWN, *_ALWAYS),
}
"""What was looked at before a check kept somebody, where that follows from the check alone."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be so; ``verdict`` is ``ok``, ``waits``, ``unknown`` or ``not-evaluated``."""

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
    """Where a data plane is with one bundle, and why it is not further.

    Attributes:
        reasons: all that keep it, in the order in which they will matter.

    """

    bundle: str
    running: str | None
    target: str | None
    reasons: tuple[Reason, ...]
    checks: tuple[Check, ...]
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Return the form used in API answers."""
        return {
            "bundle": self.bundle,
            "running": self.running,
            "target": self.target,
            "reasons": [reason.to_dict() for reason in self.reasons],
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
        move = moves.get(bundle)
        reasons, reached = _all_reasons(world, now, plane, bundle, decided=(move, withheld.get(bundle, ())))
        reasons = _with_ends(world, plane, bundle, reasons)
        running = f"{bundle}@{state.release}" if state else None
        if move is not None:
            sentence = f"{name} gets {bundle}@{move.after.release} now."
        elif reasons:
            sentence = f"{name} waits: {_joined(reasons)}."
        elif plane.health(now) is Health.HEALTHY:
            sentence = f"{name} has what {channel} offers, and is well."
        else:
            sentence = f"{name} was offered what {channel} has, and is {plane.health(now)}{_words(plane.report)}."
        found.append(Explanation(bundle, running, target, reasons, _checks(reasons, reached), sentence))
    return tuple(found)


def _all_reasons(
    world: World,
    now: datetime,
    plane: DataPlane,
    bundle: str,
    *,
    decided: _Decided | None = None,
    past: Collection[str] = (),
) -> tuple[tuple[Reason, ...], set[str]]:
    """Return every reason, the first first, and the checks that were looked at on the way; not past some codes."""
    found: dict[_Key, Reason] = {}
    reached: set[str] = set()
    early = _too_early(world, plane.registration.channel, bundle)
    for depth in range(_DEPTH):
        decided = decided or _decided(world, now, plane, bundle)
        if depth and any(reason.who_can_override == early for reason in decided[1]):
            break
        reached |= _reached(world, now, plane, bundle, decided)
        for reason in decided[1]:
            # A rollout goes on without whoever something else keeps: where it would be then, nobody can tell.
            vague = depth and reason.code in _IN_ROLLOUT
            told = replace(reason, until=None, who_can_override=None) if vague else reason
            found.setdefault(_key(told), told)
        without = _without(world, now, plane, bundle, {*decided[1]})
        if without == world or any(reason.code in past for reason in decided[1]):
            break
        world, plane, decided = without, without.plane(plane.name), None
    return tuple(found.values()), reached


def _too_early(world: World, name: str, bundle: str) -> str:
    """Return who would let a rollout go on that does not stand yet, be it that a freeze alone keeps it from halting."""
    channel = world.channels.get(name)
    rollout = channel.rollouts.get(bundle) if channel else None
    if rollout is None or rollout.status in {*WITHDRAWN, RolloutStatus.PAUSED}:
        return ""
    return resumer(rollout, name, bundle) or ""


def _decided(world: World, now: datetime, plane: DataPlane, bundle: str) -> _Decided:
    moves, withheld = decide_about(world, now, plane.name)
    return moves.get(bundle), withheld.get(bundle, ())


def _key(reason: Reason) -> _Key:
    """Return what tells a reason from others, whenever it ends."""
    return reason.code, reason.message, reason.who_can_override


def _with_ends(world: World, plane: DataPlane, bundle: str, reasons: tuple[Reason, ...]) -> tuple[Reason, ...]:
    """Return the reasons, of which some end earlier than by themselves: with another one.

    A freeze keeps nobody any more who wants nothing since a hold ended, and consent to a release that a pin asks for is
    not missing once the pin is gone.
    """
    if len(reasons) == 1:
        return reasons
    world = _standing(world, plane.registration.channel)
    asked: set[str] = set()
    for _ in range(_DEPTH):
        # Whatever is left then may say another end: of another release, that another deadline is for.
        end = min({each.until for each in reasons if each.until} - asked, default=None)
        if end is None:
            break
        asked.add(end)
        at = parse_instant(end)
        then, _ = _all_reasons(world, at, plane, bundle, past={"rollout-paused"})
        left = {_key(each): each.until for each in then}
        reasons = tuple(
            replace(each, until=left.get(_key(each), end))
            if (each.until is None or each.until >= end) and each.code not in _IN_ROLLOUT
            else each
            for each in reasons
        )
    return reasons


def _standing(world: World, name: str) -> World:
    """Return the world in which the rollouts of a channel stand: what becomes of them, no end of a reason tells."""
    channel = world.channels.get(name)
    for bundle, rollout in channel.rollouts.items() if channel else ():
        if channel is not None and rollout.status not in WITHDRAWN:
            channel = channel.with_rollout(bundle, rollout.paused(rollout.given))
    return world.with_channel(channel) if channel else world


def _reached(world: World, now: datetime, plane: DataPlane, bundle: str, decided: _Decided) -> set[str]:
    """Return which checks a decision looked at."""
    move, reasons = decided
    codes = {reason.code for reason in reasons}
    failed = {name for name, (_, against) in _CHECKS.items() if codes & against}
    channel = world.channels.get(plane.registration.channel)
    if channel is None or "unsubscribed" in codes:
        return {"subscription"}
    reached = {*_TARGET, *failed}
    held = find_hold(plane, None, bundle, now) or find_hold_of_channel(channel, bundle, now)
    if held is None and not codes & {"nothing-promoted", "recalled", "withdrawn"}:
        reached |= {"pin", "order"}
    if move is not None:
        reached |= {*_REACHED[move.road]}
    for name in failed:
        reached |= {*_BEFORE.get(name, ())}
    return reached


def _without(world: World, now: datetime, plane: DataPlane, bundle: str, said: Collection[Reason]) -> World:
    """Return the world in which nothing of what keeps a data plane is there; the same where nothing can be taken away.

    Waves, ramps and turns stay: they end by what others do.
    """
    codes, owners = {reason.code for reason in said}, {reason.who_can_override for reason in said}
    channel = world.channels.get(plane.registration.channel)
    if not said or channel is None:
        return world
    entries = _without_rules(world, bundle, codes, owners)
    catalog = {**world.catalog, bundle: entries} if entries is not None else world.catalog
    if "required-by" in codes:
        catalog = {each: _undemanding(found, bundle) for each, found in catalog.items()}
    given = Given("", "", now)
    risks = [each for each in world.risks.values() if acceptor(each, plane.name) in owners]
    holds = tuple(each for each in channel.holds if hold_owner(each, channel.name) not in owners)
    channel, registration = replace(channel, holds=holds), plane.registration
    rollout = channel.rollouts.get(bundle)
    if rollout is not None and codes & _CHECKS["rollout"][1] and rollout.status in {*WITHDRAWN, RolloutStatus.PAUSED}:
        channel = channel.with_rollout(bundle, rollout.resumed(given))
    if "window" in codes:
        registration = replace(registration, windows=Schedule())
        channel = replace(channel, policy=replace(channel.policy, windows=Schedule()))
    if "consent" in codes:
        registration = replace(registration, ask=False)
    plane = replace(
        plane,
        registration=registration,
        holds=tuple(each for each in plane.holds if hold_owner(each, plane.name) not in owners),
        pins=tuple(each for each in plane.pins if pin_owner(each, plane.name) not in owners),
        accepted=(*plane.accepted, *(AcceptedRisk(each.name, given) for each in risks)),
    )
    freezes = tuple(each for each in world.freezes if each.reason not in said)
    world = replace(world, freezes=freezes, catalog=catalog)
    return world.with_plane(_confirmed(plane, bundle, codes, now)).with_channel(channel)


def _without_rules(
    world: World, bundle: str, codes: set[str], owners: Collection[str | None]
) -> dict[Version, CatalogEntry] | None:
    """Return the releases of a bundle without what keeps a data plane from one of them; ``None`` if nothing does."""
    fields: dict[str, Any] = {}
    if codes & {"no-path", "irreversible"}:
        fields["upgrade"] = UpgradeRules()
    if codes & _CHECKS["requirements"][1]:
        fields["requires"] = Requires()
    others: dict[str, Any] = {}
    if "key-not-known" in codes:
        others["signed_by"] = tuple({name for each in world.every_trusted() for name in each.release_keys})
    if not (fields or others or codes & {"yanked", "withdrawn"}):
        return None
    found = {}
    for version, entry in world.catalog.get(bundle, {}).items():
        release = replace(entry.release, **fields) if fields else entry.release
        back: dict[str, Any] = {"yanked": "", "recall": None} if unyanker(entry.release.name) in owners else {}
        found[version] = replace(entry, release=release, **others, **back)
    return found


def _undemanding(entries: Mapping[Version, CatalogEntry], bundle: str) -> dict[Version, CatalogEntry]:
    """Return the releases of a bundle as if none required another one."""
    found = {}
    for version, entry in entries.items():
        requires = entry.release.requires
        others = {each: versions for each, versions in requires.bundles.items() if each != bundle}
        found[version] = replace(entry, release=replace(entry.release, requires=replace(requires, bundles=others)))
    return found


def _confirmed(plane: DataPlane, bundle: str, codes: set[str], now: datetime) -> DataPlane:
    """Return a data plane that is well on what it was offered, by a serial of now, where either keeps it."""
    desired = plane.desired
    if desired is None:
        return plane
    if "serial-ahead" in codes:
        serial = int(now.timestamp()) - 1
        states = {each: replace(state, since=min(state.since, serial)) for each, state in desired.bundles.items()}
        plane, desired = replace(plane, retired=None), replace(desired, serial=serial, bundles=states)
    if "unconfirmed" in codes and bundle in desired.bundles:
        state = replace(desired.bundles[bundle], origins=())
        desired = replace(desired, bundles={**desired.bundles, bundle: state})
    return replace(plane, desired=desired)


def _checks(reasons: tuple[Reason, ...], reached: Collection[str]) -> tuple[Check, ...]:
    checks = []
    for name, (text, codes) in _CHECKS.items():
        against = [reason for reason in reasons if reason.code in codes]
        checks += [
            Check(
                name, "unknown" if "unknown" in each.code else "waits", each.message, each.until, each.who_can_override
            )
            for each in against
        ] or [Check(name, "ok", text) if name in reached else Check(name, NOT_EVALUATED, "not looked at")]
    return tuple(checks)


def _joined(reasons: tuple[Reason, ...]) -> str:
    first = reasons[0]
    until = f", until {first.until}" if first.until else ""
    more = f", and {len(reasons) - 1} more" if len(reasons) > 1 else ""
    return f"{first.message}{until}{more}"


def _words(report: object) -> str:
    message = getattr(report, "message", "")
    return f": {message}" if message else ""
