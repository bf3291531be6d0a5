"""Canonical JSON is one spelling for one value (RFC 8785)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ums.domain.canonical import canonical_json
from ums.domain.errors import InvalidInputError

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_reading_and_writing_again_changes_nothing(value: Any) -> None:  # noqa: ANN401 - any JSON
    """Canonical JSON holds its value, and its canonical form is itself."""
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text


@given(st.dictionaries(st.text(), st.integers(), min_size=2, max_size=6))
def test_the_order_of_members_does_not_count(value: dict[str, int]) -> None:
    """Equal mappings have equal bytes."""
    assert canonical_json(dict(reversed(value.items()))) == canonical_json(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"b": 1, "a": [True, None, ()]}, '{"a":[true,null,[]],"b":1}'),
        ("\u20ac\n\x0f\"\\/<'", '"€\\n\\u000f\\"\\\\/<\'"'),
        # The specification's own example of order by UTF-16 units: U+1F600 stands before U+FB33.
        (
            {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\x80": 6, "\xf6": 7},
            '{"\\r":2,"1":4,"\x80":6,"ö":7,"€":1,"😀":5,"\ufb33":3}',
        ),
    ],
)
def test_spelling_follows_the_specification(value: Any, expected: str) -> None:  # noqa: ANN401 - any JSON
    """Order, escapes and spaces are those of RFC 8785."""
    assert canonical_json(value) == expected.encode()


@pytest.mark.parametrize("value", [1.0, float("nan"), {1: 2}, b"x", {1, 2}, object(), [[1.5]], "\ud800", {"\ud800": 1}])
def test_what_has_no_one_spelling_is_refused(value: Any) -> None:  # noqa: ANN401 - anything
    """What cannot be signed reproducibly is not signed."""
    with pytest.raises(InvalidInputError):
        canonical_json(value)
