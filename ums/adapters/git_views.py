"""Views: for each data plane a Git commit that holds its folder of ``delivery`` and nothing else.

The folder stays at its own path, so that the view of another data plane, served by mistake or malice, lacks what a
cluster looks for. The commit has no parent; author, date and message come from the state in the folder, and Ed25519
signatures are deterministic: so it is a pure function of the folder and the key. Nothing is stored, neither objects
nor refs: the few objects that are not in the release repo are made again whenever they are asked for.

Only folders of commits that a state key signed become views: what somebody else wrote to the branch is never given a
signature by being looked at.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Lock

from ums.adapters._git import Git
from ums.adapters._git_objects import (
    FOLDER,
    SUBMODULE,
    entries_of,
    folder_of,
    object_id,
    pack,
    packed,
    signed_commit,
)
from ums.adapters._release_files import offered_in
from ums.adapters._signed_commits import SignedCommits
from ums.domain import layout
from ums.domain.errors import UnavailableError
from ums.domain.fleet import Desired
from ums.domain.names import PDPName
from ums.domain.views import View
from ums.domain.world import World
from ums.ports import StateSigner

_RECENT_COMMITS = 64
"""So far back on ``delivery`` a view can still be fetched: a clone that races with commits succeeds."""
_REPORTED_COMMITS = 2000
"""So far back it is looked for what a data plane reports on."""
_REPORTED_SERIALS = 16
_VIEWS_KEPT = 50_000
_MAX_OBJECT = 16 << 20
_MAX_VIEW = 64 << 20
_PDPS = "pdps"
_MAX_OBJECTS = 10_000
_CACHED_OBJECT = 64 << 10
_CACHE = 32 << 20


@dataclass(frozen=True, slots=True)
class _Folder:
    """A data plane's folder at some commit: what its view is made of."""

    pdp: PDPName
    tree: str
    serial: int
    issued: datetime


@dataclass(frozen=True, slots=True)
class _Packed:
    """An object as it stands in packs; ``children`` of a tree."""

    content: bytes
    children: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Head:
    """Where ``delivery`` is.

    Attributes:
        keys: whose commits count.
        trusted: the newest commit on the way there that one of them signed; empty if there is none.
        orgs: of each organization, its tree at ``trusted``.

    """

    delivery: str
    keys: frozenset[str]
    trusted: str
    orgs: Mapping[str, str]


class GitViews:
    """Implements ``ports.Views``.

    Args:
        path: the release repo.
        signer: of the views' commits.
        author: ``Name <mail>``.
        read: returns the release repo's state.

    """

    def __init__(self, path: Path, signer: StateSigner, *, author: str, read: Callable[[], World]) -> None:
        self._git = Git(path)
        self._signed = SignedCommits(self._git)
        self._objects = self._signed.objects
        self._signer = signer
        self._author = author
        self._read = read
        self._head = _Head("", frozenset(), "", {})
        self._planes: dict[str, tuple[str, Mapping[str, str]]] = {}
        """By organization its tree, and the trees of its data planes."""
        self._views: dict[PDPName, tuple[View, _Folder]] = {}
        """What was made of which folder; it counts as long as the folder is the same."""
        self._known: OrderedDict[str, _Folder] = OrderedDict()
        """By the id of its view, what was served or looked for."""
        self._cache: dict[str, _Packed] = {}
        self._cached = 0
        self._lock = Lock()

    def close(self) -> None:
        """End what runs beside; it starts again when it is needed."""
        self._objects.close()

    def head(self, pdp: PDPName) -> View | None:
        """Return the view of what a data plane was offered last, or ``None``. Usually answered from memory."""
        current = self._current(pdp)
        return current[0] if current else None

    def pack(self, pdp: PDPName, commit_id: str) -> bytes | None:
        """Return all objects of a data plane's view as a Git pack; ``None`` if it is neither its newest nor recent.

        Raises:
            UnavailableError: Git failed, or the view is larger than any should be.

        """
        current = self._current(pdp)
        is_newest = current is not None and current[0].commit_id == commit_id
        folder = current[1] if current and is_newest else self._recent(pdp, commit_id)
        if folder is None:
            return None
        made = [packed(kind, content) for kind, content in self._made(folder)]
        return pack([*made, *(each.content for each in self._walk(folder.tree))])

    def serial_at(self, commit_id: str, pdp: PDPName) -> int | None:
        """Return the serial of a data plane's view, or ``None`` if it is none that it was offered lately."""
        self._current(pdp)
        folder = self._known.get(commit_id) or self._reported(pdp, commit_id)
        return folder.serial if folder is not None and folder.pdp == pdp else None

    def _current(self, pdp: PDPName) -> tuple[View, _Folder] | None:
        world = self._read()
        head, keys = self._head, world.state_keys
        if head.delivery != world.base.delivery or head.keys != keys:
            head = self._look(world.base.delivery, keys)
        tree = self._planes_of(head, pdp.org).get(pdp.pdp)
        known = self._views.get(pdp)
        if tree is None or (known is not None and known[1].tree == tree):
            return known if tree else None
        plane = world.planes.get(pdp) if head.trusted == head.delivery else None
        # As a rule the state was read already, together with all others.
        desired = plane.desired if plane else self._state(head.trusted, pdp)
        if desired is None:
            return None
        folder = _Folder(pdp, tree, desired.serial, desired.issued)
        self._views[pdp] = made = View(self._view(folder), folder.serial), folder
        return made

    def _look(self, delivery: str, keys: frozenset[str]) -> _Head:
        """Take in where ``delivery`` is, and the newest commit that led there, or it itself, that counts."""
        trusted = self._signed.newest(delivery, keys, layout.DELIVERY)
        orgs = self._folders(self._objects.find(trusted, _PDPS)) if trusted else {}
        self._head = _Head(delivery, keys, trusted, orgs)
        return self._head

    def _planes_of(self, head: _Head, org: str) -> Mapping[str, str]:
        tree = head.orgs.get(org)
        if tree is None:
            return {}
        known = self._planes.get(org)
        if known is None or known[0] != tree:
            self._planes[org] = known = tree, self._folders(tree)
        return known[1]

    def _folders(self, tree: str) -> dict[str, str]:
        """Return the folders in a tree, by name."""
        found = self._objects.get(tree, limit=_MAX_OBJECT) if tree else None
        if found is None or found[0] != "tree":
            return {}
        return {name.decode(errors="replace"): each for mode, name, each in entries_of(found[1]) if mode == FOLDER}

    def _led(self, commit_id: str, *arguments: str) -> list[str]:
        return self._git.run("rev-list", "--first-parent", commit_id, *arguments).decode().split()

    def _state(self, commit_id: str, pdp: PDPName) -> Desired | None:
        path = layout.plane_state(pdp)
        blob = self._objects.find(commit_id, path)
        found = self._objects.get(blob, limit=_MAX_OBJECT) if blob else None
        return offered_in(found[1], path) if found else None

    def _folder(self, commit_id: str, pdp: PDPName) -> _Folder | None:
        """Return a data plane's folder at a commit."""
        tree = self._objects.find(commit_id, layout.plane_folder(pdp).rstrip("/"))
        desired = self._state(commit_id, pdp)
        return _Folder(pdp, tree, desired.serial, desired.issued) if tree and desired is not None else None

    def _view(self, folder: _Folder) -> str:
        """Return the id of a folder's view, and remember what it is made of."""
        kind, content = self._made(folder)[0]
        commit_id = object_id(kind, content)
        with self._lock:
            self._known[commit_id] = folder
            self._known.move_to_end(commit_id)
            while len(self._known) > _VIEWS_KEPT:
                self._known.popitem(last=False)
        return commit_id

    def _made(self, folder: _Folder) -> list[tuple[str, bytes]]:
        """Return the objects of a view that are not in the release repo, the commit first."""
        trees, tree = [], folder.tree
        for name in reversed(layout.plane_folder(folder.pdp).rstrip("/").split("/")):
            trees.append(("tree", folder_of(name, tree)))
            tree = object_id(*trees[-1])
        commit = signed_commit(
            tree,
            [],
            author=self._author,
            seconds=int(folder.issued.timestamp()),
            message=f"{folder.pdp}: Offer serial {folder.serial}\n",
            sign=self._signer.sign,
        )
        return [("commit", commit), *trees]

    def _recent(self, pdp: PDPName, commit_id: str) -> _Folder | None:
        delivery = self._read().base.delivery
        return self._find(pdp, commit_id, self._led(delivery, f"--max-count={_RECENT_COMMITS}")) if delivery else None

    def _reported(self, pdp: PDPName, commit_id: str) -> _Folder | None:
        delivery = self._read().base.delivery
        if not delivery:
            return None
        back = (
            self._git.run("rev-list", "--first-parent", f"--max-count={_REPORTED_COMMITS}", delivery).decode().split()
        )
        before = [f"^{back[-1]}"] if len(back) == _REPORTED_COMMITS else []
        count = f"--max-count={_REPORTED_SERIALS}"
        path = layout.plane_state(pdp)
        listed = self._git.run("rev-list", "--first-parent", count, delivery, *before, "--", path).decode().split()
        return self._find(pdp, commit_id, iter(listed))

    def _find(self, pdp: PDPName, commit_id: str, commits: Iterable[str]) -> _Folder | None:
        """Return the folder whose view has this id, of the commits that count."""
        seen, keys = set(), self._read().state_keys
        for each in commits:
            folder = self._folder(each, pdp)
            if folder is None or folder.tree in seen or not self._signed.is_signed(each, keys, layout.DELIVERY):
                continue
            seen.add(folder.tree)
            if self._view(folder) == commit_id:
                return folder
        return None

    def _walk(self, tree: str) -> Iterator[_Packed]:
        """Yield every object below a tree, and the tree, once.

        Raises:
            UnavailableError: one is missing, or there are more or larger ones than there should be.

        """
        left, seen, size = [tree], {tree}, 0
        while left:
            found = self._object(left.pop())
            size += len(found.content)
            new = [each for each in dict.fromkeys(found.children) if each not in seen]
            seen.update(new)
            left += new
            if size > _MAX_VIEW or len(seen) > _MAX_OBJECTS:
                raise UnavailableError(
                    f"a view has more than {_MAX_OBJECTS} objects or {_MAX_VIEW} bytes",
                    hint="serve data planes of this size from the shared release repo",
                )
            yield found

    def _object(self, name: str) -> _Packed:
        if (known := self._cache.get(name)) is not None:
            return known
        found = self._objects.get(name, limit=_MAX_OBJECT)
        if found is None:
            raise UnavailableError(f"object {name} is not in the release repo", hint="git fsck tells what else is not")
        kind, content = found
        children: tuple[str, ...] = ()
        if kind == "tree":
            children = tuple(each for mode, _, each in entries_of(content) if mode != SUBMODULE)
        made = _Packed(packed(kind, content), children)
        if len(made.content) <= _CACHED_OBJECT:
            self._cached += len(made.content)
            if self._cached > _CACHE:
                self._cache.clear()
                self._cached = len(made.content)
            self._cache[name] = made
        return made
