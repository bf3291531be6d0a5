"""Verbs that ask before they act: each verb has a class, nothing happens unasked, and the impact is the true one."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.data_folder import make_data
from tests.unit.cli.test_commands import Run, run, stage, ums, url
from tests.unit.usecases.stage import ADMIN, AT_ONCE, Stage
from tests.unit.usecases.test_rotating_keys import pem
from ums.cli.asking import class_of
from ums.cli.root import COMMANDS, root
from ums.client.connection import Connection
from ums.domain.access import Grantee, GranteeKind
from ums.domain.fleet import Health
from ums.domain.identity import Grant, Holder
from ums.domain.names import PDPName
from ums.domain.webhooks import Webhook
from ums.usecases.instruct import Why
from ums.usecases.webhooks import make_secret

__all__ = ["stage", "ums", "url"]

WHY = ("--reason", "a test")
READING = {
    "audit log",
    "audit verify",
    "channel diff",
    "channel lint",
    "channel list",
    "channel show",
    "config check",
    "events",
    "explain",
    "gates",
    "insights",
    "keys status",
    "log",
    "pdp history",
    "pdp list",
    "pdp show",
    "plan",
    "registry check",
    "release diff",
    "release floors",
    "release list",
    "release show",
    "risk list",
    "role list",
    "rollout status",
    "status",
    "token list",
    "verify",
    "version",
    "webhook deliveries",
    "webhook list",
}
"""Verbs that change nothing, here or anywhere."""
ASKING: dict[str, tuple[str, ...]] = {
    "channel set": ("stable", "{policy}", *WHY),
    "clock accept": ("{data}", *WHY),
    "freeze": WHY,
    "keys rotate": ("--add", "second={key}", *WHY),
    "keys rotate-state": ("{data}", *WHY),
    "pdp remove": ("acme/prod", *WHY),
    "pdp rotate": ("acme/prod",),
    "pdp set": ("acme/prod", "--channel", "edge", *WHY),
    "recall": ("platform@1.1.0", "--to", "1.0.0", *WHY),
    "risk declare": ("bad", "--bundle", "platform", "--releases", "1.x", "--message", "it hurts", *WHY),
    "risk retract": ("old-kernel", *WHY),
    "role revoke": ("viewer", "--to-subject", "sam", *WHY),
    "rollback": ("stable", "platform", "--to", "1.0.0", *WHY),
    "rollout cancel": ("stable", "platform", *WHY),
    "rollout next": ("stable", "platform", *WHY),
    "rollout resume": ("stable", "platform", *WHY),
    "thaw": ("holidays", *WHY),
    "token revoke": ("{token}",),
    "unhold": ("stable", "platform"),
    "unyank": ("platform@1.1.0", *WHY),
    "webhook remove": ("chat",),
    "yank": ("platform@1.1.0", *WHY),
}
"""Each verb that asks, with arguments for which it does."""
LOCAL = {"clock accept", "keys rotate-state"}


def verbs() -> Iterator[tuple[str, click.Command]]:
    """Yield every verb with its command."""
    for name in COMMANDS:
        command = root.get_command(click.Context(root), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from ((f"{name} {verb}", each) for verb, each in command.commands.items())
        else:
            yield name, command


VERBS = dict(verbs())


def test_every_verb_that_changes_something_says_whether_it_asks() -> None:
    """So a new verb must decide: it is among those that read, or it declares its class."""
    declared = {name for name, command in VERBS.items() if class_of(command) is not None}
    assert declared | READING == set(VERBS), "declare it with ums.cli.asking, or list it here: it changes nothing"
    assert declared & READING == set()
    for name in declared:
        found = class_of(VERBS[name])
        assert found is not None
        assert found.why, name


def test_whoever_asks_has_a_way_not_to_and_a_way_to_try() -> None:
    """One mechanism: --yes and --dry-run belong to it; nobody else has a --yes."""
    asking = {name for name, command in VERBS.items() if (found := class_of(command)) and found.asks}
    assert asking == set(ASKING)
    for name, command in VERBS.items():
        options = {parameter.name for parameter in command.params}
        assert ("yes" in options) == (name in asking), name
        assert name not in asking or "dry_run" in options, name


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def places(stage: Stage, tmp_path: Path) -> dict[str, str]:
    """Give what the arguments stand for, and a service in which each of the verbs has something to do."""
    stage.promote("1.1.0")
    do, why = stage.services, Why(ADMIN, "before")
    do.manage_webhooks.add(Webhook("chat", "https://hooks.example.com/", make_secret()), by=ADMIN)
    do.grant_roles.grant(Grant("viewer"), Grantee(GranteeKind.SUBJECT, "sam"), why)
    do.issue_token(Holder("ci", frozenset({"viewer"})), expires=None, by=ADMIN)
    (tmp_path / "policy.yaml").write_text(json.dumps({"feeder": "edge", "rollout": AT_ONCE, "description": "new"}))
    (tmp_path / "second.pub").write_text(pem(stage, "second"))
    return {
        "policy": str(tmp_path / "policy.yaml"),
        "key": str(tmp_path / "second.pub"),
        "token": next(each.id for each in do.manage_tokens.list(by=ADMIN) if each.identity.subject == "ci"),
    }


def command_line(name: str, places: dict[str, str], *more: str) -> list[str]:
    """Return the command line of a verb."""
    return [*name.split(), *(each.format(**places) for each in ASKING[name]), *more]


@pytest.mark.parametrize("name", ASKING)
@pytest.mark.parametrize("output", ["table", "json"])
def test_in_scripts_it_is_refused_before_anything_happens(
    name: str,
    output: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 2, and the hint names --yes; no request is sent, and no file of a service is opened."""

    def never(*_args: object, **_options: object) -> None:
        raise AssertionError("a request was sent")

    monkeypatch.setattr(Connection, "_send", never)
    monkeypatch.setenv("UMS_SERVER", "http://127.0.0.1:1")
    monkeypatch.setenv("UMS_TOKEN", "none")
    for file in ("policy.yaml", "second.pub"):
        (tmp_path / file).write_text("{}")
    places = {
        "policy": str(tmp_path / "policy.yaml"),
        "key": str(tmp_path / "second.pub"),
        "token": "a" * 12,
        "data": str(tmp_path),
    }
    done = run(capsys, *command_line(name, places, "-o", output))
    assert (done.code, done.out) == (2, "")
    assert f"ums {name} asks before it acts" in done.err
    assert "--dry-run, then add --yes" in done.err


SEEN = {
    "channel set": "impact: 0 data planes",
    "freeze": "it stops 1 data plane",
    "keys rotate": "adds release key second\n  impact: 1 data plane goes by the keys known there",
    "pdp remove": "impact: 1 data plane\n    removed: acme/prod\n  cut off at once: acme/prod from Git",
    "pdp rotate": "cut off at 2026-11-30T12:00:00Z, unless they are applied by then: acme/prod from Git",
    "pdp set": "acme/prod follows edge",
    "recall": "1 data plane would go from 1.1.0 to platform@1.0.0: acme/prod",
    "risk declare": "impact: 0 data planes",
    "role revoke": "would end: viewer for everything",
    "rollback": "1 data plane would go from 1.1.0 to platform@1.0.0: acme/prod",
    "token revoke": "whatever uses it is cut off: it is ci's, never used",
    "webhook remove": "its receiver is cut off",
    "yank": "1 data plane still exposed: acme/prod",
}
"""What some say of their impact."""


@pytest.mark.parametrize("name", SEEN)
def test_at_a_terminal_the_impact_is_shown_and_then_asked(
    name: str, stage: Stage, ums: Run, places: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A no changes nothing; a dry run shows the same impact, and asks nothing; a yes does it."""
    before = stage.repo.read().base, len(stage.store.tokens()), len(stage.services.manage_webhooks.list(by=ADMIN))

    def state() -> tuple[object, ...]:
        return stage.repo.read().base, len(stage.store.tokens()), len(stage.services.manage_webhooks.list(by=ADMIN))

    monkeypatch.setattr("sys.stdin", _Terminal("n\n"))
    refused = ums(*command_line(name, places, "-o", "json"))
    assert (refused.code, refused.out) == (130, "")
    assert state() == before
    assert SEEN[name] in refused.err
    assert "do it? [y/N]" in refused.err
    tried = ums(*command_line(name, places, "--dry-run"))
    assert (tried.code, state()) == (0, before)
    assert SEEN[name] in tried.out
    monkeypatch.setattr("sys.stdin", _Terminal("y\n"))
    done = ums(*command_line(name, places, "-o", "json"))
    assert done.code == 0, done.err
    assert json.loads(done.out)
    assert state() != before


def test_a_data_plane_alone_is_taken_back_unasked(ums: Run) -> None:
    """It concerns one, and ums unhold undoes it."""
    assert ums("rollback", "acme/prod", "platform", "--to", "1.0.0", *WHY).code == 0
    assert ums("unhold", "acme/prod", "platform").code == 0
    assert ums("pdp", "set", "acme/prod", "--label", "tier=gold", *WHY).code == 0


@pytest.mark.parametrize("name", sorted(LOCAL))
def test_what_works_on_a_folder_asks_too(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its dry run is the service's own as well."""
    settings, _ = make_data(tmp_path)
    monkeypatch.setattr("sys.stdin", _Terminal("n\n"))
    refused = run(capsys, *command_line(name, {"data": str(settings.data)}))
    assert (refused.code, refused.out) == (130, "")
    assert "dry run – " in refused.err
    assert not settings.next_state_key.exists()
    assert run(capsys, *command_line(name, {"data": str(settings.data)}, "--yes")).code == 0


def test_the_impact_is_what_the_decision_function_does(stage: Stage, ums: Run) -> None:
    """Of a channel's rollback: how many, whereto, how many at once, whom a pin keeps – and then it comes so."""
    others = [PDPName("acme", name) for name in ("one", "two", "three")]
    for name in others:
        stage.add_plane(name)
    stage.promote("1.1.0")
    every = [PDPName("acme", "prod"), *others]
    stage.hear(Health.HEALTHY, *every)
    shown = json.loads(ums("rollback", "stable", "platform", "--to", "1.0.0", *WHY, "--dry-run", "-o", "json").out)
    course = {
        "bundle": "platform",
        "from": "1.1.0",
        "to": "1.0.0",
        "components": {},
        "dataPlanes": 4,
        "now": 4,
        "examples": ["acme/one", "acme/prod", "acme/three", "acme/two"],
    }
    assert shown["impact"] == {"dataPlanes": 4, "moves": [course], "stops": [], "kept": [], "removed": []}
    assert ums("rollback", "stable", "platform", "--to", "1.0.0", *WHY, "--yes").code == 0
    assert {stage.running(name)["cilium"] for name in every} == {"1.0.0"}


def test_what_a_freeze_stops_and_a_thaw_starts_is_counted(stage: Stage, ums: Run) -> None:
    """Those in their turn as well as those that move now."""
    stage.set_policy("stable", feeder="edge", rollout={"waves": [{"name": "all"}], "maxUpdating": 1})
    stage.add_plane(PDPName("acme", "two"))
    stage.services.reconcile()
    stage.promote("1.1.0", "edge")
    ums("promote", "platform@1.1.0", "--to", "stable")
    frozen = json.loads(ums("freeze", "--channel", "stable", *WHY, "--dry-run", "-o", "json").out)["impact"]
    assert sum(each["dataPlanes"] for each in frozen["stops"]) == frozen["dataPlanes"] == 2
    assert (frozen["moves"], {each["to"] for each in frozen["stops"]}) == ([], {"1.1.0"})
    ums("freeze", "--channel", "stable", *WHY, "--yes")
    thawed = json.loads(ums("thaw", "channel-stable", *WHY, "--dry-run", "-o", "json").out)["impact"]
    assert (thawed["stops"], sum(each["dataPlanes"] for each in thawed["moves"])) == ([], 2)
    assert sum(each["now"] for each in thawed["moves"]) == 1, "the other when its turn comes"
