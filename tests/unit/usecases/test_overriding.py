"""What a release takes back stops it, until a person decides otherwise for this release and channel."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.contract.test_release_repo import git_repo
from tests.unit.usecases.stage import ADMIN, AT_ONCE, Stage
from ums.domain import layout
from ums.domain.channels import Override
from ums.domain.digest import Digest
from ums.domain.errors import ConflictError, ForbiddenError, InvalidInputError, RefusedError
from ums.domain.gates import Gate, Verdict, ask_gates, regression_findings
from ums.domain.identity import Grant, Holder, Identity
from ums.domain.policy import GateName
from ums.domain.release import ReleaseName
from ums.domain.version import Version
from ums.usecases.instruct import Why

BACK = ReleaseName("platform", Version("1.1.0"))
ERIK = Holder("erik", frozenset({"release-engineer"})).identity
WHY = Why(ERIK, "1.16.4 loses packets")
LOST = {"cilium": "1.16.3", "gateway": "3.2.0"}
SECURITY: dict[str, Any] = {"class": "security"}
CVE: dict[str, Any] = {"class": "security", "fixes": ["CVE-2026-0001"]}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return ``edge`` with a fix of cilium that 1.1.0 takes back."""
    return make(Stage(tmp_path))


def make(stage: Stage) -> Stage:
    """Promote the fix, and publish what takes it back."""
    stage.publish("1.0.0", {"cilium": "1.16.3", "gateway": "3.1.0"})
    stage.publish("1.0.1", {"cilium": "1.16.4", "gateway": "3.1.0"}, **CVE)
    stage.promote("1.0.1", "edge")
    stage.publish("1.1.0", LOST)
    return stage


def gate(stage: Stage, name: ReleaseName = BACK) -> Gate:
    """Return what the gate says."""
    world = stage.world()
    gates = ask_gates(world, world.channel("edge"), name, stage.clock.now())
    return next(each for each in gates if each.name is GateName.REGRESSION)


def test_a_lost_fix_closes_the_gate_and_says_what_is_lost(stage: Stage) -> None:
    """Every other gate is open: without this one the fix would be lost without a word."""
    with pytest.raises(RefusedError) as caught:
        stage.services.promote(BACK, to="edge", by=ADMIN)
    (reason,) = caught.value.reasons
    assert reason.code == "gate-regression"
    assert reason.message == (
        "platform@1.1.0 takes back what edge has with platform@1.0.1: older components: cilium 1.16.4 -> 1.16.3; "
        "lost fixes: CVE-2026-0001 in cilium, CVE-2026-0001 in gateway"
    )
    assert reason.who_can_override == "a release engineer (ums override regression platform@1.1.0 --to edge --reason …)"
    with pytest.raises(RefusedError):
        stage.services.promote(BACK, to="edge", by=ADMIN, when_ready=True)


def test_what_the_channel_keeps_without_its_head_counts_too(stage: Stage) -> None:
    """A release that merely lacks a component leaves it running, with its fix."""
    stage.publish("1.0.2", {"gateway": "3.1.0"})
    stage.promote("1.0.2", "edge")
    assert "older components: cilium 1.16.4 -> 1.16.3; lost fixes: " in gate(stage).message
    assert "CVE-2026-0001 in cilium" in gate(stage).message


def test_what_cannot_be_read_is_unknown_and_can_be_overridden(stage: Stage) -> None:
    """A head that is lost from the catalog stops the channel no longer than until a person looked."""
    world = stage.world()
    versions = {version: each for version, each in world.catalog["platform"].items() if str(version) != "1.0.1"}
    damaged = replace(world, catalog={"platform": versions})

    def asked() -> Verdict:
        gates = ask_gates(damaged, damaged.channel("edge"), BACK, stage.clock.now())
        return next(each.verdict for each in gates if each.name is GateName.REGRESSION)

    assert asked() is Verdict.UNKNOWN
    findings, _ = regression_findings(damaged, damaged.channel("edge"), BACK)
    digests = (world.channel("edge").policy.digest, str(world.entry("platform", BACK.version).digest))
    override = Override(WHY.given(stage.clock.now()), "regression", findings, *digests)
    request = replace(damaged.channel("edge").request("platform", BACK.version), overrides=(override,))
    damaged = damaged.with_channel(damaged.channel("edge").with_request(request))
    assert asked() is Verdict.SKIPPED


def test_no_fast_path_goes_past_it(stage: Stage) -> None:
    """It protects, it does not delay."""
    fast = {"classes": ["security"], "skip": ["soak"], "approvals": {"required": 1, "groups": ["security"]}}
    stage.set_policy("edge", rollout=AT_ONCE, expedite=fast)
    stage.publish("1.2.0", LOST, **SECURITY)
    name = ReleaseName("platform", Version("1.2.0"))
    stage.services.approve(name, to="edge", by=Holder("sue", frozenset({"viewer", "security"})).identity, reason="x")
    with pytest.raises(RefusedError) as caught:
        stage.services.promote(name, to="edge", by=ERIK, reason="urgent", expedite=True)
    assert [each.code for each in caught.value.reasons] == ["gate-regression"]


def test_an_override_lets_it_pass_and_stands_in_log_gates_and_release(stage: Stage) -> None:
    """Who, why and what; asked for twice, it is one."""
    assert stage.services.override_gate("regression", BACK, to="edge", why=WHY).recorded
    assert not stage.services.override_gate("regression", BACK, to="edge", why=Why(ADMIN, "again")).recorded
    entry = stage.services.log(limit=1)[0]
    assert (entry.subject, entry.actor, entry.action, entry.reason) == (
        "channels/edge: Override gate regression for platform@1.1.0",
        "erik",
        "override-gate",
        "1.16.4 loses packets",
    )
    assert gate(stage).verdict is Verdict.SKIPPED
    stage.services.promote(BACK, to="edge", by=ADMIN, reason="go")
    world = stage.world()
    executed = world.channel("edge").request("platform", BACK.version).executed
    assert executed is not None
    (kept,) = [each for each in executed.gates if each["gate"] == "regression"]
    assert kept["verdict"] == "skipped"
    assert kept["message"].startswith("overridden by erik: 1.16.4 loses packets (")
    (skipped,) = world.entry("platform", BACK.version).skipped
    assert (skipped.channel, skipped.gates, skipped.given.by, skipped.given.reason) == (
        "edge",
        ("regression",),
        "erik",
        "1.16.4 loses packets",
    )
    with pytest.raises(ConflictError, match="was promoted to edge already"):
        stage.services.override_gate("regression", BACK, to="edge", why=WHY)


def test_it_is_for_one_release_in_one_channel(stage: Stage) -> None:
    """Another channel with the same fix, and another release that loses it, need their own."""
    stage.promote("1.0.1", "stable")
    stage.publish("1.2.0", LOST)
    stage.services.override_gate("regression", BACK, to="edge", why=WHY)
    assert gate(stage, ReleaseName("platform", Version("1.2.0"))).verdict is Verdict.FAILED
    world = stage.world()
    there = {each.name: each for each in ask_gates(world, world.channel("stable"), BACK, stage.clock.now())}
    assert there[GateName.REGRESSION].verdict is Verdict.FAILED


def test_it_is_void_when_the_policy_the_digest_or_what_is_lost_changes(stage: Stage) -> None:
    """As an approval is; what nobody looked at is not overridden."""
    stage.services.override_gate("regression", BACK, to="edge", why=WHY)
    world = stage.world()
    other = world.with_entry(replace(world.entry("platform", BACK.version), digest=Digest.of(b"other")))
    gates = {each.name: each for each in ask_gates(other, other.channel("edge"), BACK, stage.clock.now())}
    assert gates[GateName.REGRESSION].verdict is Verdict.FAILED
    stage.publish("1.0.2", {"cilium": "1.16.4", "gateway": "3.3.0"}, **CVE)
    stage.promote("1.0.2", "edge")
    assert gate(stage).verdict is Verdict.FAILED  # gateway 3.3.0 -> 3.2.0 is new
    stage.services.override_gate("regression", BACK, to="edge", why=WHY)
    assert gate(stage).verdict is Verdict.SKIPPED
    stage.set_policy("edge", rollout=AT_ONCE, description="another")
    assert gate(stage).verdict is Verdict.FAILED


def test_it_can_be_withdrawn(stage: Stage) -> None:
    """Nothing is left of it but the log; where there is none, nothing changes."""
    assert not stage.services.override_gate("regression", BACK, to="edge", why=WHY, cancels=True).recorded
    stage.services.override_gate("regression", BACK, to="edge", why=WHY)
    assert stage.services.override_gate("regression", BACK, to="edge", why=WHY, cancels=True).recorded
    assert gate(stage).verdict is Verdict.FAILED
    assert stage.repo.file("main", layout.channel_request("edge", "platform-1.1.0")) is None
    assert stage.services.log(limit=1)[0].action == "cancel-override"


def test_an_override_outlives_a_wish_that_is_cancelled(stage: Stage) -> None:
    """It is another decision."""
    stage.set_policy("edge", rollout=AT_ONCE, gates={"approvals": {"required": 1, "groups": ["security"]}})
    stage.services.override_gate("regression", BACK, to="edge", why=WHY)
    stage.services.promote(BACK, to="edge", by=ERIK, when_ready=True)
    stage.services.cancel_promotion(BACK, to="edge", why=WHY)
    assert gate(stage).verdict is Verdict.SKIPPED


@pytest.mark.parametrize(
    ("release", "options", "error"),
    [
        ("1.1.0", {"gate": "soak"}, InvalidInputError),
        ("1.1.0", {"why": Why(ERIK, " ")}, InvalidInputError),
        ("1.0.1", {}, ConflictError),
        ("1.0.0", {}, InvalidInputError),  # older: another gate stops it
        ("1.3.0", {}, InvalidInputError),  # takes nothing back
        ("1.1.0", {"why": Why(Holder("vic", frozenset({"viewer"})).identity, "x")}, ForbiddenError),
        (
            "1.1.0",
            {"why": Why(Identity("eve", grants=(Grant("release-engineer", channels=frozenset({"stable"})),)), "x")},
            ForbiddenError,
        ),
    ],
)
def test_what_cannot_be_overridden(stage: Stage, release: str, options: dict[str, Any], error: type[Exception]) -> None:
    """Other gates, gates that are open, without a reason or the right to promote there."""
    stage.publish("1.3.0", {"cilium": "1.16.4", "gateway": "3.1.0"})
    name, asked = ReleaseName("platform", Version(release)), dict[str, Any](gate="regression", why=WHY) | options
    with pytest.raises(error):
        stage.services.override_gate(asked.pop("gate"), name, to="edge", **asked)


def test_overrides_and_floors_are_read_back_from_git(tmp_path: Path) -> None:
    """As they are from the double: what is recorded counts after a restart."""
    stage = make(Stage(tmp_path, release_repo=git_repo(tmp_path)))
    stage.services.override_gate("regression", BACK, to="edge", why=WHY)
    stage.publish("1.2.0", LOST, floors=[{"component": "gateway", "versions": ">=3.2.0", "reason": "CVE-2026-0002"}])
    stage.publish("1.3.0", {"cilium": "1.16.4", "gateway": "3.0.0"}, override_floors="3.2 is not out")
    there = stage.world()
    again = git_repo(tmp_path).read()
    assert again.channel("edge").requests == there.channel("edge").requests
    (override,) = again.channel("edge").request("platform", BACK.version).overrides
    assert override.findings == (
        "cilium 1.16.4 -> 1.16.3",
        "CVE-2026-0001 in cilium",
        "CVE-2026-0001 in gateway",
    )
    assert [str(each) for each in again.floors()] == ["gateway >=3.2.0, declared by platform@1.2.0"]
    (below,) = again.entry("platform", Version("1.3.0")).below_floors
    assert (below.floor, below.given.reason) == ("gateway >=3.2.0, declared by platform@1.2.0", "3.2 is not out")
