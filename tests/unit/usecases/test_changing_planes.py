"""Changing a registration – above all the channel, which never takes anybody back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.usecases.stage import ADMIN, PROD, Stage
from ums.domain.errors import ForbiddenError, InvalidInputError, NotFoundError
from ums.domain.identity import Holder
from ums.usecases.instruct import Why
from ums.usecases.record import Outcome

WHY = Why(ADMIN, "because")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return a data plane of stable on 1.0.0, with 1.1.0 in edge."""
    made = Stage(tmp_path)
    made.add_plane()
    made.publish("1.0.0")
    made.promote("1.0.0")
    made.publish("1.1.0")
    made.promote("1.1.0", "edge")
    return made


def change(stage: Stage, *, why: Why = WHY, dry_run: bool = False, **fields: Any) -> Outcome:  # noqa: ANN401
    """Change fields of the registration."""
    return stage.services.change_data_plane(PROD, lambda before: replace(before, **fields), why, dry_run=dry_run)


def test_who_switches_to_a_channel_that_is_ahead_goes_there(stage: Stage) -> None:
    """A dry run says so first."""
    (move,) = change(stage, channel="edge", dry_run=True).plan.moves
    assert str(move.after.release) == "1.1.0"
    assert stage.repo.read().plane(PROD).registration.channel == "stable"
    assert change(stage, channel="edge").recorded
    assert stage.running() == {"cilium": "1.1.0", "gateway": "1.1.0"}


def test_who_switches_to_a_channel_that_is_behind_stays(stage: Stage) -> None:
    """Until the channel has caught up; and is told so."""
    change(stage, channel="edge")
    outcome = change(stage, channel="stable")
    (withheld,) = outcome.plan.withheld
    assert [reason.code for reason in withheld.reasons] == ["ahead-of-channel"]
    assert stage.running() == {"cilium": "1.1.0", "gateway": "1.1.0"}
    desired = stage.repo.read().plane(PROD).desired
    assert desired is not None
    assert desired.channel == "stable"


def test_what_people_wrote_in_the_file_stays(stage: Stage) -> None:
    """Only the fields that change are written; the same again changes nothing."""
    change(stage, labels={"region": "eu"}, ask=True)
    content = stage.repo.file("main", "fleet/acme/prod/registration.yaml")
    assert content is not None
    assert content.startswith(b"# yaml-language-server:")
    assert b"ask: true" in content
    assert not change(stage, labels={"region": "eu"}).recorded
    change(stage, ask=False)
    content = stage.repo.file("main", "fleet/acme/prod/registration.yaml")
    assert content is not None
    assert b"ask" not in content
    assert stage.repo.read().plane(PROD).registration.labels == {"region": "eu"}


def test_values_are_offered_at_once_and_taken_back_as_easily(stage: Stage) -> None:
    """A new state each time, of the same releases; what people wrote beside them stays."""
    stage.publish("1.2.0", charts=["cilium"])
    stage.promote("1.2.0")
    first = stage.repo.read().plane(PROD).desired
    values = {"platform": {"cilium": {"hubble": {"enabled": True}}}}
    outcome = change(stage, sealed=False, values=values)
    assert (list(outcome.serials), outcome.plan.moves) == ([PROD], ())
    valued = stage.repo.read().plane(PROD)
    assert valued.registration.values == values
    assert first is not None
    assert valued.desired is not None
    assert valued.desired.serial > first.serial
    assert valued.desired.bundles == first.bundles
    assert valued.desired.bundles["platform"].values == {"cilium": '{"hubble":{"enabled":true}}'}
    assert not change(stage, values=values).recorded
    change(stage, values={})
    again = stage.repo.read().plane(PROD).desired
    assert again is not None
    assert not again.bundles["platform"].values
    assert b"values" not in (stage.repo.file("main", "fleet/acme/prod/registration.yaml") or b"")


def test_values_are_changed_by_whoever_may_change_their_bundle(stage: Stage) -> None:
    """A limit to another bundle is no right to them."""
    stage.publish("1.2.0", charts=["cilium"])
    values = {"platform": {"cilium": {"a": 1}}}
    for bundle, may in (("other", False), ("platform", True)):
        limited = Holder("somebody", frozenset({"admin"}), frozenset({bundle})).identity
        if may:
            assert change(stage, why=Why(limited, "x"), sealed=False, values=values).recorded
            continue
        with pytest.raises(ForbiddenError):
            change(stage, why=Why(limited, "x"), sealed=False, values=values)


def test_a_sealed_data_plane_is_refused_values(stage: Stage) -> None:
    """Up front, and in a dry run, as all are by default; unsealed in the registration, it may have them."""
    stage.publish("1.2.0", charts=["cilium"])
    values = {"platform": {"cilium": {"a": 1}}}
    with pytest.raises(InvalidInputError, match="is sealed"):
        change(stage, values=values, dry_run=True)
    assert change(stage, sealed=False, values=values).recorded
    with pytest.raises(InvalidInputError, match="is sealed"):
        change(stage, sealed=True)


@pytest.mark.parametrize(
    ("fields", "why", "error"),
    [
        ({"sealed": False, "values": {"platform": {"clium": {"a": 1}}}}, WHY, InvalidInputError),
        ({"sealed": False, "values": {"platform": {"cilium": {"manifests": "have none"}}}}, WHY, InvalidInputError),
        ({"sealed": False, "values": {"other": {"cilium": {"a": 1}}}}, WHY, InvalidInputError),
        ({"channel": "nowhere"}, WHY, NotFoundError),
        ({"channel": "edge"}, Why(ADMIN, ""), InvalidInputError),
        ({"channel": "edge"}, Why(Holder("olga", frozenset({"operator"})).identity, "x"), ForbiddenError),
    ],
)
def test_what_cannot_be_is_refused(stage: Stage, fields: dict[str, Any], why: Why, error: type[Exception]) -> None:
    """And nothing is recorded."""
    before = stage.repo.read().base
    with pytest.raises(error):
        change(stage, why=why, **fields)
    assert stage.repo.read().base == before
