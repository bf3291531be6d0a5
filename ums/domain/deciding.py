"""The brain: what every data plane should get now, and why the others do not move.

``decide`` is a pure function of the world and the time. The loop, ``ums plan``, ``ums explain`` and every verb that
changes something call it; nothing else decides. Its unit is (data plane, bundle), with overrides per component.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from operator import attrgetter
from typing import Any

from ums.domain.channels import Channel
from ums.domain.clock import accepted_from
from ums.domain.errors import Reason
from ums.domain.fleet import BundleState, DataPlane, Desired
from ums.domain.instants import to_text
from ums.domain.lanes import Lane, Road, Wish
from ums.domain.names import PDPName
from ums.domain.owners import administrator
from ums.domain.release import ReleaseName
from ums.domain.rollouts import (
    IN_FLIGHT,
    WITHDRAWN,
    Member,
    Pace,
    Progress,
    Rollout,
    RolloutStatus,
    advance,
    assign,
    is_past_canary,
    is_taken,
    never_well,
    offered_at,
    position,
    ramp_limit,
    ramp_time,
    status_reason,
    wave_reason,
)
from ums.domain.tailoring import has_values, tailored, waiting
from ums.domain.version import Version
from ums.domain.world import World


@dataclass(frozen=True, slots=True)
class Move:
    """A data plane goes to another state of a bundle, by some road; ``before`` is ``None`` at first install."""

    pdp: PDPName
    bundle: str
    before: BundleState | None
    after: BundleState
    road: Road = Road.DUE

    def to_dict(self) -> dict[str, Any]:
        """Return the form used in API answers."""
        return {
            "pdp": str(self.pdp),
            "bundle": self.bundle,
            "before": self.before.to_dict() if self.before else None,
            "after": self.after.to_dict(),
            "road": self.road.name.lower(),
        }


@dataclass(frozen=True, slots=True)
class Withheld:
    """A data plane does not get what its channel has, wholly or in part, and why.

    Attributes:
        goal: the state that it goes to once the reasons have ended; ``None`` to stay.
        in_turn: nothing but its turn keeps it from there.

    """

    pdp: PDPName
    bundle: str
    reasons: tuple[Reason, ...]
    goal: BundleState | None = field(default=None, compare=False)
    in_turn: bool = field(default=False, compare=False)

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
            moves, that its channel or its own values changed, or that its last offer is half way to its end.
        rollouts: by channel and bundle, each rollout that is to go on, halt or end.
        members: by channel and bundle, the data planes of each rollout that is not finished.

    """

    moves: tuple[Move, ...]
    withheld: tuple[Withheld, ...]
    offers: Mapping[PDPName, Mapping[str, BundleState]]
    rollouts: Mapping[tuple[str, str], Rollout]
    members: Mapping[tuple[str, str], tuple[Member, ...]]

    def for_orgs(self, orgs: Collection[str] | None) -> Plan:
        """Return the plan without other organizations' data planes; ``None`` leaves it whole."""
        if orgs is None:
            return self
        return replace(
            self,
            moves=tuple(each for each in self.moves if each.pdp.org in orgs),
            withheld=tuple(each for each in self.withheld if each.pdp.org in orgs),
            offers={name: offer for name, offer in self.offers.items() if name.org in orgs},
            members={
                key: tuple(each for each in members if each.name.org in orgs) for key, members in self.members.items()
            },
        )


NOTHING = Plan((), (), {}, {}, {})
_BY_NAME = attrgetter("registration.name.org", "registration.name.pdp")
_BY_PLANE = attrgetter("pdp.org", "pdp.pdp", "bundle")


def decide(world: World, now: datetime) -> Plan:
    """Return what every data plane should get at ``now``."""
    by_channel: dict[str, list[DataPlane]] = {}
    for plane in sorted(world.planes.values(), key=_BY_NAME):
        by_channel.setdefault(plane.registration.channel, []).append(plane)
    turns = [_Turn(world, name, planes, now) for name, planes in sorted(by_channel.items())]
    idle = [_Turn(world, name, [], now) for name in world.channels if name not in by_channel]
    moves: list[Move] = []
    withheld: list[Withheld] = []
    rollouts: dict[tuple[str, str], Rollout] = {}
    members: dict[tuple[str, str], tuple[Member, ...]] = {}
    for turn in (*turns, *idle):
        turn.take()
        moves += turn.moves
        withheld += turn.withheld
        for bundle, lane in turn.lanes.items():
            known = turn.channel.rollouts.get(bundle) if turn.channel else None
            if lane.rollout is not None and lane.rollout != known:
                rollouts[turn.name, bundle] = lane.rollout
        members |= {(turn.name, bundle): tuple(found) for bundle, found in turn.members.items()}
    return Plan(tuple(moves), tuple(withheld), _offers(world, moves, now), rollouts, members)


def decide_about(
    world: World, now: datetime, name: PDPName
) -> tuple[Mapping[str, Move], Mapping[str, tuple[Reason, ...]]]:
    """Return what ``decide`` has for one data plane, by bundle: its moves, and the reasons why it gets no more.

    Others of its channel are looked at only where it depends on them, and no further than that takes.

    Raises:
        NotFoundError: it is not registered.

    """
    plane = world.plane(name)
    channel = plane.registration.channel
    turn = _Turn(world, channel, [plane], now)
    turn.take()
    if turn.needs_others(plane):
        neighbours = [each for each in world.planes.values() if each.registration.channel == channel]
        turn = _Turn(world, channel, sorted(neighbours, key=_BY_NAME), now)
        turn.take(about=plane)
    moves = {each.bundle: each for each in turn.moves if each.pdp == name}
    return moves, {each.bundle: each.reasons for each in turn.withheld if each.pdp == name}


def _offers(world: World, moves: Iterable[Move], now: datetime) -> dict[PDPName, Mapping[str, BundleState]]:
    offers: dict[PDPName, dict[str, BundleState]] = {}
    for move in moves:
        desired = world.planes[move.pdp].desired
        offers.setdefault(move.pdp, dict(desired.bundles) if desired else {})[move.bundle] = move.after
    young = now - world.settings.validity * _FIRST_RENEWAL
    for name, plane in world.planes.items():
        desired, own = plane.desired, has_values(plane)
        if plane.is_ahead(now):
            continue
        fresh = desired is not None and desired.channel == plane.registration.channel and desired.issued > young
        if fresh and not own:
            continue
        before = desired.bundles if desired else {}
        if name not in offers and (desired is None or _is_old(plane, desired, world.settings.validity, now)):
            offers[name] = dict(before)
        if own:
            after = tailored(world, plane, offers.get(name, before), now)
            if name in offers or any(after[bundle].values != state.values for bundle, state in before.items()):
                offers[name] = after
    return {**offers}


_FIRST_RENEWAL = 0.4
"""Part of an offer's life after which the first are renewed; the last are half way, or a batch later."""
_EPOCH = datetime.fromtimestamp(0, UTC)
_BATCHES = 168
"""To an offer's life: offers are renewed by the hour where they last a week, however often the loop looks."""


def _is_old(plane: DataPlane, desired: Desired, life: timedelta, now: datetime) -> bool:
    """Return whether an offer is to be issued again as it is: for another channel, or by age.

    Data planes that moved together are not renewed together; those that come about the same time are, in one commit.
    """
    share = _FIRST_RENEWAL + (0.5 - _FIRST_RENEWAL) * position("renewal", plane.name, None)
    due, batch = desired.issued + life * share, life / _BATCHES
    return desired.channel != plane.registration.channel or now >= due + (_EPOCH - due) % batch


@dataclass(slots=True)
class _Candidate:
    """A data plane that would move, if its turn comes."""

    plane: DataPlane
    lane: Lane
    current: BundleState | None
    wish: Wish
    member: Member | None = None
    after: BundleState | None = None

    @property
    def turn(self) -> tuple[int, int, bool, float]:
        """Return its place in the queue; among equals, the order of their names stays."""
        member = self.member
        if member is None:
            return self.wish.road, 0, False, 0.0
        return self.wish.road, member.wave, member.silent, member.position


class _Turn:
    """One channel: who moves this time."""

    def __init__(self, world: World, name: str, planes: list[DataPlane], now: datetime) -> None:
        self.world = world
        self.name = name
        self.planes = planes
        self.now = now
        self.channel: Channel | None = world.channels.get(name)
        self.moves: list[Move] = []
        self.withheld: list[Withheld] = []
        self.lanes: dict[str, Lane] = {}
        self.members: dict[str, list[Member]] = {}
        self._candidates: list[_Candidate] = []
        self._reasons: dict[object, tuple[Reason, ...]] = {}
        self._sizes: dict[str, int] = {}
        self._first: dict[tuple[str, Version], tuple[Reason, ...]] = {}
        self._proven: dict[tuple[str, Version], bool] = {}

    def take(self, about: DataPlane | None = None) -> None:
        """Work out moves, reasons and rollouts; ``about`` one data plane, moves and reasons of that alone."""
        if self.channel is None:
            self._without_channel()
            return
        for bundle in self.channel.rollouts:
            self._lane(bundle)
        for plane in self.planes:
            self._consider(plane)
        for bundle, lane in self.lanes.items():
            self._advance(bundle, lane)
            if lane.is_over:
                del self.members[bundle]
        self._serve(about)
        self._withhold_values()
        self.withheld.sort(key=_BY_PLANE)
        self.moves.sort(key=_BY_PLANE)

    def needs_others(self, plane: DataPlane) -> bool:
        """Return whether what was worked out for a data plane alone could be otherwise beside the others.

        Who moves shares a limit with them. In a rollout that runs they decide which wave has come, and whether it
        halts: that concerns whoever wishes to move, or may have to go back.
        """
        if self.channel is None:
            return False
        if self.moves:
            return True
        running = {
            bundle
            for bundle, rollout in self.channel.rollouts.items()
            if self.lanes[bundle].frozen is None and rollout.status in _GOING_ON
        }
        if any(each.lane.bundle in running and each.wish.after is not None for each in self._candidates):
            return True
        offered = plane.desired.bundles if plane.desired else {}
        # One that is over halts without taking anything back.
        left = (self.lanes[bundle] for bundle in running if not self.lanes[bundle].is_over)
        return any(lane.may_take_back(plane, offered.get(lane.bundle)) for lane in left)

    def _without_channel(self) -> None:
        reason = Reason("no-channel", f"channel {self.name} does not exist or its files are wrong")
        for plane in self.planes:
            for bundle in self._bundles(plane):
                self.withheld.append(Withheld(plane.name, bundle, (reason,)))

    def _bundles(self, plane: DataPlane) -> tuple[str, ...]:
        subscribed = self.world.bundles_of(plane)
        left = [each for each in plane.desired.bundles if each not in subscribed] if plane.desired else None
        return (*subscribed, *left) if left else subscribed

    def _lane(self, bundle: str) -> Lane:
        if bundle not in self.lanes:
            assert self.channel is not None  # noqa: S101 - checked by take
            lane = self.lanes[bundle] = Lane(self.world, self.channel, bundle, self.now)
            if lane.rollout is not None:
                self.members[bundle] = []
        return self.lanes[bundle]

    def _consider(self, plane: DataPlane) -> None:
        for bundle in self._bundles(plane):
            lane = self.lanes.get(bundle) or self._lane(bundle)
            current = plane.state_of(bundle)
            wish, member = lane.wish(plane, current), None
            members = self.members.get(bundle)
            if members is not None and (not lane.is_over or _concerns(plane, current, wish)):
                member = _member(lane, plane, current, wish)
                if member is not None:
                    members.append(member)
                    if member.again and current is not None:
                        wish = Wish(replace(current, since=0), wish.reasons)
            if wish.after is not None or wish.reasons:
                self._candidates.append(_Candidate(plane, lane, current, wish, member))

    def _advance(self, bundle: str, lane: Lane) -> None:
        members = self.members.get(bundle)
        if members is None or lane.rollout is None:
            return
        if lane.frozen is not None or lane.withdrawn:
            assign(lane.rollout, members)
            return
        if lane.is_over and any(each.progress is Progress.FAILED for each in members):
            members += self._answered(lane, {each.name for each in members})
        before, after = lane.rollout, advance(lane.rollout, members, self.now)
        lane.go_on(after)
        if after.status in WITHDRAWN and after.status is not before.status:
            lane.alike = False  # from here on, what was offered and what was taken set data planes apart
            others = [each for each in self._candidates if each.lane is not lane]
            self._candidates = [*others, *self._reconsidered(lane, {each.name: each for each in members})]

    def _answered(self, lane: Lane, known: Collection[PDPName]) -> Iterator[Member]:
        """Yield who else took what a finished rollout offered, and was well: failures are a share of all."""
        for plane in self.planes:
            current = plane.state_of(lane.bundle)
            if plane.name not in known and current is not None and is_taken(plane, current):
                member = _member(lane, plane, current, Wish(None))
                if member is not None:
                    member.progress = Progress.SUCCEEDED
                    yield member

    def _reconsidered(self, lane: Lane, members: Mapping[PDPName, Member]) -> Iterator[_Candidate]:
        """Yield who would move after all now that a rollout ended badly."""
        for plane in self.planes:
            if lane.bundle in self._bundles(plane):
                current = plane.state_of(lane.bundle)
                wish = lane.wish(plane, current)
                if wish.after is not None or wish.reasons:
                    yield _Candidate(plane, lane, current, wish, members.get(plane.name))

    def _ready(self, candidates: Iterable[_Candidate]) -> list[_Candidate]:
        """Return those who can move at once, and withhold it from the others."""
        ready: list[_Candidate] = []
        for each in candidates:
            if each.plane.is_ahead(self.now):
                self._withhold(each, self._ahead(each.plane))
                continue
            wish, against = each.wish, self._against(each)
            each.after = wish.after if wish.open else None
            if wish.fallback is not None and (against or not wish.open):
                each.after, against = wish.fallback, _frozen(each)
            if each.after is not None and not against:
                ready.append(each)
            else:
                self._withhold(each, against)
        return ready

    def _serve(self, about: DataPlane | None) -> None:
        """Let candidates move, in their order, while few enough are between versions."""
        if about is not None and not self._ready(each for each in self._candidates if each.plane is about):
            return
        self.withheld.clear()  # of what was asked about one alone: here it comes again
        ready = self._ready(self._candidates)
        if not ready:
            return
        assert self.channel is not None  # noqa: S101 - checked by take
        limit = max(self.channel.policy.rollout.max_updating.at_most(len(self.planes)), 1)
        moving = self._in_flight()
        for each in sorted(ready, key=attrgetter("turn")):
            wish, name, after = each.wish, each.plane.name, each.after
            if wish.road is not Road.ORDERED and len(moving) >= limit and name not in moving:
                self._withhold(each, self._busy(len(moving), limit))
                continue
            assert after is not None  # noqa: S101 - or it were not ready
            road = wish.road if after is wish.after else Road.DUE
            if road is Road.DUE and (against := self._after_first(each, after)):
                self._withhold(each, against)
                continue
            moving.add(name)
            self.moves.append(Move(name, each.lane.bundle, each.current, after, road))
            self._withhold(each, ())

    def _withhold(self, each: _Candidate, against: tuple[Reason, ...]) -> None:
        """Say why it does not get all that its channel has, if so."""
        wish = each.wish
        if reasons := wish.reasons + against:
            in_turn = wish.open and all(reason.code in _TURN for reason in against)
            self.withheld.append(Withheld(each.plane.name, each.lane.bundle, reasons, wish.after, in_turn))

    def _withhold_values(self) -> None:
        """Say whose own values wait, and for what."""
        for plane in self.planes:
            for bundle, freeze in waiting(self.world, plane, self.now) if has_values(plane) else ():
                known = next((each for each in self.withheld if (each.pdp, each.bundle) == (plane.name, bundle)), None)
                if known is None:
                    self.withheld.append(Withheld(plane.name, bundle, (freeze.reason,)))
                elif freeze.reason not in known.reasons:
                    self.withheld.remove(known)
                    self.withheld.append(replace(known, reasons=(*known.reasons, freeze.reason)))

    def _ahead(self, plane: DataPlane) -> tuple[Reason, ...]:
        """Return why a data plane is offered nothing whose next serial every cluster would refuse."""
        text = "its last serial is further ahead of the clock than clusters accept"
        end = accepted_from((plane.last_serial or 0) + 1)
        return (Reason("serial-ahead", text, to_text(end), administrator("ums clock accept DATA --reason …")),)

    def _against(self, each: _Candidate) -> tuple[Reason, ...]:
        """Return why this one does not move now, beyond what is its own."""
        wish, member, lane = each.wish, each.member, each.lane
        rollout = lane.rollout
        frozen = _frozen(each) if wish.after is not None and lane.freezes else ()
        if frozen or wish.after is None or wish.road is not Road.FOLLOW or rollout is None:
            return frozen
        if rollout.status not in _GOING_ON:
            return self._shared_reason(lane, None)
        if member is None or not wish.open:
            return ()
        if lane.is_over and member.progress is not None:
            rest = f"the rest of {ReleaseName(lane.bundle, rollout.release)} reaches {each.plane.name} in a catch-up"
            return (Reason("wave", f"{rest}, after it was well on what it has"),)
        if member.wave > rollout.wave or lane.is_over:
            return self._shared_reason(lane, member.wave)
        ramped = member.wave == rollout.wave and rollout.current_wave.over
        return self._ramp(lane.bundle, rollout, member) if ramped else ()

    def _shared_reason(self, lane: Lane, wave: int | None) -> tuple[Reason, ...]:
        """Return why a rollout stands, or a wave of it waits: one reason for all whom it concerns."""
        key = (lane.bundle, wave)
        if key not in self._reasons:
            rollout = lane.rollout
            assert rollout is not None  # noqa: S101 - only asked where there is one
            where = self.name, lane.bundle
            reason = (
                status_reason(rollout, *where)
                if wave is None
                else wave_reason(
                    rollout, *where, wave, proven=is_past_canary(rollout, self.members.get(lane.bundle, ()))
                )
            )
            self._reasons[key] = (reason,) if reason is not None else ()
        return self._reasons[key]

    def _ramp(self, bundle: str, rollout: Rollout, member: Member) -> tuple[Reason, ...]:
        size = self._sizes.get(bundle)
        if size is None:
            size = self._sizes[bundle] = sum(each.wave == rollout.wave for each in self.members[bundle])
        if member.rank < ramp_limit(rollout, size, self.now):
            return ()
        due = to_text(ramp_time(rollout, size, member.rank))
        return (Reason("ramp", f"wave {rollout.current_wave.name} is ramped up, and reaches it later", due),)

    def _after_first(self, each: _Candidate, after: BundleState) -> tuple[Reason, ...]:
        """Return why a data plane waits for another: beside its rollout, a release goes to one at a time.

        From a release that was recalled all go at once, as soon as one is well there or the channel once had it.
        """
        lane, release = each.lane, after.release
        if each.current is not None and each.current.release == release:
            return ()
        if lane.is_recalled(each.current) and (lane.was_good(release) or self._is_proven(lane, release)):
            return ()
        key = lane.bundle, release
        if key in self._first:
            return self._first[key]
        against = self._trying(lane, release)
        self._first[key] = against or _goes_first(each.plane.name, ReleaseName(lane.bundle, release))
        return against

    def _is_proven(self, lane: Lane, release: Version) -> bool:
        """Return whether somebody is well on a release."""
        key = lane.bundle, release
        if key not in self._proven:
            states = ((plane, plane.state_of(lane.bundle)) for plane in self.planes)
            on_it = ((plane, state) for plane, state in states if state is not None and state.release == release)
            self._proven[key] = any(lane.pace.progress(*each) is Progress.SUCCEEDED for each in on_it)
        return self._proven[key]

    def _trying(self, lane: Lane, release: Version) -> tuple[Reason, ...]:
        """Return who is not well yet on a release, and so keeps others from it."""
        assert self.channel is not None  # noqa: S101 - checked by take
        pace, title = Pace(self.channel.policy.rollout, self.now), ReleaseName(lane.bundle, release)
        answered, failed = 0, []
        for plane in self.planes:
            state = plane.state_of(lane.bundle)
            if state is None or state.release != release:
                continue
            if pace.progress(plane, state) in IN_FLIGHT:
                return _goes_first(plane.name, title)
            answered += is_taken(plane, state)
            if never_well(plane, state):
                failed.append(plane.name)
        if len(failed) <= self.channel.policy.rollout.max_failed.at_most(answered):
            return ()
        text = f"{failed[0]} failed on {title}, and was never well on it; it must be well, or taken off it"
        return (Reason("first-failed", text),)

    def _in_flight(self) -> set[PDPName]:
        """Return who is between versions because of us."""
        assert self.channel is not None  # noqa: S101 - checked by take
        pace, found = Pace(self.channel.policy.rollout, self.now), set()
        for plane in self.planes:
            for state in plane.desired.bundles.values() if plane.desired else ():
                if pace.progress(plane, state) in IN_FLIGHT:
                    found.add(plane.name)
        return found

    def _busy(self, moving: int, limit: int) -> tuple[Reason, ...]:
        if "busy" not in self._reasons:
            text = f"{moving} of {self.name} are updating, and no more than {limit} may; it comes after these"
            self._reasons["busy"] = (Reason("max-updating", text),)
        return self._reasons["busy"]


def _goes_first(name: PDPName, title: ReleaseName) -> tuple[Reason, ...]:
    text = f"{name} goes first: beside its rollout, {title} is given to one data plane at a time"
    return (Reason("first", text),)


_GOING_ON = (RolloutStatus.RUNNING, RolloutStatus.FINISHED)
_TURN = frozenset({"max-updating", "wave", "ramp", "first"})
"""Codes of the reasons that only say that others come first."""


def _frozen(each: _Candidate) -> tuple[Reason, ...]:
    freeze = each.lane.freeze_on(each.plane.name)
    return (freeze.reason,) if freeze is not None else ()


def _concerns(plane: DataPlane, current: BundleState | None, wish: Wish) -> bool:
    """Return whether a finished rollout is not over for a data plane: it comes later, or failed later."""
    late = wish.after is not None and wish.road is Road.FOLLOW
    return late or (current is not None and never_well(plane, current))


class _Half(Enum):
    """What a data plane that is well lacks of what a rollout brings it."""

    LATE = "the rollout is over without it"
    WAY = "it is on a hop on the way"
    PART = "a part was kept from it"


def _half(lane: Lane, current: BundleState, wish: Wish) -> _Half | None:
    """Return what a data plane that is well lacks of its rollout, if anything."""
    onward = wish.after is not None and wish.road is Road.FOLLOW
    if lane.is_over:
        return _Half.LATE if onward else None
    if lane.rollout is not None and current.release != lane.rollout.release:
        return _Half.WAY
    return _Half.PART if onward else None


def _member(lane: Lane, plane: DataPlane, current: BundleState | None, wish: Wish) -> Member | None:
    """Return a data plane as a member of the rollout under way, if it is one."""
    rollout, registration, now = lane.rollout, plane.registration, lane.now
    assert rollout is not None  # noqa: S101 - only asked where there is one
    tried = current is not None and current.since >= lane.started and _is_of(rollout, current, wish)
    is_there = current is not None and current.release == rollout.release
    if not tried and (wish.road is not Road.FOLLOW or (is_there and wish.after is None)):
        return None
    counts = registration.management in lane.counting
    frozen = (bool(lane.freezes) and lane.freeze_on(plane.name) is not None) or plane.is_ahead(now)
    eligible = wish.open and not frozen
    how, again, partly = None, False, False
    if tried and current is not None:
        how = lane.pace.progress(plane, current)
        if lane.is_over and wish.after is not None and current.release != rollout.release:
            how = None  # it is on a hop, and comes later, however it is doing there
        elif how is Progress.FAILED and _is_before(current, rollout.retried):
            how, again = None, True
        elif how is Progress.FAILED and _is_before(current, rollout.forgiven):
            counts = False
        if how is Progress.SUCCEEDED and (half := _half(lane, current, wish)):
            # Kept from the other half, it is where it was; else it goes on.
            how = Progress.UPDATING if half is _Half.WAY and eligible else None
            partly = half is _Half.PART
    # Who was offered it just now may still answer: another one would get it beside its canary.
    fresh = tried and current is not None and now < offered_at(current) + lane.world.settings.silent_after
    whole, heard = not (plane.holds or plane.pins), plane.report is not None or fresh
    name, silent = registration.name, _is_silent(plane, rollout, now)
    place = lane.ramp.position(name, registration.wariness, volunteer=registration.volunteer)
    # By their places: naming them would take twice as long, for each of a large fleet.
    return Member(
        name,
        registration.labels,
        silent,
        place,
        eligible,
        wish.soon or frozen,
        how,
        counts,
        again,
        partly,
        whole,
        heard,
        is_there,
    )


def _is_of(rollout: Rollout, state: BundleState, wish: Wish) -> bool:
    """Return whether a rollout offers such a state: its release, or a hop of one that is still on the way there."""
    if wish.road is Road.ORDERED and not wish.removes:
        return False
    if state.release == rollout.release:
        return True
    return wish.road is Road.FOLLOW and bool(state.origins) and state.release > max(state.origins)


def _is_before(state: BundleState, moment: datetime | None) -> bool:
    """Return whether a state was offered before a moment; a serial may share its second."""
    return moment is not None and state.since < int(moment.timestamp())


def _is_silent(plane: DataPlane, rollout: Rollout, now: datetime) -> bool:
    """Return whether nobody heard of a data plane for long."""
    desired, report, grace = plane.desired, plane.report, rollout.strategy.offline_grace
    if desired is None:
        return False
    late = now - desired.issued > grace
    if report is None:
        return late
    return now - report.heard > desired.expires - desired.issued or (report.serial < desired.serial and late)
