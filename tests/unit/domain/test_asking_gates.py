"""What is asked before a release enters a channel."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.unit.domain.worlds import NOW, PROD, given, make_release, make_world, settle
from tests.unit.usecases.truth import REMEDY, parsed
from ums.domain.bundle import ReleaseClass
from ums.domain.channels import Approval, Channel, Request
from ums.domain.digest import Digest
from ums.domain.fleet import Given, Registration
from ums.domain.freezes import Freeze, Scope
from ums.domain.gates import Gate, Verdict, ask_gates
from ums.domain.policy import Approvals, Expedite, GateName, GateRules, Policy
from ums.domain.release import ReleaseName
from ums.domain.risks import Risk
from ums.domain.rollouts import RolloutStatus
from ums.domain.version import Version, VersionRange
from ums.domain.windows import Schedule, Window
from ums.domain.world import World

NAME = ReleaseName("platform", Version("1.1.0"))
TWO = Approvals(2, ("sre",))


def make(rules: GateRules, *, promoted: bool = True, expedite: Expedite | None = None) -> World:
    """Return a world where ``edge``, which feeds ``stable``, has the release since ``NOW``."""
    world = make_world([make_release(text, {"cilium": text}) for text in ("1.0.0", "1.1.0", "1.2.0")])
    edge = Channel("edge")
    if promoted:
        edge = edge.with_promoted("platform", NAME.version, replace(given(), since=NOW))
        edge = edge.with_rollout("platform", replace(edge.rollouts["platform"], proven=NOW))
    stable = Channel("stable", Policy(feeder="edge", gates=rules, expedite=expedite, digest="sha256:policy"))
    return replace(world, channels={"edge": edge, "stable": stable}, planes={})


def ask(world: World, gate: GateName, *, hours: int = 0, **options: object) -> Gate:
    """Return one gate's answer."""
    now = NOW + timedelta(hours=hours)
    gates = ask_gates(world, world.channel("stable"), NAME, now, **options)  # type: ignore[arg-type]
    return next(each for each in gates if each.name is gate)


def approved(world: World, *people: str, groups: tuple[str, ...] = ("sre",), policy: str = "sha256:policy") -> World:
    """Return the world with answers of people."""
    digest = str(world.entry("platform", NAME.version).digest)
    request = Request("platform", NAME.version)
    for person in people:
        yes = Approval(Given(person, "fine", NOW), frozenset(groups), policy, digest)
        request = request.with_approval(yes)
    return world.with_channel(world.channel("stable").with_request(request))


@pytest.mark.parametrize(("hours", "verdict"), [(0, Verdict.PENDING), (23, Verdict.PENDING), (24, Verdict.PASSED)])
def test_a_release_soaks_in_the_feeder(hours: int, verdict: Verdict) -> None:
    """Until when is told."""
    gate = ask(make(GateRules(soak=timedelta(hours=24))), GateName.SOAK, hours=hours)
    assert gate.verdict is verdict
    assert verdict is Verdict.PASSED or gate.until == "2026-11-24T12:00:00Z"


def test_a_soak_begins_with_somebody_who_is_well() -> None:
    """A release that nobody runs proves nothing by waiting; once a newer one came, nothing is left to wait for."""
    world = make(GateRules(soak=timedelta(hours=24)))
    edge = world.channel("edge")
    edge = edge.with_rollout("platform", replace(edge.rollouts["platform"], proven=None))
    gate = ask(world.with_channel(edge), GateName.SOAK, hours=72)
    assert (gate.verdict, gate.until, gate.final) == (Verdict.PENDING, None, False)
    edge = edge.with_promoted("platform", Version("1.2.0"), replace(given(), since=NOW + timedelta(hours=48)))
    gate = ask(world.with_channel(edge), GateName.SOAK, hours=72)
    assert (gate.verdict, gate.final) == (Verdict.FAILED, True)


@pytest.mark.parametrize("replaced", [False, True])
def test_a_halt_ends_the_soak_for_good(*, replaced: bool) -> None:
    """Also when a newer release took the place of the one that halted."""
    world = make(GateRules(soak=timedelta(hours=24)))
    edge = world.channel("edge")
    halted = replace(edge.rollouts["platform"], status=RolloutStatus.HALTED, given=Given("ums", "1 of 3 failed", NOW))
    edge = edge.with_rollout("platform", halted)
    if replaced:
        edge = edge.with_promoted("platform", Version("1.2.0"), replace(given(), since=NOW + timedelta(hours=48)))
    gate = ask(world.with_channel(edge), GateName.SOAK, hours=72)
    assert (gate.verdict, "1 of 3 failed" in gate.message) == (Verdict.FAILED, True)


def test_a_newer_release_in_the_feeder_ends_the_soak() -> None:
    """It was not there for long enough."""
    world = make(GateRules(soak=timedelta(hours=24)))
    later = replace(given(), since=NOW + timedelta(hours=5))
    edge = world.channel("edge").with_promoted("platform", Version("1.2.0"), later)
    assert ask(world.with_channel(edge), GateName.SOAK, hours=72).verdict is Verdict.FAILED


def test_two_distinct_people_of_the_group_must_agree() -> None:
    """Not twice the same, not of another group, not under another policy, not its author, not who promotes."""
    world = make(GateRules(approvals=TWO))
    author = world.entry("platform", NAME.version).registered_by
    assert ask(approved(world, "ann", "bob"), GateName.APPROVALS).verdict is Verdict.PASSED
    assert ask(approved(world, "ann", "ann"), GateName.APPROVALS).verdict is Verdict.PENDING
    assert ask(approved(world, "ann", "bob", groups=("dev",)), GateName.APPROVALS).verdict is Verdict.PENDING
    assert ask(approved(world, "ann", "bob", policy="sha256:older"), GateName.APPROVALS).verdict is Verdict.PENDING
    assert ask(approved(world, "ann", author), GateName.APPROVALS).verdict is Verdict.PENDING
    assert ask(approved(world, "ann", "bob"), GateName.APPROVALS, promoter="bob").verdict is Verdict.PENDING


@pytest.mark.parametrize(
    ("demanded", "verdict"),
    [
        ({"sbom": ()}, Verdict.UNKNOWN),
        ({"signature": ()}, Verdict.PASSED),
        ({"signature": ("release", "auditor")}, Verdict.PASSED),
        ({"signature": ("auditor",)}, Verdict.FAILED),
        ({"signature": (), "sbom": ()}, Verdict.UNKNOWN),
    ],
)
def test_evidence_is_there_and_by_whom_it_must_be(demanded: dict[str, tuple[str, ...]], verdict: Verdict) -> None:
    """The release is signed by release, and nobody said anything about an SBOM: what is unknown does not pass."""
    assert ask(make(GateRules(evidence=demanded)), GateName.EVIDENCE).verdict is verdict


def test_a_closed_window_says_when_it_opens() -> None:
    """At ten in the evening."""
    windows = Schedule(allow=(Window(duration=timedelta(hours=2), zone="UTC", cron="0 22 * * *"),))
    gate = ask(make(GateRules(windows=windows)), GateName.WINDOW)
    assert (gate.verdict, gate.until) == (Verdict.PENDING, "2026-11-23T22:00:00Z")
    assert ask(make(GateRules(windows=windows)), GateName.WINDOW, hours=11).verdict is Verdict.PASSED


@pytest.mark.parametrize(
    ("scope", "verdict"),
    [
        (Scope(), Verdict.FAILED),
        (Scope(channel="stable"), Verdict.FAILED),
        (Scope(channel="edge"), Verdict.PASSED),
        (Scope(org="acme"), Verdict.PASSED),
    ],
)
def test_a_freeze_of_the_channel_closes_it(scope: Scope, verdict: Verdict) -> None:
    """One of a single customer does not."""
    world = replace(make(GateRules()), freezes=(Freeze("f", scope, given()),))
    assert ask(world, GateName.FREEZE).verdict is verdict


def test_signatures_that_no_longer_verify_are_found_out() -> None:
    """Whatever was found at registration."""
    assert ask(make(GateRules()), GateName.SIGNATURES).verdict is Verdict.PASSED
    assert ask(make(GateRules()), GateName.SIGNATURES, verified=False).verdict is Verdict.FAILED


def test_the_fast_path_skips_what_policy_says_with_its_own_approval() -> None:
    """For its classes alone; what it skipped is called skipped."""
    fast = Expedite(frozenset({ReleaseClass.FEATURE}), frozenset({GateName.SOAK}), Approvals(1, ("security",)))
    rules = GateRules(soak=timedelta(days=9), approvals=TWO)
    world = approved(make(rules, expedite=fast), "sam", groups=("security",))
    assert ask(world, GateName.SOAK, expedite=True).verdict is Verdict.SKIPPED
    assert ask(world, GateName.APPROVALS, expedite=True).verdict is Verdict.SKIPPED
    assert ask(world, GateName.EXPEDITE, expedite=True).verdict is Verdict.PASSED
    security = replace(fast, classes=frozenset({ReleaseClass.SECURITY}))
    assert ask(make(rules, expedite=security), GateName.EXPEDITE, expedite=True).verdict is Verdict.FAILED


def test_a_release_comes_by_way_of_the_feeder() -> None:
    """Who asked for it there already need only wait."""
    world = make(GateRules(), promoted=False)
    assert ask(world, GateName.FEEDER).verdict is Verdict.FAILED
    wanted = Request("platform", NAME.version, wanted=given())
    asked = world.with_channel(world.channel("edge").with_request(wanted))
    assert ask(asked, GateName.FEEDER).verdict is Verdict.PENDING


@pytest.mark.parametrize(
    ("risk", "verdict"),
    [
        (None, Verdict.FAILED),
        (Risk("r", "platform", VersionRange("1.1.x"), "known", given()), Verdict.PASSED),
        (Risk("r", "platform", VersionRange("1.1.x"), "known", given(NOW)), Verdict.FAILED),
        (Risk("r", "platform", VersionRange("1.0.x"), "known", given()), Verdict.FAILED),
        (Risk("r", "flux", VersionRange("1.1.x"), "known", given()), Verdict.FAILED),
    ],
    ids=["none", "its own", "one that ended", "of another release", "of another bundle"],
)
def test_what_failed_in_the_feeder_needs_a_risk_that_says_why(risk: Risk | None, verdict: Verdict) -> None:
    """One in force, of this release."""
    world = make(GateRules(undeclared_risk=True))
    fleet = settle(make_world([make_release("1.1.0", {"cilium": "1.1.0"})], promoted=["1.1.0"]), healthy=False)
    plane = replace(fleet.plane(PROD), registration=Registration(PROD, "edge", ("platform",)))
    world = replace(world.with_plane(plane), risks={"r": risk} if risk else {})
    assert ask(world, GateName.RISK).verdict is verdict


def test_approvals_are_for_one_release_and_no_other_of_its_name() -> None:
    """By its digest: what was approved is what is promoted."""
    world = approved(make(GateRules(approvals=TWO)), "ann", "bob")
    entry = replace(world.entry("platform", NAME.version), digest=Digest.of(b"another"))
    assert ask(world.with_entry(entry), GateName.APPROVALS).message == "0 of 2 approvals"


FAST = Expedite(frozenset({ReleaseClass.FEATURE}), frozenset({GateName.SOAK}), Approvals(1, ("security",)))
DAY = GateRules(soak=timedelta(days=1))
SLOW = replace(FAST, classes=frozenset({ReleaseClass.SECURITY}))


def headed(world: World, *releases: str) -> World:
    """Return the world where releases were promoted to ``stable``, the last of them last."""
    stable = world.channel("stable")
    for each in releases:
        stable = stable.with_promoted("platform", Version(each), given())
    return world.with_channel(stable)


def yanked(world: World) -> World:
    """Return the world where the release was yanked."""
    return world.with_entry(replace(world.entry("platform", NAME.version), yanked="it leaks"))


OWNERS: dict[str, tuple[World, GateName, str | None]] = {
    "a soak that the fast path skips": (make(DAY, expedite=FAST), GateName.SOAK, "promote"),
    "a soak that only time ends": (make(DAY), GateName.SOAK, None),
    "a soak where the fast path is for other classes": (make(DAY, expedite=SLOW), GateName.SOAK, None),
    "a feeder without the release": (make(GateRules(), promoted=False), GateName.FEEDER, "promote"),
    "a yank": (yanked(make(GateRules())), GateName.YANKED, "unyank"),
    "a rollback": (headed(make(GateRules()), "1.1.0", "1.2.0"), GateName.ORDER, "rollback"),
    "a rollback to what was never there": (headed(make(GateRules()), "1.2.0"), GateName.ORDER, None),
    "approvals": (make(GateRules(approvals=TWO)), GateName.APPROVALS, "approve"),
}


@pytest.mark.parametrize("what", OWNERS)
def test_a_closed_gate_names_a_command_that_can_be_given_as_it_stands(what: str) -> None:
    """Or nobody, where nobody can change it."""
    world, name, command = OWNERS[what]
    gate = ask(world, name)
    assert not gate.is_open
    if command is None:
        assert gate.who_can_override is None
    else:
        match = REMEDY.fullmatch(gate.who_can_override or "")
        assert match is not None, gate
        assert parsed(match["command"])[0] == command
