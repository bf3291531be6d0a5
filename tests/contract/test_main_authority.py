"""Who may push to ``main`` changes what people write, and nothing else; each attack also with the defence off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.contract.test_release_repo import EMPTY_BLOB, NOW, PDP, PDP_STATE, REGISTRATION, SEED, decide, git, git_repo
from tests.forger import Forger
from tests.state_keys import SECOND
from ums.adapters.git_history import GitHistory
from ums.adapters.git_release_repo import GitReleaseRepo
from ums.adapters.git_views import GitViews
from ums.adapters.ssh_signature import SSHStateSigner
from ums.domain.errors import UnavailableError
from ums.domain.trust import Trusted
from ums.domain.world import UNSIGNED, Base, Content, Document, Raw, World
from ums.usecases.audit import Audit
from ums.usecases.read_feed import ReadFeed

STATE = "pdps/acme/prod/state.yaml"
FROZEN = (
    b"freezes:\n- {name: evil, scope: {}, by: mallory, reason: gain, since: 2026-11-23T12:00:00Z, until: null, "
    b"allow: []}\n"
)
BY_UMS = [
    "freezes.yaml",
    "trust.at-bootstrap.yaml",
    "trust.in-force.yaml",
    "ums.in-force.yaml",
    "access.in-force.yaml",
    "risks/evil.yaml",
    "catalog/platform/1.0.0/release.json",
    "catalog/platform/1.0.0/status.yaml",
    "catalog/platform/1.0.0/notes.md",
    "catalog/platform/1.0.0/objects/cilium.yaml",
    "catalog/platform/1.0.0/objects/trust.yaml",
    "channels/edge/state.yaml",
    "channels/edge/policy.in-force.yaml",
    "channels/edge/rollouts/platform.yaml",
    "channels/edge/promotions/platform-1.0.0.yaml",
    "channels/edge/objects/policy.yaml",
    "fleet/acme/prod/decisions.yaml",
    "fleet/acme/prod/retired.yaml",
    "fleet/acme/prod/registration.in-force.yaml",
    "fleet/acme/prod/a-kind-of-next-year.yaml",
    "fleet/acme/prod/registration.yaml/x.yaml",
    "a-kind-of-next-year.json",
    "Trust.yaml",
    "trust.yaml ",
    "trust.yml",
    "\u200btrust.yaml",
    "tru\u017ft.yaml",
    "pdps/acme/prod/state.yaml",
]
"""What only UMS writes: what it knows, what it may once know, and what looks like a file of people's."""


def signer_of(folder: Path, name: str) -> SSHStateSigner:
    """Return the key of a name."""
    return SSHStateSigner.load_or_generate(folder / f"{name}.key")


def trust_yaml(*keys: str) -> Raw:
    """Return a trust policy that names these state keys."""
    signers = b'signers:\n  ci: {identity: ci, issuer: "https://ci"}\nbundles:\n  "*": {signers: [ci]}\n'
    return Raw(signers + b"stateKeys:\n" + "".join(f"- {key}\n" for key in keys).encode())


def seeded(folder: Path) -> GitReleaseRepo:
    """Return a release repo with a data plane that was offered a state; data planes know two state keys."""
    repo = git_repo(folder)
    keys = (signer_of(folder, "state").public_key, signer_of(folder, "offline").public_key)
    files: dict[str, Content | None] = {
        **SEED,
        "trust.yaml": trust_yaml(*keys),
        "trust.at-bootstrap.yaml": Document(Trusted({}, keys).to_dict()),
        "freezes.yaml": Raw(b"freezes: []\n"),
        "fleet/acme/prod/registration.yaml": REGISTRATION,
        "fleet/acme/prod/decisions.yaml": Raw(b"pins: []\n"),
        "catalog/platform/1.0.0/notes.md": Raw(b"good\n"),
    }
    repo.commit(decide(files, {STATE: Raw(PDP_STATE)}), base=Base())
    keep_in_force(repo)
    return repo


def keep_in_force(repo: GitReleaseRepo) -> None:
    """Keep the valid files that people wrote, as the loop does."""
    world = repo.read()
    repo.commit(decide({path: Raw(content) for path, content in world.unkept.items()}), base=world.base)
    repo.read()


def push(
    folder: Path,
    files: dict[str, bytes | None],
    *parents: str,
    start: str = "main",
    branch: str = "main",
    message: str = "by hand",
    mode: str = "100644",
) -> str:
    """Commit without a state key, as whoever may push can, and move the branch there."""
    git(folder, "read-tree", start)
    for path, content in files.items():
        if content is None:
            git(folder, "rm", "-r", "-q", "--cached", "--ignore-unmatch", "--", path)
            continue
        blob = git(folder, "hash-object", "-w", "--stdin", stdin=content).decode().strip()
        git(folder, "update-index", "--add", "--replace", "--cacheinfo", f"{mode},{blob},{path}")
    tree = git(folder, "write-tree").decode().strip()
    given = [argument for each in parents or (branch,) for argument in ("-p", each)]
    commit = git(folder, "commit-tree", tree, *given, "-m", message).decode().strip()
    git(folder, "update-ref", f"refs/heads/{branch}", commit)
    return commit


def essence(world: World) -> World:
    """Return what is decided on."""
    return replace(world, base=Base(), problems=(), unkept={})


def readers(folder: Path, repo: GitReleaseRepo) -> list[GitReleaseRepo]:
    """Return a process that runs, and one that starts."""
    return [repo, git_repo(folder)]


def believing(folder: Path) -> Forger:
    """Return the service with the defence off: it takes what is on ``main`` for good."""
    return Forger(folder / "repo.git", signer_of(folder, "state"))


@pytest.mark.parametrize("path", BY_UMS)
def test_what_only_ums_writes_has_no_effect_from_others(tmp_path: Path, path: str) -> None:
    """It is named with commit and author, and put back; nothing of it is ever signed."""
    repo = seeded(tmp_path)
    before, head = essence(repo.read()), repo.read().base.main
    commit = push(tmp_path, {path: FROZEN})
    for reader in readers(tmp_path, repo):
        world = reader.read()
        assert essence(world) == before
        (problem, *_) = world.problems
        assert f"commit {commit:.12} by p <p@example.com> changes " in problem.message
    trespass = repo.restore_main(at=NOW)
    assert trespass is not None
    assert trespass.commit == commit
    # A folder in the place of a file of theirs takes that away, as they may; its last valid version stays in force.
    gone = {path.rpartition("/")[0].encode() + b"\n"} if path.endswith("registration.yaml/x.yaml") else set()
    assert set(git(tmp_path, "diff", "--name-only", head, "main").splitlines(keepends=True)) == gone
    assert essence(git_repo(tmp_path).read()) == before
    assert len(git_repo(tmp_path).read().problems) == len(gone)


def test_with_the_defence_off_an_unsigned_freeze_counts(tmp_path: Path) -> None:
    """And an unsigned decision, and an unsigned file in the place of notes that data planes' owners read."""
    seeded(tmp_path)
    push(tmp_path, {"freezes.yaml": FROZEN, "fleet/acme/prod/decisions.yaml": b"pins: [{}]\n"})
    world = believing(tmp_path).read()
    assert [freeze.name for freeze in world.freezes] == ["evil"]
    assert PDP not in world.planes


def test_what_people_write_counts_beside_what_does_not(tmp_path: Path) -> None:
    """One commit may hold both; the next decision signs theirs, and puts back ours."""
    repo = seeded(tmp_path)
    registration = b"channel: edge\nbundles: [platform]\n"
    files = {
        "fleet/acme/prod/registration.yaml": registration,
        "fleet/acme/prod/decisions.yaml": None,
        "docs/a.md": b"x",
    }
    push(tmp_path, {"freezes.yaml": FROZEN, **files})
    world = repo.read()
    assert world.plane(PDP).registration.channel == "edge"
    assert world.freezes == ()
    repo.commit(decide({"risks/a.yaml": Raw(b"x: 1\n")}), base=world.base)
    assert git(tmp_path, "show", "main:fleet/acme/prod/registration.yaml") == registration
    assert git(tmp_path, "show", "main:freezes.yaml") == b"freezes: []\n"
    assert git(tmp_path, "show", "main:fleet/acme/prod/decisions.yaml") == b"pins: []\n"
    assert git(tmp_path, "show", "main:docs/a.md") == b"x"


@pytest.mark.parametrize(
    ("gone", "entry"),
    [
        pytest.param("catalog", b"100644 blob " + EMPTY_BLOB + b"\tcatalog\0", id="a file in the place of a folder"),
        pytest.param("catalog", b"160000 commit " + b"1" * 40 + b"\tcatalog\0", id="a submodule in its place"),
        pytest.param("fleet", b"120000 blob " + EMPTY_BLOB + b"\tfleet\0", id="a link in its place"),
        pytest.param("freezes.yaml", b"100755 blob " + EMPTY_BLOB + b"\tfreezes.yaml\0", id="an executable"),
        pytest.param("freezes.yaml", b"100644 blob " + b"1" * 40 + b"\tfreezes.yaml\0", id="a blob that is missing"),
        pytest.param("trust.yaml", b"100644 blob " + b"1" * 40 + b"\ttrust.yaml\0", id="a missing one of people's"),
    ],
)
def test_what_stands_in_the_place_of_a_folder_replaces_nothing(tmp_path: Path, gone: str, entry: bytes) -> None:
    """Whatever kind of entry it is."""
    repo = seeded(tmp_path)
    before = essence(repo.read())
    listed = [line for line in git(tmp_path, "ls-tree", "-z", "main").split(b"\0") if line]
    kept = b"".join(line + b"\0" for line in listed if not line.endswith(b"\t" + gone.encode()))
    tree = git(tmp_path, "mktree", "-z", "--missing", stdin=kept + entry).decode().strip()
    commit = git(tmp_path, "commit-tree", tree, "-p", "main", "-m", "x").decode().strip()
    git(tmp_path, "update-ref", "refs/heads/main", commit)
    for reader in readers(tmp_path, repo):
        assert essence(reader.read()) == before
        assert reader.read().problems
    repo.restore_main(at=NOW)
    assert essence(repo.read()) == before


def evil_repo(folder: Path) -> Forger:
    """Return somebody with a key of their own who may push."""
    return Forger(folder / "repo.git", signer_of(folder, "evil"))


def test_a_key_that_people_add_to_trust_yaml_signs_nothing_that_counts(tmp_path: Path) -> None:
    """Neither on ``main`` nor on ``delivery``, also where its commits say that data planes were given it."""
    repo, evil = seeded(tmp_path), evil_repo(tmp_path)
    key = signer_of(tmp_path, "evil").public_key
    keys = (*repo.read().trust.state_keys, key)
    push(tmp_path, {"trust.yaml": trust_yaml(*keys).content})
    before = essence(repo.read())
    assert key in before.trust.state_keys
    assert key not in before.state_keys
    files: dict[str, Content | None] = {
        "freezes.yaml": Raw(FROZEN),
        "trust.at-bootstrap.yaml": Document(Trusted({}, keys).to_dict()),
        "catalog/trust/1.0.0/status.yaml": Document({"trusted": Trusted({}, keys).to_dict()}),
    }
    forged = {STATE: Raw(PDP_STATE.replace(b'"7"', b'"8"'))}
    evil.commit(decide(files, {**forged}), base=evil.read().base)
    evil.commit(decide({"risks/evil.yaml": Raw(b"x: 1\n")}), base=evil.read().base)
    for reader in readers(tmp_path, repo):
        assert essence(reader.read()) == before
    assert [freeze.name for freeze in believing(tmp_path).read().freezes] == ["evil"]
    flaws = Audit(GitHistory(tmp_path / "repo.git"))().flaws
    assert {(flaw.branch, "which only UMS writes" in flaw.message) for flaw in flaws} >= {("main", True)}
    assert any(flaw.branch == "delivery" for flaw in flaws)
    # Signing on top of it, or publishing nothing, gives it no more weight.
    repo.commit(decide({"risks/good.yaml": Raw(b"x: 1\n")}), base=repo.read().base)
    assert key not in git_repo(tmp_path).read().state_keys


def test_a_key_that_data_planes_were_given_counts(tmp_path: Path) -> None:
    """The offline one from the start, and one that a release of bundle trust brought; until trust.yaml drops it."""
    repo = seeded(tmp_path)
    offline = git_repo_as(tmp_path, "offline")
    offline.commit(decide({"freezes.yaml": Raw(FROZEN)}), base=offline.read().base)
    assert [freeze.name for freeze in repo.read().freezes] == ["evil"]
    third = signer_of(tmp_path, "third").public_key
    keys = (*repo.read().trust.state_keys, third)
    brought = Document({"trusted": Trusted({}, keys).to_dict()})
    repo.commit(decide({"catalog/trust/1.0.0/status.yaml": brought}), base=repo.read().base)
    push(tmp_path, {"trust.yaml": trust_yaml(*keys).content})
    assert third not in repo.read().state_keys, "nobody signed that yet"
    repo.commit(decide({"risks/a.yaml": Raw(b"x: 1\n")}), base=repo.read().base)
    assert third in repo.read().state_keys
    helper = git_repo_as(tmp_path, "third")
    helper.commit(decide({"freezes.yaml": Raw(b"freezes: []\n")}), base=helper.read().base)
    assert repo.read().freezes == ()
    repo.commit(decide({"trust.yaml": trust_yaml(*keys[:2])}), base=repo.read().base)
    before = essence(repo.read())
    note = tmp_path / "repo.git" / "ums.trusted"
    noted = note.read_bytes()
    helper.commit(decide({"freezes.yaml": Raw(FROZEN)}), base=helper.read().base)
    note.write_bytes(noted)  # who may push cannot write it
    for reader in readers(tmp_path, repo):
        assert essence(reader.read()) == before
        assert [each.is_signed for each in reader.log(limit=3)] == [False, True, True], "the first of its two counts"


def git_repo_as(folder: Path, key: str) -> GitReleaseRepo:
    """Return the release repo of a process that signs with another key."""
    return GitReleaseRepo(folder / "repo.git", signer_of(folder, key), author="UMS <ums@localhost>")


def test_a_new_state_key_goes_on_from_what_the_one_before_signed(tmp_path: Path) -> None:
    """The offline one on its first day: it knows what was noted, and else takes the word of who was given with it."""
    before = essence(seeded(tmp_path).read())
    for noted in (True, False):
        if not noted:
            (tmp_path / "repo.git" / "ums.trusted").unlink()
        assert replace(essence(git_repo_as(tmp_path, "offline").read()), state_keys=before.state_keys) == before
    (tmp_path / "repo.git" / "ums.trusted").unlink()
    stranger = git_repo_as(tmp_path, "stranger")
    with pytest.raises(UnavailableError, match="signed with a state key that counts"):
        stranger.read()


def view_commit(folder: Path, repo: GitReleaseRepo) -> str:
    """Put the view of the data plane into the repository, as whoever fetched it can, and return its commit."""
    signer = signer_of(folder, "state")
    views = GitViews(folder / "repo.git", signer, author="UMS <ums@localhost>", read=repo.read)
    view = views.head(PDP)
    assert view is not None
    git(folder, "unpack-objects", "-q", stdin=views.pack(PDP, view.commit_id) or b"")
    views.close()
    return view.commit_id


def loser_of(folder: Path, repo: GitReleaseRepo) -> str:
    """Return a commit that we signed and that lost the race for ``main`` to another."""
    base = repo.read().base
    late = git_repo(folder).commit(decide({"freezes.yaml": Raw(FROZEN)}), base=base).main
    git(folder, "update-ref", "refs/heads/main", base.main)
    (folder / "repo.git" / "ums.trusted").write_text(f"{base.main}\n")
    repo.commit(decide({"fleet/acme/prod/decisions.yaml": Raw(b"holds: []\n")}), base=base)
    repo.read()
    return late


def older(_: Path, repo: GitReleaseRepo) -> str:
    """Return an older commit of ``main``."""
    base = repo.read().base
    repo.commit(replace(decide({"freezes.yaml": Raw(b"freezes: []\nx: 1\n")}), at=NOW - timedelta(days=1)), base=base)
    repo.read()
    return base.main


SIGNED: dict[str, Callable[[Path, GitReleaseRepo], str]] = {
    "an older commit": older,
    "a commit that lost a race": loser_of,
    "a commit of delivery": lambda _, repo: repo.read().base.delivery,
    "a view": view_commit,
}


@pytest.mark.parametrize("which", SIGNED)
@pytest.mark.parametrize("how", ["merged first", "merged second", "in its place", "under a commit of theirs"])
def test_what_we_signed_elsewhere_or_before_decides_nothing(tmp_path: Path, which: str, how: str) -> None:
    """Any commit with our signature can be brought to ``main`` by whoever may push there, in any order."""
    repo = seeded(tmp_path)
    signed = SIGNED[which](tmp_path, repo)
    before, head = essence(repo.read()), repo.read().base.main
    match how:
        case "merged first":
            push(tmp_path, {"x": b"1"}, signed, head, start=signed)
        case "merged second":
            push(tmp_path, {"x": b"1"}, head, signed, start=signed)
        case "in its place":
            git(tmp_path, "update-ref", "refs/heads/main", signed)
        case _:
            push(tmp_path, {"x": b"1"}, signed, start=signed)
    for reader in readers(tmp_path, repo):
        assert replace(essence(reader.read()), planes={}) == replace(before, planes={})
        assert reader.read().freezes == ()
        assert reader.read().problems
    assert repo.restore_main(at=NOW)
    ours = ("freezes.yaml", "catalog", ":(glob)**/*.in-force.yaml", ":(glob)fleet/*/*/decisions.yaml")
    assert git(tmp_path, "diff", "--name-only", head, "main", "--", *ours) == b""
    for reader in readers(tmp_path, repo):
        assert reader.read().freezes == ()
    assert git(tmp_path, "merge-base", "--is-ancestor", head, "main") == b""


@pytest.mark.parametrize("which", ["a commit of main", "a view"])
def test_what_we_signed_elsewhere_delivers_nothing(tmp_path: Path, which: str) -> None:
    """A view shows one data plane alone: on ``delivery`` all others would look as if they were offered nothing."""
    repo = seeded(tmp_path)
    base = repo.read().base
    other = {"pdps/acme/other/state.yaml": Raw(PDP_STATE.replace(b"acme/prod", b"acme/other"))}
    files = {"fleet/acme/other/registration.yaml": REGISTRATION}
    repo.commit(replace(decide({**files}, {**other}), at=NOW - timedelta(hours=1)), base=base)
    before = essence(repo.read())
    signed = repo.read().base.main if which == "a commit of main" else view_commit(tmp_path, repo)
    push(tmp_path, {"x": b"1"}, signed, "delivery", start=signed, branch="delivery")
    for reader in readers(tmp_path, repo):
        assert essence(reader.read()) == before


def test_a_commit_that_is_too_long_to_be_ours_stops_nobody(tmp_path: Path) -> None:
    """Nor does it count."""
    repo = seeded(tmp_path)
    before = essence(repo.read())
    raw = git(tmp_path, "cat-file", "commit", "main")
    long = raw.partition(b"\ngpgsig")[0].replace(b"\nauthor", b"\nparent %b\nauthor" % repo.read().base.main.encode())
    content = long + b"\n\n" + b"x" * (2 << 20)
    commit = git(tmp_path, "hash-object", "-t", "commit", "-w", "--stdin", stdin=content).decode().strip()
    git(tmp_path, "update-ref", "refs/heads/main", commit)
    for reader in readers(tmp_path, repo):
        assert essence(reader.read()) == before
        assert reader.log(limit=1)[0].is_signed is False


def test_what_was_put_back_holds_in_the_audit(tmp_path: Path) -> None:
    """It names the commit that was not signed, and nothing of ours: also after the branch was put back at once."""
    repo = seeded(tmp_path)
    commit = push(tmp_path, {"freezes.yaml": FROZEN, "docs/a.md": b"x"})
    assert repo.restore_main(at=NOW)
    git(tmp_path, "update-ref", "refs/heads/main", git(tmp_path, "rev-parse", "main~2").decode().strip())
    for reader in readers(tmp_path, repo):
        assert "does not follow" in reader.read().problems[0].message
    assert repo.restore_main(at=NOW)
    for keys in ([], [signer_of(tmp_path, "state").public_key]):
        assert [(flaw.branch, flaw.commit) for flaw in Audit(GitHistory(tmp_path / "repo.git"))(keys).flaws] == [
            ("main", commit)
        ]


FORGED = "fleet/acme/prod: Hold\n\nUMS-Actor: ada\nUMS-Action: hold\nUMS-Reason: she said so\nUMS-Decision: {head}\n"


@pytest.mark.parametrize("signer", ["nobody", "a key of trust.yaml alone"])
def test_the_log_believes_no_trailer_that_no_state_key_signed(tmp_path: Path, signer: str) -> None:
    """It shows the author that the commit names, marked, in the log and in the feed."""
    repo = seeded(tmp_path)
    start = repo.read().base.main
    registration = {"fleet/acme/prod/registration.yaml": b"channel: edge\nbundles: [platform]\n"}
    forged = {"freezes.yaml": FROZEN, **registration}
    if signer == "nobody":
        push(tmp_path, {**forged}, message=FORGED.format(head=start))
        author = "p <p@example.com>"
    else:
        push(tmp_path, {"trust.yaml": trust_yaml(*repo.read().trust.state_keys, SECOND).content})
        evil = evil_repo(tmp_path)
        files: dict[str, Content | None] = {path: Raw(content) for path, content in forged.items()}
        evil.commit(replace(decide(files), actor="ada", action="hold", reason="she said so"), base=evil.read().base)
        author = "Mallory <m@example.com>"
    (entry,) = repo.log(limit=1)
    assert (entry.actor, entry.action, entry.reason, entry.is_signed) == (author, UNSIGNED, "", False)
    assert not entry.is_for({"acme"})
    assert repo.since(start, limit=10)[-1] == entry
    repo.restore_main(at=NOW)
    events, at = ReadFeed(repo)(after=start)
    assert [event.kind for event in events] == ["pdp.changed"]
    assert (events[0].data["by"], events[0].data["signed"]) == (author, False)
    assert at == repo.read().base.main
    assert [entry.is_signed for entry in repo.log(limit=10)].count(False) == (1 if signer == "nobody" else 2)


@pytest.mark.parametrize(
    "when", [b"253402300800 +0000", b"99999999999999 +0000", b"18446744073709551615 +0000", b"-5 +0000", b"x", b""]
)
def test_a_commit_of_no_time_stops_neither_log_nor_feed(tmp_path: Path, when: bytes) -> None:
    """Whoever pushes writes any time into a commit; the first of these even passes Git's own checks."""
    repo = seeded(tmp_path)
    head = repo.read().base.main
    tree = git(tmp_path, "rev-parse", f"{head}^{{tree}}").strip()
    who = b"author M <m@x> 1 +0000\ncommitter M <m@x> %b" % when
    commit = b"tree %b\nparent %b\n%b\n\nby hand\n" % (tree, head.encode(), who)
    name = git(tmp_path, "hash-object", "-t", "commit", "-w", "--stdin", "--literally", stdin=commit).decode()
    (tmp_path / "repo.git" / "refs" / "heads" / "main").write_text(name)
    for found in (repo.log(limit=1), repo.since(head, limit=5)):
        assert [(each.subject, each.at.year, each.is_signed) for each in found] == [("by hand", 1970, False)]


def test_an_unchanged_head_costs_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while somebody's commit is on top: a poll stays as cheap."""
    repo = seeded(tmp_path)
    push(tmp_path, {"freezes.yaml": FROZEN})
    world = repo.read()
    monkeypatch.setattr(repo, "_git", None)
    assert repo.read() is world
