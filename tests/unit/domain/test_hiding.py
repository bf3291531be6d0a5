"""What sentences do not name."""

from __future__ import annotations

import pytest

from ums.domain.hiding import OTHERS, hide


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2 of 3 failed: acme/prod, globex/prod", f"2 of 3 failed: acme/prod, {OTHERS}"),
        ("globex/prod.", "globex/prod."),
        ("it is globex/prod.", f"it is {OTHERS}."),
        ("(globex/prod) and globex/a-1: bad", f"({OTHERS}) and {OTHERS}: bad"),
        ("fleet/globex/prod: Pin platform", f"{OTHERS}: Pin platform"),
        ("edit fleet/globex/prod/registration.yaml there", f"edit {OTHERS} there"),
        ("fleet/acme/prod: Pin platform/cilium", "fleet/acme/prod: Pin platform/cilium"),
        ("see pdps/acme/prod/state.yaml now", "see pdps/acme/prod/state.yaml now"),
        ("channels/stable: Promote platform@1.0.0", "channels/stable: Promote platform@1.0.0"),
        ("read https://example.com/globex/prod first", "read https://example.com/globex/prod first"),
        (
            "from registry.example.com/ums/platform:1.0.0 it came",
            "from registry.example.com/ums/platform:1.0.0 it came",
        ),
        ("Linux/amd64 and README/x.md", "Linux/amd64 and README/x.md"),
        ("no name at all", "no name at all"),
    ],
)
def test_a_sentence_names_only_data_planes_of_ones_own(text: str, shown: str) -> None:
    """What else has a slash stays, and so does what is one word: that is no sentence."""
    assert hide(text, {"acme"}, {"platform/cilium"}) == shown


def test_it_makes_no_difference_whether_there_is_such_a_data_plane() -> None:
    """Nobody finds out by writing names and reading them again; what looks like one is taken for one."""
    assert hide("yes and/or no", {"acme"}) == f"yes {OTHERS} no"


def test_all_of_an_answer_is_looked_at() -> None:
    """But for names of members, and what is no text."""
    data = {"a b/c d": [{"x": "on globex/prod", "n": 3, "none": None, "yes": True}]}
    assert hide(data, ()) == {"a b/c d": [{"x": f"on {OTHERS}", "n": 3, "none": None, "yes": True}]}
