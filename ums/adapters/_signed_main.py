"""The newest commit of ``main`` that counts, and the state keys that count: found step by step from what is known.

Who may push to ``main`` may also put it back, replace it, or merge into it any commit that one of our keys once signed.
So it is not enough to be signed: a commit counts if it follows the newest one that counted before.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ums.adapters._git_folder import read_plain
from ums.adapters._git_objects import FOLDER, entries_of
from ums.adapters._release_files import keys_given, state_keys_of
from ums.adapters._signed_commits import SignedCommits, decision_of
from ums.domain import layout
from ums.domain.authority import counting_keys
from ums.domain.errors import UmsError, UnavailableError
from ums.domain.trust import TRUST

_MAX_FILE = 1 << 20
_MAX_NOTE = 1 << 16
_COMMIT_ID = re.compile(r"[0-9a-f]{40}")
_ENDED = re.compile(r"([0-9a-f]{40}) (\S+ \S+)")
_FILES = (layout.TRUST, layout.in_force(layout.TRUST), layout.TRUST_AT_BOOTSTRAP, f"catalog/{TRUST}")


class Counting(NamedTuple):
    """What counts of ``main``.

    Attributes:
        commit: the newest that a state key signed; empty before the first.
        keys: the state keys that count from there on, in OpenSSH's form.
        leads: whether ``main`` is there, or follows it.

    """

    commit: str
    keys: frozenset[str]
    leads: bool


class _Keys(NamedTuple):
    """State keys: those that people name in ``trust.yaml``, and those that data planes were given."""

    named: frozenset[str]
    given: frozenset[str]


class SignedMain:
    """Follows ``main`` from one commit that counts to the next.

    Args:
        signed: reads commits.
        own_key: that the service signs with (OpenSSH form).
        noted: a file in which the newest commit that counts is kept for processes to come, with the commits since
            which keys do not count any more. Who may push to the repository cannot write it.

    """

    def __init__(self, signed: SignedCommits, own_key: str, noted: Path) -> None:
        self._signed = signed
        self._own = own_key
        self._noted = noted
        self._newest = ""
        self._ended: dict[str, str] = {}
        """By state key that was dropped, the first commit after which it did not count."""
        self._read: tuple[tuple[str, ...], _Keys] = ((), _Keys(frozenset(), frozenset()))
        self._keys: tuple[str, _Keys] = "", self._read[1]
        """At the commit that was asked about last: each decision asks twice."""

    def forget(self) -> None:
        """Begin as a new process does."""
        self._newest, self._ended, self._keys = "", {}, ("", self._read[1])

    def counting(self, main: str, delivery: str) -> Counting:
        """Return what counts, given both heads.

        Raises:
            UnavailableError: there are commits, and none that a state key signed. Nothing may be decided then.

        """
        start = self._newest or self._start(main, delivery)
        if not start:
            if main:
                raise UnavailableError(
                    f"no commit of branch {layout.MAIN} is signed with a state key that counts",
                    hint="bring the branch back from a backup; ums audit verify --key names the commits",
                )
            return Counting("", frozenset({self._own}), leads=True)
        newest, leads = self._follow(start, main)
        self._remember(newest)
        return Counting(newest, self.keys_at(newest), leads)

    def note(self, commit_id: str) -> None:
        """Remember a commit that was just recorded here, before it is read."""
        if self._newest:
            self._note_keys(self.keys_at(self._newest), commit_id)
        self._remember(commit_id)

    def _remember(self, commit_id: str) -> None:
        if commit_id != self._newest:
            self._newest = commit_id
            self._write_note(commit_id)

    def ended(self) -> Mapping[str, str]:
        """Return the state keys that were dropped, each with the first commit after which it did not count."""
        return dict(self._ended)

    def _note_keys(self, before: frozenset[str], commit_id: str) -> frozenset[str]:
        after = self.keys_at(commit_id)
        for each in before - after:
            self._ended.setdefault(each, commit_id)
        for each in after & self._ended.keys():
            del self._ended[each]
        return after

    def keys_at(self, commit_id: str) -> frozenset[str]:
        """Return the state keys that count after a commit that does."""
        keys = self._keys_in(commit_id)
        return counting_keys(self._own, keys.named, keys.given)

    def keys_known(self, commit_id: str) -> frozenset[str]:
        """Return the state keys that count or once did, given the newest commit that counts."""
        return self._keys_in(commit_id).given | {self._own} if commit_id else frozenset({self._own})

    def _keys_in(self, commit_id: str) -> _Keys:
        if commit_id == self._keys[0]:
            return self._keys[1]
        files = [self._signed.file(commit_id, path, limit=_MAX_FILE) for path in _FILES]
        ids = tuple(file[0] for file in files)
        if ids != self._read[0]:
            trust, kept, bootstrap, releases = (content for _, _, content in files)
            statuses = self._statuses(commit_id, releases) if files[-1][1] == "tree" else ()
            given = keys_given((bootstrap, *statuses))
            self._read = ids, _Keys(frozenset(_named(trust, kept)), given)
        self._keys = commit_id, self._read[1]
        return self._read[1]

    def _statuses(self, commit_id: str, tree: bytes) -> Iterator[bytes]:
        for mode, name, _ in entries_of(tree):
            if mode == FOLDER:
                path = f"catalog/{TRUST}/{name.decode(errors='replace')}/status.yaml"
                yield self._signed.file(commit_id, path, limit=_MAX_FILE)[2]

    def _follow(self, start: str, head: str) -> tuple[str, bool]:
        """Return the newest commit that counts, and whether it leads to ``head``."""
        if head == start:
            return start, True
        newest, keys, descendants = start, self.keys_at(start), {start}
        if head and start in self._signed.parts(head).parents and self._signed.is_signed(head, keys, layout.MAIN):
            self._note_keys(keys, head)
            return head, True  # as a rule it is one decision further
        for commit, parents in self._signed.following(start, head):
            if descendants.isdisjoint(parents):
                continue
            if self._signed.is_signed(commit, keys, layout.MAIN):
                newest, keys, descendants = commit, self._note_keys(keys, commit), {commit}
            else:
                descendants.add(commit)
        return newest, head in descendants

    def _start(self, main: str, delivery: str) -> str:
        """Return a commit that counts, for a process that knows none yet; empty if there is none.

        What was noted comes first, then what was delivered, then what this service's own key signed. A key that has
        signed nothing yet, such as the offline one on the day that it is needed, takes the word of the key before.
        """
        own = frozenset({self._own})
        # Where it is missing or damaged, an older commit is no substitute: somebody may want the past back.
        if (noted := self._read_note()) and self._signed.is_signed(noted, self.keys_at(noted), layout.MAIN):
            return noted
        offered = self._signed.newest(delivery, own, layout.DELIVERY)
        decided = decision_of(self._signed.parts(offered).message) if offered else ""
        if decided and self._counts(decided):
            return decided
        return self._signed.newest(main, own, layout.MAIN) or (self._predecessor(main) if main else "")

    def _counts(self, commit_id: str) -> bool:
        """Return whether a commit is there, and one of the keys signed it that count after it."""
        try:
            return self._signed.is_signed(commit_id, self.keys_at(commit_id), layout.MAIN)
        except UnavailableError:
            return False  # somebody replaced the branch, and its old commits are gone

    def _predecessor(self, main: str) -> str:
        """Return the newest commit by a key that data planes were given together with our own."""
        for commit in self._signed.led_to(main):
            if self._own in self._keys_in(commit).given and self._counts(commit):
                return commit
        return ""

    def _read_note(self) -> str:
        noted, *ended = read_plain(self._noted, _MAX_NOTE).decode(errors="replace").splitlines() or [""]
        self._ended = {found[2]: found[1] for each in ended if (found := _ENDED.fullmatch(each))}
        return noted if _COMMIT_ID.fullmatch(noted) else ""

    def _write_note(self, commit_id: str) -> None:
        # Older is only less to begin with: nothing waits for the disk, and none fails because it is full.
        with suppress(OSError):
            beside = self._noted.with_suffix(f".{os.getpid()}.new")
            ended = "".join(f"{at} {key}\n" for key, at in self._ended.items())
            beside.write_text(f"{commit_id}\n{ended}", encoding="ascii")
            beside.replace(self._noted)


def _named(trust: bytes, kept: bytes) -> tuple[str, ...]:
    for content in (trust, kept):
        with suppress(UmsError):
            return state_keys_of(content, layout.TRUST)
    return ()
