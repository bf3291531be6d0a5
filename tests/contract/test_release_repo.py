"""Every release repo records decisions whole, in order, and never two for one place."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.doubles.memory_release_repo import MemoryReleaseRepo
from tests.forger import Forger
from tests.policies import accepted
from tests.processes import eventually
from tests.state_keys import FIRST
from ums.adapters import git_release_repo
from ums.adapters.git_release_repo import GitReleaseRepo
from ums.adapters.ssh_signature import SSHStateSigner
from ums.domain.errors import ConflictError, InvalidInputError, NotFoundError, SpecError, StorageError, UnavailableError
from ums.domain.names import PDPName
from ums.domain.security_log import Anchor
from ums.domain.world import Base, Content, CopyOf, Decision, Document, Edited, Raw
from ums.ports import ReleaseRepo

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PDP = PDPName("acme", "prod")
SEED: dict[str, Content | None] = {
    "ums.yaml": Raw(b"url: http://127.0.0.1\nregistry: registry.example.com/ums\n"),
    "trust.yaml": Raw(
        b'signers:\n  ci: {identity: ci, issuer: "https://ci"}\nbundles:\n  "*": {signers: [ci]}\n'
        + f"stateKeys: [{FIRST}]\n".encode()
    ),
    **accepted(
        {
            "channels/stable/policy.yaml": Raw(b"feeder: edge\n"),
            "channels/edge/policy.yaml": Raw(b"description: first\n"),
        }
    ),
}
REGISTRATION = Raw(b"channel: stable\nbundles: [platform]\n")
EMPTY_BLOB = b"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
PDP_STATE = b"""\
data: {pdp: acme/prod, channel: stable, serial: "7", issued: 2026-11-23T12:00:00Z, expires: 2026-11-30T12:00:00Z,
  releases: '{}'}
"""


def git_repo(folder: Path, anchor: Callable[[], Anchor | None] = lambda: None) -> GitReleaseRepo:
    """Return the Git release repo in a folder; a new one is empty."""
    if not (folder / "repo.git").exists():
        GitReleaseRepo.create(folder / "repo.git")
    signer = SSHStateSigner.load_or_generate(folder / "state.key")
    return GitReleaseRepo(folder / "repo.git", signer, author="UMS <ums@localhost>", anchor=anchor)


@pytest.fixture(params=["memory", "git"])
def repo(request: pytest.FixtureRequest, tmp_path: Path) -> ReleaseRepo:
    """Return an empty release repo of each kind."""
    makers: dict[str, Callable[[], ReleaseRepo]] = {"memory": MemoryReleaseRepo, "git": lambda: git_repo(tmp_path)}
    return makers[request.param]()


def git(folder: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    """Run git on the repository in a folder, with the developer's configuration shut out."""
    env = {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
    command = ["git", "-C", str(folder / "repo.git"), "-c", "user.name=p", "-c", "user.email=p@example.com", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, env=env, check=True, timeout=60).stdout


def merge_by_hand(folder: Path, *, entry: bytes = b"", message: bytes = b"by hand") -> None:
    """Move ``main`` as a person may: past us, with a tree entry and a message of any kind."""
    tree = git(folder, "mktree", "-z", "--missing", stdin=git(folder, "ls-tree", "-z", "main") + entry).decode().strip()
    commit = git(folder, "commit-tree", tree, "-p", "main", "-F", "-", stdin=message).decode().strip()
    git(folder, "update-ref", "refs/heads/main", commit)


class DyingSigner:
    """Signs as a state signer does, and takes the whole process with it the n-th time."""

    def __init__(self, signer: SSHStateSigner, *, signatures: int) -> None:
        self._signer = signer
        self._left = signatures

    @property
    def public_key(self) -> str:
        """Return the key."""
        return self._signer.public_key

    def sign(self, payload: bytes) -> str:
        """Return the signature, or end."""
        self._left -= 1
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)
        return self._signer.sign(payload)


def commit_and_die(folder: Path, signatures: int) -> None:
    """Begin a decision about both branches, and be killed at one of its signatures."""
    signer = DyingSigner(SSHStateSigner.load(folder / "state.key"), signatures=signatures)
    repo = GitReleaseRepo(folder / "repo.git", signer, author="UMS <ums@localhost>")
    repo.commit(decide({"a.yaml": Raw(b"a: 1\n")}, {"pdps/x": Raw(b"x")}), base=repo.read().base)


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
    assert world.channels["stable"].policy.feeder == "edge"
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


def test_a_copy_is_of_what_main_will_be(repo: ReleaseRepo) -> None:
    """What the same decision deletes cannot be copied any more."""
    base = repo.commit(decide({**SEED, "old.yaml": Raw(PDP_STATE)}), base=Base())
    with pytest.raises(InvalidInputError, match=r"old\.yaml"):
        repo.commit(decide({"old.yaml": None}, {"pdps/x.yaml": CopyOf("old.yaml")}), base=base)
    assert repo.read().base == base


def test_what_people_put_on_main_does_not_replace_what_is_delivered(repo: ReleaseRepo) -> None:
    """A path of ``delivery`` that exists on ``main`` too gets what was decided, not what was merged."""
    state = "pdps/acme/prod/state.yaml"
    base = repo.commit(decide({**SEED, state: Raw(PDP_STATE.replace(b'"7"', b'"666"'))}), base=Base())
    base = repo.commit(decide({}, {state: Raw(PDP_STATE)}), base=base)
    assert repo.serial_at(base.delivery, PDP) == 7


def test_a_deleted_file_is_gone(repo: ReleaseRepo) -> None:
    """With the registration goes the data plane; what the path does not name stays."""
    path = "fleet/acme/prod/registration.yaml"
    base = repo.commit(decide({**SEED, path: REGISTRATION}), base=Base())
    assert PDP in repo.read().planes
    repo.commit(decide({path: None, "fleet/acme/prod/never-there.yaml": None}), base=base)
    assert PDP not in repo.read().planes
    assert list(repo.read().channels) == ["edge", "stable"]


def test_a_folder_is_replaced_as_a_whole(repo: ReleaseRepo) -> None:
    """A path that ends in a slash empties the folder before the new files come."""
    base = repo.commit(decide(SEED, {"pdps/acme/prod/old": Raw(b"x")}), base=Base())
    files: dict[str, Content | None] = {"pdps/acme/prod/": None, "pdps/acme/prod/state.yaml": Raw(PDP_STATE)}
    first = repo.commit(decide({}, files), base=base)
    again = repo.commit(decide({}, {"pdps/acme/prod/": None}), base=first)
    assert repo.serial_at(first.delivery, PDP) == 7
    assert repo.serial_at(again.delivery, PDP) is None


def shown(folder: Path, path: str) -> bytes:
    """Return a file on main."""
    return git(folder, "show", f"main:{path}")


def test_what_people_wrote_around_an_edited_field_is_kept(repo: ReleaseRepo, tmp_path: Path) -> None:
    """Their comments too; a file that was not there begins with the fields."""
    path = "fleet/acme/prod/registration.yaml"
    base = repo.commit(
        decide({**SEED, path: Raw(b"# ours\nchannel: stable  # slow\nbundles: [platform]\n")}), base=Base()
    )
    base = repo.commit(decide({path: Edited({"channel": "edge"}), "new.yaml": Edited({"a": 1})}), base=base)
    assert repo.read().plane(PDP).registration.channel == "edge"
    wanted = {path: b"# ours\nchannel: edge  # slow\nbundles: [platform]\n", "new.yaml": b"a: 1\n"}
    for each, content in wanted.items():
        found = (
            repo.file("main", each) if isinstance(repo, MemoryReleaseRepo) else git(tmp_path, "show", f"main:{each}")
        )
        assert found == content


def test_fields_that_a_newer_version_wrote_are_kept(repo: ReleaseRepo, tmp_path: Path) -> None:
    """A document is rewritten without losing what we do not know."""
    path = "channels/stable/state.yaml"
    base = repo.commit(decide({**SEED, path: Raw(b"schema: 1\nholds: []\nfuture: kept\n")}), base=Base())
    base = repo.commit(decide({path: Document({"schema": 1, "holds": []})}), base=base)
    base = repo.commit(decide({}, {"pdps/acme/prod/state.yaml": CopyOf(path)}), base=base)
    if isinstance(repo, MemoryReleaseRepo):
        assert b"future: kept" in (repo.file("main", path) or b"")
    else:
        assert b"future: kept" in git(tmp_path, "show", f"main:{path}")


def test_what_is_delivered_depends_on_the_decision_alone(repo: ReleaseRepo) -> None:
    """Fields of the state before are not kept on ``delivery``: equal decisions give equal trees."""
    state = "pdps/acme/prod/state.yaml"
    base = repo.commit(decide(SEED, {state: Raw(PDP_STATE)}), base=Base())
    base = repo.commit(decide({}, {state: Document({"kind": "ConfigMap"})}), base=base)
    assert repo.serial_at(base.delivery, PDP) is None


def test_a_wrong_file_is_a_problem_and_what_it_describes_is_left_out(repo: ReleaseRepo) -> None:
    """The rest of the world is still there, and everybody can see what is wrong, with its line."""
    files: dict[str, Content | None] = {
        **SEED,
        "channels/new/policy.yaml": Raw(b"description: x\nfeder: edge\n"),
        "fleet/acme/prod/registration.yaml": REGISTRATION,
        "fleet/acme/prod/decisions.yaml": Raw(b"pins: [{}]\n"),
    }
    repo.commit(decide(files), base=Base())
    world = repo.read()
    assert list(world.channels) == ["edge", "stable"]
    assert PDP not in world.planes, "a plane whose pins cannot be read must not move"
    first, second = sorted(world.problems, key=lambda problem: problem.file)
    assert (first.file, first.line, first.field) == ("channels/new/policy.yaml", 2, "feder")
    assert "feeder" in first.hint
    assert second.file == "fleet/acme/prod/decisions.yaml"


def test_reading_on_is_reading_anew(tmp_path: Path) -> None:
    """What differs between two heads is all that is read, and the world is the one a new process sees."""
    repo, steps = git_repo(tmp_path), random.Random(7)  # noqa: S311 - nothing secret
    base = repo.commit(decide({**SEED, "empty": Raw(b"")}), base=Base())
    planes = [f"acme/{name}" for name in ("a", "b", "c-1", "1e3")]
    for number in range(25):
        plane, kind = steps.choice(planes), steps.choice(["register", "spoil", "offer", "forget", "channel", "person"])
        path, folder = f"fleet/{plane}/registration.yaml", f"pdps/{plane}/"
        offer: dict[str, Content | None] = {
            folder: None,
            f"{folder}state.yaml": Raw(PDP_STATE.replace(b'"7"', b'"%d"' % number)),
        }
        changes: dict[str, tuple[dict[str, Content | None], dict[str, Content | None]]] = {
            "register": ({path: REGISTRATION}, {}),
            "spoil": ({path: Raw(b"bundles: []\n"), "ums.yaml": SEED["ums.yaml"]}, {}),
            "offer": ({}, offer),
            "forget": ({path: None}, {folder: None}),
            "channel": (accepted({f"channels/c{number % 3}/policy.yaml": steps.choice([Raw(b"{}\n"), None])}), {}),
            "person": ({}, {}),
        }
        base = (repo if number % 2 else git_repo(tmp_path)).commit(decide(*changes[kind]), base=base)
        if kind == "person":
            merge_by_hand(tmp_path, entry=b"100644 blob " + EMPTY_BLOB + b"\tmerged-%d.yaml\0" % number)
            base = git_repo(tmp_path).read().base
        world, fresh = repo.read(), git_repo(tmp_path).read()
        assert [str(each) for each in world.problems] == [str(each) for each in fresh.problems]
        assert replace(world, problems=()) == replace(fresh, problems=())


def test_a_branch_that_people_replaced_is_read_anew(tmp_path: Path) -> None:
    """By an older commit, by one with no past, or by none: what UMS signed last counts until its objects are gone."""
    repo, main = git_repo(tmp_path), "refs/heads/main"
    first = repo.commit(decide(SEED), base=Base()).main
    repo.commit(decide({"freezes.yaml": Raw(b"freezes: []\n")}), base=repo.read().base)
    newest = repo.commit(decide({"a.yaml": Raw(b"a: 1\n")}), base=repo.read().base).main
    repo.read()
    orphan = git(tmp_path, "commit-tree", f"{first}^{{tree}}", "-m", "x").decode().strip()
    for head in (first, orphan, ""):
        git(tmp_path, "update-ref", *((main, head) if head else ("-d", main)))
        for reader in (repo, git_repo(tmp_path)):
            found = reader.read().problems[0].message
            assert "does not follow the newest commit that UMS signed" in found or "is gone" in found
        assert repo.restore_main(at=NOW)
        assert git(tmp_path, "diff", "--name-only", newest, "main") == b""
        assert git_repo(tmp_path).read().problems == repo.read().problems == ()
        assert repo.restore_main(at=NOW) is None
    git(tmp_path, "update-ref", main, orphan)
    git(tmp_path, "gc", "--prune=now", "--quiet")
    for reader in (repo, git_repo(tmp_path)):
        with pytest.raises(UnavailableError, match=r"is missing|is not in the release repo"):
            reader.read()
    (tmp_path / "repo.git" / "ums.trusted").unlink()
    with pytest.raises(UnavailableError, match="no commit of branch main is signed"):
        git_repo(tmp_path).read()


def test_few_histories_of_paths_are_looked_for_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may look at every commit; the log of everything, which does not, goes on."""
    repo = git_repo(tmp_path)
    repo.commit(decide(SEED), base=Base())
    walks, run, going_on = git_release_repo._WALKS, repo._git.run, threading.Event()
    began = threading.Semaphore(0)

    def slow(*arguments: str) -> bytes:
        if arguments[-1] == "channels":
            began.release()
            assert going_on.wait(30)
        found: bytes = run(*arguments)
        return found

    monkeypatch.setattr(repo._git, "run", slow)
    with ThreadPoolExecutor(walks) as pool:
        others = [pool.submit(repo.log, limit=1, path="channels") for _ in range(walks)]
        for _ in others:
            assert began.acquire(timeout=30)
        with pytest.raises(UnavailableError, match="others are reading"):
            repo.log(limit=1, path="channels")
        assert repo.log(limit=1)
        going_on.set()
        assert all(each.result() for each in others)
    assert repo.log(limit=1, path="channels")


def test_the_log_names_actor_action_and_reason_newest_first(repo: ReleaseRepo) -> None:
    """Each decision is one entry, and can be found by what it changed."""
    base = repo.commit(decide(SEED, reason="seed"), base=Base())
    repo.commit(decide({"channels/edge/state.yaml": Raw(b"schema: 1\n")}, reason="second"), base=base)
    assert [entry.reason for entry in repo.log(limit=10)] == ["second", "seed"]
    assert [entry.reason for entry in repo.log(limit=1)] == ["second"]
    assert [entry.reason for entry in repo.log(limit=10, path="channels/edge/state.yaml")] == ["second"]
    assert not repo.log(limit=10, path="fleet")
    newest = repo.log(limit=1)[0]
    assert [entry.reason for entry in repo.log(limit=10, skip=1)] == ["seed"]
    older = repo.log(limit=1, skip=1)[0].commit_id
    assert [entry.reason for entry in repo.log(limit=10, head=older)] == ["seed"]
    assert not repo.log(limit=10, head=older, skip=1)
    for stranger in ("f" * 40, "--all", "main", "x:1"):
        with pytest.raises(NotFoundError):
            repo.log(limit=1, head=stranger)
    assert (newest.actor, newest.action, newest.at) == ("olga", "act", NOW)


@pytest.mark.parametrize(
    "path",
    [
        "a\0b",
        "\udcff",
        "a\nb",
        "..",
        "../x",
        "a/../b",
        "/etc",
        "/",
        "//",
        "a//b",
        ".",
        "./a",
        "x" * 5000,
        "é" * 2500,
    ],
)
def test_what_is_no_path_is_refused(repo: ReleaseRepo, path: str) -> None:
    """By its form, before Git sees it."""
    repo.commit(decide(SEED), base=Base())
    with pytest.raises(InvalidInputError, match="cannot be a path"):
        repo.log(limit=10, path=path)


@pytest.mark.parametrize(
    "path",
    [
        ":",
        ":/",
        ":(glob)**",
        ":!ums.yaml",
        ":(top,exclude)x",
        "*",
        "ums.y?ml",
        "[u]ms.yaml",
        "-x",
        "--all",
        "é",
        "ums.yaml/",
    ],
)
def test_a_path_is_a_name_and_no_pattern(repo: ReleaseRepo, path: str) -> None:
    """What Git would take for one finds nothing."""
    repo.commit(decide(SEED), base=Base())
    assert len(repo.log(limit=10, path="channels/")) == 1
    assert not repo.log(limit=10, path=path)


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


@pytest.mark.parametrize("content", [b"data: {}\n", b"[]\n", b"a: [\n", b"data: {serial: seven}\n", b"\xff"])
def test_a_state_that_is_none_has_no_serial(repo: ReleaseRepo, content: bytes) -> None:
    """A wrong file is no error of whoever reports about it."""
    base = repo.commit(decide(SEED, {"pdps/acme/prod/state.yaml": Raw(content)}), base=Base())
    assert repo.serial_at(base.delivery, PDP) is None


def test_commits_of_main_are_no_offers(tmp_path: Path) -> None:
    """A serial is known at commits of ``delivery``, and at none that only lies in the repository."""
    repo = git_repo(tmp_path)
    state: dict[str, Content | None] = {"pdps/acme/prod/state.yaml": Raw(PDP_STATE)}
    base = repo.commit(decide({**SEED, **state}, state), base=Base())
    loose = git(tmp_path, "commit-tree", "delivery^{tree}", "-m", "never offered").decode().strip()
    assert repo.serial_at(base.delivery, PDP) == 7
    assert repo.serial_at(base.main, PDP) is None
    assert repo.serial_at(loose, PDP) is None


def test_a_copy_is_the_same_blob(tmp_path: Path) -> None:
    """Content is stored once, however many data planes have it."""
    repo = git_repo(tmp_path)
    files: dict[str, Content | None] = {"pdps/a/x": CopyOf("new.yaml"), "pdps/b/x": CopyOf("new.yaml")}
    repo.commit(decide({**SEED, "new.yaml": Raw(b"a: 1\n")}, files), base=Base())
    blobs = git(tmp_path, "rev-parse", "main:new.yaml", "delivery:pdps/a/x", "delivery:pdps/b/x").split()
    assert len(set(blobs)) == 1


def test_delivery_names_the_decision_it_follows(tmp_path: Path) -> None:
    """From what a cluster runs one finds who decided it."""
    base = git_repo(tmp_path).commit(decide(SEED, {"pdps/x": Raw(b"x")}), base=Base())
    trailer = git(tmp_path, "log", "-1", "--format=%(trailers:key=UMS-Decision,valueonly)", "delivery")
    assert trailer.decode().strip() == base.main


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(b"160000 commit " + b"1" * 40 + b"\tmodule.yaml\0", id="submodule"),
        pytest.param(b"100644 blob " + EMPTY_BLOB + b"\tf\xff.yaml\0", id="path that is not UTF-8"),
        pytest.param(b"120000 blob " + EMPTY_BLOB + b"\tlink.yaml\0", id="link"),
        pytest.param(b"100644 blob " + EMPTY_BLOB + b'\t"a\nD trust.yaml\0', id="path of two lines"),
    ],
)
def test_whatever_people_merge_the_repo_is_read_and_written(tmp_path: Path, entry: bytes) -> None:
    """A strange entry on ``main`` stops nobody, is named, and is never signed."""
    repo = git_repo(tmp_path)
    before = repo.commit(decide({**SEED, "empty": Raw(b"")}), base=Base())
    merge_by_hand(tmp_path, entry=entry)
    world = repo.read()
    assert len(world.problems) == 1
    repo.commit(decide({"a.yaml": Raw(b"a: 1\n")}, {"pdps/x": CopyOf("ums.yaml")}), base=world.base)
    assert list(repo.read().channels) == ["edge", "stable"]
    assert repo.read().problems == ()
    changed = git(tmp_path, "diff", "--name-only", "-z", before.main, "main")
    assert changed == b"a.yaml\0"


@pytest.mark.parametrize("message", [b"hid\x01den", b"two\x00lines", b"caf\xe9", b"", b"\n\n", b"a\x1b[31mb"])
def test_no_commit_hides_from_the_log(tmp_path: Path, message: bytes) -> None:
    """What people merge is listed too, whatever its message holds, and none of it reaches a terminal as a command."""
    repo = git_repo(tmp_path)
    repo.commit(decide(SEED), base=Base())
    head, _, _ = git(tmp_path, "cat-file", "commit", "main").partition(b"\ngpgsig")
    parent = git(tmp_path, "rev-parse", "main").strip()
    raw = head.replace(b"\nauthor", b"\nparent %b\nauthor" % parent) + b"\n\n" + message
    commit = git(tmp_path, "hash-object", "--literally", "-t", "commit", "-w", "--stdin", stdin=raw).decode().strip()
    git(tmp_path, "update-ref", "refs/heads/main", commit)
    base = repo.read().base
    repo.commit(decide({"a.yaml": Raw(b"a: 1\n")}, reason="after"), base=base)
    newest, by_hand = repo.log(limit=2)
    assert (newest.reason, by_hand.commit_id) == ("after", commit)
    assert by_hand.subject.isprintable()


@pytest.mark.parametrize("signatures", [1, 2])
def test_a_killed_writer_leaves_everything_as_it_was(tmp_path: Path, signatures: int) -> None:
    """Killed with its objects written and no branch moved: nothing is seen of it, and the next one writes."""
    repo = git_repo(tmp_path)
    base = repo.commit(decide(SEED, {"pdps/y": Raw(b"y")}), base=Base())
    refs = git(tmp_path, "for-each-ref")
    script = "import sys, pathlib, tests.contract.test_release_repo as t; "
    script += "t.commit_and_die(pathlib.Path(sys.argv[1]), int(sys.argv[2]))"
    command = [sys.executable, "-c", script, str(tmp_path), str(signatures)]
    ended = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert git(tmp_path, "for-each-ref") == refs
    assert repo.read().base == base
    repo.commit(decide({"a.yaml": Raw(b"a: 1\n")}, {"pdps/x": Raw(b"x")}), base=base)
    git(tmp_path, "fsck", "--strict", "--no-dangling")


@contextmanager
def refs_locked(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Give a Git that has locked both branches, and would leave them where they are."""
    heads = [
        f"verify {ref} {git(folder, 'rev-parse', ref).decode()}" for ref in ("refs/heads/main", "refs/heads/delivery")
    ]
    command = ["git", "-C", str(folder / "repo.git"), "update-ref", "--stdin"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("".join(["start\n", *heads, "prepare\n"]).encode())
        process.stdin.flush()
        assert process.stdout.readline() == b"start: ok\n"
        assert process.stdout.readline() == b"prepare: ok\n"
        yield process
        process.kill()


def test_a_lock_of_whoever_was_killed_holds_up_nobody_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git leaves it behind; the next to record something removes it."""
    monkeypatch.setattr(git_release_repo, "_LEFT_BEHIND_SECONDS", 0.2)
    repo = git_repo(tmp_path)
    base = repo.commit(decide(SEED, {"pdps/y": Raw(b"y")}), base=Base())
    with refs_locked(tmp_path):
        pass
    assert (tmp_path / "repo.git" / "refs" / "heads" / "main.lock").exists()
    repo.commit(decide({"a.yaml": Raw(b"a: 1\n")}, {"pdps/x": Raw(b"x")}), base=base)
    assert not list((tmp_path / "repo.git" / "refs").rglob("*.lock"))


def test_a_lock_of_somebody_who_lives_is_waited_for(tmp_path: Path) -> None:
    """Such as a push, which takes an instant; and so is one of our own writers."""
    repo = git_repo(tmp_path)
    base = repo.commit(decide(SEED, {"pdps/y": Raw(b"y")}), base=Base())
    with refs_locked(tmp_path) as git_process, ThreadPoolExecutor() as pool:
        commit = pool.submit(repo.commit, decide({"a.yaml": Raw(b"a: 1\n")}), base=base)
        eventually(lambda: is_locked(tmp_path / "repo.git" / "ums.lock"), timeout=10, what="it waits", every=0.01)
        assert not commit.done()
        assert git_process.stdin is not None
        git_process.stdin.write(b"abort\n")
        git_process.stdin.close()
        committed = commit.result(timeout=10)
    assert repo.read().base == committed


def is_locked(path: Path) -> bool:
    """Return whether somebody holds the kernel's lock on a file."""
    if not path.exists():
        return False
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        return False


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
    """Threads with repositories of their own race; none is lost, none doubled, and no other ref appears."""
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
    assert git(tmp_path, "for-each-ref", "--format=%(refname)") == b"refs/heads/main\n"


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


def test_what_changed_is_told_commit_by_commit(repo: ReleaseRepo) -> None:
    """Oldest first, from any commit on; a file that cannot be read is empty, and one that is gone is none."""
    path = "risks/old-kernel.yaml"
    first = repo.commit(decide({**SEED, path: Raw(b"a: 1\n"), "notes.md": Raw(b"x")}), base=Base())
    second = repo.commit(decide({path: Raw(b"a: 2\n"), "notes.md": Raw(b"y"), "new.yaml": Raw(b": [")}), base=first)
    third = repo.commit(decide({path: None}), base=second)
    recorded = repo.since(first.main, limit=10)
    assert [each.commit_id for each in recorded] == [second.main, third.main]
    assert [each.commit_id for each in repo.since(first.main, limit=1)] == [second.main]
    assert (recorded[0].actor, recorded[0].action) == (repo.log(limit=1)[0].actor, repo.log(limit=1)[0].action)
    assert not repo.since(third.main, limit=10)
    assert repo.documents(first.main, second.main) == {path: ({"a": 1}, {"a": 2}), "new.yaml": (None, {})}
    assert repo.documents(second.main, third.main) == {path: ({"a": 2}, None)}
    assert not repo.since("", limit=0)
    assert [each.commit_id for each in repo.since("", limit=2)] == [first.main, second.main]
    for nowhere in ("0" * 40, "--all", "main", "HEAD"):
        with pytest.raises(NotFoundError):
            repo.since(nowhere, limit=1)


@pytest.mark.parametrize("left", ["nothing", "an-empty-folder"])
def test_no_other_repository_answers_for_one_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    """A disk was not mounted: neither the repository around it, nor where the process runs, is the fleet's."""
    git_repo(tmp_path).commit(decide(SEED), base=Base())
    theirs = {**os.environ, "GIT_DIR": str(tmp_path / ".git")}
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    fetch = ["git", "fetch", "--quiet", str(tmp_path / "repo.git"), "+refs/heads/*:refs/heads/*"]
    subprocess.run(fetch, env=theirs, check=True)
    repo = git_repo(tmp_path)
    base = repo.read().base
    shutil.rmtree(tmp_path / "repo.git")
    if left == "an-empty-folder":
        (tmp_path / "repo.git").mkdir()
    monkeypatch.chdir(tmp_path)
    asked: tuple[Callable[[], object], ...] = (
        repo.read,
        lambda: repo.commit(decide(), base=base),
        lambda: repo.log(limit=1),
    )
    for ask in asked:
        with pytest.raises(UnavailableError) as caught:
            ask()
        assert str(tmp_path) not in caught.value.message


def test_a_repository_may_be_named_from_where_the_process_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``ums serve data`` does."""
    monkeypatch.chdir(tmp_path)
    GitReleaseRepo.create(Path("repo.git"))
    repo = git_repo(Path())
    base = repo.commit(decide(SEED), base=Base())
    assert git_repo(tmp_path).read().base == base


def make_forger(folder: Path) -> Forger:
    """Return somebody who can write to the repository in a folder, and has no key that counts."""
    signer = SSHStateSigner.generate(folder / "forger.key")
    return Forger(folder / "repo.git", signer)


def offered_twice(repo: ReleaseRepo) -> Base:
    """Register a data plane, and offer it a state with objects."""
    base = repo.commit(decide({**SEED, "fleet/acme/prod/registration.yaml": REGISTRATION}), base=Base())
    return repo.commit(
        decide({}, {"pdps/acme/prod/state.yaml": Raw(PDP_STATE), "pdps/acme/prod/x/objects.yaml": Raw(b"good\n")}),
        base=base,
    )


def test_what_no_state_key_signed_counts_for_nothing(tmp_path: Path) -> None:
    """Who can write to ``delivery`` without a key offers nobody anything: the last commit that counts is read."""
    repo = git_repo(tmp_path)
    base = offered_twice(repo)
    before = repo.read().planes
    forged = PDP_STATE.replace(b'"7"', b'"8"')
    make_forger(tmp_path).commit(decide({}, {"pdps/acme/prod/state.yaml": Raw(forged)}), base=base)
    assert repo.read().base.delivery != base.delivery
    assert repo.read().planes == git_repo(tmp_path).read().planes == before


@pytest.mark.parametrize("how", ["by the next decision", "by itself"])
def test_what_somebody_else_delivered_is_put_right(tmp_path: Path, how: str) -> None:
    """And never signed: an object that was changed beside a state that was not, least of all."""
    repo = git_repo(tmp_path)
    base = offered_twice(repo)
    evil = (
        make_forger(tmp_path).commit(decide({}, {"pdps/acme/prod/x/objects.yaml": Raw(b"evil\n")}), base=base).delivery
    )
    if how == "by itself":
        assert repo.reclaim(at=NOW) == evil
    else:
        repo.commit(decide({}, {"pdps/acme/other/state.yaml": Raw(PDP_STATE)}), base=repo.read().base)
    assert git(tmp_path, "show", "delivery:pdps/acme/prod/x/objects.yaml") == b"good\n"
    assert git(tmp_path, "rev-parse", "delivery^").decode().strip() == evil, "nobody's clone has to be forced"
    assert repo.reclaim(at=NOW) == "", "once is enough"
    assert git_repo(tmp_path).read().planes == repo.read().planes


def test_where_nothing_counts_nothing_is_decided(tmp_path: Path) -> None:
    """Everybody would look as if new, and skip what stands between: better to say so, and wait."""
    repo = git_repo(tmp_path)
    base = offered_twice(repo)
    orphan = git(tmp_path, "commit-tree", f"{base.delivery}^{{tree}}", "-m", "x").decode().strip()
    git(tmp_path, "update-ref", "refs/heads/delivery", orphan)
    for each in (repo, git_repo(tmp_path)):
        with pytest.raises(UnavailableError, match="signed"):
            each.read()


def test_a_merge_hides_no_commit_that_counts(tmp_path: Path) -> None:
    """Whoever writes to the branch chooses which parent comes first."""
    repo = git_repo(tmp_path)
    base = offered_twice(repo)
    tree = f"{base.delivery}^{{tree}}"
    root = git(tmp_path, "commit-tree", tree, "-m", "x").decode().strip()
    merge = git(tmp_path, "commit-tree", tree, "-p", root, "-p", base.delivery, "-m", "x").decode().strip()
    git(tmp_path, "update-ref", "refs/heads/delivery", merge)
    assert PDP in repo.read().planes
    assert repo.reclaim(at=NOW) == merge
