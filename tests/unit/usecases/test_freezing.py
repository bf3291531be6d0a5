"""Freezing and thawing: what is recorded, who may, and what names nothing."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.unit.usecases.stage import ADMIN, PROD, Stage
from ums.domain import layout
from ums.domain.errors import ForbiddenError, InvalidInputError, NotFoundError, RefusedError, UmsError
from ums.domain.freezes import UNREADABLE, Scope
from ums.domain.identity import Holder
from ums.domain.names import PDPName
from ums.domain.release import ReleaseName
from ums.domain.version import Version
from ums.domain.world import Decision, Raw
from ums.usecases.instruct import Subject, Why

OLGA = Why(Holder("olga", frozenset({"operator"})).identity, "incident 4711")
LIMITED = Holder("fay", frozenset({"operator"}), frozenset({"flux"})).identity
EVERYTHING = Scope()
V2 = ReleaseName("platform", Version("1.1.0"))


def make(folder: Path) -> Stage:
    """Return a data plane on 1.1.0, which was on 1.0.0 before."""
    made = Stage(folder)
    made.add_plane()
    for version in ("1.0.0", "1.1.0"):
        made.publish(version)
        made.promote(version)
    return made


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return one that nobody touched."""
    return make(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Return one for refusals, which leave no trace."""
    return make(tmp_path_factory.mktemp("shared"))


def test_a_rollback_under_a_freeze_is_recorded_and_done_at_the_thaw(stage: Stage) -> None:
    """Nobody's decision is lost; who froze and who thawed stands in the log."""
    stage.services.freeze_fleet.freeze("incident", EVERYTHING, OLGA)
    stage.services.instruct.roll_back(PROD, Subject("platform"), Version("1.0.0"), Why(ADMIN, "x"))
    assert set(stage.running().values()) == {"1.1.0"}
    stage.services.freeze_fleet.thaw("incident", Why(ADMIN, "we are back"))
    assert set(stage.running().values()) == {"1.0.0"}
    log = stage.services.log(limit=2, path=layout.FREEZES)
    assert [(each.actor, each.action, each.reason) for each in log] == [
        ("ada", "thaw", "we are back"),
        ("olga", "freeze", "incident 4711"),
    ]


def test_nothing_is_promoted_under_a_freeze_until_it_ends(stage: Stage) -> None:
    """A wish is not taken either, for only a person can end it; with the time it is over."""
    until = stage.clock.now() + timedelta(hours=1)
    stage.publish("1.2.0")
    name = ReleaseName("platform", Version("1.2.0"))
    stage.services.freeze_fleet.freeze("night", Scope(channel="edge"), Why(OLGA.by, "x", until))
    for when_ready in (False, True):
        with pytest.raises(RefusedError) as caught:
            stage.services.promote(name, to="edge", by=ADMIN, when_ready=when_ready)
        (reason,) = caught.value.reasons
        assert (reason.code, reason.until) == ("gate-freeze", "2026-11-23T13:00:00Z")
    stage.clock.advance(timedelta(hours=1))
    stage.promote("1.2.0", "edge")
    stage.services.freeze_fleet.freeze("other", EVERYTHING, OLGA)
    assert [each.name for each in stage.world().freezes] == ["other"], "one that ended is not kept"


def test_a_freeze_of_the_same_name_is_replaced(stage: Stage) -> None:
    """It is one ban, with another scope."""
    for scope in (EVERYTHING, Scope(org="acme")):
        stage.services.freeze_fleet.freeze("incident", scope, OLGA)
    assert [each.scope for each in stage.world().freezes] == [Scope(org="acme")]


@pytest.mark.parametrize(
    ("scope", "why", "error"),
    [
        (Scope(channel="none"), OLGA, NotFoundError),
        (Scope(bundle="none"), OLGA, NotFoundError),
        (Scope(org="none"), OLGA, NotFoundError),
        (Scope(pdp=PDPName("acme", "none")), OLGA, NotFoundError),
        (EVERYTHING, Why(OLGA.by, " "), InvalidInputError),
        (EVERYTHING, Why(Holder("vic", frozenset({"viewer"})).identity, "x"), ForbiddenError),
        (EVERYTHING, Why(LIMITED, "x"), ForbiddenError),
        (Scope(bundle="platform"), Why(LIMITED, "x"), ForbiddenError),
    ],
)
def test_a_freeze_of_nothing_by_nobody_or_for_nothing_is_refused(
    shared: Stage, scope: Scope, why: Why, error: type[UmsError]
) -> None:
    """Whoever names what is not there means something else; a token for one bundle freezes no other."""
    before = shared.world()
    with pytest.raises(error):
        shared.services.freeze_fleet.freeze("incident", scope, why)
    assert shared.world() == before


@pytest.mark.parametrize(
    ("name", "why", "error"),
    [
        ("incident", Why(OLGA.by, ""), InvalidInputError),
        ("incident", Why(LIMITED, "x"), ForbiddenError),
    ],
)
def test_what_is_frozen_is_thawed_by_its_name_and_by_those_who_may(
    shared: Stage, name: str, why: Why, error: type[UmsError]
) -> None:
    """With a reason."""
    shared.services.freeze_fleet.freeze("incident", EVERYTHING, OLGA)
    with pytest.raises(error):
        shared.services.freeze_fleet.thaw(name, why)
    assert len(shared.world().freezes) == 1


@pytest.mark.parametrize("content", [b"freezes: [", b"freezes: 3\n"], ids=["no YAML", "no list"])
def test_a_file_of_freezes_that_cannot_be_read_freezes_everything(stage: Stage, content: bytes) -> None:
    """It was meant to stop something: people mend it, and no verb overwrites it, whatever name it is given."""
    broken = Decision("x", "x", "x", "x", stage.clock.now(), {layout.FREEZES: Raw(content)})
    stage.repo.commit(broken, base=stage.repo.read().base)
    stage.services.instruct.roll_back(PROD, Subject("platform"), Version("1.0.0"), Why(ADMIN, "x"))
    assert set(stage.running().values()) == {"1.1.0"}
    assert [each.file for each in stage.world().problems] == [layout.FREEZES]
    assert UNREADABLE.reason.who_can_override is None
    assert UNREADABLE.reason.message.endswith("the file must be corrected in the release repo")
    do = stage.services.freeze_fleet
    for name in ("incident", UNREADABLE.name):
        with pytest.raises(InvalidInputError, match=r"freezes\.yaml cannot be read"):
            do.freeze(name, EVERYTHING, OLGA)
    with pytest.raises(InvalidInputError, match=r"freezes\.yaml cannot be read"):
        do.thaw(UNREADABLE.name, OLGA)
    assert stage.repo.file("main", layout.FREEZES) == content
