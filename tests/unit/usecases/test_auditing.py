"""Walking the release repo's history: what holds, and each way in which it does not – on real repositories."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.contract.places import Place
from tests.contract.test_release_repo import git, git_repo
from tests.unit.usecases.stage import ADA, ADMIN, PROD, Stage
from ums.adapters.git_history import GitHistory
from ums.adapters.sql_security_log import SqlSecurityLog
from ums.adapters.sql_store import SqlStore
from ums.domain.auditing import Audited
from ums.domain.errors import IntegrityError, InvalidInputError, NotFoundError, UnavailableError
from ums.domain.names import PDPName
from ums.domain.security_log import NOWHERE, SecurityEvent, SecurityKind
from ums.domain.world import Decision, Raw
from ums.usecases.audit import Audit
from ums.usecases.instruct import Subject, Why
from ums.usecases.read_audit import all_entries

NOW = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a release repo in which a data plane went to 1.0.0 and was held there."""
    folder = tmp_path_factory.mktemp("recorded")
    database = f"sqlite:///{folder}/ums.db"
    store = SqlStore(database)
    stage = Stage(folder, release_repo=git_repo(folder, SqlSecurityLog(store.database).head), database=database)
    issue(stage, 2)
    stage.add_plane()
    stage.publish("1.0.0")
    issue(stage, 3)
    stage.promote("1.0.0")
    stage.services.instruct.hold(PROD, Subject("platform"), None, Why(ADMIN, "audit"))
    issue(stage, 1)
    stage.store.close()
    store.close()
    return folder


def issue(stage: Stage, count: int) -> None:
    """Let a few security events happen."""
    for _ in range(count):
        stage.services.issue_token(ADA, expires=None, by=ADMIN)


@pytest.fixture
def folder(recorded: Path, tmp_path: Path) -> Path:
    """Return a copy to be tampered with."""
    shutil.copytree(recorded, tmp_path / "copy")
    return tmp_path / "copy"


def audit(folder: Path) -> Audited:
    """Walk the history, trusting the service's key alone."""
    key = git_repo(folder)._signer.public_key
    store = SqlStore(f"sqlite:///{folder}/ums.db")
    found = Audit(GitHistory(folder / "repo.git"))([key], log=all_entries(SqlSecurityLog(store.database)))
    store.close()
    return found


def tamper(folder: Path, *statements: str) -> None:
    """Change the database past the service."""
    Place(f"sqlite:///{folder}/ums.db").run(*statements)


def head(folder: Path, branch: str) -> str:
    """Return a branch's newest commit."""
    return git(folder, "rev-parse", branch).decode().strip()


def write(folder: Path, branch: str, path: str, content: str, *parents: str, message: str = "by hand") -> str:
    """Commit a file without a state key, and move the branch there."""
    blob = git(folder, "hash-object", "-w", "--stdin", stdin=content.encode()).decode().strip()
    start = parents[0] if parents else head(folder, branch)
    git(folder, "read-tree", start)
    git(folder, "update-index", "--add", "--cacheinfo", f"100644,{blob},{path}")
    tree = git(folder, "write-tree").decode().strip()
    given = [argument for parent in parents or (start,) for argument in ("-p", parent)]
    commit = git(folder, "commit-tree", tree, *given, "-m", message).decode().strip()
    git(folder, "update-ref", f"refs/heads/{branch}", commit)
    return commit


def test_what_the_service_recorded_holds(recorded: Path) -> None:
    """Every commit of both branches, by the pinned key and by those that the repository names itself."""
    found = audit(recorded)
    assert found.flaws == ()
    assert found.decisions > found.deliveries > 1
    assert found.by_people == 0
    assert found.security is not None
    assert found.security.to_dict() == {"entries": 6, "anchored": 5, "broken": None}
    assert found.holds


def test_a_data_plane_that_comes_again_goes_on_from_its_last_serial(tmp_path: Path) -> None:
    """That holds, whatever the clock said; and one whose serial fell, although it had none just before, is named."""
    database = f"sqlite:///{tmp_path}/ums.db"
    stage = Stage(tmp_path, release_repo=git_repo(tmp_path), database=database)
    serials = []
    for turn in range(3):
        stage.add_plane()
        desired = stage.world().plane(PROD).desired
        assert desired is not None
        serials.append(desired.serial)
        stage.services.remove_data_plane(PROD, Why(ADMIN, "moved"))
        stage.clock.time -= timedelta(hours=11 * turn)
    assert serials == sorted(set(serials))
    assert git(tmp_path, "ls-tree", "-r", "--name-only", "delivery") == b""
    stage.add_plane(PDPName("acme", "other"))
    assert audit(tmp_path).flaws == ()
    forged = git(tmp_path, "show", "main:fleet/acme/prod/retired.yaml").decode().replace(str(serials[-1]), "1")
    files = {"fleet/acme/prod/retired.yaml": Raw(forged.encode())}
    decision = Decision("x", "x", "ada", "x", stage.clock.now(), {**files})
    stage.release_repo.commit(decision, base=stage.release_repo.read().base)
    stage.add_plane()
    (flaw,) = audit(tmp_path).flaws
    assert flaw.message.startswith(f"the serial of acme/prod did not rise: {serials[-1]}, then ")
    stage.store.close()


def test_people_change_what_people_write(folder: Path) -> None:
    """Directly and by a merge, whichever side they call the first."""
    before = head(folder, "main")
    branch = write(folder, "topic", "channels/edge/policy.yaml", "description: edited\n", before)
    stage_head = write(folder, "main", "README.md", "hello\n")
    write(folder, "main", "channels/edge/policy.yaml", "description: edited\n", stage_head, branch)
    found = audit(folder)
    assert (found.flaws, found.by_people) == ((), 3)


@pytest.mark.parametrize(
    "path",
    [
        "catalog/platform/1.0.0/status.yaml",
        "channels/edge/state.yaml",
        "fleet/acme/prod/decisions.yaml",
        "fleet/acme/prod/retired.yaml",
    ],
)
def test_what_only_the_service_writes_is_named_if_somebody_else_did(folder: Path, path: str) -> None:
    """With the commit, its author and the file."""
    commit = write(folder, "main", path, "x: 1\n")
    (flaw,) = audit(folder).flaws
    assert (flaw.branch, flaw.commit) == ("main", commit)
    assert flaw.message == f"changes {path}, which only UMS writes, and no state key signed it"
    assert "<p@example.com>" in flaw.author


def test_a_merge_that_brings_back_what_was_before_is_named(folder: Path) -> None:
    """The hold is undone by a merge that keeps the older side."""
    old, new = head(folder, "main~1"), head(folder, "main")
    merge = write(folder, "main", "README.md", "merged\n", old, new)
    (flaw,) = audit(folder).flaws
    assert flaw.commit == merge
    assert "fleet/acme/prod/decisions.yaml" in flaw.message


def amended(folder: Path, branch: str) -> str:
    """Give the newest commit another message, and keep its signature."""
    raw = git(folder, "cat-file", "commit", branch).replace(b"UMS-Reason: ", b"UMS-Reason: not ")
    commit = git(folder, "hash-object", "-t", "commit", "-w", "--stdin", stdin=raw).decode().strip()
    git(folder, "update-ref", f"refs/heads/{branch}", commit)
    return commit


@pytest.mark.parametrize("branch", ["main", "delivery"])
def test_a_commit_that_was_changed_is_named(folder: Path, branch: str) -> None:
    """A word in the reason is enough."""
    commit = amended(folder, branch)
    assert [(flaw.branch, flaw.commit) for flaw in audit(folder).flaws][:1] == [(branch, commit)]


def test_a_delivery_that_nobody_signed_is_named(folder: Path) -> None:
    """Whatever it brings."""
    commit = write(folder, "delivery", "pdps/acme/prod/state.yaml", "data: {}\n")
    (flaw,) = audit(folder).flaws
    assert (flaw.commit, flaw.message) == (commit, "no state key signed it")


def test_an_older_state_delivered_again_is_named(folder: Path) -> None:
    """Signed by the key, but with a serial that does not rise: as if the key was stolen."""
    repo = git_repo(folder)
    old = git(folder, "show", "delivery~1:pdps/acme/prod/state.yaml")
    blob = git(folder, "hash-object", "-w", "--stdin", stdin=old).decode().strip()
    git(folder, "read-tree", "delivery")
    git(folder, "update-index", "--add", "--cacheinfo", f"100644,{blob},pdps/acme/prod/state.yaml")
    tree = git(folder, "write-tree").decode().strip()
    text = f"tree {tree}\nparent {head(folder, 'delivery')}\nauthor a <a> 1 +0000\ncommitter a <a> 1 +0000\n"
    message = f"\nback\n\nUMS-Decision: {head(folder, 'main')}\n"
    signature = repo._signer.sign((text + message).encode()).strip().replace("\n", "\n ")
    raw = f"{text}gpgsig {signature}\n{message}".encode()
    commit = git(folder, "hash-object", "-t", "commit", "-w", "--stdin", stdin=raw).decode().strip()
    git(folder, "update-ref", "refs/heads/delivery", commit)
    (flaw,) = audit(folder).flaws
    assert flaw.commit == commit
    assert flaw.message.startswith("the serial of acme/prod did not rise: ")


def test_a_key_that_nobody_trusts_signs_nothing(folder: Path) -> None:
    """Pinned to another key, no commit of the service holds."""
    elsewhere = folder.parent / "other"
    elsewhere.mkdir()
    other = git_repo(elsewhere)
    found = Audit(GitHistory(folder / "repo.git"))([other._signer.public_key])
    assert found.by_people == found.decisions
    assert len(found.flaws) >= found.deliveries


@pytest.mark.parametrize(
    ("statement", "seq", "text"),
    [
        ("UPDATE security_events SET subject = 'eve' WHERE seq = 2", 2, "was changed"),
        ("UPDATE security_events SET seq = 9 WHERE seq = 6", 6, "is missing"),
        ("DELETE FROM security_events WHERE seq = 1", 1, "is missing"),
        ("DELETE FROM security_events WHERE seq > 3", 4, "is missing, and so are all after it, up to 5 at least"),
        ("DELETE FROM security_events", 1, "is missing, and so are all after it, up to 5 at least"),
    ],
)
def test_a_security_event_that_was_tampered_with_is_named(folder: Path, statement: str, seq: int, text: str) -> None:
    """By its number; every commit holds."""
    tamper(folder, statement)
    found = audit(folder)
    assert found.security is not None
    assert found.security.broken is not None
    assert (found.security.broken.seq, found.flaws, found.holds) == (seq, (), False)
    assert found.security.broken.message.startswith(text)


def test_what_is_cut_off_behind_the_last_anchor_is_not_seen(folder: Path) -> None:
    """Nothing vouched for it yet, which is told."""
    tamper(folder, "DELETE FROM security_events WHERE seq = 6")
    found = audit(folder)
    assert found.holds
    assert found.security is not None
    assert (found.security.entries, found.security.anchored) == (5, 5)


def test_a_log_that_was_begun_anew_is_not_the_one_that_commits_name(folder: Path) -> None:
    """Not even where the service goes on with it and names what it has now."""
    tamper(folder, "DELETE FROM security_events")
    store = SqlStore(f"sqlite:///{folder}/ums.db")
    log = SqlSecurityLog(store.database)
    log.append(SecurityEvent.make(SecurityKind.LOGIN, at=NOW, subject="eve", what={}, origin=NOWHERE))
    repo = git_repo(folder, log.head)
    go_on = Decision("ums: Go on", "x", "eve", "x", NOW, {"freezes.yaml": Raw(b"freezes: {}\n")})
    repo.commit(go_on, base=repo.read().base)
    store.close()
    found = audit(folder)
    assert found.security is not None
    assert found.security.broken is not None
    assert (found.security.broken.seq, [flaw.commit for flaw in found.flaws]) == (2, [head(folder, "main")])
    assert "names security event 1, where" in found.flaws[0].message


def renamed(folder: Path, *, signed: bool) -> str:
    """Let the newest commit name another security event: with its old signature, or a new one by the state key."""
    raw = git(folder, "cat-file", "commit", "main")
    start, _, message = raw.partition(b"\n\n")
    (old,) = re.findall(rb"^UMS-Security-Log: 5 sha256:([0-9a-f]{64})$", message, re.MULTILINE)
    message = message.replace(old, b"0" * 64)
    if signed:
        start = start[: start.index(b"gpgsig ")]
        signature = git_repo(folder)._signer.sign(start + b"\n" + message).strip().replace("\n", "\n ")
        start += f"gpgsig {signature}".encode()
    commit = git(folder, "hash-object", "-t", "commit", "-w", "--stdin", stdin=start + b"\n\n" + message).decode()
    git(folder, "update-ref", "refs/heads/main", commit.strip())
    return commit.strip()


def test_a_commit_whose_anchor_was_changed_is_named(folder: Path) -> None:
    """Its signature holds no more, so what it says of the log is nobody's word."""
    commit = renamed(folder, signed=False)
    found = audit(folder)
    assert found.flaws[0].commit == commit
    assert found.security is not None
    assert found.security.broken is None


def test_an_anchor_that_the_state_key_signed_and_that_does_not_fit_is_named(folder: Path) -> None:
    """As with a stolen key: a commit before it named the same row, and the chain is of that one."""
    commit = renamed(folder, signed=True)
    found = audit(folder)
    assert found.flaws[0].commit == commit
    assert "names security event 5, where" in found.flaws[0].message
    assert found.security is not None
    assert found.security.broken is None


def test_what_people_say_of_the_log_counts_for_nothing(folder: Path) -> None:
    """Whoever may push to main cannot make it look broken."""
    write(folder, "main", "README.md", "hello\n", message=f"hi\n\nUMS-Security-Log: 99 sha256:{'0' * 64}")
    assert audit(folder).holds


def spoil(folder: Path) -> None:
    """Change a byte of a stored object."""
    victim = next(path for path in sorted((folder / "repo.git" / "objects").glob("??/*")) if path.is_file())
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.chmod(0o600)
    victim.write_bytes(content)


def shallow(folder: Path) -> None:
    """Leave a clone without its past."""
    git(folder, "clone", "--quiet", "--bare", "--depth=1", f"file://{folder}/repo.git", str(folder / "shallow"))
    shutil.rmtree(folder / "repo.git")
    (folder / "shallow").rename(folder / "repo.git")


@pytest.mark.parametrize(
    ("harm", "error"),
    [
        (spoil, IntegrityError),
        (shallow, InvalidInputError),
        (lambda folder: shutil.rmtree(folder / "repo.git"), NotFoundError),
        (lambda folder: (folder / "repo.git" / "HEAD").unlink(), UnavailableError),
        (lambda folder: git(folder, "update-ref", "-d", "refs/heads/main"), NotFoundError),
    ],
)
def test_what_cannot_be_walked_is_an_error(
    folder: Path, harm: Callable[[Path], object], error: type[Exception]
) -> None:
    """Never *all holds*."""
    harm(folder)
    with pytest.raises(error):
        Audit(GitHistory(folder / "repo.git"))()
