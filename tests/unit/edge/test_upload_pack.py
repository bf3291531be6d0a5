"""Git's fetch protocol: what clients send, what they are answered, and what is none of it."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ums.edge.upload_pack import Fetch, ListRefs, ProtocolError, advertise, line, parse, version_of

ID, OTHER = "1" * 40, "2" * 40
FLUSH, DELIMITER = b"0000", b"0001"


def lines(*texts: str | bytes) -> bytes:
    """Return pkt-lines; bytes are taken as they are."""
    return b"".join(text if isinstance(text, bytes) else line(f"{text}\n") for text in texts)


@pytest.mark.parametrize(
    ("header", "version"),
    [("", 0), ("version=1", 1), ("version=2", 2), ("a=b:version=2", 2), ("version=22", 0), ("version=3", 0)],
)
def test_the_version_is_what_the_client_asks_for(header: str, version: int) -> None:
    """What nobody knows is answered as in the beginning."""
    assert version_of(header) == version


def test_one_commit_is_advertised() -> None:
    """As the branch, and as HEAD, so that a clone knows what to check out."""
    first = f"{ID} HEAD\0side-band-64k ofs-delta shallow no-progress symref=HEAD:refs/heads/view"
    for version, start in ((0, b""), (1, b"000eversion 1\n")):
        answer = advertise(ID, version)
        assert answer.startswith(b"001e# service=git-upload-pack\n0000" + start)
        assert first.encode() in answer
        assert answer.endswith(line(f"{ID} refs/heads/view\n") + FLUSH)
    assert advertise(ID, 2) == lines(
        "# service=git-upload-pack", FLUSH, "version 2", "agent=ums", "ls-refs", "fetch=shallow",
        "object-format=sha1", FLUSH,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        pytest.param([f"want {ID} side-band-64k agent=x", FLUSH, "done"], b"0008NAK\n0009\x01PACK0000", id="clone"),
        pytest.param([f"want {ID}", FLUSH, "done"], b"0008NAK\nPACK", id="without bands"),
        pytest.param(
            [f"want {ID} side-band-64k", f"shallow {OTHER}", "deepen 1", FLUSH, "done"],
            b"00000008NAK\n0009\x01PACK0000",
            id="of depth 1, which cuts nothing",
        ),
        pytest.param([f"want {ID}", "deepen 1", FLUSH], b"0000", id="where is it cut"),
        pytest.param([f"want {ID}", FLUSH, f"have {OTHER}", FLUSH], b"0008NAK\n", id="what do we have in common"),
        pytest.param([f"want {ID}", FLUSH, f"have {OTHER}", "done"], b"0008NAK\nPACK", id="fetch"),
    ],
)
def test_version_0(request_: list[str | bytes], answer: bytes) -> None:
    """A want, what the client has, and done."""
    asked = parse(lines(*request_), 0)
    assert isinstance(asked, Fetch)
    assert asked.wants == [ID]
    assert b"".join(asked.answer(b"PACK")) == answer


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        pytest.param([f"want {ID}", "done"], ["packfile", b"0009\x01PACK0000"], id="clone"),
        pytest.param(
            ["thin-pack", "ofs-delta", "deepen 1", f"want {ID}", "done"],
            ["shallow-info", DELIMITER, "packfile", b"0009\x01PACK0000"],
            id="of depth 1",
        ),
        pytest.param([f"want {ID}", f"have {OTHER}"], ["acknowledgments", "NAK", FLUSH], id="in common"),
    ],
)
def test_version_2(arguments: list[str], answer: list[str | bytes]) -> None:
    """The same in sections."""
    asked = parse(lines("command=fetch", "agent=git/2", "object-format=sha1", DELIMITER, *arguments, FLUSH), 2)
    assert isinstance(asked, Fetch)
    assert b"".join(asked.answer(b"PACK")) == lines(*answer)


def test_refs_are_listed_by_prefix() -> None:
    """In version 2 the client asks for them."""
    branch = f"{ID} refs/heads/view"
    for arguments, shown in (
        ([], [f"{ID} HEAD", branch]),
        (["symrefs", "peel"], [f"{ID} HEAD symref-target:refs/heads/view", branch]),
        (["ref-prefix refs/heads/"], [branch]),
        (["ref-prefix refs/tags/"], []),
    ):
        asked = parse(lines("command=ls-refs", DELIMITER, *arguments, FLUSH), 2)
        assert isinstance(asked, ListRefs)
        assert asked.answer(ID) == lines(*shown, FLUSH)


def test_a_long_pack_comes_in_bands_that_fit() -> None:
    """Each as long as a pkt-line may be."""
    pack = bytes(range(256)) * 1000
    answer = b"".join(Fetch(0, done=True, banded=True).answer(pack)).removeprefix(b"0008NAK\n")
    found = b""
    while answer != FLUSH:
        length = int(answer[:4], 16)
        assert length <= 65520
        assert answer[4] == 1
        found, answer = found + answer[5:length], answer[length:]
    assert found == pack


@pytest.mark.parametrize(
    ("version", "body"),
    [
        (0, b"zzzz"),
        (0, b"+012want"),
        (0, b"0003"),
        (0, b"0004"),
        (0, b"fff1" + b"x" * 65521),
        (0, b"0032want " + ID.encode()),
        (0, lines("want ../../etc/passwd", FLUSH)),
        (0, lines(f"want {ID[1:]}", FLUSH)),
        (0, lines(f"want {ID.upper()}Z", FLUSH)),
        (0, lines("have " + ID)),
        (0, lines(f"want {ID}", "filter blob:none", FLUSH, "done")),
        (0, lines(f"want {ID}", "deepen -1", FLUSH)),
        (0, lines(f"want {ID}", "deepen-since 1", FLUSH)),
        (0, lines(f"want {ID}", FLUSH, f"want {OTHER}")),
        (2, b""),
        (2, lines("command=fetch", DELIMITER, f"want {ID}")),
        (2, lines("command=fetch", DELIMITER, "want-ref refs/heads/main", FLUSH)),
        (2, lines("command=fetch", DELIMITER, "filter blob:none", FLUSH)),
        (2, lines("command=fetch", FLUSH, FLUSH)),
        (2, lines("command=object-info", DELIMITER, f"oid {ID}", FLUSH)),
        (2, lines("command=fetch", "object-format=sha256", DELIMITER, FLUSH)),
        (2, lines("command=ls-refs", DELIMITER, "unborn", FLUSH)),
    ],
)
def test_what_no_client_sends_is_refused(version: int, body: bytes) -> None:
    """And what was not offered."""
    with pytest.raises(ProtocolError):
        parse(body, version)


@given(st.binary(max_size=300), st.sampled_from([0, 1, 2]))
def test_any_bytes_are_a_request_or_none(body: bytes, version: int) -> None:
    """Nothing else can come of them."""
    with suppress(ProtocolError):
        parse(body, version)


@given(st.lists(st.sampled_from([f"want {ID}", "deepen 1", "done", "", FLUSH, DELIMITER, "command=fetch", "\0"])))
def test_any_lines_are_a_request_or_none(texts: list[str | bytes]) -> None:
    """However they are put together."""
    for version in (0, 1, 2):
        with suppress(ProtocolError):
            parse(lines(*texts), version)
