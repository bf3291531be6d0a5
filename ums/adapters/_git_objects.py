"""Git's objects as bytes: trees, signed commits and packs, made in process.

Sources: Git's documentation, ``gitformat-signature``, ``gitformat-pack`` (version 2) and ``git-hash-object``.
"""

from __future__ import annotations

import hashlib
import re
import stat
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

FOLDER = b"40000"
SUBMODULE = b"160000"
_KINDS = {"commit": 1, "tree": 2, "blob": 3}
_TREE = re.compile(rb"tree ([0-9a-f]{40})\n")


def object_id(kind: str, content: bytes) -> str:
    """Return an object's name."""
    return hashlib.sha1(b"%b %d\0%b" % (kind.encode(), len(content), content), usedforsecurity=False).hexdigest()


def folder_of(name: str, tree: str) -> bytes:
    """Return a tree that holds one folder."""
    return b"%b %b\0%b" % (FOLDER, name.encode(), bytes.fromhex(tree))


_ENTRY = re.compile(rb"([0-7]{1,7}) ([^\0]+)\0(.{20})", re.DOTALL)


@cache
def _canonical(mode: bytes) -> bytes:
    """Return a mode as Git understands it, of which there are few."""
    bits = int(mode, 8)
    if stat.S_ISREG(bits):
        return b"100755" if bits & 0o100 else b"100644"
    return b"120000" if stat.S_ISLNK(bits) else FOLDER if stat.S_ISDIR(bits) else SUBMODULE


def entries_of(tree: bytes) -> Iterator[tuple[bytes, bytes, str]]:
    """Yield mode, name and id of each entry of a tree.

    Raises:
        ValueError: it is no tree.

    """
    end = 0
    for match in _ENTRY.finditer(tree):
        if match.start() != end:
            break
        end = match.end()
        yield _canonical(match[1]), match[2], match[3].hex()
    if end != len(tree):
        raise ValueError("this is no tree")


def tree_of(commit: bytes) -> str:
    """Return the tree of a commit.

    Raises:
        ValueError: it names none.

    """
    if not (match := _TREE.match(commit)):
        raise ValueError("this is no commit")
    return match[1].decode()


def signed_commit(
    tree: str, parents: Sequence[str], *, author: str, seconds: int, message: str, sign: Callable[[bytes], str]
) -> bytes:
    """Return a commit; ``author`` is ``Name <mail>``, and committed it too."""
    who = f"{author} {seconds} +0000"
    head = f"tree {tree}\n" + "".join(f"parent {each}\n" for each in parents) + f"author {who}\ncommitter {who}\n"
    signature = sign(f"{head}\n{message}".encode()).strip().replace("\n", "\n ")
    return f"{head}gpgsig {signature}\n\n{message}".encode()


@dataclass(frozen=True, slots=True)
class CommitParts:
    """A commit taken apart.

    Attributes:
        author: ``Name <mail>``.
        seconds: since 1970, when it was committed; 0 where it says no time that a calendar has.
        signature: armored; empty unless the commit has exactly the form that we write.
        payload: what is signed: all of it but the signature.

    """

    parents: tuple[str, ...]
    author: str
    seconds: int
    message: str
    signature: str
    payload: bytes


_ID = rb"[0-9a-f]{40}"
_SIGNED = re.compile(
    rb"(tree %b\n(?:parent %b\n)*author [^\n]+\ncommitter [^\n]+\n)"
    rb"gpgsig (-----BEGIN SSH SIGNATURE-----(?:\n [A-Za-z0-9+/=]+)+\n -----END SSH SIGNATURE-----)\n\n" % (_ID, _ID)
)
_PARENTS = re.compile(rb"tree %b\n((?:parent %b\n)*)" % (_ID, _ID))
_AUTHOR = re.compile(rb"^author ([^\n]*>)[^>\n]*$", re.MULTILINE)
_COMMITTED = re.compile(rb"^committer [^\n]*> ([0-9]{1,12})(?: [^>\n]*)?$", re.MULTILINE)
_LAST_SECOND = 253_402_300_799
"""Of the year 9999; whoever makes a commit writes any number there."""


def take_apart(commit: bytes) -> CommitParts:
    """Read a commit object, which anybody may have made.

    Other readers look for the signature elsewhere, or take the last of two, or stop at a NUL, and would see another
    commit than the one that was signed. So there is one form that counts: ``tree``, ``parent``, ``author``,
    ``committer``, ``gpgsig``, an empty line, the message. Anything else is not signed.
    """
    head, _, message = commit.partition(b"\n\n")
    match = _SIGNED.match(commit) if b"\0" not in commit else None
    parents, author = _PARENTS.match(head + b"\n"), _AUTHOR.search(head)
    committed = _COMMITTED.search(head)
    seconds = int(committed[1]) if committed else 0
    return CommitParts(
        parents=tuple(parents[1].decode().split()[1::2]) if parents else (),
        author=author[1].decode(errors="replace") if author else "",
        seconds=seconds if seconds <= _LAST_SECOND else 0,
        message=message.decode(errors="replace"),
        signature=match[2].replace(b"\n ", b"\n").decode() if match else "",
        payload=match[1] + b"\n" + commit[match.end() :] if match else b"",
    )


def packed(kind: str, content: bytes) -> bytes:
    """Return an object as it stands in a pack, whole."""
    size = len(content)
    first, size = _KINDS[kind] << 4 | size & 0x0F, size >> 4
    header = bytearray()
    while size:
        header.append(first | 0x80)
        first, size = size & 0x7F, size >> 7
    header.append(first)
    return bytes(header) + zlib.compress(content)


def pack(objects: Iterable[bytes]) -> bytes:
    """Return a pack of objects that were ``packed``."""
    every = list(objects)
    body = b"PACK" + struct.pack(">II", 2, len(every)) + b"".join(every)
    return body + hashlib.sha1(body, usedforsecurity=False).digest()
