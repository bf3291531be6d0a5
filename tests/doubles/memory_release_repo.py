"""A release repo in memory: the same files, the same reading, no Git."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime

from ums.adapters._release_files import File, ReleaseFiles, serial_of, to_bytes
from ums.adapters._yaml import load
from ums.domain import layout
from ums.domain.authority import Trespass
from ums.domain.errors import ConflictError, InvalidInputError, NotFoundError, SpecError
from ums.domain.feed import Fields
from ums.domain.names import PDPName
from ums.domain.world import Base, Content, CopyOf, Decision, Edited, LogEntry, World


class MemoryReleaseRepo:
    """Implements ``ports.ReleaseRepo``.

    Attributes:
        losing: how many of the next commits lose the race to somebody else.

    """

    def __init__(self) -> None:
        self._main: dict[str, dict[str, bytes]] = {"": {}}
        self._delivery: dict[str, dict[str, bytes]] = {"": {}}
        self._base = Base()
        self._entries: list[tuple[LogEntry, frozenset[str]]] = []
        self._files = ReleaseFiles()
        self.losing = 0

    def copy(self) -> MemoryReleaseRepo:
        """Return another with the same history."""
        other = MemoryReleaseRepo()
        other._main, other._delivery = dict(self._main), dict(self._delivery)
        other._base, other._entries = self._base, list(self._entries)
        return other

    def read(self) -> World:
        """Return the state at the heads."""
        return self._files.read(
            self._base, _with_ids(self._main[self._base.main]), _with_ids(self._delivery[self._base.delivery])
        )

    def file(self, branch: str, path: str) -> bytes | None:
        """Return a file at a head."""
        commits, head = (
            (self._main, self._base.main) if branch == layout.MAIN else (self._delivery, self._base.delivery)
        )
        return commits[head].get(path)

    def commit(self, decision: Decision, *, base: Base) -> Base:
        """Record a decision; both branches move, or neither."""
        if self.losing:
            self.losing -= 1
            raise ConflictError("somebody else was faster")
        if base != self._base:
            raise ConflictError("the release repo moved since it was read")
        before = self._main[base.main]
        main = _applied(before, decision.main, {}, keep_from=before)
        number = str(len(self._entries))
        commit_id = hashlib.sha1(number.encode(), usedforsecurity=False).hexdigest()
        delivery_id = base.delivery
        if decision.delivery:
            delivery_id = hashlib.sha1(f"delivery{number}".encode(), usedforsecurity=False).hexdigest()
            self._delivery[delivery_id] = _applied(self._delivery[base.delivery], decision.delivery, main, keep_from={})
        self._main[commit_id] = main
        self._base = Base(commit_id, delivery_id)
        actor, action, reason = (
            " ".join(text.split()) or "-" for text in (decision.actor, decision.action, decision.reason)
        )
        at, subject = decision.at.replace(microsecond=0), " ".join(decision.subject.split())
        entry = LogEntry(commit_id, at, subject, actor, action, reason)
        self._entries.append((entry, frozenset(decision.main)))
        return self._base

    def since(self, commit_id: str, *, limit: int) -> Sequence[LogEntry]:
        """Return the first commits after one, oldest first."""
        ids = ["", *(entry.commit_id for entry, _ in self._entries)]
        if commit_id not in ids:
            raise NotFoundError(f"{commit_id} is no commit that led to here")
        start = ids.index(commit_id)
        return [entry for entry, _ in self._entries[start : start + limit]]

    def documents(self, before: str, after: str) -> Mapping[str, tuple[Fields | None, Fields | None]]:
        """Return the YAML mappings that differ between two commits."""
        old, new = self._main[before], self._main[after]
        return {
            path: (_mapping(old.get(path)), _mapping(new.get(path)))
            for path in sorted({*old, *new})
            if old.get(path) != new.get(path) and path.endswith(".yaml") and "/objects/" not in path
        }

    def log(self, *, limit: int, path: str = "", head: str = "", skip: int = 0) -> Sequence[LogEntry]:
        """Return the newest decisions, newest first."""
        layout.check_path(path)
        ids = [entry.commit_id for entry, _ in self._entries]
        if head and head not in ids:
            raise NotFoundError(f"{head} is no commit that led to here")
        led = self._entries[: ids.index(head) + 1] if head else self._entries
        found = [
            entry
            for entry, paths in reversed(led)
            if not path or any(each == path or each.startswith(f"{path.rstrip('/')}/") for each in paths)
        ]
        return found[skip : skip + limit]

    def foreign(self) -> Sequence[str]:
        """Find nothing: there is no folder."""
        return ()

    def reclaim(self, *, at: datetime) -> str:  # noqa: ARG002 - nobody else writes here
        """Find nothing to put right."""
        return ""

    def restore_main(self, *, at: datetime) -> Trespass | None:  # noqa: ARG002 - nobody else writes here
        """Find nothing to put right."""
        return None

    def maintain(self) -> None:
        """Do nothing: it is compact."""

    def serial_at(self, commit_id: str, pdp: PDPName) -> int | None:
        """Return the serial of a data plane's state at a commit of ``delivery``, or ``None``."""
        path = layout.plane_state(pdp)
        content = self._delivery.get(commit_id, {}).get(path)
        return serial_of(content, path) if content is not None else None


def _applied(
    before: Mapping[str, bytes],
    changes: Mapping[str, Content | None],
    main: Mapping[str, bytes],
    *,
    keep_from: Mapping[str, bytes],
) -> dict[str, bytes]:
    after = dict(before)
    for path, content in changes.items():
        if content is None:
            gone = [each for each in after if each == path or (path.endswith("/") and each.startswith(path))]
            for each in gone:
                del after[each]
    for path, content in changes.items():
        if isinstance(content, CopyOf):
            if content.path not in main:
                raise InvalidInputError(f"{content.path} is not on {layout.MAIN}")
            after[path] = main[content.path]
        elif content is not None:
            start = content.like if isinstance(content, Edited) and content.like else path
            after[path] = to_bytes(content, keep_from.get(start), path)
    return after


def _mapping(content: bytes | None) -> Fields | None:
    if content is None:
        return None
    try:
        found = load(content, "")
    except SpecError:
        return {}
    return found if isinstance(found, dict) else {}


def _with_ids(files: Mapping[str, bytes]) -> dict[str, File]:
    return {path: (hashlib.sha256(content).hexdigest(), content) for path, content in files.items()}
