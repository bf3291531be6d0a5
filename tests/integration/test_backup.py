"""Losing a service and bringing it back from its backup."""

from __future__ import annotations

import hashlib
import io
import shutil
import sqlite3
import tarfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.contract.places import Place
from tests.data_folder import make_data
from tests.processes import eventually
from tests.unit.usecases.stage import ADMIN, PROD
from ums.adapters.git_history import GitHistory
from ums.bootstrap import back_up_data, make_services, restore_data, security_entries
from ums.config import Settings
from ums.domain.errors import ConflictError, InvalidInputError, NotFoundError, StorageError, UmsError, UnavailableError
from ums.domain.fleet import Registration
from ums.services import Services
from ums.usecases.audit import Audit
from ums.usecases.instruct import Why

BLOB = hashlib.sha256(b"a blob").hexdigest()


def serial(services: Services) -> int:
    """Return the serial that the data plane was offered."""
    desired = services.record.world().plane(PROD).desired
    assert desired is not None
    return desired.serial


def relabel(services: Services, text: str) -> None:
    """Let the data plane follow another channel, so that it is offered a new state."""
    services.change_data_plane(PROD, lambda each: replace(each, channel=text), Why(ADMIN, "a test"))


def make_backup(tmp_path: Path) -> tuple[Settings, Path, str]:
    """Return a service, its backup, and its first token."""
    settings, made = make_data(tmp_path)
    services = make_services(settings)
    services.add_data_plane(Registration(PROD, "edge", ("platform",)), by=ADMIN)
    blobs = settings.registry / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    (blobs / BLOB).write_bytes(b"a blob")
    (settings.registry / "uploads").mkdir()
    (settings.registry / "uploads" / "half").write_bytes(b"half")
    back_up_data(settings, tmp_path / "backup.tar", registry=True)
    return settings, tmp_path / "backup.tar", made.token


@pytest.fixture
def backed_up(tmp_path: Path) -> tuple[Settings, Path, str]:
    """Return a service, its backup, and its first token."""
    return make_backup(tmp_path)


@pytest.fixture(scope="module")
def one_backup(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a backup, to be copied."""
    return make_backup(tmp_path_factory.mktemp("backup"))[1]


def test_a_service_comes_back_with_all_it_needs(backed_up: tuple[Settings, Path, str], tmp_path: Path) -> None:
    """Tokens, decisions and blobs; what was half uploaded is not there. Only its owner reads the secrets."""
    settings, backup, token = backed_up
    back = Settings(tmp_path / "back" / "data")
    found = restore_data(back, backup)
    services = make_services(back)
    assert services.authenticate(token).subject == "admin"
    assert services.record.world() == make_services(settings).record.world()
    assert found.heads["refs/heads/main"] == services.record.world().base.main
    assert [path.name for path in sorted(back.registry.rglob("*")) if path.is_file()] == [BLOB]
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


Header = Callable[[tarfile.TarInfo], object]


def add_odd(backup: Path, name: str, content: bytes, change: Header) -> None:
    """Add a member whose header is not a plain file's."""
    with tarfile.open(backup, "a") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        change(info)
        tar.addfile(info, io.BytesIO(content))


def with_headers(headers: dict[str, str]) -> Header:
    """Return what gives a member extended headers."""

    def change(info: tarfile.TarInfo) -> None:
        info.pax_headers = headers

    return change


def made_into(kind: bytes, target: str = "") -> Header:
    """Return what makes a member of another kind."""

    def change(info: tarfile.TarInfo) -> None:
        info.type, info.linkname, info.size = kind, target, 0

    return change


def damage(backup: Path) -> None:
    """Change one byte of a header in the middle: Python's tarfile takes that for the end."""
    with tarfile.open(backup) as tar:
        place = tar.getmember("ums.db").offset
    content = bytearray(backup.read_bytes())
    content[place + 148] ^= 1
    backup.write_bytes(content)


def without(backup: Path, name: str) -> None:
    """Write a backup anew without one member."""
    with tarfile.open(backup) as tar:
        contents = {member.name: file.read() for member in tar if (file := tar.extractfile(member)) is not None}
    backup.unlink()
    for each, content in contents.items():
        if each != name:
            add(backup, each, content)


TAG = "registry/repositories/ums/platform/_tags"
NAMES = (
    "repo/config",
    "repo/hooks/update",
    "repo",
    "members/x",
    "release-repo.git/config",
    "config",
    "registry",
    "registry/../repo/config",
    "registry/repositories/../../repo/config",
    "registry/blobs/sha256/../../../repo/config",
    f"registry/blobs/sha256/{BLOB}/x",
    f"registry/blobs/md5/{'0' * 32}",
    f"registry/blobs/sha256/{BLOB[:-1]}",
    "registry/blobs/sha256/.draft",
    "registry/repositories/ums/_uploads/x",
    "registry/repositories/ums/_tags/.x",
    "registry/repositories/UMS/_tags/x",
    f"{TAG}/v1/x",
    f"{TAG}/v1\n",
    "./ums.db",
    "ums.db/",
    "ums.db-wal",
    "state.key.pending",
    "offline-state.key",
    "",
    "\udcff",
)
SPARSE = {"major": "1", "minor": "0", "realsize": "9"}
HOSTILE: dict[str, Callable[[Path], object]] = {
    **{name: partial(add, name=name, content=b"x") for name in NAMES},
    "a second key": lambda backup: add(backup, "state.key", b"x"),
    "a second index": lambda backup: add(backup, "backup.json", b"{}"),
    "a second bundle": lambda backup: add(backup, "release-repo.bundle", b"x"),
    "a link": lambda backup: add_odd(backup, f"{TAG}/v1", b"", made_into(tarfile.SYMTYPE, "/etc/passwd")),
    "a hard link": lambda backup: add_odd(backup, f"{TAG}/v1", b"", made_into(tarfile.LNKTYPE, "state.key")),
    "a folder": lambda backup: add_odd(backup, f"{TAG}/v1", b"", made_into(tarfile.DIRTYPE)),
    "a pipe": lambda backup: add_odd(backup, f"{TAG}/v1", b"", made_into(tarfile.FIFOTYPE)),
    "a device": lambda backup: add_odd(backup, f"{TAG}/v1", b"", made_into(tarfile.CHRTYPE)),
    "an old kind of file": lambda backup: add_odd(backup, f"{TAG}/v1", b"", made_into(tarfile.AREGTYPE)),
    "a contiguous file": lambda backup: add_odd(backup, f"{TAG}/v1", b"", made_into(tarfile.CONTTYPE)),
    "a sparse file": lambda backup: add_odd(
        backup,
        f"{TAG}/v1",
        b"1\n0\n1\n" + bytes(506) + b"x",
        with_headers({"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9"}),
    ),
    "an odd header": lambda backup: add_odd(backup, f"{TAG}/v1", b"x", with_headers({"SCHILY.xattr.user.x": "x"})),
    "a damaged header": damage,
    "cut short": lambda backup: backup.write_bytes(backup.read_bytes()[: -tarfile.RECORDSIZE]),
    "something after the end": lambda backup: backup.write_bytes(backup.read_bytes() + b"x" * 1024),
    "no bundle": lambda backup: without(backup, "release-repo.bundle"),
    "no state key": lambda backup: without(backup, "state.key"),
    "no master key": lambda backup: without(backup, "master.key"),
    "a huge key": lambda backup: replace_member(backup, "state.key", bytes(2 << 20)),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_backup_holds_what_a_backup_holds_and_nothing_else(one_backup: Path, tmp_path: Path, what: str) -> None:
    """One member more, of another kind, twice or missing, and nothing at all is written."""
    backup = tmp_path / "backup.tar"
    shutil.copy(one_backup, backup)
    HOSTILE[what](backup)
    back = tmp_path / "back"
    with pytest.raises(InvalidInputError):
        restore_data(Settings(back), backup)
    assert not list(back.rglob("*"))


def test_nothing_in_a_backup_configures_git(backed_up: tuple[Settings, Path, str], tmp_path: Path) -> None:
    """A release repo is made anew from the bundle: its branches, and no other ref, hook or setting."""
    settings, _, _ = backed_up
    marker = tmp_path / "marker"
    repo = settings.release_repo
    (repo / "hooks").mkdir()
    (repo / "hooks" / "reference-transaction").write_text(f"#!/bin/sh\ntouch {marker}\n")
    (repo / "hooks" / "reference-transaction").chmod(0o755)
    (repo / "config").write_text(
        f"[core]\n\tbare = true\n\trepositoryformatversion = 0\n\tfsmonitor = touch {marker}\n"
    )
    head = (repo / "refs" / "heads" / "main").read_text()
    for ref in ("refs/tags/v1", f"refs/replace/{head.strip()}"):
        (repo / ref).parent.mkdir(exist_ok=True)
        (repo / ref).write_text(head)
    back_up_data(settings, tmp_path / "second.tar", registry=True)
    back = Settings(tmp_path / "back")
    restore_data(back, tmp_path / "second.tar")
    made = back.release_repo
    refs = [path.relative_to(made).as_posix() for path in (made / "refs").rglob("*") if path.is_file()]
    assert sorted(refs) == ["refs/heads/delivery", "refs/heads/main"]
    assert "fsmonitor" not in (made / "config").read_text()
    assert not (made / "hooks").exists()
    assert make_services(back).release_repo.foreign() == []
    assert not marker.exists()


def test_a_torn_branch_is_not_backed_up_as_none(backed_up: tuple[Settings, Path, str], tmp_path: Path) -> None:
    """Git would leave it out, with a warning."""
    settings, _, _ = backed_up
    (settings.release_repo / "refs" / "heads" / "main").write_bytes(b"")
    with pytest.raises(UnavailableError, match="refs/heads/main"):
        back_up_data(settings, tmp_path / "second.tar", registry=True)
    assert not (tmp_path / "second.tar").exists()


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
