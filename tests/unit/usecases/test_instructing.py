"""Instructions one by one: what they mean, how they end and are undone, and what stands in the log."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from tests.unit.usecases.stage import ADMIN, PROD, Stage
from ums.domain.errors import ForbiddenError, InvalidInputError, NotFoundError, RefusedError, UmsError
from ums.domain.fleet import Hold, Pin, Registration
from ums.domain.identity import Holder
from ums.domain.names import PDPName
from ums.domain.release import ReleaseName
from ums.domain.version import Version, VersionRange
from ums.usecases.instruct import ROLLBACK_HOLD, Instruct, Subject, Why
from ums.usecases.record import Outcome

PLATFORM = Subject("platform")
CILIUM = Subject("platform", "cilium")
OLGA = Holder("olga", frozenset({"operator"})).identity
ENGINEER = Holder("erik", frozenset({"release-engineer"})).identity
WHY = Why(OLGA, "because")
V1, V2 = Version("1.0.0"), Version("1.1.0")

Act = Callable[[Instruct], Outcome]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return a data plane on 1.1.0, which was on 1.0.0 before."""
    made = Stage(tmp_path)
    made.add_plane()
    for version in ("1.0.0", "1.1.0"):
        made.publish(version)
        made.promote(version)
    return made


def pins(stage: Stage) -> tuple[Pin, ...]:
    """Return the pins of the data plane."""
    return stage.repo.read().plane(PROD).pins


def holds(stage: Stage) -> tuple[Hold, ...]:
    """Return the holds of the data plane."""
    return stage.repo.read().plane(PROD).holds


def test_an_instruction_stands_where_it_can_be_asked_for(stage: Stage) -> None:
    """Who, what, why, since when, until when: in the file and in the log."""
    until = stage.clock.now() + timedelta(days=2)
    stage.services.instruct.pin(PROD, CILIUM, VersionRange("~1.1"), Why(OLGA, "kernel module", until))
    (pin,) = pins(stage)
    assert (pin.bundle, pin.component, str(pin.versions)) == ("platform", "cilium", "~1.1")
    assert (pin.given.by, pin.given.reason) == ("olga", "kernel module")
    assert (pin.given.since, pin.given.until) == (stage.clock.now(), until)
    (entry,) = stage.services.log(limit=1, path=f"fleet/{PROD}")
    assert (entry.actor, entry.action, entry.reason) == ("olga", "pin", "kernel module")
    assert entry.subject == "fleet/acme/prod: Pin platform/cilium"


def test_a_new_instruction_replaces_the_one_about_the_same(stage: Stage) -> None:
    """And leaves those about other components."""
    do = stage.services.instruct
    for subject, versions in ((CILIUM, "~1.0"), (PLATFORM, "1.x"), (CILIUM, "~1.1")):
        do.pin(PROD, subject, VersionRange(versions), WHY)
    assert {(pin.component, str(pin.versions)) for pin in pins(stage)} == {(None, "1.x"), ("cilium", "~1.1")}
    do.unpin(PROD, PLATFORM, WHY)
    assert [pin.component for pin in pins(stage)] == ["cilium"]


@pytest.mark.parametrize(
    "undo",
    [
        lambda do: do.unpin(PROD, PLATFORM, WHY),
        lambda do: do.unhold(PROD, CILIUM, WHY),
        lambda do: do.unhold_channel("stable", "platform", Why(ENGINEER, "")),
    ],
)
def test_to_undo_what_is_not_there_is_no_decision(stage: Stage, undo: Act) -> None:
    """It is so already; a reason is not asked for."""
    before = stage.repo.read().base
    assert not undo(stage.services.instruct).recorded
    assert stage.repo.read().base == before


@pytest.mark.parametrize(
    "act",
    [
        lambda do: do.pin(PROD, PLATFORM, VersionRange("1.0.0"), WHY, dry_run=True),
        lambda do: do.hold(PROD, PLATFORM, V1, WHY, dry_run=True),
        lambda do: do.roll_back(PROD, PLATFORM, V1, WHY, dry_run=True),
        lambda do: do.roll_back_channel("stable", "platform", V1, Why(ENGINEER, "x"), dry_run=True),
    ],
    ids=["pin", "hold", "rollback", "channel"],
)
def test_a_dry_run_shows_who_would_move_and_records_nothing(stage: Stage, act: Act) -> None:
    """The plan is the same as the real one; then the real one does it."""
    before = stage.repo.read().base
    outcome = act(stage.services.instruct)
    assert (outcome.recorded, stage.repo.read().base) == (False, before)
    (move,) = outcome.plan.moves
    assert (move.pdp, str(move.after.release)) == (PROD, "1.0.0")
    assert list(outcome.serials) == [PROD]


def test_a_component_goes_back_alone(stage: Stage) -> None:
    """The others stay where they are; unheld, it comes back."""
    do = stage.services.instruct
    do.roll_back(PROD, CILIUM, V1, WHY)
    assert stage.running() == {"cilium": "1.0.0", "gateway": "1.1.0"}
    do.unhold(PROD, CILIUM, WHY)
    assert stage.running() == {"cilium": "1.1.0", "gateway": "1.1.0"}


@pytest.mark.parametrize(
    ("until", "length"), [(None, ROLLBACK_HOLD), (timedelta(hours=3), timedelta(hours=3))], ids=["default", "given"]
)
def test_a_rollback_is_a_hold_that_ends(stage: Stage, until: timedelta | None, length: timedelta) -> None:
    """After two weeks, unless told otherwise; a mere hold does not end by itself."""
    now = stage.clock.now()
    do = stage.services.instruct
    do.roll_back(PROD, PLATFORM, V1, Why(OLGA, "x", now + until if until else None))
    (hold,) = holds(stage)
    assert (hold.release, hold.given.until) == (V1, now + length)
    do.hold(PROD, PLATFORM, None, WHY)
    (hold,) = holds(stage)
    assert (hold.release, hold.given.until) == (V1, None)


def test_a_hold_may_stand_before_the_first_release_arrives(stage: Stage) -> None:
    """Then that release is what arrives."""
    new = PDPName("acme", "new")
    stage.services.add_data_plane(Registration(new, "edge", ("platform",)), by=ADMIN)
    other = PDPName("acme", "other")
    stage.services.add_data_plane(Registration(other, "edge", ("flux",)), by=ADMIN)
    stage.services.instruct.hold(new, PLATFORM, V1, WHY)
    assert set(stage.running(new).values()) == {"1.0.0"}
    with pytest.raises(NotFoundError, match="does not subscribe"):
        stage.services.instruct.hold(other, PLATFORM, V1, WHY)


def test_a_pin_is_met_by_the_highest_release_within_it(stage: Stage) -> None:
    """Also when that is an earlier one: exactly on, or within, is what a pin says."""
    stage.services.instruct.pin(PROD, PLATFORM, VersionRange("~1.0"), WHY)
    assert set(stage.running().values()) == {"1.0.0"}


def test_a_pin_does_not_lead_past_what_cannot_be_undone(stage: Stage) -> None:
    """It is recorded, and whoever gave it is told why nothing moves."""
    stage.publish("1.2.0", upgrade={"irreversible": True})
    stage.promote("1.2.0")
    outcome = stage.services.instruct.pin(PROD, PLATFORM, VersionRange("~1.0"), WHY)
    assert not outcome.plan.moves
    assert [reason.code for reason in outcome.plan.withheld[0].reasons] == ["pinned", "irreversible"]
    assert set(stage.running().values()) == {"1.2.0"}


@pytest.mark.parametrize(
    "act",
    [
        lambda do: do.hold(PROD, PLATFORM, V1, WHY),
        lambda do: do.hold(PROD, CILIUM, V1, WHY),
        lambda do: do.roll_back(PROD, CILIUM, V1, WHY),
        lambda do: do.roll_back_channel("stable", "platform", V1, Why(ENGINEER, "x")),
    ],
    ids=["hold", "hold component", "rollback component", "channel"],
)
def test_every_way_back_past_what_cannot_be_undone_is_refused(stage: Stage, act: Act) -> None:
    """With the release that is in the way, and what to do instead."""
    stage.publish("1.2.0", upgrade={"irreversible": True})
    stage.promote("1.2.0")
    with pytest.raises(RefusedError) as caught:
        act(stage.services.instruct)
    assert [reason.message for reason in caught.value.reasons] == ["platform@1.2.0 cannot be undone"]
    assert "fix forward" in caught.value.hint


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (lambda do: do.roll_back(PROD, PLATFORM, V1, Why(OLGA, "\n")), InvalidInputError),
        (lambda do: do.roll_back_channel("stable", "platform", V1, Why(ENGINEER, "")), InvalidInputError),
        (lambda do: do.roll_back(PROD, CILIUM, Version("9.9.9"), WHY), InvalidInputError),
        (
            lambda do: do.roll_back_channel("stable", "platform", Version("2.0.0"), Why(ENGINEER, "x")),
            InvalidInputError,
        ),
        (lambda do: do.roll_back(PROD, PLATFORM, Version("0.9.0"), WHY), NotFoundError),
        (lambda do: do.roll_back_channel("stable", "platform", V1, WHY), ForbiddenError),
        (
            lambda do: do.hold(
                PROD, PLATFORM, V1, Why(Holder("f", frozenset({"operator"}), frozenset({"flux"})).identity, "x")
            ),
            ForbiddenError,
        ),
        (lambda do: do.unpin(PROD, PLATFORM, Why(Holder("v", frozenset({"viewer"})).identity, "x")), ForbiddenError),
        (lambda do: do.unhold(PDPName("acme", "none"), PLATFORM, WHY), NotFoundError),
    ],
)
def test_what_may_not_or_cannot_be_is_refused_without_a_trace(stage: Stage, act: Act, error: type[UmsError]) -> None:
    """A dry run is refused alike."""
    before = stage.repo.read().base
    with pytest.raises(error):
        act(stage.services.instruct)
    assert stage.repo.read().base == before


@pytest.mark.parametrize(
    ("text", "subject"), [("platform", PLATFORM), ("platform/cilium", CILIUM), ("platform/", PLATFORM)]
)
def test_a_subject_is_a_bundle_or_a_component_of_it(text: str, subject: Subject) -> None:
    """As people write it."""
    assert Subject.parse(text) == subject
    assert str(subject) == text.rstrip("/")


def test_credentials_change_with_their_generation(stage: Stage) -> None:
    """Rotated in Git: what was right is wrong, in that very moment."""
    new = PDPName("acme", "new")
    passwords = []
    for generation in (1, 2):
        credentials = stage.services.bootstrap_data_plane.credentials.credentials(new, generation=generation)
        passwords.append((credentials.password, credentials.event_key))
    assert len({text for pair in passwords for text in pair}) == 4
    registration = Registration(new, "stable", ("platform",), credential_generation=2)
    stage.services.add_data_plane(registration, by=ADMIN)
    assert stage.services.authenticate_plane.by_password(str(new), passwords[0][0]) is None
    assert stage.services.authenticate_plane.by_password(str(new), passwords[1][0]) == new


def test_a_data_plane_gets_its_first_state_at_once(stage: Stage) -> None:
    """What its channel has; a dry run and an unknown channel leave no trace."""
    new = Registration(PDPName("acme", "new"), "stable", ("platform",))
    before = stage.repo.read().base
    assert stage.services.add_data_plane(new, by=ADMIN, dry_run=True).plan.moves
    with pytest.raises(NotFoundError, match="no channel none"):
        stage.services.add_data_plane(Registration(new.name, "none", ("platform",)), by=ADMIN)
    with pytest.raises(ForbiddenError):
        stage.services.add_data_plane(new, by=ENGINEER)
    assert stage.repo.read().base == before
    outcome = stage.services.add_data_plane(new, by=ADMIN)
    assert list(outcome.serials) == [new.name], "nobody else is touched"
    assert set(stage.running(new.name).values()) == {"1.1.0"}


def test_a_yanked_release_is_promoted_nowhere(stage: Stage) -> None:
    """Every reason is told at once, with whom to ask."""
    stage.publish("1.2.0")
    stage.services.withdraw_release.yank(ReleaseName("platform", Version("1.2.0")), Why(ADMIN, "corrupts data"))
    with pytest.raises(RefusedError) as caught:
        stage.services.promote(ReleaseName("platform", Version("1.2.0")), to="stable", by=ENGINEER)
    assert [reason.code for reason in caught.value.reasons] == ["gate-feeder", "gate-yanked"]
    assert all(reason.who_can_override for reason in caught.value.reasons)
