"""Objects are read only where Flux, Helm and PyYAML read the same, and are written so that all of them do."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ums.adapters import _objects
from ums.adapters._objects import MAX_KEY, read_objects, write_objects
from ums.adapters._yaml import MAX_ALIASES, MAX_BYTES, MAX_DEPTH, load
from ums.domain.errors import SpecError

TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x85"), max_size=12)
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS | TEXT,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(TEXT.filter("<<".__ne__), children, max_size=3),
    max_leaves=10,
)


@given(st.lists(st.dictionaries(TEXT.filter(lambda key: key not in {"<<", "kind"}), VALUES, min_size=1), max_size=3))
def test_what_is_written_is_read_by_all(objects: list[dict[str, Any]]) -> None:
    """Nothing is lost or taken for something else, by this reader or by the one with Go's rules for PyYAML."""
    written = write_objects(objects)
    assert read_objects(written, "x.yaml") == objects
    assert [load(write_objects([each]), "x.yaml") for each in objects] == objects
    assert write_objects(read_objects(written, "x.yaml")) == written


def test_objects_are_written_as_documents_of_json() -> None:
    """Keys keep their order, each text is one line in quotes, and only YAML's own characters stand in it."""
    item = {"z": "---\n# a: yes", "a": [1, 0.5, None, True, "yes", "\x7f\u2028\ufeffä\U0001f600"]}
    assert write_objects([item, {"b": {}}]).decode() == (
        '{\n  "z": "---\\n# a: yes",\n  "a": [\n    1,\n    0.5,\n    null,\n    true,\n    "yes",\n'
        '    "\\u007f\\u2028\\ufeffä\U0001f600"\n  ]\n}\n---\n{\n  "b": {}\n}\n'
    )


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"a: 1\n--- # note\n---\t\n\na: 2\n...\n# end\n", [{"a": 1}, {"a": 2}]),
        (b"a: b\r\n---\r\nc: |\r\n  x\r\n  ---\r\n", [{"a": "b"}, {"c": "x\n---\n"}]),
        (b"a: [0644, +5, -0, 1e3, .5, 1., 0.10]", [{"a": [420, 5, 0, 1000.0, 0.5, 1.0, 0.1]}]),
        (b"a: [True, FALSE, ~, Null, null]", [{"a": [True, False, None, None, None]}]),
        (b"a: [22:22, 1.2.3, tRUE, =, 1d, 0x, '1_000', \"on\", 2026-12]", None),
        (b"a: &x {b: 1}\nc: *x\nd: {<<: *x, b: 2, e: 3}", [{"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 2, "e": 3}}]),
        (b"8080: a\ntrue: b\n'on': c", [{"8080": "a", "true": "b", "on": "c"}]),
        (b"? a\n: b", [{"a": "b"}]),
        (b"a: >-\n  x\n  y\nb:\n", [{"a": "x y", "b": None}]),
        (b"{}\n---\n---\n# nothing", []),
        (b"kind: List\nitems:\n- {kind: PodList, items: [{a: 1}]}\n- {b: 2}", [{"a": 1}, {"b": 2}]),
        (b"kind: PodList\nitems:", []),
        (b"kind: Shoplist\nitems: [1]", [{"kind": "Shoplist", "items": [1]}]),
        (b"kind: List", [{"kind": "List"}]),
        (b"kind: AllowList\nspec: {}", [{"kind": "AllowList", "spec": {}}]),
    ],
)
def test_what_all_readers_take_for_the_same_is_read(content: bytes, value: list[Any] | None) -> None:
    """Comments, aliases, folded text and numbers of ordinary charts are not in the way."""
    if value is None:
        value = [{"a": ["22:22", "1.2.3", "tRUE", "=", "1d", "0x", "1_000", "on", "2026-12"]}]
    read = read_objects(content, "x.yaml")
    assert read == value
    assert repr(read) == repr(value)


DIFFERS = [
    (b"a: 1\n---b: 2\n", 2, "begin another document"),
    (b"a: 1\n--- {b: 2}\n", 2, "begin another document"),
    (b"a: 'x\n---# '\n", 2, "begin another document"),
    (b"a: 1\n----\n", 2, "begin another document"),
    (b"a: 1\n...\n---\n...\n{b: 2}\n...\nc: 3\n", 4, "not YAML"),
    (b"a: 1\n...\n{b: 2}\n", 3, "not YAML"),
    (b"--- # x\n%YAML 1.1\n---\na: 1\n", 2, "directives"),
    (b"%TAG ! tag:x,2000:\n---\na: 1\n", 1, "directives"),
    (b"a:\n- !!binary aW1n\n", 2, "tags such as tag:yaml.org,2002:binary"),
    (b"a: !!str 1\n", 1, "tags such as"),
    (b"a: ! 1\n", 1, "tags such as !"),
    (b"!x\na: 1\n", 1, "tags such as !x"),
    (b"!!str a: 1\n", 1, "a key is not plain text"),
    (b"&a b: 1\n", 1, "a key is not plain text"),
    (b"? [a]\n: 1\n", 1, "a key is not plain text"),
    (b"a: &b c\n*b : 1\n", 2, "a key is not plain text"),
    (b"a: 1\nb: 2\na: 3\n", 3, "duplicate key a"),
    (b"1: 1\n'1': 2\n", 2, "duplicate key 1"),
    (b"a: &x {b: 1}\nc: {b: 2, <<: *x}\n", 2, "duplicate key b"),
    (b"a: &x {b: 1}\nc: {<<: [*x, *x]}\n", 2, "duplicate key b"),
    (b"a: {<<: 1}\n", 1, "<< merges mappings only"),
    (b"'<<': {a: 1}\n", 1, "the key << is a merge to some readers"),
    (b"a: &x 1\nb: &x 2\n", 2, "the anchor x is defined twice"),
    (b"a: &x [*x]\n", 1, "the alias x refers to nothing"),
    (b"a: &x 1\n---\nb: *x\n", 3, "the alias x refers to nothing"),
    (b"a: {b: , c: 1}\n", 1, "readers of YAML differ on an omitted value"),
    (b"a: 1\ny: 2\n", 2, "readers of YAML differ on y"),
    (b"1.0: 2\n", 1, "readers of YAML differ on the key 1.0"),
    (b"010: 2\n", 1, "readers of YAML differ on the key 010"),
    (b"True: 2\n", 1, "readers of YAML differ on the key True"),
    (b"? \n: 2\n", 1, "readers of YAML differ on the key (empty)"),
    *(
        (f"a: {text}\n".encode(), 1, f"readers of YAML differ on {text}")
        for text in (
            "yes",
            "No",
            "on",
            "OFF",
            "y",
            "N",
            "1_000",
            "-_1",
            "0o14",
            "0x1F",
            "0b1",
            "-0B1",
            "08",
            ".inf",
            ".NaN",
        )
    ),
    *(
        (f"a: {text}\n".encode(), 1, f"readers of YAML differ on {text}")
        for text in ("2026-12-01", "2026-1-1T06:00:00Z", "2026-12-01 06:00:00")
    ),
    (b"a: 9223372036854775808\n", 1, "does not fit 64 bits"),
    (b"a: -" + b"9" * 5000 + b"\n", 1, "does not fit 64 bits"),
    (b"a: 1e999\n", 1, "larger than any number"),
    (b"\xef\xbb\xbfa: 1\n", 1, "U+FEFF"),
    (b"a: 1\rb: 2\n", 1, "U+000D"),
    ("a: 1 # x\u2028b: 2\n".encode(), 1, "U+2028"),
    ("\n# x\u0085b: 2\n".encode(), 2, "U+0085"),
    (b'a: "\\N"\n', 1, "U+0085"),
    (b'"a\\x85": 1\n', 1, "U+0085"),
    (b"a: \0\n", 1, "U+0000"),
    ("a: 1\n".encode("utf-16"), 0, "not UTF-8"),
]


@pytest.mark.parametrize(("content", "line", "says"), DIFFERS, ids=lambda value: repr(value)[:40])
def test_what_readers_take_for_different_things_is_refused(content: bytes, line: int, says: str) -> None:
    """A refusal names file and line."""
    with pytest.raises(SpecError) as caught:
        read_objects(content, "some/x.yaml")
    assert says in caught.value.message
    assert (caught.value.file, caught.value.line) == ("some/x.yaml", line)


def test_pyyaml_reads_most_of_it() -> None:
    """The defence off: PyYAML takes most of these for something."""

    def is_read(content: bytes) -> bool:
        try:
            return bool(list(yaml.safe_load_all(content)))
        except (yaml.YAMLError, ValueError):
            return False

    assert sum(is_read(content) for content, _, _ in DIFFERS) > len(DIFFERS) * 0.6


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"- a", "is not a mapping"),
        (b"text", "is not a mapping"),
        (b"kind: List\nitems: [1]", "this list has an item"),
        (b"kind: List\nitems: {a: 1}", "this list has an item"),
        (b"kind: SecretList\nitems: {a: 1}", "this list has an item"),
        (b"kind: List\nfunctionConfig: {}", "has apiVersion, kind, metadata and items only"),
        (b"a: [", "not YAML"),
        (b"a: " + b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), f"nested more than {MAX_DEPTH} deep"),
        (b"a: &x " + b"[" * 60 + b"]" * 60 + b"\nb: " + b"[" * 60 + b"*x" + b"]" * 60, f"more than {MAX_DEPTH} deep"),
        (b"a: " + b"[" * 100_000, f"nested more than {MAX_DEPTH} deep"),
        (b"a: &x 1\nb: [" + b"*x, " * MAX_ALIASES + b"*x]", f"more than {MAX_ALIASES} aliases"),
        (b"a: " + b"x" * MAX_BYTES, "more than 1,048,576"),
        (b'"' + b"x" * MAX_KEY + b'": 1', "this key is longer than"),
    ],
)
def test_limits_hold(content: bytes, says: str) -> None:
    """What is no object, or too much of one, is refused."""
    with pytest.raises(SpecError) as caught:
        read_objects(content, "x.yaml")
    assert says in caught.value.message


def test_aliases_count_as_what_they_become(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bomb is refused before it is used."""
    monkeypatch.setattr(_objects, "MAX_NODES", 2000)
    bomb = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 5)}]\n" for n in range(1, 8))
    with pytest.raises(SpecError, match="more than 2,000 values"):
        read_objects(bomb.encode(), "x.yaml")


@given(st.binary(max_size=60) | st.text("[]{}&*a:-?|>!%#\"'\\ \n\t,0<", max_size=40).map(str.encode))
def test_any_bytes_are_objects_or_refused(content: bytes) -> None:
    """Reading ends with objects, which are written and read back, or in one kind of error."""
    try:
        objects = read_objects(content, "x.yaml")
    except SpecError as error:
        assert error.file == "x.yaml"  # noqa: PT017 - either way is right
    else:
        assert read_objects(write_objects(objects), "x.yaml") == objects
