"""A lane: one bundle in one channel, at one time – and what each of its data planes should get there.

What is the same for many data planes is worked out once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum

from ums.domain.bundle import ReleaseClass
from ums.domain.channels import Channel
from ums.domain.composing import (
    Case,
    barred,
    blocked_way_back,
    compose,
    find_hold,
    find_pin,
    hold_owner,
    hold_reason,
    pin_owner,
    pin_reason,
    unyanker,
    yank_reason,
)
from ums.domain.errors import Reason
from ums.domain.fleet import BundleState, DataPlane, Given, Hold, Pin
from ums.domain.freezes import Freeze
from ums.domain.graph import Graph
from ums.domain.instants import to_text
from ums.domain.names import PDPName
from ums.domain.owners import operator, registrar
from ums.domain.policy import OnHalt
from ums.domain.release import Release, ReleaseName
from ums.domain.risks import Exposure, Risk, broken, exposure, risk_reason, unmet
from ums.domain.rollouts import WITHDRAWN, Pace, Ramp, Rollout, RolloutStatus, is_taken, resumer
from ums.domain.trust import TRUST
from ums.domain.version import Version
from ums.domain.windows import Schedule
from ums.domain.world import CatalogEntry, World


class Road(IntEnum):
    """By which road a data plane moves, in the order in which they are served."""

    ORDERED = 0
    """Somebody said so, or a halt did: only a freeze stops it."""
    DUE = 1
    """It was rolled out before: its turn comes as soon as few enough are updating."""
    FOLLOW = 2
    """With the rollout under way, in its wave."""


@dataclass(slots=True)
class Wish:
    """What a data plane should get of a bundle, before its turn is considered.

    Attributes:
        after: the state to move to; ``None`` to stay.
        reasons: why it is not, or will not be, where the channel's head is.
        road: how it moves.
        open: nothing of its own keeps it; otherwise ``reasons`` say what does …
        soon: … and it ends by itself, as a window does.
        fallback: what one that has nothing yet gets while it waits for its wave.
        removes: it only ends the removal of what its rollout marked.

    """

    after: BundleState | None
    reasons: tuple[Reason, ...] = ()
    road: Road = Road.FOLLOW
    open: bool = True
    soon: bool = False
    fallback: BundleState | None = None
    removes: bool = False

    @classmethod
    def stay(cls, *reasons: Reason) -> Wish:
        """Return the wish to stay, and why."""
        return cls(None, reasons, Road.DUE, open=False)


_Target = tuple[Version, Road, tuple[Reason, ...]]


def possible_releases(plane: DataPlane, state: BundleState) -> tuple[Version, ...]:
    """Return the releases that a data plane may really be on, the surest first: reports may be late or lost."""
    report = plane.report
    confirmed = report is not None and report.serial >= state.since and report.health == "healthy"
    return (state.release,) if confirmed or not state.origins else (*state.origins, state.release)


class Lane:
    """One bundle in one channel at a time."""

    def __init__(self, world: World, channel: Channel, bundle: str, now: datetime) -> None:
        self.world = world
        self.channel = channel
        self.bundle = bundle
        self.now = now
        track = channel.tracks.get(bundle)
        self.head = track.head.release if track else None
        self.entries: Mapping[Version, CatalogEntry] = world.catalog.get(bundle, {})
        self.promoted = track.promoted() if track else ()
        rollout = channel.rollouts.get(bundle)
        self.go_on(rollout if rollout is not None and rollout.release == self.head else None)
        ended = {step.release: step.stopped for step in track.history[:-1]} if track else {}
        self.failed = frozenset(version for version, stopped in ended.items() if stopped)
        """Releases whose last rollout here ended badly."""
        self.counting = tuple(self.rollout.strategy.counting.management) if self.rollout else ()
        self.pace = Pace(self.rollout.strategy if self.rollout else channel.policy.rollout, now)
        self.hold = find_hold_of_channel(channel, bundle, now)
        self.freezes: list[Freeze] = [
            each
            for each in world.freezes
            if each.given.active(now) and each.scope.covers(channel=channel.name, bundle=bundle)
        ]
        self.frozen = next((each for each in self.freezes if each.scope.is_whole), None)
        self.risks: list[Risk] = [
            each for each in world.risks.values() if each.bundle == bundle and each.given.active(now)
        ]
        self._graphs: dict[Version | None, Graph] = {}
        head_entry = self.entries.get(self.head) if self.head else None
        self.ramp = Ramp(str(head_entry.digest) if head_entry else "")
        self.withdrawn = head_entry is None or bool(head_entry.yanked or head_entry.recall)
        requires = head_entry.release.requires if head_entry else None
        self.alike = not (
            self.risks
            or _is_required(world, bundle)
            or not (head_entry and all(each.knows_any(head_entry.signed_by) for each in world.every_trusted()))
            or (requires and (requires.kubernetes or requires.flux or requires.bundles))
            or (self.rollout is not None and self.rollout.status in WITHDRAWN)
        )
        self.deadlines = self._deadlines()
        self._wishes: dict[object, Wish] = {}
        self._composed: dict[object, tuple[BundleState | None, tuple[Reason, ...]]] = {}
        self._hops: dict[object, Version | None] = {}
        self._open: dict[tuple[Schedule, str, datetime | None], Reason | None] = {}

    def _deadlines(self) -> dict[Version, datetime]:
        """Return when each release promoted here can no longer be deferred, where its class has a deadline."""
        spans, track = self.channel.policy.deadlines, self.channel.tracks.get(self.bundle)
        found: dict[Version, datetime] = {}
        for step in track.history if spans and track else ():
            entry = self.entries.get(step.release)
            span = spans.get(entry.release.release_class) if entry and not (entry.yanked or entry.recall) else None
            if span is not None:
                found.setdefault(step.release, step.given.since + span)
        return found

    def go_on(self, rollout: Rollout | None) -> None:
        """Set what the rollout is now, and since when offers belong to what is under way."""
        self.rollout: Rollout | None = rollout
        self.is_over = rollout is not None and rollout.status is RolloutStatus.FINISHED
        self.started = int((rollout.started if self.is_over else rollout.phase).timestamp()) if rollout else 0

    @property
    def is_proven(self) -> bool:
        """Return whether the head was well wherever its rollout gave it."""
        rollout = self.rollout
        return rollout is None or (rollout.through is not None and rollout.status not in WITHDRAWN)

    def was_good(self, release: Version) -> bool:
        """Return whether a release was through here, and did not end badly."""
        is_through = release in self.promoted and release not in self.failed
        return is_through and (release != self.head or self.is_proven)

    def is_recalled(self, current: BundleState | None) -> bool:
        """Return whether the release that a data plane is on was recalled."""
        entry = self.entries.get(current.release) if current is not None else None
        return entry is not None and entry.recall is not None

    def may_take_back(self, plane: DataPlane, current: BundleState | None) -> bool:
        """Return whether what a data plane was offered could be taken back, were the rollout to halt now."""
        if self.rollout is None or current is None or current.since < self.started:
            return False
        return self.rollout.strategy.on_halt is OnHalt.ROLLBACK or not is_taken(plane, current)

    def freeze_on(self, name: PDPName) -> Freeze | None:
        """Return a freeze that covers a data plane, if any."""
        if not self.freezes:
            return None
        return next((each for each in self.freezes if each.scope.covers_plane(name)), None)

    def wish(self, plane: DataPlane, current: BundleState | None) -> Wish:
        """Return what a data plane should get."""
        key = self._key(plane, current) if current is not None else None
        if key is None:
            return self._wish(plane, current)
        found = self._wishes.get(key)
        if found is None:
            found = self._wish(plane, current)
            if all(reason.code == "window" for reason in found.reasons):  # others may name the data plane
                self._wishes[key] = found
        return found

    def _key(self, plane: DataPlane, current: BundleState) -> object:
        """Return what decides for one of the many data planes that nothing sets apart; ``None`` for the others."""
        registration, providers = plane.registration, [*current.components.values()]
        ordinary = (
            self.alike
            and not (plane.holds or plane.pins or current.removing or registration.ask)
            and registration.follows(self.bundle)
            and (entry := self.entries.get(current.release)) is not None
            and not entry.yanked
            and len(providers) == len(entry.release.components)
            and providers.count(current.release) == len(providers)
        )
        if not ordinary:
            return None
        windows = registration.windows
        possible = possible_releases(plane, current)
        return (possible, windows) if windows.allow or windows.deny else possible

    def _wish(self, plane: DataPlane, current: BundleState | None) -> Wish:
        if not plane.registration.follows(self.bundle):
            text = f"{plane.name} no longer subscribes to {self.bundle}; what runs stays"
            bundles = " ".join(f"--bundle {each}" for each in (*plane.registration.bundles, self.bundle))
            who = registrar(plane.name.org, f"ums pdp set {plane.name} {bundles} --reason …")
            return Wish.stay(Reason("unsubscribed", text, None, who))
        found = self._target(plane, current)
        if isinstance(found, Wish):
            return found
        target, road, reasons = found
        return self._towards(plane, current, target, road, reasons)

    def _target(self, plane: DataPlane, current: BundleState | None) -> _Target | Wish:
        """Return the release a data plane should be on: by hold, recall, pin, or as the channel's head."""
        own = find_hold(plane, None, self.bundle, self.now)
        # A channel held at its head goes there in waves, like any other.
        held = self.hold if self.hold is not None and self.hold.release != self.head else None
        hold = own or held
        pin = find_pin(plane, self.bundle, None, self.now)
        entry = self.entries.get(current.release) if current else None
        if current is not None and entry is not None and entry.recall is not None:
            return self._recalled(plane, current, entry, own=own, pin=pin)
        if hold is None and current is not None and entry is not None and entry.yanked:
            back = self._taken_back(plane, current, f"it was yanked: {entry.yanked}", who=unyanker(entry.release.name))
            if back is not None:
                return back
        if hold is not None:
            why = hold_reason(hold, plane.name if own else self.channel.name)
            return hold.release, Road.ORDERED, (why,) if self.head != hold.release else ()
        if self.head is None:
            text = f"no release of {self.bundle} was promoted to {self.channel.name} yet"
            return Wish.stay(Reason("nothing-promoted", text))
        return self._pinned(plane, pin, current) if pin is not None else self._followed(plane, current, self.head)

    def _followed(self, plane: DataPlane, current: BundleState | None, head: Version) -> _Target | Wish:
        if current is not None and current.release <= head and (back := self._withdrawn(plane, current)):
            return back
        if current is not None and head < current.release:
            text = (
                f"{plane.name} has {self.bundle}@{current.release}, newer than {head} in {self.channel.name}; "
                "following a channel never downgrades"
            )
            who = None
            if head in self.entries and not blocked_way_back(self.world, self.bundle, current.release, head):
                command = f"ums rollback {plane.name} {self.bundle} --to {head} --reason …"
                who = operator(plane.name.org, command)
            return Wish.stay(Reason("ahead-of-channel", text, None, who))
        return head, self._road, ()

    @property
    def _road(self) -> Road:
        """Return by which road data planes get to the head."""
        return Road.DUE if self.rollout is None else Road.FOLLOW

    def _recalled(
        self, plane: DataPlane, current: BundleState, entry: CatalogEntry, *, own: Hold | None, pin: Pin | None
    ) -> _Target | Wish:
        assert entry.recall is not None  # noqa: S101 - asked for by the caller
        recall, to = entry.recall, self._recalled_to(entry.recall.to)
        hold, holder = own or self.hold, plane.name if own else self.channel.name
        text = f"{entry.release.name} was recalled by {recall.given.by}: {recall.given.reason}"
        if hold is not None and hold.release != current.release:
            return hold.release, Road.ORDERED, (hold_reason(hold, holder),)
        if hold is not None:
            why = f"{text}; a hold keeps it here, which is dangerous"
            return Wish.stay(Reason("recalled", why, _end(hold.given), hold_owner(hold, holder)))
        if pin is not None and to not in pin.versions:
            why = f"{text}; a pin keeps it here, which is dangerous"
            return Wish.stay(Reason("recalled", why, _end(pin.given), pin_owner(pin, plane.name)))
        if self.head is not None and self.head > current.release and self.is_proven and pin is None:
            return self.head, self._road, ()
        # The head goes through its waves, also as a way out.
        return to, self._road if to == self.head else Road.DUE, ()

    def _recalled_to(self, version: Version) -> Version:
        """Return where a recall leads in the end: what it names may have been recalled since."""
        seen: set[Version] = set()
        while version not in seen and (entry := self.entries.get(version)) is not None and entry.recall is not None:
            seen.add(version)
            version = entry.recall.to
        return version

    def _pinned(self, plane: DataPlane, pin: Pin, current: BundleState | None) -> _Target | Wish:
        assert self.head is not None  # noqa: S101 - asked for by the caller
        allowed = [
            version
            for version in self.promoted
            if version <= self.head
            and version in pin.versions
            and (version not in self.failed or (current is not None and current.release == version))
            and not (
                (entry := self.entries.get(version)) and entry.yanked and (not current or current.release != version)
            )
        ]
        if not allowed:
            return Wish.stay(pin_reason(pin, plane.name, ()))
        target = allowed[-1]
        if target == self.head:
            if current is not None and current.release <= target and (back := self._withdrawn(plane, current)):
                return back
            return target, self._road, ()
        return target, Road.DUE, (pin_reason(pin, plane.name, allowed),)

    def _withdrawn(self, plane: DataPlane, current: BundleState) -> _Target | None:
        """Return where one goes back to whose rollout ended badly, if it must: from a hop only if it did not take it.

        The hop itself is a good release, it was through long before.
        """
        rollout = self.rollout
        if rollout is None or rollout.status not in WITHDRAWN or current.since < self.started:
            return None
        all_go_back = rollout.status is RolloutStatus.ROLLED_BACK and current.release == rollout.release
        who = resumer(rollout, self.channel.name, self.bundle)
        return self._taken_back(plane, current, rollout.given.reason, who=who, taken_too=all_go_back)

    def _taken_back(
        self, plane: DataPlane, current: BundleState, why: str, *, who: str | None, taken_too: bool = False
    ) -> _Target | None:
        """Return where one goes back to whose offer is taken back, if it must.

        It need not if it took it, had nothing earlier, or is pinned to what is newer than that.
        """
        back = current.origins[0] if current.origins else None
        if back is None or back >= current.release or (is_taken(plane, current) and not taken_too):
            return None
        pin = find_pin(plane, self.bundle, None, self.now)
        if pin is not None and back not in pin.versions:
            return None
        text = f"the offer of {ReleaseName(self.bundle, current.release)} was withdrawn: {why}"
        return back, Road.ORDERED, (Reason("rolled-back" if taken_too else "withdrawn", text, None, who),)

    def _towards(
        self,
        plane: DataPlane,
        current: BundleState | None,
        target: Version,
        road: Road,
        reasons: tuple[Reason, ...],
    ) -> Wish:
        if target not in self.entries:
            text = f"{ReleaseName(self.bundle, target)} is not in the catalog"
            return Wish.stay(*reasons, Reason("no-release", text))
        hop: Version | Reason = target
        if self.entries[target].yanked and (current is None or target != current.release):
            return Wish.stay(*reasons, yank_reason(self.entries[target]))
        if current is not None and target != current.release:
            hop = self._hop(plane, current, target)
        if isinstance(hop, Reason):
            # Not confirmed yet is no fault of its own: its wave waits for it.
            return Wish(None, (*reasons, hop), road, open=hop.code == "unconfirmed")
        return self._to(plane, current, hop, target=target, road=road, reasons=reasons)

    def _to(
        self,
        plane: DataPlane,
        current: BundleState | None,
        hop: Version,
        *,
        target: Version,
        road: Road,
        reasons: tuple[Reason, ...],
    ) -> Wish:
        if (current is None or hop != current.release) and (against := self._barred(plane, current, hop)):
            return Wish.stay(*reasons, against)
        after, more = self._compose(plane, current, hop)
        reasons = (*reasons, *more)
        if after is None:
            return Wish.stay(*reasons)
        if after == current:
            return Wish(None, reasons, road)
        removes = current is not None and hop == current.release and bool(current.removing)
        if road is Road.ORDERED or removes:
            return Wish(after, reasons, Road.ORDERED, removes=road is not Road.ORDERED)
        if current is not None and hop == current.release and not _follows(current, after):
            road = Road.DUE
        own = self._own_reasons(plane, current, target, hop)
        fallback = self._fallback(plane) if current is None and road is Road.FOLLOW else None
        soon = bool(own) and all(reason.code == "window" for reason in own)
        return Wish(after, (*reasons, *own), road, open=not own, soon=soon, fallback=fallback)

    def _hop(self, plane: DataPlane, current: BundleState, target: Version) -> Version | Reason:
        """Return the next release on the way, or why there is no way now."""
        possible = possible_releases(plane, current)
        key = (possible, target)
        if key not in self._hops:
            self._hops[key] = self._way(possible, target)
        hop = self._hops[key]
        if hop is not None and hop != current.release:
            return hop
        name = ReleaseName(self.bundle, target)
        if hop is not None or self._way((current.release,), target) is not None:
            text = f"{plane.name} must be well on {self.bundle}@{current.release} before it goes on to {target}"
            return Reason("unconfirmed", text)
        stranded = self._graph(target).stranded([current.release], target)
        why = stranded.get(current.release, "nothing promoted here leads there")
        text = f"there is no way from {self.bundle}@{current.release} to {name}: {why}"
        return Reason("no-path", text)

    def _way(self, possible: tuple[Version, ...], target: Version) -> Version | None:
        graph = self._graph(target)
        if target > max(possible):
            return graph.next_hop(frozenset(possible), target)
        # Back, for some of what it may be on; forward, perhaps, for the rest.
        return target if all(each >= target or graph.edge(each, target) for each in possible) else None

    def _graph(self, target: Version) -> Graph:
        """Return the ways to a release; one that was never promoted here may be its own last hop, and nobody else's."""
        key = None if target in self.promoted else target
        if key not in self._graphs:
            self._graphs[key] = Graph.of(self.entries, {*self.promoted, target} if key else self.promoted)
        return self._graphs[key]

    def _barred(self, plane: DataPlane, current: BundleState | None, hop: Version) -> Reason | None:
        case = Case(self.world, plane, self.channel, self.bundle, current, self.now)
        for was in possible_releases(plane, current) if current else (None,):
            against = barred(case, hop, was)
            if against is not None:
                return against
        return None

    def _compose(
        self, plane: DataPlane, current: BundleState | None, release: Version
    ) -> tuple[BundleState | None, tuple[Reason, ...]]:
        case = Case(self.world, plane, self.channel, self.bundle, current, self.now)
        key: object = None
        if not (plane.holds or plane.pins) and (current is None or not current.removing):
            key = (release, current.release, tuple(current.components.items())) if current else release
            found = self._composed.get(key)
            if found is not None:
                return self._with_origins(plane, current, found[0]), found[1]
        after, reasons = compose(case, self.entries[release].release)
        composed = after, tuple(reasons)
        if key is not None:
            self._composed[key] = composed
        return self._with_origins(plane, current, after), composed[1]

    def _with_origins(
        self, plane: DataPlane, current: BundleState | None, after: BundleState | None
    ) -> BundleState | None:
        if current is None or after is None or after == current:
            return after
        origins = tuple(dict.fromkeys(each for each in possible_releases(plane, current) if each != after.release))
        return replace(after, since=0, origins=origins)

    def _fallback(self, plane: DataPlane) -> BundleState | None:
        baseline = self.rollout.baseline if self.rollout and self.rollout.catch_up is None else None
        entry = self.entries.get(baseline) if baseline else None
        if baseline is None or entry is None or entry.yanked or entry.recall:
            return None
        return self._compose(plane, None, baseline)[0]

    def _own_reasons(
        self, plane: DataPlane, current: BundleState | None, target: Version, hop: Version
    ) -> tuple[Reason, ...]:
        """Return what keeps this data plane, and perhaps no other, from a release now."""
        registration = plane.registration
        release = self.entries[hop].release
        reasons: list[Reason] = []
        if current is None or hop != current.release:
            reasons += unmet_by(self.world, plane, release)
            reasons += unknown_keys(self.world, plane, self.entries[hop])
            reasons += self._risks_of(plane, current, hop)
        deadline = self._deadline(current.release if current else None, target)
        late = deadline is not None and self.now >= deadline
        if (current is None or hop != current.release) and not late:
            reasons += self._consent(plane, hop, release.release_class, deadline)
        if (closed := self._closed(self.channel.policy.windows, f"of the policy of {self.channel.name}")) is not None:
            reasons.append(closed)
        if not late and (closed := self._closed(registration.windows, "of its registration", deadline)) is not None:
            reasons.append(closed)
        return tuple(reasons)

    def _risks_of(self, plane: DataPlane, current: BundleState | None, hop: Version) -> list[Reason]:
        if not self.risks:
            return []
        accepted = {each.risk for each in plane.accepted if each.given.active(self.now)}
        versions: dict[str, Version] = {}
        complete = True
        for component, provider in current.components.items() if current else ():
            entry = self.entries.get(provider)
            found = entry.release.component(component) if entry else None
            complete = complete and found is not None
            if found is not None:
                versions[component] = found.version
        reasons = []
        for risk in self.risks:
            if risk.name in accepted:
                continue
            answers = {
                exposure(
                    risk,
                    labels=plane.registration.labels,
                    facts=plane.facts,
                    components=versions,
                    coming_from=origin,
                    target=hop,
                )
                for origin in (possible_releases(plane, current) if current else (None,))
            }
            worst = Exposure.EXPOSED if Exposure.EXPOSED in answers else Exposure.CLEAR
            if worst is Exposure.CLEAR and (Exposure.UNKNOWN in answers or (risk.components and not complete)):
                worst = Exposure.UNKNOWN
            if worst is not Exposure.CLEAR:
                reasons.append(risk_reason(risk, worst, plane.name))
        return reasons

    def _deadline(self, current: Version | None, target: Version) -> datetime | None:
        """Return when owners can no longer defer: the first deadline of all releases on the way to the target.

        So a newer promotion gives nobody new time, and a hop on the way to a fix is as urgent as the fix.
        """
        if not self.deadlines:
            return None
        if current is None:
            return self.deadlines.get(target)
        return min((at for version, at in self.deadlines.items() if current < version <= target), default=None)

    def _consent(
        self, plane: DataPlane, hop: Version, release_class: ReleaseClass, deadline: datetime | None
    ) -> tuple[Reason, ...]:
        registration = plane.registration
        if not registration.ask or release_class in registration.standing_consent:
            return ()
        if any(
            (each.bundle, each.release) == (self.bundle, hop) and each.given.active(self.now) for each in plane.consents
        ):
            return ()
        name = ReleaseName(self.bundle, hop)
        return (
            Reason(
                "consent",
                f"the owner of {plane.name} has not consented to {name}",
                to_text(deadline) if deadline else None,
                operator(plane.name.org, f"ums consent {plane.name} {name} --reason …"),
            ),
        )

    def _closed(self, schedule: Schedule, whose: str, deadline: datetime | None = None) -> Reason | None:
        """Return that a window is closed, until it opens or, if that is earlier, its owner can no longer defer."""
        if not (schedule.allow or schedule.deny):
            return None
        key = schedule, whose, deadline
        if key not in self._open:
            reason = None
            if not schedule.is_open(self.now):
                opening = schedule.next_opening(self.now)
                end = min((each for each in (opening, deadline) if each is not None), default=None)
                text = f"the maintenance window {whose} is closed; it governs when a release is offered"
                never = "" if end else ", and does not open within a year"
                reason = Reason("window", f"{text}{never}", to_text(end) if end else None)
            self._open[key] = reason
        return self._open[key]


def _end(given: Given) -> str | None:
    return to_text(given.until) if given.until else None


def _follows(current: BundleState, after: BundleState) -> bool:
    """Return whether a component goes on to the release that its data plane is on already, since nothing holds it."""
    return any(
        provider == after.release and current.components.get(name) != provider
        for name, provider in after.components.items()
    )


def unmet_by(world: World, plane: DataPlane, release: Release) -> tuple[Reason, ...]:
    """Return what a release requires and a data plane lacks, and what runs there and would not bear it."""
    states = plane.desired.bundles if plane.desired else {}
    others = {name: possible_releases(plane, state) for name, state in states.items() if name != release.bundle}
    surest = {name: versions[0] for name, versions in others.items()}
    neighbours = (
        entry.release
        for name, versions in others.items()
        for version in versions
        if (entry := world.catalog.get(name, {}).get(version))
    )
    return (
        *unmet(release.requires, plane.facts, surest, plane.name),
        *broken(release, neighbours),
    )


def unknown_keys(world: World, plane: DataPlane, entry: CatalogEntry) -> tuple[Reason, ...]:
    """Return why a data plane's Flux would refuse a release: it knows, or may know, none of the keys that signed it."""
    state = plane.state_of(TRUST)
    if state is None:
        return ()  # bootstrap brings what it is offered first
    if all(world.trusted_by(each).knows_any(entry.signed_by) for each in possible_releases(plane, state)):
        return ()
    text = (
        f"{plane.name} may not know {' or '.join(entry.signed_by)} yet, which alone signed {entry.release.name}; "
        f"a release of {TRUST} must bring it first"
    )
    return (Reason("key-not-known", text),)


def _is_required(world: World, bundle: str) -> bool:
    """Return whether any release of another bundle requires this one."""
    return any(
        bundle in entry.release.requires.bundles
        for name, entries in world.catalog.items()
        if name != bundle
        for entry in entries.values()
    )


def find_hold_of_channel(channel: Channel, bundle: str, now: datetime) -> Hold | None:
    """Return the hold in force on a whole channel."""
    return next(
        (hold for hold in channel.holds if hold.bundle == bundle and not hold.component and hold.given.active(now)),
        None,
    )
