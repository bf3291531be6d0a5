"""Git's objects as bytes: trees, signed commits and packs, made in process.

Sources: Git's documentation, ``gitformat-signature``, ``gitformat-pack`` (version 2) and ``git-hash-object``.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

FOLDER = b"40000"
SUBMODULE = b"160000"
_KINDS = {"commit": 1, "tree": 2, "blob": 3}
_ID_BYTES = 20


def object_id(kind: str, content: bytes) -> str:
    """Return an object's name."""
    return hashlib.sha1(b"%b %d\0%b" % (kind.encode(), len(content), content), usedforsecurity=False).hexdigest()


def folder_of(name: str, tree: str) -> bytes:
    """Return a tree that holds one folder."""
    return b"%b %b\0%b" % (FOLDER, name.encode(), bytes.fromhex(tree))


def entries_of(tree: bytes) -> Iterator[tuple[bytes, bytes, str]]:
    """Yield mode, name and id of each entry of a tree.

    Raises:
        ValueError: it is no tree.

    """
    start = 0
    while start < len(tree):
        end = tree.index(b"\0", start) + 1
        mode, _, name = tree[start : end - 1].partition(b" ")
        yield mode, name, tree[end : end + _ID_BYTES].hex()
        start = end + _ID_BYTES


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
        fields: what its head says, without the signature.
        signature: armored; empty if it has none.
        payload: what is signed: all of it but the signature.

    """

    fields: tuple[tuple[str, str], ...]
    message: str
    signature: str
    payload: bytes


def take_apart(commit: bytes) -> CommitParts:
    """Read a commit object, which anybody may have made."""
    head, _, message = commit.partition(b"\n\n")
    kept: list[bytes] = []
    signature: list[bytes] = []
    inside = False
    for line in head.split(b"\n"):
        inside = line.startswith(b"gpgsig ") or (inside and line.startswith(b" "))
        if inside:
            signature.append(line.removeprefix(b"gpgsig").removeprefix(b" "))
        else:
            kept.append(line)
    fields = ((name, value.decode(errors="replace")) for name, _, value in (line.partition(b" ") for line in kept))
    return CommitParts(
        fields=tuple((name.decode(errors="replace"), value) for name, value in fields),
        message=message.decode(errors="replace"),
        signature=b"\n".join(signature).decode(errors="replace"),
        payload=b"\n".join(kept) + b"\n\n" + message,
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
