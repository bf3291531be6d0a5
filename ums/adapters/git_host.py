"""A Git host beside the release repo: what was recorded is pushed there, and what people merged there is taken in.

HTTPS with a token, or SSH with a deploy key and the host's own key. The login is in no command line, no file and no
URL; no redirect is followed with it, and no other protocol is spoken.
"""

from __future__ import annotations

import base64
import shlex
from datetime import datetime
from pathlib import Path

from ums.adapters._git import Git
from ums.adapters.git_release_repo import GitReleaseRepo
from ums.domain import layout
from ums.domain.errors import ConflictError, RefusedError, UnavailableError
from ums.domain.git_hosts import Exchange, GitRemote

_TIMEOUT_SECONDS = 120
_BESIDE = "ums-main"
_SEEN = "refs/ums/host"
"""Where the branches of the host were when they were looked at."""


def _environment(remote: GitRemote) -> dict[str, str]:
    """Return what a Git command needs to reach a host, and nothing else."""
    settings = {"http.followRedirects": "false", "fetch.fsckObjects": "true", "core.askPass": ""}
    if remote.password is not None:
        login = base64.b64encode(f"{remote.username}:{remote.password}".encode()).decode()
        settings[f"http.{remote.url}.extraHeader"] = f"Authorization: Basic {login}"
    found = {"GIT_ALLOW_PROTOCOL": remote.protocol, "GIT_CONFIG_COUNT": str(len(settings))}
    for number, (name, value) in enumerate(settings.items()):
        found |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    if remote.ssh_key is not None:
        options = ["BatchMode=yes", "IdentitiesOnly=yes", "StrictHostKeyChecking=yes", "ConnectTimeout=20"]
        options += [f"UserKnownHostsFile={remote.known_hosts}", "GlobalKnownHostsFile=/dev/null"]
        command = ["ssh", "-F", "none", "-i", str(remote.ssh_key), *(part for each in options for part in ("-o", each))]
        found["GIT_SSH_COMMAND"] = shlex.join(command)
    return found


class GitHost:
    """Implements ``ports.GitHost``."""

    def __init__(self, path: Path, repo: GitReleaseRepo, remote: GitRemote) -> None:
        self._repo = repo
        self._remote = remote
        self._git = Git(path, timeout=_TIMEOUT_SECONDS, **_environment(remote))

    @property
    def url(self) -> str:
        """Return where it is."""
        return self._remote.url

    def exchange(self, *, at: datetime) -> Exchange:
        """Take in what people merged at the host, and push what was recorded here."""
        main, delivery = self._fetch()
        found = Exchange()
        if main and not self._led(main, layout.MAIN):
            try:
                self._repo.take_in(main, at=at)
                found = Exchange(taken=main)
            except RefusedError as error:
                found = Exchange(left=main, reasons=tuple(reason.message for reason in error.blocked_by))
        if delivery and not self._led(delivery, layout.DELIVERY):
            self._repo.reclaim(at=at, over=delivery)
        self._push({layout.DELIVERY: delivery, layout.MAIN: main}, beside=bool(found.left))
        return found

    def _fetch(self) -> tuple[str, str]:
        """Return where the host's branches are; what leads there is in the release repo then."""
        branches = (layout.MAIN, layout.DELIVERY)
        listed = self._git.run("ls-remote", "--quiet", "--heads", self._remote.url).decode()
        heads = {ref.removeprefix("refs/heads/"): commit for commit, _, ref in map(_split, listed.splitlines())}
        wanted = [branch for branch in branches if branch in heads]
        if wanted:
            specs = [f"+refs/heads/{branch}:{_SEEN}/{branch}" for branch in wanted]
            self._git.run("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", self._remote.url, *specs)
        return tuple(self._seen(branch) if branch in heads else "" for branch in branches)  # type: ignore[return-value]

    def _seen(self, branch: str) -> str:
        return self._git.run("rev-parse", "--verify", f"{_SEEN}/{branch}").decode().strip()

    def _led(self, commit_id: str, branch: str) -> bool:
        """Return whether a commit is part of a branch here."""
        try:
            self._git.run("merge-base", "--is-ancestor", commit_id, f"refs/heads/{branch}")
        except UnavailableError:
            return False
        return True

    def _push(self, there: dict[str, str], *, beside: bool) -> None:
        """Push what is new, given where branches of the host are.

        Where people's commit was left out, ``main`` would be refused: it goes beside theirs, for them to merge it. Data
        planes do not wait for that.
        """
        heads = dict(map(str.split, self._git.run("show-ref", "--heads").decode().splitlines()))
        here = {ref.removeprefix("refs/heads/"): commit for commit, ref in heads.items()}
        specs = [
            f"+refs/heads/{branch}:refs/heads/{_BESIDE}"
            if beside and branch == layout.MAIN
            else f"refs/heads/{branch}:refs/heads/{branch}"
            for branch, commit in there.items()
            if branch in here and here[branch] != commit
        ]
        if not specs:
            return
        try:
            self._git.run("push", "--quiet", "--atomic", self._remote.url, *specs)
        except UnavailableError as error:
            if "rejected" in error.message or "fetch first" in error.message:
                raise ConflictError("the Git host moved meanwhile", hint="the next exchange takes that in") from error
            raise


def _split(line: str) -> tuple[str, str, str]:
    return line.partition("\t")
