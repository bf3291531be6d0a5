"""``ums registry``: gc and check, on a folder."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from tests.data_folder import make_data
from ums.cli.root import main
from ums.config import Settings
from ums.domain.digest import Digest
from ums.edge.registry_storage import Storage, write

STRAY = b"stray"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Give a service's folder."""
    return make_data(tmp_path_factory.mktemp("service"))[0]


@pytest.fixture
def storage(settings: Settings) -> Storage:
    """Give its registry, with one old blob that nothing needs."""
    storage, digest = Storage(settings.registry), Digest.of(STRAY)
    then = time.time() - 2 * 24 * 3600
    for path, content in ((storage.blob(digest), STRAY), (storage.link("org/app", "_blobs", digest), b"")):
        write(path, content)
        os.utime(path, (then, then))
    return storage


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str]:
    """Run a command; return its exit code and what it printed."""
    with pytest.raises(SystemExit) as ended:
        main([str(each) for each in arguments])
    said = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, said.out + said.err


def test_gc_tells_first_and_removes_then(
    settings: Settings, storage: Storage, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --dry-run it changes nothing; both say the same."""
    blob = storage.blob(Digest.of(STRAY))
    code, said = run(capsys, "registry", "gc", settings.data, "--dry-run")
    assert (code, said) == (
        0,
        "would remove 0 manifests, 1 blobs of repositories, 0 pushes that never ended; 5 bytes\n",
    )
    assert blob.exists()
    code, said = run(capsys, "registry", "gc", settings.data, "-o", "json")
    done = json.loads(said)
    assert (code, done["dryRun"], done["content"], done["size"]) == (0, False, [str(Digest.of(STRAY))], 5)
    assert not blob.exists()


def test_check_ends_with_8_when_something_is_wrong(
    settings: Settings, storage: Storage, capsys: pytest.CaptureFixture[str]
) -> None:
    """And names it."""
    code, said = run(capsys, "registry", "check", settings.data)
    assert (code, "none of it wrong" in said) == (0, True)
    storage.blob(Digest.of(STRAY)).write_bytes(b"other")
    code, said = run(capsys, "registry", "check", settings.data)
    assert code == 8
    assert f"content of {Digest.of(STRAY)} has digest" in said


@pytest.mark.parametrize("verb", ["gc", "check"])
def test_a_folder_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    """It is said how to make one."""
    code, said = run(capsys, "registry", verb, tmp_path)
    assert code == 4
    assert "ums init" in said
