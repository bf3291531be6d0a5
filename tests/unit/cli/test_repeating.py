"""Whoever gives an instruction twice changes nothing the second time, and is told so."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from tests.unit.cli.test_asking import VERBS
from tests.unit.cli.test_commands import LATER, Run, stage, ums, url
from tests.unit.usecases.stage import ADMIN, AT_ONCE, PROD, Stage
from tests.unit.usecases.test_rotating_keys import pem
from ums.cli.asking import class_of
from ums.domain.fleet import Given, Health
from ums.domain.freezes import Scope
from ums.domain.identity import Holder
from ums.domain.risks import Risk
from ums.domain.version import VersionRange
from ums.usecases.instruct import Why

__all__ = ["stage", "ums", "url"]

SURE = ("--reason", "a test", "--yes")
WHY = ("--reason", "a test")
RISK = ("--bundle", "platform", "--releases", "9.x", "--message", "it hurts")
REPEATED: dict[str, list[tuple[str, ...]]] = {
    "approve": [("platform@1.1.0", "--to", "stable")],
    "channel set": [("edge", "{policy}", *SURE)],
    "consent": [("acme/prod", "platform@1.1.0", *WHY), ("acme/prod", "platform@1.1.0", *WHY, *LATER)],
    "freeze": [SURE, ("mine", "--channel", "edge", *SURE, *LATER)],
    "hold": [("acme/prod", "platform", *WHY), ("acme/prod", "platform/cilium@1.0.0", *WHY, *LATER)],
    "keys rotate": [("--add", "second={key}", *SURE)],
    "pdp add": [("acme/new", "--channel", "edge", "--bundle", "platform")],
    "pdp remove": [("acme/prod", *SURE)],
    "pdp set": [("acme/prod", "--label", "tier=gold", *WHY), ("acme/prod", "--channel", "edge", *SURE)],
    "pin": [("acme/prod", "platform", *WHY), ("acme/prod", "platform/cilium@~1.0", *WHY, *LATER)],
    "promote": [
        ("platform@1.1.0", "--to", "edge"),
        ("platform@1.1.0", "--to", "stable", "--when-ready"),
        ("platform@1.1.0", "--to", "stable", "--cancel", *WHY),
    ],
    "recall": [("platform@1.0.0", "--to", "1.1.0", *SURE)],
    "reject": [("platform@1.1.0", "--to", "stable", *WHY)],
    "risk accept": [("acme/prod", "declared", *WHY), ("acme/prod", "declared", *WHY, *LATER)],
    "risk declare": [("bad", *RISK, *SURE), ("worse", *RISK, *SURE, *LATER)],
    "risk retract": [("declared", *SURE)],
    "role grant": [("viewer", "--to-subject", "sam", *WHY), ("viewer", "--to-group", "all", *WHY, *LATER)],
    "rollback": [
        ("acme/prod", "platform", "--to", "1.0.0", *WHY),
        ("acme/prod", "platform/cilium", "--to", "1.0.0", *WHY, *LATER),
        ("stable", "platform", "--to", "1.0.0", *SURE),
    ],
    "rollout cancel": [("stable", "platform", *SURE)],
    "rollout pause": [("stable", "platform", *WHY)],
    "rollout resume": [("stable", "platform", *SURE)],
    "thaw": [("frozen", *SURE)],
    "unhold": [("acme/prod", "platform"), ("stable", "platform", "--yes")],
    "unpin": [("acme/prod", "platform")],
    "unyank": [("platform@1.1.0", *SURE)],
    "yank": [("platform@1.1.0", *SURE)],
}
"""Each verb that tells how something is to be; and where ends or kinds differ, one line for each."""
OTHERS = {
    "audit export": "writes a file",
    "backup": "writes a file",
    "build": "writes a folder",
    "clock accept": "accepts the time of now",
    "flux migrate": "has nothing to do the second time",
    "init": "is refused the second time",
    "keys generate": "is refused the second time",
    "keys publish": "says that there is nothing to publish",
    "keys rotate-state": "is done in two steps",
    "keys sign": "leaves what is signed as it is",
    "override": "needs a release that takes something back: test_commands.py repeats it",
    "pdp bootstrap": "writes a file",
    "pdp rotate": "makes another generation each time; --finish says that nothing changed",
    "publish": "finishes what was interrupted",
    "registry gc": "has nothing to remove the second time",
    "reindex": "says that nothing differs",
    "report": "says that it is known already",
    "restore": "is refused the second time",
    "role revoke": "is refused the second time: a slip must not leave somebody a role",
    "rollout next": "goes on to another wave each time",
    "rollout retry": "tries again each time",
    "serve": "runs",
    "token create": "makes another each time",
    "token revoke": "is refused the second time: a slip must not leave a token",
    "webhook add": "is refused the second time: its secret was shown once",
    "webhook remove": "is refused the second time: a slip must not leave a webhook",
    "webhook replay": "sends again each time",
}
"""What the others do, for which a repetition is something else."""


def test_every_verb_that_changes_something_is_in_one_table() -> None:
    """So a new verb must decide."""
    assert set(REPEATED) | set(OTHERS) == {name for name, command in VERBS.items() if class_of(command)}
    assert set(REPEATED) & set(OTHERS) == set()


@pytest.mark.parametrize(
    "case",
    [(name, arguments) for name, lines in REPEATED.items() for arguments in lines],
    ids=lambda case: f"{case[0]} {' '.join(case[1])}"[:60],
)
def test_repeating_it_changes_nothing_and_says_so(
    case: tuple[str, tuple[str, ...]], stage: Stage, ums: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 0, no commit – also while the loop has something to do – and so no event."""
    name, arguments = case
    places = _prepare(stage, tmp_path, name)
    if name in {"approve", "reject"}:
        token = stage.services.issue_token(Holder("eva", frozenset({"release-engineer"})), expires=None, by=ADMIN)
        monkeypatch.setenv("UMS_TOKEN", token)
    line = [*name.split(), *(each.format(**places) for each in arguments)]
    first = ums(*line)
    assert first.code == 0, first.err
    stage.hear(Health.HEALTHY, *(name for name, plane in stage.world().planes.items() if plane.desired))
    stage.clock.advance(timedelta(days=4))  # states are to be renewed: that is the loop's to record, not this verb's
    before = stage.release_repo.read().base
    again = ums(*line)
    assert (again.code, again.err) == (0, "")
    assert "already so, nothing changed" in again.out
    data = json.loads(ums(*line, "-o", "json").out)
    assert data["recorded"] is False
    assert data.get("already", True) is True
    assert stage.release_repo.read().base == before
    assert stage.services.see.events(ADMIN, after=before.main, limit=10)[0] == []


def _prepare(stage: Stage, tmp_path: Path, name: str) -> dict[str, str]:
    """Make what the verb is about."""
    do, why = stage.services, Why(ADMIN, "before")
    (tmp_path / "policy.yaml").write_text(json.dumps({"rollout": AT_ONCE, "description": "new"}))
    (tmp_path / "second.pub").write_text(pem(stage, "second"))
    if name in {"approve", "reject"}:
        rule = {"required": 2, "groups": ["release-engineer"]}
        stage.set_policy("stable", feeder="edge", rollout=AT_ONCE, gates={"approvals": rule})
    if name == "promote":
        stage.set_policy("stable", feeder="edge", rollout=AT_ONCE, gates={"soak": "40d"})
        stage.promote("1.1.0", "edge")
    if name in {"risk accept", "risk retract"}:
        given = Given(ADMIN.subject, "before", stage.clock.now())
        do.declare_risk.declare(Risk("declared", "platform", VersionRange("9.x"), "it hurts", given), why)
    if name == "thaw":
        do.freeze_fleet.freeze("frozen", Scope(), why)
    if name.startswith("rollout"):
        stage.set_policy("stable", feeder="edge", rollout={"waves": [{"name": "all", "soak": "9d"}]})
        stage.promote("1.1.0")
    if name == "rollout resume":
        do.steer_rollout("pause", "stable", "platform", why)
    return {"policy": str(tmp_path / "policy.yaml"), "key": str(tmp_path / "second.pub"), "pdp": str(PROD)}
