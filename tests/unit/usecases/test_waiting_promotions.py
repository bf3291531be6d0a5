"""Promotions that wait for their gates: executed, taken back, and what stays of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.unit.usecases.stage import ADMIN, AT_ONCE, PROD, Stage
from ums.domain.errors import ConflictError, ForbiddenError, InvalidInputError
from ums.domain.identity import Holder
from ums.domain.release import ReleaseName
from ums.domain.version import Version
from ums.usecases.instruct import Why

BOB = Holder("bob", frozenset({"sre", "viewer"})).identity
NAME = ReleaseName("platform", Version("1.0.0"))
POLICY = {"gates": {"approvals": {"required": 1, "groups": ["sre"]}}, "rollout": AT_ONCE}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return a release that somebody of sre must approve before stable takes it, and that ada wants there."""
    made = Stage(tmp_path)
    made.add_plane()
    made.services.set_policy("stable", yaml.safe_dump(POLICY).encode(), Why(ADMIN, "ask somebody"))
    made.publish("1.0.0")
    outcome = made.services.promote(NAME, to="stable", by=ADMIN, reason="patch day", when_ready=True)
    assert outcome.recorded
    return made


def test_a_wish_is_granted_once_all_gates_are_open_and_its_gates_are_kept(stage: Stage) -> None:
    """Who reads it years later sees who wanted it, who agreed, and what each gate said."""
    assert not stage.services.reconcile().recorded
    stage.services.approve(NAME, to="stable", by=BOB, reason="notes read")
    stage.services.reconcile()
    request = stage.repo.read().channel("stable").request("platform", NAME.version)
    assert request.wanted is not None
    assert request.executed is not None
    assert (request.wanted.by, request.executed.given.by) == ("ada", "ada")
    said = {gate["gate"]: gate["verdict"] for gate in request.executed.gates}
    assert said["approvals"] == said["signatures"] == "passed"
    assert [each.given.by for each in request.approvals] == ["bob"]
    assert stage.running() == {"cilium": "1.0.0", "gateway": "1.0.0"}


def test_a_wish_that_was_taken_back_is_not_granted(stage: Stage) -> None:
    """Its approvals stay; whoever asks again finds them."""
    stage.services.approve(NAME, to="stable", by=BOB, reason="notes read", dry_run=True)
    stage.services.cancel_promotion(NAME, to="stable", why=Why(ADMIN, "not today"))
    assert stage.repo.read().channel("stable").requests == {}
    stage.services.approve(NAME, to="stable", by=BOB, reason="notes read")
    assert not stage.services.cancel_promotion(NAME, to="stable", why=Why(ADMIN, "not today")).recorded
    assert not stage.services.reconcile().recorded
    assert stage.services.promote(NAME, to="stable", by=ADMIN, reason="now").recorded


def test_what_was_executed_is_neither_cancelled_nor_approved_any_more(stage: Stage) -> None:
    """The refusal says what can still be done."""
    stage.services.approve(NAME, to="stable", by=BOB, reason="notes read")
    stage.services.reconcile()
    with pytest.raises(ConflictError, match="was promoted to stable already") as caught:
        stage.services.cancel_promotion(NAME, to="stable", why=Why(ADMIN, "too late"))
    assert "ums rollout cancel stable platform" in caught.value.hint
    with pytest.raises(ConflictError, match="was promoted to stable already"):
        stage.services.approve(NAME, to="stable", by=BOB, reason="late", rejects=True)


def test_cancelling_needs_a_reason_and_a_release_engineer(stage: Stage) -> None:
    """As promoting does."""
    with pytest.raises(InvalidInputError, match="a reason is missing"):
        stage.services.cancel_promotion(NAME, to="stable", why=Why(ADMIN, " "))
    with pytest.raises(ForbiddenError):
        stage.services.cancel_promotion(NAME, to="stable", why=Why(BOB, "no"))
    assert stage.repo.read().plane(PROD).desired is not None
