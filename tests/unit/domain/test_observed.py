"""Following what is observed, step by step, gives what looking at everything afresh gives."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.domain.worlds import NOW
from ums.domain.fleet import DataPlane, Facts, Health, Registration, Report
from ums.domain.names import PDPName
from ums.domain.version import Version
from ums.domain.world import Observed

NAMES = [PDPName("acme", name) for name in "abcd"]
KNOWN = st.sets(st.sampled_from(NAMES)).map(
    lambda names: {name: DataPlane(Registration(name, "stable", ())) for name in NAMES if name in names}
)
HEARD = st.dictionaries(
    st.sampled_from(NAMES), st.integers(1, 3).map(lambda serial: Report(serial, Health.HEALTHY, "", "", NOW, NOW))
)
SEEN = st.dictionaries(
    st.sampled_from(NAMES), st.integers(30, 32).map(lambda minor: Facts(Version(f"1.{minor}.0"), None))
)


@given(st.lists(st.tuples(st.none() | KNOWN, st.none() | HEARD, st.none() | SEEN)))
def test_following_is_looking_afresh(
    steps: list[tuple[dict[PDPName, DataPlane] | None, dict[PDPName, Report] | None, dict[PDPName, Facts] | None]],
) -> None:
    """Whoever joins, leaves, reports or is forgotten; and in the same order."""
    known: dict[PDPName, DataPlane] = {}
    reports: dict[PDPName, Report] = {}
    facts: dict[PDPName, Facts] = {}
    seen = Observed()
    for planes, heard, told in steps:
        known, reports = known if planes is None else planes, reports if heard is None else heard
        facts = facts if told is None else told
        seen = seen.follow(known, reports, facts)
        expected = [
            (name, replace(plane, report=reports.get(name), reported_facts=facts.get(name, Facts())))
            for name, plane in known.items()
        ]
        assert list(seen.planes.items()) == expected


def test_only_news_is_made_again() -> None:
    """Without any nothing is; with some, who did not report is the same object as before."""
    known = {name: DataPlane(Registration(name, "stable", ())) for name in NAMES}
    said = Report(1, Health.HEALTHY, "", "", NOW, NOW)
    first = Observed().follow(known, dict.fromkeys(NAMES, said), {})
    assert first.follow(first.known, first.reports, first.facts) is first
    later = replace(said, heard=NOW + timedelta(minutes=1))
    second = first.follow(known, {**first.reports, NAMES[0]: later}, first.facts)
    assert second.planes[NAMES[0]].report is later
    assert all(second.planes[name] is first.planes[name] for name in NAMES[1:])
    assert first.planes[NAMES[0]].report is said
    third = second.follow(known, second.reports, {NAMES[1]: Facts(Version("1.34.1"))})
    assert third.planes[NAMES[1]].facts == Facts(Version("1.34.1"))
    assert all(third.planes[name] is second.planes[name] for name in NAMES if name != NAMES[1])
