"""Values of a single data plane: what they may be, and that they have one text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.domain.worlds import PROD
from ums.domain.errors import InvalidInputError
from ums.domain.fleet import Registration
from ums.domain.values import MAX_VALUES_BYTES, MAX_VALUES_DEPTH, check_values, values_text

TEXT = st.characters(exclude_categories=["Cs"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(TEXT, max_size=20)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(TEXT, max_size=8), inner, max_size=3),
    max_leaves=10,
)
VALUES = st.dictionaries(st.text(TEXT, max_size=8), JSON, min_size=1, max_size=4)


def nested(depth: int) -> dict[str, Any]:
    """Return values of a depth."""
    return {"a": nested(depth - 1)} if depth else {}


@given(values=VALUES)
def test_their_text_says_all_of_them_in_one_way(values: dict[str, Any]) -> None:
    """The order in which people write keys changes nothing, or a harmless edit would be a new state."""
    text = values_text(values)
    assert json.loads(text) == values
    assert values_text(dict(reversed(values.items()))) == text
    assert text.isascii()
    assert "\n" not in text


def test_no_values_have_no_text() -> None:
    """An empty mapping is as good as none."""
    assert values_text({}) == ""


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (float("nan"), "no number that JSON has"),
        (float("inf"), "no number that JSON has"),
        (2**53 + 1, "Helm would round"),
        (-(2**60), "Helm would round"),
        (b"bytes", "bytes, which JSON does not have"),
        ({1, 2}, "set, which JSON does not have"),
        ({1: "a"}, "a key that is no text"),
        ({"a": [{True: "a"}]}, "a key that is no text"),
        ("\ud800", "half a surrogate pair"),
        ({"\ud800": 1}, "half a surrogate pair"),
        (nested(MAX_VALUES_DEPTH), "nested more than 50 deep"),
        ("a" * MAX_VALUES_BYTES, "bytes as JSON, more than 65,536"),
    ],
)
def test_what_does_not_reach_a_chart_as_it_is_is_refused(value: object, problem: str) -> None:
    """Better than that it arrives as something else."""
    with pytest.raises(InvalidInputError, match=problem):
        check_values({"platform": {"cilium": {"x": value}}})


def test_the_limit_is_for_all_components_together() -> None:
    """They stand in one state, and in one ConfigMap."""
    half = {"x": "a" * (MAX_VALUES_BYTES // 2)}
    check_values({"platform": {"cilium": half}})
    with pytest.raises(InvalidInputError, match="bytes"):
        check_values({"platform": {"cilium": half, "gateway": half}})


@pytest.mark.parametrize("values", [{"Platform": {}}, {"platform": {"../x": {}}}])
def test_they_are_by_names_of_bundles_and_components(values: dict[str, Any]) -> None:
    """Nothing else can be a folder."""
    with pytest.raises(InvalidInputError, match="not a valid"):
        check_values(values)


def test_a_sealed_data_plane_has_none_in_its_registration() -> None:
    """It is said at once, and with what to do instead, rather than found out in the cluster."""
    with pytest.raises(InvalidInputError, match="is sealed") as refused:
        Registration(PROD, "stable", ("platform",), values={"platform": {"cilium": {"a": 1}}})
    assert "ums-values-<bundle>-<component>" in refused.value.hint
