"""A clock that is wrong, for a moment or at a start: nothing is recorded, it is reported, and there is a way back."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data_folder import make_data
from tests.unit.usecases.stage import ADMIN, PROD, Stage
from ums.adapters._database import Database
from ums.adapters.sql_clock import SqlClock
from ums.adapters.system_clock import SystemClock
from ums.bootstrap import back_up_data, make_services, reindex_data, restore_data
from ums.config import Settings
from ums.domain.auditing import CLOCK_ACCEPTED, fallen
from ums.domain.clock import MAX_AHEAD, MAX_BEHIND, MAX_ISSUED_AHEAD, clock_doubt
from ums.domain.errors import InvalidInputError, UnavailableError
from ums.domain.explaining import explain
from ums.domain.fleet import Registration, next_serial
from ums.domain.freezes import Scope
from ums.domain.rendering import render_plane
from ums.domain.security_log import SecurityKind
from ums.domain.world import Decision, World
from ums.services import Services
from ums.usecases.check_health import Status
from ums.usecases.instruct import Why
from ums.usecases.record import Record
from ums.usecases.watch_clock import AcceptClock, WatchClock

TEN_DAYS = timedelta(days=10)
SOME = Scope(channel="stable")
WHEN, LATEST = datetime(2020, 1, 1), datetime(2100, 1, 1)  # noqa: DTZ001 - hypothesis adds the zone
WHY = Why(ADMIN, "checked with the watch on the wall")


class Machine:
    """A service on a machine whose clock may be wrong by ``offset``."""

    def __init__(self, folder: Path) -> None:
        self.stage = Stage(folder)
        self.stage.publish("1.0.0", {"cilium": "1.0.0"})
        self.stage.services.add_data_plane(Registration(PROD, "stable", ("platform",)), by=ADMIN)
        self.stage.promote("1.0.0")
        self.stage.services.reconcile()
        self.offset = timedelta(0)
        self.start()

    def start(self) -> None:
        """Start the service, or start it again."""
        true = self.stage.clock
        self.clock = SystemClock(lambda: true.now() + self.offset, lambda: true.now().timestamp())
        self.witness = SqlClock(self.stage.store.database)
        self.watch = WatchClock(self.clock, self.witness)
        services = self.stage.services
        record = replace(services.record, clock=self.clock, clock_problem=self.watch.problem)
        self.services: Services = replace(
            services,
            record=record,
            clock=self.clock,
            reconcile=replace(services.reconcile, record=record),
            freeze_fleet=replace(services.freeze_fleet, record=record),
            bootstrap_data_plane=replace(services.bootstrap_data_plane, record=record),
            see=replace(services.see, record=record),
            health=replace(
                services.health, clock=self.clock, clock_problem=lambda: record.clock_problem(record.world())
            ),
            note_clock=lambda: self.watch.beat(record.world()),
        )

    def world(self) -> World:
        """Return what is recorded."""
        return self.services.record.world()

    def serial(self) -> int:
        """Return the serial of the one data plane."""
        desired = self.world().plane(PROD).desired
        assert desired is not None
        return desired.serial

    def pass_time(self, span: timedelta) -> None:
        """Let time pass."""
        self.stage.clock.advance(span)

    def health(self) -> Status:
        """Return what ``/readyz`` says of the clock."""
        return next(each.status for each in self.services.health.ready() if each.name == "clock")

    def accept(self, why: Why = WHY, *, dry_run: bool = False) -> None:
        """Say that the clock is right."""
        record = Record(self.stage.release_repo, self.stage.store, self.clock)
        AcceptClock(record, self.clock, self.witness, self.stage.services.security)(why, dry_run=dry_run)

    def issue_ahead(self, span: timedelta) -> None:
        """Record a state whose serial is ahead, as a version of UMS did that did not watch its clock."""
        world, now = self.world(), self.stage.clock.now() + span
        desired = world.plane(PROD).desired
        assert desired is not None
        serial = int(now.timestamp())
        bundles = {name: replace(state, since=serial) for name, state in desired.bundles.items()}
        ahead = replace(desired, serial=serial, issued=now, expires=now + timedelta(days=7), bundles=bundles)
        files = render_plane(world, PROD, ahead)
        self.stage.repo.commit(Decision("x", "x", "ums", "x", now, {}, files), base=world.base)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Give a service with one data plane that was offered something."""
    return Machine(tmp_path)


@pytest.mark.parametrize("offset", [TEN_DAYS, -TEN_DAYS, timedelta(hours=2), -timedelta(hours=2)])
def test_a_jump_while_the_service_runs_records_nothing(machine: Machine, offset: timedelta) -> None:
    """Neither serials nor decisions; health and status say why; once it is over, everything goes on."""
    machine.services.freeze_fleet.freeze("before", SOME, WHY)
    before, machine.offset = machine.world().base, offset
    with pytest.raises(UnavailableError, match="nothing is recorded: the clock jumped") as refused:
        machine.services.freeze_fleet.freeze("during", SOME, WHY)
    assert "ums clock accept" in refused.value.hint
    with pytest.raises(UnavailableError, match="jumped"):
        machine.services.reconcile()
    assert machine.world().base == before
    assert machine.health() is Status.FAIL
    assert any("the clock jumped" in each for each in machine.services.see(ADMIN).problems())
    machine.services.note_clock()
    assert machine.witness.seen() is None
    machine.offset = timedelta(0)
    assert machine.health() is Status.PASS
    machine.services.freeze_fleet.freeze("after", SOME, WHY)


@pytest.mark.parametrize("offset", [TEN_DAYS, MAX_AHEAD, -TEN_DAYS, -MAX_BEHIND - timedelta(minutes=1)])
def test_a_start_with_a_wrong_clock_records_nothing(machine: Machine, offset: timedelta) -> None:
    """It is compared with when the service ran last; once the clock is right, everything goes on without a restart."""
    machine.services.note_clock()
    machine.offset = offset
    machine.start()
    with pytest.raises(UnavailableError, match="the last sign of this service"):
        machine.services.freeze_fleet.freeze("during", SOME, WHY)
    assert machine.health() is Status.FAIL
    machine.offset = timedelta(0)
    machine.start()
    machine.services.freeze_fleet.freeze("after", SOME, WHY)


def test_without_a_database_the_release_repo_tells_when_the_service_ran_last(machine: Machine) -> None:
    """A database that is new says nothing."""
    assert machine.witness.seen() is None
    machine.offset = TEN_DAYS
    machine.start()
    with pytest.raises(UnavailableError, match="nothing is recorded"):
        machine.services.reconcile()


def test_a_short_stop_is_no_jump(machine: Machine) -> None:
    """As long as no serial could be too far ahead, were it one."""
    machine.services.note_clock()
    machine.pass_time(MAX_ISSUED_AHEAD - timedelta(minutes=1))
    machine.start()
    machine.services.freeze_fleet.freeze("after", SOME, WHY)
    assert machine.health() is Status.PASS


def test_a_long_stop_ends_with_one_recorded_word(machine: Machine) -> None:
    """Three weeks off look like a clock ahead. Who accepts it says why, which is kept; the service goes on."""
    machine.services.note_clock()
    machine.pass_time(timedelta(weeks=3))
    machine.start()
    with pytest.raises(UnavailableError, match="off for that long"):
        machine.services.reconcile()
    with pytest.raises(InvalidInputError, match="a reason is missing"):
        machine.accept(replace(WHY, reason=" "))
    machine.accept(dry_run=True)
    assert machine.health() is Status.FAIL
    machine.accept()
    assert machine.health() is Status.PASS
    machine.services.reconcile()
    kept = machine.stage.services.security.log.newest(limit=1)[0]
    assert (kept.kind, kept.subject) == (SecurityKind.CLOCK_ACCEPTED, "ada")
    assert WHY.reason in kept.what


def test_serials_that_are_far_ahead_are_never_raised(machine: Machine) -> None:
    """The data plane is withheld, with the reason; nobody bootstraps a cluster with such a serial."""
    machine.issue_ahead(TEN_DAYS)
    machine.accept(dry_run=True)
    machine.witness.reset(machine.clock.now())
    machine.stage.publish("1.1.0", {"cilium": "1.1.0"})
    ahead = machine.serial()
    machine.stage.promote("1.1.0")
    machine.services.reconcile()
    assert machine.serial() == ahead
    explained = explain(machine.world(), machine.clock.now(), PROD)
    assert any(check.name == "serial" and check.verdict == "waits" for check in explained[0].checks)
    assert any("serials are far ahead" in each for each in machine.services.see(ADMIN).problems())
    with pytest.raises(UnavailableError, match="far ahead of the clock"):
        machine.services.bootstrap_data_plane(PROD, by=ADMIN)


def test_the_way_back_from_serials_ahead(machine: Machine) -> None:
    """An earlier version issued them. They are numbered anew, reports count again, and views are served at once."""
    machine.issue_ahead(TEN_DAYS)
    ahead = machine.serial()
    assert machine.stage.services.serve_view.head(PROD).serial == ahead
    with pytest.raises(UnavailableError, match="behind, or was ahead"):
        machine.services.reconcile()
    machine.accept()
    now = int(machine.stage.clock.now().timestamp())
    desired = machine.world().plane(PROD).desired
    assert desired is not None
    assert desired.serial == now < ahead
    assert all(state.since <= now for state in desired.bundles.values())
    assert machine.stage.services.serve_view.head(PROD).serial == now
    machine.pass_time(timedelta(minutes=5))
    machine.stage.publish("1.1.0", {"cilium": "1.1.0"})
    machine.stage.promote("1.1.0")
    machine.services.reconcile()
    assert machine.serial() > now
    entry = next(each for each in machine.stage.services.log(limit=20) if each.action == "clock-accept")
    assert (entry.subject, entry.reason) == (CLOCK_ACCEPTED, WHY.reason)


def test_a_tombstone_ahead_is_lowered_too(machine: Machine) -> None:
    """Or a data plane of that name could never come again."""
    machine.issue_ahead(TEN_DAYS)
    machine.stage.services.remove_data_plane(PROD, WHY)
    machine.accept()
    assert machine.world().retired[PROD].last_serial < machine.stage.clock.now().timestamp()
    machine.stage.services.add_data_plane(Registration(PROD, "stable", ("platform",)), by=ADMIN)
    assert machine.serial() >= int(machine.stage.clock.now().timestamp())


def test_an_audit_takes_lower_serials_from_that_decision_alone() -> None:
    """Any other decision that lowers one is named."""
    assert fallen([(PROD, 20, 10)], CLOCK_ACCEPTED) == []
    assert fallen([(PROD, 20, 10)], "fleet: Do what is due") != []
    assert fallen([(PROD, 20, None)], CLOCK_ACCEPTED) != []


@given(st.integers(0, 2**40), st.datetimes(min_value=WHEN, max_value=LATEST))
def test_no_serial_is_issued_that_a_cluster_refuses(previous: int, now: datetime) -> None:
    """It rises, and is less than a day ahead; or there is none."""
    now = now.replace(tzinfo=UTC)
    try:
        serial = next_serial(previous, now)
    except UnavailableError:
        assert previous + 1 > (now + MAX_ISSUED_AHEAD).timestamp()
    else:
        assert previous < serial < (now + MAX_AHEAD).timestamp()


def test_doubt_needs_a_reason() -> None:
    """A clock that shows the last known time is plausible."""
    now = datetime(2026, 12, 1, tzinfo=UTC)
    assert clock_doubt(now, last_known=now, latest_known=now) == ""


def test_with_the_defence_off_a_moment_shuts_clusters_out_for_days(machine: Machine) -> None:
    """A clock that is followed, and watched by nobody: the next serials are refused until clusters catch up."""
    stage = machine.stage
    stage.clock.advance(TEN_DAYS)
    stage.services.reconcile()
    stage.clock.advance(-TEN_DAYS)
    assert machine.serial() > (stage.clock.now() + MAX_AHEAD).timestamp()


@pytest.mark.parametrize("how", ["restored", "rebuilt"])
def test_a_service_that_was_restored_or_rebuilt_goes_on(tmp_path: Path, how: str) -> None:
    """However long ago it ran last: whoever does so on this machine vouches for its clock."""
    settings, _ = make_data(tmp_path)
    with closing(Database(settings.database)) as database:
        SqlClock(database).reset(datetime(2020, 1, 1, tzinfo=UTC))
    assert problem_of(settings)
    if how == "restored":
        back_up_data(settings, tmp_path / "backup", registry=False)
        settings = Settings(tmp_path / "new")
        restore_data(settings, tmp_path / "backup")
    else:
        reindex_data(settings, dry_run=True)
        assert problem_of(settings)
        reindex_data(settings, dry_run=False)
    assert not problem_of(settings)


def problem_of(settings: Settings) -> str:
    """Return what a service that starts now has against the clock."""
    services = make_services(settings)
    try:
        return services.record.clock_problem(services.record.world())
    finally:
        services.health.store.close()  # type: ignore[attr-defined] # this one can
