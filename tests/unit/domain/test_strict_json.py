"""A document has one reading, or none."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ums.domain import strict_json
from ums.domain.canonical import canonical_json
from ums.domain.strict_json import MAX_DEPTH, StrictJSONError, load_canonical, loads

SAFE = 2**53 - 1
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-SAFE, SAFE) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcdef"), inner, max_size=3),
)


@given(VALUES)
def test_what_canonical_json_writes_is_read_back(value: object) -> None:
    """Everything that UMS writes has a reading, which is the same value."""
    assert load_canonical(canonical_json(value)) == value


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not JSON"),
        (b"nul", "not JSON"),
        (b"{} {}", "not JSON"),
        (b'{"a":1,}', "not JSON"),
        (b'"\x00"', "not JSON"),
        (b'"\n"', "not JSON"),
        (b"01", "not JSON"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b'"\xff"', "not UTF-8"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        (b'"\xc0\xaf"', "not UTF-8"),
        ('"x"'.encode("utf-16"), "not UTF-8"),
        ('"x"'.encode("utf-16-be"), "not JSON"),
        (b'{"a":1,"a":1}', "'a' and 'a' of one object"),
        (b'{"layers":1,"Layers":1}', "'layers' and 'Layers' of one object"),
        (b'{"layers":1,"\\u006cayers":1}', "'layers' and 'layers' of one object"),
        ('{"layers":1,"layer\u017f":1}'.encode(), "of one object"),
        ('{"kind":1,"\u212aind":1}'.encode(), "of one object"),
        ('{"stra\u00dfe":1,"STRASSE":1}'.encode(), "of one object"),
        (b'[[{"b":{"a":1,"A":1}}]]', "'a' and 'A' of one object"),
        (b'{"a\\u0000":1}', "control character"),
        (b'{"a\\u001b[2J":1}', "control character"),
        (b'{"a\\ud800":1}', "half a surrogate"),
        (b'"\\ud800"', "half a surrogate"),
        (b'["\\udc00\\ud800"]', "half a surrogate"),
        (b"NaN", "NaN"),
        (b"-Infinity", "-Infinity"),
        (b"1.0", "not an integer"),
        (b"1e2", "not an integer"),
        (b"-0", "not an integer"),
        (b"9007199254740992", "53 bits"),
        (b"-9007199254740992", "53 bits"),
        (b"1" * 5000, "53 bits"),
        (b"[" * (MAX_DEPTH + 2) + b"]" * (MAX_DEPTH + 2), "levels deep"),
        (b'{"a":' * 100_000, "levels deep"),
        (b" " * 11, "more than 10 bytes"),
    ],
)
def test_what_has_no_or_another_reading_is_rejected(content: bytes, says: str) -> None:
    """Whatever Go and Python read differently, or one of them not at all, and whatever costs without end."""
    with pytest.raises(StrictJSONError, match=re.escape(says)):
        loads(content, limit=10 if says == "more than 10 bytes" else 1 << 20)


def test_without_the_rules_python_takes_one_of_two() -> None:
    """What is rejected above would be read, and in Go otherwise: it takes the last member that it matches."""
    assert json.loads('{"layers":1,"Layers":2}') == {"layers": 1, "Layers": 2}
    assert json.loads('{"layers":1,"layers":2}') == {"layers": 2}


def test_numbers_with_a_fraction_are_for_what_is_not_signed() -> None:
    """They are read if asked for, but never an infinite one."""
    assert loads(b"[1.5, 1e2]", floats=True) == [1.5, 100.0]
    with pytest.raises(StrictJSONError, match="member 'a' has number 1e999"):
        loads(b'{"a":[1e999]}', floats=True)


@pytest.mark.parametrize("content", [b'{"b":1,"a":1}', b'{"a": 1}', b'"\\u0061"', b'"\\/"', b'"a"\n', b'"\\u00e4"'])
def test_canonical_is_one_spelling(content: bytes) -> None:
    """Another order, space or escape of the same value is rejected where bytes are known in advance."""
    assert loads(content) is not None
    with pytest.raises(StrictJSONError, match="not canonical"):
        load_canonical(content)


def test_members_are_those_expected() -> None:
    """A member that is missing, unknown, or known to Go alone is named."""
    assert strict_json.members({"a": 1, "b": 2}, "it", required=("a",), optional=("b",)) == {"a": 1, "b": 2}
    assert strict_json.members({"a": 1, "x": 2}, "it", required=("a",), others=True) == {"a": 1, "x": 2}
    for value, others, says in (
        ([], False, "it is not an object"),
        ({}, False, "it lacks member 'a'"),
        ({"a": 1, "x": 2}, False, "it has an unknown member 'x'"),
        ({"A": 1}, True, "it has member 'A', which Go reads as 'a'"),
        ({"a": 1, "B": 1}, True, "it has member 'B', which Go reads as 'b'"),
    ):
        with pytest.raises(StrictJSONError, match=says):
            strict_json.members(value, "it", required=("a",), optional=("b",), others=others)


def test_values_are_of_the_type_expected() -> None:
    """A boolean is no number, and nothing is converted."""
    assert strict_json.integer(5, "it") == 5
    assert strict_json.strings({"a": "b"}, "it") == {"a": "b"}
    wrong: list[tuple[Callable[[object, str], object], str, tuple[object, ...]]] = [
        (strict_json.integer, "it is not an integer", (True, "5", 5.0, None, -1, 2**60)),
        (strict_json.text, "it is not a string", (1, None, ["a"])),
        (strict_json.boolean, "it is neither true nor false", (0, "true", None)),
        (strict_json.array, "it is not an array", ({}, "a", None)),
        (strict_json.strings, "it", ([], {"a": None}, {"a": 1})),
    ]
    for read, says, values in wrong:
        for value in values:
            with pytest.raises(StrictJSONError, match=says):
                read(value, "it")


def test_what_go_does_not_read_may_have_any_name_and_number() -> None:
    """Answers and records hold labels in two cases, large numbers and fractions; a member twice is still rejected."""
    content = b'{"Env":1,"env":1.5,"a\\u0000":123456789012345678901}'
    assert loads(content, go=False) == {"Env": 1, "env": 1.5, "a\x00": 123456789012345678901}
    for wrong in (b'{"a":1,"a":2}', b"NaN", b"1e999", b'"\\ud800"', b"[" * 100_000, b"\xef\xbb\xbf1", b"1 1"):
        with pytest.raises(StrictJSONError):
            loads(wrong, go=False)
