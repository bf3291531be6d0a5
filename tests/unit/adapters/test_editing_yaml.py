"""Changing single fields of a file that people write."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given as given_that
from hypothesis import strategies as st

from ums.adapters._yaml import dump, edit, load
from ums.domain.errors import SpecError

FILE = """\
# whose it is
channel: stable  # since May
bundles:
  - platform  # all of it
  # flux comes later
labels:
  region: eu

ask: true
"""


@pytest.mark.parametrize(
    ("fields", "lines"),
    [
        ({"channel": "edge"}, {1: "channel: edge  # since May"}),
        ({"ask": None}, {8: None}),
        ({"channel": None}, {1: "# since May"}),
        ({"wariness": 0.5}, {9: "wariness: 0.5"}),
        ({"labels": {"region": "us"}}, {6: "  region: us"}),
        ({"bundles": ["platform"]}, {3: "- platform  # all of it"}),
        ({}, {}),
    ],
)
def test_only_the_lines_of_the_field_change(fields: dict[str, Any], lines: dict[int, str | None]) -> None:
    """Comments and order are people's own."""
    wanted: list[str | None] = [*FILE.splitlines(), *([None] * 9)]
    for number, line in lines.items():
        wanted[number] = line
    assert edit(FILE.encode(), fields, "f").decode().splitlines() == [line for line in wanted if line is not None]


@pytest.mark.parametrize(
    "before", ["", "{a: 1, b: [1, 2]}\n", "a: &x {c: 1}\nb: *x\n", "a: |\n  text\n\nb: 2", "# only\n"]
)
def test_whatever_a_file_looks_like_it_says_what_was_meant(before: str) -> None:
    """If its text cannot be kept, its meaning is."""
    assert load(edit(before.encode(), {"a": {"new": [1]}, "d": None}, "f"), "f") == {
        **(load(before.encode(), "f") or {}),
        "a": {"new": [1]},
    }


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text("ab", min_size=1, max_size=2), inner, max_size=2)
    ),
    max_leaves=5,
)
_MAPPINGS = st.dictionaries(st.text("abc:# ", min_size=1, max_size=3), _VALUES, max_size=4)


@given_that(_MAPPINGS, _MAPPINGS)
def test_an_edited_file_is_the_old_one_with_the_fields(before: dict[str, Any], fields: dict[str, Any]) -> None:
    """Whatever they hold."""
    wanted = {key: value for key, value in {**before, **fields}.items() if value is not None}
    assert (load(edit(dump(before), fields, "f"), "f") or {}) == wanted


def test_a_file_that_is_no_mapping_is_not_edited() -> None:
    """Nothing is guessed."""
    with pytest.raises(SpecError, match="one mapping was expected"):
        edit(b"- x\n", {"a": 1}, "f")
