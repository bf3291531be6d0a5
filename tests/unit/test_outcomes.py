"""One table for HTTP and the shell: complete, and without two meanings for one number."""

from __future__ import annotations

import inspect

import pytest

from ums.domain import errors
from ums.outcomes import NOT_HEALTHY, OUTCOMES, TIMED_OUT, UNFORESEEN, error_of, outcome_of

ERRORS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.UmsError) and kind is not errors.UmsError
]


def make(kind: type[errors.UmsError]) -> errors.UmsError:
    """Return an error of a class."""
    return errors.RefusedError("no", ()) if kind is errors.RefusedError else kind("no")


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_has_an_outcome(kind: type[errors.UmsError]) -> None:
    """Its own, or that of the class it refines."""
    outcome = outcome_of(make(kind))
    assert OUTCOMES.get(kind, outcome) == outcome
    assert 400 <= outcome.status < 600


@pytest.mark.parametrize("kind", OUTCOMES)
def test_a_wire_name_leads_back_to_its_error(kind: type[errors.UmsError]) -> None:
    """So that a client raises what the service raised."""
    assert error_of(OUTCOMES[kind].code) is kind


def test_a_name_of_a_newer_service_is_unknown() -> None:
    """Not a guess."""
    assert error_of("something-new") is None
    assert error_of("") is None


def test_an_error_of_no_class_is_unforeseen() -> None:
    """A client raises the root when a newer service says what it does not know."""
    assert outcome_of(errors.UmsError("no")) == UNFORESEEN
    assert UNFORESEEN.exit_code == 1


def test_a_mistake_in_a_file_is_invalid_input() -> None:
    """With where it stands in front."""
    error = errors.SpecError("is not a name", file="bundle.yaml", line=3, field="components.0.name")
    assert outcome_of(error) == OUTCOMES[errors.InvalidInputError]
    assert error.message == "bundle.yaml:3: components.0.name: is not a name"


def test_numbers_mean_one_thing_and_wire_names_too() -> None:
    """Scripts rely on them; but *who are you* and *you may not*, both conflicts and what to try again are alike."""
    codes = [outcome.code for outcome in OUTCOMES.values()]
    assert len(set(codes)) == len(codes)
    exits = [outcome.exit_code for outcome in OUTCOMES.values()] + [TIMED_OUT, NOT_HEALTHY]
    assert sorted(exits) == [2, 3, 4, 5, 5, 6, 6, 7, 8, 9, 9, 10, 11, 12]
