"""The Git endpoint gives a repository to those who may read it, and takes nothing."""

from __future__ import annotations

import base64
import gzip
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.contract.registries import serve
from ums.edge.git_http import GitHTTP
from ums.edge.registry import Challenge

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
    """Return the URL of a repository with one commit, on the branches we serve and on one of somebody's."""
    bare = tmp_path / "repo.git"
    git("init", "--quiet", "--initial-branch=main", str(tmp_path / "work"), cwd=tmp_path)
    (tmp_path / "work" / "file").write_text("content\n")
    for arguments in (("add", "file"), ("commit", "--quiet", "-m", "one")):
        git(*arguments, cwd=tmp_path / "work")
    git("clone", "--quiet", "--bare", str(tmp_path / "work"), str(bare), cwd=tmp_path)
    for ref in ("refs/heads/delivery", "refs/heads/draft", "refs/heads/main2", "refs/tags/v1", "refs/ums/x"):
        git("update-ref", ref, "main", cwd=bare)
    with serve(
        GitHTTP(bare, authorize=lambda header: None if header == LOGIN else Challenge.UNAUTHENTICATED)
    ) as address:
        yield f"http://{address}"


def test_who_may_read_clones(url: str, tmp_path: Path) -> None:
    """A real Git client gets the two branches, and sees no other ref."""
    header = f"http.extraHeader=Authorization: {LOGIN}"
    done = git("-c", header, "clone", "--quiet", "--depth=1", url, "copy", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "copy" / "file").read_text() == "content\n"
    refs = git("-c", header, "ls-remote", url, cwd=tmp_path).stdout
    assert [line.split("\t")[1] for line in refs.splitlines()] == ["HEAD", "refs/heads/delivery", "refs/heads/main"]


def test_nobody_pushes(url: str, tmp_path: Path) -> None:
    """Not even who may read."""
    header = f"http.extraHeader=Authorization: {LOGIN}"
    git("-c", header, "clone", "--quiet", url, "copy", cwd=tmp_path)
    git("commit", "--quiet", "--allow-empty", "-m", "evil", cwd=tmp_path / "copy")
    assert git("-c", header, "push", "origin", "main", cwd=tmp_path / "copy").returncode != 0


def test_what_changed_is_fetched(url: str, tmp_path: Path) -> None:
    """A client that has something negotiates: its request is compressed when it is long."""
    header = f"http.extraHeader=Authorization: {LOGIN}"
    git("-c", header, "clone", "--quiet", url, "copy", cwd=tmp_path)
    for number in range(40):
        git("commit", "--quiet", "--allow-empty", "-m", f"mine {number}", cwd=tmp_path / "copy")
    git("commit", "--quiet", "--allow-empty", "-m", "two", cwd=tmp_path / "work")
    git("push", "--quiet", str(tmp_path / "repo.git"), "HEAD:main", cwd=tmp_path / "work")
    done = git("-c", header, "fetch", "--quiet", "origin", cwd=tmp_path / "copy")
    assert done.returncode == 0, done.stderr
    assert git("log", "-1", "--format=%s", "origin/main", cwd=tmp_path / "copy").stdout == "two\n"


def ask(tmp_path: Path) -> requests.Response:
    """Return the answer to the first request of a clone, by a server that waits half a second for Git."""
    with serve(GitHTTP(tmp_path / "repo.git", authorize=lambda _header: None, timeout_seconds=0.5)) as address:
        return requests.get(f"http://{address}/info/refs?service=git-upload-pack", timeout=30)


def test_a_git_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No client waits longer than an answer may take, and Git's children end with it."""
    git("init", "--quiet", "--bare", "repo.git", cwd=tmp_path)
    os.mkfifo(tmp_path / "repo.git" / "refs" / "heads" / "stuck")  # to read it is to wait for a writer
    answer = ask(tmp_path)
    assert (answer.status_code, b"capabilities" in answer.content) == (200, False), "in the middle of the answer"
    (tmp_path / "git").write_text("#!/bin/sh\nsleep 60\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert ask(tmp_path).status_code == 503, "before the answer began"


@pytest.mark.parametrize("content", [b"", b"garbage\n", b"ref: refs/heads/draft\n", b"0" * 40])
def test_a_damaged_branch_is_named(url: str, tmp_path: Path, content: bytes) -> None:
    """Git would show the other branch alone, as if this one had never been."""
    (tmp_path / "repo.git" / "refs" / "heads" / "main").write_bytes(content)
    answer = requests.get(f"{url}/info/refs?service=git-upload-pack", headers={"Authorization": LOGIN}, timeout=10)
    assert (answer.status_code, "refs/heads/main" in answer.text) == (503, True)


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


@pytest.mark.parametrize(
    ("body", "status"),
    [(gzip.compress(b"0" * (64 << 20)), 413), (gzip.compress(b"0000")[:-3], 400), (b"not packed", 400)],
    ids=["a bomb", "half of it", "no gzip"],
)
def test_what_is_packed_is_unpacked_before_git_reads_it(url: str, body: bytes, status: int) -> None:
    """With a limit: Git keeps all that comes out, for each line of it an object."""
    headers = {"Authorization": LOGIN, "Content-Encoding": "gzip"}
    assert requests.post(f"{url}/git-upload-pack", data=body, headers=headers, timeout=30).status_code == status


def test_a_client_may_pack_what_it_asks_for(url: str, tmp_path: Path) -> None:
    """Git does, as soon as it is long."""
    head = git("rev-parse", "main", cwd=tmp_path / "repo.git").stdout.strip()
    wanted = f"0032want {head}\n0000".encode() + f"0032have {'1' * 40}\n".encode() * 99 + b"0009done\n"
    headers = {"Authorization": LOGIN, "Content-Encoding": "gzip"}
    headers["Content-Type"] = "application/x-git-upload-pack-request"
    answer = requests.post(f"{url}/git-upload-pack", data=gzip.compress(wanted), headers=headers, timeout=30)
    assert answer.content.startswith(b"0008NAK\nPACK")
