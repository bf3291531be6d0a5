"""Whatever the folder was before, and whatever the umask: what a service keeps is its user's alone."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from tests.data_folder import make_data
from tests.unit.usecases.stage import ADMIN
from ums.adapters.cosign_bundle import CosignBundleSigner
from ums.bootstrap import back_up_data, make_services, prepare, reindex_data, restore_data
from ums.config import Settings
from ums.domain.errors import StorageError
from ums.domain.trust import KeySigner
from ums.domain.webhooks import Webhook

ROOT = Path(__file__).parent.parent.parent
CLEAR = ("https://chat.example.com/T0PSECRET", "whsec_VDBQU0VDUkVU")


def open_to_others(folder: Path) -> list[str]:
    """Return all paths of which others may read or write anything."""
    paths = [folder, *folder.rglob("*")]
    return [str(path) for path in paths if not path.is_symlink() and stat.S_IMODE(path.stat().st_mode) & 0o077]


def reachable(folder: Path) -> list[str]:
    """Return the paths that others reach: what is in a private folder is."""
    return open_to_others(folder) if stat.S_IMODE(folder.stat().st_mode) & 0o077 else []


def test_init_in_a_folder_that_was_there_keeps_everything_private(tmp_path: Path) -> None:
    """With a umask that denies nothing, as many containers have it."""
    data, key = tmp_path / "data", tmp_path / "release.pub"
    data.mkdir()
    data.chmod(0o777)
    signatory = CosignBundleSigner(generate_private_key(SECP256R1()), "release").signatory()
    assert isinstance(signatory, KeySigner)
    key.write_text(signatory.public_key)
    command = [sys.executable, "-m", "ums", "init", str(data), "--url", "http://127.0.0.1:1", "--release-key", str(key)]
    subprocess.run(command, check=True, capture_output=True, umask=0, cwd=ROOT)
    assert open_to_others(data) == []


def test_a_service_makes_private_what_others_could_read(tmp_path: Path) -> None:
    """Made by an earlier version, or restored by other tools: before anything is opened."""
    settings, _ = make_data(tmp_path)
    for path in (settings.data, *settings.data.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    prepare(settings)
    assert stat.S_IMODE(settings.data.stat().st_mode) == 0o700
    for name in ("master.key", "state.key", "offline-state.key", "ums.db", "release-repo.git"):
        assert not stat.S_IMODE((settings.data / name).stat().st_mode) & 0o077, name


@pytest.mark.parametrize("name", ["master.key", "state.key", "ums.db", "release-repo.git"])
def test_no_command_follows_a_link_to_a_secret(tmp_path: Path, name: str) -> None:
    """It is refused by name, whichever command it is."""
    settings, _ = make_data(tmp_path)
    (settings.data / name).rename(tmp_path / "moved")
    (settings.data / name).symlink_to(tmp_path / "moved")
    for command in (
        lambda: prepare(settings),
        lambda: make_services(settings),
        lambda: back_up_data(settings, tmp_path / "b", registry=False),
        lambda: reindex_data(settings, dry_run=True),
    ):
        with pytest.raises(StorageError, match=f"{name} is a symbolic link"):
            command()


def test_a_restored_folder_is_private(tmp_path: Path) -> None:
    """Into a folder that was there, too; and so is the backup."""
    settings, _ = make_data(tmp_path)
    before = os.umask(0)
    try:
        back_up_data(settings, tmp_path / "backup", registry=True)
        new = Settings(tmp_path / "new")
        new.data.mkdir()
        restore_data(new, tmp_path / "backup")
    finally:
        os.umask(before)
    assert not stat.S_IMODE((tmp_path / "backup").stat().st_mode) & 0o077
    assert reachable(new.data) == []


def test_the_database_file_holds_no_secret_in_clear(tmp_path: Path) -> None:
    """Whoever gets the file alone, or a copy of the database, learns neither URL nor secret of a webhook."""
    settings, _ = make_data(tmp_path)
    services = make_services(settings)
    services.manage_webhooks.add(Webhook("chat", *CLEAR), by=ADMIN)
    content = b"".join(path.read_bytes() for path in settings.data.glob("ums.db*"))
    assert b"chat" in content
    assert not any(secret.encode() in content or secret[-8:].encode() in content for secret in CLEAR)
    assert services.manage_webhooks.list(by=ADMIN)[0].url == CLEAR[0]
    services.health.store.close()  # type: ignore[attr-defined] # this one can


def test_another_master_key_is_told_and_harms_no_other_webhook(tmp_path: Path) -> None:
    """What it cannot read is left out, and can be removed; what is added from then on works."""
    settings, _ = make_data(tmp_path)
    services = make_services(settings)
    services.manage_webhooks.add(Webhook("chat", *CLEAR), by=ADMIN)
    services.health.store.close()  # type: ignore[attr-defined] # this one can
    settings.master_key.write_bytes(b"x" * 32)
    services = make_services(settings)
    services.manage_webhooks.add(Webhook("other", *CLEAR), by=ADMIN)
    assert [each.name for each in services.manage_webhooks.list(by=ADMIN)] == ["other"]
    services.manage_webhooks.remove("chat", by=ADMIN)
    services.health.store.close()  # type: ignore[attr-defined] # this one can
    with sqlite3.connect(settings.data / "ums.db") as database:
        assert database.execute("SELECT name FROM webhooks").fetchall() == [("other",)]
    database.close()


@pytest.mark.parametrize("content", [None, b"short"])
def test_without_its_master_key_a_service_does_not_start(tmp_path: Path, content: bytes | None) -> None:
    """It says what is missing, instead of making other credentials for the whole fleet."""
    settings, _ = make_data(tmp_path)
    settings.master_key.unlink()
    if content is not None:
        settings.master_key.write_bytes(content)
    with pytest.raises(StorageError, match="master key"):
        prepare(settings)
