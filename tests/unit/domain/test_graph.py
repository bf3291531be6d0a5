"""Which release leads to which, and by how few hops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ums.domain.bundle import UpgradeRules
from ums.domain.digest import Digest
from ums.domain.fleet import Given
from ums.domain.graph import Graph
from ums.domain.release import Release
from ums.domain.version import Version, VersionRange
from ums.domain.world import CatalogEntry, Recall

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Rules:
    """What a release of these tests is like."""

    takes: str | None = None
    barrier: str = ""
    irreversible: bool = False
    yanked: str = ""


PLAIN = Rules()
BARRIER = Rules(barrier="migrates the database")


def catalog(rules: Mapping[str, Rules]) -> dict[Version, CatalogEntry]:
    """Return the catalog of one bundle."""
    entries: dict[Version, CatalogEntry] = {}
    for text, each in rules.items():
        takes = VersionRange(each.takes) if each.takes else None
        release = Release("platform", Version(text), (), upgrade=UpgradeRules(takes, each.barrier, each.irreversible))
        digest = Digest.of(release.to_bytes())
        entries[release.version] = CatalogEntry(release, digest, (), NOW, "ci", yanked=each.yanked)
    return entries


def make_graph(rules: Mapping[str, Rules], promoted: list[str] | None = None) -> Graph:
    """Return the graph of a channel that has everything, or some."""
    return Graph.of(catalog(rules), versions(promoted if promoted is not None else list(rules)))


def versions(texts: list[str]) -> frozenset[Version]:
    """Return versions by their texts."""
    return frozenset(Version(text) for text in texts)


def walk(graph: Graph, start: str, target: str) -> list[str] | None:
    """Return the path in texts."""
    path = graph.path(Version(start), Version(target))
    return None if path is None else [str(hop) for hop in path]


def why(graph: Graph, start: str, target: str) -> str:
    """Return why a release is stranded."""
    return graph.stranded([Version(start)], Version(target))[Version(start)]


FOUR: dict[str, Rules] = {"1.0.0": PLAIN, "1.1.0": PLAIN, "1.2.0": PLAIN, "2.0.0": PLAIN}


@pytest.mark.parametrize(
    ("rules", "promoted", "start", "expected"),
    [
        (FOUR, None, "1.0.0", ["2.0.0"]),
        (FOUR, None, "2.0.0", []),
        (FOUR, ["2.0.0"], "1.1.0", ["2.0.0"]),
        (FOUR, ["1.2.0"], "1.0.0", None),
        (FOUR, None, "0.9.0", ["2.0.0"]),
        (FOUR, None, "3.0.0", None),
        (FOUR | {"1.1.0": BARRIER}, None, "1.0.0", ["1.1.0", "2.0.0"]),
        (FOUR | {"1.1.0": BARRIER}, None, "1.1.0", ["2.0.0"]),
        (FOUR | {"1.1.0": BARRIER}, None, "1.2.0", ["2.0.0"]),
        (FOUR | {"1.1.0": BARRIER}, None, "1.1.0-rc.1", ["1.1.0", "2.0.0"]),
        (FOUR | {"1.1.0": BARRIER, "1.2.0": BARRIER}, None, "1.0.0", ["1.1.0", "1.2.0", "2.0.0"]),
        (FOUR | {"2.0.0": BARRIER}, None, "1.0.0", ["2.0.0"]),
        (FOUR | {"2.0.0": Rules(takes=">=1.2")}, None, "1.0.0", ["1.2.0", "2.0.0"]),
        (FOUR | {"2.0.0": Rules(takes=">=1.1")}, None, "1.0.0", ["1.2.0", "2.0.0"]),
        (
            FOUR | {"1.2.0": Rules(takes="~1.1"), "2.0.0": Rules(takes="~1.2")},
            None,
            "1.0.0",
            ["1.1.0", "1.2.0", "2.0.0"],
        ),
        (FOUR | {"1.2.0": Rules(yanked="bad"), "2.0.0": Rules(takes=">=1.1")}, None, "1.0.0", ["1.1.0", "2.0.0"]),
        (FOUR | {"1.2.0": Rules(yanked="bad")}, None, "1.2.0", ["2.0.0"]),
        (FOUR | {"2.0.0": Rules(yanked="bad")}, None, "1.0.0", None),
    ],
)
def test_a_path_is_the_shortest_by_the_highest(
    rules: dict[str, Rules], promoted: list[str] | None, start: str, expected: list[str] | None
) -> None:
    """Through every barrier, by hops that were promoted and not yanked, each of which takes the one before."""
    assert walk(make_graph(rules, promoted), start, "2.0.0") == expected


def test_a_barrier_counts_in_channels_that_never_had_it() -> None:
    """What it migrates is in need of it wherever one comes from."""
    graph = make_graph(FOUR | {"1.1.0": BARRIER}, ["1.0.0", "2.0.0"])
    assert walk(graph, "1.0.0", "2.0.0") is None
    assert why(graph, "1.0.0", "2.0.0") == "barrier 1.1.0 (migrates the database) must be promoted here first"


YANKED_BARRIER = FOUR | {"1.1.0": replace(BARRIER, yanked="corrupts data")}


def test_a_yanked_barrier_still_bars() -> None:
    """Whatever it did would not have been done: better stranded, with a reason."""
    graph = make_graph(YANKED_BARRIER)
    assert walk(graph, "1.0.0", "2.0.0") is None
    assert walk(graph, "1.1.0", "2.0.0") == ["2.0.0"], "who has it is past it"
    assert why(graph, "1.0.0", "2.0.0") == (
        "barrier 1.1.0 was withdrawn (corrupts data), and none was promoted here in its place: "
        "a later release with a barrier and an upgrade.from that takes 1.0.0"
    )


@pytest.mark.parametrize(
    ("substitute", "expected"),
    [
        (Rules(takes=">=1.0", barrier="migrates, and right this time"), ["1.1.1", "2.0.0"]),
        (Rules(barrier="for another reason"), None),
        (Rules(takes=">=1.1", barrier="for another reason"), None),
        (Rules(takes=">=1.0"), None),
    ],
)
def test_another_barrier_takes_the_place_of_a_yanked_one(substitute: Rules, expected: list[str] | None) -> None:
    """If it says so: by a range of its own that takes those below."""
    assert walk(make_graph(YANKED_BARRIER | {"1.1.1": substitute}), "1.0.0", "2.0.0") == expected


@pytest.mark.parametrize(("reason", "words"), [("loses writes", "loses writes"), ("", "recalled")])
def test_a_recalled_release_is_no_hop_either(reason: str, words: str) -> None:
    """Who has it shall leave it, so nobody is led there."""
    entries = catalog(FOUR | {"2.0.0": Rules(takes="~1.2")})
    recall = Recall(Version("1.1.0"), Given("olga", reason, NOW))
    entries[Version("1.2.0")] = replace(entries[Version("1.2.0")], recall=recall)
    graph = Graph.of(entries, frozenset(entries))
    assert graph.path(Version("1.0.0"), Version("2.0.0")) is None
    assert graph.stranded([Version("1.0.0")], Version("1.2.0")) == {Version("1.0.0"): f"1.2.0 was withdrawn: {words}"}


@pytest.mark.parametrize(
    ("possible", "expected"),
    [
        (["1.0.0"], "1.1.0"),
        (["1.1.0"], "2.0.0"),
        (["1.2.0"], "2.0.0"),
        (["1.0.0", "1.1.0"], "1.1.0"),
        (["1.1.0", "1.2.0"], "2.0.0"),
        (["1.0.0", "1.2.0"], None),
        (["1.1.0", "2.0.0"], "2.0.0"),
        (["2.0.0"], "2.0.0"),
        (["1.1.0", "3.0.0"], None),
        ([], "2.0.0"),
    ],
)
def test_a_hop_is_good_from_wherever_one_may_be(possible: list[str], expected: str | None) -> None:
    """An offer that was perhaps not taken is made sure of before anybody goes beyond a barrier."""
    graph = make_graph(FOUR | {"1.1.0": BARRIER})
    hop = graph.next_hop(versions(possible), Version("2.0.0"))
    assert hop == (Version(expected) if expected else None)


@pytest.mark.parametrize(
    ("rules", "promoted", "start", "target", "words"),
    [
        (FOUR, None, "1.0.0", "1.5.0", "1.5.0 is not in the catalog"),
        (FOUR, ["1.2.0"], "1.0.0", "2.0.0", "2.0.0 must be promoted here first"),
        (FOUR | {"2.0.0": Rules(yanked="bad")}, None, "1.0.0", "2.0.0", "2.0.0 was withdrawn: bad"),
        (
            FOUR | {"1.1.0": BARRIER, "2.0.0": Rules(takes=">=1.3")},
            None,
            "1.0.0",
            "2.0.0",
            "2.0.0 is open only from >=1.3 (upgrade.from), which 1.2.0 is not in",
        ),
    ],
)
def test_who_is_stranded_is_told_why(
    rules: dict[str, Rules], promoted: list[str] | None, start: str, target: str, words: str
) -> None:
    """By what stops those who went as far as they could."""
    assert why(make_graph(rules, promoted), start, target) == words


def test_a_pre_release_is_told_why_a_range_that_seems_to_hold_it_does_not() -> None:
    """It surprises everybody once."""
    rules = {"1.2.0-rc.1": PLAIN, "1.2.0": Rules(takes=">=1.0"), "1.2.1": Rules(takes=">=1.2.0-rc.1")}
    assert why(make_graph(rules), "1.2.0-rc.1", "1.2.0") == (
        "1.2.0 is open only from >=1.0 (upgrade.from), which 1.2.0-rc.1 is not in"
        "; a pre-release is in a range only if that names one of its version"
    )
    assert walk(make_graph(rules), "1.2.0-rc.1", "1.2.1") == ["1.2.1"]


def test_nobody_is_stranded_by_being_there_or_ahead() -> None:
    """To be ahead of a channel is another matter."""
    graph = make_graph(FOUR, ["1.2.0"])
    assert graph.stranded([Version("1.0.0"), Version("1.2.0"), Version("2.0.0")], Version("1.2.0")) == {}


RANGES = st.none() | st.builds("{}1.{}".format, st.sampled_from([">=", "~", "<", "^"]), st.integers(0, 7))
RULES = st.builds(
    Rules,
    takes=RANGES,
    barrier=st.sampled_from(["", "", "", "stop"]),
    yanked=st.sampled_from(["", "", "", "bad"]),
)
NUMBERS = st.integers(0, 7)
HISTORIES = st.dictionaries(NUMBERS, RULES, min_size=1, max_size=7)


def version(number: int) -> Version:
    """Return the release of that number."""
    return Version(f"1.{number}.0")


def naive_edge(history: Mapping[int, Rules], promoted: frozenset[int], start: int, hop: int) -> bool:
    """Return whether one leads to the other, by the words of the rules."""
    if hop not in history or hop not in promoted or history[hop].yanked or start >= hop:
        return False
    takes = history[hop].takes
    accepted = takes is not None and version(start) in VersionRange(takes)
    between = [rules for number, rules in history.items() if start < number < hop and rules.barrier]
    if any(not barrier.yanked for barrier in between):
        return False
    if between and not (history[hop].barrier and accepted):
        return False
    return takes is None or accepted


def naive_distance(history: Mapping[int, Rules], promoted: frozenset[int], start: int, target: int) -> int | None:
    """Return the number of hops, breadth first and forward."""
    reached, distance = {start}, 0
    while target not in reached:
        more = {hop for hop in history for each in reached if naive_edge(history, promoted, each, hop)} - reached
        if not more:
            return None
        reached, distance = reached | more, distance + 1
    return distance


@settings(max_examples=150, deadline=None)
@given(HISTORIES, st.frozensets(NUMBERS), NUMBERS, NUMBERS)
def test_paths_agree_with_a_naive_search(
    history: dict[int, Rules], promoted: frozenset[int], start: int, target: int
) -> None:
    """Shortest, ascending, by edges alone, over no barrier; and who has no path is stranded, with a reason."""
    graph = Graph.of(catalog({str(version(n)): rules for n, rules in history.items()}), map(version, promoted))
    path = graph.path(version(start), version(target))
    distance = naive_distance(history, promoted, start, target)
    assert (None if path is None else len(path)) == distance
    stranded = graph.stranded([version(start)], version(target))
    assert list(stranded) == ([version(start)] if path is None and start < target else [])
    assert all(stranded.values())
    steps = [start, *(hop.parsed.minor for hop in path or ())]
    for one, next_one in pairwise(steps):
        assert one < next_one
        assert naive_edge(history, promoted, one, next_one)
        assert not any(one < n < next_one and rules.barrier and not rules.yanked for n, rules in history.items())


@settings(max_examples=150, deadline=None)
@given(HISTORIES, st.frozensets(NUMBERS), st.frozensets(NUMBERS, min_size=1, max_size=3), NUMBERS)
def test_next_hops_agree_with_a_naive_search(
    history: dict[int, Rules], promoted: frozenset[int], possible: frozenset[int], target: int
) -> None:
    """Of the hops that are good from everywhere, the nearest to the target; of these, the highest."""
    graph = Graph.of(catalog({str(version(n)): rules for n, rules in history.items()}), map(version, promoted))
    good = [
        (distance, -hop)
        for hop in {*history, *possible}
        if all(start == hop or naive_edge(history, promoted, start, hop) for start in possible)
        and (possible != {hop} or hop == target)
        and (distance := naive_distance(history, promoted, hop, target)) is not None
    ]
    expected = version(-min(good)[1]) if good else None
    assert graph.next_hop(frozenset(map(version, possible)), version(target)) == expected


@settings(max_examples=100, deadline=None)
@given(HISTORIES, NUMBERS, NUMBERS)
def test_edges_agree_with_a_naive_reading(history: dict[int, Rules], start: int, hop: int) -> None:
    """In a channel that has everything."""
    graph = Graph.of(catalog({str(version(n)): rules for n, rules in history.items()}), map(version, history))
    assert graph.edge(version(start), version(hop)) == naive_edge(history, frozenset(history), start, hop)
