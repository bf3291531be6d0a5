"""The release repo stays compact, while others read and write, whatever was left behind."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest

from tests.state_keys import FIRST
from ums.adapters._git import Git
from ums.adapters.git_history import GitHistory
from ums.adapters.git_release_repo import GitReleaseRepo
from ums.adapters.ssh_signature import SSHStateSigner
from ums.domain.world import Base, Decision, Raw

SETTINGS = b"url: https://ums.example.com\nregistry: registry.example.com/ums\n"
TRUST = f"signers: {{}}\nbundles: {{}}\nstateKeys: [{FIRST}]\n".encode()
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the place of a release repo."""
    GitReleaseRepo.create(tmp_path / "repo.git")
    return tmp_path / "repo.git"


@pytest.fixture
def repo(path: Path, tmp_path: Path) -> GitReleaseRepo:
    """Give a release repo with its first commit."""
    made = GitReleaseRepo(path, SSHStateSigner.generate(tmp_path / "state.key"), author="UMS <ums@example.com>")
    write(made, 0, Base(), {"ums.yaml": Raw(SETTINGS), "trust.yaml": Raw(TRUST)})
    return made


def write(repo: GitReleaseRepo, number: int, base: Base | None = None, files: dict[str, Raw] | None = None) -> Base:
    """Record a decision."""
    at, text = START + timedelta(minutes=number), f"number: {number}\n".encode()
    main = {**(files or {}), f"freezes/{number % 7}.yaml": Raw(text)}
    decision = Decision(f"decision {number}", "act", "olga", "why", at, {**main}, {f"pdps/a/b/{number % 5}": Raw(text)})
    return repo.commit(decision, base=base or repo.read().base)


def packs(path: Path) -> int:
    """Return how many packs there are."""
    return len(list((path / "objects" / "pack").glob("*.pack")))


def loose(path: Path) -> int:
    """Return how many loose objects there are."""
    return int(Git(path).run("count-objects").split()[0])


def test_many_small_packs_become_few(repo: GitReleaseRepo, path: Path) -> None:
    """And everything is there as before."""
    for number in range(1, 40):
        write(repo, number)
    base, log = repo.read().base, repo.log(limit=100)
    before = packs(path) + loose(path)
    repo.maintain()
    assert packs(path) + loose(path) < before / 5
    assert not (path / "objects" / "info" / "commit-graphs").exists(), "whoever writes there could make one that lies"
    again = GitReleaseRepo(path, SSHStateSigner.load(path.parent / "state.key"), author="x <x@example.com>")
    assert (again.read().base, again.log(limit=100)) == (base, log)
    GitHistory(path).check_objects()
    write(repo, 40)
    repo.maintain()
    assert packs(path) + loose(path) < before / 5, "once more, with little to do"


def test_others_go_on_meanwhile(repo: GitReleaseRepo, path: Path) -> None:
    """Whoever records decisions, or reads, never finds anything missing."""
    numbers: list[int] = []

    def record() -> None:
        for number in range(1, 11):
            write(repo, number)
            numbers.append(len(repo.log(limit=1000)))

    recorder = Thread(target=record)
    recorder.start()
    while recorder.is_alive():
        repo.maintain()
    recorder.join()
    assert numbers == list(range(2, 12)), "each time one more"
    GitHistory(path).check_objects()


def test_what_a_killed_process_left_goes_after_a_day(repo: GitReleaseRepo, path: Path) -> None:
    """What is younger may be somebody's; a lock that nobody holds would stop it for ever."""
    folder = path / "objects" / "pack"
    old, new = folder / "tmp_pack_old", folder / "tmp_pack_new"
    lock = path / "objects" / "info" / "commit-graphs" / "commit-graph-chain.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    for each in (old, new, lock):
        each.write_bytes(b"half")
    for each in (old, lock):
        os.utime(each, (time.time() - 90_000,) * 2)
    repo.maintain()
    assert [each.exists() for each in (old, new, lock)] == [False, True, False]
