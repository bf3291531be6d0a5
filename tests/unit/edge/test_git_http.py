"""The Git endpoint gives a repository to those who may read it, and takes nothing."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.contract.registries import serve
from ums.edge.git_http import GitHTTP

LOGIN = "Basic " + base64.b64encode(b"acme/prod:secret").decode()
ENV = {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_TERMINAL_PROMPT": "0"}


def git(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run git, with the developer's configuration shut out."""
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    return subprocess.run(
        ["git", *identity, *arguments], cwd=cwd, env=ENV, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """Return the URL of a repository with one commit and a scratch ref."""
    bare = tmp_path / "repo.git"
    git("init", "--quiet", "--initial-branch=main", str(tmp_path / "work"), cwd=tmp_path)
    (tmp_path / "work" / "file").write_text("content\n")
    for arguments in (("add", "file"), ("commit", "--quiet", "-m", "one")):
        git(*arguments, cwd=tmp_path / "work")
    git("clone", "--quiet", "--bare", str(tmp_path / "work"), str(bare), cwd=tmp_path)
    git("update-ref", "refs/ums/scratch/x", "main", cwd=bare)
    git("config", "transfer.hideRefs", "refs/ums", cwd=bare)
    with serve(GitHTTP(bare, authorize=lambda header: header == LOGIN)) as address:
        yield f"http://{address}"


def test_who_may_read_clones(url: str, tmp_path: Path) -> None:
    """A real Git client gets everything but what is hidden."""
    header = f"http.extraHeader=Authorization: {LOGIN}"
    done = git("-c", header, "clone", "--quiet", "--depth=1", url, "copy", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "copy" / "file").read_text() == "content\n"
    refs = git("-c", header, "ls-remote", url, cwd=tmp_path).stdout
    assert "refs/heads/main" in refs
    assert "refs/ums" not in refs


def test_nobody_pushes(url: str, tmp_path: Path) -> None:
    """Not even who may read."""
    header = f"http.extraHeader=Authorization: {LOGIN}"
    git("-c", header, "clone", "--quiet", url, "copy", cwd=tmp_path)
    git("commit", "--quiet", "--allow-empty", "-m", "evil", cwd=tmp_path / "copy")
    assert git("-c", header, "push", "origin", "main", cwd=tmp_path / "copy").returncode != 0


@pytest.mark.parametrize(
    ("method", "path", "login", "status"),
    [
        ("GET", "/info/refs?service=git-upload-pack", None, 401),
        ("GET", "/info/refs?service=git-upload-pack", "Basic wrong", 401),
        ("GET", "/info/refs?service=git-receive-pack", LOGIN, 403),
        ("GET", "/info/refs", LOGIN, 403),
        ("GET", "/HEAD", LOGIN, 403),
        ("GET", "/objects/info/packs", LOGIN, 403),
        ("GET", "/../../etc/passwd", LOGIN, 403),
        ("POST", "/git-receive-pack", LOGIN, 403),
        ("DELETE", "/", LOGIN, 403),
    ],
)
def test_everything_else_is_refused(url: str, method: str, path: str, login: str | None, status: int) -> None:
    """Two requests are what a clone needs; there are no others."""
    answer = requests.request(method, url + path, headers={"Authorization": login} if login else {}, timeout=10)
    assert answer.status_code == status
    if status == 401:
        assert answer.headers["WWW-Authenticate"].startswith("Basic")


def test_a_request_that_is_too_large_is_refused_before_it_is_read(url: str) -> None:
    """A want list of megabytes is nobody's."""
    headers = {"Authorization": LOGIN, "Content-Length": str(100 << 20)}
    request = requests.Request("POST", f"{url}/git-upload-pack", headers=headers).prepare()
    request.headers["Content-Length"] = str(100 << 20)
    assert requests.Session().send(request, timeout=10).status_code == 413
