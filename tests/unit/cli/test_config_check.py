"""``ums config check``: what is in force, where it comes from, what is wrong; never a secret."""

from __future__ import annotations

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ums.cli.root import main
from ums.config import fields


def check(*arguments: str) -> object:
    """Run the command, and return how it ended."""
    with pytest.raises(SystemExit) as caught:
        main(["config", "check", *arguments])
    return caught.value.code


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UMS_DATA", "UMS_CONFIG", *(field.env for field in fields())):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder with a file that is right, beside a variable."""
    (tmp_path / "password").write_text("hunter2")
    text = "listen: 127.0.0.1:9\ndatabase:\n  url: postgresql://ums@db/ums\n  passwordFile: password\n"
    (tmp_path / "service.yaml").write_text(text)
    monkeypatch.setenv("UMS_RECONCILE_EVERY", "20s")
    return tmp_path


def test_people_read_a_table(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each setting on a line, with where it comes from."""
    assert check(str(data)) == 0
    out = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.strip()}
    assert rows["listen"] == ["127.0.0.1:9", f"{data}/service.yaml:1"]
    assert rows["reconcileEvery"] == ["20s", "UMS_RECONCILE_EVERY"]
    assert rows["tls.certFile"] == ["–", "default"]
    assert rows["history.retention"] == ["90d", "default"]
    assert {field.name for field in fields()} <= set(rows)
    assert "hunter2" not in out


def test_programs_read_json(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same, without a secret."""
    assert check(str(data), "-o", "json") == 0
    out = capsys.readouterr().out
    report = json.loads(out)
    assert report["file"] == f"{data}/service.yaml"
    assert report["problems"] == []
    assert report["settings"]["database.passwordFile"] == {
        "value": f"{data}/password",
        "source": "file",
        "where": f"{data}/service.yaml:4",
        "env": "UMS_DATABASE_PASSWORD_FILE",
    }
    assert "hunter2" not in out


def test_what_is_wrong_is_told_with_exit_code_two(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of it, for people and for programs."""
    monkeypatch.setenv("UMS_LISTEN", "nowhere")
    (data / "password").unlink()
    assert check(str(data)) == 2
    out, err = capsys.readouterr()
    assert re.search(r"^listen +✗ see below +UMS_LISTEN$", out, re.MULTILINE)
    assert "UMS_LISTEN: 'nowhere' is no address" in err
    assert f"{data}/service.yaml:4: database.passwordFile: cannot read" in err
    assert check(str(data), "-o", "json") == 2
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert [each["field"] for each in problems] == ["listen", "database.passwordFile"]
    assert all(each["hint"] is not None for each in problems)


def test_a_password_in_a_url_is_refused_and_not_shown(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not even where it stands."""
    (data / "service.yaml").write_text("database:\n  url: postgresql://ums:hunter2@db/ums\n")
    for output in ("table", "json"):
        assert check(str(data), "-o", output) == 2
        said = capsys.readouterr()
        assert "hunter2" not in said.out + said.err


def test_serving_refuses_what_checking_refuses(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is opened."""
    monkeypatch.setenv("UMS_HISTORY_RETENTION", "ever")
    with pytest.raises(SystemExit) as caught:
        main(["serve", str(data), "--listen", "nowhere"])
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert "2 settings are wrong" in err
    assert "--listen: 'nowhere'" in err
    assert "UMS_HISTORY_RETENTION: 'ever'" in err


def test_files_with_secrets_that_others_can_read_are_named(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are used, since containers mount them so; in a folder that only its user enters, nobody reads them."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "link").symlink_to("password")
        (folder / "password").write_text("hunter2")
        (folder / "service.yaml").write_text((data / "service.yaml").read_text().replace(": password", ": link"))
        found = []
        for folder_mode, mode in ((0o755, 0o640), (0o755, 0o644), (0o755, 0o602), (0o700, 0o644)):
            (folder / "password").chmod(mode)
            folder.chmod(folder_mode)
            assert check(str(folder), "-o", "json") == 0
            found.append(json.loads(capsys.readouterr().out)["exposed"])
        exposed = [f"database.passwordFile: {folder}/link"]
        assert found == [[], exposed, exposed, []]
        folder.chmod(0o755)
        assert check(str(folder)) == 0
        assert f"! other users of this machine can read {exposed[0]}" in capsys.readouterr().err
