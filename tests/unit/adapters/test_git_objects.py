"""Objects of Git are read in one way: what other readers could take for something else is not signed, or no tree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ums.adapters._git_objects import entries_of, signed_commit, take_apart
from ums.adapters.ssh_signature import SSHStateSigner, verify_ssh_signature

TREE, PARENT, EVIL = "1" * 40, "2" * 40, "3" * 40
AUTHOR = "UMS <ums@localhost>"


@pytest.fixture
def signer(tmp_path: Path) -> SSHStateSigner:
    """Return a state key."""
    return SSHStateSigner.generate(tmp_path / "state.key")


def is_signed(commit: bytes, signer: SSHStateSigner) -> bool:
    """Return whether a commit counts as signed with a key."""
    parts = take_apart(commit)
    return (
        bool(parts.signature) and verify_ssh_signature(parts.payload, parts.signature, [signer.public_key]) is not None
    )


@pytest.mark.parametrize("parents", [[], [PARENT], [PARENT, EVIL]])
def test_what_we_write_is_read(signer: SSHStateSigner, parents: list[str]) -> None:
    """With all that it says."""
    message = "area: What\n\nUMS-Actor: olga\n"
    commit = signed_commit(TREE, parents, author=AUTHOR, seconds=7, message=message, sign=signer.sign)
    parts = take_apart(commit)
    assert is_signed(commit, signer)
    assert (parts.parents, parts.author, parts.message) == (tuple(parents), AUTHOR, message)


def head_of(commit: bytes) -> tuple[list[bytes], bytes, bytes]:
    """Return the lines of a commit's head without the signature, the signature's header, and the message."""
    head, _, message = commit.partition(b"\n\n")
    before, _, signature = head.partition(b"\ngpgsig ")
    return before.split(b"\n"), b"gpgsig " + signature, message


def join(*lines: bytes, message: bytes) -> bytes:
    """Return a commit."""
    return b"\n".join(lines) + b"\n\n" + message


ODD: dict[str, Callable[[list[bytes], bytes, bytes], bytes]] = {
    "the signature first": lambda head, sig, message: join(sig, *head, message=message),
    "the signature after the tree": lambda head, sig, message: join(head[0], sig, *head[1:], message=message),
    "the signature before the committer": lambda head, sig, message: join(*head[:-1], sig, head[-1], message=message),
    "two signatures": lambda head, sig, message: join(*head, sig, sig, message=message),
    "a signature in two parts": lambda head, sig, message: join(
        *head, sig.rpartition(b"\n")[0], b"gpgsig" + sig.rpartition(b"\n")[2], message=message
    ),
    "another signature before": lambda head, sig, message: join(*head, b"gpgsig x", sig, message=message),
    "one for SHA-256": lambda head, sig, message: join(*head, sig, b"gpgsig-sha256 x", message=message),
    "something after the signature": lambda head, sig, message: join(*head, sig, b"x y", message=message),
    "a parent after the signature": lambda head, sig, message: join(*head, sig, b"parent 4", message=message),
    "a line that goes on": lambda head, sig, message: join(*head, b" x", sig, message=message),
    "an encoding": lambda head, sig, message: join(*head, sig, b"encoding latin-1", message=message),
    "a merged tag": lambda head, sig, message: join(*head, b"mergetag object 1\n type commit", sig, message=message),
    "no empty line": lambda head, sig, message: b"\n".join([*head, sig, message]),
    "carriage returns": lambda head, sig, message: join(*head, sig, message=message).replace(b"\n", b"\r\n"),
    "a tab": lambda head, sig, message: join(*head, sig.replace(b"\n ", b"\n\t"), message=message),
    "spaces in the signature": lambda head, sig, message: join(*head, sig.replace(b"\n ", b"\n  "), message=message),
    "an empty line in it": lambda head, sig, message: join(*head, sig.replace(b"\n ", b"\n \n ", 1), message=message),
    "a NUL at the end": lambda head, sig, message: join(*head, sig, message=message + b"\0"),
}


@pytest.mark.parametrize("how", ODD)
def test_a_commit_in_another_form_is_not_signed(signer: SSHStateSigner, how: str) -> None:
    """Though the signature is the right one for what is left without it."""
    commit = signed_commit(TREE, [PARENT], author=AUTHOR, seconds=7, message="x\n", sign=signer.sign)
    assert is_signed(join(*head_of(commit)[0], head_of(commit)[1], message=b"x\n"), signer)
    assert not is_signed(ODD[how](*head_of(commit)), signer)


@pytest.mark.parametrize(
    "line", [b"mergetag object 1", b"encoding latin-1", b"x y", b"tree " + EVIL.encode(), b"parent " + EVIL.encode()]
)
@pytest.mark.parametrize("place", range(5))
def test_a_header_too_many_is_not_signed(signer: SSHStateSigner, line: bytes, place: int) -> None:
    """Also where it is part of what the key signed: other readers may skip it, or take it for another."""
    head = [
        f"tree {TREE}".encode(),
        f"parent {PARENT}".encode(),
        *(f"{who} {AUTHOR} 7 +0000".encode() for who in ROLES),
    ]
    head.insert(place, line)
    signature = signer.sign(join(*head, message=b"x\n")).strip().replace("\n", "\n ").encode()
    is_in_order = line.startswith(b"parent") and place in {1, 2}
    assert is_signed(join(*head, b"gpgsig " + signature, message=b"x\n"), signer) is is_in_order


ROLES = ("author", "committer")


@pytest.mark.parametrize(
    "content", [b"x", b"100644 a\0" + b"1" * 19, b"\0" * 30, b"a b\0" + b"1" * 20, b"100644 \0" + b"1" * 20]
)
def test_what_is_no_tree_is_none(content: bytes) -> None:
    """Not read as far as it goes."""
    with pytest.raises(ValueError, match="no tree"):
        list(entries_of(content))


def test_modes_are_those_that_git_understands() -> None:
    """A folder with a zero before its mode is a folder."""
    tree = b"".join(
        mode + b" x\0" + b"1" * 20 for mode in (b"040000", b"40000", b"100664", b"100755", b"120777", b"160000")
    )
    assert [mode for mode, _, _ in entries_of(tree)] == [b"40000", b"40000", b"100644", b"100755", b"120000", b"160000"]
