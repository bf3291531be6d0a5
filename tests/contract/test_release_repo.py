"""Every release repo records decisions whole, in order, and never two for one place."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.doubles.memory_release_repo import MemoryReleaseRepo
from ums.adapters.git_release_repo import GitReleaseRepo
from ums.adapters.ssh_signature import SSHStateSigner
from ums.domain.errors import ConflictError, InvalidInputError, SpecError, StorageError
from ums.domain.names import PDPName
from ums.domain.world import Base, Content, CopyOf, Decision, Document, Raw
from ums.ports import ReleaseRepo

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PDP = PDPName("acme", "prod")
SEED: dict[str, Content | None] = {
    "ums.yaml": Raw(b"url: http://127.0.0.1\nregistry: registry.example.com/ums\n"),
    "trust.yaml": Raw(
        b'signers:\n  ci: {identity: ci, issuer: "https://ci"}\nbundles:\n  "*": {signers: [ci]}\n'
        b"stateKeys: [ssh-ed25519 AAAA]\n"
    ),
    "channels/stable/policy.yaml": Raw(b"feeder: edge\n"),
    "channels/edge/policy.yaml": Raw(b"description: first\n"),
}
REGISTRATION = Raw(b"channel: stable\nbundles: [platform]\n")
PDP_STATE = b"""\
data: {pdp: acme/prod, channel: stable, serial: "7", issued: 2026-11-23T12:00:00Z, expires: 2026-11-30T12:00:00Z,
  releases: '{}'}
"""


def git_repo(folder: Path) -> GitReleaseRepo:
    """Return the Git release repo in a folder; a new one is empty."""
    if not (folder / "repo.git").exists():
        GitReleaseRepo.create(folder / "repo.git")
    return GitReleaseRepo(
        folder / "repo.git", SSHStateSigner.load_or_generate(folder / "state.key"), author="UMS <ums@localhost>"
    )


@pytest.fixture(params=["memory", "git"])
def repo(request: pytest.FixtureRequest, tmp_path: Path) -> ReleaseRepo:
    """Return an empty release repo of each kind."""
    makers: dict[str, Callable[[], ReleaseRepo]] = {"memory": MemoryReleaseRepo, "git": lambda: git_repo(tmp_path)}
    return makers[request.param]()


def decide(
    main: dict[str, Content | None] | None = None,
    delivery: dict[str, Content | None] | None = None,
    *,
    reason: str = "because",
) -> Decision:
    """Return a decision."""
    return Decision("area: What", "act", "olga", reason, NOW, main or {}, delivery or {})


def test_an_empty_repo_says_what_is_missing(repo: ReleaseRepo) -> None:
    """Nothing is guessed where ums.yaml is not."""
    with pytest.raises(SpecError, match=r"ums\.yaml"):
        repo.read()


def test_what_was_committed_is_read_back(repo: ReleaseRepo) -> None:
    """Channels come feeders first; registrations and offers make data planes."""
    base = repo.commit(decide(SEED), base=Base())
    files: dict[str, Content | None] = {"fleet/acme/prod/registration.yaml": REGISTRATION}
    repo.commit(decide(files, {"pdps/acme/prod/state.yaml": Raw(PDP_STATE)}), base=base)
    world = repo.read()
    assert list(world.channels) == ["edge", "stable"]
    assert world.channels["stable"].feeder == "edge"
    desired = world.plane(PDP).desired
    assert desired is not None
    assert desired.serial == 7
    assert world.problems == ()


def test_who_decides_on_an_old_world_is_told_so(repo: ReleaseRepo) -> None:
    """Compare-and-swap: the second of two decisions on one base changes nothing, on either branch."""
    base = repo.commit(decide(SEED), base=Base())
    repo.commit(decide({"a.yaml": Raw(b"a: 1\n")}), base=base)
    before = repo.read().base
    with pytest.raises(ConflictError):
        repo.commit(decide({"b.yaml": Raw(b"b: 1\n")}, {"pdps/x": Raw(b"x")}), base=base)
    assert repo.read().base == before


def test_a_decision_about_offers_alone_still_says_who_and_why(repo: ReleaseRepo) -> None:
    """``delivery`` never moves without a commit on ``main``."""
    base = repo.commit(decide(SEED), base=Base())
    after = repo.commit(decide({}, {"pdps/acme/prod/state.yaml": Raw(PDP_STATE)}), base=base)
    assert after.main != base.main
    assert after.delivery


def test_a_copy_is_the_content_on_main(repo: ReleaseRepo) -> None:
    """What is copied may be older, or part of the same decision; what is nowhere is refused."""
    base = repo.commit(decide({**SEED, "old.yaml": Raw(PDP_STATE)}), base=Base())
    state = "pdps/acme/prod/state.yaml"
    base = repo.commit(decide({}, {state: CopyOf("old.yaml")}), base=base)
    assert repo.serial_at(base.delivery, PDP) == 7
    newer = PDP_STATE.replace(b'"7"', b'"8"')
    base = repo.commit(decide({"new.yaml": Raw(newer)}, {state: CopyOf("new.yaml")}), base=base)
    assert repo.serial_at(base.delivery, PDP) == 8
    with pytest.raises(InvalidInputError, match="nowhere"):
        repo.commit(decide({}, {state: CopyOf("nowhere.yaml")}), base=base)


def test_a_folder_is_replaced_as_a_whole(repo: ReleaseRepo) -> None:
    """A path that ends in a slash empties the folder before the new files come."""
    base = repo.commit(decide(SEED, {"pdps/acme/prod/old": Raw(b"x")}), base=Base())
    files: dict[str, Content | None] = {"pdps/acme/prod/": None, "pdps/acme/prod/state.yaml": Raw(PDP_STATE)}
    first = repo.commit(decide({}, files), base=base)
    again = repo.commit(decide({}, {"pdps/acme/prod/": None}), base=first)
    assert repo.serial_at(first.delivery, PDP) == 7
    assert repo.serial_at(again.delivery, PDP) is None


def test_fields_that_a_newer_version_wrote_are_kept(repo: ReleaseRepo) -> None:
    """A document is rewritten without losing what we do not know."""
    path = "channels/stable/state.yaml"
    base = repo.commit(decide({**SEED, path: Raw(b"schema: 1\nholds: []\nfuture: kept\n")}), base=Base())
    base = repo.commit(decide({path: Document({"schema": 1, "holds": []})}), base=base)
    base = repo.commit(decide({}, {"pdps/acme/prod/state.yaml": CopyOf(path)}), base=base)
    if isinstance(repo, MemoryReleaseRepo):
        assert b"future: kept" in (repo.file("main", path) or b"")
    else:
        assert isinstance(repo, GitReleaseRepo)
        assert b"future: kept" in repo._run("show", f"main:{path}")


def test_a_wrong_file_is_a_problem_and_what_it_describes_is_left_out(repo: ReleaseRepo) -> None:
    """The rest of the world is still there, and everybody can see what is wrong, with its line."""
    files: dict[str, Content | None] = {
        **SEED,
        "channels/stable/policy.yaml": Raw(b"description: x\nfeder: edge\n"),
        "fleet/acme/prod/registration.yaml": REGISTRATION,
        "fleet/acme/prod/decisions.yaml": Raw(b"pins: [{}]\n"),
    }
    repo.commit(decide(files), base=Base())
    world = repo.read()
    assert list(world.channels) == ["edge"]
    assert PDP not in world.planes, "a plane whose pins cannot be read must not move"
    first, second = sorted(world.problems, key=lambda problem: problem.file)
    assert (first.file, first.line, first.field) == ("channels/stable/policy.yaml", 2, "feder")
    assert "feeder" in first.hint
    assert second.file == "fleet/acme/prod/decisions.yaml"


def test_the_log_names_actor_action_and_reason_newest_first(repo: ReleaseRepo) -> None:
    """Each decision is one entry, and can be found by what it changed."""
    base = repo.commit(decide(SEED, reason="seed"), base=Base())
    repo.commit(decide({"channels/edge/state.yaml": Raw(b"schema: 1\n")}, reason="second"), base=base)
    assert [entry.reason for entry in repo.log(limit=10)] == ["second", "seed"]
    assert [entry.reason for entry in repo.log(limit=1)] == ["second"]
    assert [entry.reason for entry in repo.log(limit=10, path="channels/edge/state.yaml")] == ["second"]
    assert not repo.log(limit=10, path="fleet")
    newest = repo.log(limit=1)[0]
    assert (newest.actor, newest.action, newest.at) == ("olga", "act", NOW)


def test_nobody_forges_a_trailer(repo: ReleaseRepo) -> None:
    """Whatever a reason holds, it stays one line of a reason."""
    reason = "fine\n\nUMS-Actor: root\r\nUMS-Action: \x1b[31mdrop"
    repo.commit(decide(SEED, reason=reason), base=Base())
    entry = repo.log(limit=1)[0]
    assert (entry.actor, entry.action) == ("olga", "act")
    assert "\n" not in entry.reason


@pytest.mark.parametrize("commit_id", ["", "main", "-x", "0" * 40, "HEAD~1"])
def test_a_serial_is_known_only_at_commits_that_were_offered(repo: ReleaseRepo, commit_id: str) -> None:
    """What a cluster reports is not trusted to be a commit of ours."""
    repo.commit(decide(SEED, {"pdps/acme/prod/state.yaml": Raw(PDP_STATE)}), base=Base())
    assert repo.serial_at(commit_id, PDP) is None


def test_git_accepts_the_signatures_of_both_branches(tmp_path: Path) -> None:
    """``git verify-commit`` knows the state key, and refuses another."""
    repo = git_repo(tmp_path)
    repo.commit(decide(SEED, {"pdps/acme/prod/state.yaml": Raw(PDP_STATE)}), base=Base())
    key = SSHStateSigner.load(tmp_path / "state.key").public_key
    other = SSHStateSigner.generate(tmp_path / "other.key").public_key
    for text, verdict in ((key, 0), (other, 1)):
        (tmp_path / "allowed").write_text(f"ums@localhost {text}\n")
        for branch in ("main", "delivery"):
            command = ["git", "-C", str(tmp_path / "repo.git"), "-c", "gpg.format=ssh"]
            command += ["-c", f"gpg.ssh.allowedSignersFile={tmp_path / 'allowed'}", "verify-commit", branch]
            env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null"}
            assert subprocess.run(command, capture_output=True, check=False, env=env).returncode == verdict


def test_of_many_writers_each_acknowledged_decision_is_there_once(tmp_path: Path) -> None:
    """Threads with repositories of their own race; none is lost, none doubled, and no scratch ref stays."""
    git_repo(tmp_path).commit(decide(SEED), base=Base())
    done: list[str] = []

    def write(number: int) -> None:
        mine = git_repo(tmp_path)
        for round_number in range(5):
            name = f"{number}-{round_number}"
            while True:
                try:
                    mine.commit(decide({f"work/{name}.yaml": Raw(b"x: 1\n")}, reason=name), base=mine.read().base)
                except ConflictError:
                    continue
                done.append(name)
                break

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    repo = git_repo(tmp_path)
    recorded = [entry.reason for entry in repo.log(limit=100)]
    assert sorted(recorded) == sorted([*done, "because"])
    assert repo._run("for-each-ref", "refs/ums").decode() == ""


def test_a_disk_that_refuses_is_said_so_and_nothing_is_recorded(tmp_path: Path) -> None:
    """The heads stay where they were."""
    repo = git_repo(tmp_path)
    base = repo.commit(decide(SEED), base=Base())
    objects = tmp_path / "repo.git" / "objects"
    subprocess.run(["chattr", "-R", "+i", str(objects)], check=False, capture_output=True)
    try:
        probe = objects / "probe"
        try:
            probe.touch()
        except OSError:
            pass
        else:
            probe.unlink()
            pytest.skip("this file system cannot be made to refuse")
        with pytest.raises(StorageError, match="cannot be written"):
            repo.commit(decide({"a.yaml": Raw(b"a: 1\n")}), base=base)
    finally:
        subprocess.run(["chattr", "-R", "-i", str(objects)], check=False, capture_output=True)
    assert repo.read().base == base
