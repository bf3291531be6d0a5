"""The history of a release repo, read from any whole clone of it through GitPython and Git's plumbing.

Nothing is trusted here: what stands in a commit is data, and neither the repository's own configuration nor its
replacements of objects count.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ums.adapters import _git_folder
from ums.adapters._git import Git
from ums.adapters._git_objects import take_apart
from ums.adapters._git_reader import Objects, is_offer
from ums.adapters._release_files import keys_given, serial_of, state_keys_of
from ums.adapters._signed_commits import branch_of, decision_of
from ums.adapters.ssh_signature import verify_ssh_signature
from ums.domain import layout
from ums.domain.auditing import Commit
from ums.domain.errors import IntegrityError, InvalidInputError, NotFoundError, UmsError, UnavailableError
from ums.domain.names import PDPName
from ums.domain.security_log import Anchor
from ums.domain.trust import TRUST

_TIMEOUT_SECONDS = 1800
_SHOWN = 3
_STATE = re.compile(r"pdps/([^/]+)/([^/]+)/state\.yaml")
_ANCHOR = re.compile(rf"^{layout.ANCHOR}: ([1-9][0-9]{{0,17}} sha256:[0-9a-f]{{64}})$", re.MULTILINE)


class GitHistory:
    """Implements ``ports.History``."""

    def __init__(self, path: Path) -> None:
        """Read the repository at ``path``, bare or not.

        Raises:
            NotFoundError: there is none.
            InvalidInputError: it is a linked work tree, or a submodule.

        """
        if not path.is_dir():
            raise NotFoundError(f"there is no folder {path}", hint="name a clone of the release repo")
        self._path = path
        self._folder = _git_folder.folder_of_clone(path)
        if not _git_folder.is_repository(self._folder):
            raise NotFoundError(f"{path} is no Git repository", hint="name a clone of the release repo")
        self._git = Git(self._folder, timeout=_TIMEOUT_SECONDS)
        self._objects = Objects(self._git, timeout=_TIMEOUT_SECONDS)

    def check_objects(self) -> None:
        """Check that every object is what its name says, that none is missing, and that nothing stands in for one.

        Raises:
            IntegrityError: one is not, or is not there; or the repository says that others count in its place.
            InvalidInputError: the clone is shallow.
            UnavailableError: it has no ``HEAD``.

        """
        if not (self._folder / "HEAD").is_file():
            raise UnavailableError(f"{self._path} has no HEAD, so it is no whole clone", hint="clone it again")
        if os.path.lexists(self._folder / "shallow"):
            raise InvalidInputError(f"{self._path} is a shallow clone", hint="git fetch --unshallow")
        if found := _git_folder.misleading(self._folder):
            raise IntegrityError(
                f"{self._path} misleads Git: {'; '.join(found[:_SHOWN])}{_more(found)}",
                hint="clone it again, from where it comes from, and verify that",
            )
        try:
            self._git.run("fsck", "--full", "--strict", "--no-dangling", "--no-progress")
        except UnavailableError as error:
            raise IntegrityError(f"{self._path} is damaged: {error.message}", hint="clone it again") from error

    def state_keys(self) -> Mapping[str, tuple[str, ...]]:
        """Return the keys that ``trust.yaml`` names at each commit of ``main``, of those that data planes were given.

        None where it cannot be read.
        """
        head = self._head(layout.MAIN)
        if not head:
            raise NotFoundError(f"{self._path} has no branch {layout.MAIN}", hint="name a clone of the release repo")
        commits = self._git.run("rev-list", "--topo-order", "--reverse", head).decode().split()
        roots = [self._objects.entries(self._objects.tree(commit)) for commit in commits]
        trust, kept, bootstrap = (
            [root.get(path.encode(), "") for root in roots]
            for path in (layout.TRUST, layout.in_force(layout.TRUST), layout.TRUST_AT_BOOTSTRAP)
        )
        catalogs = [root.get(b"catalog", "") for root in roots]
        statuses = {tree: self._statuses(tree) for tree in {*catalogs} - {""}}
        named = {blob: _keys_in(content) for blob, content in self._objects.get_all({*trust, *kept} - {""}).items()}
        written = self._objects.get_all({*bootstrap, *(blob for blobs in statuses.values() for blob in blobs)} - {""})
        # Before anything else was written down, data planes knew what the first commit named.
        first = named.get(trust[0], ())
        found = {}
        for at, commit in enumerate(commits):
            brought = [written[blob] for blob in (bootstrap[at], *statuses.get(catalogs[at], ())) if blob]
            given = keys_given(brought) if brought else frozenset(first)
            now = named.get(trust[at]) or named.get(kept[at], ())
            found[commit] = tuple(key for key in now if key in given)
        return found

    def _statuses(self, catalog: str) -> list[str]:
        """Return the blobs of what was decided about each release of bundle ``trust``."""
        releases = self._objects.entries(self._objects.entries(catalog).get(TRUST.encode(), ""))
        found = (self._objects.entries(tree).get(b"status.yaml", "") for tree in releases.values())
        return [blob for blob in found if blob]

    def commits(self, branch: str, keys: Sequence[str]) -> Sequence[Commit]:
        """Return all commits of a branch, each after its parents."""
        head = self._head(branch)
        if not head:
            return ()
        listed = self._git.run("rev-list", "--topo-order", "--reverse", head).decode().split()
        contents = self._objects.get_all(listed)
        return [_commit(commit_id, contents[commit_id], keys, branch) for commit_id in listed]

    def changed(self, before: str, after: str) -> Sequence[str]:
        """Return the paths that differ between two commits; ``before`` may be empty."""
        return [each.path for each in self._objects.changes(before, after)]

    def serials(self, before: str, after: str) -> Sequence[tuple[PDPName, int | None, int | None]]:
        """Return each data plane whose state a commit of ``delivery`` wrote, with its serial before and after."""
        found = [
            (PDPName(*match.groups()), each.old, each.new)
            for each in self._objects.changes(before, after, wanted=is_offer)
            if each.new and (match := _STATE.fullmatch(each.path))
        ]
        contents = self._objects.get_all({blob for _, old, new in found for blob in (old, new) if blob})
        serials = {blob: serial_of(content, "state.yaml") for blob, content in contents.items()}
        return [(name, serials.get(old), serials.get(new)) for name, old, new in found]

    def ignored(self) -> Sequence[str]:
        """Return what in the clone would run commands, or convert content, if Git obeyed it: a sentence each."""
        return _git_folder.commands_of_clone(self._folder)

    def _head(self, branch: str) -> str:
        """Return a branch's newest commit, also where a clone has it as a remote's only; empty if there is none."""
        refs = (f"refs/heads/{branch}", f"refs/remotes/origin/{branch}")
        return next(filter(None, (_git_folder.read_ref(self._folder, ref) for ref in refs)), "")


def _more(found: Sequence[str]) -> str:
    return f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""


def _keys_in(content: bytes) -> tuple[str, ...]:
    try:
        return state_keys_of(content, layout.TRUST)
    except UmsError:
        return ()


def _commit(commit_id: str, raw: bytes, keys: Sequence[str], branch: str) -> Commit:
    """Read a commit object. One that our key signed for another branch, or for a view, is none of this one."""
    parts = take_apart(raw)
    anchors = _ANCHOR.findall(parts.message.partition("\n\n")[2])
    is_ours = parts.signature and branch_of(parts.message) == branch
    return Commit(
        id=commit_id,
        parents=parts.parents,
        author=parts.author,
        subject=parts.message.partition("\n")[0],
        signed_by=verify_ssh_signature(parts.payload, parts.signature, keys) if is_ours else None,
        decision=decision_of(parts.message),
        anchor=Anchor.parse(anchors[-1]) if anchors else None,
    )
