"""Nobody gets a release past a canary, by whatever road it comes to be eligible later; and failures always halt."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.unit.domain.test_rolling import MINUTE, NEW, OLD, SIMPLE, Fleet
from tests.unit.domain.worlds import NOW, given
from ums.domain.bundle import Requires
from ums.domain.deciding import decide, decide_about
from ums.domain.fleet import Consent, DataPlane, Facts, Health, Hold, Pin, Registration, Report, next_serial
from ums.domain.freezes import Freeze, Scope
from ums.domain.names import PDPName
from ums.domain.policy import Amount, OnHalt, Strategy, Wave
from ums.domain.rendering import offer
from ums.domain.risks import Risk
from ums.domain.rollouts import Progress, RolloutStatus, progress
from ums.domain.version import Version, VersionRange
from ums.domain.windows import Schedule, Span

SIZE = 12
DAY = timedelta(days=1)
LABELLED = Strategy(
    waves=(Wave("canary", labels={"tier": "canary"}, soak=60 * MINUTE), Wave("rest", soak=10 * MINUTE)),
    max_updating=Amount("100%"),
    healthy_for=MINUTE,
)


@dataclass
class Stage(Fleet):
    """A fleet whose data planes get well on the new release, or do not; some are not heard of."""

    good: bool = True
    silent: set[PDPName] = field(default_factory=set)

    def change(self, names: Iterable[PDPName], change: Callable[[DataPlane], DataPlane]) -> None:
        """Change some data planes."""
        for name in names:
            self.world = self.world.with_plane(change(self.world.plane(name)))

    def register(self, names: Iterable[PDPName], **fields: object) -> None:
        """Change the registrations of some data planes."""
        self.change(names, lambda each: replace(each, registration=replace(each.registration, **fields)))  # type: ignore[arg-type]

    def go_on(self, rounds: int = 50) -> None:
        """Let what is due be offered, taken, and reported on, in rounds of ten minutes."""
        for _ in range(rounds):
            plan = decide(self.world, self.now)
            self._check(set(plan.offers) | {each.pdp for each in plan.withheld})
            for (channel, bundle), rollout in plan.rollouts.items():
                self.world = self.world.with_channel(self.world.channel(channel).with_rollout(bundle, rollout))
            for name, bundles in plan.offers.items():
                plane = self.world.plane(name)
                serial = next_serial(plane.last_serial, self.now)
                desired = offer(self.world, name, bundles, serial=serial, now=self.now)
                self.world = self.world.with_plane(replace(plane, desired=desired))
            for plane in list(self.world.planes.values()):
                if plane.name not in self.silent and plane.desired is not None:
                    self._report(plane)
            self.now += 10 * MINUTE

    def _check(self, names: set[PDPName]) -> None:
        plan = decide(self.world, self.now)
        for name in names:
            moves = {each.bundle: each for each in plan.moves if each.pdp == name}
            reasons = {each.bundle: each.reasons for each in plan.withheld if each.pdp == name}
            assert decide_about(self.world, self.now, name) == (moves, reasons)

    def _report(self, plane: DataPlane) -> None:
        assert plane.desired is not None
        known, state = plane.report, plane.desired.bundles.get("platform")
        if state is None or (known is not None and known.serial == plane.desired.serial):
            return
        was_well = known is not None and known.well >= state.since > 0
        is_new = NEW in {state.release, *state.components.values()}
        health = Health.FAILED if is_new and not self.good and not was_well else Health.HEALTHY
        report = Report(plane.desired.serial, health, "", "", self.now, self.now, well=known.well if known else 0)
        self.world = self.world.with_plane(replace(plane, report=report))

    @property
    def updated(self) -> int:
        """Return how many are offered all of the new release."""
        planes = (plane for plane in self.world.planes.values() if plane.desired)
        states = [plane.desired.bundles.get("platform") for plane in planes if plane.desired]
        return sum(state is not None and set(state.components.values()) == {NEW} for state in states)

    @property
    def failed(self) -> int:
        """Return how many failed on the new release."""
        reports = (plane.report for plane in self.world.planes.values())
        return sum(report is not None and report.health is Health.FAILED for report in reports)

    def hold_channel(self, *holds: Hold) -> None:
        """Set the holds of the channel."""
        self.world = self.world.with_channel(replace(self.world.channel("stable"), holds=holds))


Names = list[PDPName]
Act = Callable[[Stage, Names], None]
ALWAYS = given()
CLOSED = Schedule(deny=(Span(NOW - DAY, NOW + 3650 * DAY),))
HOLD = Hold("platform", None, OLD, ALWAYS)
PIN = Pin("platform", None, VersionRange(str(OLD)), ALWAYS)
PART = Pin("platform", "cilium", VersionRange(str(OLD)), ALWAYS)
RISK = Risk("r", "platform", VersionRange(str(NEW)), "it breaks disks", ALWAYS, labels={"disk": "old"})


def _labelled(stage: Stage, names: Names) -> None:
    stage.register(names, labels={"disk": "old"})
    stage.world = replace(stage.world, risks={"r": RISK})


def _retracted(stage: Stage, _names: Names) -> None:
    stage.world = replace(stage.world, risks={})


def _frozen(stage: Stage, names: Names) -> None:
    freezes = tuple(Freeze(f"f{number}", Scope(pdp=name), ALWAYS) for number, name in enumerate(names))
    stage.world = replace(stage.world, freezes=freezes)


def _thawed(stage: Stage, _names: Names) -> None:
    stage.world = replace(stage.world, freezes=())


def _requires(stage: Stage, names: Names) -> None:
    entry = stage.world.entry("platform", NEW)
    needs = replace(entry.release, requires=Requires(kubernetes=VersionRange(">=1.30")))
    stage.world = stage.world.with_entry(replace(entry, release=needs))
    stage.register(stage.world.planes, facts=Facts(kubernetes=Version("1.31.0")))
    stage.register(names, facts=Facts(kubernetes=Version("1.29.0")))


def _upgraded(stage: Stage, names: Names) -> None:
    stage.register(names, facts=Facts(kubernetes=Version("1.31.0")))


def _elsewhere(stage: Stage, names: Names) -> None:
    other = replace(stage.world.channel("stable"), name="other", rollouts={}, tracks={})
    stage.world = stage.world.with_channel(other)
    stage.register(names, channel="other")


def _moved_here(stage: Stage, names: Names) -> None:
    stage.register(names, channel="stable")


def _removed(stage: Stage, names: Names) -> None:
    stage.world = replace(
        stage.world, planes={name: each for name, each in stage.world.planes.items() if name not in names}
    )


def _added(stage: Stage, names: Names) -> None:
    for name in names:
        stage.world = stage.world.with_plane(DataPlane(Registration(name, "stable", ("platform",))))


def _unsubscribed(stage: Stage, names: Names) -> None:
    stage.register(names, bundles=())


def _subscribed(stage: Stage, names: Names) -> None:
    stage.register(names, bundles=("platform",))


ROADS: dict[str, tuple[Act, Act]] = {
    "a hold ends": (
        lambda stage, names: stage.change(names, lambda each: replace(each, holds=(HOLD,))),
        lambda stage, names: stage.change(names, lambda each: replace(each, holds=())),
    ),
    "a pin ends": (
        lambda stage, names: stage.change(names, lambda each: replace(each, pins=(PIN,))),
        lambda stage, names: stage.change(names, lambda each: replace(each, pins=())),
    ),
    "a pin of a component ends": (
        lambda stage, names: stage.change(names, lambda each: replace(each, pins=(PART,))),
        lambda stage, names: stage.change(names, lambda each: replace(each, pins=())),
    ),
    "a pin becomes wider": (
        lambda stage, names: stage.change(names, lambda each: replace(each, pins=(PIN,))),
        lambda stage, names: stage.change(
            names, lambda each: replace(each, pins=(replace(PIN, versions=VersionRange("1.x")),))
        ),
    ),
    "a risk is retracted": (_labelled, _retracted),
    "a label changes, and with it a risk": (_labelled, lambda stage, names: stage.register(names, labels={})),
    "owners consent": (
        lambda stage, names: stage.register(names, ask=True),
        lambda stage, names: stage.change(
            names, lambda each: replace(each, consents=(Consent("platform", NEW, ALWAYS),))
        ),
    ),
    "owners are asked no more": (
        lambda stage, names: stage.register(names, ask=True),
        lambda stage, names: stage.register(names, ask=False),
    ),
    "a window opens": (
        lambda stage, names: stage.register(names, windows=CLOSED),
        lambda stage, names: stage.register(names, windows=Schedule()),
    ),
    "a freeze ends": (_frozen, _thawed),
    "a cluster is upgraded": (_requires, _upgraded),
    "they come from another channel": (_elsewhere, _moved_here),
    "they are registered, or registered again": (_removed, _added),
    "they subscribe": (_unsubscribed, _subscribed),
}
WAITED_FOR = ("a window opens", "a freeze ends")
"""What ends by itself: the last wave waits for it, and so is under way when it does."""


def promoted(strategy: Strategy = SIMPLE, *, kept: int, by: str) -> tuple[Stage, Names]:
    """Return a fleet, of which some are kept from the new release; and what releases these."""
    stage = Stage.of(SIZE, strategy)
    assert isinstance(stage, Stage)
    names = sorted(stage.world.planes)[SIZE - kept :]
    ROADS[by][0](stage, names)
    return stage, names


@pytest.mark.parametrize("kept", [SIZE, SIZE - 3])
@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("wait", [True, False])
def test_one_goes_first_however_they_come(road: str, kept: int, *, wait: bool) -> None:
    """Those who had it before were well on it, and all who come later fail: one does, and the rollout halts."""
    stage, names = promoted(kept=kept, by=road)
    stage.go_on(50 if wait else 3)
    stage.good = False
    ROADS[road][1](stage, names)
    stage.go_on()
    assert stage.rollout.status is RolloutStatus.HALTED
    if (wait and road not in WAITED_FOR) or (kept == SIZE and road != "a pin of a component ends"):
        assert stage.failed == 1
        assert stage.updated <= SIZE - kept + 1
    else:
        assert stage.failed < SIZE, "they go with the wave under way, after its canary"


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("kept", [SIZE, SIZE - 3])
def test_all_arrive_where_the_release_is_good(road: str, kept: int) -> None:
    """One after its soak, the others after it; and the rollout ends."""
    stage, names = promoted(kept=kept, by=road)
    stage.go_on()
    before = stage.updated
    finished = (kept < SIZE and road not in WAITED_FOR) or road == "a pin of a component ends"
    assert stage.rollout.status is (RolloutStatus.FINISHED if finished else RolloutStatus.RUNNING)
    ROADS[road][1](stage, names)
    stage.go_on(1)
    assert stage.updated - before <= (1 if road not in WAITED_FOR or kept == SIZE else kept)
    stage.go_on()
    assert (stage.updated, stage.rollout.status) == (SIZE, RolloutStatus.FINISHED)


@pytest.mark.parametrize("held", [True, False])
def test_a_channel_that_was_held_goes_through_its_waves(*, held: bool) -> None:
    """What was promoted meanwhile was not finished before anybody had it."""
    stage = Stage.of(SIZE)
    assert isinstance(stage, Stage)
    stage.hold_channel(replace(HOLD, given=replace(ALWAYS, until=None if held else stage.now + DAY)))
    stage.go_on()
    assert stage.rollout.status is RolloutStatus.RUNNING
    assert stage.updated == 0
    stage.good = False
    if held:
        stage.hold_channel()
    else:
        stage.now += 2 * DAY
    stage.go_on()
    assert (stage.failed, stage.rollout.status) == (1, RolloutStatus.HALTED)


def test_a_rollout_without_targets_never_succeeds() -> None:
    """An empty channel that fills up goes through its waves."""
    stage = Stage.of(SIZE)
    assert isinstance(stage, Stage)
    names = list(stage.world.planes)
    _removed(stage, names)
    stage.go_on()
    assert (stage.rollout.status, stage.rollout.wave) == (RolloutStatus.RUNNING, 0)
    _added(stage, names)
    stage.good = False
    stage.go_on()
    assert (stage.failed, stage.rollout.status) == (1, RolloutStatus.HALTED)


def test_an_offer_that_nobody_took_is_no_canary_that_succeeded() -> None:
    """All are offline: the release goes to one of them, and no further before its grace has ended."""
    stage = Stage.of(SIZE)
    assert isinstance(stage, Stage)
    stage.silent = set(stage.world.planes)
    stage.go_on(6 * 23)
    assert (stage.rollout.wave, stage.updated) == (0, 1)
    stage.good, stage.silent = False, set()
    stage.go_on()
    assert (stage.failed, stage.rollout.status) == (1, RolloutStatus.HALTED)


def test_who_is_labelled_late_goes_with_the_wave_under_way() -> None:
    """Not at once with the canaries, whose wave is over."""
    stage = Stage.of(SIZE, LABELLED)
    assert isinstance(stage, Stage)
    first, *others = sorted(stage.world.planes)
    stage.register([first], labels={"tier": "canary"})
    stage.go_on(2)
    assert (stage.updated, stage.rollout.wave_done is not None) == (1, True)
    stage.register(others, labels={"tier": "canary"})
    stage.go_on(1)
    assert stage.updated == 1, "the soak is not over"


def test_waves_that_select_nobody_are_no_canaries() -> None:
    """The first wave has somebody all the same; the policy of a rollout under way is the one that it began with."""
    stage = Stage.of(SIZE, LABELLED)
    assert isinstance(stage, Stage)
    stage.good = False
    stage.go_on()
    assert (stage.failed, stage.rollout.status) == (1, RolloutStatus.HALTED)


def test_a_failure_after_the_last_wave_halts() -> None:
    """Somebody was offline, and takes the offer when all waves are through; who is well stays."""
    stage = Stage.of(SIZE, replace(SIMPLE, on_halt=OnHalt.ROLLBACK))
    assert isinstance(stage, Stage)
    late = sorted(stage.world.planes)[:2]
    stage.silent = set(late)
    stage.go_on(6 * 60)
    assert stage.rollout.status is RolloutStatus.FINISHED
    stage.good, stage.silent = False, set()
    stage.go_on()
    assert (stage.rollout.status, stage.failed, stage.updated) == (RolloutStatus.HALTED, 2, SIZE)
    assert stage.rollout.through is not None


def test_a_cluster_that_was_never_bootstrapped_keeps_nobody_waiting() -> None:
    """It was offered the release first; who is heard of goes before the others all the same."""
    stage, names = promoted(kept=3, by="a hold ends")
    stage.go_on()
    new = PDPName("new", "one")
    stage.silent = {new}
    _added(stage, [new])
    stage.go_on(2)
    assert stage.rollout.status is RolloutStatus.RUNNING
    ROADS["a hold ends"][1](stage, names)
    stage.go_on(1)
    assert stage.updated == SIZE - 3 + 2
    stage.go_on(10)
    assert stage.updated == SIZE + 1


def test_what_was_forgiven_stays_forgiven() -> None:
    """Also when others caught up since."""
    stage, names = promoted(kept=3, by="a hold ends")
    stage.good = False
    stage.go_on()
    assert (stage.failed, stage.rollout.status) == (1, RolloutStatus.HALTED)
    stage.good = True
    stage.steer(stage.rollout.resumed(replace(ALWAYS, since=stage.now)))
    stage.go_on()
    assert stage.rollout.status is RolloutStatus.FINISHED
    ROADS["a hold ends"][1](stage, names)
    stage.go_on()
    assert (stage.rollout.status, stage.updated) == (RolloutStatus.FINISHED, SIZE)


@pytest.mark.parametrize(
    ("heard", "since", "now", "how"),
    [
        (0, 0, 6, Progress.SUCCEEDED),
        (0, 0, 14, Progress.UPDATING),
        (0, 0, 60 * 25, Progress.OFFLINE),
        (5, 0, 14, Progress.SUCCEEDED),
        (5, 0, 60 * 25, Progress.SUCCEEDED),
    ],
)
def test_who_fell_silent_is_no_success(heard: int, since: int, now: int, how: Progress) -> None:
    """One that reports at an interval must have said for long enough that it is well."""
    stage = Stage.of(1)
    assert isinstance(stage, Stage)
    stage.go_on(1)
    (plane,) = stage.world.planes.values()
    assert plane.desired is not None
    state = plane.desired.bundles["platform"]
    start = datetime.fromtimestamp(state.since, UTC)
    moments = [start + each * MINUTE for each in (heard, since, now)]
    report = Report(plane.desired.serial, Health.HEALTHY, "", "", moments[0], moments[0], moments[1])
    strategy = Strategy(healthy_for=5 * MINUTE)
    assert progress(replace(plane, report=report), state, strategy, moments[2]) is Progress.SUCCEEDED
    report = replace(report, silent_after=13 * MINUTE)
    assert progress(replace(plane, report=report), state, strategy, moments[2]) is how


def test_who_was_well_and_fails_weeks_later_halts_nothing() -> None:
    """A full disk says nothing of a release."""
    stage = Stage.of(SIZE)
    assert isinstance(stage, Stage)
    stage.go_on()
    before = stage.rollout
    plane = next(iter(stage.world.planes.values()))
    assert plane.report is not None
    assert plane.desired is not None
    broken = replace(plane.report, health=Health.FAILED, since=stage.now, heard=stage.now)
    stage.world = stage.world.with_plane(replace(plane, report=broken))
    stage.go_on()
    assert stage.rollout == before


@pytest.mark.parametrize(
    ("failed", "silent", "halts"), [(10, 90, True), (2, 90, True), (1, 90, False), (10, 0, False), (11, 0, True)]
)
def test_a_share_of_failures_is_one_of_those_that_answered(failed: int, silent: int, *, halts: bool) -> None:
    """Who says nothing says nothing good."""
    strategy = replace(SIMPLE, waves=(Wave("everyone"),), max_failed=Amount("10%"))
    stage = Stage.of(100, strategy)
    assert isinstance(stage, Stage)
    names = sorted(stage.world.planes)
    stage.silent = set(names[:silent])
    stage.go_on(1)
    for name in names[-failed:]:
        plane = stage.world.plane(name)
        assert plane.desired is not None
        report = Report(plane.desired.serial, Health.FAILED, "", "", stage.now, stage.now)
        stage.world = stage.world.with_plane(replace(plane, report=report))
    stage.go_on(1)
    assert (stage.rollout.status is RolloutStatus.HALTED) == halts
