"""What is hidden in text is shown, or refused."""

from __future__ import annotations

import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ums.domain.errors import InvalidInputError
from ums.domain.text import MULTI_LINE, check_plain, is_plain, plain, plain_json

CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
HOSTILE = (
    *("\x00", "\x07", "\b", "\r", "\x1b", "\x7f", "\x85", "\x9b"),  # controls, of which some begin sequences
    *("\u202a", "\u202e", "\u2066", "\u2069", "\u200e", "\u200f", "\u061c"),  # directions
    *("\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u3164", "\u180e"),  # blanks
    *("\u2800", "\ufe00", "\ufffc", "\ue000", "\uffff", "\U0010ffff"),  # blank, or of one font alone
    *("\u2028", "\u2029", "\ud800", "\udfff", "\U000e0001", "\U000e007f", "\U000e01ef"),
)
FINE = "Zoë, Łódź, 東京, العربية, שלום, naïve – “quoted” ✓ 🚀 ⚠️"


def test_every_hidden_character_of_unicode_is_known() -> None:
    """By their categories, in the version of Unicode that this Python has."""
    missed = [
        f"U+{code:04X}"
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in CATEGORIES and is_plain(chr(code))
    ]
    assert missed == []


@pytest.mark.parametrize("character", HOSTILE, ids=lambda character: f"U+{ord(character):04X}")
def test_what_is_hidden_is_shown_or_refused(character: str) -> None:
    """As an escape of printable ASCII."""
    text = f"a{character}b"
    assert not is_plain(text)
    assert plain(text).isascii()
    assert plain(text).isprintable()
    assert plain(text, keep=MULTI_LINE) == plain(text)
    with pytest.raises(InvalidInputError, match="at position 1"):
        check_plain(text, "the reason")


def test_what_people_write_stays() -> None:
    """Accents, scripts and emoji; line breaks only where they are expected."""
    assert plain(FINE) == FINE == check_plain(FINE, "the reason")
    assert plain("a\n\tb", keep=MULTI_LINE) == "a\n\tb"
    assert plain("a\n\tb") == r"a\n\tb"


@given(st.text(st.characters(exclude_categories=())))
def test_json_means_the_same(text: str) -> None:
    """With nothing hidden in it."""
    shown = plain_json(json.dumps([text], ensure_ascii=False, indent=2))
    assert json.loads(shown) == [text]
    assert is_plain(shown, keep="\n")
