"""What public update services rule can be said in our files: Fedora CoreOS's barriers and dead ends, OpenShift's graph.

The rules are theirs, as their documentation tells them; the data is written for these tests. Fedora CoreOS counts in
four numbers, of which the last is left out here.
"""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.unit.domain.test_graph import NOW, PLAIN, Rules, make_graph, versions, walk, why
from tests.unit.domain.worlds import PROD
from ums.domain.fleet import Facts, Given
from ums.domain.graph import Graph
from ums.domain.risks import Exposure, Risk, exposure, risk_reason
from ums.domain.version import Version, VersionRange

# --- Fedora CoreOS: in a stream all goes to the newest release, but for two kinds of releases on the way.

DEAD_END = "36.20220906.3"
AROUND_IT = Rules(takes=f"<{DEAD_END} || >{DEAD_END}")
"""A dead end has no edge onward: what could follow it, up to the next barrier, does not take it."""

STREAM = {
    "35.20220424.3": Rules(barrier="the last of 35 brings the signing key of 36"),
    "36.20220505.3": PLAIN,
    "36.20220820.3": PLAIN,
    DEAD_END: PLAIN,
    "36.20220918.3": AROUND_IT,
    "36.20221030.3": Rules(takes=AROUND_IT.takes, barrier="the last of 36 brings the signing key of 37"),
    "37.20221106.3": PLAIN,
    "37.20230322.3": PLAIN,
    "37.20230401.3": Rules(barrier="the last of 37 brings the signing key of 38"),
    "38.20230414.3": PLAIN,
    "38.20230609.3": PLAIN,
}
BARRIERS = [text for text, rules in STREAM.items() if rules.barrier]
HEAD = "38.20230609.3"


@pytest.mark.parametrize("start", [text for text in STREAM if text != DEAD_END])
def test_a_node_visits_every_barrier_ahead_and_nothing_else(start: str) -> None:
    """From wherever it was installed; a barrier has edges from all that is older, up to the one before."""
    ahead = [text for text in BARRIERS if Version(text) > Version(start)]
    assert walk(make_graph(STREAM), start, HEAD) == [*ahead, *([HEAD] if start != HEAD else [])]


def test_a_node_on_a_dead_end_stays_there_and_says_so() -> None:
    """No other node is concerned, and none is led there once there is something newer."""
    graph = make_graph(STREAM)
    stranded = graph.stranded(map(Version, STREAM), Version(HEAD))
    assert list(map(str, stranded)) == [DEAD_END]
    assert why(graph, DEAD_END, HEAD) == (
        f"36.20221030.3 is open only from {AROUND_IT.takes} (upgrade.from), which {DEAD_END} is not in"
    )
    paths = [walk(graph, start, HEAD) or [] for start in STREAM]
    assert not any(DEAD_END in path for path in paths)


def test_every_release_of_the_past_reached_its_nodes() -> None:
    """Replayed: after each release nobody is behind but the dead end, and who follows every one skips no barrier."""
    released = list(STREAM)
    for index, head in enumerate(released):
        graph = make_graph(STREAM, released[: index + 1])
        behind = [text for text in released[:index] if walk(graph, text, head) is None]
        assert behind == ([DEAD_END] if Version(head) > Version(DEAD_END) else [])


def test_a_node_that_may_or_may_not_have_taken_its_barrier_goes_there_first() -> None:
    """It was offered, and nothing was heard: the key of 38 may be missing."""
    graph = make_graph(STREAM)
    possible = versions(["37.20230322.3", "37.20230401.3"])
    assert graph.next_hop(possible, Version(HEAD)) == Version("37.20230401.3")


# --- OpenShift: a release names what it may follow, and a channel holds some releases of a few minor versions.

OPENSHIFT = {
    "4.13.4": Rules(takes="~4.13"),
    "4.13.19": Rules(takes="~4.13"),
    "4.13.27": Rules(takes="~4.13"),
    "4.13.40": Rules(takes="~4.13"),
    "4.14.1": Rules(takes=">=4.13.19 <4.14 || ~4.14"),
    "4.14.7": Rules(takes=">=4.13.19 <4.14 || ~4.14", yanked="tombstone: built from the wrong commit"),
    "4.14.11": Rules(takes=">=4.13.27 <4.14 || ~4.14"),
    "4.14.34": Rules(takes=">=4.13.40 <4.14 || ~4.14"),
    "4.15.3": Rules(takes=">=4.14.11 <4.15 || ~4.15"),
    "4.15.29": Rules(takes=">=4.14.34 <4.15 || ~4.15"),
    "4.16.8": Rules(takes=">=4.15.17 <4.16 || ~4.16"),
}


def openshift(*minors: str, without: str = "") -> Graph:
    """Return the graph of a channel that holds some minor versions."""
    return make_graph(OPENSHIFT, [text for text in OPENSHIFT if text.startswith(minors) and text != without])


@pytest.mark.parametrize(
    ("channel", "start", "target", "expected"),
    [
        (("4.13",), "4.13.4", "4.13.40", ["4.13.40"]),
        (("4.13", "4.14"), "4.13.40", "4.14.34", ["4.14.34"]),
        (("4.13", "4.14"), "4.13.4", "4.14.34", ["4.13.40", "4.14.34"]),
        (("4.13", "4.14"), "4.13.27", "4.14.34", ["4.14.11", "4.14.34"]),
        (("4.13", "4.14"), "4.13.19", "4.14.34", ["4.14.1", "4.14.34"]),
        (("4.13", "4.14"), "4.13.4", "4.14.1", ["4.13.40", "4.14.1"]),
        (("4.13", "4.14"), "4.14.7", "4.14.34", ["4.14.34"]),
        (("4.13", "4.14"), "4.13.40", "4.14.7", None),
        (("4.14", "4.15"), "4.13.40", "4.15.29", ["4.14.34", "4.15.29"]),
        (("4.14", "4.15"), "4.13.4", "4.15.29", None),
        (("4.14", "4.15", "4.16"), "4.14.34", "4.16.8", ["4.15.29", "4.16.8"]),
        (("4.14", "4.15", "4.16"), "4.14.1", "4.16.8", ["4.14.34", "4.15.29", "4.16.8"]),
        (("4.14", "4.16"), "4.14.34", "4.16.8", None),
    ],
)
def test_minor_versions_are_crossed_one_by_one_from_where_it_is_allowed(
    channel: tuple[str, ...], start: str, target: str, expected: list[str] | None
) -> None:
    """Channels decide what is offered, releases what they follow; a tombstone leads out, and nothing to it."""
    assert walk(openshift(*channel), start, target) == expected


def test_from_one_long_term_release_to_the_next_there_is_one_minor_version_between() -> None:
    """It is a hop like any other, and whoever leaves it out of the channel is told what is missing."""
    whole, torn = openshift("4.14", "4.15", "4.16"), openshift("4.14", "4.16")
    path = ["4.14.34", *(walk(whole, "4.14.34", "4.16.8") or [])]
    minors = [Version(text).parsed.minor for text in path]
    assert all(later == earlier + 1 for earlier, later in pairwise(minors))
    assert why(torn, "4.14.34", "4.16.8") == (
        "4.16.8 is open only from >=4.15.17 <4.16 || ~4.16 (upgrade.from), which 4.14.34 is not in"
    )


def test_a_release_that_leaves_the_channel_changes_the_way() -> None:
    """The way is found anew from what there is."""
    assert walk(openshift("4.13", "4.14", without="4.14.11"), "4.13.27", "4.14.34") == ["4.14.1", "4.14.34"]


# --- OpenShift's conditional edges: risks that a query on the cluster confirms, denies, or fails to answer.

GIVEN = Given("olga", "reported by support", NOW)
RISKS = [
    # "Always": whoever takes this edge.
    Risk(
        "ovn-restart",
        "platform",
        VersionRange(">=4.14.1 <4.14.11"),
        "pods lose their network for minutes",
        GIVEN,
        from_releases=VersionRange("~4.13"),
    ),
    # A query for the infrastructure's type: group(cluster_infrastructure_provider{type="Azure"}).
    Risk(
        "azure-default-vm-type",
        "platform",
        VersionRange("~4.14"),
        "new machines do not join the load balancer",
        GIVEN,
        url="https://bugs.example.com/20409",
        labels={"provider": "azure"},
    ),
    # A query for a version that the cluster reports of itself.
    Risk(
        "old-kubelets",
        "platform",
        VersionRange("4.15.x"),
        "kubelets more than two versions behind leave the cluster",
        GIVEN,
        kubernetes=VersionRange("<1.26"),
    ),
]


@pytest.mark.parametrize(
    ("start", "target", "provider", "kubernetes", "expected"),
    [
        ("4.13.40", "4.14.34", "aws", "1.26.9", {}),
        ("4.13.19", "4.14.1", "aws", "1.26.9", {"ovn-restart": "not-recommended"}),
        ("4.14.0", "4.14.1", "aws", "1.26.9", {}),
        ("4.13.40", "4.14.34", "azure", "1.26.9", {"azure-default-vm-type": "not-recommended"}),
        (
            "4.13.19",
            "4.14.1",
            "azure",
            None,
            {"ovn-restart": "not-recommended", "azure-default-vm-type": "not-recommended"},
        ),
        ("4.14.34", "4.15.29", "aws", None, {"old-kubelets": "risk-unknown"}),
        ("4.14.34", "4.15.29", "aws", "1.25.11+1485cc9", {"old-kubelets": "not-recommended"}),
        ("4.14.34", "4.15.29", "azure", "1.27.6+f67aeb3", {}),
    ],
)
def test_an_edge_is_not_recommended_to_those_whom_its_risks_concern(
    start: str, target: str, provider: str, kubernetes: str | None, expected: dict[str, str]
) -> None:
    """One that could not be evaluated is unknown, and not recommended either."""
    codes = {}
    for risk in RISKS:
        found = exposure(
            risk,
            labels={"provider": provider},
            facts=Facts(kubernetes=Version(kubernetes) if kubernetes else None),
            components={},
            coming_from=Version(start),
            target=Version(target),
        )
        if found is not Exposure.CLEAR:
            codes[risk.name] = risk_reason(risk, found, PROD).code
    assert codes == expected
