"""YAML is read within limits, wrong files are named by line and field, and Go reads what we write as we do."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from ums.adapters._yaml import (
    MAX_ALIASES,
    MAX_BYTES,
    MAX_DEPTH,
    Duration,
    StrictModel,
    Template,
    dump,
    dump_all,
    load,
)
from ums.adapters._yaml import validate as validate_as
from ums.domain.errors import SpecError

PRINTABLE = st.text(st.characters(blacklist_categories=["Cs", "Cc", "Co", "Cn"]), max_size=12)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | PRINTABLE
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(PRINTABLE, children, max_size=3),
    max_leaves=10,
)
GO_SCALARS = [
    ("1e3", 1000.0),
    ("12e5", 1200000.0),
    ("1e-3", 0.001),
    ("y", True),
    ("N", False),
    ("on", True),
    ("0o14", 12),
    ("0755", 493),
    ("0x1f", 31),
    ("1_000", 1000),
    ("08", 8.0),
    ("~", None),
    (".5", 0.5),
    ("22:22", "22:22"),
    ("1:30.5", "1:30.5"),
    ("2026-12-01", "2026-12-01"),
    ("2026-12-01T06:00:00Z", "2026-12-01T06:00:00Z"),
    ("=", "="),
    ("tRUE", "tRUE"),
]


class Wheel(StrictModel):
    """A part with a field of its own."""

    spoke_count: int = Field(gt=0)


class Cart(StrictModel):
    """Something to validate."""

    name: str
    wheels: list[Wheel] = Field(default_factory=list)
    timeout: Duration = "1m"


@pytest.mark.parametrize(("text", "value"), GO_SCALARS)
def test_plain_scalars_are_what_go_takes_them_for(text: str, value: object) -> None:
    """What UMS decides on is what Kubernetes and Helm will see (each case seen on Helm 4.2)."""
    loaded = load(text.encode(), "x.yaml")
    assert (loaded, type(loaded)) == (value, type(value))


@pytest.mark.parametrize("text", [text for text, _ in GO_SCALARS] + ["", "null", "1234e567890", "-", "a: b", "#", "<<"])
def test_text_that_looks_like_something_else_is_quoted(text: str) -> None:
    """Text stays text for PyYAML's own rules as for Go's."""
    written = dump({"key": text, text: 1})
    assert load(written, "x.yaml") == {"key": text, text: 1}
    assert yaml.safe_load(written) == {"key": text, text: 1}


@given(st.dictionaries(PRINTABLE, VALUES, max_size=4))
def test_what_is_written_reads_back(data: dict[str, Any]) -> None:
    """Writing loses nothing, and writing again gives the same bytes."""
    written = dump(data)
    assert load(written, "x.yaml") == data
    assert dump(load(written, "x.yaml")) == written


def test_writing_keeps_order_and_writes_everything_out() -> None:
    """Fields keep their order, and what is used twice is written twice."""
    shared = {"z": 1, "a": [1, 2]}
    assert dump({"second": shared, "first": shared}) == (
        b"second:\n  z: 1\n  a:\n  - 1\n  - 2\nfirst:\n  z: 1\n  a:\n  - 1\n  - 2\n"
    )


def test_several_documents_are_one_file() -> None:
    """Documents are parted by dashes."""
    assert dump_all([{"a": 1}, {"b": 2}]) == b"a: 1\n---\nb: 2\n"


@given(st.binary(max_size=60) | st.text("[]{}&*a:-?|>!%#\"'\\ \n\t,0", max_size=40).map(str.encode))
def test_any_bytes_are_yaml_or_refused(content: bytes) -> None:
    """Reading ends with a value or in one kind of error."""
    try:
        load(content, "x.yaml")
    except SpecError as error:
        assert error.file == "x.yaml"  # noqa: PT017 - either way is right


BOMB = b"a0: &a0 [x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        (b"a: 1\nb: 2\na: 3\n", 3, "stands here twice"),
        (b"a:\n  b: 1\n  b: 2\n", 3, "a.b: this key stands here twice"),
        (b"- {a: 1, a: 2}", 1, "stands here twice"),
        (BOMB, 1, f"more than {MAX_ALIASES} aliases"),
        (b"&a [*a]", 1, f"more than {MAX_ALIASES} aliases"),
        (b"[" * 500_000, 1, f"nested more than {MAX_DEPTH} deep"),
        (b"- " * 500_000, 1, f"nested more than {MAX_DEPTH} deep"),
        (b"{a: " * 200_000, 1, f"nested more than {MAX_DEPTH} deep"),
        (b"a: " + b"x" * MAX_BYTES, 0, "more than 1,048,576"),
        (b"a: [\nb", 3, "not YAML"),
        (b"\ta: 1", 1, "not YAML"),
        (b"a: !!python/object/apply:os.system [x]", 1, "not YAML"),
        (b"\x80", 0, "not YAML"),
        (b'"\\ud800"', 1, "not YAML"),
        (b"9" * 5000, 0, "not YAML"),
        (b"a: 1\n---\nb: 1\n", 0, "one document was expected"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(content: bytes, line: int, says: str) -> None:
    """Refusals name file, line and problem; nothing in a file ends the process or fills its memory."""
    with pytest.raises(SpecError) as caught:
        load(content, "some/x.yaml")
    assert (caught.value.file, caught.value.line) == ("some/x.yaml", line)
    assert says in caught.value.message


def test_a_few_aliases_are_fine() -> None:
    """Anchors are YAML's own way not to repeat oneself."""
    assert load(b"a: &a {x: 1}\nb: {<<: *a, z: 2}\nc: *a\n", "x.yaml")["b"] == {"x": 1, "z": 2}


def test_a_file_becomes_its_model() -> None:
    """Fields are camelCase in files."""
    cart = validate_as(Cart, b"name: x\nwheels:\n  - spokeCount: 8\n", "cart.yaml")
    assert cart == Cart(name="x", wheels=[Wheel(spoke_count=8)])


@pytest.mark.parametrize(
    ("content", "line", "field", "says", "hint"),
    [
        (b"wheels: []\nnmae: x\n", 2, "nmae", "this field is not known (and 1 more)", "did you mean name?"),
        (
            b"name: x\nwheels:\n  - spokeCount: 1\n  - spokeCuont: 8\n    spokeCount: 8\n",
            4,
            "wheels[1].spokeCuont",
            "this field is not known",
            "did you mean spokeCount?",
        ),
        (b"name: x\nzzz: 1\n", 2, "zzz", "this field is not known", "JSON Schema"),
        (b"wheels: []\n", 1, "name", "this field is missing", ""),
        (b"name: x\nwheels:\n  - {}\n", 3, "wheels[0].spokeCount", "this field is missing", ""),
        (b"name: x\nwheels:\n  - spokeCount: 0\n", 3, "wheels[0].spokeCount", "greater than 0", ""),
        (b"name: 1\n", 1, "name", "valid string", ""),
        (b"name: x\ntimeout: soon\n", 2, "timeout", "not a duration; write 30m", ""),
        (b"name: x\ntimeout: 5\n", 2, "timeout", "text was expected", ""),
        (b"name: 1\ntimeout: 5\nzzz: 1\n", 3, "zzz", "(and 2 more)", ""),
        (b"", 1, "", "one mapping was expected", ""),
        (b"- a\n", 1, "", "one mapping was expected", ""),
        (b"a: 1\n---\nb: 1\n", 1, "", "one mapping was expected", ""),
    ],
)
def test_what_does_not_fit_is_named_with_line_and_field(
    content: bytes, line: int, field: str, says: str, hint: str
) -> None:
    """A problem is told with its place and with what was expected."""
    with pytest.raises(SpecError) as caught:
        validate_as(Cart, content, "cart.yaml")
    assert (caught.value.file, caught.value.line, caught.value.field) == ("cart.yaml", line, field)
    assert says in caught.value.message
    assert hint in caught.value.hint


_TEXT = st.one_of(
    st.text(max_size=30),
    st.from_regex(r"(\./)?[a-z0-9./+:-]{1,20}", fullmatch=True),
    st.from_regex(r"[0-9]{1,12}|\{\"[!-~]{0,60}\}", fullmatch=True),
    st.sampled_from(["", "1e3", "null", "on", "007", "./pdps/on/1e3", "a/b: c", "é/x", "x" * 5000, "a\nb", "{}", "~"]),
)


@given(first=st.tuples(_TEXT, _TEXT), second=st.tuples(_TEXT, _TEXT))
def test_a_template_writes_what_dump_writes(first: tuple[str, str], second: tuple[str, str]) -> None:
    """Byte for byte, whatever the text and whatever stood there when it was made."""

    def document(top: str, deep: str) -> dict[str, Any]:
        return {"a": {"b": {"c": deep}, "list": [1, {"x": "y"}]}, "top": top, "end": None}

    template = Template(document(*first), [("top",), ("a", "b", "c")])
    assert template.dump(document(*second)) == dump(document(*second))


@given(_TEXT | st.sampled_from(["on", "'on'", '"x"', "''", "'a''b'", "{a: b}", "&a b", "x # y", "|", "a\nb: c"]))
def test_a_template_reads_what_it_wrote_and_nothing_else(text: str) -> None:
    """What it takes for its own means the same to everybody."""
    template = Template({"a": {"b": "c"}, "d": "e"}, [("a", "b")])
    written = template.dump({"a": {"b": text}, "d": "e"})
    assert template.load(written) in (None, {"a": {"b": text}, "d": "e"})
    assert template.load(written + b"f: g\n") is None
    content = f"a:\n  b: {text}\nd: e\n".encode()
    found = template.load(content)
    assert found is None or found == load(content, "f")


def test_a_template_reads_quickly_what_is_usual() -> None:
    """Paths, and text in quotes or without."""
    template = Template({"a": "", "b": ""}, [("b",), ("a",)])
    document = {"a": '{"x":[]}', "b": "1e3"}
    assert template.load(template.dump(document)) == document


@pytest.mark.parametrize("text", ["ums/cut-here/0", "x ums/cut-here/0", "ums/cut-here/7"])
def test_a_template_is_not_led_astray_by_its_own_mark(text: str) -> None:
    """Then it dumps as ever."""
    template = Template({"a": text, "b": "c"}, [("b",)])
    assert template.dump({"a": text, "b": "d"}) == dump({"a": text, "b": "d"})


def test_a_field_that_holds_no_text_is_dumped() -> None:
    """It has another form wherever it stands."""
    assert Template({"a": "b"}, [("a",)]).dump({"a": [1]}) == dump({"a": [1]})
