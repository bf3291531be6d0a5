"""A Git host beside the release repo: what was recorded is pushed there, and what people merged there is taken in.

HTTPS with a token, or SSH with a deploy key and the host's own key. The login is in no command line, no file and no
URL; no redirect is followed with it, and no other protocol is spoken.
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import Path

from ums.adapters._git import NETWORK, Git
from ums.adapters._git_folder import read_ref
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
    settings = {}
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
        self._git = Git(path, timeout=_TIMEOUT_SECONDS, inherited=NETWORK, **_environment(remote))
        self._path = path

    @property
    def url(self) -> str:
        """Return where it is."""
        return self._remote.url

    def exchange(self, *, at: datetime) -> Exchange:
        """Take in what people merged at the host, and push what was recorded here."""
        there = self._heads(self._git.run("ls-remote", "--quiet", "--heads", self._remote.url))
        here = self._here()
        if there == here:
            return Exchange()
        there = self._fetch(there)
        found = Exchange()
        main, delivery = there.get(layout.MAIN, ""), there.get(layout.DELIVERY, "")
        if main and not self._git.led(main, here.get(layout.MAIN, "")):
            try:
                self._repo.take_in(main, at=at)
                found = Exchange(taken=main)
            except RefusedError as error:
                found = Exchange(left=main, reasons=tuple(reason.message for reason in error.blocked_by))
        if delivery and not self._git.led(delivery, here.get(layout.DELIVERY, "")):
            self._repo.reclaim(at=at, over=delivery)
        self._push(there, beside=bool(found.left))
        return found

    def _here(self) -> dict[str, str]:
        heads = {branch: read_ref(self._path, f"refs/heads/{branch}") for branch in (layout.MAIN, layout.DELIVERY)}
        return {branch: commit for branch, commit in heads.items() if commit}

    def _heads(self, listed: bytes) -> dict[str, str]:
        """Return the commits of the branches that are exchanged, as far as they are there."""
        heads = (line.split("\t") for line in listed.decode().splitlines())
        branches = {ref.removeprefix("refs/heads/"): commit for commit, ref in heads}
        return {branch: branches[branch] for branch in (layout.MAIN, layout.DELIVERY) if branch in branches}

    def _fetch(self, there: Collection[str]) -> dict[str, str]:
        """Bring what leads to the host's branches into the release repo; return where they are then."""
        if not there:
            return {}
        specs = [f"+refs/heads/{branch}:{_SEEN}/{branch}" for branch in there]
        self._git.run("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", self._remote.url, *specs)
        return {branch: read_ref(self._path, f"{_SEEN}/{branch}") for branch in there}

    def _push(self, there: Mapping[str, str], *, beside: bool) -> None:
        """Push what is new, given where branches of the host are.

        Where people's commit was left out, ``main`` would be refused: it goes beside theirs, for them to merge it. Data
        planes do not wait for that.
        """
        specs = [
            f"+{commit}:refs/heads/{_BESIDE}" if beside and branch == layout.MAIN else f"{commit}:refs/heads/{branch}"
            for branch, commit in self._here().items()
            if there.get(branch) != commit
        ]
        if not specs:
            return
        try:
            self._git.run("push", "--quiet", "--atomic", self._remote.url, *specs)
        except UnavailableError as error:
            if "rejected" in error.message or "fetch first" in error.message:
                raise ConflictError("the Git host moved meanwhile", hint="the next exchange takes that in") from error
            raise
