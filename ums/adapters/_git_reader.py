"""Reads Git's objects and compares trees, and takes no object for another.

A pack, its index and a loose object can hold anything under any name, and Git does not look. So all that is read here
is hashed, and trees are compared here and not by Git.
"""

from __future__ import annotations

import os
import re
import select
import subprocess
from collections.abc import Callable, Collection, Iterator, Sequence
from threading import Lock
from typing import NamedTuple

from ums.adapters._git import TIMEOUT_SECONDS, Git, Process
from ums.adapters._git_objects import FOLDER, SUBMODULE, entries_of, object_id, tree_of
from ums.domain.errors import UnavailableError
from ums.waiting import will_wait

_MAX_LINE = 500
_PIPE = 64 << 10
_AT_ONCE = 512
"""So many names fit into a pipe: all are written before the first answer is read."""
_MAX_OBJECT = 64 << 20
_ID = re.compile(r"[0-9a-f]{40}")
_NO_MODE = "000000"
_OFFER = ("pdps", None, None, "state.yaml")
_HINT = "git fsck tells what else is wrong; bring the repository back from a backup"


class Change(NamedTuple):
    """A path that differs between two commits: its new mode, and its blobs before and after; empty where it is not."""

    path: str
    mode: str
    old: str
    new: str


class Objects:
    """Reads objects, by any number of threads, from one process that stays. Each is what its name says."""

    def __init__(self, git: Git, *, timeout: float = TIMEOUT_SECONDS) -> None:
        self._git = git
        self._timeout = timeout
        self._lock = Lock()
        self._running: Process | None = None
        self._read = bytearray()

    def get(self, name: str, *, limit: int) -> tuple[str, bytes] | None:
        """Return kind and content of an object, or ``None`` if it is not there.

        Raises:
            UnavailableError: Git failed or took too long; the object has more than ``limit`` bytes, or is another than
                its name says.

        """
        return self._get((name,), limit)[0]

    def get_all(self, names: Collection[str], *, limit: int = _MAX_OBJECT) -> dict[str, bytes]:
        """Return the content of objects by name.

        Raises:
            UnavailableError: as ``get``; or one is not there.

        """
        asked = sorted(names)
        found: dict[str, bytes] = {}
        for start in range(0, len(asked), _AT_ONCE):
            part = asked[start : start + _AT_ONCE]
            for name, answer in zip(part, self._get(part, limit), strict=True):
                if answer is None:
                    raise _damaged(f"object {name} is missing")
                found[name] = answer[1]
        return found

    def tree(self, name: str) -> str:
        """Return the tree of a commit; a tree is its own.

        Raises:
            UnavailableError: as ``get``; or it is not there, or has none.

        """
        found = self.get(name, limit=_MAX_OBJECT)
        if found is None:
            raise _damaged(f"object {name} is missing")
        kind, content = found
        try:
            return name if kind == "tree" else tree_of(content)
        except ValueError as error:
            raise _damaged(f"{kind} {name} has no tree") from error

    def find(self, root: str, path: str) -> str:
        """Return the id of what lies at a path in a commit or tree; empty if nothing does.

        Raises:
            UnavailableError: as ``tree``.

        """
        here = self.tree(root)
        for part in path.encode().split(b"/"):
            here = self.entries(here).get(part, "")
            if not here:
                break
        return here

    def changes(self, before: str, after: str, *, wanted: Callable[[str], bool] = lambda _path: True) -> list[Change]:
        """Return what differs between two commits or trees, either of which may be empty; renames are not looked for.

        Args:
            before: a commit or tree.
            after: another.
            wanted: says whether to look at a file, or at what is below a folder, whose path ends in a slash.

        Raises:
            UnavailableError: as ``get``; or one is not there.

        """
        found: list[Change] = []
        left = [("", *(self.tree(each) if each else "" for each in (before, after)))]
        while left:
            trees = self._trees({tree for _, *pair in left for tree in pair if tree})
            level, left = left, []
            for folder, old, new in level:
                was, now = trees.get(old, {}), trees.get(new, {})
                for name in {name for name, _ in was.items() ^ now.items()}:
                    path = folder + name.decode(errors="replace")
                    (old_mode, old_id), (new_mode, new_id) = was.get(name, _NONE), now.get(name, _NONE)
                    inner = [each if mode == FOLDER else "" for mode, each in ((old_mode, old_id), (new_mode, new_id))]
                    if any(inner) and inner[0] != inner[1] and wanted(f"{path}/"):
                        left.append((f"{path}/", *inner))
                    blobs = ["" if mode == FOLDER else each for mode, each in ((old_mode, old_id), (new_mode, new_id))]
                    if any(blobs) and wanted(path):
                        found.append(Change(path, new_mode.decode() if blobs[1] else _NO_MODE, *blobs))
        return sorted(found)

    def _trees(self, names: Collection[str]) -> dict[str, dict[bytes, tuple[bytes, str]]]:
        contents = self.get_all(names)
        # Of two entries of one name Git takes the first.
        return {
            tree: {name: (mode, each) for mode, name, each in reversed(list(_parsed(tree, content)))}
            for tree, content in contents.items()
        }

    def entries(self, tree: str) -> dict[bytes, str]:
        """Return what is in a tree, by name, but for submodules; nothing where it is no tree, or the empty name.

        Raises:
            UnavailableError: as ``get``.

        """
        found = self.get(tree, limit=_MAX_OBJECT) if tree else None
        if found is None or found[0] != "tree":
            return {}
        # Of two entries of one name Git takes the first.
        entries = reversed(list(_parsed(tree, found[1])))
        return {name: each for mode, name, each in entries if mode != SUBMODULE}

    def _get(self, names: Sequence[str], limit: int) -> list[tuple[str, bytes] | None]:
        will_wait()
        if not all(map(_ID.fullmatch, names)):
            raise ValueError("objects are asked for by their ids")
        with self._lock:
            for is_last in (False, True):
                try:
                    return self._ask(names, limit)
                except (OSError, ValueError) as error:
                    # The process may have been killed; a new one is asked once.
                    problems = self._end()
                    if is_last:
                        raise _damaged(f"git cat-file did not answer: {problems or error}") from error
            raise AssertionError("unreachable")  # pragma: no cover

    def close(self) -> None:
        """End the process, if there is one; it starts again when it is needed."""
        with self._lock:
            self._end()

    def __del__(self) -> None:
        """End it with whoever read."""
        self._end()

    def _end(self) -> str:
        """End the process; return what it complained about."""
        running, self._running = self._running, None
        self._read.clear()
        if running is None or running.proc is None:
            return ""
        running.proc.kill()
        return bytes(running.proc.communicate()[1]).decode(errors="replace").strip()[-_MAX_LINE:]

    def _ask(self, names: Sequence[str], limit: int) -> list[tuple[str, bytes] | None]:
        if self._running is None:
            self._running = self._git.start("cat-file", "--batch")
        process = self._running.proc
        assert process is not None  # noqa: S101 - as_process was asked for
        assert process.stdin is not None  # noqa: S101 - it is a pipe
        process.stdin.write("".join(f"{name}\n" for name in names).encode())
        process.stdin.flush()
        return [self._answer(process, name, limit) for name in names]

    def _answer(self, process: subprocess.Popen[bytes], name: str, limit: int) -> tuple[str, bytes] | None:
        while (end := self._read.find(b"\n")) < 0:
            self._receive(process)
        _, kind, *size_text = self._read[:end].decode().split(" ")
        del self._read[: end + 1]
        if not size_text:
            return None
        size = int(size_text[0])
        if size > limit:
            self._end()
            raise UnavailableError(f"{kind} {name} has {size} bytes, and may have {limit}")
        while len(self._read) <= size:
            self._receive(process)
        content = bytes(self._read[:size])
        del self._read[: size + 1]
        if not _is_named(name, kind, content):
            self._end()
            raise _damaged(f"object {name} is not what its name says")
        return kind, content

    def _receive(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        descriptor = process.stdout.fileno()
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        ready = waiting.poll(self._timeout * 1000)
        part = os.read(descriptor, _PIPE) if ready else b""
        if not part:
            raise OSError("it ended" if ready else "it took too long")
        self._read += part


_NONE = (b"", "")


def _parsed(tree: str, content: bytes) -> Iterator[tuple[bytes, bytes, str]]:
    try:
        yield from entries_of(content)
    except ValueError as error:
        raise _damaged(f"object {tree} is no tree") from error


def _is_named(name: str, kind: str, content: bytes) -> bool:
    return object_id(kind, content) == name


def _damaged(text: str) -> UnavailableError:
    return UnavailableError(f"the release repo is damaged: {text}", hint=_HINT)


def is_offer(path: str) -> bool:
    """Return whether a file of ``delivery`` is the state of a data plane, or a folder, with a slash, leads to one."""
    parts = path.removesuffix("/").split("/")
    is_deep = len(parts) == len(_OFFER)
    return is_deep != path.endswith("/") and all(
        place in {None, part} for place, part in zip(_OFFER, parts, strict=False)
    )
