"""Names of people: one form for new ones, and one person behind all that look alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ums.domain.errors import InvalidInputError
from ums.domain.subjects import folded, is_plain, normal_subject, person_key, same_person

PLAIN = [
    "sam",
    "sam@example.com",
    "ci-publisher",
    "repo:acme/app:ref:refs/heads/main",
    "auth0|5f7c8ec7c33c6c004bbafe82",
    "https://github.com/acme/app/.github/workflows/r.yaml@refs/heads/main",
    "248289761001",
    "a" * 200,
]
LOOK_ALIKES = [
    "Sam",
    "SAM",
    "sam ",
    " sam",
    "sam\u00a0",
    "sam\u200b",
    "s\u00adam",
    "\u202esam",
    "\ufeffsam",
    "\u0455am",
    "s\u0430m",
    "sa\u043c",
    "\uff53\uff41\uff4d",
    "\U0001d42c\U0001d41a\U0001d426",
    "s\u0251m",
    "s\u00e1m",
    "sa\u0301m",
    "s\u03b1m",
    "\u017fam",
    "sam\u034f",
    "sam\ufe0f",
    "sam\u2800",
    "sam\u115f",
    "sam\u3164",
    "sam\u17b4",
    "\ua731am",
    "s\u1d00m",
    "\u0282am",
    "\u13daam",
    "\uabaaam",
    "\ua4e2\ua4ee\ua4df",
    "sa\u1d0d",
]


@pytest.mark.parametrize("name", PLAIN)
def test_usual_names_are_kept_as_they_are(name: str) -> None:
    """Addresses of mail, subjects of CI systems and identity providers, URIs."""
    assert normal_subject(name) == name
    assert is_plain(name)


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_all_spellings_of_a_name_are_one_person(name: str) -> None:
    """Case, blanks, invisible and look-alike characters; and as a new name each is the plain one, or refused."""
    assert same_person(name, "sam")
    assert not same_person(name, "sam2")
    try:
        assert normal_subject(name) == "sam"
    except InvalidInputError:
        assert not name.strip().isascii()


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "Zoë",
        "s\u0430m",
        "sam\n",
        "sam\x00",
        "sam\u200b",
        "sam<sam@example.com>",
        'sam"',
        "sam,eve",
        "-sam",
        "sam.",
        "a" * 201,
        "sam\tb",
        "\u0661\u0662",
    ],
)
def test_other_names_are_refused(name: str) -> None:
    """With what may be used instead; blanks and line ends around a name are no part of it."""
    if name.strip() == "sam":
        assert normal_subject(name) == "sam"
        return
    with pytest.raises(InvalidInputError, match="cannot be the name") as refused:
        normal_subject(name)
    assert "address of mail" in refused.value.hint


@pytest.mark.parametrize("name", ["ums", "UMS", " ums ", "ums init", "uid 0", "uid0"])
def test_what_the_service_calls_itself_is_nobodys_name(name: str) -> None:
    """Or the log would tell that the loop did it."""
    with pytest.raises(InvalidInputError, match="calls itself"):
        normal_subject(name)


@given(st.text(max_size=30))
def test_whatever_is_accepted_is_its_own_normal_form(name: str) -> None:
    """It is plain, the same person as what was given, and no two accepted names of one person differ but by letters."""
    try:
        normal = normal_subject(name)
    except InvalidInputError:
        return
    assert normal_subject(normal) == normal
    assert is_plain(normal)
    assert same_person(name, normal)
    assert folded(name) == folded(normal)


@given(st.text(max_size=30), st.text(max_size=30))
def test_being_one_person_is_an_equivalence(one: str, other: str) -> None:
    """The key of a key is itself, whatever is in it; names that fold to the same are one person."""
    assert person_key(person_key(one)) == person_key(one)
    if folded(one) == folded(other):
        assert same_person(one, other)
