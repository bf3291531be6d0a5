"""Which release provides each component of a bundle, once the bundle's release is known.

Holds and pins of single components override it, nothing is given that was yanked or cannot be undone, and what a
release removes goes in two steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from ums.domain.channels import Channel
from ums.domain.errors import NotFoundError, Reason
from ums.domain.fleet import BundleState, DataPlane, Health, Hold, Pin
from ums.domain.instants import to_text
from ums.domain.names import PDPName
from ums.domain.owners import engineer, operator
from ums.domain.release import Release
from ums.domain.version import Version
from ums.domain.world import CatalogEntry, World


@dataclass(frozen=True, slots=True)
class Case:
    """One data plane and one bundle: what is decided at a time."""

    world: World
    plane: DataPlane
    channel: Channel
    bundle: str
    current: BundleState | None
    now: datetime


def find_hold(
    plane: DataPlane, channel: Channel | None, bundle: str, now: datetime, *, component: str | None = None
) -> Hold | None:
    """Return the hold in force: the data plane's own before the channel's."""
    for holds in (plane.holds, channel.holds if channel else ()):
        for hold in holds:
            if (hold.bundle, hold.component) == (bundle, component) and hold.given.active(now):
                return hold
    return None


def find_pin(plane: DataPlane, bundle: str, component: str | None, now: datetime) -> Pin | None:
    """Return the pin in force."""
    return next(
        (pin for pin in plane.pins if (pin.bundle, pin.component) == (bundle, component) and pin.given.active(now)),
        None,
    )


def hold_reason(hold: Hold, owner: PDPName | str) -> Reason:
    """Return why a hold keeps something where it is: one of a data plane, or of a channel by its name."""
    given = hold.given
    return Reason(
        "held",
        f"{hold.what} is held at {hold.release} by {given.by}: {given.reason}",
        to_text(given.until) if given.until else None,
        hold_owner(hold, owner),
    )


def hold_owner(hold: Hold, owner: PDPName | str) -> str:
    """Return who can end a hold of a data plane, or of a channel by its name."""
    command = f"ums unhold {owner} {hold.what} --reason …"
    return operator(owner.org, command) if isinstance(owner, PDPName) else engineer(command)


def pin_reason(pin: Pin, owner: PDPName, allowed: Iterable[Version]) -> Reason:
    """Return why a pin of a data plane keeps something where it is, or that nothing is within it."""
    given = pin.given
    none = "" if list(allowed) else "; its channel has promoted nothing within it"
    return Reason(
        "pinned" if not none else "pin-unsatisfied",
        f"{pin.what} is pinned to {pin.versions} by {given.by}: {given.reason}{none}",
        to_text(given.until) if given.until else None,
        pin_owner(pin, owner),
    )


def pin_owner(pin: Pin, owner: PDPName) -> str:
    """Return who can remove a pin of a data plane."""
    return operator(owner.org, f"ums unpin {owner} {pin.what} --reason …")


def compose(case: Case, release: Release) -> tuple[BundleState | None, list[Reason]]:
    """Return which release provides each component, with the overrides of holds and pins.

    ``None`` where a component that does not run yet cannot be given as its hold or pin says.
    """
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
            if component.name not in before and any(each.code == "pin-unsatisfied" for each in why):
                return None, reasons
        was = before.get(component.name)
        # Who makes the step of the whole bundle was let through with it.
        if provider != was and (was, provider) != step and (against := barred(case, provider, was)):
            reasons.append(against)
            if was is None:
                return None, reasons
            provider = was
        components[component.name] = provider
    left, removing, why = _left_over(case, release, {name: before[name] for name in before if name not in components})
    return BundleState(release.version, {**components, **left}, removing), [*reasons, *why]


def _left_over(
    case: Case, release: Release, before: Mapping[str, Version]
) -> tuple[dict[str, Version], tuple[str, ...], list[Reason]]:
    """Return what stays of the components that a release lacks, which of it is marked for removal, and why not."""
    components: dict[str, Version] = {}
    removing: list[str] = []
    reasons: list[Reason] = []
    for name, provider in before.items():
        if _removed_on_the_way(case, release, name, provider):
            kept = _kept(case, name, provider)
            marked = case.current is not None and name in case.current.removing
            if kept:
                reasons.append(kept)
            elif marked and _confirmed(case.plane):
                continue
            else:
                removing.append(name)
        components[name] = provider
    return components, tuple(sorted(removing)), reasons


def _override(case: Case, release: Release, component: str) -> tuple[Version, list[Reason]]:
    world, plane, now = case.world, case.plane, case.now
    hold = find_hold(plane, None, release.bundle, now, component=component)
    if hold is not None and _provides(world, release.bundle, hold.release, component):
        return hold.release, [hold_reason(hold, plane.name)] if hold.release != release.version else []
    pin = find_pin(plane, release.bundle, component, now)
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
        return allowed[-1], [pin_reason(pin, plane.name, allowed)] if allowed[-1] != release.version else []
    before = case.current.components.get(component) if case.current else None
    return before or release.version, [pin_reason(pin, plane.name, ())]


def _provides(world: World, bundle: str, version: Version, component: str) -> Version | None:
    """Return the component's own version in a release, or ``None`` where it has none."""
    entry = world.catalog.get(bundle, {}).get(version)
    found = entry.release.component(component) if entry else None
    return found.version if found else None


def barred(case: Case, provider: Version, was: Version | None) -> Reason | None:
    """Return why nobody who has ``was`` may be given a release, or a component of it, if so."""
    entry = case.world.catalog.get(case.bundle, {}).get(provider)
    if entry is not None and entry.yanked:
        return yank_reason(entry)
    crossed = irreversible_between(case.world, case.bundle, provider, was) if was else ()
    if not crossed:
        return None
    names = ", ".join(f"{case.bundle}@{version}" for version in crossed)
    return Reason("irreversible", f"{names} cannot be undone; what runs stays")


def yank_reason(entry: CatalogEntry) -> Reason:
    """Return why a release that was yanked is not given."""
    name = entry.release.name
    return Reason("yanked", f"{name} was yanked: {entry.yanked}", None, unyanker(name))


def unyanker(name: str) -> str:
    """Return who can take a yank back."""
    return engineer(f"ums unyank {name} --reason …")


def irreversible_between(world: World, bundle: str, target: Version, current: Version) -> tuple[Version, ...]:
    """Return the releases that cannot be undone on the way back from ``current`` to ``target``."""
    if current <= target:
        return ()
    return tuple(
        version
        for version, entry in sorted(world.catalog.get(bundle, {}).items())
        if target < version <= current and entry.release.upgrade.irreversible
    )


def blocked_way_back(world: World, bundle: str, current: Version, release: Version) -> tuple[Reason, ...]:
    """Return what lies on the way back from ``current`` and closes it: barriers, else what cannot be undone."""
    passed = tuple(
        Reason("barrier", f"{bundle}@{version} lies between, a barrier")
        for version, entry in sorted(world.catalog.get(bundle, {}).items())
        if release < version < current and entry.release.upgrade.barrier
    )
    return passed or tuple(
        Reason("irreversible", f"{bundle}@{version} cannot be undone")
        for version in irreversible_between(world, bundle, release, current)
    )


def _removed_on_the_way(case: Case, release: Release, component: str, provider: Version) -> bool:
    """Return whether a release after the one that provides a component, up to the new one, says it is removed.

    A component that a release merely lacks stays: a typo must never uninstall anything.
    """
    return any(
        component in entry.release.removes
        for version, entry in case.world.catalog.get(case.bundle, {}).items()
        if provider < version <= release.version
    )


def _kept(case: Case, component: str, provider: Version) -> Reason | None:
    """Return what keeps a component that its release removes."""
    hold = find_hold(case.plane, None, case.bundle, case.now, component=component)
    if hold is not None:
        return hold_reason(hold, case.plane.name)
    pin = find_pin(case.plane, case.bundle, component, case.now)
    return pin_reason(pin, case.plane.name, (provider,)) if pin is not None else None


def _confirmed(plane: DataPlane) -> bool:
    """Return whether the cluster reported the last offer, and so the marks in it, as applied.

    It need not be well: what never gets well is what people remove.
    """
    return (
        plane.desired is not None
        and plane.report is not None
        and plane.report.serial >= plane.desired.serial
        and (plane.report.applied or plane.report.health is Health.HEALTHY)
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
