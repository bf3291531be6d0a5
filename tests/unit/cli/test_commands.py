"""Every command against a real service: what it prints for people and for programs, and how it ends."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from werkzeug.serving import make_server

from tests.processes import free_port
from tests.unit.usecases.stage import ADMIN, PROD, Stage
from ums import __version__
from ums.cli.root import COMMANDS, main
from ums.domain.fleet import Health, Report
from ums.domain.identity import Identity
from ums.web.app import create_app

LATER = ("--until", "2999-01-01T00:00:00Z")
WHY = ("--reason", "a test")


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
    monkeypatch.setenv("UMS_TOKEN", stage.services.issue_token(ADMIN, expires=None, by=ADMIN))
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
]
DECIDING = [
    ("promote", "platform@1.1.0", "--to", "edge"),
    ("pin", "acme/prod", "platform/cilium", *WHY, *LATER),
    ("pin", "acme/prod", "platform@~1.0", *WHY),
    ("unpin", "acme/prod", "platform"),
    ("hold", "acme/prod", "platform", *WHY),
    ("hold", "acme/prod", "platform/gateway@1.0.0", *WHY, *LATER),
    ("unhold", "acme/prod", "platform"),
    ("unhold", "stable", "platform"),
    ("rollback", "acme/prod", "platform", "--to", "1.0.0", *WHY),
    ("rollback", "stable", "platform", "--to", "1.0.0", *WHY),
    ("pdp", "add", "acme/new", "--channel", "edge", "--bundle", "platform", "--label", "region=eu"),
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
    """And once more, that it was so already."""
    stage.promote("1.1.0", "edge")
    done = ums("promote", "platform@1.1.0", "--to", "stable", "--reason", "it soaked")
    assert "stable: platform@1.0.0 -> platform@1.1.0" in done.out
    assert "~ cilium" in done.out
    assert "1 data plane move now" in done.out
    assert stage.running() == {"cilium": "1.1.0", "gateway": "1.1.0"}
    assert "it was so already" in ums("promote", "platform@1.1.0", "--to", "stable").out
    entry = stage.services.log(limit=1)[0]
    assert (entry.actor, entry.action, entry.reason) == ("ada", "promote", "it soaked")


def test_who_is_kept_back_is_named(stage: Stage, ums: Run) -> None:
    """With the code of the reason; *show* has its words."""
    ums("pin", "acme/prod", "platform@1.0.0", "--reason", "kernel module")
    stage.promote("1.1.0", "edge")
    assert "withheld, pinned: acme/prod" in ums("promote", "platform@1.1.0", "--to", "stable").out
    assert "platform is pinned to 1.0.0 by ada: kernel module" in ums("pdp", "show", "acme/prod").out
    assert "kernel module" in ums("plan").out


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


def test_a_file_that_cannot_be_written_is_said_so(ums: Run, tmp_path: Path) -> None:
    """Exit code 10, and nothing is left behind."""
    done = ums("pdp", "bootstrap", "acme/prod", "-f", str(tmp_path / "no" / "such" / "folder.yaml"))
    assert done.code == 10
    assert "cannot write" in done.err


def test_a_token_is_shown_once_and_works(stage: Stage, ums: Run) -> None:
    """Alone on its line, for scripts."""
    done = ums("token", "create", "ci", "--group", "publisher", "--bundle", "platform")
    identity = stage.services.authenticate(done.out.strip())
    assert identity == Identity("ci", frozenset({"publisher"}), frozenset({"platform"}))


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("promote", "platform", "--to", "stable"), 2, "bundle@version"),
        (("promote", "platform@1.1.0", "--to", "stable"), 3, "not-in-feeder"),
        (("promote", "platform@9.9.9", "--to", "stable"), 4, "newest of platform: 1.0.0, 1.1.0"),
        (("promote", "platform@1.1.0", "--to", "none"), 4, "channels: edge, stable"),
        (("pdp", "add", "acme/prod", "--channel", "edge", "--bundle", "platform"), 5, "registered already"),
        (("pdp", "show", "acme/none"), 4, "ums pdp list"),
        (("pdp", "show", "nonsense"), 2, "organization"),
        (("pdp", "bootstrap", "../prod"), 2, "not a valid"),
        (("release", "show", "platform"), 2, "bundle@version"),
        (("release", "show", "other@1.0.0"), 4, "ums publish"),
        (("token", "create", "ci", "--group", "kings"), 2, "no such group: kings"),
        (("pin", "acme/prod", "platform@nonsense", *WHY), 2, "nonsense"),
        (("pin", "acme/prod", "platform", *WHY, "--until", "2000-01-01T00:00:00Z"), 2, "past"),
        (("pin", "acme/prod", "platform", *WHY, *LATER, "--for", "1d"), 2, "not both"),
        (("hold", "acme/prod", "platform", "--reason", " "), 2, "a reason is missing"),
        (("rollback", "acme/prod", "platform", "--to", "1.1.0", *WHY), 2, "not earlier"),
        (("rollback", "Nonsense!", "platform", "--to", "1.0.0", *WHY), 2, "channel name"),
        (("log", "-n", "501"), 2, "501"),
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
    ("token", "code"), [("ums_wrong", 6), ("viewer", 6), ("", 2)], ids=["unknown", "not allowed", "none"]
)
def test_who_may_not_is_told_whom_to_ask(
    stage: Stage, ums: Run, monkeypatch: pytest.MonkeyPatch, token: str, code: int
) -> None:
    """A wrong token, one with too few rights, and none at all."""
    if token == "viewer":  # noqa: S105 - the name of a group
        token = stage.services.issue_token(Identity("v", frozenset({"viewer"})), expires=None, by=ADMIN)
    monkeypatch.setenv("UMS_TOKEN", token)
    done = ums("promote", "platform@1.1.0", "--to", "edge")
    assert done.code == code
    assert "token" in done.err


def test_a_token_may_stand_in_a_file(stage: Stage, ums: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It goes before the variable, and may end with a new line."""
    path = tmp_path / "token"
    path.write_text(stage.services.issue_token(ADMIN, expires=None, by=ADMIN) + "\n")
    monkeypatch.setenv("UMS_TOKEN", "ums_wrong")
    assert ums("status", "--token-file", str(path)).code == 0


def test_a_service_that_is_not_there_is_unavailable(ums: Run) -> None:
    """Exit code 9: a script may try again."""
    done = ums("status", "--server", f"http://127.0.0.1:{free_port()}")
    assert done.code == 9
    assert "UMS_SERVER" in done.err


def test_waiting_ends_when_everybody_has_spoken(stage: Stage, ums: Run) -> None:
    """Well, failed, or not in time: three exit codes."""
    assert ums("unpin", "acme/prod", "platform", "--wait").code == 0, "nobody moved, so nobody is waited for"
    moved = ("promote", "platform@1.1.0", "--to", "stable", "--wait", "--timeout")
    stage.promote("1.1.0", "edge")
    assert ums(*moved, "1s").code == 11


@pytest.mark.parametrize(("health", "code"), [(Health.HEALTHY, 0), (Health.FAILED, 12)])
def test_waiting_tells_how_it_went(stage: Stage, ums: Run, health: Health, code: int) -> None:
    """The report that came before the question counts as well."""
    stage.promote("1.1.0", "edge")
    now = stage.clock.now()
    stage.store.record(PROD, Report(2**40, health, "it said so", "platform-cilium", now, now))
    done = ums("promote", "platform@1.1.0", "--to", "stable", "--wait", "--timeout", "5s")
    assert done.code == code
    assert health.value in done.out
    assert ("it said so" in done.out) is (health is Health.FAILED)


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
