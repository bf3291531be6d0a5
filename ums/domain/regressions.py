"""Regressions: what a release takes back of what another one has – fixes that are lost, and older components.

A fix belongs to a component. A release has it where its component

- declares it,
- has a digest for which any release of the bundle declares it, unless that release was yanked, or
- is not older than in the release's base, its declared ancestor, which has it.

The versions of releases have no part in this: 1.1.0 need not hold what 1.0.9 fixed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ums.domain.channels import Channel, Override, Track
from ums.domain.policy import GateName
from ums.domain.release import ComponentChange, Release, ReleaseName, diff_releases
from ums.domain.version import Version
from ums.domain.world import CatalogEntry

Versions = Mapping[Version, CatalogEntry]
"""The catalog of one bundle."""


@dataclass(frozen=True, slots=True)
class Regression:
    """What a release takes back.

    Attributes:
        lost: by component, the fixes that it no longer has. A component that is gone loses none.
        downgrades: the components that are older.

    """

    lost: Mapping[str, tuple[str, ...]]
    downgrades: tuple[ComponentChange, ...] = ()

    @property
    def findings(self) -> tuple[str, ...]:
        """Return each part of it as a sentence, which an override names; empty where nothing is taken back."""
        older = [f"{each.name} {each.versions}" for each in self.downgrades]
        return (*older, *(f"{fix} in {name}" for name, fixes in self.lost.items() for fix in fixes))

    @property
    def lost_fixes(self) -> tuple[str, ...]:
        """Return what is no longer fixed, each once."""
        return tuple(dict.fromkeys(fix for fixes in self.lost.values() for fix in fixes))

    def __str__(self) -> str:
        older = ", ".join(f"{each.name} {each.versions}" for each in self.downgrades)
        lost = ", ".join(f"{' and '.join(fixes)} in {name}" for name, fixes in self.lost.items())
        parts = [f"older components: {older}"] if older else []
        return "; ".join([*parts, f"lost fixes: {lost}"] if lost else parts)


def fixed_by(catalog: Versions, release: Release) -> dict[str, tuple[str, ...]]:
    """Return what a release fixes, by component."""
    line = (release, *_ancestors(catalog, release))
    digests = {(each.name, each.digest) for ancestor in line for each in ancestor.components}
    declared: dict[tuple[str, object], list[str]] = {}
    for entry in catalog.values():
        for component in () if entry.yanked else entry.release.components:
            if component.fixes and (key := (component.name, component.digest)) in digests:
                declared.setdefault(key, []).extend(component.fixes)
    fixed: dict[str, tuple[str, ...]] = {}
    before: Release | None = None
    for ancestor in reversed(line):
        own = {}
        for component in ancestor.components:
            earlier = before.component(component.name) if before else None
            kept = fixed[component.name] if earlier is not None and component.goes_on_from(earlier) else ()
            found = declared.get((component.name, component.digest), ())
            own[component.name] = tuple(dict.fromkeys([*kept, *component.fixes, *found]))
        fixed, before = own, ancestor
    return fixed


def _ancestors(catalog: Versions, release: Release) -> Iterator[Release]:
    """Yield the base, its base and so on, as far as they are in the catalog: each is of an earlier version."""
    while release.base is not None and (entry := catalog.get(release.base)) is not None:
        release = entry.release
        yield release


def newly_fixed(catalog: Versions, before: Release | None, after: Release) -> tuple[str, ...]:
    """Return what a release fixes and another one does not, or all of it without one."""
    had = set(_all(fixed_by(catalog, before).values())) if before else set()
    return tuple(dict.fromkeys(fix for fix in _all(fixed_by(catalog, after).values()) if fix not in had))


def _all(fixes: Iterable[tuple[str, ...]]) -> Iterator[str]:
    return (fix for each in fixes for fix in each)


def regression(catalog: Versions, before: Release, after: Release) -> Regression:
    """Return what ``after`` takes back of what ``before`` has."""
    has = fixed_by(catalog, after)
    lost = {
        name: missing
        for name, fixes in fixed_by(catalog, before).items()
        if name in has and (missing := tuple(fix for fix in fixes if fix not in has[name]))
    }
    return Regression(lost, tuple(each for each in diff_releases(before, after) if each.kind == "downgraded"))


def taken_back(catalog: Versions, track: Track, release: Release) -> Regression:
    """Return what a release takes back of what a channel has.

    That is its head, which must be in the catalog, and each component that the head merely lacks: data planes keep it.
    """
    head = catalog[track.head.release].release
    found = regression(catalog, head, release)
    lost, downgrades = dict(found.lost), list(found.downgrades)
    for name, provider in _left_over(catalog, track, head).items():
        kept = regression(catalog, provider, release)
        lost |= {component: fixes for component, fixes in kept.lost.items() if component == name}
        downgrades += [each for each in kept.downgrades if each.name == name]
    return Regression(lost, tuple(downgrades))


def _left_over(catalog: Versions, track: Track, head: Release) -> dict[str, Release]:
    """Return the components that the head lacks, and no release says it removes, with the one that gave each last."""
    promoted = [entry.release for step in track.history if (entry := catalog.get(step.release))]
    last = {each.name: release for release in promoted for each in release.components}
    return {
        name: release
        for name, release in last.items()
        if head.component(name) is None
        and not any(
            name in entry.release.removes
            for version, entry in catalog.items()
            if release.version < version <= head.version
        )
    }


def regressions_in(
    channels: Iterable[Channel], catalog: Versions, release: Release
) -> Iterator[tuple[Channel, ReleaseName, Regression]]:
    """Yield the channels from which a release would take something back, were it promoted there, and what they have."""
    for channel in channels:
        track = channel.tracks.get(release.bundle)
        entry = catalog.get(track.head.release) if track else None
        if track is not None and entry is not None and entry.release.version < release.version:
            found = taken_back(catalog, track, release)
            if found.findings:
                yield channel, ReleaseName(release.bundle, entry.release.version), found


def override_in_force(
    channel: Channel, entry: CatalogEntry, findings: Iterable[str], gate: GateName = GateName.REGRESSION
) -> Override | None:
    """Return the override of a gate that counts: for this release and policy, of all that is found now."""
    request = channel.request(entry.release.bundle, entry.release.version)
    found = set(findings)
    for each in request.overrides:
        if (
            each.gate == gate.value
            and each.policy == channel.policy.digest
            and each.release == str(entry.digest)
            and found <= set(each.findings)
        ):
            return each
    return None
