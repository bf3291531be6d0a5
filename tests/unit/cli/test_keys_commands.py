"""``ums keys``: what people see of keys, and how a rotation is told."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.data_folder import make_data
from tests.state_keys import FIRST
from tests.unit.cli.test_commands import Run, run, stage, ums, url
from tests.unit.usecases.stage import Stage
from tests.unit.usecases.test_rotating_keys import pem
from tests.unit.web.role_table import STATE_KEY

__all__ = ["stage", "ums", "url"]

WHY = ("--reason", "a test", "--yes")


def test_status_shows_every_key_and_who_may_not_know_it(ums: Run) -> None:
    """And nothing to publish where data planes were told all there is."""
    found = ums("keys", "status").out.splitlines()
    assert found[0].split() == ["KIND", "KEY", "DATA", "PLANES", "THAT", "MAY", "NOT", "KNOW", "IT", "YET"]
    assert found[1].split() == ["release", "release", "may", "sign", "none"]
    assert found[2].split()[-3:] == ["signs", "commits", "none"]
    assert found[-1].split() == ["bootstrap", "release", "1"]


def test_a_rotation_is_told_with_what_is_next(stage: Stage, ums: Run, tmp_path: Path) -> None:
    """The service heeds it; data planes are to be told, and what runs is to be signed."""
    (tmp_path / "second.pub").write_text(pem(stage, "second"))
    arguments = ("keys", "rotate", "--add", f"second={tmp_path / 'second.pub'}", *WHY)
    assert "nothing was recorded\n  adds release key second" in ums(*arguments, "--dry-run").out
    done = ums(*arguments)
    assert (done.code, "  adds release key second\nnext: ums keys publish" in done.out) == (0, True)
    assert "already so" in ums(*arguments).out
    assert "trust.yaml adds release key second, and data planes were not told: ums keys status" in ums("status").out
    shown = ums("keys", "status").out
    assert ["release", "second", "may", "sign", "acme/prod"] in [line.split() for line in shown.splitlines()]
    assert "to publish: trust@1.0.0\n  adds release key second\nnext: ums keys publish" in shown


def test_dropping_the_only_key_of_what_runs_is_refused_by_name(stage: Stage, ums: Run, tmp_path: Path) -> None:
    """With what to do about it."""
    (tmp_path / "second.pub").write_text(pem(stage, "second"))
    ums("keys", "rotate", "--add", f"second={tmp_path / 'second.pub'}", *WHY)
    done = ums("keys", "rotate", "--drop", "release", *WHY)
    assert done.code == 3
    assert "platform@1.0.0 is in use, and was signed by release alone" in done.err
    assert "ums keys sign platform@1.0.0" in done.err


def test_a_state_key_may_come_with_the_comment_that_ssh_keygen_left(stage: Stage, ums: Run, tmp_path: Path) -> None:
    """trust.yaml names the key alone."""
    (tmp_path / "next.pub").write_text(f"{STATE_KEY} somebody@somewhere\n")
    assert ums("keys", "rotate", "--add-state-key", str(tmp_path / "next.pub"), *WHY).code == 0
    assert stage.world().trust.state_keys == (FIRST, STATE_KEY)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((), 2, "nothing to do"),
        (("--add", "second"), 2, "is not of the form"),
        (("--add", "second=/no/such/file"), 2, "cannot be read"),
        (("--drop", "nobody"), 2, "there is no signer nobody"),
    ],
)
def test_wrong_arguments_are_named(ums: Run, arguments: tuple[str, ...], code: int, says: str) -> None:
    """Before anything is recorded."""
    done = ums("keys", "rotate", *arguments, *WHY)
    assert (done.code, says in done.err) == (code, True)


def test_publishing_nothing_new_says_so_and_a_dry_run_publishes_nothing(
    stage: Stage, ums: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No key is opened for either."""
    (tmp_path / "release.key").write_text("none that could be opened")
    monkeypatch.setenv("UMS_KEY", str(tmp_path / "release.key"))
    assert "nothing to publish" in ums("keys", "publish").out
    (tmp_path / "second.pub").write_text(pem(stage, "second"))
    ums("keys", "rotate", "--add", f"second={tmp_path / 'second.pub'}", *WHY)
    done = ums("keys", "publish", "--dry-run", "-o", "json")
    assert json.loads(done.out) == {
        "release": "trust@1.0.0",
        "changes": ["adds release key second"],
        "published": False,
    }
    assert "trust" not in stage.world().catalog


def test_the_state_key_of_a_folder_is_rotated_in_two_calls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each says what is next; the key is readable by its owner alone."""
    settings, _ = make_data(tmp_path)
    arguments = ("keys", "rotate-state", str(settings.data), *WHY)
    first = run(capsys, *arguments)
    assert (first.code, "stands by" in first.out, "next: ums keys publish" in first.out) == (0, True, True)
    second = run(capsys, *arguments)
    assert (second.code, f"--drop-state-key {settings.old_state_key}" in second.out) == (0, True)
    assert stat.S_IMODE(settings.state_key.stat().st_mode) == 0o600
