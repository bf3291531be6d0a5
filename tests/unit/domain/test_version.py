"""Versions are ordered as SemVer says, and ranges hold what npm's hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ums.domain.errors import InvalidInputError
from ums.domain.version import Version, VersionRange

Term = tuple[str, tuple[int, ...]]
Core = tuple[int, int, int]

NUMBERS = st.integers(0, 3)
CORES: st.SearchStrategy[Core] = st.tuples(NUMBERS, NUMBERS, NUMBERS)
TERMS: st.SearchStrategy[Term] = st.tuples(
    st.sampled_from(["", "=", "~", "^", ">", ">=", "<", "<="]), st.lists(NUMBERS, min_size=1, max_size=3).map(tuple)
)


def naive(term: Term, version: Core) -> bool:
    """Return whether a version without pre-release satisfies a term, by comparing beginnings."""
    symbol, numbers = term
    full = (*numbers, 0, 0)[:3]
    same = len(numbers)
    if symbol == "~":
        same = min(same, 2)
    elif symbol == "^":
        same = next((index + 1 for index, number in enumerate(numbers) if number), same)
    beginning = version[: len(numbers)]
    answers = {">": beginning > numbers, ">=": version >= full, "<": version < full, "<=": beginning <= numbers}
    return answers.get(symbol, version[:same] == numbers[:same] and version >= full)


@given(st.lists(st.lists(TERMS, min_size=1, max_size=3), min_size=1, max_size=2), CORES)
def test_ranges_agree_with_a_naive_model(alternatives: list[list[Term]], core: Core) -> None:
    """A range is an *or* of *and*s of comparisons."""
    text = " || ".join(
        " ".join(symbol + ".".join(map(str, numbers)) for symbol, numbers in terms) for terms in alternatives
    )
    expected = any(all(naive(term, core) for term in terms) for terms in alternatives)
    assert (Version(".".join(map(str, core))) in VersionRange(text)) is expected


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("1.4.2", ["1.4.2"], ["1.4.3", "1.4.2+build", "1.4.2-rc.1"]),
        ("1.4.x", ["1.4.0", "1.4.9"], ["1.5.0", "1.4.0-rc.1"]),
        ("*", ["0.0.1", "9.0.0"], ["1.0.0-rc.1"]),
        ("~1.4", ["1.4.0", "1.4.7"], ["1.5.0", "1.3.9"]),
        ("^0.2.3", ["0.2.3", "0.2.9"], ["0.3.0", "0.2.2"]),
        (">=1.2, <2", ["1.2.0", "1.9.9"], ["2.0.0", "1.1.9"]),
        (">=1.2 <2 || 3.x", ["3.4.5", "1.2.0"], ["2.5.0"]),
        (">=1.0.0-rc.1", ["1.0.0-rc.2", "1.0.0"], ["1.0.0-beta", "1.1.0-rc.1"]),
        ("<2.0.0", ["1.9.9"], ["2.0.0-rc.1"]),
        ("v1.4", ["1.4.0"], ["1.5.0"]),
    ],
)
def test_ranges_hold_what_people_expect(text: str, inside: list[str], outside: list[str]) -> None:
    """A range takes a release candidate only where it names one of the same version."""
    versions = VersionRange(text)
    assert [each for each in (*inside, *outside) if Version(each) in versions] == inside


@pytest.mark.parametrize("text", ["", " ", "latest", "1.2 - 1.4", "||", "1 ||", ">=", "1.2.3.4", ">=٣", "1" * 200])
def test_what_is_no_range_is_refused(text: str) -> None:
    """A range that cannot be read is an error, never an empty or full set."""
    with pytest.raises(InvalidInputError):
        VersionRange(text)


@given(st.text(alphabet="0123456789.xX*<>=~^|v-+ ,ab\n", max_size=20), CORES)
def test_any_text_is_a_range_or_refused(text: str, core: Core) -> None:
    """Reading a range never ends in another error, nor does asking it."""
    try:
        versions = VersionRange(text)
    except InvalidInputError:
        return
    assert (Version(".".join(map(str, core))) in versions) in {True, False}


@pytest.mark.parametrize("text", ["1.2", "v1.2.3", "1.2.3 ", "1.2.3\n", "01.2.3", "1.2.3-", "", "1.2.3-" + "a" * 200])
def test_what_is_no_version_is_refused(text: str) -> None:
    """Versions become tags and paths, so nothing but SemVer is let in."""
    with pytest.raises(InvalidInputError):
        Version(text)


def test_order_is_precedence_then_build() -> None:
    """A pre-release is before its release, and numbers are compared as numbers."""
    ordered = ["1.0.0-alpha", "1.0.0-alpha.2", "1.0.0-alpha.10", "1.0.0-rc.1", "1.0.0", "1.0.0+a", "1.0.0+b", "1.9.0"]
    assert [str(each) for each in sorted(map(Version, reversed(ordered)))] == ordered


def test_a_tag_has_no_plus() -> None:
    """OCI tags lack ``+``, for which Helm writes ``_``."""
    assert Version("1.2.3+build.4").tag == "1.2.3_build.4"


@pytest.mark.parametrize(("text", "exact"), [("1.2.3", True), ("1.2.3-rc.1", True), ("1.2", False), ("=1.2.3", False)])
def test_only_a_whole_version_is_exact(text: str, exact: bool) -> None:  # noqa: FBT001 - a table's column
    """A range that is a version names that one alone."""
    assert VersionRange(text).is_exact is exact


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        (">=1.30.0 <1.35.0", ["1.30.0", "1.34.0"]),
        (">1.30.0 <=1.35.2", ["1.30.1", "1.35.2"]),
        ("~1.30 || 1.33.x", ["1.30.0", "1.33.0"]),
        (">=1.30", ["1.30.0"]),
        ("<1.30.5", ["1.30.4"]),
        ("^1.30.2", ["1.30.2"]),
        ("1.30.2", ["1.30.2"]),
        ("1.30.2-rc.1", []),
        (">=1.31.0-rc.1 <1.32.0", ["1.31.0"]),
        ("<2.0.0", []),
        ("*", []),
    ],
)
def test_a_range_tells_its_ends(text: str, ends: list[str]) -> None:
    """What is tested at both ends holds, most likely, in between."""
    assert [str(version) for version in VersionRange(text).ends()] == ends
