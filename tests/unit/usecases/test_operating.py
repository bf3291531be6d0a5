"""Pinning, holding, rolling back, hearing back – and the road that all decisions take."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.usecases.stage import ADMIN, PROD, Stage
from ums.domain.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    RefusedError,
    UnauthenticatedError,
    UnavailableError,
)
from ums.domain.fleet import Health, Registration, Report
from ums.domain.identity import Holder
from ums.domain.names import PDPName
from ums.domain.version import Version, VersionRange
from ums.usecases.instruct import ROLLBACK_HOLD, Subject, Why

PLATFORM = Subject("platform")
CILIUM = Subject("platform", "cilium")
WHY = Why(ADMIN, "because")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return a data plane on 1.0.0, with 1.1.0 published."""
    made = Stage(tmp_path)
    made.add_plane()
    made.publish("1.0.0")
    made.promote("1.0.0")
    made.publish("1.1.0")
    return made


def test_a_pinned_component_stays_while_the_rest_moves(stage: Stage) -> None:
    """Without a range, what runs now is meant; unpinned, it follows again."""
    stage.services.instruct.pin(PROD, CILIUM, None, WHY)
    stage.promote("1.1.0")
    assert stage.running() == {"cilium": "1.0.0", "gateway": "1.1.0"}
    stage.services.instruct.unpin(PROD, CILIUM, WHY)
    assert stage.running() == {"cilium": "1.1.0", "gateway": "1.1.0"}


def test_a_rollback_holds_and_ends_by_itself(stage: Stage) -> None:
    """It stays back although the head is newer, and not for ever."""
    stage.promote("1.1.0")
    stage.services.instruct.roll_back(PROD, PLATFORM, Version("1.0.0"), WHY)
    stage.services.reconcile()
    assert set(stage.running().values()) == {"1.0.0"}
    stage.clock.advance(ROLLBACK_HOLD)
    stage.services.reconcile()
    assert set(stage.running().values()) == {"1.1.0"}


def test_a_channel_goes_back_as_a_whole(stage: Stage) -> None:
    """Its head stays where it was, and is reached again when the hold ends."""
    stage.promote("1.1.0")
    stage.services.instruct.roll_back_channel("stable", "platform", Version("1.0.0"), WHY)
    assert set(stage.running().values()) == {"1.0.0"}
    assert str(stage.repo.read().channel("stable").tracks["platform"].head.release) == "1.1.0"
    stage.services.instruct.unhold_channel("stable", "platform", WHY)
    assert set(stage.running().values()) == {"1.1.0"}


def test_nobody_goes_back_past_what_cannot_be_undone(stage: Stage) -> None:
    """An irreversible release is a door that closes behind you."""
    stage.publish("1.2.0", upgrade={"irreversible": True})
    stage.promote("1.2.0")
    with pytest.raises(RefusedError) as caught:
        stage.services.instruct.roll_back(PROD, PLATFORM, Version("1.1.0"), WHY)
    assert [reason.code for reason in caught.value.reasons] == ["irreversible"]


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (lambda do: do.pin(PROD, PLATFORM, None, Why(ADMIN, "  ")), InvalidInputError),
        (lambda do: do.pin(PROD, Subject("other"), None, WHY), NotFoundError),
        (lambda do: do.pin(PROD, Subject("platform", "other"), None, WHY), NotFoundError),
        (lambda do: do.pin(PDPName("acme", "none"), PLATFORM, None, WHY), NotFoundError),
        (lambda do: do.hold(PROD, PLATFORM, Version("9.9.9"), WHY), NotFoundError),
        (lambda do: do.roll_back(PROD, PLATFORM, Version("1.1.0"), WHY), InvalidInputError),
        (lambda do: do.roll_back_channel("edge", "other", Version("1.0.0"), WHY), NotFoundError),
        (lambda do: do.unhold_channel("none", "platform", WHY), NotFoundError),
        (
            lambda do: do.pin(PROD, PLATFORM, None, Why(Holder("v", frozenset({"viewer"})).identity, "x")),
            ForbiddenError,
        ),
        (
            lambda do: do.unhold_channel("stable", "platform", Why(Holder("o", frozenset({"operator"})).identity, "x")),
            ForbiddenError,
        ),
    ],
)
def test_bad_instructions_are_refused_and_leave_no_trace(
    stage: Stage, act: Callable[[Any], object], error: type[Exception]
) -> None:
    """Each with its own error; nothing is recorded."""
    before = stage.repo.read().base
    with pytest.raises(error):
        act(stage.services.instruct)
    assert stage.repo.read().base == before


def test_an_end_in_the_past_is_refused(stage: Stage) -> None:
    """It would never have counted."""
    past = Why(ADMIN, "x", stage.clock.now() - timedelta(seconds=1))
    with pytest.raises(InvalidInputError, match="past"):
        stage.services.instruct.pin(PROD, PLATFORM, VersionRange("1.x"), past)


def test_who_loses_the_race_decides_again_and_gives_up_at_last(stage: Stage) -> None:
    """A lost compare-and-swap is nobody's problem until it is everybody's."""
    stage.repo.losing = 3
    stage.promote("1.1.0", "edge")
    assert str(stage.repo.read().channel("edge").tracks["platform"].head.release) == "1.1.0"
    stage.repo.losing = 1000
    with pytest.raises(UnavailableError):
        stage.promote("1.1.0", "stable")


def test_the_loop_issues_what_ages_and_nothing_else(stage: Stage) -> None:
    """Serials rise with each issue, and only then."""
    first = stage.repo.read().plane(PROD).desired
    assert not stage.services.reconcile().recorded
    stage.clock.advance(timedelta(days=4))
    outcome = stage.services.reconcile()
    second = stage.repo.read().plane(PROD).desired
    assert first is not None
    assert second is not None
    assert outcome.serials == {PROD: second.serial}
    assert second.serial > first.serial
    assert second.bundles == first.bundles


def test_a_data_plane_is_registered_once(stage: Stage) -> None:
    """The same again is fine, another under its name is not."""
    registration = Registration(PROD, "stable", ("platform",))
    assert not stage.services.add_data_plane(registration, by=ADMIN).recorded
    with pytest.raises(ConflictError):
        stage.services.add_data_plane(Registration(PROD, "edge", ("platform",)), by=ADMIN)


def test_bootstrap_brings_the_guard_before_the_sources_and_the_current_state(stage: Stage) -> None:
    """Whoever applies it in order is never without protection, and cannot start with an old state."""
    objects = stage.services.bootstrap_data_plane(PROD, by=ADMIN)
    kinds = [each["kind"] for each in objects]
    assert kinds[0] == "Namespace"
    assert kinds.index("ValidatingAdmissionPolicyBinding") < kinds.index("GitRepository") < kinds.index("Kustomization")
    state = next(each for each in objects if each["metadata"]["name"] == "ums-state")
    desired = stage.repo.read().plane(PROD).desired
    assert desired is not None
    assert state["data"]["serial"] == str(desired.serial)
    with pytest.raises(ForbiddenError):
        stage.services.bootstrap_data_plane(PROD, by=Holder("o", frozenset({"operator"})).identity)


def event(stage: Stage, *, reason: str, name: str = "ums-root", at: int = 0, **fields: object) -> dict[str, Any]:
    """Return an event as notification-controller sends it."""
    moment = stage.clock.now() + timedelta(seconds=at)
    body = {
        "involvedObject": {"kind": "Kustomization", "name": name, "namespace": "ums-system"},
        "severity": "info" if reason in {"ReconciliationSucceeded", "Progressing"} else "error",
        "timestamp": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "message": "said so",
        "reason": reason,
        "metadata": {"kustomize.toolkit.fluxcd.io/revision": f"delivery@sha1:{stage.repo.read().base.delivery}"},
    }
    return {**body, **fields}


def health(stage: Stage) -> Health:
    """Return what may be said of the data plane."""
    return stage.services.record.world().plane(PROD).health(stage.clock.now())


def test_the_root_alone_says_that_all_is_well(stage: Stage) -> None:
    """A wrapper's success is not the data plane's."""
    assert health(stage) is Health.UNKNOWN
    assert not stage.services.record_event(PROD, event(stage, reason="ReconciliationSucceeded", name="platform-cilium"))
    assert stage.services.record_event(PROD, event(stage, reason="ReconciliationSucceeded"))
    assert health(stage) is Health.HEALTHY


def test_events_in_any_order_and_number_end_in_the_same_state(stage: Stage) -> None:
    """The newest wins; what was seen before changes nothing, not even when it was heard."""
    newest = event(stage, reason="ReconciliationSucceeded", at=5)
    older = event(stage, reason="HealthCheckFailed", at=3)
    for each in (newest, older, newest, older):
        stage.services.record_event(PROD, each)
        stage.clock.advance(timedelta(seconds=1))
    assert health(stage) is Health.HEALTHY
    report = stage.services.record.world().plane(PROD).report
    assert report is not None
    assert report.heard == stage.clock.now() - timedelta(seconds=4)


def test_a_failure_keeps_the_name_of_its_component(stage: Stage) -> None:
    """The root repeats what a wrapper said first, less exactly."""
    stage.services.record_event(PROD, event(stage, reason="HealthCheckFailed", name="platform-cilium", at=1))
    stage.services.record_event(PROD, event(stage, reason="HealthCheckFailed", at=2))
    report = stage.services.record.world().plane(PROD).report
    assert report is not None
    assert (report.health, report.component) == (Health.FAILED, "platform-cilium")


def test_a_report_on_an_older_state_means_updating(stage: Stage) -> None:
    """Healthy on what was is not healthy on what is."""
    stage.services.record_event(PROD, event(stage, reason="ReconciliationSucceeded"))
    stage.clock.advance(timedelta(seconds=10))
    stage.promote("1.1.0")
    assert health(stage) is Health.UPDATING


def test_a_serial_from_far_ahead_does_not_outlive_the_branch_that_had_it(stage: Stage) -> None:
    """Reported on while an attacker's state was on the branch, forgotten when the branch is put right."""
    far = Report(9_000_000_000, Health.FAILED, "", "", stage.clock.now(), stage.clock.now())
    stage.store.record(PROD, far)
    assert health(stage) is Health.UPDATING
    assert stage.services.record_event(PROD, event(stage, reason="ReconciliationSucceeded"))
    assert health(stage) is Health.HEALTHY


def test_who_falls_silent_goes_stale(stage: Stage) -> None:
    """However green its last words were."""
    stage.services.record_event(PROD, event(stage, reason="ReconciliationSucceeded"))
    stage.clock.advance(timedelta(days=8))
    assert health(stage) is Health.STALE


@pytest.mark.parametrize(
    "change",
    [
        {"involvedObject": {"kind": "HelmRelease", "name": "x", "namespace": "ums-system"}},
        {"involvedObject": {"kind": "Kustomization", "name": "ums-root", "namespace": "other"}},
        {"timestamp": "yesterday"},
        {"involvedObject": None},
    ],
)
def test_what_is_no_event_of_ours_is_refused(stage: Stage, change: dict[str, Any]) -> None:
    """Other namespaces and kinds, and nonsense."""
    with pytest.raises(InvalidInputError):
        stage.services.record_event(PROD, event(stage, reason="ReconciliationSucceeded", **change))


def test_a_data_plane_proves_itself_by_password_and_by_signature(stage: Stage) -> None:
    """Each has its own, and a wrong one is worth nothing."""
    secrets = {
        each["metadata"]["name"]: each["stringData"]
        for each in stage.services.bootstrap_data_plane(PROD, by=ADMIN)
        if "stringData" in each
    }
    check = stage.services.authenticate_plane
    password = secrets["ums-git"]["password"]
    assert check.by_password(str(PROD), password) == PROD
    assert check.by_password(str(PROD), password[:-1] + "x") is None
    assert check.by_password("acme/other", password) is None
    assert check.by_password("nonsense", password) is None
    body = json.dumps({"a": 1}).encode()
    right = "sha256=" + hmac.new(secrets["ums-events"]["token"].encode(), body, hashlib.sha256).hexdigest()
    check.by_signature(PROD, body, right)
    for pdp, content, signature in ((PROD, b"x", right), (PROD, body, ""), (PDPName("acme", "other"), body, right)):
        with pytest.raises(UnauthenticatedError):
            check.by_signature(pdp, content, signature)


def test_tokens_end_and_only_their_hashes_are_kept(stage: Stage) -> None:
    """A token is known until its end; nobody makes one that could do nothing, and its groups are names."""
    holder = Holder("ci", frozenset({"publisher"}), frozenset({"platform"}))
    token = stage.services.issue_token(holder, expires=stage.clock.now() + timedelta(hours=1), by=ADMIN)
    assert stage.services.authenticate(token) == holder.identity
    stage.clock.advance(timedelta(hours=1))
    with pytest.raises(UnauthenticatedError):
        stage.services.authenticate(token)
    for groups, text in (
        ({"kings"}, "a token needs a role; kings"),
        ((), "a token needs a role"),
        ({"A b"}, "group name"),
    ):
        with pytest.raises(InvalidInputError, match=text):
            stage.services.issue_token(Holder("x", frozenset(groups)), expires=None, by=ADMIN)
    assert stage.services.issue_token(Holder("sam", frozenset({"viewer", "security"})), expires=None, by=ADMIN)
    with pytest.raises(ForbiddenError):
        stage.services.issue_token(holder, expires=None, by=holder.identity)
