"""The release repo and a Git host: what is recorded here is there, and what people merge there counts here – or not."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.git_hosts import TOKEN, find_sshd, shell, web
from ums.adapters.git_history import GitHistory
from ums.adapters.git_host import GitHost
from ums.adapters.git_release_repo import GitReleaseRepo
from ums.adapters.ssh_signature import SSHStateSigner
from ums.domain.errors import UnavailableError
from ums.domain.git_hosts import GitRemote
from ums.domain.world import Base, Content, Decision, Raw
from ums.usecases.audit import Audit

NOW = datetime(2026, 11, 24, tzinfo=UTC)
REGISTRATION = b"channel: stable\nbundles: [platform]\n"
STATE = b"""data: {pdp: acme/prod, channel: stable, serial: "7", releases: "{}",
  issued: "2026-11-24T00:00:00Z", expires: "2026-12-01T00:00:00Z"}\n"""
PLANE = "fleet/acme/prod/registration.yaml"
OFFER = "pdps/acme/prod/state.yaml"


class Site:
    """A release repo, a host, and somebody with a clone of what is at the host."""

    def __init__(self, folder: Path, remote: GitRemote) -> None:
        self.folder, self.remote = folder, remote
        self.path = folder / "release-repo.git"
        GitReleaseRepo.create(self.path)
        self.signer = SSHStateSigner.generate(folder / "state.key")
        self.repo = GitReleaseRepo(self.path, self.signer, author="UMS <ums@example.com>")
        self.host = GitHost(self.path, self.repo, remote)
        trust = f"signers: {{}}\nbundles: {{}}\nstateKeys: ['{self.signer.public_key}']\n".encode()
        settings = b"url: https://ums.example.com\nregistry: registry.example.com/ums\n"
        self.record({"ums.yaml": Raw(settings), "trust.yaml": Raw(trust), PLANE: Raw(REGISTRATION)}, base=Base())
        self.record({}, {OFFER: Raw(STATE)})

    def record(
        self,
        main: dict[str, Content | None],
        delivery: dict[str, Content | None] | None = None,
        base: Base | None = None,
    ) -> None:
        """Record a decision here."""
        decision = Decision("decided", "act", "olga", "why", NOW, main, delivery or {})
        self.repo.commit(decision, base=base or self.repo.read().base)

    def git(self, *arguments: str, at: str = "people") -> str:
        """Run git as somebody would."""
        env = {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
        identity = ("-c", "user.name=Pia", "-c", "user.email=pia@example.com")
        command = ["git", *identity, *arguments]
        return subprocess.run(
            command, cwd=self.folder / at, env=env, capture_output=True, text=True, timeout=60, check=True
        ).stdout.strip()

    def at_host(self, what: str) -> str:
        """Return what a revision is at the host."""
        return self.git("rev-parse", what, at="host/repo.git")

    def here(self, what: str) -> str:
        """Return what a revision is here."""
        return self.git("rev-parse", what, at="release-repo.git")

    def merge(self, files: dict[str, str | None], branch: str = "main") -> str:
        """Let people change files at the host; return their commit."""
        if not (self.folder / "people").exists():
            self.git("clone", "--quiet", str(self.folder / "host" / "repo.git"), "people", at=".")
        self.git("fetch", "--quiet", "origin")
        self.git("checkout", "--quiet", "-B", branch, f"origin/{branch}")
        for name, text in files.items():
            path = self.folder / "people" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text) if text is not None else path.unlink()
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", "What Pia thinks\n\nUMS-Actor: root")
        self.git("push", "--quiet", "origin", branch)
        return self.git("rev-parse", "HEAD")


@pytest.fixture(params=["web", pytest.param("shell", marks=pytest.mark.skipif(not find_sshd(), reason="no sshd"))])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """Give a release repo and a host that has just been made."""
    bare = tmp_path / "host" / "repo.git"
    GitReleaseRepo.create(bare)
    subprocess.run(["git", "-C", str(bare), "config", "http.receivepack", "true"], check=True)
    with {"web": web, "shell": shell}[request.param](bare) as remote:
        yield Site(tmp_path, remote)


def is_even(site: Site) -> bool:
    """Return whether both branches are the same here and there."""
    return all(site.here(branch) == site.at_host(branch) for branch in ("main", "delivery"))


def test_what_is_recorded_here_is_there(site: Site) -> None:
    """From an empty repository on, both branches; and with nothing new nothing happens."""
    for _ in range(2):
        site.host.exchange(at=NOW)
        assert is_even(site)
    site.record({PLANE: Raw(REGISTRATION + b"ask: true\n")})
    site.host.exchange(at=NOW)
    assert is_even(site)


def test_what_people_merge_there_counts_here(site: Site) -> None:
    """Once the service has signed it; whoever checks the history finds that all holds."""
    site.host.exchange(at=NOW)
    commit = site.merge({"fleet/acme/test/registration.yaml": REGISTRATION.decode(), "notes.md": "for us\n"})
    site.record({PLANE: Raw(REGISTRATION + b"ask: true\n")})
    assert site.host.exchange(at=NOW).taken == commit
    assert {str(name) for name in site.repo.read().planes} == {"acme/prod", "acme/test"}
    assert is_even(site)
    entry = site.repo.log(limit=1)[0]
    assert (entry.actor, entry.action, entry.reason) == ("Pia <pia@example.com>", "take-in", "What Pia thinks")
    audited = Audit(GitHistory(site.path))([site.signer.public_key])
    assert audited.holds, audited.flaws
    assert site.host.exchange(at=NOW).taken == ""


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"freezes.yaml": "freezes: []\n"}, "only UMS writes freezes.yaml"),
        ({"catalog/platform/1.0.0/release.json": "{}"}, "only UMS writes catalog"),
        ({"odd name.yaml": "x\n"}, "plain file"),
        ({PLANE: "channel: edge\nbundles: [platform]\n"}, "changed here meanwhile as well: fleet/acme/prod"),
    ],
)
def test_what_people_may_not_is_left_out(site: Site, files: dict[str, str], reason: str) -> None:
    """With the reason; data planes do not wait for it. Ours goes beside theirs, and once they merged it all is well."""
    site.host.exchange(at=NOW)
    commit = site.merge({**files, "good.md": "x\n"})
    site.record({PLANE: Raw(REGISTRATION + b"ask: true\n")}, {OFFER: Raw(STATE.replace(b'"7"', b'"8"'))})
    main = site.here("main")
    left = site.host.exchange(at=NOW)
    assert left.left == commit
    assert reason in " ".join(left.reasons)
    assert site.here("main") == main
    assert site.at_host("delivery") == site.here("delivery")
    assert site.at_host("ums-main") == main
    site.git("fetch", "--quiet", "origin")
    site.git("merge", "--quiet", "-X", "theirs", "-m", "put together", "origin/ums-main")
    for path in files:
        if path != PLANE:
            site.git("rm", "--quiet", path)
            site.git("commit", "--quiet", "-m", "sorry")
    site.git("push", "--quiet", "origin", "main")
    assert site.host.exchange(at=NOW + timedelta(minutes=1)).taken
    assert is_even(site)


def test_what_people_write_to_delivery_there_is_put_right(site: Site) -> None:
    """Without anybody having to force anything; and a branch that was put back comes forward again."""
    site.host.exchange(at=NOW)
    old, good = site.at_host("delivery"), site.here("delivery^{tree}")
    evil = site.merge({OFFER: STATE.decode().replace("7", "9")}, branch="delivery")
    site.host.exchange(at=NOW)
    assert is_even(site)
    assert site.here("delivery^{tree}") == good
    assert evil in site.git("rev-list", "delivery", at="host/repo.git")
    site.git("update-ref", "refs/heads/delivery", old, at="host/repo.git")
    site.host.exchange(at=NOW)
    assert is_even(site)


def test_who_is_not_let_in_is_told_and_nothing_is_shown(site: Site) -> None:
    """A wrong token, or a host that has another key than it is known by."""
    wrong = (
        replace(site.remote, password="wrong-token")  # noqa: S106 - it is wrong
        if site.remote.password
        else replace(site.remote, known_hosts=site.folder / "nothing")
    )
    with pytest.raises(UnavailableError) as caught:
        GitHost(site.path, site.repo, wrong).exchange(at=NOW)
    assert TOKEN not in str(caught.value)
    assert "wrong-token" not in str(caught.value)
