"""A file that people broke stops nothing: its last valid version stays in force, and what is wrong is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.test_main_authority import push, seeded
from tests.contract.test_release_repo import EMPTY_BLOB, NOW, PDP, REGISTRATION, SEED, decide, git, git_repo, repo
from tests.data_folder import make_data
from tests.state_keys import FIRST, SECOND
from tests.unit.usecases.stage import ADMIN, PROD
from ums.adapters.ssh_signature import SSHStateSigner
from ums.bootstrap import make_services
from ums.domain import layout
from ums.domain.access import Grantee, GranteeKind
from ums.domain.errors import InvalidInputError, SpecError
from ums.domain.fleet import Registration
from ums.domain.identity import Grant
from ums.domain.world import Base, Content, Raw, World
from ums.ports import ReleaseRepo
from ums.usecases.check_health import Status
from ums.usecases.instruct import Why
from ums.usecases.rotate_keys import KeyChange

__all__ = ["repo"]
ACCESS = b"grants:\n- {role: admin, to: {subject: ada}}\n"
FILES = {
    "ums.yaml": b"url: http://127.0.0.1\nregistry: registry.example.com/ums\n",
    "trust.yaml": b'signers:\n  ci: {identity: ci, issuer: "https://ci"}\nbundles:\n  "*": {signers: [ci]}\n'
    + f"stateKeys: [{FIRST}]\n".encode(),
    "access.yaml": ACCESS,
    "fleet/acme/prod/registration.yaml": b"channel: stable\nbundles: [platform]\n",
}
ANY = [b"", b"[]\n", b"a: [\n", b"\xff\xfe", b"schema: 2\n", b"x: &a [*a]\n", b"--- 1\n--- 2\n", b"#" * (1 << 21), None]
"""Wrong in any of them: empty, of another type, no YAML, no text, of another version, without end, two, huge, gone."""
KEYS = [
    pytest.param(f"[{FIRST}, {FIRST}]", id="twice"),
    pytest.param(f"[{FIRST} olga@example.com]", id="comment"),
    pytest.param(f"['{FIRST} ']", id="space at the end"),
    pytest.param(f"['{FIRST}\\n']", id="two characters too many"),
    pytest.param(f'["{FIRST}\\n"]', id="line feed"),
    pytest.param(f"['{FIRST.replace(' ', '  ')}']", id="two spaces"),
    pytest.param(f"[{FIRST[:-4]}]", id="cut short"),
    pytest.param(f"[{FIRST}AAAA]", id="more than a key"),
    pytest.param(f"[{FIRST[:-1]}=]", id="padded"),
    pytest.param("[ssh-ed25519 AAAA]", id="no key"),
    pytest.param(f"[{FIRST.replace('ssh-ed25519', 'ssh-rsa')}]", id="another kind"),
    pytest.param(f"['no-pty {FIRST}']", id="options"),
    pytest.param(f"{FIRST}", id="no list"),
    pytest.param("[]", id="none"),
    pytest.param("[1, 2]", id="numbers"),
]


def wrong() -> list[object]:
    """Return every way of breaking each file."""
    found: list[object] = []
    for path, good in FILES.items():
        ways = [*ANY, good + b"unknown: 1\n", good.replace(b"\n", b"\n\t\n", 1), good + good]
        found += [pytest.param(path, content, id=f"{path}-{number}") for number, content in enumerate(ways)]
    return found


def seed(repo: ReleaseRepo) -> World:
    """Write all files, and let the service keep them."""
    files: dict[str, Content | None] = {**SEED, **{path: Raw(content) for path, content in FILES.items()}}
    base = repo.commit(decide(files), base=Base())
    keep = {path: Raw(content) for path, content in repo.read().unkept.items()}
    assert set(keep) == {layout.in_force(path) for path in FILES}
    repo.commit(decide({**keep}), base=base)
    world = repo.read()
    assert (world.problems, world.unkept) == ((), {})
    return world


def same(world: World, other: World) -> bool:
    """Return whether the two are decided alike."""
    return (world.settings, world.trust, world.access, world.planes, world.channels) == (
        other.settings,
        other.trust,
        other.access,
        other.planes,
        other.channels,
    )


@pytest.mark.parametrize(("path", "content"), wrong())
def test_a_broken_file_stays_as_it_was(repo: ReleaseRepo, path: str, content: bytes | None) -> None:
    """Whatever is wrong with it; once it is right again, what it says counts."""
    before = seed(repo)
    base = repo.commit(decide({path: Raw(content) if content is not None else None}), base=before.base)
    world = repo.read()
    assert same(world, before)
    (problem,) = world.problems
    assert problem.file == path
    assert "its last valid version stays in force" in problem.message
    assert world.unkept == {}
    repo.commit(decide({path: Raw(FILES[path] + b"# mended\n")}), base=base)
    world = repo.read()
    assert world.problems == ()
    assert set(world.unkept) == {layout.in_force(path)}


@pytest.mark.parametrize("keys", KEYS)
def test_malformed_state_keys_drop_none_of_the_right_ones(repo: ReleaseRepo, keys: str) -> None:
    """One line of OpenSSH's form each, to the letter, and none twice: else the file is wrong as a whole."""
    before = seed(repo)
    content = FILES["trust.yaml"].partition(b"stateKeys")[0] + f"stateKeys: {keys}\n".encode()
    repo.commit(decide({"trust.yaml": Raw(content)}), base=before.base)
    world = repo.read()
    assert world.trust.state_keys == (FIRST,)
    assert [problem.file for problem in world.problems] == ["trust.yaml"]
    good = content.replace(keys.encode(), f"[{FIRST}, {SECOND}]".encode())
    repo.commit(decide({"trust.yaml": Raw(good)}), base=world.base)
    assert repo.read().trust.state_keys == (FIRST, SECOND)


@pytest.mark.parametrize("path", ["ums.yaml", "trust.yaml"])
def test_without_a_version_that_was_ever_valid_nothing_is_decided(repo: ReleaseRepo, path: str) -> None:
    """Nothing is guessed."""
    repo.commit(decide({**SEED, path: Raw(b"wrong\n")}), base=Base())
    with pytest.raises(SpecError, match=path):
        repo.read()


def in_place(kind: bytes, object_id: bytes = EMPTY_BLOB) -> Callable[[Path, str], None]:
    """Return what puts another kind of entry in the place of a file at the top."""

    def change(folder: Path, path: str) -> None:
        lines = [line for line in git(folder, "ls-tree", "-z", "main").split(b"\0") if line]
        kept = b"".join(line + b"\0" for line in lines if not line.endswith(b"\t" + path.encode()))
        entry = kind + b" " + object_id + b"\t" + path.encode() + b"\0"
        tree = git(folder, "mktree", "-z", "--missing", stdin=kept + entry).decode().strip()
        commit = git(folder, "commit-tree", tree, "-p", "main", "-m", "x").decode().strip()
        git(folder, "update-ref", "refs/heads/main", commit)

    return change


def holding(content: bytes | None, below: str = "") -> Callable[[Path, str], None]:
    """Return what puts a content in the place of a file, or into a folder there."""

    def change(folder: Path, path: str) -> None:
        push(folder, {path: None, f"{path}{below}": content})

    return change


PLACES = {
    "a link": in_place(b"120000 blob"),
    "an executable": in_place(b"100755 blob"),
    "a submodule": in_place(b"160000 commit", b"1" * 40),
    "a blob that is missing": in_place(b"100644 blob", b"2" * 40),
    "a folder": holding(b"x: 1\n", "/x.yaml"),
    "a huge file": holding(b"#" * (2 << 20)),
    "many aliases": holding(b"a: &a [x]\n" + b"".join(b"b%d: [*a, *a]\n" % number for number in range(2000))),
    "no YAML": holding(b"a: [\n"),
    "nothing": holding(None),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("path", ["ums.yaml", "trust.yaml"])
def test_a_push_that_breaks_a_file_stops_no_process(tmp_path: Path, path: str, place: str) -> None:
    """Neither one that runs nor one that starts; the next decision is recorded on top, and it stays named."""
    repo = seeded(tmp_path)
    before = repo.read()
    PLACES[place](tmp_path, path)
    for reader in (repo, git_repo(tmp_path)):
        world = reader.read()
        assert same(world, before)
        assert any(problem.file.startswith(path) for problem in world.problems)
    repo.commit(decide({"risks/a.yaml": Raw(b"x: 1\n")}), base=repo.read().base)
    repo.restore_main(at=NOW)
    for reader in (repo, git_repo(tmp_path)):
        assert same(reader.read(), before)


def test_a_registration_that_is_broken_or_deleted_by_hand_cuts_nobody_off(tmp_path: Path) -> None:
    """The data plane stays as it was last registered, which is named, until it is removed or mended."""
    repo, path = seeded(tmp_path), "fleet/acme/prod/registration.yaml"
    before = repo.read()
    for content in (b"channel: stable\n", b"bundles: {}\n", None):
        push(tmp_path, {path: content})
        for reader in (repo, git_repo(tmp_path)):
            assert reader.read().planes == before.planes
            assert [problem.file for problem in reader.read().problems] == [path]
    # The service's own removal is one.
    gone = {path: None, layout.in_force(path): None}
    repo.commit(decide({**gone}), base=repo.read().base)
    assert PDP not in repo.read().planes
    assert repo.read().problems == ()
    push(tmp_path, {path: REGISTRATION.content})
    assert PDP in repo.read().planes


@pytest.mark.parametrize("content", [b"a: [\n", None])
def test_a_service_starts_with_broken_files_at_the_head(tmp_path: Path, content: bytes | None) -> None:
    """All of them at once, before it ever kept another version than the first; it says so, and goes on deciding."""
    settings, _ = make_data(tmp_path)
    services = make_services(settings)
    services.add_data_plane(Registration(PROD, "edge", ("platform",)), by=ADMIN)
    services.reconcile()
    before = services.record.world()
    (tmp_path / "repo.git").symlink_to(settings.release_repo)
    paths = ("ums.yaml", "trust.yaml", "access.yaml", "fleet/acme/prod/registration.yaml", "channels/edge/policy.yaml")
    push(tmp_path, dict.fromkeys(paths, content))
    started = make_services(settings)
    world = started.record.world()
    assert same(world, before)
    assert {problem.file for problem in world.problems} == set(paths)
    check = next(each for each in started.health.ready() if each.name == "files")
    assert check.status is Status.WARN
    started.reconcile()
    assert same(started.record.world(), before)
    for each in (services, started):
        each.health.store.close()  # type: ignore[attr-defined] # this one can


def test_what_was_dropped_does_not_come_back_by_breaking_the_file(tmp_path: Path) -> None:
    """A stolen state key was dropped; whoever has it breaks the file before the loop has looked at it."""
    settings, _ = make_data(tmp_path)
    services = make_services(settings)
    offline = SSHStateSigner.load(settings.offline_state_key).public_key
    assert offline in services.record.world().state_keys
    services.rotate_keys(KeyChange(drop_state_keys=(offline,)), Why(ADMIN, "stolen"))
    services.grant_roles.grant(Grant("viewer"), Grantee(GranteeKind.SUBJECT, "sam"), Why(ADMIN, "new here"))
    (tmp_path / "repo.git").symlink_to(settings.release_repo)
    push(tmp_path, dict.fromkeys(("trust.yaml", "access.yaml"), b"a: [\n"))
    world = make_services(settings).record.world()
    assert offline not in world.state_keys
    assert offline not in world.trust.state_keys
    assert len(world.access.granted) == 1
    with pytest.raises(InvalidInputError, match=r"trust\.yaml cannot be changed, because it is wrong"):
        services.rotate_keys(KeyChange(add_state_keys=(SECOND,)), Why(ADMIN, "more"))
    services.health.store.close()  # type: ignore[attr-defined] # this one can
