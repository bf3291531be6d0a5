"""Promotions that wait, that nobody asks for, that take the fast path, and that need others' consent."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.contract.test_release_repo import git_repo
from tests.unit.usecases.stage import ADMIN, AT_ONCE, PROD, Stage
from ums.domain import gates as domain_gates
from ums.domain import layout, subjects
from ums.domain.access import Grantee, GranteeKind
from ums.domain.digest import Digest
from ums.domain.errors import ForbiddenError, InvalidInputError, RefusedError
from ums.domain.fleet import Health
from ums.domain.gates import Verdict, ask_gates
from ums.domain.identity import Grant, Holder, Identity
from ums.domain.names import PDPName
from ums.domain.release import ReleaseName
from ums.domain.security_log import SecurityKind
from ums.domain.version import Version
from ums.domain.world import Decision, Raw
from ums.usecases import approve as approving
from ums.usecases.instruct import Why

V1, V2 = (ReleaseName("platform", Version(text)) for text in ("1.0.0", "1.1.0"))
HOUR = timedelta(hours=1)
ERIK, EVE = (Holder(name, frozenset({"release-engineer"})).identity for name in ("erik", "eve"))
SAM, SUE = (Holder(name, frozenset({"viewer", "security"})).identity for name in ("sam", "sue"))
SECURITY: dict[str, Any] = {"class": "security"}
SOAK = {"soak": "2h"}
TWO = {"approvals": {"required": 2, "groups": ["release-engineer", "security"]}}
FAST = {"classes": ["security"], "skip": ["soak"], "approvals": {"required": 1, "groups": ["security"]}}


LAB = PDPName("acme", "lab")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return a data plane on 1.0.0, with 1.1.0, which is a security release, in ``edge``."""
    return make(Stage(tmp_path))


def make(stage: Stage) -> Stage:
    """Let the data plane get 1.0.0, and ``edge`` 1.1.0."""
    stage.add_plane()
    stage.publish("1.0.0")
    stage.promote("1.0.0")
    stage.hear(Health.HEALTHY, PROD)
    stage.publish("1.1.0", **SECURITY)
    stage.add_plane(LAB, "edge")
    stage.promote("1.1.0", "edge")
    stage.hear(Health.HEALTHY, LAB)
    stage.clock.advance(timedelta(minutes=5))
    stage.services.reconcile()
    return stage


def demand(stage: Stage, gates: Mapping[str, Any], **fields: object) -> None:
    """Set the policy of ``stable``."""
    stage.set_policy("stable", **{"feeder": "edge", "rollout": AT_ONCE, "gates": dict(gates), **fields})


def head(stage: Stage, channel: str = "stable") -> str:
    """Return what was promoted last."""
    return str(stage.world().channel(channel).tracks["platform"].head.release)


def waiting(stage: Stage) -> list[str]:
    """Return the promotions that wait in ``stable``."""
    return [name for name, each in stage.world().channel("stable").requests.items() if each.executed is None]


def closed(stage: Stage, name: ReleaseName = V2, **options: Any) -> list[str]:  # noqa: ANN401 - passed on
    """Return why a promotion to ``stable`` is refused."""
    with pytest.raises(RefusedError) as caught:
        stage.services.promote(name, to="stable", by=ADMIN, **options)
    return [reason.code for reason in caught.value.reasons]


def test_a_wish_is_kept_until_the_gates_open_and_then_fulfilled(stage: Stage) -> None:
    """By the loop, in the name of who wished it; asked for twice, it is one wish."""
    demand(stage, SOAK)
    assert stage.services.promote(V2, to="stable", by=ERIK, reason="case 4711", when_ready=True).recorded
    assert not stage.services.promote(V2, to="stable", by=EVE, when_ready=True).recorded
    stage.clock.advance(2 * HOUR - timedelta(seconds=1))
    stage.services.reconcile()
    assert (head(stage), waiting(stage)) == ("1.0.0", ["platform-1.1.0"])
    stage.clock.advance(timedelta(seconds=1))
    stage.services.reconcile()
    assert (head(stage), waiting(stage), set(stage.running().values())) == ("1.1.0", [], {"1.1.0"})
    step = stage.world().channel("stable").tracks["platform"].head.given
    assert (step.by, step.reason, step.since) == ("erik", "case 4711", stage.clock.now())


def test_a_wish_that_was_overtaken_is_forgotten(stage: Stage) -> None:
    """What is older than the head can no longer be promoted, so nobody waits for it."""
    demand(stage, SOAK, expedite=FAST)
    stage.services.promote(V2, to="stable", by=ERIK, when_ready=True)
    stage.publish("1.2.0", **SECURITY)
    stage.promote("1.2.0", "edge")
    demand(stage, {})
    stage.promote("1.2.0", "stable")
    assert (head(stage), waiting(stage)) == ("1.2.0", [])
    assert stage.repo.file("main", layout.channel_request("stable", "platform-1.1.0")) is None


def test_a_wish_whose_gate_is_shut_is_refused(stage: Stage) -> None:
    """Time does not open what somebody must change."""
    demand(stage, SOAK, classes=["bugfix"])
    assert closed(stage, when_ready=True) == ["gate-class", "gate-soak"]
    assert waiting(stage) == []


def test_a_wish_is_asked_about_again_before_it_is_fulfilled(stage: Stage) -> None:
    """What went wrong meanwhile stops it; put right, it goes on."""
    demand(stage, SOAK)
    stage.services.promote(V2, to="stable", by=ERIK, when_ready=True)
    stage.clock.advance(3 * HOUR)
    stage.services.withdraw_release.yank(V2, Why(ERIK, "corrupts data"))
    stage.services.reconcile()
    assert (head(stage), waiting(stage)) == ("1.0.0", ["platform-1.1.0"])
    stage.services.withdraw_release.unyank(V2, Why(ERIK, "it does not"))
    stage.services.reconcile()
    assert head(stage) == "1.1.0"


def test_a_registry_that_is_away_delays_a_wish(stage: Stage) -> None:
    """What cannot be verified now does not pass now; the next round asks again."""
    demand(stage, SOAK)
    stage.services.promote(V2, to="stable", by=ERIK, when_ready=True)
    stage.clock.advance(3 * HOUR)
    stage.registry.fail_next(1)
    stage.services.reconcile()
    assert head(stage) == "1.0.0"
    stage.services.reconcile()
    assert head(stage) == "1.1.0"


def test_a_wish_does_not_outlive_trust_in_its_signature(stage: Stage) -> None:
    """The loop verifies again, whatever was found when the release was registered."""
    demand(stage, SOAK)
    stage.services.promote(V2, to="stable", by=ERIK, when_ready=True)
    stage.clock.advance(3 * HOUR)
    policy = stage.repo.file("main", "channels/stable/policy.yaml")
    assert policy is not None
    stage.seed({"release": stage.make_key("release")}, 1)
    stage.services.set_policy("stable", policy, Why(ADMIN, "as before"))
    stage.services.reconcile()
    assert (head(stage), waiting(stage)) == ("1.0.0", ["platform-1.1.0"])


def test_an_automatic_channel_takes_the_highest_that_passes(stage: Stage) -> None:
    """Nobody asks; what must not enter is passed over, and what is below is not taken on the way."""
    for version, fields in (("1.2.0", SECURITY), ("1.3.0", {}), ("1.4.0", SECURITY)):
        stage.publish(version, **fields)
        stage.promote(version, "edge")
    demand(stage, {}, promotion="automatic", classes=["security"])
    stage.services.withdraw_release.yank(ReleaseName("platform", Version("1.4.0")), Why(ERIK, "broken"))
    stage.services.reconcile()
    track = stage.world().channel("stable").tracks["platform"]
    assert [str(step.release) for step in track.history] == ["1.0.0", "1.2.0"]
    assert (track.head.given.by, track.head.given.reason) == ("ums", "stable takes by itself what passes its gates")
    assert not stage.services.reconcile().recorded


@pytest.mark.parametrize("broken", [b"feeder: [", b"feeder: edge\ngates: {soka: 2h}\n"], ids=["no YAML", "a typo"])
def test_a_policy_broken_by_hand_leaves_the_last_valid_one_in_force(stage: Stage, broken: bytes) -> None:
    """Its gates stay closed, approvals under it count, and the error is told until the file is mended."""
    path = layout.channel_policy("stable")
    demand(stage, TWO)
    stage.services.approve(V2, to="stable", by=SAM, reason="")
    good = stage.repo.file("main", path)
    assert good is not None
    by_hand = Decision("by hand", "edit", "someone", "oops", stage.clock.now(), {path: Raw(broken)})
    stage.repo.commit(by_hand, base=stage.repo.read().base)
    stage.services.reconcile()
    (problem,) = stage.world().problems
    assert (problem.file, stage.services.set_policy.lint("stable")) == (path, (str(problem),))
    assert closed(stage) == ["gate-approvals"]
    stage.services.approve(V2, to="stable", by=SUE, reason="")
    stage.promote("1.1.0", "stable")
    assert head(stage) == "1.1.0"
    stage.services.set_policy("stable", good, Why(ADMIN, "as it was"))
    assert (stage.world().problems, stage.repo.file("main", path)) == ((), good)


def test_the_fast_path_is_recorded_for_ever(tmp_path: Path) -> None:
    """In the release's ``status.yaml``: what was skipped, by whom and why – whatever becomes of it later."""
    stage = make(Stage(tmp_path, release_repo=git_repo(tmp_path)))
    demand(stage, {**SOAK, **TWO}, expedite=FAST)
    why = "CVE-2026-1 is exploited"
    assert closed(stage, expedite=True, reason=why) == ["gate-expedite"]
    stage.services.approve(V2, to="stable", by=SAM, reason="go")
    stage.services.promote(V2, to="stable", by=ERIK, expedite=True, reason=why)
    assert head(stage) == "1.1.0"
    stage.services.withdraw_release.yank(V2, Why(ERIK, "bad"))
    stage.services.withdraw_release.unyank(V2, Why(ERIK, "good"))
    stage.publish("1.1.0", **SECURITY)
    (skipped,) = git_repo(tmp_path).read().entry("platform", V2.version).status_document()["skipped"]
    assert (skipped["channel"], skipped["gates"]) == ("stable", ["soak", "approvals"])
    assert (skipped["by"], skipped["reason"]) == ("erik", why)


@pytest.mark.parametrize(
    ("expedite", "reason", "why"),
    [
        ({**FAST, "classes": ["bugfix"]}, "urgent", ["gate-soak", "gate-expedite"]),
        (None, "urgent", ["gate-soak", "gate-expedite"]),
        ({**FAST, "skip": ["adoption"]}, "urgent", ["gate-soak", "gate-expedite"]),
        (FAST, " ", "a reason is missing"),
    ],
    ids=["another class", "no fast path", "another gate", "no reason"],
)
def test_the_fast_path_is_no_other_than_policy_says(
    stage: Stage, expedite: Mapping[str, Any] | None, reason: str, why: list[str] | str
) -> None:
    """For its classes, past its gates, with a reason; it opens nothing else."""
    demand(stage, SOAK, **({"expedite": expedite} if expedite else {}))
    if isinstance(why, str):
        with pytest.raises(InvalidInputError, match=why):
            stage.services.promote(V2, to="stable", by=ERIK, expedite=True, reason=reason)
    else:
        assert closed(stage, expedite=True, reason=reason) == why


def test_the_loop_takes_the_fast_path_for_who_wished_it(stage: Stage) -> None:
    """As soon as its approval is there, with the reason of the wish."""
    demand(stage, SOAK, expedite=FAST)
    stage.services.promote(V2, to="stable", by=ERIK, expedite=True, reason="urgent", when_ready=True)
    stage.services.reconcile()
    assert head(stage) == "1.0.0"
    stage.services.approve(V2, to="stable", by=SAM, reason="go")
    stage.services.reconcile()
    assert head(stage) == "1.1.0"
    (skipped,) = stage.world().entry("platform", V2.version).skipped
    assert (skipped.gates, skipped.given.by, skipped.given.reason) == (("soak",), "erik", "urgent")


def approvals(stage: Stage, promoter: str = "") -> str:
    """Return what the gate says of the approvals for 1.1.0."""
    world = stage.world()
    gates = ask_gates(world, world.channel("stable"), V2, stage.clock.now(), promoter=promoter)
    return next(gate.message for gate in gates if gate.name == "approvals")


@pytest.mark.parametrize("by", [ADMIN, ERIK], ids=["who published it", "who wants it"])
def test_nobody_approves_their_own(stage: Stage, by: Identity) -> None:
    """Whatever their groups; whom to ask is told."""
    demand(stage, {"approvals": {"required": 1, "groups": ["release-engineer", "admin"]}})
    stage.services.promote(V2, to="stable", by=ERIK, when_ready=True)
    with pytest.raises(ForbiddenError, match=f"{by.subject} published platform@1.1.0 or asked") as caught:
        stage.services.approve(V2, to="stable", by=by, reason="fine")
    assert caught.value.hint == "ask somebody else of admin or release-engineer"
    stage.services.approve(V2, to="stable", by=EVE, reason="fine")
    stage.services.reconcile()
    assert head(stage) == "1.1.0"


def test_who_approved_and_then_wants_it_no_longer_counts(stage: Stage) -> None:
    """Four eyes are four, in whatever order they look; nor is one who promotes counted."""
    demand(stage, {"approvals": {"required": 1, "groups": ["release-engineer"]}})
    stage.services.approve(V2, to="stable", by=EVE, reason="fine")
    assert (approvals(stage), approvals(stage, "eve")) == ("1 of 1 approvals: eve", "0 of 1 approvals")
    stage.services.promote(V2, to="stable", by=EVE, when_ready=True)
    stage.services.reconcile()
    assert (head(stage), approvals(stage)) == ("1.0.0", "0 of 1 approvals")


def test_only_those_asked_may_answer_and_a_later_answer_counts(stage: Stage) -> None:
    """A no closes the gate, until the same person says yes; a no needs a reason."""
    demand(stage, TWO)
    for by, error in (
        (Holder("vic", frozenset({"viewer"})).identity, ForbiddenError),
        (Holder("x").identity, ForbiddenError),
    ):
        with pytest.raises(error):
            stage.services.approve(V2, to="stable", by=by, reason="fine")
    with pytest.raises(InvalidInputError, match="reason"):
        stage.services.approve(V2, to="stable", by=SAM, reason="", rejects=True)
    with pytest.raises(InvalidInputError, match="edge asks for no approvals"):
        stage.services.approve(V2, to="edge", by=SAM, reason="fine")
    stage.services.approve(V2, to="stable", by=SAM, reason="no tests", rejects=True)
    for by in (SUE, ERIK):
        stage.services.approve(V2, to="stable", by=by, reason="fine")
    assert approvals(stage) == "rejected by sam: no tests"
    assert closed(stage, when_ready=True) == ["gate-approvals"]
    stage.services.approve(V2, to="stable", by=SAM, reason="there are some")
    assert approvals(stage) == "3 of 2 approvals: erik, sam, sue"
    actions = [entry.action for entry in stage.services.log(limit=2, path="channels/stable/promotions")]
    assert actions == ["approve", "approve"]


def test_approvals_are_void_when_the_policy_changes(stage: Stage) -> None:
    """They were given under another; the next are asked for anew."""
    demand(stage, TWO)
    for by in (SAM, SUE):
        stage.services.approve(V2, to="stable", by=by, reason="fine")
    assert approvals(stage).startswith("2 of 2")
    demand(stage, TWO, description="otherwise the same")
    assert (approvals(stage), closed(stage)) == ("0 of 2 approvals", ["gate-approvals"])


WAVE = {**AT_ONCE, "waves": [{"name": "gold", "labels": {"tier": "gold"}}, {"name": "everyone"}]}


def test_a_wave_that_selects_nobody_keeps_a_release_out(stage: Stage) -> None:
    """Its soak would prove nothing. Where the last of them left meanwhile, the loop waits for another."""
    with pytest.raises(InvalidInputError, match="wave gold selects nobody"):
        stage.set_policy("stable", feeder="edge", rollout=WAVE)
    early = PDPName("acme", "early")
    stage.add_plane(early, labels={"tier": "gold"})
    stage.set_policy("stable", feeder="edge", gates={"soak": "1h"}, rollout=WAVE)
    stage.services.promote(V2, to="stable", by=ERIK, when_ready=True)
    stage.services.change_data_plane(early, lambda each: replace(each, labels={}), Why(ADMIN, "no longer"))
    stage.clock.advance(HOUR)
    with pytest.raises(InvalidInputError, match="wave gold selects nobody"):
        stage.services.promote(V2, to="stable", by=ERIK)
    stage.services.reconcile()
    assert head(stage) == "1.0.0"
    gold = PDPName("acme", "gold")
    stage.add_plane(gold, labels={"tier": "gold"})
    stage.services.reconcile()
    assert head(stage) == "1.1.0"
    assert (set(stage.running(gold).values()), set(stage.running().values())) == ({"1.1.0"}, {"1.0.0"})


def test_a_gate_verdict_is_asked_for_every_time(stage: Stage) -> None:
    """A dry run answers as the promotion would, and records neither promotion nor wish."""
    demand(stage, SOAK)
    before = stage.world()
    assert closed(stage, dry_run=True) == ["gate-soak"]
    assert not stage.services.promote(V2, to="stable", by=ERIK, when_ready=True, dry_run=True).recorded
    assert stage.world() == before
    stage.clock.advance(2 * HOUR)
    world = stage.world()
    gates = ask_gates(world, world.channel("stable"), V2, stage.clock.now())
    assert {gate.verdict for gate in gates} == {Verdict.PASSED}
    assert stage.services.promote(V2, to="stable", by=ERIK, dry_run=True).plan.moves
    assert head(stage) == "1.0.0"


SPELLINGS = ["Sam", "SAM", "sam ", "\u0455am", "s\u00e1m", "sam\u200b", "sam\u034f", "\ua731am", "\ua4e2am"]


def spelt(name: str) -> Identity:
    """Return who has a token from before names were kept in one form."""
    return Holder(name, frozenset({"release-engineer", "security"})).identity


def approve_as_spelt(stage: Stage, name: str) -> None:
    """Approve by a name that may be refused."""
    with contextlib.suppress(ForbiddenError):
        stage.services.approve(V2, to="stable", by=spelt(name), reason="fine")


@pytest.mark.parametrize("name", SPELLINGS)
def test_one_person_with_two_names_is_no_quorum(stage: Stage, name: str) -> None:
    """Case, blanks, accents, invisible and look-alike letters make nobody two people; nor does the order."""
    demand(stage, TWO)
    for each in ("sam", name, "sam"):
        approve_as_spelt(stage, each)
    assert approvals(stage).startswith("1 of 2")
    assert closed(stage) == ["gate-approvals"]


@pytest.mark.parametrize("name", SPELLINGS)
def test_who_wants_it_does_not_approve_by_another_spelling(stage: Stage, name: str) -> None:
    """Whichever of the two names is the odd one; whether they asked before or after."""
    demand(stage, {"approvals": {"required": 1, "groups": ["release-engineer"]}})
    approve_as_spelt(stage, name)
    assert approvals(stage, "sam").startswith("0 of 1")
    stage.services.promote(V2, to="stable", by=spelt("sam"), when_ready=True)
    approve_as_spelt(stage, name)
    assert approvals(stage).startswith("0 of 1")


@pytest.mark.parametrize("name", SPELLINGS)
def test_who_has_an_odd_name_and_wants_it_does_not_approve_by_a_plain_one(stage: Stage, name: str) -> None:
    """The name in the request is from before."""
    demand(stage, {"approvals": {"required": 1, "groups": ["release-engineer"]}})
    stage.services.promote(V2, to="stable", by=spelt(name), when_ready=True)
    with pytest.raises(ForbiddenError, match="cannot approve it too"):
        stage.services.approve(V2, to="stable", by=spelt("sam"), reason="fine")


@pytest.mark.parametrize("name", SPELLINGS)
def test_where_names_are_compared_as_they_are_one_person_is_a_quorum(
    stage: Stage, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The defence switched off: who has a token from before, too, approves twice."""
    for module in (subjects, domain_gates, approving):
        monkeypatch.setattr(module, "person_key", lambda subject: subject)
    for module in (domain_gates, approving):
        monkeypatch.setattr(module, "is_plain", lambda _: True)
    demand(stage, TWO)
    for each in ("sam", name):
        approve_as_spelt(stage, each)
    assert approvals(stage).startswith("2 of 2")


def test_answers_that_were_recorded_by_look_alikes_count_once(stage: Stage) -> None:
    """By an earlier version: several in one request, or by names that are not plain."""
    demand(stage, TWO)
    stage.services.approve(V2, to="stable", by=SAM, reason="fine")
    world = stage.world()
    channel = world.channel("stable")
    request = channel.request("platform", V2.version)
    (approval,) = request.approvals
    others = [replace(approval, given=replace(approval.given, by=name)) for name in SPELLINGS]
    channel = channel.with_request(replace(request, approvals=(approval, *others)))
    (gate,) = (
        each
        for each in ask_gates(world.with_channel(channel), channel, V2, stage.clock.now())
        if each.name == "approvals"
    )
    assert gate.message.startswith("1 of 2 approvals")


def test_new_names_are_plain(stage: Stage) -> None:
    """Tokens and grants keep a name in one form, or refuse it; a grant counts for each spelling of the name alone."""
    held = frozenset({"viewer"})
    stage.services.issue_token(Holder(" Sam@Example.com", held), expires=None, by=ADMIN)
    assert stage.services.manage_tokens.list(by=ADMIN)[0].holder.subject == "sam@example.com"
    for name in ("s\u0430m", "Zo\u00eb", "ums", "sam,eve"):
        with pytest.raises(InvalidInputError):
            stage.services.issue_token(Holder(name, held), expires=None, by=ADMIN)
        with pytest.raises(InvalidInputError):
            stage.services.grant_roles.grant(Grant("viewer"), Grantee(GranteeKind.SUBJECT, name), Why(ADMIN, "x"))
    stage.services.grant_roles.grant(Grant("viewer"), Grantee(GranteeKind.SUBJECT, "Sam"), Why(ADMIN, "x"))
    access = stage.world().access
    assert [each.to.name for each in access.granted] == ["sam"]
    assert access.identity_for("SAM", (), stage.clock.now()).grants
    assert not access.identity_for("s\u0430m", (), stage.clock.now()).grants
    stage.services.grant_roles.revoke(Grant("viewer"), Grantee(GranteeKind.SUBJECT, "SAM"), Why(ADMIN, "x"))
    assert not stage.world().access.granted


def test_an_audit_finds_a_person_by_any_case(stage: Stage) -> None:
    """Rows from before names were kept in one form, too."""
    stage.services.security.note(SecurityKind.LOGOUT, subject="Sam")
    stage.services.security.note(SecurityKind.LOGIN, subject="sam")
    found = stage.services.read_audit.newest(limit=9, by=ADMIN, subject="SAM ")
    assert [each.kind for each in found] == ["login", "logout"]


def test_approvals_are_void_when_the_release_becomes_another(stage: Stage) -> None:
    """Of the same name and version: they were given for other content."""
    demand(stage, TWO)
    for by in (SAM, SUE):
        stage.services.approve(V2, to="stable", by=by, reason="fine")
    assert approvals(stage).startswith("2 of 2")
    world = stage.world()
    entry = replace(world.entry("platform", V2.version), digest=Digest.of(b"other content"))
    gates = ask_gates(world.with_entry(entry), world.channel("stable"), V2, stage.clock.now())
    assert next(gate.message for gate in gates if gate.name == "approvals").startswith("0 of 2")


@pytest.mark.parametrize(
    "gates",
    [
        {"approvals": {"required": 1, "groups": ["release-engineer", "security"]}},
        {"approvals": {"required": 2, "groups": ["security", "release-engineer", "qa"]}},
        {**TWO, "soak": "1s"},
    ],
)
def test_any_change_of_the_policy_voids_approvals_until_it_is_changed_back(stage: Stage, gates: dict[str, Any]) -> None:
    """Fewer approvals, more groups, another gate: people agreed to what was written then, and to that alone."""
    demand(stage, TWO)
    for by in (SAM, SUE):
        stage.services.approve(V2, to="stable", by=by, reason="fine")
    demand(stage, gates)
    assert approvals(stage).startswith("0 of")
    assert "gate-approvals" in closed(stage)
    demand(stage, TWO)
    assert approvals(stage).startswith("2 of 2")


ADOPTED = {"adoption": {"healthy": "1", "for": "1h"}, "approvals": {"required": 1, "groups": ["security"]}}


def newer_in_edge(stage: Stage) -> None:
    """Let 1.2.0 take the place of 1.1.0 in the feeder, and its data plane with it."""
    stage.publish("1.2.0")
    stage.promote("1.2.0", "edge")
    stage.hear(Health.HEALTHY, LAB)
    stage.services.reconcile()
    assert set(stage.running(LAB).values()) == {"1.2.0"}


def test_what_a_feeder_adopted_counts_after_a_newer_release_came(stage: Stage) -> None:
    """It was well there for long enough, while it was there; what is left to wait for is the approval."""
    demand(stage, ADOPTED)
    stage.clock.advance(2 * HOUR)
    stage.services.promote(V2, to="stable", by=ERIK, when_ready=True)
    newer_in_edge(stage)
    assert waiting(stage) == ["platform-1.1.0"]
    stage.services.approve(V2, to="stable", by=SAM, reason="fine")
    stage.services.reconcile()
    assert head(stage) == "1.1.0"


def test_a_wish_ends_where_a_gate_can_never_pass(stage: Stage) -> None:
    """Nobody waits for ever: the wish is given up with the reason, and asking again starts anew."""
    demand(stage, ADOPTED)
    stage.services.promote(V2, to="stable", by=ERIK, when_ready=True)
    newer_in_edge(stage)
    stage.clock.advance(10 * HOUR)
    stage.services.reconcile()
    request = stage.world().channel("stable").request("platform", V2.version)
    assert request.wanted is None
    assert request.ended is not None
    assert "0 of 1 data planes of edge were well on it for 1h when 1.2.0 took its place there" in request.ended.reason
    assert closed(stage, when_ready=True) == ["gate-adoption", "gate-approvals"]
    assert not stage.services.reconcile().recorded
