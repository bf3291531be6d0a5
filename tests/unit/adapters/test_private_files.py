"""Nobody but the service's user reads its secrets, or puts something else in their place."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ums.adapters.private_files import keep_private, make_private
from ums.domain.errors import StorageError


def mode(path: Path) -> int:
    """Return who may do what."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(("before", "after"), [(0o644, 0o600), (0o666, 0o600), (0o640, 0o600), (0o400, 0o400)])
def test_what_others_may_use_is_made_private(tmp_path: Path, before: int, after: int) -> None:
    """The folder, the files, and nothing that is not there."""
    key = tmp_path / "master.key"
    key.write_bytes(b"secret")
    key.chmod(before)
    tmp_path.chmod(0o777)
    keep_private(tmp_path, [key, tmp_path / "absent"])
    assert (mode(tmp_path), mode(key)) == (0o700, after)
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("target", ["elsewhere", "nowhere"])
def test_a_link_in_the_place_of_a_secret_is_refused(tmp_path: Path, target: str) -> None:
    """Also one that leads nowhere: what is written would go there."""
    (tmp_path / "elsewhere").touch()
    link = tmp_path / "ums.db"
    link.symlink_to(tmp_path / target)
    with pytest.raises(StorageError, match="is a symbolic link"):
        keep_private(tmp_path, [link])
    with pytest.raises(StorageError):
        make_private(link)
    assert not (tmp_path / "nowhere").exists()


def test_the_data_folder_itself_may_be_named_by_a_link(tmp_path: Path) -> None:
    """What it leads to is made private."""
    (tmp_path / "disk").mkdir(mode=0o755)
    (tmp_path / "data").symlink_to(tmp_path / "disk")
    keep_private(tmp_path / "data", [])
    assert mode(tmp_path / "disk") == 0o700


def test_what_belongs_to_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever owns a file can read it whatever its mode; root can anyway."""
    key = tmp_path / "master.key"
    key.touch(mode=0o600)
    if os.geteuid() == 0:
        os.chown(key, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: key.stat().st_uid + 1)
    with pytest.raises(StorageError, match="belongs to user"):
        keep_private(tmp_path.parent, [key])


def test_a_file_is_private_from_its_first_moment(tmp_path: Path) -> None:
    """Whatever the umask says; and one that was there before becomes so."""
    before = os.umask(0)
    try:
        made, old = tmp_path / "ums.db", tmp_path / "old.db"
        make_private(made)
        old.touch(mode=0o666)
        make_private(old)
    finally:
        os.umask(before)
    assert (mode(made), mode(old)) == (0o600, 0o600)
