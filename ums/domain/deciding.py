"""The brain: what every data plane should get now, and why the others do not move.

``decide`` is a pure function of the world and the time. The loop, ``ums plan`` and every verb that changes
something call it; nothing else decides. Its unit is (data plane, bundle), with overrides per component.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ums.domain.errors import NotFoundError, Reason
from ums.domain.fleet import BundleState, Channel, DataPlane, Health, Hold, Pin
from ums.domain.instants import to_text
from ums.domain.names import PDPName
from ums.domain.release import Release
from ums.domain.version import Version
from ums.domain.world import World

_OPERATOR = "an operator of this data plane"


@dataclass(frozen=True, slots=True)
class Move:
    """A data plane goes to another state of a bundle; ``before`` is ``None`` at first install."""

    pdp: PDPName
    bundle: str
    before: BundleState | None
    after: BundleState

    def to_dict(self) -> dict[str, Any]:
        """Return the form used in API answers."""
        return {
            "pdp": str(self.pdp),
            "bundle": self.bundle,
            "before": self.before.to_dict() if self.before else None,
            "after": self.after.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class Withheld:
    """A data plane does not get what its channel has, wholly or in part, and why."""

    pdp: PDPName
    bundle: str
    reasons: tuple[Reason, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the form used in API answers."""
        return {
            "pdp": str(self.pdp),
            "bundle": self.bundle,
            "reasons": [reason.to_dict() for reason in self.reasons],
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now.

    Attributes:
        offers: the whole new content of each data plane whose state must be issued again, be it that it
            moves, that its channel changed, or that its last offer is half way to its end.

    """

    moves: tuple[Move, ...]
    withheld: tuple[Withheld, ...]
    offers: Mapping[PDPName, Mapping[str, BundleState]]


def decide(world: World, now: datetime) -> Plan:
    """Return what every data plane should get at ``now``."""
    moves: list[Move] = []
    withheld: list[Withheld] = []
    offers: dict[PDPName, Mapping[str, BundleState]] = {}
    for name, plane in sorted(world.planes.items()):
        current = plane.desired.bundles if plane.desired else {}
        bundles = dict(current)
        for bundle in sorted({*plane.registration.bundles, *current}):
            after, reasons = _decide_bundle(world, plane, bundle, now)
            if reasons:
                withheld.append(Withheld(name, bundle, tuple(reasons)))
            if after is not None and after != current.get(bundle):
                bundles[bundle] = after
                moves.append(Move(name, bundle, current.get(bundle), after))
        if bundles != current or _needs_issue(world, plane, now):
            offers[name] = bundles
    return Plan(tuple(moves), tuple(withheld), offers)


def _needs_issue(world: World, plane: DataPlane, now: datetime) -> bool:
    """Return whether a state must be issued although its bundles stay: none yet, another channel, or ageing."""
    desired = plane.desired
    return (
        desired is None
        or desired.channel != plane.registration.channel
        or now >= desired.issued + world.settings.validity / 2
    )


@dataclass(frozen=True, slots=True)
class _Case:
    """One data plane and one bundle: what is decided at a time."""

    world: World
    plane: DataPlane
    channel: Channel
    bundle: str
    current: BundleState | None
    now: datetime


def _decide_bundle(
    world: World, plane: DataPlane, bundle: str, now: datetime
) -> tuple[BundleState | None, list[Reason]]:
    current = plane.desired.bundles.get(bundle) if plane.desired else None
    if bundle not in plane.registration.bundles:
        text = f"{plane.name} no longer subscribes to {bundle}; what runs stays"
        return current, [Reason("unsubscribed", text, None, _OPERATOR)]
    channel = world.channels.get(plane.registration.channel)
    if channel is None:
        reason = Reason("no-channel", f"channel {plane.registration.channel} does not exist or its files are wrong")
        return current, [reason]
    case = _Case(world, plane, channel, bundle, current, now)
    target, reasons = _target(case)
    if target is None:
        return current, reasons
    entry = world.catalog.get(bundle, {}).get(target)
    if entry is None:
        return current, [*reasons, Reason("no-release", f"{bundle}@{target} is not in the catalog")]
    was = current.release if current else None
    if target != was and (barred := _barred(case, target, was)):
        return current, [*reasons, barred]
    after, more = _compose(case, entry.release)
    return after, [*reasons, *more]


def find_hold(
    plane: DataPlane, channel: Channel | None, bundle: str, now: datetime, *, component: str | None = None
) -> Hold | None:
    """Return the hold in force: the data plane's own before the channel's."""
    for holds in (plane.holds, channel.holds if channel else ()):
        for hold in holds:
            if (hold.bundle, hold.component) == (bundle, component) and hold.given.active(now):
                return hold
    return None


def _find_pin(plane: DataPlane, bundle: str, component: str | None, now: datetime) -> Pin | None:
    return next(
        (pin for pin in plane.pins if (pin.bundle, pin.component) == (bundle, component) and pin.given.active(now)),
        None,
    )


def _target(case: _Case) -> tuple[Version | None, list[Reason]]:
    """Return the release a data plane should be on: by hold, else pin, else the channel's head."""
    plane, channel, bundle, current, now = case.plane, case.channel, case.bundle, case.current, case.now
    track = channel.tracks.get(bundle)
    head = track.head.release if track else None
    hold = find_hold(plane, channel, bundle, now)
    if hold is not None:
        return hold.release, [_hold_reason(hold)] if head != hold.release else []
    if track is None or head is None:
        return None, [Reason("nothing-promoted", f"no release of {bundle} was promoted to {channel.name} yet")]
    pin = _find_pin(plane, bundle, None, now)
    if pin is not None:
        allowed = [version for version in track.promoted() if version <= head and version in pin.versions]
        reason = _pin_reason(pin, allowed)
        return (allowed[-1] if allowed else None), [reason] if not allowed or allowed[-1] != head else []
    if current is not None and head < current.release:
        return None, [
            Reason(
                "ahead-of-channel",
                f"{plane.name} has {bundle}@{current.release}, newer than {head} in {channel.name}; "
                "following a channel never downgrades",
                None,
                _OPERATOR + " (ums rollback)",
            )
        ]
    return head, []


def _hold_reason(hold: Hold) -> Reason:
    what = f"{hold.bundle}/{hold.component}" if hold.component else hold.bundle
    given = hold.given
    return Reason(
        "held",
        f"{what} is held at {hold.release} by {given.by}: {given.reason}",
        to_text(given.until) if given.until else None,
        f"{_OPERATOR} (ums unhold)",
    )


def _pin_reason(pin: Pin, allowed: Iterable[Version]) -> Reason:
    what = f"{pin.bundle}/{pin.component}" if pin.component else pin.bundle
    given = pin.given
    none = "" if list(allowed) else "; its channel has promoted nothing within it"
    return Reason(
        "pinned" if not none else "pin-unsatisfied",
        f"{what} is pinned to {pin.versions} by {given.by}: {given.reason}{none}",
        to_text(given.until) if given.until else None,
        f"{_OPERATOR} (ums unpin)",
    )


def _compose(case: _Case, release: Release) -> tuple[BundleState, list[Reason]]:
    """Return which release provides each component, with the overrides of holds and pins."""
    plane, current = case.plane, case.current
    before = current.components if current else {}
    step = (current.release if current else None, release.version)
    components: dict[str, Version] = {}
    reasons: list[Reason] = []
    overrides = {hold.component for hold in plane.holds} | {pin.component for pin in plane.pins}
    for component in release.components:
        provider = release.version
        if component.name in overrides:
            provider, why = _override(case, release, component.name)
            reasons += why
        was = before.get(component.name)
        # Who makes the step of the whole bundle was let through with it.
        if provider != was and (was, provider) != step and (barred := _barred(case, provider, was)):
            provider = was or release.version
            reasons.append(barred)
        components[component.name] = provider
    removing: list[str] = []
    for name, provider in before.items():
        if name in components:
            continue
        if _removed_on_the_way(case, release, name, provider):
            kept = _kept(case, name, provider)
            marked = current is not None and name in current.removing
            if kept:
                reasons.append(kept)
            elif marked and _confirmed(plane):
                continue
            else:
                removing.append(name)
        components[name] = provider
    return BundleState(release.version, components, tuple(sorted(removing))), reasons


def _override(case: _Case, release: Release, component: str) -> tuple[Version, list[Reason]]:
    world, plane, now = case.world, case.plane, case.now
    hold = find_hold(plane, None, release.bundle, now, component=component)
    if hold is not None and _provides(world, release.bundle, hold.release, component):
        return hold.release, [_hold_reason(hold)] if hold.release != release.version else []
    pin = _find_pin(plane, release.bundle, component, now)
    if pin is None:
        return release.version, []
    track = case.channel.tracks.get(release.bundle)
    promoted = {*(track.promoted() if track else ()), release.version}
    allowed = [
        version
        for version in sorted(promoted)
        if version <= release.version
        and (found := _provides(world, release.bundle, version, component))
        and found in pin.versions
    ]
    if allowed:
        return allowed[-1], [_pin_reason(pin, allowed)] if allowed[-1] != release.version else []
    before = case.current.components.get(component) if case.current else None
    return before or release.version, [_pin_reason(pin, ())]


def _provides(world: World, bundle: str, version: Version, component: str) -> Version | None:
    """Return the component's own version in a release, or ``None`` where it has none."""
    entry = world.catalog.get(bundle, {}).get(version)
    found = entry.release.component(component) if entry else None
    return found.version if found else None


def _barred(case: _Case, provider: Version, was: Version | None) -> Reason | None:
    """Return why nobody who has ``was`` may be given a release, or a component of it, if so."""
    entry = case.world.catalog.get(case.bundle, {}).get(provider)
    if entry is not None and entry.yanked:
        return Reason("yanked", f"{case.bundle}@{provider} was yanked: {entry.yanked}")
    crossed = irreversible_between(case.world, case.bundle, provider, was) if was else ()
    if not crossed:
        return None
    names = ", ".join(f"{case.bundle}@{version}" for version in crossed)
    return Reason("irreversible", f"{names} cannot be undone; what runs stays")


def irreversible_between(world: World, bundle: str, target: Version, current: Version) -> tuple[Version, ...]:
    """Return the releases that cannot be undone on the way back from ``current`` to ``target``."""
    if current <= target:
        return ()
    return tuple(
        version
        for version, entry in sorted(world.catalog.get(bundle, {}).items())
        if target < version <= current and entry.release.upgrade.irreversible
    )


def _removed_on_the_way(case: _Case, release: Release, component: str, provider: Version) -> bool:
    """Return whether a release after the one that provides a component, up to the new one, says it is removed.

    A component that a release merely lacks stays: a typo must never uninstall anything.
    """
    return any(
        component in entry.release.removes
        for version, entry in case.world.catalog.get(case.bundle, {}).items()
        if provider < version <= release.version
    )


def _kept(case: _Case, component: str, provider: Version) -> Reason | None:
    """Return what keeps a component that its release removes."""
    hold = find_hold(case.plane, None, case.bundle, case.now, component=component)
    if hold is not None:
        return _hold_reason(hold)
    pin = _find_pin(case.plane, case.bundle, component, case.now)
    return _pin_reason(pin, (provider,)) if pin is not None else None


def _confirmed(plane: DataPlane) -> bool:
    """Return whether the cluster reported the last offer, and so the marks in it, as applied."""
    return (
        plane.desired is not None
        and plane.report is not None
        and plane.report.serial >= plane.desired.serial
        and plane.report.health is Health.HEALTHY
    )


def components_of(world: World, bundle: str, state: BundleState) -> Iterator[tuple[str, Release]]:
    """Yield each component of a state with the release that provides it.

    Raises:
        NotFoundError: the catalog lacks one of these releases.

    """
    for name, version in state.components.items():
        release = world.entry(bundle, version).release
        if release.component(name) is None:
            raise NotFoundError(f"{release.name} has no component {name}")
        yield name, release


def next_serial(previous: int | None, now: datetime) -> int:
    """Return the next serial: it rises with every offer and survives a restored backup (unix seconds)."""
    return max((previous or 0) + 1, int(now.timestamp()))
