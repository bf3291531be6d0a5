"""The release repo as a local bare Git repository, through GitPython and Git's plumbing.

No work tree, no index: ``fast-import`` writes trees, commits are made and signed in process, and both branches
move in one ``update-ref`` transaction. Text from users is never an option, a ref or a path of a command line.
People push to ``main`` too: whatever stands there, by whatever name, is read as data and may be wrong.
"""

from __future__ import annotations

import fcntl
import logging
import math
import os
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from itertools import chain, count
from pathlib import Path
from threading import BoundedSemaphore, Lock

from ums.adapters import _git_folder
from ums.adapters._git import NO_OBJECT, Git, one_line
from ums.adapters._git_objects import object_id, signed_commit
from ums.adapters._git_reader import is_offer
from ums.adapters._release_files import ReleaseFiles, serial_of, to_bytes
from ums.adapters._signed_commits import SignedCommits, decision_of
from ums.adapters._signed_main import Counting, SignedMain
from ums.adapters._yaml import MAX_BYTES, load
from ums.domain import layout
from ums.domain.auditing import trespasses
from ums.domain.authority import Trespass
from ums.domain.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    Reason,
    RefusedError,
    SpecError,
    StorageError,
    UnavailableError,
)
from ums.domain.feed import Fields
from ums.domain.fleet import DataPlane
from ums.domain.git_hosts import Changed, refusals
from ums.domain.names import PDPName
from ums.domain.security_log import Anchor
from ums.domain.world import Base, Content, CopyOf, Decision, Document, Edited, LogEntry, Objects, Raw, World
from ums.ports import StateSigner
from ums.waiting import will_wait

_LOG = logging.getLogger(__name__)
_FILE, _SUBMODULE, _GONE = "100644", "160000", "000000"
_COMMIT_ID = re.compile(r"[0-9a-f]{40}")
_MAIN_REF = f"refs/heads/{layout.MAIN}"
_DELIVERY_REF = f"refs/heads/{layout.DELIVERY}"
_COMMITS_KEPT = 8
_PATIENCE_SECONDS = 15.0
_MAINTENANCE_SECONDS, _DAY_SECONDS = 3600.0, 86_400.0
_LEFT_BEHIND_SECONDS = 5.0
"""Other programs, such as a push, hold a ref for an instant."""
_MAX_STATE = 1 << 20
_MAX_AUTHORS = 20
_MAX_PROBLEMS = 20
_MAX_ACTORS = 200
_FOLDER_GONE = "unable to create temporary file: No such file or directory"
_READ = frozenset({"catalog", "channels", "fleet", "risks"})
"""Folders of ``main`` that are read; what else there is, is for people."""
_UNBORN_REF = "refs/ums/unborn"
"""Names the commits of one import; it is reset before Git would create it."""
_WALKS = 2
"""So many histories of single paths are looked for at once: each walk may see every commit there is."""


class GitReleaseRepo:
    """Implements ``ports.ReleaseRepo``.

    Args:
        path: a bare repository.
        signer: of commits.
        author: ``Name <mail>``.
        anchor: says which security event commits shall name.
        fresh_for: seconds for which it is not looked again whether somebody else moved the branches. Nothing is decided
            on what was: a commit is compared with where they are.

    """

    def __init__(
        self,
        path: Path,
        signer: StateSigner,
        *,
        author: str,
        anchor: Callable[[], Anchor | None] = lambda: None,
        fresh_for: float = 0.0,
    ) -> None:
        self._git = Git(path)
        self._signed = SignedCommits(self._git)
        self._objects = self._signed.objects
        self._main = SignedMain(self._signed, signer.public_key, path / "ums.trusted")
        self._path = path
        self._anchor = anchor
        self._ref_files = [str(path / ref) for ref in (_MAIN_REF, _DELIVERY_REF)]
        self._signer = signer
        self._author = author
        self._fresh_for = fresh_for
        self._looked: tuple[float, Base] = (-math.inf, Base())
        self._moves = 0
        self._looking = Lock()
        self._lock = Lock()
        self._walks = BoundedSemaphore(_WALKS)
        self._forget()

    def _forget(self) -> None:
        """Begin as if nothing had been read."""
        self._main.forget()
        self._at: Base | None = None
        self._delivered = ""
        """The commit of ``delivery`` that was read: the newest on the way to ``_at`` that counts."""
        self._counting = Counting("", frozenset(), leads=True)
        """What counts of ``main`` at ``_at``."""
        self._files = ReleaseFiles()
        self._blobs: dict[str, str] = {}
        """Of every path on ``main`` at the commit that counts."""
        self._by_people: dict[str, str] = {}
        """What people changed since, of what people may; empty where a file is gone."""
        self._trespass: Trespass | None = None
        self._world: World | None = None
        self._offered: OrderedDict[str, Mapping[PDPName, DataPlane]] = OrderedDict()
        """The fleet at the newest commits of ``delivery`` that were read, each on the way to the next."""

    @classmethod
    def create(cls, path: Path) -> None:
        """Make an empty repository that can be read but not pushed to over HTTP; once is enough.

        Raises:
            StorageError: the disk refused.

        """
        try:
            _git_folder.create(path)
        except OSError as error:
            raise StorageError(f"cannot make a repository in {path.name}: {error}") from error

    def check(self) -> None:
        """Make sure that both branches and what counts on them can be read, without reading all of it.

        Raises:
            UnavailableError: one cannot.

        """
        try:
            base = self._heads()
            counting = self._main.counting(base.main, base.delivery)
            for commit in filter(None, (base.main, counting.commit, self._trusted(base, counting.keys))):
                self._objects.tree(commit)
        finally:
            self._objects.close()

    def read(self) -> World:
        """Return the state at the heads of both branches.

        Unchanged heads cost reading two small files; otherwise only what differs from the last reading is read.
        """
        base = self._recent_heads()
        world = self._world
        if world is not None and world.base == base:
            return world
        will_wait()
        with self._lock:
            if self._world is None or self._world.base != base:
                self._follow(base)
                world = self._files.world(base)
                problems = (*_problems(self._trespass), *world.problems)
                self._world = replace(world, problems=problems, state_keys=self._counting.keys)
                self._remember(self._world)
            return self._world

    def _recent_heads(self) -> Base:
        looked, base = self._looked
        now, moves = time.monotonic(), self._moves
        if now - looked < self._fresh_for:
            return base
        will_wait()
        base = self._heads()
        with self._looking:
            if moves == self._moves:  # else what was seen may be from before what was recorded here
                self._looked = now, base
        return base

    def _remember(self, world: World) -> None:
        """Keep what was offered: data planes report on the newest commits, thousands on the same."""
        offered, head = self._offered, world.base.delivery
        if offered and head not in offered and not self._led(next(reversed(offered)), head):
            offered.clear()  # somebody replaced the branch
        offered[head] = world.planes
        offered.move_to_end(head)
        while len(offered) > _COMMITS_KEPT:
            offered.popitem(last=False)

    def commit(self, decision: Decision, *, base: Base) -> Base:
        """Record a decision; both branches move, or neither."""
        if self._heads() != base:
            raise ConflictError("the release repo moved since it was read", hint="read it again")
        main_tree, delivery_tree, new_trust = self._write_trees(base, decision)
        # Where only states are issued, an empty commit on main still says who and why.
        main = self._write_main(main_tree, base, decision)
        updates = [(_MAIN_REF, main, base.main)]
        delivery = base.delivery
        # Where state keys change, what is offered must be signed with one that remains.
        if decision.delivery or (new_trust and base.delivery):
            before = [base.delivery] if base.delivery else []
            delivery = self._write_commit(delivery_tree, before, decision, {layout.DECISION: main})
            updates.append((_DELIVERY_REF, delivery, base.delivery))
        self._move(updates)
        self._note(main)
        return Base(main, delivery)

    def _write_main(self, tree: str, base: Base, decision: Decision, *merged: str) -> str:
        """Write a commit of ``main``, which follows both its head and the newest commit that counts."""
        anchor, counting = self._anchor(), self._counting
        parents = [each for each in (base.main, *merged) if each]
        if not counting.leads:
            parents.insert(0, counting.commit)
        return self._write_commit(tree, parents, decision, {layout.ANCHOR: str(anchor)} if anchor else {})

    def log(self, *, limit: int, path: str = "", head: str = "", skip: int = 0) -> Sequence[LogEntry]:
        """Return the newest decisions on ``main``, newest first; of those that led to ``head``, past the first."""
        newest = self._heads().main
        if not newest:
            return ()
        if head:
            self._check_led(head, newest)
        layout.check_path(path)
        paths = ["--", path] if path else []
        asked = ("rev-list", f"--max-count={limit}", f"--skip={skip}", head or newest, *paths)
        with self._walking() if path else nullcontext():
            listed = self._git.run(*asked).decode().split()
        return self._entries(listed)

    @contextmanager
    def _walking(self) -> Iterator[None]:
        if not self._walks.acquire(blocking=False):
            raise UnavailableError("others are reading the history of single paths", hint="try again in a moment")
        try:
            yield
        finally:
            self._walks.release()

    def since(self, commit_id: str, *, limit: int) -> Sequence[LogEntry]:
        """Return the first commits of ``main`` after one, oldest first; what people merged counts as one."""
        head = self._heads().main
        if not head and not commit_id:
            return ()
        if commit_id:
            self._check_led(commit_id, head)
        start = [f"^{commit_id}"] if commit_id else []
        listed = self._git.run("rev-list", "--first-parent", "--reverse", head, *start).decode().split()[:limit]
        return self._entries(listed)

    def _entries(self, commits: Iterable[str]) -> Sequence[LogEntry]:
        """Return what commits say of who did what and why where a state key signed them; else the Git author alone."""
        counted = self._counted()
        return [self._signed.entry(each, is_signed=counted(each)) for each in commits]

    def _counted(self) -> Callable[[str], bool]:
        """Return what tells whether a state key signed a commit of ``main`` before it was dropped, if it was."""
        with self._lock:
            self._follow(self._heads())
            ended = self._main.ended()
            keys = self._main.keys_known(self._counting.commit) - ended.keys()
        before: dict[str, frozenset[str]] = {}

        def is_before(commit_id: str, end: str) -> bool:
            if end not in before:
                before[end] = frozenset(self._signed.led_to(end))
            return commit_id in before[end]

        def counted(commit_id: str) -> bool:
            if self._signed.is_signed(commit_id, keys, layout.MAIN):
                return True
            ends = (end for key, end in ended.items() if self._signed.is_signed(commit_id, {key}, layout.MAIN))
            return any(is_before(commit_id, end) for end in ends)

        return counted

    def _led(self, commit_id: str, head: str) -> bool:
        """Return whether a commit is, or led to, another."""
        return bool(_COMMIT_ID.fullmatch(commit_id) and head) and self._git.led(commit_id, head)

    def _check_led(self, commit_id: str, head: str) -> None:
        if not self._led(commit_id, head):
            raise NotFoundError(f"{commit_id:.40} is no commit that led to here", hint="begin anew, without it")

    def documents(self, before: str, after: str) -> Mapping[str, tuple[Fields | None, Fields | None]]:
        """Return the YAML mappings that differ between two commits of ``main``, by path, before and after."""
        counted = self._counted()
        changes = self._objects.changes(before, after)
        ours = tuple(next(filter(counted, self._signed.led_to(each)), "") if each else "" for each in (before, after))
        if ours != (before, after):
            # What somebody changed without a state key, and what was put back, did not happen.
            wrong = {each.path for each in changes if each.mode not in {_FILE, _GONE}}
            wrong.update(trespasses(each.path for each in changes))
            changes = [each for each in changes if each.path not in wrong]
            sizes = self._sizes({blob for each in changes for blob in (each.old, each.new) if blob})
            changes = [each for each in changes if all(sizes.get(blob, 0) <= MAX_BYTES for blob in each[2:])]
            decided = self._objects.changes(*ours)
            changes += [each for each in decided if trespasses([each.path])]
        found = [each for each in changes if each.path.endswith(".yaml") and "/objects/" not in each.path]
        blobs = {blob for each in found for blob in (each.old, each.new) if blob and each.mode != _SUBMODULE}
        contents = self._objects.get_all(blobs)
        documents = {blob: _mapping(content) for blob, content in contents.items()}
        return {each.path: (documents.get(each.old), documents.get(each.new)) for each in found}

    def serial_at(self, commit_id: str, pdp: PDPName) -> int | None:
        """Return the serial of a data plane's state at a commit of ``delivery``, or ``None``."""
        self.read()
        with self._lock:
            planes = self._offered.get(commit_id)
        if planes is not None:
            plane = planes.get(pdp)
            if plane is not None and plane.desired is not None:
                return plane.desired.serial
        path = layout.plane_state(pdp)
        # Only what was really offered counts: an object that merely lies in the repository does not.
        if not self._led(commit_id, self._heads().delivery):
            return None
        blob = self._objects.find(commit_id, path)
        found = self._objects.get(blob, limit=_MAX_STATE) if blob else None
        return serial_of(found[1], path) if found and found[0] == "blob" else None

    def take_in(self, theirs: str, *, at: datetime) -> None:
        """Merge and sign what people committed elsewhere, whatever it says: what is wrong in it is left out later.

        Raises:
            RefusedError: it changes what they may not, or what was changed here meanwhile.
            ConflictError: ``main`` moved meanwhile.

        """
        base = self._heads()
        with self._lock:
            self._follow(base)
            start, delivered, by_people = self._counting.commit, self._delivered, dict(self._by_people)
        try:
            fork = self._git.run("merge-base", base.main, theirs).decode().strip()
        except UnavailableError as error:
            reason = Reason("no-common-history", f"{theirs:.12} has no commit in common with {layout.MAIN} here")
            raise RefusedError(f"commit {theirs:.12} cannot be taken in", (reason,)) from error
        changed = self._changed(fork, theirs)
        sizes = self._sizes({each.blob for each in changed.values() if each.blob})
        large = [path for path, each in changed.items() if each.blob and not 0 <= sizes[each.blob] <= MAX_BYTES]
        if found := refusals(changed, self._changed(fork, base.main), large):
            raise RefusedError(f"commit {theirs:.12} is left out", tuple(Reason("left-out", each) for each in found))
        files = {path: each.blob or None for path, each in changed.items()}
        files = {**{path: blob or None for path, blob in by_people.items()}, **files}
        stream = chain(_tree(start, files), [b"done\n"])
        tree = self._git.run("fast-import", "--quiet", "--done", stdin=stream).split()[2].decode()
        self._check_built(start, tree, files)
        log = self._git.run("log", "-z", "--format=%an <%ae>%x00%s", f"{fork}..{theirs}").decode(errors="replace")
        fields = log.split("\x00")[:-1]
        decision = Decision(
            subject="main: Take in what people merged at the Git host",
            action="take-in",
            actor=", ".join(sorted(set(fields[0::2])))[:_MAX_ACTORS],
            reason="; ".join(fields[1::2]),
            at=at,
            main={},
        )
        commit = self._write_main(tree, base, decision, theirs)
        updates = [(_MAIN_REF, commit, base.main)]
        if layout.TRUST in changed and base.delivery:
            tree = self._objects.tree(delivered)
            again = self._write_commit(tree, [base.delivery], decision, {layout.DECISION: commit})
            updates.append((_DELIVERY_REF, again, base.delivery))
        self._move(updates)
        self._note(commit)

    def restore_main(self, *, at: datetime) -> Trespass | None:
        """Put back what UMS wrote on ``main``, on top of what somebody changed of it without a state key."""
        base = self._heads()
        with self._lock:
            self._follow(base)
            trespass = self._trespass
        if trespass is None:
            return None
        decision = Decision(
            subject="main: Put back what only UMS writes",
            action="restore",
            actor="ums",
            reason=str(trespass),
            at=at,
        )
        self.commit(decision, base=base)
        return trespass

    def _changed(self, before: str, after: str) -> dict[str, Changed]:
        return {each.path: Changed(each.new, each.mode) for each in self._objects.changes(before, after)}

    def reclaim(self, *, at: datetime, over: str = "") -> str:
        """Put what was offered on top of a head of ``delivery`` that no state key signed, and of ``over``, if given."""
        base = self._heads()
        with self._lock:
            self._follow(base)
            trusted = self._delivered
        if trusted == base.delivery and not over:
            return ""
        tree = self._objects.tree(trusted)
        # The decision that it follows from is the one that what counts followed from.
        entry = decision_of(self._signed.parts(trusted).message)
        decision = Decision(
            subject="delivery: Put back what was offered",
            action="reclaim",
            actor="ums",
            reason=f"{over or base.delivery} is none of ours",
            at=at,
            main={},
        )
        parents = [each for each in (base.delivery, over) if each]
        commit = self._write_commit(tree, parents, decision, {layout.DECISION: entry})
        self._move([(_DELIVERY_REF, commit, base.delivery)])
        return over or base.delivery

    def foreign(self) -> Sequence[str]:
        """Return what is in the repository's folder, would mislead Git and is not UMS's; Git of ours ignores it."""
        return _git_folder.foreign(self._path)

    def maintain(self) -> None:
        """Join packs and loose objects, and write down the graph of commits, for this process.

        Packs are joined by size, so that most days move little; whatever is in one stays, reachable or not. Git reads
        and writes meanwhile. What a process that was killed left half written goes after a day.
        """
        yesterday = time.time() - _DAY_SECONDS
        for folder, _, names in os.walk(self._path / "objects"):
            for name in names:
                if name.startswith(("tmp_", ".tmp-")) or name.endswith(".lock"):
                    left = Path(folder) / name
                    with suppress(OSError):  # somebody else tidies up, too
                        if left.stat().st_mtime < yesterday:
                            left.unlink()
        repack = ("repack", "-d", "-l", "-q", "--geometric=2", "--no-write-bitmap-index")
        self._git.run(*repack, timeout=_MAINTENANCE_SECONDS)
        # It lies beside the repository, where no one else writes. With 20,000 decisions, those about one path are found
        # in 20 ms instead of 130.
        graph = ("commit-graph", "write", "--reachable", "--changed-paths", "--split")
        self._git.run(*graph, timeout=_MAINTENANCE_SECONDS)

    def _heads(self) -> Base:
        """Return both heads.

        Raises:
            UnavailableError: the repository is gone, or says nothing that is a commit.

        """
        base = Base(*(_git_folder.read_ref(self._path, ref) for ref in (_MAIN_REF, _DELIVERY_REF)))
        if not base.main:
            _git_folder.require(self._path)
        return base

    def _follow(self, base: Base) -> None:
        """Take in what differs between the last reading and other commits, of whatever descent."""
        if self._at == base:
            return
        try:
            self._take_in_heads(base)
        except UnavailableError:
            # Somebody replaced a branch, and its old commits are gone.
            self._forget()
            self._take_in_heads(base)

    def _take_in_heads(self, base: Base) -> None:
        counting = self._main.counting(base.main, base.delivery)
        by_people, trespass = self._unsigned(counting, base.main)
        trusted = self._trusted(base, counting.keys)
        signed = self._differences(self._counting.commit, counting.commit)
        delivery = self._differences(self._delivered, trusted, is_offer)
        main = self._effective(signed, by_people)
        read = {path: blob for path, blob in main.items() if _is_read(path)}
        contents = self._objects.get_all({blob for blob in (*read.values(), *delivery.values()) if blob})
        self._files.change(
            *(
                {path: (blob, contents[blob]) if blob else None for path, blob in changes.items()}
                for changes in (read, delivery)
            )
        )
        for path, blob in signed.items():
            if blob:
                self._blobs[path] = blob
            else:
                self._blobs.pop(path, None)
        self._counting, self._by_people, self._trespass = counting, by_people, trespass
        self._at, self._delivered = base, trusted

    def _effective(self, signed: Mapping[str, str], by_people: Mapping[str, str]) -> dict[str, str]:
        """Return the blobs that count from now on, of the paths where they did not before; empty where none does.

        Args:
            signed: what changed in the commits that count.
            by_people: what people changed since the newest of them.

        """
        found = {}
        for path in {*signed, *by_people, *self._by_people}:
            old = self._blobs.get(path, "")
            before = self._by_people.get(path, old)
            now = by_people.get(path, signed.get(path, old))
            if now != before:
                found[path] = now
        return found

    def _unsigned(self, counting: Counting, head: str) -> tuple[dict[str, str], Trespass | None]:
        """Return what people changed since the newest commit that counts: what they may, and the rest.

        A head that does not follow that commit changes nothing: to put a branch back is not to edit a file.
        """
        if head == counting.commit:
            return {}, None
        if not head:
            return {}, Trespass("", (), (), is_past=True)
        changes = {each.path: each for each in self._objects.changes(counting.commit, head)}
        if not counting.leads:
            paths = tuple(sorted(one_line(path) for path in changes))
            return {}, Trespass(head, self._authors(counting.commit, head), paths, is_past=True)
        wrong = set(trespasses(changes)) | {path for path, each in changes.items() if each.mode not in {_FILE, _GONE}}
        allowed = {path: each.new for path, each in changes.items() if path not in wrong}
        sizes = self._sizes({blob for blob in allowed.values() if blob})
        wrong |= {path for path, blob in allowed.items() if blob and not 0 <= sizes[blob] <= MAX_BYTES}
        by_people = {path: blob for path, blob in allowed.items() if path not in wrong}
        if not wrong:
            return by_people, None
        paths = tuple(sorted(one_line(path) for path in wrong))
        return by_people, Trespass(head, self._authors(counting.commit, head), paths)

    def _authors(self, start: str, head: str) -> tuple[str, ...]:
        """Return who made the commits that led to ``head`` and not to ``start``, as these say; of one, at least."""
        asked = ("log", "-z", f"--max-count={_MAX_AUTHORS}", "--format=%an <%ae>", head)
        found = self._git.run(*asked, f"^{start}") or self._git.run(*asked, "--max-count=1")
        return tuple(dict.fromkeys(one_line(each) for each in found.decode(errors="replace").split("\x00") if each))

    def _sizes(self, blobs: Iterable[str]) -> dict[str, int]:
        """Return the size of each blob in bytes; -1 where it is missing, or no blob."""
        wanted = sorted(blobs)
        if not wanted:
            return {}
        asked = "".join(f"{blob}\n" for blob in wanted).encode()
        output = self._git.run("cat-file", "--batch-check=%(objecttype) %(objectsize)", stdin=asked).decode()
        lines = (line.split() for line in output.splitlines())
        return {blob: int(line[1]) if line[0] == "blob" else -1 for blob, line in zip(wanted, lines, strict=True)}

    def _trusted(self, base: Base, keys: frozenset[str]) -> str:
        """Return the newest commit on the way to the head of ``delivery`` that a state key signed.

        Raises:
            UnavailableError: there is none on a branch that has commits. Nothing may be decided then: every data plane
                would look as if it had been offered nothing yet.

        """
        found = self._signed.newest(base.delivery, keys, layout.DELIVERY)
        if base.delivery and not found:
            raise UnavailableError(
                f"no commit of branch {layout.DELIVERY} is signed with a state key that counts",
                hint="bring the branch back from a backup; ums audit verify --key names the commits",
            )
        return found

    def _differences(self, old: str, new: str, wanted: Callable[[str], bool] = lambda _path: True) -> dict[str, str]:
        """Return the new blob id of every path that differs between commits; what is gone, or a submodule, has none."""
        if old == new:
            return {}
        changes = self._objects.changes(old, new, wanted=wanted)
        return {each.path: "" if each.mode == _SUBMODULE else each.new for each in changes}

    def _write_trees(self, base: Base, decision: Decision) -> tuple[str, str, bool]:
        """Write the new trees of both branches; no ref changes, even where this is cut off.

        Return their ids, and whether the trust policy may be another one then.
        """
        copied = {content.path for content in decision.delivery.values() if isinstance(content, CopyOf)}
        with self._lock:
            self._follow(base)
            start, by_people = Base(self._counting.commit, self._delivered), dict(self._by_people)
            starts = {path: _start_of(path, content) for path, content in decision.main.items()}
            named = copied | {*starts, *starts.values()}
            current = {path: by_people.get(path, self._blobs.get(path, "")) for path in named}
        blobs = {path: blob for path, blob in current.items() if blob}
        documents = {path: blobs[start] for path, start in starts.items() if start in blobs}
        old = self._objects.get_all(set(documents.values()))
        contents = {path: old[blob] for path, blob in documents.items()}
        # On the trees that count, whatever somebody else put on top: what we sign is ours, all of it, but for the
        # files that people may write.
        stream = _Stream(start, decision, blobs, contents, by_people)
        output = self._git.run("fast-import", "--quiet", "--done", stdin=iter(stream)).decode()
        main, delivery = (line.split()[2] for line in output.splitlines())
        for before, tree, files in zip((start.main, start.delivery), (main, delivery), stream.files(), strict=True):
            self._check_built(before, tree, files)
        return main, delivery, layout.TRUST in {*decision.main, *by_people}

    def _check_built(self, start: str, tree: str, files: Mapping[str, str | None]) -> None:
        """Make sure that a tree is that of a commit but for some files: Git read the commit's trees unchecked.

        Args:
            start: the commit; may be empty.
            tree: made of it.
            files: the blob at each path, or ``None``: the file, or the folder whose name ends in a slash, is gone.

        Raises:
            UnavailableError: it is not. Nothing of it may be signed.

        """
        changes = {each.path: each for each in self._objects.changes(start, tree)}
        emptied = tuple(path for path, blob in files.items() if blob is None and path.endswith("/"))
        wrong = [
            path
            for path, each in changes.items()
            if (each.new and each.mode != _FILE)
            or (each.new or None) != files.get(path, None if path.startswith(emptied) else "")
        ]
        same = {path: blob for path, blob in files.items() if blob and path not in changes}
        wrong += [path for path, blob in same.items() if blob != self._objects.find(tree, path)]
        if wrong:
            raise UnavailableError(
                f"the release repo is damaged: Git made something else of {wrong[0]} than what was decided",
                hint="git fsck tells what is wrong; bring the repository back from a backup",
            )

    def _write_commit(self, tree: str, parents: Sequence[str], decision: Decision, trailers: Mapping[str, str]) -> str:
        given = {"Actor": decision.actor, "Action": decision.action, "Reason": decision.reason}
        lines = {f"UMS-{key}": one_line(value) or "-" for key, value in given.items()} | dict(trailers)
        message = f"{one_line(decision.subject)}\n\n" + "".join(f"{key}: {value}\n" for key, value in lines.items())
        commit = signed_commit(
            tree,
            parents,
            author=self._author,
            seconds=int(decision.at.timestamp()),
            message=message,
            sign=self._signer.sign,
        )
        for is_last in (False, False, True):
            try:
                return self._git.run("hash-object", "-t", "commit", "-w", "--stdin", stdin=commit).decode().strip()
            except UnavailableError as error:
                # Git removes a folder of loose objects when the last is packed, maybe just when one is to come.
                if is_last or _FOLDER_GONE not in error.message:
                    raise
        raise AssertionError("unreachable")  # pragma: no cover

    def _note(self, main: str) -> None:
        """Remember what was recorded on ``main``: heads that were read before it are not what they were."""
        with self._lock:
            self._main.note(main)
            self._at = self._world = None

    def _move(self, updates: Sequence[tuple[str, str, str]]) -> None:
        """Move refs in one transaction, if none moved meanwhile; whoever reads afterwards sees it."""
        # A ref that leads to another was refused when it was read; here it would be followed.
        lines = [f"option no-deref\nupdate {ref} {new} {old or NO_OBJECT}" for ref, new, old in updates]
        try:
            with self._alone() as lock:
                self._git.run(
                    "update-ref",
                    "--stdin",
                    stdin="\n".join(["start", *lines, "prepare", "commit", ""]).encode(),
                    holding=[lock],
                )
        except UnavailableError as error:
            heads = self._heads()
            now = {_MAIN_REF: heads.main, _DELIVERY_REF: heads.delivery}
            if any(now[ref] != old for ref, _, old in updates):
                raise ConflictError("the release repo moved while this was recorded", hint="read it again") from error
            raise
        finally:
            with self._looking:
                self._moves += 1
                self._looked = (-math.inf, Base())

    @contextmanager
    def _alone(self) -> Iterator[int]:
        """Be the one of all processes of ours that moves refs; give the descriptor that says so.

        Git locks a ref by a file, which stays where a process is killed, and nobody could record anything ever after.
        The kernel's lock ends with its holders: this process, and the Git that it started. Whoever has it knows that
        such a file is another program's, which needs it for an instant, or nobody's.

        Raises:
            UnavailableError: others have been at it for too long.
            StorageError: the disk refused.

        """
        with _lock_file(self._path / "ums.lock") as lock:
            # Git locks HEAD with the branch that it names.
            _clear([Path(f"{path}.lock") for path in (self._path / "HEAD", *self._ref_files)])
            yield lock


@contextmanager
def _lock_file(path: Path) -> Iterator[int]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StorageError(f"the release repo cannot be written: {error.strerror}") from error
    try:
        end = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() >= end:
                    raise UnavailableError("others write to the release repo without end") from error
                time.sleep(0.005)
        yield descriptor
    finally:
        os.close(descriptor)


def _clear(locks: Iterable[Path]) -> None:
    """Remove locks of Git that nobody holds any more."""
    end = time.monotonic() + _LEFT_BEHIND_SECONDS
    while left := [path for path in locks if path.exists()]:
        if time.monotonic() >= end:
            _LOG.warning("left behind by a process that was killed: %s", ", ".join(path.name for path in left))
            for path in left:
                path.unlink(missing_ok=True)
        time.sleep(0.01)


def _start_of(path: str, content: Content | None) -> str:
    """Return the path of the content that a new one starts from; empty where it starts from nothing."""
    if isinstance(content, Edited):
        return content.like or path
    return path if isinstance(content, Document) else ""


@lru_cache(maxsize=16)
def _mapping(content: bytes) -> Fields:
    # What one commit made of a file, the next one changed.
    try:
        found = load(content, "")
    except SpecError:
        return {}
    return found if isinstance(found, dict) else {}


def _problems(trespass: Trespass | None) -> list[SpecError]:
    if trespass is None:
        return []
    hint = "it is put back within seconds; protect the branch, and see ums audit log"
    return [SpecError(str(trespass), file=path, hint=hint) for path in (trespass.paths or ("main",))[:_MAX_PROBLEMS]]


def _is_read(path: str) -> bool:
    folder, slash, _ = path.partition("/")
    return path.endswith((".yaml", ".json")) and "/objects/" not in path and (not slash or folder in _READ)


class _Stream:
    """What fast-import makes both trees of, and the questions for their ids.

    Args:
        base: the commits that the trees start from.
        decision: which files change.
        blobs: of every path on ``main`` that the decision names. Only a copy may take one: what people put on ``main``
            must not come out in place of what was decided.
        old: what the documents among these files held.
        by_people: what people changed on ``main`` since ``base``, of what they may; empty where a file is gone.

    """

    def __init__(
        self,
        base: Base,
        decision: Decision,
        blobs: Mapping[str, str],
        old: Mapping[str, bytes],
        by_people: Mapping[str, str],
    ) -> None:
        self._base = base
        self._marks = (f":{number}" for number in count(1))
        self._ids: dict[str, str] = {}
        self._parts: list[bytes] = []
        self._main: dict[str, str | None] = {path: blob or None for path, blob in by_people.items()}
        self._main.update(dict.fromkeys(decision.main))
        for path, content in sorted(decision.main.items()):
            if isinstance(content, CopyOf):
                raise InvalidInputError(f"{path} on {layout.MAIN} must have content of its own")
            if content is not None:
                self._main[path] = mark = next(self._marks)
                self._parts.append(self._blob(mark, to_bytes(content, old.get(path), path)))
        self._delivery: dict[str, str | None] = dict.fromkeys(decision.delivery)
        self._own: dict[str, Document | Edited | Objects | Raw] = {}
        will_be = {**blobs, **self._main}
        for path, content in decision.delivery.items():
            if isinstance(content, CopyOf):
                if not will_be.get(content.path):
                    raise InvalidInputError(f"{content.path} is not on {layout.MAIN}")
                self._delivery[path] = will_be[content.path]
            elif content is not None:
                self._delivery[path], self._own[path] = next(self._marks), content

    def __iter__(self) -> Iterator[bytes]:
        """Yield it, once."""
        yield from self._parts
        # Files of one name are much alike, and of a blob Git stores what differs from the one before.
        for path, content in sorted(self._own.items(), key=lambda item: item[0].rpartition("/")[2]):
            yield self._blob(str(self._delivery[path]), to_bytes(content, None, path))
        yield from _tree(self._base.main, self._main)
        yield from _tree(self._base.delivery, self._delivery)
        yield b"done\n"

    def files(self) -> tuple[dict[str, str | None], dict[str, str | None]]:
        """Return the id of each file on both branches once all was read, ``None`` for what goes."""
        main, delivery = (
            {path: self._ids.get(blob, blob) if blob else None for path, blob in files.items()}
            for files in (self._main, self._delivery)
        )
        return main, delivery

    def _blob(self, mark: str, body: bytes) -> bytes:
        self._ids[mark] = object_id("blob", body)
        return b"blob\nmark %b\ndata %d\n%b\n" % (mark.encode(), len(body), body)


def _tree(start: str, files: Mapping[str, str | None]) -> Iterator[bytes]:
    """Yield a commit of blobs by path, that is dropped again; one without a blob is deleted."""
    yield f"commit {_UNBORN_REF}\ncommitter ums <ums> 0 +0000\ndata 0\n".encode()
    if start:
        yield f"from {start}\n".encode()
        # First: a folder is emptied before its new files come.
        yield "".join(f"D {path.rstrip('/')}\n" for path, blob in files.items() if not blob).encode()
    yield "".join(f"M 100644 {blob} {path}\n" for path, blob in files.items() if blob).encode()
    yield f'ls ""\n\nreset {_UNBORN_REF}\nfrom {NO_OBJECT}\n\n'.encode()
