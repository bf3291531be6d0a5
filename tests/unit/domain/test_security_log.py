"""The chain: what is hashed, and which row is named when something does not hold."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ums.domain.errors import InvalidInputError
from ums.domain.security_log import (
    NOWHERE,
    Anchor,
    Anchored,
    Entry,
    Origin,
    SecurityEvent,
    SecurityKind,
    fallen_anchors,
    hash_of,
    verify_chain,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def chain(count: int, subject: str = "ada", head: Anchor | None = None) -> list[Entry]:
    """Return rows, each behind the one before."""
    rows = []
    for number in range(count):
        event = SecurityEvent.make(SecurityKind.LOGIN, at=NOW, subject=subject, what={"number": number}, origin=NOWHERE)
        rows.append(event.after(head))
        head = Anchor(rows[-1].seq, rows[-1].hash)
    return rows


def anchors(rows: list[Entry], *seqs: int) -> list[Anchored]:
    """Return commits that name rows."""
    return [Anchored(f"c{seq}", Anchor(seq, rows[seq - 1].hash)) for seq in seqs]


def broken(rows: list[Entry], *named: Anchored) -> tuple[int, str]:
    """Return the first row that does not hold, and why."""
    found = verify_chain(iter(rows), named).broken
    return (found.seq, found.message) if found else (0, "")


def test_what_is_hashed_is_written_down_here_once_more() -> None:
    """Anybody can check an export without UMS."""
    origin = Origin("192.0.2.7", "r-1")
    event = SecurityEvent.make(
        SecurityKind.TOKEN_ISSUED, at=NOW, subject="zoë", what={"to": "ci", "a": [1]}, origin=origin
    )
    row = event.after(Anchor(6, "sha256:" + "0" * 64))
    text = (
        '{"address":"192.0.2.7","at":"2026-11-23T12:00:00Z","kind":"token.issued",'
        f'"previous":"sha256:{"0" * 64}","requestId":"r-1","seq":7,"subject":"zoë","what":{{"a":[1],"to":"ci"}}}}'
    )
    assert row.hash == "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    assert Entry.from_dict(json.loads(json.dumps(row.to_dict()))) == row


def test_what_strangers_send_is_one_line_and_not_long() -> None:
    """Whoever reads the log in a terminal reads text."""
    what = {"claims": "a\x1b[31m\nb\x00\udce4" * 99, "many": ["x" * 999] * 99}
    event = SecurityEvent.make(
        SecurityKind.LOGIN, at=NOW, subject="s\n" * 999, what=what, origin=Origin("a\t" * 99, "r")
    )
    entry = event.after(None)
    assert len(entry.subject) <= 200
    assert len(entry.address) <= 64
    assert len(entry.what) < 20_000
    assert all(each.isprintable() for each in (entry.subject, entry.address, entry.what))


def test_a_chain_holds() -> None:
    """An empty one too, and one that no commit names."""
    rows = chain(9)
    assert verify_chain([], []).to_dict() == {"entries": 0, "anchored": 0, "broken": None}
    assert verify_chain(rows, []).to_dict() == {"entries": 9, "anchored": 0, "broken": None}
    assert verify_chain(rows, anchors(rows, 2, 2, 7)).to_dict() == {"entries": 9, "anchored": 7, "broken": None}


def swapped(rows: list[Entry]) -> list[Entry]:
    """Let two rows tell each other's story."""
    third, fourth = rows[2], rows[3]
    return [*rows[:2], replace(fourth, seq=3), replace(third, seq=4), *rows[4:]]


def test_the_first_row_that_does_not_hold_is_named() -> None:
    """Changed, missing, inserted, out of order, replaced with a hash that fits, cut off."""
    rows = chain(9)
    again = replace(rows[3], subject="eve")
    again = replace(again, hash=hash_of(again))
    forged = chain(1, "eve", Anchor(4, rows[3].hash))
    cases: list[tuple[list[Entry], int, str]] = [
        ([*rows[:3], replace(rows[3], subject="eve"), *rows[4:]], 4, "was changed"),
        ([*rows[:3], *rows[4:]], 4, "is missing"),
        (rows[1:], 1, "is missing"),
        ([*rows[:4], rows[2], *rows[4:]], 3, "stands behind row 4"),
        ([*rows[:4], *forged, *rows[4:]], 5, "stands behind row 5"),
        ([*rows[:3], rows[4], rows[3], *rows[5:]], 4, "is missing"),
        (swapped(rows), 3, "was changed"),
        ([*rows[:3], again, *rows[4:]], 5, "does not follow the row before it"),
        (
            [*rows[:4], *chain(5, "eve", Anchor(4, rows[3].hash))],
            7,
            "is not the one that commit c7 names: a row from 3",
        ),
        (rows[:5], 6, "is missing, and so are all after it, up to 7 at least: commit c7"),
        ([], 1, "is missing, and so are all after it, up to 7 at least: commit c2"),
    ]
    for tampered, seq, text in cases:
        found = broken(tampered, *anchors(rows, 2, 7))
        assert (found[0], found[1][: len(text)]) == (seq, text)


def test_behind_the_last_anchor_a_cut_is_not_seen() -> None:
    """What a log cannot do: it says by how far it is anchored."""
    rows = chain(9)
    found = verify_chain(rows[:7], anchors(rows, 2, 7))
    assert (found.entries, found.anchored, found.broken) == (7, 7, None)


@settings(max_examples=60)
@given(data=st.data(), size=st.integers(2, 12))
def test_no_change_before_the_last_anchor_is_missed(data: st.DataObject, size: int) -> None:
    """Whatever is taken away, doubled, moved or changed."""
    rows = chain(size)
    at, to = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size - 1))
    tampered = list(rows)
    match data.draw(st.sampled_from(["take", "double", "move", "change"])):
        case "take":
            del tampered[at]
        case "double":
            tampered.insert(to, rows[at])
        case "move":
            tampered.insert(to, tampered.pop(at))
        case _:
            tampered[at] = replace(rows[at], what='{"number":-1}')
            tampered[at] = replace(tampered[at], hash=hash_of(tampered[at]))
    assert (broken(tampered, *anchors(rows, size))[0] > 0) == (tampered != rows)


def test_commits_that_contradict_each_other_are_named() -> None:
    """An entry before the one named before, or another of the same number: the log was replaced."""
    rows, others = chain(9), chain(9, "eve")
    assert fallen_anchors(anchors(rows, 1, 4, 4, 9)) == []
    ((commit, text),) = fallen_anchors([*anchors(rows, 1, 4), *anchors(others, 2), *anchors(rows, 9)])
    assert (commit, text) == (
        "c2",
        "names security event 2, where c4 before it names 4: the log was replaced in between",
    )
    assert [commit for commit, _ in fallen_anchors([*anchors(rows, 4), *anchors(others, 4)])] == ["c4"]


@pytest.mark.parametrize("text", ["", "1", "0 sha256:" + "0" * 64, "-1 x", "1 sha256:00", "9" * 19, "² sha256:"])
def test_an_anchor_is_a_number_and_a_hash(text: str) -> None:
    """As commits write it; nothing else is one."""
    anchor = Anchor(42, "sha256:" + "a" * 64)
    assert Anchor.parse(str(anchor)) == anchor
    with pytest.raises(InvalidInputError):
        Anchor.parse(text)


@pytest.mark.parametrize("what", ["", "[", "[" * 100_000, '{"a":1.5}', '{"a":1,"a":1}', b"x", None, 7])
def test_a_row_that_nobody_wrote_is_named_and_breaks_nothing(what: Any) -> None:  # noqa: ANN401 - whatever is there
    """Whoever can write to the database can write anything."""
    rows = chain(3)
    assert broken([rows[0], replace(rows[1], what=what), rows[2]])[0] == 2
    with pytest.raises(InvalidInputError):
        Entry.from_dict({**rows[1].to_dict(), "what": what})
