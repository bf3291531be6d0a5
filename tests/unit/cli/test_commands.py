"""Every command against a real service: what it prints for people and for programs, and how it ends."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from werkzeug.serving import make_server

from tests.processes import free_port
from tests.unit.usecases.stage import ADA, ADMIN, AT_ONCE, PROD, Stage
from ums import __version__
from ums.cli import waiting
from ums.cli.root import COMMANDS, main
from ums.domain.fleet import Health, Report
from ums.domain.freezes import Scope
from ums.domain.identity import Holder
from ums.domain.names import PDPName
from ums.usecases.instruct import Why
from ums.web.app import create_app

LATER = ("--until", "2999-01-01T00:00:00Z")
WHY = ("--reason", "a test")
SURE = (*WHY, "--yes")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Give a service with a data plane on 1.0.0, and 1.1.0 published."""
    made = Stage(tmp_path, database=f"sqlite:///{tmp_path}/ums.db")
    made.add_plane()
    made.publish("1.0.0")
    made.promote("1.0.0")
    made.publish("1.1.0")
    yield made
    made.store.close()


@pytest.fixture
def url(stage: Stage) -> Iterator[str]:
    """Give the address of the service, which listens."""
    server = make_server("127.0.0.1", 0, create_app(stage.services), threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def ums(stage: Stage, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Give the command line, logged in as an admin."""
    monkeypatch.setenv("UMS_SERVER", url)
    monkeypatch.setenv("UMS_TOKEN", stage.services.issue_token(ADA, expires=None, by=ADMIN))
    monkeypatch.delenv("UMS_TOKEN_FILE", raising=False)
    return lambda *arguments: run(capsys, *arguments)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> Ended:
    """Run a command in this process."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    said = capsys.readouterr()
    assert isinstance(caught.value.code, int)
    return Ended(caught.value.code, said.out, said.err)


READING = [
    ("status",),
    ("plan",),
    ("log",),
    ("log", "-n", "1", "--path", "channels/stable"),
    ("release", "list"),
    ("release", "list", "platform"),
    ("release", "show", "platform@1.0.0"),
    ("release", "diff", "platform@1.0.0", "platform@1.1.0"),
    ("pdp", "list"),
    ("pdp", "list", "--channel", "stable"),
    ("pdp", "show", "acme/prod"),
    ("pdp", "history", "acme/prod"),
    ("plan", "--channel", "stable"),
    ("explain", "acme/prod"),
    ("gates", "platform@1.1.0", "--to", "edge"),
    ("rollout", "status"),
    ("rollout", "status", "stable", "platform"),
    ("channel", "list"),
    ("channel", "show", "stable"),
    ("channel", "lint", "stable"),
    ("risk", "list"),
]
DECIDING = [
    ("promote", "platform@1.1.0", "--to", "edge"),
    ("promote", "platform@1.0.0", "--to", "edge", "--when-ready"),
    ("freeze", *SURE, *LATER),
    ("freeze", "mine", "--channel", "stable", "--bundle", "platform", "--org", "acme", *SURE),
    ("yank", "platform@1.1.0", *SURE),
    ("unyank", "platform@1.1.0", *SURE),
    ("recall", "platform@1.0.0", *SURE),
    ("consent", "acme/prod", "platform@1.1.0", *WHY),
    ("risk", "declare", "bad", "--bundle", "platform", "--releases", "1.x", "--message", "it hurts", *SURE),
    ("pin", "acme/prod", "platform/cilium", *WHY, *LATER),
    ("pin", "acme/prod", "platform@~1.0", *WHY),
    ("unpin", "acme/prod", "platform"),
    ("hold", "acme/prod", "platform", *WHY),
    ("hold", "acme/prod", "platform/gateway@1.0.0", *WHY, *LATER),
    ("unhold", "acme/prod", "platform"),
    ("unhold", "stable", "platform", "--yes"),
    ("rollback", "acme/prod", "platform", "--to", "1.0.0", *WHY),
    ("rollback", "stable", "platform", "--to", "1.0.0", *SURE),
    ("pdp", "add", "acme/new", "--channel", "edge", "--bundle", "platform", "--label", "region=eu"),
    (
        "pdp",
        "add",
        "acme/shy",
        "--channel",
        "edge",
        "--bundle",
        "platform",
        "--ask",
        "--wariness",
        "0.9",
        "--volunteer",
    ),
]


def name_of(arguments: tuple[str, ...]) -> str:
    """Return the name of a case."""
    return " ".join(arguments)[:60]


@pytest.mark.parametrize(
    "arguments", [*READING, *DECIDING, ("token", "create", "ci", "--group", "viewer")], ids=name_of
)
def test_output_is_for_people_or_for_programs(ums: Run, arguments: tuple[str, ...]) -> None:
    """JSON and YAML hold the same; the table is neither, and says something."""
    as_json, as_yaml = ums(*arguments, "-o", "json"), ums(*arguments, "-o", "yaml")
    assert as_json.code == as_yaml.code == 0, as_json.err
    assert json.loads(as_json.out).keys() == yaml.safe_load(as_yaml.out).keys()
    table = ums(*arguments)
    assert table.code == 0
    assert table.out.strip()
    with pytest.raises(ValueError, match=r"Expecting|Extra data"):
        json.loads(table.out)


@pytest.mark.parametrize("arguments", DECIDING, ids=name_of)
def test_a_dry_run_records_nothing(stage: Stage, ums: Run, arguments: tuple[str, ...]) -> None:
    """It shows whom it would touch."""
    before = stage.repo.read().base
    done = ums(*arguments, "--dry-run")
    assert (done.code, stage.repo.read().base) == (0, before)
    assert "dry run" in done.out
    assert "nothing was recorded" in done.out


def test_a_promotion_shows_the_diff_and_who_moves(stage: Stage, ums: Run) -> None:
    """And once more, that it was so already; the loop moves the data planes."""
    stage.promote("1.1.0", "edge")
    dry = ums("promote", "platform@1.1.0", "--to", "stable", "--dry-run")
    assert "first to move: acme/prod" in dry.out
    assert "in waves: everyone (1)" in dry.out
    done = ums("promote", "platform@1.1.0", "--to", "stable", "--reason", "it soaked")
    assert "stable: platform@1.0.0 -> platform@1.1.0  (feature)" in done.out
    assert "~ cilium" in done.out
    assert "✓ feeder" in done.out
    assert "stable is followed by 1 data plane, in waves: everyone" in done.out
    assert "at the earliest 20" in done.out
    assert stage.running() == {"cilium": "1.0.0", "gateway": "1.0.0"}
    stage.services.reconcile()
    assert stage.running() == {"cilium": "1.1.0", "gateway": "1.1.0"}
    assert "already so" in ums("promote", "platform@1.1.0", "--to", "stable").out
    entry = stage.services.log(limit=2)[1]
    assert (entry.actor, entry.action, entry.reason) == ("ada", "promote", "it soaked")


SECURITY: dict[str, Any] = {"class": "security", "fixes": ["CVE-2026-0001"]}


def test_what_a_release_fixes_is_said_before_it_is_promoted(stage: Stage, ums: Run) -> None:
    """It is why people hurry: what the release has and the channel lacks, whatever its version passes over."""
    stage.publish("1.2.0", **SECURITY)
    assert "fixes CVE-2026-0001\n" in ums("promote", "platform@1.2.0", "--to", "edge", "--dry-run").out
    stage.publish("1.3.0", patch=stage.patch_of("1.2.0"), **{**SECURITY, "fixes": ["CVE-2026-0002"]})
    assert "fixes CVE-2026-0001, CVE-2026-0002\n" in ums("promote", "platform@1.3.0", "--to", "edge", "--dry-run").out
    stage.promote("1.2.0", "edge")
    assert "fixes CVE-2026-0002\n" in ums("promote", "platform@1.3.0", "--to", "edge", "--dry-run").out


def test_what_a_release_takes_back_is_said_wherever_it_is_compared(stage: Stage, ums: Run) -> None:
    """The fix that its version passes over is not claimed, and a downgrade is marked; until somebody overrides it."""
    stage.publish("1.1.1", {"cilium": "1.16.4", "gateway": "1.1.0"}, **SECURITY)
    stage.promote("1.1.1", "edge")
    stage.publish("1.2.0", {"cilium": "1.16.3", "gateway": "1.2.0"})
    diff = ums("release", "diff", "platform@1.1.1", "platform@1.2.0").out
    assert "↓ cilium               1.16.4" in diff
    assert "(older)" in diff
    assert "✗ no longer fixes CVE-2026-0001" in diff
    assert "↓ for edge, which has platform@1.1.1:" in ums("release", "show", "platform@1.2.0").out
    refused = ums("promote", "platform@1.2.0", "--to", "edge", "--dry-run")
    assert (refused.code, "gate-regression" in refused.err) == (3, True)
    assert "lost fixes: CVE-2026-0001 in cilium" in refused.err
    assert "ums override regression platform@1.2.0 --to edge" in refused.err
    override = ("override", "regression", "platform@1.2.0", "--to", "edge", "--reason", "1.16.4 loses packets")
    assert "all gates are open" in ums(*override).out
    assert "already so, nothing changed" in ums(*override).out
    waiting = ums("channel", "show", "edge").out
    assert re.search(r"regression overridden by ada \w+ ago: 1\.16\.4 loses packets\n", waiting)
    shown = ums("promote", "platform@1.2.0", "--to", "edge", "--dry-run").out
    assert "» regression  overridden by ada: 1.16.4 loses packets (" in shown
    assert "no longer fixes CVE-2026-0001" in shown
    assert "  fixes" not in shown
    assert ums("promote", "platform@1.2.0", "--to", "edge").code == 0
    assert (
        "skipped     regression into edge, by ada: 1.16.4 loses packets" in ums("release", "show", "platform@1.2.0").out
    )
    assert "1.16.4 loses packets" in ums("log").out


def test_floors_are_listed(stage: Stage, ums: Run) -> None:
    """With who declares each, until when and why."""
    assert "No floors" in ums("release", "floors").out
    floor = {"component": "cilium", "versions": ">=1.2.0", "reason": "CVE-2026-0001"}
    ended = {**floor, "versions": ">=1.1.0", "until": "2026-01-01T00:00:00Z"}
    stage.publish("1.2.0", floors=[floor, ended])
    (heading, *lines) = ums("release", "floors", "platform").out.splitlines()
    assert heading.split() == ["COMPONENT", "VERSIONS", "DECLARED", "BY", "UNTIL", "REASON"]
    assert [line.split("  ")[0] for line in lines] == ["platform/cilium"] * 2
    assert ("no end" in lines[0], "✗ ended" in lines[1]) == (True, True)
    assert ums("release", "floors", "other").out.startswith("No floors")
    assert "floor       cilium >=1.2.0: CVE-2026-0001" in ums("release", "show", "platform@1.2.0").out


def set_policy(stage: Stage, channel: str, **fields: object) -> None:
    """Give a channel another policy."""
    content = yaml.safe_dump({"schema": 1, **fields}).encode()
    stage.services.set_policy(channel, content, Why(ADMIN, "a test"))


def token_of(stage: Stage, subject: str, *groups: str) -> str:
    """Return a token."""
    return stage.services.issue_token(Holder(subject, frozenset(groups)), expires=None, by=ADMIN)


ASKING = {"gates": {"soak": "1h", "approvals": {"required": 1, "groups": ["release-engineer"]}}, "rollout": AT_ONCE}


def adopt(stage: Stage) -> None:
    """Let a data plane of the feeder be well on 1.1.0."""
    lab = PDPName("acme", "lab")
    stage.add_plane(lab, "edge")
    stage.promote("1.1.0", "edge")
    stage.hear(Health.HEALTHY, lab)
    stage.clock.advance(timedelta(minutes=5))
    stage.services.reconcile()


def test_a_closed_gate_says_until_when_and_who_can_change_it(stage: Stage, ums: Run) -> None:
    """*Gates* shows all of them and ends with 3; *--when-ready* waits for them."""
    set_policy(stage, "stable", feeder="edge", **ASKING)
    adopt(stage)
    asked = ums("gates", "platform@1.1.0", "--to", "stable")
    assert asked.code == 3
    assert "2 of" in asked.out
    assert "… soak" in asked.out
    assert "until 2026-11-23 13:05:00 UTC" in asked.out
    assert "people of release-engineer" in asked.out
    refused = ums("promote", "platform@1.1.0", "--to", "stable")
    assert refused.code == 3
    assert "gate-soak" in refused.err
    wanted = ums("promote", "platform@1.1.0", "--to", "stable", "--when-ready", "--reason", "soon")
    assert (wanted.code, stage.running()["cilium"]) == (0, "1.0.0")
    assert "platform@1.1.0 waits for soak, approvals, then goes on" in wanted.out
    assert "at the earliest 2026-11-23 13:05:00" in wanted.out
    shown = ums("channel", "show", "stable").out
    assert "soak 1h, 1 approval of release-engineer" in shown
    assert "waiting: platform@1.1.0, wanted by ada" in shown


def test_others_than_the_author_approve_and_then_it_goes_on(
    stage: Stage, ums: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A no stands until the same person says yes."""
    set_policy(stage, "stable", feeder="edge", **ASKING)
    adopt(stage)
    ums("promote", "platform@1.1.0", "--to", "stable", "--when-ready", "--reason", "soon")
    monkeypatch.setenv("UMS_TOKEN", token_of(stage, "bob", "release-engineer"))
    no = ums("reject", "platform@1.1.0", "--to", "stable", "--reason", "latency")
    assert "✗ approvals  rejected by bob: latency" in no.out
    assert "rejected by bob" in ums("channel", "show", "stable").out
    yes = ums("approve", "platform@1.1.0", "--to", "stable", "-o", "json")
    assert {each["gate"]: each["verdict"] for each in json.loads(yes.out)["gates"]}["approvals"] == "passed"
    assert "it still waits for soak" in ums("approve", "platform@1.1.0", "--to", "stable").out
    stage.clock.advance(timedelta(hours=1))
    stage.services.reconcile()
    assert stage.running()["cilium"] == "1.1.0"


def test_the_fast_path_shows_what_was_skipped_for_ever(stage: Stage, ums: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the gates, and on the release."""
    rule = {"classes": ["security"], "skip": ["soak"], "approvals": {"required": 1, "groups": ["security"]}}
    set_policy(stage, "stable", feeder="edge", **{**ASKING, "gates": {"soak": "1h"}}, expedite=rule)
    stage.publish("1.2.0", **SECURITY)
    stage.promote("1.2.0", "edge")
    assert ums("promote", "platform@1.2.0", "--to", "stable", "--expedite", "--reason", "CVE").code == 3
    admin = os.environ["UMS_TOKEN"]
    monkeypatch.setenv(
        "UMS_TOKEN", ums("token", "create", "eve", "--group", "viewer", "--group", "security").out.strip()
    )
    assert ums("approve", "platform@1.2.0", "--to", "stable").code == 0
    monkeypatch.setenv("UMS_TOKEN", admin)
    assert ums("gates", "platform@1.2.0", "--to", "stable", "--expedite").code == 0
    done = ums("promote", "platform@1.2.0", "--to", "stable", "--expedite", "--reason", "CVE")
    assert "» soak" in done.out
    assert "skipped     soak into stable, by ada: CVE" in ums("release", "show", "platform@1.2.0").out


def test_who_is_kept_back_is_named(stage: Stage, ums: Run) -> None:
    """With the code of the reason; *show* has its words."""
    pinned = ums("pin", "acme/prod", "platform@1.0.0", "--reason", "kernel module")
    assert pinned.code == 0
    stage.promote("1.1.0")
    assert "withheld, pinned: acme/prod" in ums("pin", "acme/prod", "platform@1.0.0", "--reason", "kernel").out
    assert "platform is pinned to 1.0.0 by ada: kernel" in ums("pdp", "show", "acme/prod").out
    plan = ums("plan").out
    assert "1 data plane of stable, platform: pinned" in plan
    assert "can change it: an operator of acme (ums unpin acme/prod platform --reason …)" in plan


WAVES = {
    "waves": [{"name": "canary", "share": "1", "soak": "30m"}, {"name": "everyone", "over": "1h"}],
    "maxUpdating": "100%",
    "healthyFor": "0s",
}
SECOND = PDPName("acme", "second")


def report(stage: Stage, name: PDPName, health: Health) -> None:
    """Let a data plane report on what it was offered last."""
    desired, now = stage.repo.read().plane(name).desired, stage.clock.now()
    assert desired is not None
    stage.store.record(name, Report(desired.serial, health, "it said so", "platform-cilium", now, now))


def test_the_history_of_a_data_plane_is_what_was_heard(stage: Stage, ums: Run) -> None:
    """Newest first, in Flux's words; where nothing was heard it says what to ask instead."""
    assert "nothing was heard of acme/prod yet" in ums("pdp", "history", "acme/prod").out
    for health in (Health.HEALTHY, Health.FAILED):
        stage.clock.advance(timedelta(minutes=1))
        stage.hear(health, PROD)
    lines = ums("pdp", "history", "acme/prod").out.splitlines()
    assert [line.split()[2] for line in lines[1:]] == ["failed", "healthy"]
    assert len(ums("pdp", "history", "acme/prod", "--limit", "1").out.splitlines()) == 2


def test_a_rollout_is_seen_and_steered_wave_by_wave(stage: Stage, ums: Run) -> None:
    """Who, why, how many, how soon; and each step stands in the log."""
    stage.add_plane(SECOND)
    set_policy(stage, "stable", feeder="edge", rollout=WAVES)
    stage.promote("1.1.0")
    table = ums("rollout", "status", "stable").out
    assert "stable  platform@1.1.0  ↻ running" in table
    assert "offered to 1 of 2 data planes" in table
    assert "canary (1)  1        0        1         0          0       0        updating  30m" in table
    assert "2026-11-23 13:30:00 UTC" in table, "30 minutes of soak, and an hour of ramp"
    assert "everyone (2 of 2) after canary" in ums("plan", "--channel", "stable").out
    paused = ums("rollout", "pause", "stable", "platform", "--reason", "lunch")
    assert "platform@1.1.0 in stable: paused" in paused.out
    assert "‖ paused" in ums("status").out
    assert "lunch (ada" in ums("rollout", "status", "stable", "platform").out
    assert "dry run" in ums("rollout", "resume", "stable", "platform", *WHY, "--dry-run").out
    for step in ("resume", "next", "retry", "cancel"):
        sure = SURE if step != "retry" else WHY
        if step == "next":
            stage.hear(Health.HEALTHY, *stage.world().planes)
            stage.clock.advance(timedelta(minutes=5))
        assert ums("rollout", step, "stable", "platform", *sure).code == 0, step
    assert "– cancelled" in ums("rollout", "status").out
    assert [each.action for each in stage.services.log(limit=3)] == ["rollout-cancel", "rollout-retry", "rollout-next"]


def test_a_halt_names_who_failed_and_what_to_do(stage: Stage, ums: Run) -> None:
    """In *status*, *rollout status*, *plan* and *explain*."""
    stage.add_plane(SECOND)
    set_policy(stage, "stable", feeder="edge", rollout=WAVES)
    stage.promote("1.1.0")
    first = next(name for name in (PROD, SECOND) if stage.running(name)["cilium"] == "1.1.0")
    other = SECOND if first == PROD else PROD
    report(stage, first, Health.FAILED)
    stage.services.reconcile()
    table = ums("rollout", "status", "stable").out
    assert f"1 of 1 failed, more than 0: {first}" in table
    assert "ums rollout retry, resume or cancel stable platform" in table
    assert "✗ halted" in ums("status").out
    assert f"✗ rollout       the rollout of platform@1.1.0 halted: 1 of 1 failed, more than 0: {first}" in (
        ums("explain", str(other)).out
    )
    assert "rollout-halted" in ums("plan").out


def test_a_freeze_cannot_be_overlooked(ums: Run) -> None:
    """It stops promotions; *status* begins with it; its name follows from its scope."""
    done = ums("freeze", "--channel", "edge", "--reason", "incident 1", "--yes")
    assert "channel edge: frozen" in done.out
    assert "nobody is within it now" in done.out
    assert "ums thaw channel-edge" in done.out
    assert "gate-freeze" in ums("promote", "platform@1.1.0", "--to", "edge").err
    assert "it stops 1 data plane\n" in ums("freeze", *SURE).out
    shown = ums("status").out
    assert shown.startswith("❄ FROZEN: channel edge by ada")
    assert "❄ FROZEN: everything" in shown
    assert "everything was frozen by ada" in ums("rollout", "status", "stable").out
    assert ums("thaw", "everything", *SURE).code == 0
    assert ums("unfreeze", "channel-edge", *SURE).code == 0
    assert "FROZEN" not in ums("status").out


def test_a_withdrawn_release_says_who_still_has_it(stage: Stage, ums: Run) -> None:
    """When it is yanked, when it is recalled, and on the release."""
    assert "1 data plane still exposed: acme/prod" in ums("yank", "platform@1.0.0", "--reason", "it leaks", "--yes").out
    assert "✗ YANKED: it leaks" in ums("release", "show", "platform@1.0.0").out
    assert "✗ yanked" in ums("release", "list").out
    done = ums("recall", "platform@1.0.0", "--reason", "it leaks", "--yes")
    assert "platform@1.0.0: recalled to platform@1.1.0" in done.out
    assert "✗ RECALLED to platform@1.1.0 by ada: it leaks" in ums("release", "show", "platform@1.0.0").out
    report(stage, PROD, Health.HEALTHY)
    assert "no data plane is exposed" in ums("yank", "platform@1.0.0", "--reason", "it leaks", "--yes").out
    assert ums("unyank", "platform@1.0.0", "--reason", "it was the test", "--yes").code == 0
    assert "YANKED" not in ums("release", "show", "platform@1.0.0").out


def test_a_risk_is_declared_explained_accepted_and_retracted(stage: Stage, ums: Run) -> None:
    """It is *not recommended*, and never *blocked*."""
    declared = ums(
        *("risk", "declare", "old-kernel", "--bundle", "platform", "--releases", "1.1.x", "--from", "1.0.x"),
        *("--component", "cilium=1.x", "--url", "https://example.com/1", "--message", "it does not start", *SURE),
    )
    assert "not recommended" in declared.out
    listed = ums("risk", "list").out
    assert "old-kernel  platform 1.1.x" in listed
    assert "cilium 1.x, from 1.0.x" in listed
    stage.promote("1.1.0")
    explained = ums("explain", "acme/prod").out
    assert "✗ risk          not recommended because of risk old-kernel: it does not start" in explained
    assert "blocked" not in listed + explained
    assert ums("risk", "accept", "acme/prod", "old-kernel", "--reason", "we can live with it").code == 0
    assert stage.running()["cilium"] == "1.1.0"
    assert "takes risk old-kernel: we can live with it" in ums("pdp", "show", "acme/prod").out
    assert ums("risk", "retract", "old-kernel", *SURE).code == 0
    assert "No risk is declared." in ums("risk", "list").out


def test_an_owner_who_asks_is_asked(stage: Stage, ums: Run) -> None:
    """Nothing moves before; and *explain* names the command."""
    add = ("pdp", "add", "acme/plant", "--channel", "stable", "--bundle", "platform", "--management", "customer")
    assert ums(*add, "--ask").code == 0
    stage.promote("1.1.0")
    plant = PDPName("acme", "plant")
    assert stage.running(plant) == {}
    assert "ums consent acme/plant platform@1.1.0" in ums("explain", "acme/plant").out
    assert ums("consent", "acme/plant", "platform@1.1.0", "--reason", "change 815").code == 0
    assert stage.running(plant)["cilium"] == "1.1.0"
    shown = ums("pdp", "show", "acme/plant").out
    assert "its owner is asked before each release" in shown
    assert "consent to platform@1.1.0: change 815 (ada)" in shown


def test_a_policy_is_linted_compared_and_set(ums: Run, tmp_path: Path) -> None:
    """What is wrong is said before anything acts on it."""
    file = tmp_path / "policy.yaml"
    file.write_text("schema: 1\nfeeder: stable\n")
    lint = ums("channel", "lint", "stable", str(file))
    assert lint.code == 2
    assert "circle" in lint.out
    assert ums("channel", "set", "stable", str(file), *SURE).code == 2
    file.write_text("schema: 1\nfeder: edge\n")
    assert f"✗ {file}:2: feder" in ums("channel", "lint", "stable", str(file)).out
    file.write_text("schema: 1\nfeeder: edge\ndescription: for all\n")
    assert "is fine" in ums("channel", "lint", "stable", str(file)).out
    assert "+description: for all" in ums("channel", "diff", "stable", str(file)).out
    assert "dry run" in ums("channel", "set", "stable", str(file), *SURE, "--dry-run").out
    assert ums("channel", "set", "stable", str(file), *SURE).code == 0
    assert "is the policy of stable" in ums("channel", "diff", "stable", str(file)).out
    assert ums("channel", "show", "stable", "--policy").out == file.read_text()
    assert "for all" in ums("channel", "list").out
    file.write_bytes(b"\xff")
    assert "UTF-8" in ums("channel", "set", "stable", str(file), *SURE).err


def test_a_failure_is_shown_with_its_component(stage: Stage, ums: Run) -> None:
    """In words, not by colour alone."""
    desired = stage.repo.read().plane(PROD).desired
    assert desired is not None
    now = stage.clock.now()
    stage.store.record(PROD, Report(desired.serial, Health.FAILED, "not ready", "platform-cilium", now, now))
    assert "✗ failed" in ums("status").out
    assert "✗ failed" in ums("pdp", "list").out
    assert "platform-cilium: not ready" in ums("pdp", "show", "acme/prod").out


def test_bootstrap_writes_a_file_for_its_owner_alone(ums: Run, tmp_path: Path) -> None:
    """It holds secrets; twice is fine; ``--stdout`` prints the same."""
    path = tmp_path / "prod.yaml"
    for _ in range(2):
        assert ums("pdp", "bootstrap", "acme/prod", "-f", str(path)).code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    objects = list(yaml.safe_load_all(path.read_text()))
    assert objects[0]["kind"] == "Namespace"
    assert [each.name for each in tmp_path.glob(".prod*")] == []
    assert list(yaml.safe_load_all(ums("pdp", "bootstrap", "acme/prod", "--stdout").out)) == objects


def test_a_bootstrap_file_begins_with_what_it_needs(ums: Run, tmp_path: Path) -> None:
    """Also on stdout; a cluster that is known to be too old gets none, with exit code 3 and the way out."""
    path = tmp_path / "prod.yaml"
    done = ums("pdp", "bootstrap", "acme/prod", "-f", str(path))
    assert path.read_text().startswith("# Connects the cluster of acme/prod.")
    assert "Kubernetes >= 1.30" in done.out
    assert f"&& kubectl apply -f {path}" in done.out
    assert f"&& kubectl apply -f {path}" in path.read_text().partition("\napiVersion")[0]
    assert next(yaml.safe_load_all(path.read_text()))["metadata"]["annotations"]["ums/sealed"] == "true"
    assert ums("pdp", "bootstrap", "acme/prod", "--stdout").out.startswith("# Connects the cluster of acme/prod.")
    ums("pdp", "set", "acme/prod", "--kubernetes", "1.29.4", *WHY)
    refused = ums("pdp", "bootstrap", "acme/prod", "--stdout")
    assert (refused.code, refused.out) == (3, "")
    assert "Kubernetes 1.29.4, and needs 1.30.0 or newer" in refused.err
    assert "ums pdp set acme/prod --kubernetes VERSION" in refused.err
    ums("pdp", "set", "acme/prod", "--kubernetes", "1.30.1", *WHY)
    assert ums("pdp", "bootstrap", "acme/prod", "--stdout").code == 0


def test_values_of_a_data_plane_are_set_shown_and_removed(stage: Stage, ums: Run, tmp_path: Path) -> None:
    """All of them at once, from YAML that people write, with the serial of the state that has them."""
    stage.publish("1.2.0", charts=["cilium"])
    stage.promote("1.2.0")
    path = tmp_path / "values.yaml"
    path.write_text("platform:\n  cilium: {hubble: {enabled: yes}}\n")
    sealed = ums("pdp", "set", "acme/prod", "--values", str(path), *WHY)
    assert (sealed.code, "--no-sealed" in sealed.err) == (2, True)
    tried = ums("pdp", "set", "acme/prod", "--no-sealed", "--values", str(path), *WHY, "--dry-run")
    assert "it would be offered state" in tried.out
    done = ums("pdp", "set", "acme/prod", "--no-sealed", "--values", str(path), *WHY)
    assert (done.code, "it is offered state" in done.out) == (0, True)
    assert "cilium:\n        hubble:\n          enabled: true" in ums("pdp", "show", "acme/prod").out
    shown = json.loads(ums("pdp", "show", "acme/prod", "-o", "json").out)
    assert (shown["values"], shown["sealed"]) == ({"platform": {"cilium": {"hubble": {"enabled": True}}}}, False)
    assert ums("pdp", "set", "acme/prod", "--sealed", *WHY).code == 2
    assert ums("pdp", "bootstrap", "acme/prod", "--stdout").code == 5
    opened = ums("pdp", "bootstrap", "acme/prod", "--unsealed", "--stdout").out
    assert next(yaml.safe_load_all(opened))["metadata"]["annotations"]["ums/sealed"] == "false"
    assert ums("pdp", "set", "acme/prod", "--no-values", "--sealed", *WHY).code == 0
    assert "values" not in (plane := ums("pdp", "show", "acme/prod").out).replace("takes no values", "")
    assert "sealed" in plane
    add = ("pdp", "add", "acme/new", "--channel", "stable", "--bundle", "platform", "--values", str(path))
    assert ums(*add).code == 2
    assert ums(*add, "--no-sealed").code == 0
    assert "hubble" in ums("pdp", "show", "acme/new").out


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- a\n", "holds no values"),
        ("a: [\n", "not YAML"),
        ("platform: {clium: {a: 1}}\n", "clium"),
        ("platform: {cilium: 1}\n", "cilium"),
        ("platform: 1\n", "values.platform is no mapping"),
        ("platform: {cilium: {a: .inf}}\n", "no number"),
    ],
)
def test_values_that_are_none_are_refused(ums: Run, tmp_path: Path, text: str, says: str) -> None:
    """With exit code 2, and where it is wrong."""
    path = tmp_path / "values.yaml"
    path.write_text(text)
    done = ums("pdp", "set", "acme/prod", "--no-sealed", "--values", str(path), *WHY)
    assert (done.code, says in done.err) == (2, True)
    assert ums("pdp", "set", "acme/prod", "--values", str(path), "--no-values", *WHY).code == 2


def test_new_credentials_are_written_for_their_owner_alone(ums: Run, tmp_path: Path) -> None:
    """The Secrets and nothing else; what there is to do next is said, and until when."""
    path = tmp_path / "new.yaml"
    rotate = ("pdp", "rotate", "acme/prod", *SURE)
    tried = ums(*rotate, "-f", str(path), "--dry-run")
    assert "dry run: acme/prod has generation 2" in tried.out
    assert not path.exists()
    done = ums(*rotate, "--overlap", "36h", "-f", str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    objects = list(yaml.safe_load_all(path.read_text()))
    assert [(each["kind"], each["metadata"]["name"]) for each in objects] == [
        ("Secret", "ums-git"),
        ("Secret", "ums-events"),
    ]
    assert "the one before is accepted until 2026-11-25T00:00:00Z" in done.out
    assert "ums pdp rotate acme/prod --finish" in done.out
    assert "generation 2, the one before is accepted until 2026-11-25T00:00:00Z" in ums("pdp", "show", "acme/prod").out
    again = ums(*rotate)
    assert (again.code, "until 2026-11-25T00:00:00Z" in again.err, "--finish" in again.err) == (5, True, True)
    assert "newest credentials alone are accepted" in ums(*rotate, "--finish").out
    assert "nothing changed" in ums(*rotate, "--finish").out
    assert "credentials generation 2\n" in ums("pdp", "show", "acme/prod").out
    printed = list(yaml.safe_load_all(ums(*rotate, "--now", "--stdout").out))
    assert [each["metadata"]["name"] for each in printed] == ["ums-git", "ums-events"]
    whole = json.loads(ums(*rotate, "-o", "json").out)
    assert (whole["generation"], len(whole["objects"])) == (4, 2)
    assert [each.name for each in tmp_path.glob("*.yaml")] == ["new.yaml"]


def test_new_credentials_that_cannot_be_written_are_not_lost(ums: Run, tmp_path: Path) -> None:
    """It is said how to get them."""
    done = ums("pdp", "rotate", "acme/prod", *SURE, "-f", str(tmp_path / "no" / "such.yaml"))
    assert done.code == 10
    assert "ums pdp bootstrap acme/prod writes the new Secrets" in done.err
    assert "generation 2" in ums("pdp", "show", "acme/prod").out


def test_a_data_plane_is_removed_and_its_cluster_told_what_to_do(ums: Run) -> None:
    """Once; what runs there is not touched by any of the commands."""
    assert "dry run: acme/prod is removed" in ums("pdp", "remove", "acme/prod", *SURE, "--dry-run").out
    done = ums("pdp", "remove", "acme/prod", *SURE)
    assert "acme/prod is removed (" in done.out
    assert (
        "kubectl -n ums-system delete --ignore-not-found kustomization.kustomize.toolkit.fluxcd.io/ums-root" in done.out
    )
    assert not any(word in done.out for word in ("namespace/", "helmrelease", "ocirepository"))
    assert ums("pdp", "show", "acme/prod").code == 4
    assert "nothing changed" in ums("pdp", "remove", "acme/prod", *WHY, "--yes").out
    assert "No data planes yet" in ums("pdp", "list").out


def test_a_file_that_cannot_be_written_is_said_so(ums: Run, tmp_path: Path) -> None:
    """Exit code 10, and nothing is left behind."""
    done = ums("pdp", "bootstrap", "acme/prod", "-f", str(tmp_path / "no" / "such" / "folder.yaml"))
    assert done.code == 10
    assert "cannot write" in done.err


def test_a_token_is_shown_once_and_works(stage: Stage, ums: Run) -> None:
    """Alone on its line, for scripts."""
    done = ums("token", "create", "ci", "--group", "publisher", "--bundle", "platform")
    identity = stage.services.authenticate(done.out.strip())
    assert identity == Holder("ci", frozenset({"publisher"}), frozenset({"platform"})).identity


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("promote", "platform", "--to", "stable"), 2, "bundle@version"),
        (("promote", "platform@1.1.0", "--to", "stable"), 3, "gate-feeder: platform@1.1.0 was not promoted to edge"),
        (("promote", "platform@9.9.9", "--to", "stable"), 4, "newest of platform: 1.0.0, 1.1.0"),
        (("promote", "platform@1.1.0", "--to", "none"), 4, "channels: edge, stable"),
        (("pdp", "add", "acme/prod", "--channel", "edge", "--bundle", "platform"), 5, "registered already"),
        (("pdp", "show", "acme/none"), 4, "ums pdp list"),
        (("pdp", "show", "nonsense"), 2, "organization"),
        (("pdp", "bootstrap", "../prod"), 2, "not a valid"),
        (("pdp", "rotate", "--yes", "acme/none"), 4, "ums pdp list"),
        (("pdp", "rotate", "--yes", "acme/prod", "--overlap", "soon"), 2, "soon"),
        (("pdp", "rotate", "--yes", "acme/prod", "--overlap", "91d"), 2, "up to 90 days"),
        (("pdp", "rotate", "--yes", "acme/prod", "--overlap", "1d", "--now"), 2, "one of"),
        (("pdp", "rotate", "--yes", "acme/prod", "--stdout", "-o", "json"), 2, "leave --stdout out"),
        (("pdp", "remove", "acme/none", *SURE), 4, "ums pdp list"),
        (("release", "show", "platform"), 2, "bundle@version"),
        (("release", "show", "other@1.0.0"), 4, "ums publish"),
        (("token", "create", "ci", "--group", "kings"), 2, "a token needs a role; kings is for approvals alone"),
        (("pin", "acme/prod", "platform@nonsense", *WHY), 2, "nonsense"),
        (("pin", "acme/prod", "platform", *WHY, "--until", "2000-01-01T00:00:00Z"), 2, "past"),
        (("pin", "acme/prod", "platform", *WHY, *LATER, "--for", "1d"), 2, "not both"),
        (("hold", "acme/prod", "platform", "--reason", " "), 2, "a reason is missing"),
        (("rollback", "acme/prod", "platform", "--to", "1.1.0", *WHY), 2, "not earlier"),
        (("rollback", "nonsense", "platform", "--to", "1.0.0", *SURE), 4, "channels: edge, stable"),
        (("log", "-n", "501"), 2, "501"),
        (("promote", "platform@1.1.0", "--to", "edge", "--expedite"), 2, "a reason is missing"),
        (("approve", "platform@1.1.0", "--to", "stable"), 2, "asks for no approvals"),
        (("rollout", "next", "edge", "platform", *SURE), 2, "nobody is well on platform@"),
        (("rollout", "pause", "stable", "other", *WHY), 4, "no rollout"),
        (("freeze", "--org", "acme", "--pdp", "acme/prod", *SURE), 2, "not both"),
        (("freeze", "Bad Name", *SURE), 2, "lower-case letters"),
        (("freeze", "--channel", "none", *SURE), 4, "channels: edge, stable"),
        (("yank", "platform", *SURE), 2, "bundle@version"),
        (("recall", "platform@1.1.0", *SURE), 2, "--to"),
        (("explain", "acme/none"), 4, "ums pdp list"),
        (("consent", "acme", "platform@1.1.0", *WHY), 2, "organization"),
        (("pdp", "add", "acme/x", "--channel", "edge", "--bundle", "platform", "--label", "eu"), 2, "KEY=VALUE"),
    ],
    ids=lambda each: name_of(each) if isinstance(each, tuple) else None,
)
def test_what_cannot_be_done_ends_with_its_code_and_says_what_to_do(
    ums: Run, arguments: tuple[str, ...], code: int, says: str
) -> None:
    """On the error output; the other stays clean for pipes."""
    done = ums(*arguments)
    assert (done.code, done.out) == (code, "")
    assert says in done.err


@pytest.mark.parametrize(
    ("token", "told"),
    [("ums_wrong", (6, "token")), ("viewer", (6, "ask an admin")), ("", (2, "token"))],
    ids=["unknown", "not allowed", "none"],
)
def test_who_may_not_is_told_whom_to_ask(
    stage: Stage, ums: Run, monkeypatch: pytest.MonkeyPatch, token: str, told: tuple[int, str]
) -> None:
    """A wrong token, one with too few rights, and none at all."""
    if token == "viewer":  # noqa: S105 - the name of a group
        token = stage.services.issue_token(Holder("v", frozenset({"viewer"})), expires=None, by=ADMIN)
    monkeypatch.setenv("UMS_TOKEN", token)
    done = ums("promote", "platform@1.1.0", "--to", "edge")
    assert (done.code, told[1] in done.err) == (told[0], True)


def test_a_token_may_stand_in_a_file(stage: Stage, ums: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It goes before the variable, and may end with a new line."""
    path = tmp_path / "token"
    path.write_text(stage.services.issue_token(ADA, expires=None, by=ADMIN) + "\n")
    monkeypatch.setenv("UMS_TOKEN", "ums_wrong")
    assert ums("status", "--token-file", str(path)).code == 0


def test_a_service_that_is_not_there_is_unavailable(ums: Run) -> None:
    """Exit code 9: a script may try again."""
    done = ums("status", "--server", f"http://127.0.0.1:{free_port()}")
    assert done.code == 9
    assert "UMS_SERVER" in done.err


PROMOTED = ("promote", "platform@1.1.0", "--to", "stable", "--wait", "--timeout")


def test_waiting_for_nobody_takes_no_time(ums: Run) -> None:
    """Nobody moved."""
    assert ums("unpin", "acme/prod", "platform", "--wait").code == 0


@pytest.mark.parametrize(("health", "code"), [(Health.HEALTHY, 0), (Health.FAILED, 12)])
def test_waiting_tells_how_data_planes_are(stage: Stage, ums: Run, health: Health, code: int) -> None:
    """The report that came before the question counts as well."""
    stage.promote("1.1.0")
    now = stage.clock.now()
    stage.store.record(PROD, Report(2**40, health, "it said so", "platform-cilium", now, now))
    done = ums("rollback", "acme/prod", "platform", "--to", "1.0.0", *WHY, "--wait", "--timeout", "5s")
    assert done.code == code
    assert health.value in done.out
    assert ("it said so" in done.out) is (health is Health.FAILED)


@pytest.mark.parametrize(("health", "code"), [(Health.HEALTHY, 0), (Health.FAILED, 12)])
def test_waiting_for_a_rollout_tells_how_it_ends(
    stage: Stage, ums: Run, monkeypatch: pytest.MonkeyPatch, health: Health, code: int
) -> None:
    """Wave by wave, on the error output; the other stays clean for pipes."""
    stage.promote("1.1.0", "edge")
    rounds = iter(range(9))

    def meanwhile() -> None:
        stage.clock.advance(timedelta(minutes=1))
        if next(rounds) == 1:
            report(stage, PROD, health)
        stage.services.reconcile()

    monkeypatch.setattr(waiting, "pause", meanwhile)
    done = ums(*PROMOTED, "1h", "-o", "json")
    assert (done.code, json.loads(done.out)["promoted"]) == (code, True)
    assert "wave everyone (1 of 1) is updating: 0 of 1 well" in done.err
    assert ("finished" if code == 0 else "halted: 1 of 1 failed, more than 0: acme/prod") in done.err


def test_waiting_for_a_rollout_ends_in_time(stage: Stage, ums: Run) -> None:
    """What was promoted goes on; and while gates are closed, it says which to look at."""
    stage.promote("1.1.0", "edge")
    late = ums(*PROMOTED, "1s")
    assert late.code == 11
    assert "ums rollout status stable platform" in late.err
    set_policy(stage, "stable", feeder="edge", **ASKING)
    stage.publish("1.2.0")
    stage.promote("1.2.0", "edge")
    late = ums("promote", "platform@1.2.0", "--to", "stable", "--when-ready", "--wait", "--timeout", "1s")
    assert late.code == 11
    assert "platform@1.2.0 waits for the gates of stable" in late.err
    assert "ums gates platform@1.2.0 --to stable" in late.err


def test_waiting_ends_where_nobody_is_there_to_wait_for(ums: Run) -> None:
    """The rollout does not succeed by that; it begins with the first data plane."""
    done = ums("promote", "platform@1.1.0", "--to", "edge", "--wait", "--timeout", "1h")
    assert done.code == 0
    assert "no data plane of edge follows platform yet" in done.err
    assert "running" in ums("rollout", "status", "edge", "platform").out


def test_waiting_ends_when_a_gate_can_never_pass(stage: Stage, ums: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the reason, which the channel shows as well."""
    stage.promote("1.1.0", "edge")
    stage.publish("1.2.0")
    set_policy(stage, "stable", feeder="edge", gates={"adoption": {"healthy": "1", "for": "1h"}})

    def meanwhile() -> None:
        stage.promote("1.2.0", "edge")
        stage.services.reconcile()

    monkeypatch.setattr(waiting, "pause", meanwhile)
    done = ums("promote", "platform@1.1.0", "--to", "stable", "--when-ready", "--wait", "--timeout", "1h")
    assert done.code == 12
    assert "when 1.2.0 took its place there" in done.err
    assert "given up: platform@1.1.0" in ums("channel", "show", "stable").out


def test_waiting_ends_when_another_release_comes(stage: Stage, ums: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """That rollout will never finish."""
    stage.publish("1.2.0")
    stage.promote("1.1.0", "edge")
    stage.promote("1.2.0", "edge")
    monkeypatch.setattr(waiting, "pause", lambda: stage.promote("1.2.0", "stable"))
    done = ums(*PROMOTED, "1h")
    assert done.code == 12
    assert "another release of platform was promoted to stable meanwhile" in done.err


def test_insights_are_told_for_people_and_for_programs(ums: Run, stage: Stage) -> None:
    """With what is approximate, for programs; a dash where there is nothing to tell."""
    stage.clock.advance(timedelta(hours=2))
    told = ums("insights", "--channel", "stable", "--since", "7d")
    assert (told.code, told.err) == (0, "")
    heading, line = told.out.splitlines()
    assert heading.startswith("CHANNEL  PROMOTIONS  A WEEK  LEAD TIME TO 90%")
    assert line.split()[:3] == ["stable", "1", "1"]
    data = json.loads(ums("insights", "-o", "json").out)
    assert [each["channel"] for each in data["items"]] == ["edge", "stable"]
    assert data["approximations"]
    assert ums("insights", "--since", "soon").code == 2
    assert ums("insights", "--since", "999999d").code == 0
    assert ums("insights", "--channel", "nowhere").code == 4


@pytest.mark.parametrize("name", COMMANDS)
def test_help_needs_no_service(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It shows how the command is used."""
    for variable in ("UMS_SERVER", "UMS_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    done = run(capsys, name, "--help")
    assert done.code == 0
    assert f"Usage: ums {name}" in done.out


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """In both ways that people try."""
    assert run(capsys, "version").out == run(capsys, "--version").out == f"ums {__version__}\n"


def test_a_key_is_made_for_its_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Encrypted, beside its public half, and never over one that is there."""
    monkeypatch.setenv("UMS_KEY_PASSWORD", "correct horse")
    path = tmp_path / "release.key"
    assert run(capsys, "keys", "generate", str(path)).code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "ENCRYPTED SIGSTORE PRIVATE KEY" in path.read_text()
    assert "PUBLIC KEY" in path.with_suffix(".pub").read_text()
    before = path.read_bytes()
    assert run(capsys, "keys", "generate", str(path)).code != 0
    assert path.read_bytes() == before


def test_what_happens_is_told_as_it_was_recorded(stage: Stage, ums: Run) -> None:
    """From any commit on, in words or as CloudEvents; the newest commit has nothing after it."""
    start = stage.repo.read().base.main
    ums("promote", "platform@1.1.0", "--to", "edge", "--reason", "patch day")
    ums("freeze", "holidays", "--channel", "stable", "--reason", "nobody is there", "--yes")
    lines = ums("events", "--after", start).out.splitlines()
    assert [line.split()[2] for line in lines] == ["promotion.done", "rollout.started", "freeze.set"]
    assert lines[0].endswith("platform@1.1.0  edge  (ada: patch day)")
    (event,) = map(json.loads, ums("events", "--after", start, "--kind", "freeze", "-o", "json").out.splitlines())
    assert (event["type"], event["subject"]) == ("dev.ums.freeze.set", "holidays")
    assert ums("events").out == ""
    assert ums("events", "--after", "f" * 40).code == 4


def test_roles_are_granted_listed_and_revoked(ums: Run) -> None:
    """In words, and as data; taking the last admin's is warned of."""
    acme = ("role", "grant", "operator", "--to-group", "acme-ops", "--org", "acme", *WHY)
    assert ums(*acme, "--dry-run").out.startswith("dry run: group acme-ops is operator, limited to organization acme")
    assert ums("role", "list").out == "No role is granted in Git.\n"
    assert ums(*acme, "--for", "1d").code == 0
    assert ums("role", "grant", "admin", "--to-subject", "sam", *WHY).out.startswith("subject sam is admin (")
    shown = ums("role", "list").out
    for text in ("group acme-ops", "organization acme", "subject sam", "everything", "no end"):
        assert text in shown
    assert len(json.loads(ums("role", "list", "-o", "json").out)["items"]) == 2
    done = ums("role", "revoke", "admin", "--to-subject", "sam", *SURE)
    assert "subject sam is no longer admin" in done.out
    assert "admins' tokens remain" in done.out
    assert ums("role", "revoke", "admin", "--to-subject", "sam", *SURE).code == 4
    assert ums("role", "grant", "viewer", *WHY).code == 2
    assert ums("role", "grant", "king", "--to-subject", "sam", *WHY).code == 2


def test_tokens_are_limited_listed_and_revoked(ums: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """An organization's operator touches no other's; once revoked, the token opens nothing."""
    admin = os.environ["UMS_TOKEN"]
    token = ums("token", "create", "olga", "--group", "operator", "--org", "globex").out.strip()
    monkeypatch.setenv("UMS_TOKEN", token)
    refused = ums("pin", "acme/prod", "platform", "--reason", "x")
    assert (refused.code, "limited to organization globex; this concerns acme" in refused.err) == (6, True)
    monkeypatch.setenv("UMS_TOKEN", admin)
    listed = json.loads(ums("token", "list", "-o", "json").out)["items"]
    mine = next(each for each in listed if each["subject"] == "olga")
    assert (mine["orgs"], mine["issuedBy"], bool(mine["lastUsed"])) == (["globex"], "ada", True)
    assert token not in ums("token", "list").out
    assert "is revoked" in ums("token", "revoke", "--yes", mine["id"]).out
    assert ums("token", "revoke", "--yes", mine["id"]).code == 4
    monkeypatch.setenv("UMS_TOKEN", token)
    assert "the token is unknown or expired" in ums("status").err


def test_a_webhook_is_added_told_and_shown_without_its_secrets(stage: Stage, ums: Run) -> None:
    """The secret once, the URL never; a delivery is sent again by its number."""
    added = ums("webhook", "add", "chat", "--url", "https://hooks.example.com/s3cret", "--slack", "--kind", "freeze")
    assert "secret  whsec_" in added.out
    ums("freeze", "all", "--reason", "incident", "--yes")
    stage.services.deliver_webhooks()
    assert b"freeze.set" in stage.sender.posted[0][1]
    (sent,) = json.loads(ums("webhook", "deliveries", "chat", "-o", "json").out)["items"]
    assert (sent["kind"], sent["status"], sent["attempts"]) == ("freeze.set", "delivered", 1)
    ums("webhook", "replay", str(sent["id"]))
    assert stage.services.deliver_webhooks() == 1
    shown = ums("webhook", "list").out + ums("webhook", "deliveries", "chat").out
    assert "chat" in shown
    assert "s3cret" not in shown
    assert "whsec_" not in shown
    assert "is removed" in ums("webhook", "remove", "--yes", "chat").out
    assert ums("webhook", "add", "chat", "--url", "http://10.0.0.1/x").code == 2


def test_status_is_watched(ums: Run, stage: Stage) -> None:
    """Each change is a line at once, until somebody has seen enough."""
    assert ums("status", "--watch", "-o", "yaml").code == 2
    command = [sys.executable, "-m", "ums", "status", "--watch", "-o", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        try:
            assert json.loads(watching.stdout.readline())["freezes"] == []
            stage.services.freeze_fleet.freeze("everything", Scope(), Why(ADMIN, "incident"))
            assert [each["reason"] for each in json.loads(watching.stdout.readline())["freezes"]] == ["incident"]
        finally:
            watching.kill()


@pytest.mark.usefixtures("ums")
def test_watching_shows_what_happens_below_the_status(stage: Stage) -> None:
    """For people: the picture anew, and the last events."""
    command = [sys.executable, "-m", "ums", "status", "--watch"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        try:
            assert "CHANNEL" in watching.stdout.readline()
            stage.services.freeze_fleet.freeze("everything", Scope(), Why(ADMIN, "incident"))
            while "freeze.set" not in (line := watching.stdout.readline()):
                assert line, "it ended"
        finally:
            watching.kill()
    assert "(ada: incident)" in line
