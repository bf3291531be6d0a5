"""Releases that turned out to be bad: who keeps them, who leaves them, and where there is no way back."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.unit.usecases.stage import ADMIN, PROD, Stage
from ums.domain.errors import ForbiddenError, InvalidInputError, NotFoundError, RefusedError, UmsError
from ums.domain.fleet import Health
from ums.domain.identity import Holder
from ums.domain.names import PDPName
from ums.domain.release import ReleaseName
from ums.domain.version import Version, VersionRange
from ums.usecases.instruct import Subject, Why
from ums.usecases.withdraw import exposed

BAD = ReleaseName("platform", Version("1.1.0"))
V1, V3 = Version("1.0.0"), Version("1.2.0")
PLATFORM = Subject("platform")
NEW = PDPName("acme", "new")
WHY = Why(Holder("erik", frozenset({"release-engineer"})).identity, "corrupts data")


def make(folder: Path, **second: Any) -> Stage:  # noqa: ANN401 - a bundle's fields
    """Return a data plane that went from 1.0.0 to 1.1.0; 1.2.0 is only published."""
    stage = Stage(folder)
    stage.add_plane()
    stage.publish("1.0.0")
    stage.promote("1.0.0")
    stage.publish("1.1.0", **second)
    stage.promote("1.1.0")
    stage.hear(Health.HEALTHY, PROD)
    stage.publish("1.2.0")
    return stage


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return a data plane that has the bad release."""
    return make(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Return one for refusals, which leave no trace."""
    return make(tmp_path_factory.mktemp("shared"))


def on(stage: Stage, name: PDPName = PROD) -> str:
    """Return the release a data plane is on."""
    return " ".join(sorted(set(stage.running(name).values())))


def waits(stage: Stage, name: PDPName = PROD) -> list[str]:
    """Return why a data plane does not move."""
    return [reason.code for each in stage.services.plan().withheld if each.pdp == name for reason in each.reasons]


def test_who_has_a_yanked_release_keeps_it_and_nobody_new_gets_it(stage: Stage) -> None:
    """Until it is taken back; why stands in the log."""
    stage.services.withdraw_release.yank(BAD, WHY)
    stage.add_plane(NEW)
    assert (on(stage), on(stage, NEW), waits(stage, NEW)) == ("1.1.0", "", ["yanked"])
    stage.services.withdraw_release.unyank(BAD, Why(WHY.by, "it was the disk"))
    stage.services.reconcile()
    assert on(stage, NEW) == "1.1.0"
    log = stage.services.log(limit=2, path="catalog/platform/1.1.0")
    assert [(each.action, each.actor, each.reason) for each in log] == [
        ("unyank", "erik", "it was the disk"),
        ("yank", "erik", "corrupts data"),
    ]


@pytest.mark.parametrize(("to", "expected"), [(None, "1.2.0"), (V3, "1.2.0"), (V1, "1.0.0")])
def test_who_has_a_recalled_release_leaves_it(stage: Stage, to: Version | None, expected: str) -> None:
    """For the newest after it, or where the recall says, forward or back – though nobody promoted that."""
    stage.publish("1.3.0-rc.1")
    assert exposed(stage.world(), BAD) == (PROD,)
    stage.services.withdraw_release.recall(BAD, to, WHY)
    assert on(stage) == expected
    stage.add_plane(NEW)
    assert (on(stage, NEW), waits(stage, NEW)) == ("", ["yanked"])


def test_a_recall_back_is_left_again_with_the_next_promotion(stage: Stage) -> None:
    """The channel's head stays where it was, and the fix is a newer one."""
    stage.services.withdraw_release.recall(BAD, V1, WHY)
    assert waits(stage) == ["yanked"]
    stage.promote("1.2.0")
    assert on(stage) == "1.2.0"


def test_a_recall_of_where_a_recall_led_takes_everybody_on(stage: Stage) -> None:
    """Who never came there, too; to a release that the channel never had, as soon as one is well on it."""
    stage.add_plane(NEW)
    for name in (PROD, NEW):
        stage.services.instruct.hold(name, PLATFORM, None, Why(ADMIN, "acceptance test"))
    stage.services.withdraw_release.recall(BAD, None, WHY)
    stage.services.instruct.unhold(PROD, PLATFORM, Why(ADMIN, "done"))
    assert (on(stage), on(stage, NEW)) == ("1.2.0", "1.1.0")
    stage.publish("1.3.0")
    stage.services.withdraw_release.recall(ReleaseName("platform", V3), None, WHY)
    stage.services.instruct.unhold(NEW, PLATFORM, Why(ADMIN, "done"))
    assert (on(stage), on(stage, NEW), waits(stage, NEW)) == ("1.3.0", "1.1.0", ["first"])
    stage.hear(Health.HEALTHY, PROD)
    stage.clock.advance(timedelta(hours=1))
    stage.services.reconcile()
    assert (on(stage), on(stage, NEW)) == ("1.3.0", "1.3.0")


def test_a_recall_does_not_skip_a_barrier_on_the_way_back(tmp_path: Path) -> None:
    """It may end there."""
    stage = make(tmp_path, upgrade={"barrier": "migrates"})
    stage.promote("1.2.0")
    stage.hear(Health.HEALTHY, PROD)
    worse = ReleaseName("platform", V3)
    with pytest.raises(RefusedError, match=r"cannot go back from 1\.2\.0 to 1\.0\.0") as caught:
        stage.services.withdraw_release.recall(worse, V1, WHY)
    assert caught.value.hint == "go back to 1.1.0 at the most, or fix forward"
    stage.services.withdraw_release.recall(worse, BAD.version, WHY)
    assert on(stage) == "1.1.0"


@pytest.mark.parametrize("upgrade", [{"irreversible": True}, {"irreversible": True, "barrier": "migrates"}])
def test_no_recall_leads_back_past_what_cannot_be_undone(tmp_path: Path, upgrade: dict[str, Any]) -> None:
    """It is refused at once, and the way forward is open."""
    stage = make(tmp_path, upgrade=upgrade)
    before = stage.world()
    with pytest.raises(RefusedError) as caught:
        stage.services.withdraw_release.recall(BAD, V1, WHY)
    assert [reason.message for reason in caught.value.reasons] == ["platform@1.1.0 cannot be undone"]
    assert caught.value.hint == "fix forward: publish and promote a newer release"
    assert stage.world() == before
    stage.services.withdraw_release.recall(BAD, None, WHY)
    assert on(stage) == "1.2.0"


@pytest.mark.parametrize("kept", ["hold", "pin"])
def test_a_hold_or_a_pin_on_a_recalled_release_is_not_overrun(stage: Stage, kept: str) -> None:
    """It is shouted about; who lifts it lets the data plane go."""
    do = stage.services.instruct
    operator = Why(ADMIN, "acceptance test")
    if kept == "hold":
        do.hold(PROD, PLATFORM, None, operator)
    else:
        do.pin(PROD, PLATFORM, VersionRange("1.1.0"), operator)
    stage.services.withdraw_release.recall(BAD, None, WHY)
    assert (on(stage), waits(stage)) == ("1.1.0", ["recalled"])
    assert f"a {kept} keeps it here, which is dangerous" in stage.services.see(ADMIN).explain(PROD)[0].sentence
    (do.unhold if kept == "hold" else do.unpin)(PROD, PLATFORM, operator)
    assert on(stage) == "1.2.0"


def test_a_hold_elsewhere_leads_away_from_a_recalled_release(stage: Stage) -> None:
    """And not where the recall would: people were more exact."""
    do = stage.services.instruct
    do.hold(PROD, PLATFORM, None, Why(ADMIN, "acceptance test"))
    stage.services.withdraw_release.recall(BAD, None, WHY)
    do.roll_back(PROD, PLATFORM, V1, Why(ADMIN, "it was better"))
    assert on(stage) == "1.0.0"


@pytest.mark.parametrize(
    ("name", "to", "why", "error"),
    [
        (BAD, BAD.version, WHY, InvalidInputError),
        (BAD, Version("9.0.0"), WHY, NotFoundError),
        (ReleaseName("platform", Version("9.0.0")), None, WHY, NotFoundError),
        (ReleaseName("platform", V3), None, WHY, InvalidInputError),
        (ReleaseName("platform", V1), BAD.version, WHY, InvalidInputError),
        (BAD, None, Why(WHY.by, ""), InvalidInputError),
        (BAD, None, Why(Holder("olga", frozenset({"operator"})).identity, "x"), ForbiddenError),
    ],
    ids=["to itself", "to none", "of none", "of the newest", "to a yanked one", "no reason", "no right"],
)
def test_a_recall_that_leads_nowhere_is_refused(
    shared: Stage, name: ReleaseName, to: Version | None, why: Why, error: type[UmsError]
) -> None:
    """And leaves no trace."""
    shared.services.withdraw_release.yank(BAD, WHY)
    before = shared.world()
    with pytest.raises(error):
        shared.services.withdraw_release.recall(name, to, why)
    assert shared.world() == before


def test_a_rollback_does_not_cross_a_barrier(tmp_path: Path) -> None:
    """It may stop on it: what the barrier did has been done. The refusal says how far one may go."""
    stage = make(tmp_path, upgrade={"barrier": "migrates the database"})
    stage.promote("1.2.0")
    do = stage.services.instruct
    for act, where in ((partial(do.roll_back, PROD), PLATFORM), (partial(do.roll_back_channel, "stable"), "platform")):
        with pytest.raises(RefusedError) as caught:
            act(where, V1, Why(ADMIN, "x"))
        assert [reason.message for reason in caught.value.reasons] == ["platform@1.1.0 lies between, a barrier"]
        assert caught.value.hint == "go back to 1.1.0 at the most, or fix forward"
    do.roll_back(PROD, PLATFORM, BAD.version, Why(ADMIN, "x"))
    assert on(stage) == "1.1.0"
