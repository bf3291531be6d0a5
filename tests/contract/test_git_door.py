"""Git believes nothing that a repository, or the machine, says about itself: no replacement, no lie, no command."""

from __future__ import annotations

import ast
import os
import shlex
import subprocess
import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from tests.contract.test_main_authority import FROZEN, seeded
from tests.contract.test_release_repo import NOW, PDP, PDP_STATE, decide, git, git_repo, offered_twice
from tests.data_folder import make_data
from tests.processes import free_port
from tests.unit.usecases.stage import SettableClock
from ums.adapters import _git, _git_folder, _git_reader
from ums.adapters._git import Git
from ums.adapters._git_objects import object_id
from ums.adapters._git_reader import Objects
from ums.adapters.git_history import GitHistory
from ums.adapters.git_release_repo import GitReleaseRepo
from ums.adapters.git_views import GitViews
from ums.adapters.sql_store import SqlStore
from ums.adapters.ssh_signature import SSHStateSigner
from ums.domain.errors import IntegrityError, InvalidInputError, NotFoundError, UnavailableError
from ums.domain.world import Base, Raw
from ums.outcomes import outcome_of
from ums.usecases.audit import Audit
from ums.usecases.check_health import CheckHealth, Pulse, Status

ROOT = Path(__file__).parents[2]
OBJECTS = "pdps/acme/prod/x/objects.yaml"
NEXT = {"pdps/acme/other/state.yaml": Raw(PDP_STATE)}


def text(folder: Path, *arguments: str, stdin: bytes = b"") -> str:
    """Return the line that git prints."""
    return git(folder, *arguments, stdin=stdin).decode().strip()


def evil_tree(folder: Path, tree: str) -> str:
    """Write the tree of ``delivery`` with an evil object in it, and return its id."""
    path = folder / "evil.index"
    env = {**os.environ, "GIT_INDEX_FILE": str(path), "GIT_DIR": str(folder / "repo.git")}
    blob = text(folder, "hash-object", "-w", "--stdin", stdin=b"evil\n")
    for command in (["read-tree", tree], ["update-index", "--add", "--cacheinfo", f"100644,{blob},{OBJECTS}"]):
        subprocess.run(["git", *command], env=env, check=True)
    return subprocess.run(["git", "write-tree"], env=env, check=True, capture_output=True, text=True).stdout.strip()


def replaced(folder: Path, base: Base, what: str) -> None:
    """Let Git believe, without any key, that an object of ``delivery`` is another."""
    tree = text(folder, "rev-parse", f"{base.delivery}^{{tree}}")
    evil = evil_tree(folder, tree)
    if what == "blob":
        pair = (f"{tree}:{OBJECTS}", f"{evil}:{OBJECTS}")
    elif what == "tree":
        pair = (tree, evil)
    else:
        pair = (base.delivery, text(folder, "commit-tree", evil, "-m", "evil"))
    old, new = (text(folder, "rev-parse", each) for each in pair)
    git(folder, "update-ref", f"refs/replace/{old}", new)
    assert git(folder, "show", f"delivery:{OBJECTS}") == b"evil\n", "the attack works on Git"


def signed(folder: Path) -> bytes:
    """Return the object that the newest commit of ``delivery`` really holds."""
    return git(folder, "--no-replace-objects", "show", f"delivery:{OBJECTS}")


def believe_replacements(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch off what makes Git ignore replacements."""
    monkeypatch.setattr(
        _git, "_ENVIRONMENT", {name: value for name, value in _git._ENVIRONMENT.items() if "REPLACE" not in name}
    )
    monkeypatch.setattr(_git_folder, "_CONFIG", _git_folder._CONFIG.replace("useReplaceRefs = false", ""))


def believe_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch off that objects are hashed."""
    monkeypatch.setattr(_git_reader, "_is_named", lambda *_: True)


@pytest.mark.parametrize("what", ["blob", "tree", "commit"])
@pytest.mark.parametrize("is_packed", [False, True], ids=["loose", "packed"])
def test_no_replacement_is_signed_or_served(tmp_path: Path, what: str, *, is_packed: bool) -> None:
    """By a service that read the repository before, and by one that starts now."""
    running = git_repo(tmp_path)
    base = offered_twice(running)
    planes = running.read().planes
    replaced(tmp_path, base, what)
    if is_packed:
        git(tmp_path, "pack-refs", "--all")
    running.commit(decide({}, dict(NEXT)), base=running.read().base)
    assert signed(tmp_path) == b"good\n"
    assert git_repo(tmp_path).read().planes[PDP] == planes[PDP]
    signer = SSHStateSigner.load(tmp_path / "state.key")
    views = GitViews(tmp_path / "repo.git", signer, author="UMS <ums@localhost>", read=git_repo(tmp_path).read)
    view = views.head(PDP)
    assert view is not None
    pack = views.pack(PDP, view.commit_id)
    assert pack is not None
    assert contents_of(pack) & {b"good\n", b"evil\n"} == {b"good\n"}
    views.close()


def contents_of(pack: bytes) -> set[bytes]:
    """Return what the objects in a pack of ours hold."""
    found, start = set(), 12
    while start < len(pack) - 20:
        while pack[start] & 0x80:
            start += 1
        unpacking = zlib.decompressobj()
        found.add(unpacking.decompress(pack[start + 1 :]))
        start = len(pack) - len(unpacking.unused_data)
    return found


@pytest.mark.parametrize(
    ("defences_off", "signs_evil"),
    [((believe_names,), False), ((believe_replacements,), False), ((believe_names, believe_replacements), True)],
    ids=["names only", "environment only", "both"],
)
def test_with_its_defences_off_a_replacement_is_signed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    defences_off: tuple[Callable[[pytest.MonkeyPatch], None], ...],
    *,
    signs_evil: bool,
) -> None:
    """Each of the two keeps it out; without both, the next decision signs the attacker's object."""
    base = offered_twice(git_repo(tmp_path))
    replaced(tmp_path, base, "tree")
    for switch_off in defences_off:
        switch_off(monkeypatch)
    repo = git_repo(tmp_path)
    with suppress(UnavailableError):
        repo.commit(decide({}, dict(NEXT)), base=base)
    assert (signed(tmp_path) == b"evil\n") is signs_evil


def lie(folder: Path, name: str, kind: str, content: bytes) -> None:
    """Let a loose object hold something else than its name says."""
    path = folder / "repo.git" / "objects" / name[:2] / name[2:]
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_bytes(zlib.compress(b"%b %d\0%b" % (kind.encode(), len(content), content)))


def lie_in_a_pack(folder: Path, name: str, kind: str, content: bytes) -> None:
    """Let a pack, newer than all others, hold something else under a name: its index says so."""
    honest = object_id(kind, content)
    git(folder, "hash-object", "-t", kind, "-w", "--stdin", "--literally", stdin=content)
    made = text(folder, "pack-objects", "-q", str(folder / "lie"), stdin=f"{honest}\n".encode())
    index = (folder / f"lie-{made}.idx").read_bytes()
    fan_out = bytearray(index[:8])
    for first in range(256):
        fan_out += (1 if first >= int(name[:2], 16) else 0).to_bytes(4, "big")
    index = bytes(fan_out) + bytes.fromhex(name) + index[8 + 1024 + 20 :]
    place = folder / "repo.git" / "objects" / "pack"
    (place / f"pack-{made}.pack").write_bytes((folder / f"lie-{made}.pack").read_bytes())
    (place / f"pack-{made}.idx").write_bytes(index)
    loose = folder / "repo.git" / "objects" / name[:2] / name[2:]
    loose.unlink(missing_ok=True)


LIES = pytest.mark.parametrize("tell", [lie, lie_in_a_pack], ids=["loose", "packed"])


def raw(folder: Path, name: str, kind: str) -> bytes:
    """Return an object's content."""
    return git(folder, "cat-file", kind, name)


@LIES
@pytest.mark.parametrize("has_read", [True, False], ids=["a service that runs", "one that starts"])
def test_what_git_is_made_to_believe_of_a_tree_is_never_signed(
    tmp_path: Path, tell: Callable[[Path, str, str, bytes], None], *, has_read: bool
) -> None:
    """Neither by what reads trees, nor by what builds on them."""
    repo = git_repo(tmp_path)
    base = offered_twice(repo)
    if has_read:
        repo.read()
    else:
        repo = git_repo(tmp_path)
    tree = text(tmp_path, "rev-parse", f"{base.delivery}^{{tree}}")
    content = raw(tmp_path, evil_tree(tmp_path, tree), "tree")
    tell(tmp_path, tree, "tree", content)
    assert git(tmp_path, "show", f"delivery:{OBJECTS}") == b"evil\n", "the attack works on Git"
    with pytest.raises(UnavailableError, match=f"{tree} is not what its name says"):
        repo.commit(decide({}, dict(NEXT)), base=base)
    assert text(tmp_path, "rev-parse", "delivery") == base.delivery


@LIES
def test_with_its_defence_off_a_lie_is_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tell: Callable[[Path, str, str, bytes], None]
) -> None:
    """So it is the hash that refuses it."""
    base = offered_twice(git_repo(tmp_path))
    tree = text(tmp_path, "rev-parse", f"{base.delivery}^{{tree}}")
    tell(tmp_path, tree, "tree", raw(tmp_path, evil_tree(tmp_path, tree), "tree"))
    believe_names(monkeypatch)
    git_repo(tmp_path).commit(decide({}, dict(NEXT)), base=base)
    assert signed(tmp_path) == b"evil\n"


@LIES
@pytest.mark.parametrize("what", ["blob", "tree", "commit"])
def test_a_lie_is_not_read_or_served(tmp_path: Path, what: str, tell: Callable[[Path, str, str, bytes], None]) -> None:
    """Whatever kind of object it is told of; the service says which."""
    repo = git_repo(tmp_path)
    base = offered_twice(repo)
    views = GitViews(
        tmp_path / "repo.git", SSHStateSigner.load(tmp_path / "state.key"), author="UMS <u@x>", read=repo.read
    )
    view = views.head(PDP)
    assert view is not None
    revision = {"blob": f"delivery:{OBJECTS}", "tree": "delivery:pdps/acme/prod/x", "commit": "delivery"}[what]
    name = text(tmp_path, "rev-parse", revision)
    tell(tmp_path, name, what, raw(tmp_path, name, what).replace(b"good", b"evil").replace(b"ums", b"UMS") + b"x\0" * 9)
    objects = Objects(Git(tmp_path / "repo.git"))
    with pytest.raises(UnavailableError, match=name):
        objects.get(name, limit=1 << 20)
    if what == "commit":
        with pytest.raises(UnavailableError, match=base.delivery):
            git_repo(tmp_path).read()
    else:
        with pytest.raises(UnavailableError, match=name):
            views.pack(PDP, view.commit_id)
    with pytest.raises(IntegrityError):
        GitHistory(tmp_path / "repo.git").check_objects()


@pytest.mark.parametrize("has_read", [True, False], ids=["a service that runs", "one that starts"])
def test_a_lie_about_parents_brings_back_nothing_of_the_past(tmp_path: Path, *, has_read: bool) -> None:
    """Packs beside the honest one say that an older ``main`` follows the newest: one process of Git reads them first.

    The process that reads commits for us found the honest ones, and their hashes are right.
    """
    repo = seeded(tmp_path)
    older = repo.read().base.main
    repo.commit(decide({"freezes.yaml": Raw(FROZEN)}), base=repo.read().base)
    newest = repo.read().base.main
    git(tmp_path, "repack", "-adq")
    for each in (tmp_path / "repo.git" / "objects" / "pack").iterdir():
        os.utime(each, (0, 0))  # Git looks into newer packs first
    if has_read:
        repo = git_repo(tmp_path)
        repo.read()
    first = text(tmp_path, "rev-parse", f"{older}^").encode()
    lie_in_a_pack(
        tmp_path,
        newest,
        "commit",
        raw(tmp_path, newest, "commit").replace(b"parent " + older.encode(), b"parent " + first),
    )
    lie_in_a_pack(tmp_path, older, "commit", raw(tmp_path, older, "commit").replace(first, newest.encode()))
    write(tmp_path / "repo.git" / "refs" / "heads" / "main", f"{older}\n")
    assert text(tmp_path, "rev-list", older, f"^{newest}") == older, "the attack works on Git"
    if not has_read:
        with pytest.raises(UnavailableError, match=f"({older}|{newest}) is not what its name says"):
            git_repo(tmp_path).read()
        return
    assert [freeze.name for freeze in repo.read().freezes] == ["evil"]
    assert repo.read().problems
    repo.commit(decide({}), base=repo.read().base)
    assert [freeze.name for freeze in git_repo(tmp_path).read().freezes] == ["evil"]


@pytest.mark.parametrize("has_read", [True, False], ids=["a service that runs", "one that starts"])
def test_an_older_main_does_not_count_where_the_newest_commit_is_gone(tmp_path: Path, *, has_read: bool) -> None:
    """Who writes to the folder deletes what they want forgotten, and puts the branch back."""
    repo = seeded(tmp_path)
    older = repo.read().base.main
    repo.commit(decide({"freezes.yaml": Raw(FROZEN)}), base=repo.read().base)
    newest = repo.read().base.main
    (tmp_path / "repo.git" / "objects" / newest[:2] / newest[2:]).unlink()
    git(tmp_path, "update-ref", "refs/heads/main", older)
    repo = repo if has_read else git_repo(tmp_path)
    repo._objects.close()  # what it has read it may still have in memory
    with pytest.raises(UnavailableError, match=newest):
        repo.read()
    with pytest.raises(UnavailableError, match=newest):
        repo.check()


@pytest.mark.parametrize("what", ["link", "folder", "pipe"])
def test_what_stands_in_the_place_of_the_note_is_named(tmp_path: Path, what: str) -> None:
    """Which commit counted last is read from a plain file of the release repo's folder, or nothing is decided."""
    seeded(tmp_path)
    note = tmp_path / "repo.git" / "ums.trusted"
    note.unlink()
    if what == "link":
        write(tmp_path / "elsewhere", "x\n")
        note.symlink_to(tmp_path / "elsewhere")
    elif what == "folder":
        note.mkdir()
    else:
        os.mkfifo(note)
    with pytest.raises(UnavailableError, match=r"ums\.trusted (is no plain file|cannot be read)"):
        git_repo(tmp_path).read()


def test_a_graph_of_commits_that_lies_is_not_read(tmp_path: Path) -> None:
    """Git takes trees and parents of commits from it, unchecked."""
    repo = git_repo(tmp_path)
    base = offered_twice(repo)
    git(tmp_path, "commit-graph", "write", "--reachable")
    graph = tmp_path / "repo.git" / "objects" / "info" / "commit-graph"
    tree = text(tmp_path, "rev-parse", f"{base.delivery}^{{tree}}")
    evil = evil_tree(tmp_path, tree)
    graph.chmod(0o600)
    graph.write_bytes(graph.read_bytes().replace(bytes.fromhex(tree), bytes.fromhex(evil)))
    assert git(tmp_path, "diff", "--name-only", base.delivery, evil) == b"", "the attack works on Git"
    repo.commit(decide({}, dict(NEXT)), base=base)
    assert signed(tmp_path) == b"good\n"


def hostile(folder: Path, marker: Path) -> None:
    """Fill a repository, bare or not, with all that makes Git run commands; each leaves a marker."""
    command = f"touch {shlex.quote(str(marker))}"
    (folder / "hooks").mkdir(exist_ok=True)
    for name in ("reference-transaction", "post-index-change", "pre-push", "post-checkout", "pre-auto-gc", "update"):
        (folder / "hooks" / name).write_text(f"#!/bin/sh\n{command}\n")
        (folder / "hooks" / name).chmod(0o755)
    (folder / "more").write_text(f"[core]\n\tfsmonitor = {command}; echo\n\tpager = {command}\n")
    with (folder / "config").open("a") as config:
        config.write(
            f'[include]\n\tpath = {folder / "more"}\n[core]\n\tfsmonitor = "{command}; echo"\n'
            f"\talternateRefsCommand = {command}\n\tsshCommand = {command}\n\thooksPath = {folder / 'hooks'}\n"
            f'[diff "x"]\n\ttextconv = {command}\n\tcommand = {command}\n[filter "x"]\n\tclean = {command}\n'
            f"[uploadpack]\n\tpackObjectsHook = {command}; git\n[gpg]\n\tprogram = {command}\n"
            f"[log]\n\tshowSignature = true\n[protocol]\n\tallow = always\n"
        )
    (folder / "info").mkdir(exist_ok=True)
    (folder / "info" / "attributes").write_text("* diff=x filter=x\n")


def test_no_command_of_a_hostile_clone_runs(tmp_path: Path) -> None:
    """Whoever audits somebody's clone runs nothing of theirs, is told of it, and the history holds all the same."""
    offered_twice(git_repo(tmp_path))
    clone, marker = tmp_path / "clone", tmp_path / "marker"
    subprocess.run(["git", "clone", "--quiet", "--branch=main", str(tmp_path / "repo.git"), str(clone)], check=True)
    hostile(clone / ".git", marker)
    found = Audit(GitHistory(clone))()
    assert not marker.exists()
    assert found.decisions == 2
    assert "config sets core.fsmonitor" in found.ignored
    assert "config sets include.path" in found.ignored
    assert "hooks/update is a hook" in found.ignored
    subprocess.run(["git", "-C", str(clone), "fsck"], check=True, capture_output=True)
    assert marker.exists(), "the attack works on Git"


def test_no_command_of_the_release_repo_runs(tmp_path: Path) -> None:
    """Not when it is read, written, kept compact or served; and what is there does not change what is read."""
    repo = git_repo(tmp_path)
    base = offered_twice(repo)
    planes, marker = repo.read().planes, tmp_path / "marker"
    hostile(tmp_path / "repo.git", marker)
    repo = git_repo(tmp_path)
    repo.commit(decide({}, dict(NEXT)), base=base)
    repo.log(limit=5, path="ums.yaml")
    repo.maintain()
    assert git_repo(tmp_path).read().planes[PDP] == planes[PDP]
    assert not marker.exists()
    named = "; ".join(repo.foreign())
    for what in (
        "core.fsmonitor",
        "include.path",
        "hooks/update",
        "info/attributes",
        "uploadpack.packobjectshook",
        "more",
    ):
        assert what in named, what


def test_nothing_of_the_machines_environment_reaches_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git gets a path to find itself, and otherwise only what we say."""
    repo = git_repo(tmp_path)
    base = offered_twice(repo)
    marker = tmp_path / "marker"
    hostile_names = {
        **dict.fromkeys(
            ("GIT_DIR", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_WORK_TREE", "GIT_EXEC_PATH"), "/nowhere"
        ),
        **dict.fromkeys(("GIT_INDEX_FILE", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE", "GIT_TEMPLATE_DIR"), str(marker)),
        **dict.fromkeys(("GIT_TRACE", "GIT_TRACE2_EVENT", "GIT_TRACE_PACKET"), str(marker)),
        **dict.fromkeys(("GIT_SSH", "GIT_SSH_COMMAND", "GIT_EXTERNAL_DIFF", "GIT_ASKPASS", "PAGER"), f"touch {marker}"),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": "/nowhere",
        "GIT_NAMESPACE": "other",
        "GIT_REPLACE_REF_BASE": "refs/heads/",
        "GIT_DEFAULT_HASH": "sha256",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.fsmonitor",
        "GIT_CONFIG_VALUE_0": f"touch {marker}",
        "GIT_CONFIG_PARAMETERS": "'core.hooksPath=/nowhere'",
        "UMS_DATABASE_PASSWORD": "secret",
    }
    for name, value in hostile_names.items():
        monkeypatch.setenv(name, value)
    again = git_repo(tmp_path)
    again.commit(decide({}, dict(NEXT)), base=again.read().base)
    again.maintain()
    assert again.read().base != base
    assert not marker.exists()
    (tmp_path / "git").write_text("#!/bin/sh\nexec env\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    seen = dict(line.split("=", 1) for line in Git(tmp_path / "repo.git").run("version").decode().splitlines())
    ours = {
        *_git._ENVIRONMENT,
        "PATH",
        "HOME",
        "GIT_DIR",
        "GIT_PROJECT_ROOT",
        "LANGUAGE",
        "PWD",
        "_",
        "SHLVL",
        "OLDPWD",
    }
    assert set(seen) <= ours
    assert seen["GIT_CONFIG_COUNT"] == "0"


FOREIGN: dict[str, Callable[[Path], object]] = {
    "refs/replace/": lambda repo: write(repo / "refs/replace" / ("1" * 40), "2" * 40 + "\n"),
    "packed refs/replace/": lambda repo: write(repo / "packed-refs", f"{'2' * 40} refs/replace/{'1' * 40}\n"),
    "objects/info/alternates": lambda repo: write(repo / "objects/info/alternates", "/somewhere\n"),
    "objects/info/http-alternates": lambda repo: write(repo / "objects/info/http-alternates", "http://x\n"),
    "info/grafts": lambda repo: write(repo / "info/grafts", f"{'1' * 40}\n"),
    "commondir": lambda repo: write(repo / "commondir", "../other\n"),
    "refs/heads/main is a link": lambda repo: move_away(repo / "refs/heads/main"),
    "refs/heads is a link": lambda repo: move_away(repo / "refs/heads"),
    "objects/pack is a link": lambda repo: move_away(repo / "objects/pack"),
    "objects is a link": lambda repo: move_away(repo / "objects"),
    "objects/aa/x is a link": lambda repo: (repo / "objects/aa/x").symlink_to("/dev/null"),
    "objects/aa/y is no file": lambda repo: os.mkfifo(repo / "objects/aa/y"),
    "refs/heads/z is no file": lambda repo: os.mkfifo(repo / "refs/heads/z"),
    "objects/pack/pack-1.pack is a link": lambda repo: (repo / "objects/pack/pack-1.pack").symlink_to("/dev/null"),
}


def write(path: Path, content: str) -> None:
    """Write a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def move_away(path: Path) -> None:
    """Put a link in the place of a file or folder."""
    path.rename(path.parent / "elsewhere")
    path.symlink_to("elsewhere")


def health(folder: Path) -> dict[str, tuple[Status, str]]:
    """Return the checks of a service on the repository in a folder."""
    clock = SettableClock()
    clock.time = NOW + timedelta(seconds=1)
    checks = CheckHealth(git_repo(folder), SqlStore("sqlite://"), clock, Pulse()).ready()
    return {each.name: (each.status, each.message) for each in checks}


@pytest.mark.parametrize("what", FOREIGN)
def test_what_misleads_git_is_named(tmp_path: Path, what: str) -> None:
    """By the service, which is not ready then, and by whoever audits it, who learns nothing from such a clone."""
    offered_twice(git_repo(tmp_path))
    assert "release-repo-folder" not in health(tmp_path)
    FOREIGN[what](tmp_path / "repo.git")
    status, message = health(tmp_path)["release-repo-folder"]
    assert status is Status.FAIL
    assert what.removeprefix("packed ") in message
    with pytest.raises(IntegrityError, match=what.removeprefix("packed ")):
        GitHistory(tmp_path / "repo.git").check_objects()


@pytest.mark.parametrize("what", ["config.worktree", "worktrees", "modules", "shallow", "anything"])
def test_what_is_no_part_of_a_release_repo_is_named(tmp_path: Path, what: str) -> None:
    """Whatever Git may take it for, in this version or a later one."""
    offered_twice(git_repo(tmp_path))
    (tmp_path / "repo.git" / what).mkdir()
    status, message = health(tmp_path)["release-repo-folder"]
    assert (status, what in message) == (Status.FAIL, True)


def test_a_repository_that_people_push_to_and_maintain_is_ready(tmp_path: Path) -> None:
    """Nothing that Git does there by itself counts as foreign."""
    repo = git_repo(tmp_path)
    offered_twice(repo)
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--branch=main", str(tmp_path / "repo.git"), str(clone)], check=True)
    commit = ["git", "-C", str(clone), "-c", "user.name=p", "-c", "user.email=p@x", "commit", "-q", "--allow-empty"]
    subprocess.run([*commit, "-m", "people"], check=True)
    subprocess.run(["git", "-C", str(clone), "push", "--quiet"], check=True)
    git(tmp_path, "gc", "--quiet")
    git(tmp_path, "fetch", "--quiet", str(clone), "main")
    repo.commit(decide({}, dict(NEXT)), base=repo.read().base)
    repo.maintain()
    assert repo.foreign() == []
    assert Audit(GitHistory(clone))().ignored == ()


@pytest.mark.parametrize("how", ["worktree", "file", "link"])
def test_a_clone_whose_objects_are_elsewhere_is_refused(tmp_path: Path, how: str) -> None:
    """What it leads to was not named, and may be anybody's."""
    offered_twice(git_repo(tmp_path))
    clone = tmp_path / "clone"
    if how == "worktree":
        git(tmp_path, "worktree", "add", "--quiet", "--detach", str(clone), "main")
    else:
        clone.mkdir()
        if how == "file":
            (clone / ".git").write_text(f"gitdir: {tmp_path / 'repo.git'}\n")
        else:
            (clone / ".git").symlink_to(tmp_path / "repo.git")
    with pytest.raises(InvalidInputError, match="elsewhere"):
        GitHistory(clone)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError, match="no Git repository"):
        GitHistory(tmp_path / "empty")


TORN = {
    "empty": b"",
    "garbage": b"\0" * 41,
    "half": b"1234567",
    "none": b"0" * 40 + b"\n",
    "symbolic": b"ref: refs/heads/other\n",
    "two": b"1" * 40 + b"\n" + b"2" * 40 + b"\n",
}


@pytest.mark.parametrize("how", TORN)
@pytest.mark.parametrize("branch", ["main", "delivery"])
def test_a_torn_branch_is_named_and_nothing_is_decided(tmp_path: Path, branch: str, how: str) -> None:
    """A machine that lost power can leave one; without it the fleet would look as if it were new."""
    repo = git_repo(tmp_path)
    base = offered_twice(repo)
    (tmp_path / "repo.git" / "refs" / "heads" / branch).write_bytes(TORN[how])
    asked: tuple[Callable[[], object], ...] = (
        git_repo(tmp_path).read,
        git_repo(tmp_path).check,
        repo.read,
        lambda: repo.commit(decide({}, dict(NEXT)), base=base),
    )
    for ask in asked:
        with pytest.raises(UnavailableError, match=f"refs/heads/{branch} holds no commit id"):
            ask()
    assert f"refs/heads/{branch}" in health(tmp_path)["release-repo"][1]


@pytest.mark.parametrize(
    "content", [b"garbage\n", b"1234 refs/heads/main\n", b"\xff\xfe", b"1" * 40 + b" refs/heads/main"]
)
def test_torn_packed_refs_are_named(tmp_path: Path, content: bytes) -> None:
    """With the line."""
    offered_twice(git_repo(tmp_path))
    git(tmp_path, "pack-refs", "--all")
    path = tmp_path / "repo.git" / "packed-refs"
    assert git_repo(tmp_path).read().planes
    path.write_bytes(path.read_bytes() + content)
    with pytest.raises(UnavailableError, match="packed-refs is damaged at line 4"):
        git_repo(tmp_path).read()


@pytest.mark.parametrize("what", ["commit", "tree", "blob"])
@pytest.mark.parametrize("how", ["gone", "empty", "garbage"])
def test_a_damaged_object_is_named(tmp_path: Path, what: str, how: str) -> None:
    """The service is not ready, and says why, instead of failing in ways that nobody foresaw."""
    repo = git_repo(tmp_path)
    offered_twice(repo)
    name = text(tmp_path, "rev-parse", {"commit": "main", "tree": "main^{tree}", "blob": "main:ums.yaml"}[what])
    path = tmp_path / "repo.git" / "objects" / name[:2] / name[2:]
    path.chmod(0o600)
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(b"" if how == "empty" else b"garbage")
    with pytest.raises(UnavailableError, match=name):
        git_repo(tmp_path).read()
    assert name in health(tmp_path)["release-repo"][1]


def test_a_service_whose_release_repo_is_damaged_says_so_and_does_not_start(tmp_path: Path) -> None:
    """Before it serves, with the cause, what to do, and the exit code of something that is unavailable."""
    settings, _ = make_data(tmp_path)
    serve = [sys.executable, "-m", "ums", "serve", str(settings.data), "--listen", f"127.0.0.1:{free_port()}"]
    blob = settings.release_repo / "refs" / "heads" / "main"
    before = blob.read_bytes()
    blob.write_bytes(b"")
    done = subprocess.run(serve, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)
    assert done.returncode == outcome_of(UnavailableError("")).exit_code
    assert "error: the release repo is damaged: refs/heads/main holds no commit id" in done.stderr
    assert "hint: bring the repository back" in done.stderr
    blob.write_bytes(before)
    name = Git(settings.release_repo).run("rev-parse", "main:ums.yaml").decode().strip()
    (settings.release_repo / "objects" / name[:2] / name[2:]).unlink()
    done = subprocess.run(serve, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)
    assert done.returncode != 0
    assert f"the service cannot start: the release repo is damaged: object {name} is missing" in done.stderr


def test_git_is_started_in_one_place() -> None:
    """No other module names the program or its library."""
    door = ROOT / "ums" / "adapters" / "_git.py"
    for path in [*(ROOT / "ums").rglob("*.py"), *(ROOT / "examples").rglob("*.py")]:
        if path == door:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {"git", "git.cmd", "pygit2", "dulwich"} & set(names), path
            if isinstance(node, ast.List | ast.Tuple) and node.elts and isinstance(node.elts[0], ast.Constant):
                assert node.elts[0].value != "git", f"{path}:{node.lineno}"


def test_a_folder_of_ours_goes_with_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is made again where somebody tidied up temporary files."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    GitReleaseRepo.create(tmp_path / "repo.git")
    door = Git(tmp_path / "repo.git")
    door.run("version")
    (made,) = tmp_path.glob("ums-git-*")
    (made / "HEAD").unlink()
    assert door.run("count-objects").startswith(b"0 objects")
    del door
    assert not list(tmp_path.glob("ums-git-*"))
