"""Which Git hosts there can be, and what of people's commits there is taken in."""

from __future__ import annotations

import pytest

from ums.domain.errors import InvalidInputError
from ums.domain.git_hosts import Changed, GitRemote, refusals

FILE = Changed("1" * 40, "100644")
OTHER = Changed("2" * 40, "100644")
GONE = Changed("", "000000")


@pytest.mark.parametrize(
    ("url", "protocol"),
    [
        ("https://git.example.com/acme/repo.git", "https"),
        ("ssh://git@git.example.com:2222/acme/repo.git", "ssh"),
        ("http://127.0.0.1:3000/repo.git", "http"),
    ],
)
def test_a_host_is_reached_by_https_or_ssh(url: str, protocol: str) -> None:
    """Plain HTTP on this machine alone."""
    assert GitRemote(url).protocol == protocol


@pytest.mark.parametrize(
    "url",
    [
        "http://git.example.com/repo.git",
        "https://user:token@git.example.com/repo.git",
        "https://user@git.example.com/repo.git",
        "ssh://git:secret@git.example.com/repo.git",
        "git@git.example.com:acme/repo.git",
        "file:///srv/repo.git",
        "ext::sh -c date",
        "--upload-pack=date",
        "https://[::1",
        "https://host]/x",
        "https://host:99999/x",
        "https://host:x/x",
        "https://\u2100.example.com/x",
        "https://:secret@host/x",
        "https://@host/x",
        "ssh://-oProxyCommand=x/x",
        "ssh://-oProxyCommand=x@host/x",
        "",
        "https://git.example.com/a b",
        "https://git.example.com/a\nb",
        "git://git.example.com/repo.git",
    ],
)
def test_nothing_else_is_one(url: str) -> None:
    """No password in a URL, which is shown; no protocol that runs or reads something here."""
    with pytest.raises(InvalidInputError):
        GitRemote(url)


def test_what_people_write_is_taken_in() -> None:
    """And what both sides changed to the same."""
    theirs = {"channels/stable/policy.yaml": FILE, "fleet/acme/prod/registration.yaml": GONE, "notes.md": FILE}
    assert refusals(theirs, {"catalog/x": FILE, "notes.md": FILE}) == ()


@pytest.mark.parametrize(
    ("theirs", "ours", "reason"),
    [
        ({"freezes.yaml": FILE}, {}, "only UMS writes freezes.yaml"),
        ({"channels/stable/state.yaml": FILE}, {}, "only UMS writes"),
        ({"trust.yaml": Changed("1" * 40, "120000")}, {}, "no plain file"),
        ({"ums.yaml": Changed("1" * 40, "160000")}, {}, "no plain file"),
        ({"-x/../../y": FILE}, {"-x": FILE}, ""),
        ({'a"b': FILE}, {}, "no plain file"),
        ({"a\nM 100644": FILE}, {}, "no plain file"),
        ({"trust.yaml": FILE}, {"trust.yaml": OTHER}, "changed here meanwhile as well: trust.yaml"),
        ({"trust.yaml": FILE}, {"trust.yaml": GONE}, "changed here meanwhile"),
        ({f"docs/{number}": FILE for number in range(1001)}, {}, "changes 1001 files"),
    ],
)
def test_what_speaks_against_it(theirs: dict[str, Changed], ours: dict[str, Changed], reason: str) -> None:
    """Who writes what, and what only a person can put together."""
    assert reason in " ".join(refusals(theirs, ours))


def test_all_reasons_are_told_at_once() -> None:
    """With some of the paths."""
    theirs = {**{f"catalog/{number}": FILE for number in range(9)}, "odd name": FILE, "trust.yaml": FILE}
    found = refusals(theirs, {"trust.yaml": OTHER})
    assert len(found) == 3
    assert "catalog/4 and 4 more" in found[0]
