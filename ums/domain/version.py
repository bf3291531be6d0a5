"""Versions (SemVer 2.0.0) and ranges of them.

Ranges use the npm spelling that Flux, Helm and most of this field share: comparators joined by
spaces or commas, alternatives by ``||``, with ``^``, ``~`` and ``1.4.x`` as shorthand.
"""

from __future__ import annotations

import operator
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, total_ordering

import semver

from ums.domain.errors import InvalidInputError

_Order = tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...], str]

_OPERATORS: dict[str, Callable[[_Order, _Order], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}
_TERM = re.compile(
    r"(>=|<=|>|<|=|\^|~)?\s*v?(\d+|[xX*])(?:\.(\d+|[xX*]))?(?:\.(\d+|[xX*]))?(-[0-9A-Za-z.-]+)?",
    re.ASCII,
)
_MAX_LENGTH = 128
_MAX_COMPARATORS = 16
"""Of one range: it is compared with every release, for every data plane."""


@lru_cache(maxsize=1 << 14)
def _parse(text: str) -> semver.Version:
    return semver.Version.parse(text)


@lru_cache(maxsize=1 << 14)
def _order(text: str) -> _Order:
    """Return what versions are ordered by (SemVer 2.0.0, clause 11): a fleet compares the same few again and again."""
    found = _parse(text)
    parts = (found.prerelease or "").split(".")
    identifiers = tuple((False, int(part), "") if part.isdecimal() else (True, 0, part) for part in parts)
    return (
        found.major,
        found.minor,
        found.patch,
        not found.prerelease,
        identifiers if found.prerelease else (),
        found.build or "",
    )


@total_ordering
@dataclass(frozen=True, slots=True)
class Version:
    """A semantic version; ordering is SemVer precedence, and ties are broken by build metadata."""

    text: str

    def __post_init__(self) -> None:
        if len(self.text) > _MAX_LENGTH or not semver.Version.is_valid(self.text):
            raise InvalidInputError(
                f"{self.text!r:.140} is not a semantic version",
                hint="write MAJOR.MINOR.PATCH, for instance 1.4.3 or 2.0.0-rc.1, without a leading v",
            )

    @property
    def parsed(self) -> semver.Version:
        """Return the library's form."""
        return _parse(self.text)

    @property
    def tag(self) -> str:
        """Return the OCI tag: ``+`` is not allowed in tags, and Helm writes ``_`` for it."""
        return self.text.replace("+", "_")

    # A fleet compares the same few again and again: what a dataclass makes builds tuples each time.
    def __eq__(self, other: object) -> bool:
        return self.text == other.text if isinstance(other, Version) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.text)

    def __lt__(self, other: Version) -> bool:
        return _order(self.text) < _order(other.text)

    def is_older_than(self, other: Version) -> bool:
        """Return whether SemVer's precedence puts it before another: build metadata makes nothing older."""
        return _bare(self) < _bare(other)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class VersionRange:
    """A set of versions, such as ``1.4.2``, ``~1.4`` or ``>=1.2 <2 || 3.x``.

    A pre-release is in a range only when a comparator of the same alternative names a pre-release
    of the same MAJOR.MINOR.PATCH (npm's rule), so that ``>=1.0`` never takes a release candidate.
    """

    text: str

    def __post_init__(self) -> None:
        if len(self.text) > _MAX_LENGTH:
            raise InvalidInputError(f"the version range is longer than {_MAX_LENGTH} characters")
        _parse_range(self.text)

    @property
    def is_exact(self) -> bool:
        """Return whether the range names one version."""
        return semver.Version.is_valid(self.text)

    def ends(self) -> tuple[Version, ...]:
        """Return the lowest and the highest version that the text tells: one, both, or none.

        What is below ``<1.35.0`` ends with ``1.34.0``, since patch versions are not told. Pre-releases do not count.
        """
        bounds = {_inside(compare, bound) for alternative in _parse_range(self.text) for compare, bound in alternative}
        versions = sorted(version for version in map(Version, bounds - {"", "0.0.0"}) if version in self)
        return tuple(dict.fromkeys([*versions[:1], *versions[-1:]]))

    def __contains__(self, version: Version) -> bool:
        if self.is_exact:
            return version.text == self.text
        candidate = _bare(version)
        return any(_accepts(alternative, candidate) for alternative in _parse_range(self.text))

    def spans(self, version: Version) -> bool:
        """Return whether a version is between the bounds by order alone: a pre-release too, such as 1.16.5-vendor.1."""
        if self.is_exact:
            return version.text == self.text
        candidate = _bare(version)
        return any(
            all(compare(candidate, bound) for compare, bound in alternative) for alternative in _parse_range(self.text)
        )

    def __str__(self) -> str:
        return self.text


class Ascending:
    """Versions in ascending order, of which a range takes some without a look at each: where they begin and end."""

    def __init__(self, versions: Sequence[Version]) -> None:
        """Take versions that are in their order."""
        self._orders = [_bare(version) for version in versions]
        self._at = {version.text: index for index, version in enumerate(versions)}
        self._releases = 0
        self._previews: dict[tuple[int, ...], int] = {}
        for index, order in enumerate(self._orders):
            if order[3]:
                self._releases |= 1 << index
            else:
                self._previews[order[:3]] = self._previews.get(order[:3], 0) | 1 << index

    def among(self, versions: VersionRange) -> int:
        """Return those in a range, as one bit each."""
        if versions.is_exact:
            return 1 << self._at[versions.text] if versions.text in self._at else 0
        found = 0
        for alternative in _parse_range(versions.text):
            allowed = self._releases
            for _, bound in alternative:
                if not bound[3]:
                    allowed |= self._previews.get(bound[:3], 0)
            for compare, bound in alternative:
                allowed &= self._on_one_side(compare, bound)
            found |= allowed
        return found

    def _on_one_side(self, compare: Callable[[_Order, _Order], bool], bound: _Order) -> int:
        low, high = bisect_left(self._orders, bound), bisect_right(self._orders, bound)
        below, upto, everything = (1 << low) - 1, (1 << high) - 1, (1 << len(self._orders)) - 1
        sides: dict[object, int] = {
            operator.lt: below,
            operator.le: upto,
            operator.gt: everything ^ upto,
            operator.ge: everything ^ below,
            operator.eq: upto ^ below,
        }
        return sides[compare]


def _bare(version: Version) -> _Order:
    """Return what a version is ordered by in ranges: build metadata has no part in them."""
    return (*_order(version.text)[:5], "")


_Comparator = tuple[str, semver.Version]
_Test = tuple[Callable[[_Order, _Order], bool], _Order]


def _inside(compare: object, bound: _Order) -> str:
    """Return the version next to a bound that is inside it, or nothing where that is not known."""
    major, minor, patch = bound[:3]
    if compare is operator.gt:
        return f"{major}.{minor}.{patch + 1}"
    if compare is operator.lt and patch:
        return f"{major}.{minor}.{patch - 1}"
    if compare is operator.lt:
        return f"{major}.{minor - 1}.0" if minor else ""
    return f"{major}.{minor}.{patch}"


def _accepts(alternative: tuple[_Test, ...], candidate: _Order) -> bool:
    if not all(compare(candidate, bound) for compare, bound in alternative):
        return False
    return candidate[3] or any(not bound[3] and bound[:3] == candidate[:3] for _, bound in alternative)


@lru_cache(maxsize=1 << 12)
def _parse_range(text: str) -> tuple[tuple[_Test, ...], ...]:
    if semver.Version.is_valid(text):
        alternatives = [[("=", semver.Version.parse(text))]]
    else:
        alternatives = [_parse_alternative(part, text) for part in text.split("||")]
    comparators = sum(map(len, alternatives))
    if comparators > _MAX_COMPARATORS:
        raise InvalidInputError(
            f"the version range {text!r:.60} has {comparators} comparisons, more than {_MAX_COMPARATORS}",
            hint="name what is common to its alternatives",
        )
    return tuple(
        tuple((_OPERATORS[symbol], _bare(Version(str(bound)))) for symbol, bound in each) for each in alternatives
    )


def _parse_alternative(part: str, whole: str) -> list[_Comparator]:
    terms = part.replace(",", " ").strip()
    comparators: list[_Comparator] = []
    position = 0
    while position < len(terms):
        match = _TERM.match(terms, position)
        if match is None or match.end() == position:
            break
        comparators += _expand(match)
        position = match.end()
        while position < len(terms) and terms[position] == " ":
            position += 1
    if not terms or position < len(terms):
        raise InvalidInputError(
            f"{whole!r} is not a version range",
            hint="write for instance 1.4.2, ~1.4, ^1.4.0, 1.4.x or '>=1.2.0 <2.0.0'",
        )
    return comparators


def _expand(match: re.Match[str]) -> list[_Comparator]:
    symbol, *numbers, pre = match.groups()
    given: list[int] = []
    for number in numbers:
        if number is None or number in "xX*":
            break
        given.append(int(number))
    major, minor, patch = (*given, 0, 0, 0)[:3]
    whole = len(given) == 3  # noqa: PLR2004 - a full version
    lower = semver.Version(major, minor, patch, prerelease=pre[1:] if pre and whole else None)
    if not given:
        return [(">=", semver.Version(0))]
    match symbol:
        case "^":
            fixed = next((index for index, number in enumerate(given) if number), len(given) - 1)
        case "~":
            fixed = min(len(given) - 1, 1)
        case None | "=":
            if whole:
                return [("=", lower)]
            fixed = len(given) - 1
        case ">" | "<=" if not whole:  # >1.4 means >=1.5.0
            return [(">=" if symbol == ">" else "<", _bump(given, len(given) - 1))]
        case _:
            return [(symbol, lower)]
    return [(">=", lower), ("<", _bump(given, fixed))]


def _bump(numbers: list[int], position: int) -> semver.Version:
    major, minor, patch = (*numbers[:position], numbers[position] + 1, 0, 0)[:3]
    return semver.Version(major, minor, patch)
