"""Losing a service and bringing it back from its backup."""

from __future__ import annotations

import io
import sqlite3
import tarfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.places import Place
from tests.data_folder import make_data
from tests.processes import eventually
from tests.unit.usecases.stage import ADMIN, PROD
from ums.adapters.git_history import GitHistory
from ums.bootstrap import back_up_data, make_services, restore_data, security_entries
from ums.config import Settings
from ums.domain.errors import ConflictError, InvalidInputError, NotFoundError, StorageError, UmsError
from ums.domain.fleet import Registration
from ums.services import Services
from ums.usecases.audit import Audit
from ums.usecases.instruct import Why


def serial(services: Services) -> int:
    """Return the serial that the data plane was offered."""
    desired = services.record.world().plane(PROD).desired
    assert desired is not None
    return desired.serial


def relabel(services: Services, text: str) -> None:
    """Let the data plane follow another channel, so that it is offered a new state."""
    services.change_data_plane(PROD, lambda each: replace(each, channel=text), Why(ADMIN, "a test"))


@pytest.fixture
def backed_up(tmp_path: Path) -> tuple[Settings, Path, str]:
    """Return a service, its backup, and its first token."""
    settings, made = make_data(tmp_path)
    services = make_services(settings)
    services.add_data_plane(Registration(PROD, "edge", ("platform",)), by=ADMIN)
    blobs = settings.registry / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    (blobs / "00ff").write_bytes(b"a blob")
    (settings.registry / "uploads").mkdir()
    (settings.registry / "uploads" / "half").write_bytes(b"half")
    back_up_data(settings, tmp_path / "backup.tar", registry=True)
    return settings, tmp_path / "backup.tar", made.token


def test_a_service_comes_back_with_all_it_needs(backed_up: tuple[Settings, Path, str], tmp_path: Path) -> None:
    """Tokens, decisions and blobs; what was half uploaded is not there. Only its owner reads the secrets."""
    settings, backup, token = backed_up
    back = Settings(tmp_path / "back" / "data")
    found = restore_data(back, backup)
    services = make_services(back)
    assert services.authenticate(token).subject == "admin"
    assert services.record.world() == make_services(settings).record.world()
    assert found.heads["refs/heads/main"] == services.record.world().base.main
    assert [path.name for path in sorted(back.registry.rglob("*")) if path.is_file()] == ["00ff"]
    for path in (back.state_key, back.master_key, backup):
        assert path.stat().st_mode & 0o077 == 0


def test_what_is_offered_after_a_restore_is_newer_than_all_that_was_offered_before(
    backed_up: tuple[Settings, Path, str], tmp_path: Path
) -> None:
    """Also than what was offered after the backup and lost: clusters refuse what is not."""
    settings, backup, _ = backed_up
    lost = make_services(settings)
    for channel in ("stable", "edge", "stable"):
        relabel(lost, channel)
    newest = serial(lost)
    back = Settings(tmp_path / "back")
    restore_data(back, backup)
    services = make_services(back)
    assert serial(services) < newest
    # Serials may run a few seconds ahead of the clock; to bring a real service back takes longer.
    eventually(lambda: time.time() > newest + 1, timeout=30, what="the clock passes the newest serial")
    relabel(services, "lts")
    assert serial(services) > newest


def verified(settings: Settings) -> tuple[int, int]:
    """Return how many security events a service has, and how many of them its commits name; all hold."""
    found = Audit(GitHistory(settings.release_repo))(log=security_entries(settings))
    assert found.holds, found.to_dict()
    assert found.security is not None
    return found.security.entries, found.security.anchored


def test_the_security_log_comes_back_and_tells_of_it(backed_up: tuple[Settings, Path, str], tmp_path: Path) -> None:
    """Its chain goes on where it was, also where the service went on before it was lost."""
    settings, backup, _ = backed_up
    assert verified(settings) == (2, 1)  # the first token, the backup
    relabel(make_services(settings), "stable")
    assert verified(settings) == (2, 2)
    back = Settings(tmp_path / "back")
    restore_data(back, backup)
    kinds = [each.kind for each in security_entries(back)]
    assert kinds == ["token.issued", "backup.restored"]
    assert verified(back) == (2, 1)
    relabel(make_services(back), "stable")
    assert verified(back) == (2, 2)


def test_a_backup_needs_no_security_log(
    backed_up: tuple[Settings, Path, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is made before a database is brought up to date, too."""
    settings, _, _ = backed_up
    database = Place(settings.database)
    database.run("DROP TABLE security_events")
    back_up_data(settings, tmp_path / "second.tar", registry=False)
    assert (tmp_path / "second.tar").exists()
    assert "security" in caplog.text


def add(backup: Path, name: str, content: bytes) -> None:
    """Add a member to a backup."""
    with tarfile.open(backup, "a") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))


def replace_member(backup: Path, name: str, content: bytes) -> None:
    """Write a backup anew with one member changed."""
    with tarfile.open(backup) as tar:
        members = {member.name: tar.extractfile(member) for member in tar}
        contents = {each: file.read() for each, file in members.items() if file is not None}
    backup.unlink()
    for each, old in contents.items():
        add(backup, each, content if each == name else old)


@pytest.mark.parametrize(
    ("harm", "error", "text"),
    [
        (lambda backup: backup.write_bytes(b"x" * 600), InvalidInputError, "is no backup"),
        (lambda backup: replace_member(backup, "backup.json", b"{}"), InvalidInputError, "is no backup of UMS"),
        (
            lambda backup: replace_member(backup, "backup.json", b'{"format": 2, "heads": {}, "at": ""}'),
            InvalidInputError,
            "another version of UMS, in format 2",
        ),
        (
            lambda backup: replace_member(backup, "backup.json", b'{"format": 1, "heads": {}, "at": ""}'),
            InvalidInputError,
            "not the one that its index names",
        ),
        (lambda backup: replace_member(backup, "release-repo.bundle", b"x"), UmsError, "git fetch failed"),
        (lambda backup: add(backup, "../evil", b"x"), InvalidInputError, "does not belong into a backup"),
        (lambda backup: add(backup, "/evil", b"x"), InvalidInputError, "does not belong into a backup"),
    ],
    ids=["noise", "another tar", "newer", "other heads", "no bundle", "upwards", "absolute"],
)
def test_a_backup_that_is_none_leaves_nothing_behind(
    backed_up: tuple[Settings, Path, str],
    tmp_path: Path,
    harm: Callable[[Path], object],
    error: type[UmsError],
    text: str,
) -> None:
    """Not half a service either."""
    _, backup, _ = backed_up
    harm(backup)
    back = tmp_path / "back"
    with pytest.raises(error, match=text):
        restore_data(Settings(back), backup)
    assert not list(back.rglob("*"))
    assert not (tmp_path / "evil").exists()


def test_nothing_is_overwritten(backed_up: tuple[Settings, Path, str], tmp_path: Path) -> None:
    """Neither a backup nor a service; and what is no service is not backed up."""
    settings, backup, _ = backed_up
    with pytest.raises(ConflictError, match="exists already"):
        back_up_data(settings, backup, registry=True)
    with pytest.raises(ConflictError, match="exists already"):
        restore_data(settings, backup)
    with pytest.raises(NotFoundError, match="holds no UMS data"):
        back_up_data(Settings(tmp_path / "nothing"), tmp_path / "new.tar", registry=True)
    with pytest.raises(StorageError, match="cannot write"):
        back_up_data(settings, tmp_path / "no" / "folder" / "new.tar", registry=True)
    assert not (tmp_path / "new.tar").exists()


def test_a_database_is_copied_whole_while_it_is_written(backed_up: tuple[Settings, Path, str], tmp_path: Path) -> None:
    """What another connection has not committed is not in it."""
    settings, _, _ = backed_up
    with sqlite3.connect(settings.data / "ums.db", isolation_level=None) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM tokens")
        back_up_data(settings, tmp_path / "second.tar", registry=False)
        writer.execute("ROLLBACK")
    back = Settings(tmp_path / "back")
    restore_data(back, tmp_path / "second.tar")
    with sqlite3.connect(back.data / "ums.db") as database:
        assert database.execute("SELECT count(*) FROM tokens").fetchone() == (1,)
    assert not back.registry.exists()
