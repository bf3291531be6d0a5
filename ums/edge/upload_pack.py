"""Git's fetch protocol, for remotes that have one commit without parents: version 0, 1 and 2, stateless.

Since there is nothing to cut and nothing in common to find out about, a whole pack is the answer to every fetch, and
no process has to be started for it.

Sources: Git's documentation, ``gitprotocol-common``, ``gitprotocol-pack``, ``gitprotocol-v2``, ``gitprotocol-http``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ums.domain import layout
from ums.domain.budget import Budget, BudgetError

BRANCH = f"refs/heads/{layout.VIEW}"
FLUSH, _DELIMITER = b"0000", b"0001"
_LONGEST = 65520
_MAX_LINES = 2048
"""Of one request. There is one commit to want; what a client has is of no use here, however much it tells."""
_BAND = _LONGEST - 5
_CAPABILITIES = f"side-band-64k ofs-delta shallow no-progress symref=HEAD:{BRANCH} object-format=sha1 agent=ums"
_CAPABILITIES_2 = ("agent=ums", "ls-refs", "fetch=shallow", "object-format=sha1")
_LENGTH = re.compile(rb"[0-9a-fA-F]{4}")
_ID = re.compile(r"[0-9a-f]{40}")
_NUMBER = re.compile(r"[0-9]{1,10}")
_VERSION = re.compile(r"(?:^|:)version=([12])(?:$|:)")
_FLAGS = frozenset({"thin-pack", "no-progress", "include-tag", "ofs-delta", "deepen-relative", "done"})


class ProtocolError(Exception):
    """What came is not what a Git client sends. Never leaves ``ums.edge``."""


def line(text: str | bytes) -> bytes:
    """Return a pkt-line."""
    content = text.encode() if isinstance(text, str) else text
    return b"%04x%b" % (len(content) + 4, content)


def version_of(header: str) -> int:
    """Return the version that ``Git-Protocol`` asks for."""
    match = _VERSION.search(header)
    return int(match[1]) if match else 0


def advertise(commit_id: str, version: int) -> bytes:
    """Return the answer to ``info/refs``."""
    start = line("# service=git-upload-pack\n") + FLUSH
    if version == 2:  # noqa: PLR2004 - a version's number is its name
        return start + line("version 2\n") + b"".join(line(f"{each}\n") for each in _CAPABILITIES_2) + FLUSH
    refs = line(f"{commit_id} HEAD\0{_CAPABILITIES}\n") + line(f"{commit_id} {BRANCH}\n") + FLUSH
    return start + (line("version 1\n") if version else b"") + refs


@dataclass(slots=True)
class Fetch:
    """What a client wants of us.

    Attributes:
        deepens: it asks for a number of commits, and so where history was cut: nowhere.
        flushes: it said what it has, and waits for what is thought of that.
        done: it waits for the pack.
        banded: the pack shall come in side-band-64k.

    """

    version: int
    wants: list[str] = field(default_factory=list)
    deepens: bool = False
    flushes: bool = False
    done: bool = False
    banded: bool = False

    def answer(self, pack: bytes) -> Iterator[bytes]:
        """Yield the answer; ``pack`` counts if they are ``done``."""
        if self.version == 2:  # noqa: PLR2004
            yield from self._answer_2(pack)
            return
        if self.deepens:
            yield FLUSH
        if self.done:
            yield line("NAK\n")
            yield from _banded(pack) if self.banded else (pack,)
        elif self.flushes:
            yield line("NAK\n")

    def _answer_2(self, pack: bytes) -> Iterator[bytes]:
        if not self.done:
            yield line("acknowledgments\n") + line("NAK\n") + FLUSH
            return
        if self.deepens:
            yield line("shallow-info\n") + _DELIMITER
        yield line("packfile\n")
        yield from _banded(pack)


@dataclass(frozen=True, slots=True)
class ListRefs:
    """A client wants to know our refs (version 2)."""

    prefixes: tuple[str, ...]
    with_targets: bool

    def answer(self, commit_id: str) -> bytes:
        """Return the answer."""
        target = f" symref-target:{BRANCH}" if self.with_targets else ""
        shown = [
            line(f"{commit_id} {ref}{suffix}\n")
            for ref, suffix in (("HEAD", target), (BRANCH, ""))
            if not self.prefixes or ref.startswith(self.prefixes)
        ]
        return b"".join(shown) + FLUSH


def parse(body: bytes, version: int) -> Fetch | ListRefs:
    """Read a request to ``git-upload-pack``.

    Raises:
        ProtocolError: it is none, wants what was not offered, or has too many lines.

    """
    try:
        lines = list(_lines(body))
    except BudgetError as error:
        raise ProtocolError(error.message) from error
    return _parse_2(lines) if version == 2 else _parse_0(lines, version)  # noqa: PLR2004


def _banded(pack: bytes) -> Iterator[bytes]:
    view = memoryview(pack)
    for start in range(0, len(pack), _BAND):
        yield line(b"\x01" + view[start : start + _BAND])
    yield FLUSH


def _lines(body: bytes) -> Iterator[str | None]:
    """Yield each pkt-line's text, ``None`` for a flush, and the empty text for a delimiter."""
    start = 0
    budget = Budget(_MAX_LINES, "lines of a request")
    while start < len(body):
        budget.spend()
        head = body[start : start + 4]
        if not _LENGTH.fullmatch(head):
            raise ProtocolError("a pkt-line begins with four hex digits")
        length = int(head, 16)
        if length == 0:
            yield None
        elif length == 1:
            yield ""
        elif length <= 4 or length > _LONGEST or start + length > len(body):  # noqa: PLR2004 - its own head
            raise ProtocolError(f"a pkt-line of length {length} ends where none can")
        else:
            yield body[start + 4 : start + length].decode("utf-8", errors="replace").removesuffix("\n")
        start += max(length, 4)


def _parse_0(lines: Sequence[str | None], version: int) -> Fetch:
    fetch = Fetch(version)
    wanting = True
    for text in lines:
        if text is None:
            fetch.flushes = not wanting
            wanting = False
            continue
        word, _, rest = text.partition(" ")
        if wanting and word == "want":
            name, _, capabilities = rest.partition(" ")
            fetch.wants.append(_id(name))
            fetch.banded = fetch.banded or "side-band-64k" in capabilities.split()
        elif wanting and word == "deepen" and _NUMBER.fullmatch(rest):
            fetch.deepens = rest != "0"
        elif word == ("shallow" if wanting else "have"):
            _id(rest)
        elif not wanting and text == "done":
            fetch.done = True
        else:
            raise ProtocolError(f"{word:.20} has no place here")
    return fetch


def _parse_2(lines: Sequence[str | None]) -> Fetch | ListRefs:
    if not lines or lines[-1] is not None or None in lines[:-1]:
        raise ProtocolError("a command ends with one flush")
    words = [text for text in lines if text is not None]
    capabilities, arguments = (words[: words.index("")], words[words.index("") + 1 :]) if "" in words else (words, [])
    for text in capabilities[1:]:
        if text != "object-format=sha1" and not text.startswith(("agent=", "session-id=")):
            raise ProtocolError(f"{text:.40} was not offered")
    match capabilities[:1]:
        case ["command=ls-refs"]:
            return _parse_ls_refs(arguments)
        case ["command=fetch"]:
            return _parse_fetch(arguments)
    raise ProtocolError("this command was not offered")


def _parse_ls_refs(arguments: Sequence[str]) -> ListRefs:
    prefixes = tuple(text.removeprefix("ref-prefix ") for text in arguments if text.startswith("ref-prefix "))
    for text in arguments:
        if text not in {"peel", "symrefs"} and not text.startswith("ref-prefix "):
            raise ProtocolError(f"{text:.40} was not offered")
    return ListRefs(prefixes, "symrefs" in arguments)


def _parse_fetch(arguments: Sequence[str]) -> Fetch:
    fetch = Fetch(2, banded=True, done="done" in arguments)
    for text in arguments:
        word, _, rest = text.partition(" ")
        if word == "want":
            fetch.wants.append(_id(rest))
        elif word in {"have", "shallow"}:
            _id(rest)
        elif word == "deepen" and _NUMBER.fullmatch(rest):
            fetch.deepens = rest != "0"
        elif text not in _FLAGS:
            raise ProtocolError(f"{word:.20} was not offered")
    return fetch


def _id(text: str) -> str:
    if not _ID.fullmatch(text):
        raise ProtocolError("an object id has 40 hex digits")
    return text
