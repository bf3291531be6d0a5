"""Rollouts: one release on its way to the data planes of one channel, wave after wave.

What a rollout is in stands in Git; how its data planes are doing is observed. ``advance`` makes the next state of
the two, and may be asked as often as one likes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from operator import attrgetter
from typing import Any, Self

from ums.domain.errors import Reason
from ums.domain.fleet import BundleState, DataPlane, Given, Health, Report
from ums.domain.instants import duration_text, parse_instant, to_text
from ums.domain.names import PDPName
from ums.domain.owners import engineer
from ums.domain.policy import EVERYONE, Amount, OnHalt, Strategy, Wave
from ums.domain.version import Version

CATCH_UP = Wave("catch-up")
_ACTOR = "ums"
_SHOWN = 5


class RolloutStatus(StrEnum):
    """Where a rollout stands. Only a running one moves anybody forward."""

    RUNNING = "running"
    PAUSED = "paused"
    HALTED = "halted"
    ROLLED_BACK = "rolled-back"
    CANCELLED = "cancelled"
    FINISHED = "finished"


WITHDRAWN = frozenset({RolloutStatus.HALTED, RolloutStatus.ROLLED_BACK, RolloutStatus.CANCELLED})
"""Offers that were not taken yet are taken back then."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """The rollout of a channel's head.

    Attributes:
        baseline: what data planes without any release get until this one is through.
        strategy: as it was when the rollout started; editing the policy changes the next one.
        given: who made the status what it is, when and why.
        wave: index of the wave under way.
        wave_since: when it began, moved on by pauses.
        wave_done: when it succeeded, and its soak began.
        forgiven: failures of offers made before this do not count …
        retried: … and those of before this are offered again.
        failed: when it first halted, was rolled back or cancelled, whatever became of it then.
        proven: when its first wave had somebody well on it.
        through: when all its waves had succeeded.
        catch_up: since when data planes that came later go through waves of their own.

    """

    release: Version
    strategy: Strategy
    started: datetime
    given: Given
    wave_since: datetime
    baseline: Version | None = None
    status: RolloutStatus = RolloutStatus.RUNNING
    wave: int = 0
    wave_done: datetime | None = None
    forgiven: datetime | None = None
    retried: datetime | None = None
    failed: datetime | None = None
    proven: datetime | None = None
    through: datetime | None = None
    catch_up: datetime | None = None

    @classmethod
    def start(cls, release: Version, strategy: Strategy, given: Given, *, before: Rollout | None) -> Self:
        """Return the rollout of a release that was just promoted, in place of the one before."""
        if before is None:
            baseline = None
        else:
            baseline = before.release if before.through and before.status not in WITHDRAWN else before.baseline
        return cls(release, strategy, given.since, given, given.since, baseline)

    @property
    def waves(self) -> tuple[Wave, ...]:
        """Return all waves; whoever none selects is in one more, the last. In a catch-up, one goes before the others.

        Where the policy has one wave for everybody, nobody goes before the others then either.
        """
        waves = self.strategy.waves
        catches_all = waves and not waves[-1].labels and waves[-1].share is None
        waves = waves if catches_all else (*waves, EVERYONE)
        if self.catch_up is None:
            return waves
        first = Wave("catch-up canary", share=Amount("1"), soak=waves[0].soak, max_failed=waves[0].max_failed)
        return (first, CATCH_UP) if len(waves) > 1 else (CATCH_UP,)

    @property
    def phase(self) -> datetime:
        """Return when what is under way began: the rollout, or the catch-up."""
        return self.catch_up or self.started

    @property
    def current_wave(self) -> Wave:
        """Return the wave under way."""
        return self.waves[min(self.wave, len(self.waves) - 1)]

    def at_wave(self, wave: int, now: datetime) -> Self:
        """Return the rollout at the beginning of a wave, or finished after the last."""
        if wave >= len(self.waves):
            given = Given(_ACTOR, "all waves succeeded", now)
            done, through = self.wave_done or now, self.through or now
            return replace(self, status=RolloutStatus.FINISHED, given=given, wave_done=done, through=through)
        return replace(self, wave=wave, wave_since=now, wave_done=None)

    def catching_up(self, now: datetime) -> Self:
        """Return the rollout that is through begun once more, for those who came later."""
        given = Given(_ACTOR, "data planes that it did not reach catch up", now)
        return replace(self, status=RolloutStatus.RUNNING, given=given, catch_up=now).at_wave(0, now)

    def paused(self, given: Given) -> Self:
        """Return the rollout standing still."""
        return replace(self, status=RolloutStatus.PAUSED, given=given)

    def stopped(self, status: RolloutStatus, given: Given) -> Self:
        """Return the rollout halted, rolled back or cancelled."""
        return replace(self, status=status, given=given, failed=self.failed or given.since)

    def resumed(self, given: Given) -> Self:
        """Return the rollout running again; the time that it stood still counts for no ramp and no soak.

        Whoever resumes a halted one has seen the failures: they do not halt it again.
        """
        stood = given.since - self.given.since
        return replace(
            self,
            status=RolloutStatus.RUNNING,
            given=given,
            wave_since=self.wave_since + stood,
            wave_done=self.wave_done + stood if self.wave_done else None,
            forgiven=self.forgiven if self.status is RolloutStatus.PAUSED else given.since,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the wire form; ``strategy`` as people write it."""
        return {
            "release": str(self.release),
            "status": self.status.value,
            **self.given.to_dict(),
            "started": to_text(self.started),
            "baseline": str(self.baseline) if self.baseline else None,
            "wave": self.wave,
            "waveSince": to_text(self.wave_since),
            "waveDone": to_text(self.wave_done) if self.wave_done else None,
            "forgiven": to_text(self.forgiven) if self.forgiven else None,
            "retried": to_text(self.retried) if self.retried else None,
            "failed": to_text(self.failed) if self.failed else None,
            "proven": to_text(self.proven) if self.proven else None,
            "through": to_text(self.through) if self.through else None,
            "catchUp": to_text(self.catch_up) if self.catch_up else None,
            "strategy": self.strategy.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], strategy: Strategy) -> Self:
        """Read the wire form; the strategy is read by whoever reads policies."""

        def instant(name: str) -> datetime | None:
            return parse_instant(data[name]) if data.get(name) else None

        baseline = data.get("baseline")
        return cls(
            release=Version(data["release"]),
            strategy=strategy,
            started=parse_instant(data["started"]),
            given=Given.from_dict(data),
            wave_since=parse_instant(data["waveSince"]),
            baseline=Version(baseline) if baseline else None,
            status=RolloutStatus(data["status"]),
            wave=int(data["wave"]),
            wave_done=instant("waveDone"),
            forgiven=instant("forgiven"),
            retried=instant("retried"),
            failed=instant("failed"),
            proven=instant("proven"),
            through=instant("through"),
            catch_up=instant("catchUp"),
        )


class Progress(StrEnum):
    """How far a data plane is with what it was offered last."""

    OFFERED = "offered"
    UPDATING = "updating"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    OFFLINE = "offline"


IN_FLIGHT = (Progress.OFFERED, Progress.UPDATING)
ANSWERED = (Progress.UPDATING, Progress.SUCCEEDED, Progress.FAILED)


def offered_at(state: BundleState) -> datetime:
    """Return when a state was first offered: serials are unix seconds, or a little ahead of them."""
    return datetime.fromtimestamp(state.since, UTC)


def is_taken(plane: DataPlane, state: BundleState) -> bool:
    """Return whether the data plane spoke of the state, or a later one."""
    return plane.report is not None and plane.report.serial >= state.since


def never_well(plane: DataPlane, state: BundleState) -> bool:
    """Return whether a data plane failed on a state, and was never well on it."""
    report = plane.report
    failed = report is not None and report.health is Health.FAILED and report.serial >= state.since
    return failed and report is not None and report.well < state.since


class Pace:
    """How far data planes are at one time, as one strategy sees it."""

    def __init__(self, strategy: Strategy, now: datetime) -> None:
        # Serials are seconds: the many comparisons with them are done in these.
        self._now = now
        self._span = strategy.healthy_for
        self._online = now.timestamp() - strategy.offline_grace.total_seconds()
        self._well = now - strategy.healthy_for
        self._well_second = self._well.timestamp()
        self._late = now - strategy.timeout
        self._late_second = self._late.timestamp()

    def progress(self, plane: DataPlane, state: BundleState) -> Progress:
        """Return how far a data plane is; what nobody hears of is not well."""
        report, since = plane.report, state.since
        if report is None or report.serial < since:
            return Progress.OFFLINE if since < self._online else Progress.OFFERED
        if report.health is Health.FAILED:
            return Progress.FAILED
        if report.health is Health.HEALTHY:
            lasted = report.since <= self._well and since <= self._well_second
            if not lasted or report.silent_after is None or self._is_heard(report):
                return Progress.SUCCEEDED if lasted else Progress.UPDATING
            return Progress.OFFLINE if report.heard.timestamp() < self._online else Progress.UPDATING
        return Progress.FAILED if report.since < self._late and since < self._late_second else Progress.UPDATING

    def _is_heard(self, report: Report) -> bool:
        """Return whether one that reports at an interval said for long enough that it is well, or still may say so."""
        silent_after = report.silent_after or timedelta()
        return report.heard - report.since >= self._span or self._now <= report.heard + silent_after


def progress(plane: DataPlane, state: BundleState, strategy: Strategy, now: datetime) -> Progress:
    """Return how far one data plane is."""
    return Pace(strategy, now).progress(plane, state)


def position(salt: str, name: PDPName, wariness: float | None, *, volunteer: bool = False) -> float:
    """Return where in a ramp a data plane stands, in [0, 1): salted by the release, so that nobody is always first.

    Its owner may say instead how wary it is; volunteers come before everybody.
    """
    return Ramp(salt).position(name, wariness, volunteer=volunteer)


class Ramp:
    """Where data planes stand in a ramp of one salt, which is hashed once."""

    def __init__(self, salt: str) -> None:
        self._salted = hashlib.blake2b(f"{salt}\n".encode(), digest_size=8)

    def position(self, name: PDPName, wariness: float | None, *, volunteer: bool = False) -> float:
        """Return where one data plane stands."""
        if volunteer:
            return -1.0
        if wariness is not None:
            return wariness
        hasher = self._salted.copy()
        hasher.update(f"{name.org}/{name.pdp}".encode())
        return int.from_bytes(hasher.digest()) / 2**64


@dataclass(slots=True)
class Member:
    """A data plane in a rollout.

    Attributes:
        silent: nobody heard of it for long; it comes after all others …
        position: … and otherwise where it stands in the ramp.
        eligible: nothing of its own keeps it from the release now.
        coming: something does, which ends by itself.
        progress: with what this rollout offered it; ``None`` if nothing yet.
        counts: its reports count for the policy.
        again: it failed, and is offered the same once more.
        partly: it has the release, but for something that was kept from it until now.
        whole: it has no instruction of its own, which could keep a part of the release from it.
        heard: it reported at least once, or was offered the release just now: another one's cluster may never have been
            bootstrapped.
        there: it was offered the release itself, and not a hop on the way.

    """

    name: PDPName
    labels: Mapping[str, str]
    silent: bool
    position: float
    eligible: bool
    coming: bool
    progress: Progress | None
    counts: bool
    again: bool = False
    partly: bool = False
    whole: bool = True
    heard: bool = True
    there: bool = False
    wave: int = 0
    rank: int = 0

    @property
    def is_hopeful(self) -> bool:
        """Return whether it may show that the release is good: now, or soon."""
        if not self.counts or self.progress is Progress.OFFLINE:
            return False
        return self.progress is not None or ((self.eligible or self.coming) and not self.silent)

    @property
    def is_late(self) -> bool:
        """Return whether it could have the release, and was not offered it."""
        return self.progress is None and self.eligible

    @property
    def precedence(self) -> int:
        """Return what counts before its position: who has an offer, then who can take one, then who is heard."""
        away = self.progress is None or self.progress is Progress.OFFLINE
        return 4 * away + 2 * (not self.eligible) + self.silent


def assign(rollout: Rollout, members: Sequence[Member]) -> None:
    """Give each member its wave and its rank there.

    Who was offered the release already counts first, then who can take it now: a wave is not kept waiting by
    data planes that are held, offline or closed, others take their place. The first wave, on which all others wait, is
    never without somebody who may show that the release is good, be it one that it does not select. Who could not take
    the release before its wave was through goes with the one that is under way; but who showed what the release does
    without a part of it gets the part in a catch-up.
    """
    # Sorting is stable; twice by one number each is far cheaper than once by both.
    left = sorted(sorted(members, key=attrgetter("position")), key=attrgetter("precedence"))
    waves = rollout.waves
    for index, wave in enumerate(waves):
        if wave.labels:
            matching = [each for each in left if wave.selects(each.labels)]
            total = sum(wave.selects(each.labels) for each in members) if wave.share else 0
        else:
            matching, total = left, len(members)
        before = total - len(matching)
        if index == 0:
            hopeful = [each for each in matching if each.is_hopeful]
            hopeful = hopeful or [each for each in left if each.is_hopeful][:1]
            hopeful.sort(key=lambda each: (not each.whole, not each.heard, not each.there))
            chosen = {id(each) for each in hopeful}
            others = [each for each in matching if id(each) not in chosen]
            matching = [*hopeful, *sorted(others, key=lambda each: each.progress is None)]
        if wave.share is not None:
            matching = matching[: max(wave.share.at_least(total) - before, 0)]
        for rank, each in enumerate(matching):
            each.wave, each.rank = index, rank
        if len(matching) == len(left):
            break
        taken = {id(each) for each in matching}
        left = [each for each in left if id(each) not in taken]
    for each in members:
        if each.partly:
            each.wave, each.rank = len(waves), 0
    under_way = rollout.wave + 1 if rollout.wave_done else rollout.wave
    late = [each for each in members if each.progress is None and not each.again and each.wave < under_way]
    rank = sum(each.wave == under_way for each in members) if late else 0
    for each in sorted(late, key=attrgetter("position")):
        each.wave, each.rank = under_way, rank
        rank += 1


@dataclass(slots=True)
class WaveCount:
    """What became of a wave so far."""

    targets: int = 0
    waiting: int = 0
    in_flight: int = 0
    succeeded: int = 0
    failed: int = 0
    offline: int = 0

    def to_dict(self) -> dict[str, int]:
        """Return the form used in API answers."""
        return {
            "targets": self.targets,
            "waiting": self.waiting,
            "updating": self.in_flight,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "offline": self.offline,
        }


def count(rollout: Rollout, members: Iterable[Member]) -> list[WaveCount]:
    """Return the count of each wave."""
    counts = [WaveCount() for _ in rollout.waves]
    for each in members:
        found = counts[min(each.wave, len(counts) - 1)]
        found.targets += 1
        match each.progress:
            case None:
                found.waiting += each.eligible
            case Progress.SUCCEEDED:
                found.succeeded += 1
            case Progress.FAILED:
                found.failed += 1
            case Progress.OFFLINE:
                found.offline += 1
            case _:
                found.in_flight += 1
    return counts


def advance(rollout: Rollout, members: Sequence[Member], now: datetime) -> Rollout:
    """Return the rollout as it should be now: halted, at its next wave, finished, catching up, or as it was.

    Each member is given its wave first, as by ``assign``. One that is through halts as well, and goes on with a
    catch-up as soon as there is somebody whom it did not reach.
    """
    if rollout.status is RolloutStatus.FINISHED:
        rollout = _begun_again(rollout, members, now)
        members = [each for each in members if each.progress is None]
    assign(rollout, members)
    if rollout.status is not RolloutStatus.RUNNING:
        return rollout
    if (halted := _halted(rollout, members, now)) is not None:
        back = rollout.strategy.on_halt is OnHalt.ROLLBACK
        return rollout.stopped(RolloutStatus.ROLLED_BACK if back else RolloutStatus.HALTED, halted)
    if rollout.catch_up and rollout.wave_done is None and not _anybody(rollout, members):
        return rollout.at_wave(len(rollout.waves), now)
    while rollout.status is RolloutStatus.RUNNING:
        if rollout.wave_done is None:
            if not _succeeded(rollout, members):
                break
            rollout = replace(rollout, wave_done=now, proven=rollout.proven or now)
        targets = any(each.wave == rollout.wave for each in members)
        assert rollout.wave_done is not None  # noqa: S101 - set above
        if targets and now < rollout.wave_done + rollout.current_wave.soak:
            break
        rollout = rollout.at_wave(rollout.wave + 1, now)
        assign(rollout, members)
    return rollout


def _begun_again(rollout: Rollout, members: Sequence[Member], now: datetime) -> Rollout:
    """Return a finished rollout as it goes on: halted by who failed later, or with a catch-up of who comes later."""
    if (halted := _halted(rollout, members, now)) is not None:
        # As a catch-up: who is through already stays, whatever the policy does with those who were moved.
        return rollout.catching_up(now).stopped(RolloutStatus.HALTED, halted)
    return rollout.catching_up(now) if any(each.is_late for each in members) else rollout


def _anybody(rollout: Rollout, members: Sequence[Member]) -> bool:
    """Return whether there is anybody left for a catch-up: else it ends, be it that nobody answered."""
    left = (each for each in members if each.wave < len(rollout.waves))
    return any(each.is_late or each.is_hopeful for each in left)


def _halted(rollout: Rollout, members: Sequence[Member], now: datetime) -> Given | None:
    """Return why a rollout must halt, if it must; a share is one of those that answered."""
    strategy = rollout.strategy
    counted = [each for each in members if each.counts]
    answered = [each for each in counted if each.progress in ANSWERED]
    failed = [each for each in answered if each.progress is Progress.FAILED]
    limit = (rollout.current_wave.max_failed or strategy.max_failed).at_most(len(answered))
    if len(failed) <= limit:
        return None
    agreeing = len({each.name.org for each in failed})
    needed = min(strategy.counting.organizations, len({each.name.org for each in counted}))
    if agreeing < needed:
        return None
    names = [str(each.name) for each in sorted(failed, key=lambda each: each.name)]
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    return Given(_ACTOR, f"{len(failed)} of {len(answered)} failed, more than {limit}: {shown}", now)


def _succeeded(rollout: Rollout, members: Sequence[Member]) -> bool:
    """Return whether a wave is through: nobody under way, nobody due, and at least one really well.

    A later one may have nobody who could be: they were offline, or held, all the time. The first never.
    """
    mine = [each for each in members if each.wave == rollout.wave]
    if any(each.progress in IN_FLIGHT or (each.progress is None and each.eligible) for each in mine):
        return False
    well = {each.name.org for each in mine if each.counts and each.progress is Progress.SUCCEEDED}
    heard = [each for each in mine if not each.silent]
    hopeful = {each.name.org for each in heard if each.coming or (each.counts and each.progress is not None)}
    return len(well) >= max(min(rollout.strategy.counting.organizations, len(well | hopeful)), rollout.wave == 0)


def is_past_canary(rollout: Rollout, members: Iterable[Member]) -> bool:
    """Return whether somebody in the first wave is well, so that people may go on past what it still waits for."""
    if rollout.wave or rollout.wave_done is not None:
        return True
    return any(each.counts and each.progress is Progress.SUCCEEDED for each in members)


def ramp_limit(rollout: Rollout, size: int, now: datetime) -> int:
    """Return how many of the wave under way may have been offered by now: it only ever rises."""
    over = rollout.current_wave.over
    if not over or rollout.wave_done is not None:
        return size
    return min(max((now - rollout.wave_since) * size // over, 1), size)


def ramp_time(rollout: Rollout, size: int, rank: int) -> datetime:
    """Return when the ramp reaches a rank of the wave under way: the first whole second."""
    seconds = -(-rollout.current_wave.over * (rank + 1) // (timedelta(seconds=1) * size))
    return rollout.wave_since + timedelta(seconds=seconds)


def resumer(rollout: Rollout, channel: str, bundle: str) -> str | None:
    """Return who lets a rollout that stands go on; nobody one that was cancelled."""
    if rollout.status is RolloutStatus.CANCELLED:
        return None
    return engineer(f"ums rollout resume {channel} {bundle} --reason …")


def status_reason(rollout: Rollout, channel: str, bundle: str) -> Reason | None:
    """Return why a rollout moves nobody forward, if so."""
    given, name, who = rollout.given, f"{bundle}@{rollout.release}", resumer(rollout, channel, bundle)
    match rollout.status:
        case RolloutStatus.PAUSED:
            text = f"the rollout of {name} was paused by {given.by}: {given.reason}"
            return Reason("rollout-paused", text, None, who)
        case RolloutStatus.HALTED:
            return Reason("rollout-halted", f"the rollout of {name} halted: {given.reason}", None, who)
        case RolloutStatus.ROLLED_BACK:
            return Reason("rolled-back", f"the rollout of {name} was rolled back: {given.reason}", None, who)
        case RolloutStatus.CANCELLED:
            text = f"the rollout of {name} was cancelled by {given.by}: {given.reason}"
            return Reason("rollout-cancelled", f"{text}; only a newer release goes on", None, who)
        case _:
            return None


def wave_reason(rollout: Rollout, channel: str, bundle: str, wave: int, *, proven: bool) -> Reason:
    """Return why a later wave waits; ``proven`` where somebody is well in the rollout, so that people may go on."""
    name, now_running, waves = f"{bundle}@{rollout.release}", rollout.current_wave, rollout.waves
    until = None
    soaks = f", which soaks for {duration_text(now_running.soak)}"
    if wave >= len(waves):
        text = f"{name} reaches who comes now in a catch-up, after wave {now_running.name}"
        return Reason("wave", text + (soaks if rollout.wave_done is not None else ""))
    text = f"{name} reaches wave {waves[wave].name} ({wave + 1} of {len(waves)}) after {now_running.name}"
    if wave > rollout.wave + 1:
        return Reason("wave", text)
    if rollout.wave_done is not None:
        until = to_text(rollout.wave_done + now_running.soak)
        text += soaks
    goes_on = proven and rollout.status is RolloutStatus.RUNNING
    return Reason("wave", text, until, engineer(f"ums rollout next {channel} {bundle} --reason …") if goes_on else None)
