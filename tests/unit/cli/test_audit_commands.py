"""``ums audit`` against a real service on a real repository: what it shows, exports and finds."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.serving import make_server

from tests.contract.places import Place
from tests.contract.test_release_repo import git_repo
from tests.unit.cli.test_commands import Ended, Run, run
from tests.unit.usecases.stage import ADA, ADMIN, Stage
from ums.adapters.sql_security_log import SqlSecurityLog
from ums.adapters.sql_store import SqlStore
from ums.domain.identity import Holder
from ums.web.app import create_app


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return where the service keeps its things."""
    return tmp_path


@pytest.fixture
def ums(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Give an admin's command line, and a service that recorded a few things."""
    database = f"sqlite:///{folder}/ums.db"
    store = SqlStore(database)
    stage = Stage(folder, release_repo=git_repo(folder, SqlSecurityLog(store.database).head), database=database)
    token = stage.services.issue_token(ADA, expires=None, by=ADMIN)
    stage.services.issue_token(Holder("ci", frozenset({"viewer"})), expires=None, by=ADMIN)
    stage.add_plane()
    server = make_server("127.0.0.1", 0, create_app(stage.services), threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("UMS_SERVER", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("UMS_TOKEN", token)
    monkeypatch.delenv("UMS_TOKEN_FILE", raising=False)
    yield lambda *arguments: run(capsys, *arguments)
    server.shutdown()
    thread.join()
    server.server_close()
    stage.store.close()
    store.close()


def verify(ums: Run, folder: Path, *arguments: str) -> Ended:
    """Check the release repo by the key of the service."""
    key = folder / "state.pub"
    key.write_text(git_repo(folder)._signer.public_key)
    return ums("audit", "verify", str(folder / "repo.git"), "--state-key", str(key), *arguments)


def test_the_log_is_shown_newest_first_and_filtered(ums: Run) -> None:
    """What it was, who did it, to what."""
    shown = ums("audit", "log")
    assert (shown.code, shown.err) == (0, "")
    assert [line.split()[0] for line in shown.out.splitlines()] == ["SEQ", "3", "2", "1"]
    assert "token.issued" in shown.out.splitlines()[2]
    assert "groups viewer, to ci" in shown.out.splitlines()[2]
    (used,) = json.loads(ums("audit", "log", "--kind", "token.first-used", "-o", "json").out)["items"]
    assert used["subject"] == "ada"
    assert "No security events." in ums("audit", "log", "--subject", "nobody").out
    assert "No security events." in ums("audit", "log", "--since", "2999-01-01T00:00:00Z").out
    assert "token.issued" in ums("audit", "log", "--since", "99999d").out
    assert ums("audit", "log", "--since", "yesterday").code == 2
    assert ums("audit", "log", "--kind", "tea").code == 2


def test_an_export_is_whole_private_and_can_be_verified(ums: Run, folder: Path) -> None:
    """Against a clone, without the service; a line that was changed is named."""
    file = folder / "audit.jsonl"
    assert "5 records" in ums("audit", "export", str(file)).out
    assert file.stat().st_mode & 0o077 == 0
    records = [json.loads(line) for line in file.read_text().splitlines()]
    assert {each["type"] for each in records} == {"decision", "securityEvent"}
    assert ums("audit", "export", str(file)).code == 5
    held = verify(ums, folder, "--export", str(file))
    assert held.code == 0, held.out
    assert "✓ 3 security events: all hold" in held.out
    assert "no signed commit names the last 1 yet" in held.out
    file.write_text(file.read_text().replace('"to":"ci"', '"to":"eve"'))
    found = verify(ums, folder, "--export", str(file))
    assert found.code == 7
    assert "✗ security event 2 was changed" in found.out
    file.write_text("no json\n")
    assert verify(ums, folder, "--export", str(file)).code == 2
    assert verify(ums, folder, "--export", str(file), "--data", str(folder)).code == 2


def test_a_database_is_verified_where_it_is(ums: Run, folder: Path) -> None:
    """Row by row; one that is gone is named, and a database that is gone too."""
    assert verify(ums, folder).code == 0
    data = json.loads(verify(ums, folder, "--data", str(folder), "-o", "json").out)
    assert data["securityEvents"] == {"entries": 2, "anchored": 2, "broken": None}
    Place(f"sqlite:///{folder}/ums.db").run("DELETE FROM security_events WHERE seq = 1")
    found = verify(ums, folder, "--data", str(folder))
    assert found.code == 7
    assert "✗ security event 1 is missing" in found.out
    (folder / "ums.db").unlink()
    assert verify(ums, folder, "--data", str(folder)).code == 4
