"""Views of data planes, as Git's own client and the service's other replicas see them."""

from __future__ import annotations

import base64
import gzip
import os
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import requests

from tests.contract.registries import serve
from tests.forger import Forger
from tests.unit.usecases.stage import ADMIN, PROD, Stage
from ums.adapters.git_release_repo import GitReleaseRepo
from ums.adapters.git_views import GitViews
from ums.adapters.ssh_signature import SSHStateSigner
from ums.domain.errors import NotFoundError, UnavailableError
from ums.domain.fleet import Health, Registration
from ums.domain.names import PDPName
from ums.domain.world import Decision, Raw
from ums.edge.registry import Challenge
from ums.edge.upload_pack import line
from ums.edge.view_http import ViewHTTP
from ums.usecases.instruct import Why
from ums.usecases.serve_view import ServeView

AUTHOR = "UMS <ums@example.com>"
TEST = PDPName("acme", "test")
LOGIN = "Basic " + base64.b64encode(b"acme/prod:secret").decode()
PASS = f"http.extraHeader=Authorization: {LOGIN}"
VERSIONS = ["0", "1", "2"]


class Site:
    """A release repo with two data planes, and the views of it behind HTTP."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "repo.git"
        GitReleaseRepo.create(self.path)
        self.signer = SSHStateSigner.generate(folder / "state.key")
        self.repo = GitReleaseRepo(self.path, self.signer, author=AUTHOR)
        self.stage = Stage(folder, release_repo=self.repo)
        for name in (PROD, TEST):
            self.stage.services.add_data_plane(Registration(name, "edge", ("platform",)), by=ADMIN)
        self.stage.publish("1.0.0")
        self.promote("1.0.0")
        self.views = self.replica()
        self.serve = ServeView(self.views, self.repo, self.stage.store, self.stage.clock)
        self.app = ViewHTTP(
            self.serve,
            authorize=lambda header, pdp, write: (
                Challenge.UNAUTHENTICATED if header != LOGIN else Challenge.FORBIDDEN if write or pdp == TEST else None
            ),
        )
        self.url = ""

    def replica(self) -> GitViews:
        """Return the views of another process."""
        return GitViews(self.path, self.signer, author=AUTHOR, read=self.repo.read)

    def promote(self, version: str) -> None:
        """Let both data planes get a release."""
        self.stage.clock.advance(timedelta(minutes=1))
        self.stage.promote(version)

    def serial(self, name: PDPName = PROD) -> int:
        """Return what a data plane was offered last."""
        desired = self.repo.read().plane(name).desired
        assert desired is not None
        return desired.serial

    def git(self, *arguments: str, cwd: Path | None = None, fails: bool = False) -> str:
        """Run git as a data plane would, with the developer's configuration shut out."""
        env = {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_TERMINAL_PROMPT": "0"}
        done = subprocess.run(
            ["git", "-c", PASS, *arguments], cwd=cwd or self.folder, env=env, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode != 0) == fails, done.stderr
        return done.stderr if fails else done.stdout.strip()

    def write(self, files: dict[str, Raw | None], signer: SSHStateSigner) -> None:
        """Commit to ``delivery``, signed by somebody."""
        repo = Forger(self.path, signer, author="Mallory <m@example.com>")
        repo.commit(Decision("x", "x", "mallory", "x", self.stage.clock.now(), {}, files), base=repo.read().base)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Give a release repo whose views are served."""
    made = Site(tmp_path)
    with serve(made.app) as address:
        made.url = f"http://{address}/acme/prod"
        yield made
    made.views.close()
    made.stage.store.close()


def test_a_data_plane_that_is_removed_has_no_view(site: Site) -> None:
    """Neither here nor in a replica; one of its name that comes again is served what is newer than all before."""
    served = site.serve.head(PROD)
    site.stage.services.remove_data_plane(PROD, Why(ADMIN, "moved"))
    other = site.replica()
    assert (site.views.head(PROD), other.head(PROD)) == (None, None)
    assert other.head(TEST) == site.views.head(TEST) is not None
    other.close()
    with pytest.raises(NotFoundError):
        site.serve.head(PROD)
    site.stage.clock.advance(timedelta(hours=-12))
    site.stage.services.add_data_plane(Registration(PROD, "edge", ("platform",)), by=ADMIN)
    assert site.serve.head(PROD).serial == site.serial() > served.serial


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("depth", [[], ["--depth=1"]])
def test_git_clones_a_view(site: Site, version: str, depth: list[str]) -> None:
    """One signed commit, and below it this data plane's folder alone, where it is in the release repo too."""
    site.git("-c", f"protocol.version={version}", "clone", "--quiet", *depth, site.url, "copy")
    copy = site.folder / "copy"
    assert site.git("ls-tree", "-r", "--name-only", "HEAD", cwd=copy) == site.git(
        "ls-tree", "-r", "--name-only", "delivery", "pdps/acme/prod/", cwd=site.path
    )
    assert site.git("rev-parse", "HEAD:pdps/acme/prod", cwd=copy) == site.git(
        "rev-parse", "delivery:pdps/acme/prod", cwd=site.path
    )
    assert site.git("rev-list", "--count", "HEAD", cwd=copy) == "1"
    site.git("fsck", "--strict", "--full", cwd=copy)
    (site.folder / "signers").write_text(f"* {site.signer.public_key}\n")
    site.git("-c", f"gpg.ssh.allowedSignersFile={site.folder / 'signers'}", "verify-commit", "HEAD", cwd=copy)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_changed_is_fetched(site: Site, version: str) -> None:
    """A client that has an older view says so, and gets the newer one."""
    protocol = ("-c", f"protocol.version={version}")
    site.git(*protocol, "clone", "--quiet", site.url, "copy")
    site.stage.publish("1.1.0")
    site.promote("1.1.0")
    site.git(*protocol, "fetch", "--quiet", "--force", cwd=site.folder / "copy")
    state = site.git("show", "origin/view:pdps/acme/prod/state.yaml", cwd=site.folder / "copy")
    assert f'serial: "{site.serial()}"' in state or f"serial: '{site.serial()}'" in state


def test_every_replica_makes_the_same_commit(site: Site) -> None:
    """It depends on the folder and the key alone; what changes elsewhere does not change it."""
    before = site.views.head(PROD)
    assert site.replica().head(PROD) == before
    site.stage.services.add_data_plane(Registration(PDPName("globex", "one"), "edge", ("platform",)), by=ADMIN)
    assert site.views.head(PROD) == before
    assert site.views.head(TEST) != before


def test_a_clone_that_races_with_a_commit_succeeds(site: Site) -> None:
    """The commit that was advertised stays fetchable, from every replica, for a while."""
    old = site.views.head(PROD)
    assert old is not None
    for version in ("1.1.0", "1.2.0"):
        site.stage.publish(version)
        site.promote(version)
    for views in (site.views, site.replica()):
        new = views.head(PROD)
        assert new is not None
        assert new.serial > old.serial
        assert (views.pack(PROD, old.commit_id) or b"").startswith(b"PACK")
        assert views.serial_at(old.commit_id, PROD) == old.serial


def test_no_view_gives_what_is_in_another(site: Site) -> None:
    """Whatever is wanted by its id, only this data plane's own commits are given."""
    other = site.views.head(TEST)
    assert other is not None
    wanted = [site.git("rev-parse", name, cwd=site.path) for name in ("main", "delivery", "delivery:pdps/acme/prod")]
    for want in (*wanted, other.commit_id):
        assert site.views.pack(PROD, want) is None
        assert site.views.serial_at(want, PROD) is None
        body = line(f"want {want}\n") + b"0000" + line("done\n")
        answer = requests.post(f"{site.url}/git-upload-pack", data=body, headers={"Authorization": LOGIN}, timeout=10)
        assert answer.content == line(f"ERR upload-pack: not our ref {want}\n")


def test_what_we_did_not_sign_never_becomes_a_view(site: Site, tmp_path: Path) -> None:
    """Who can write to the branch without the key gets no signature by having it served: the last of ours stays."""
    before = site.views.head(PROD)
    mallory = SSHStateSigner.generate(tmp_path / "mallory.key")
    state = site.git("show", "delivery:pdps/acme/prod/state.yaml", cwd=site.path)
    evil = state.replace(str(site.serial()), str(site.serial() + 1))
    site.write({"pdps/acme/prod/state.yaml": Raw(evil.encode())}, mallory)
    assert site.views.head(PROD) == before
    assert site.replica().head(PROD) == before
    site.write({"pdps/acme/prod/state.yaml": Raw(evil.encode())}, site.signer)
    after = site.views.head(PROD)
    assert after is not None
    assert before is not None
    assert after.serial == before.serial + 1


def test_a_view_of_the_past_is_not_served(site: Site) -> None:
    """A replica that lags, or a release repo that was put back, says so: the cluster would only refuse it."""
    old = site.git("rev-parse", "delivery", cwd=site.path)
    site.stage.publish("1.1.0")
    site.promote("1.1.0")
    head = site.serve.head(PROD)
    site.stage.hear(Health.HEALTHY, PROD)
    site.git("update-ref", "refs/heads/delivery", old, cwd=site.path)
    with pytest.raises(UnavailableError, match="has been offered"):
        site.serve.head(PROD)
    another = ServeView(site.replica(), site.repo, site.stage.store, site.stage.clock)
    with pytest.raises(UnavailableError, match=str(head.serial)):
        another.head(PROD)


POST = "POST /git-upload-pack"
GZIP = {"Content-Encoding": "gzip"}
REFUSED = {
    "nobody": ("GET /info/refs?service=git-upload-pack", {"Authorization": ""}, b"", 401),
    "to push": ("GET /info/refs?service=git-receive-pack", {}, b"", 403),
    "the dumb protocol": ("GET /info/refs", {}, b"", 403),
    "another verb": ("POST /info/refs?service=git-upload-pack", {}, b"", 403),
    "a pack": ("POST /git-receive-pack", {}, b"0000", 403),
    "another verb for a pack": ("PUT /git-upload-pack", {}, b"0000", 403),
    "no wants": (POST, {}, b"", 400),
    "no pkt-line": (POST, {}, b"0003", 400),
    "no gzip": (POST, GZIP, b"not at all", 400),
    "half of it": (POST, GZIP, gzip.compress(b"0000" * 99)[:-9], 400),
    "a gzip bomb": (POST, GZIP, gzip.compress(b"0" * (64 << 20)), 413),
    "more than a request has": (POST, {}, b"0000" * (1 << 19), 413),
    "no command": (POST, {"Git-Protocol": "version=2"}, b"0000", 400),
    "a file": ("GET /HEAD", {}, b"", 404),
    "an object": ("GET /objects/info/packs", {}, b"", 404),
    "a way out": ("GET /../../main/info/refs", {}, b"", 404),
    "a name that is none": ("GET /../%2e%2e/info/refs?service=git-upload-pack", {}, b"", 404),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_no_client_of_ours_sends_is_refused(site: Site, what: str) -> None:
    """With an answer that says so, in little memory, and nothing of it reaches Git."""
    words, headers, body, status = REFUSED[what]
    method, _, path = words.partition(" ")
    prepared = requests.Request(method, site.url, data=body, headers={"Authorization": LOGIN, **headers}).prepare()
    prepared.url = site.url + path  # as it is: a client would tidy it up
    with requests.Session() as session:
        assert session.send(prepared, timeout=30).status_code == status


def test_a_push_is_refused(site: Site) -> None:
    """By Git's own client; and the view of another data plane, with a word of why."""
    site.git("clone", "--quiet", site.url, "copy")
    assert "read-only" in site.git("push", "origin", "HEAD:view", cwd=site.folder / "copy", fails=True)
    assert "does not open" in site.git("ls-remote", site.url.replace("prod", "test"), fails=True)
