"""One rule for every name that people choose."""

from __future__ import annotations

import pytest

from ums.domain.errors import InvalidInputError
from ums.domain.names import MAX_NAME_LENGTH, ComponentName, PDPName, check_name


@pytest.mark.parametrize("text", ["a", "0", "platform", "a-b", "a--b", "x" * MAX_NAME_LENGTH])
def test_labels_are_names(text: str) -> None:
    """RFC 1123 labels are let through unchanged."""
    assert check_name(text) == text


@pytest.mark.parametrize(
    "text", ["", "-a", "a-", "A", "a.b", "a/b", "..", "a b", "a\n", "á", "a_b", "x" * (MAX_NAME_LENGTH + 1)]
)
def test_other_text_is_no_name(text: str) -> None:
    """A name becomes a path, a URL and a Kubernetes name, so all that is special in one of them is refused."""
    with pytest.raises(InvalidInputError, match="not a valid channel name"):
        check_name(text, "channel name")


@pytest.mark.parametrize("text", ["acme", "acme/", "/prod", "acme/prod/x", "Acme/prod", "acme/../x"])
def test_a_data_plane_has_two_names(text: str) -> None:
    """Exactly one slash parts the organization from the data plane."""
    with pytest.raises(InvalidInputError):
        PDPName.parse(text)


def test_names_read_as_they_print() -> None:
    """Parsing the text of a data plane's name gives the name."""
    assert PDPName.parse(str(PDPName("acme", "prod"))) == PDPName("acme", "prod")


def test_a_component_names_its_objects() -> None:
    """The wrapper and what it applies are of one kind, so their names differ."""
    name = ComponentName("platform", "cilium")
    assert (str(name), name.object_name, name.content_name) == (
        "platform/cilium",
        "platform-cilium",
        "platform-cilium-content",
    )
