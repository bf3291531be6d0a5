"""The upgrade graph of one bundle: which release leads to which, and by how few hops.

It knows releases and no data planes: who moves, and when, is decided elsewhere.
"""

from __future__ import annotations

from bisect import bisect, bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from ums.domain.version import Ascending, Version, VersionRange
from ums.domain.world import CatalogEntry


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """The releases of a bundle, and those among them that a channel may use as hops.

    One release leads directly to a newer one if that one is a hop, its ``upgrade.from`` takes the older one, and no
    barrier lies between the two. Every barrier in the catalog counts, also one that this channel never had: what it
    is there for does not depend on channels.

    A withdrawn barrier – yanked or recalled – still bars, since whatever it did still has to be done. But nobody can
    stop at it any more, so another barrier may take its place: a later one whose own ``upgrade.from`` is written out
    and takes those below. Until one is promoted, whoever is below stays there, and ``stranded`` says why.

    Attributes:
        entries: all that the catalog knows of the bundle.
        hops: the releases that may be given: promoted and not withdrawn.
        order: all releases in ascending order.

    """

    entries: Mapping[Version, CatalogEntry]
    hops: frozenset[Version]
    order: tuple[Version, ...]
    # Comparing versions reads them anew each time, comparing ranks does not.
    _ranks: dict[Version, int] = field(repr=False)
    _barriers: tuple[int, ...] = field(repr=False)
    _withdrawn_barriers: tuple[int, ...] = field(repr=False)
    _ascending: Ascending = field(repr=False)
    _taken: dict[VersionRange, int] = field(default_factory=dict, repr=False)
    _directly: dict[Version, int] = field(default_factory=dict, repr=False)
    _obstacles: dict[tuple[Version, Version], str] = field(default_factory=dict, repr=False)
    _leading: dict[Version, tuple[tuple[Version, int], ...]] = field(default_factory=dict, repr=False)
    _next: dict[tuple[frozenset[Version], Version], Version | None] = field(default_factory=dict, repr=False)
    _whys: dict[tuple[Version, Version], str] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, entries: Mapping[Version, CatalogEntry], promoted: Iterable[Version]) -> Self:
        """Return the graph of one bundle, for a channel that may give ``promoted``."""
        order = tuple(sorted(entries))
        ranks = {version: 2 * index + 1 for index, version in enumerate(order)}
        barriers = [each for each in order if entries[each].release.upgrade.barrier]
        return cls(
            entries=entries,
            hops=frozenset(each for each in promoted if each in entries and not _withdrawn(entries[each])),
            order=order,
            _ranks=ranks,
            _ascending=Ascending(order),
            _barriers=tuple(ranks[each] for each in barriers if not _withdrawn(entries[each])),
            _withdrawn_barriers=tuple(ranks[each] for each in barriers if _withdrawn(entries[each])),
        )

    def edge(self, start: Version, hop: Version) -> bool:
        """Return whether one may go from a release to a newer one directly."""
        if hop not in self.hops:
            return False
        rank = self._rank(start)
        if rank % 2:
            return bool(self._leading_directly(hop) >> rank // 2 & 1)
        return (
            rank < self._rank(hop) and not self._between(self._barriers, start, hop) and not self._obstacle(start, hop)
        )

    def next_hop(self, possible: frozenset[Version], target: Version) -> Version | None:
        """Return where to go next from any of the releases that a data plane may be on, or ``None``.

        The way from there is one of the shortest, by its highest release. A release of ``possible`` may be the
        answer itself: first make sure of it. From no release at all one goes to the target, for barriers and
        ``upgrade.from`` are about upgrades.
        """
        if possible == {target}:
            return target
        question = (possible, target)
        if question not in self._next:
            ranks = [self._rank(start) for start in possible]
            bits = sum(1 << rank // 2 for rank in ranks if rank % 2)
            others = [start for start, rank in zip(possible, ranks, strict=True) if not rank % 2]
            self._next[question] = next(
                (
                    hop
                    for hop, fitting in self._leading_to(target)
                    if bits & fitting == bits and all(self.edge(start, hop) for start in others)
                ),
                None,
            )
        return self._next[question]

    def path(self, start: Version, target: Version) -> tuple[Version, ...] | None:
        """Return all hops of a shortest way, the target being the last, or ``None`` where there is no way."""
        hops: list[Version] = []
        while start != target:
            hop = self.next_hop(frozenset({start}), target)
            if hop is None:
                return None
            hops.append(hop)
            start = hop
        return tuple(hops)

    def stranded(self, versions: Iterable[Version], target: Version) -> dict[Version, str]:
        """Return those of ``versions`` that have no way to the target, and why; what is newer is not among them."""
        whys = {version: self._why_stranded(version, target) for version in versions}
        return {version: why for version, why in whys.items() if why}

    def _rank(self, version: Version) -> int:
        """Return where a version stands: odd in the catalog, even between two releases of it."""
        if version not in self._ranks:
            self._ranks[version] = 2 * bisect(self.order, version)
        return self._ranks[version]

    def _count(self, version: Version) -> int:
        """Return how many releases are not newer than a version."""
        return (self._rank(version) + 1) // 2

    def _between(self, ranks: tuple[int, ...], start: Version, end: Version) -> tuple[int, ...]:
        return ranks[bisect(ranks, self._rank(start)) : bisect_left(ranks, self._rank(end))]

    def _takes(self, versions: VersionRange, start: Version) -> bool:
        rank = self._rank(start)
        return bool(self._all_taken(versions) >> rank // 2 & 1) if rank % 2 else start in versions

    def _all_taken(self, versions: VersionRange) -> int:
        """Return which releases of the catalog are in a range, as one bit each; many releases share theirs."""
        if versions not in self._taken:
            self._taken[versions] = self._ascending.among(versions)
        return self._taken[versions]

    def _leading_directly(self, hop: Version) -> int:
        """Return which releases of the catalog have an edge to a hop, as one bit each.

        A thousand releases have half a million pairs: bits answer for all that lead to one at once.
        """
        if hop not in self._directly:
            rules, rank = self.entries[hop].release.upgrade, self._rank(hop)
            bars = (
                self._barriers
                if rules.barrier and rules.from_versions
                else (*self._barriers, *self._withdrawn_barriers)
            )
            first = max((barrier // 2 for barrier in bars if barrier < rank), default=0)
            found = (1 << rank // 2) - (1 << first)
            if rules.from_versions is not None:
                found &= self._all_taken(rules.from_versions)
            self._directly[hop] = found
        return self._directly[hop]

    def _obstacle(self, start: Version, end: Version) -> str:
        """Return what forbids the step to a release with no barrier before it, or the empty string."""
        key = (start, end)
        if key not in self._obstacles:
            self._obstacles[key] = self._find_obstacle(start, end)
        return self._obstacles[key]

    def _find_obstacle(self, start: Version, end: Version) -> str:
        rules = self.entries[end].release.upgrade
        versions = rules.from_versions
        takes = versions is None or self._takes(versions, start)
        missing = self._between(self._withdrawn_barriers, start, end)
        if missing and not (rules.barrier and versions and takes):
            barrier = self.order[missing[0] // 2]
            return (
                f"barrier {barrier} was withdrawn ({_withdrawn(self.entries[barrier])}), and none was promoted here "
                f"in its place: a later release with a barrier and an upgrade.from that takes {start}"
            )
        if takes:
            return ""
        # Spelt out, since it surprises everybody once.
        rule = "; a pre-release is in a range only if that names one of its version" if "-" in start.text else ""
        return f"{end} is open only from {versions} (upgrade.from), which {start} is not in{rule}"

    def _leading_to(self, target: Version) -> tuple[tuple[Version, int], ...]:
        """Return the hops that lead to the target, itself included: the nearest first, then the highest.

        With each, as one bit each: itself, and the releases that have an edge to it.
        """
        if target not in self._leading:
            level = [target] if target in self.hops else []
            found = list(level)
            older = [hop for hop in reversed(self.order[: self._count(target)]) if hop in self.hops and hop != target]
            while level:
                leading = 0
                for nearer in level:
                    leading |= self._leading_directly(nearer)
                level = [hop for hop in older if leading >> self._rank(hop) // 2 & 1]
                older = [hop for hop in older if not leading >> self._rank(hop) // 2 & 1]
                found += level
            self._leading[target] = tuple(
                (hop, self._leading_directly(hop) | 1 << self._rank(hop) // 2) for hop in found
            )
        return self._leading[target]

    def _why_stranded(self, start: Version, target: Version) -> str:
        key = (start, target)
        if key not in self._whys:
            fine = start >= target or self.next_hop(frozenset({start}), target) is not None
            self._whys[key] = "" if fine else self._find_why(start, target)
        return self._whys[key]

    def _find_why(self, start: Version, target: Version) -> str:
        """Return what is in the way of whoever went from ``start`` as far as possible."""
        if target not in self.hops:
            return self._unusable(target)
        reached, bits = [start], 0
        for hop in self.order[: self._count(target)]:
            if hop in self.hops and (self.edge(start, hop) or self._leading_directly(hop) & bits):
                reached.append(hop)
                bits |= 1 << self._rank(hop) // 2
        barriers = self._between(self._barriers, reached[-1], target)
        stop = self.order[barriers[0] // 2] if barriers else target
        return self._obstacle(reached[-1], stop) if stop in self.hops else self._unusable(stop)

    def _unusable(self, version: Version) -> str:
        """Return why a release is no hop."""
        entry = self.entries.get(version)
        if entry is None:
            return f"{version} is not in the catalog"
        if withdrawn := _withdrawn(entry):
            return f"{version} was withdrawn: {withdrawn}"
        barrier = entry.release.upgrade.barrier
        what = f"barrier {version} ({barrier})" if barrier else str(version)
        return f"{what} must be promoted here first"


def _withdrawn(entry: CatalogEntry) -> str:
    """Return why nobody may be given a release any more, or the empty string."""
    return entry.yanked or (entry.recall.given.reason or "recalled" if entry.recall else "")
