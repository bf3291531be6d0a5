"""Whom a risk concerns, and what a release requires."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given as given_that
from hypothesis import strategies as st

from tests.unit.domain.worlds import PROD
from ums.domain.bundle import Requires
from ums.domain.errors import InvalidInputError
from ums.domain.fleet import Facts, Given
from ums.domain.risks import Exposure, Risk, exposure, risk_reason, unmet
from ums.domain.version import Version, VersionRange

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
GIVEN = Given("olga", "seen at two customers", NOW)
PLAIN = Risk("lost-routes", "platform", VersionRange("~1.4"), "routes vanish for a minute", GIVEN)
FULL = replace(
    PLAIN,
    given=replace(GIVEN, until=NOW + timedelta(days=30)),
    url="https://bugs.example.com/4711",
    from_releases=VersionRange("<1.3"),
    labels={"cloud": "azure"},
    kubernetes=VersionRange(">=1.33 <1.35"),
    flux=VersionRange("~2.6"),
    components={"cilium": VersionRange("1.16.x")},
)
CONCERNED = Facts(Version("1.34.1+k3s1"), Version("2.6.4"))
CILIUM = {"cilium": Version("1.16.3")}
OLD = Version("1.2.9")
TARGET = Version("1.4.2")


def ask(
    risk: Risk,
    *,
    labels: dict[str, str] | None = None,
    facts: Facts = CONCERNED,
    components: dict[str, Version] | None = None,
    coming_from: Version | None = OLD,
    target: Version = TARGET,
) -> Exposure:
    """Return the exposure of a data plane that meets all conditions, but for those given."""
    return exposure(
        risk,
        labels={"cloud": "azure", "tier": "gold"} if labels is None else labels,
        facts=facts,
        components=CILIUM if components is None else components,
        coming_from=coming_from,
        target=target,
    )


@pytest.mark.parametrize("risk", [PLAIN, FULL])
def test_a_risk_reads_as_it_is_written(risk: Risk) -> None:
    """With and without conditions, a link and an end."""
    assert Risk.from_dict(risk.to_dict()) == risk


def test_a_risk_needs_no_more_than_its_message() -> None:
    """What is left out is no condition."""
    short = {key: PLAIN.to_dict()[key] for key in ("name", "bundle", "releases", "message", "by", "reason", "since")}
    assert Risk.from_dict(short) == PLAIN


@pytest.mark.parametrize("name", ["", "../x", "Upper", "a" * 41])
def test_a_risk_has_a_name_that_a_file_can_have(name: str) -> None:
    """It is kept under that name."""
    with pytest.raises(InvalidInputError):
        replace(PLAIN, name=name)


def test_a_risk_without_conditions_concerns_everybody() -> None:
    """Whatever is unknown of them."""
    assert ask(PLAIN, labels={}, facts=Facts(), components={}, coming_from=None) is Exposure.EXPOSED


UNKNOWN = Facts()
OTHER_FLUX = Facts(kubernetes=None, flux=Version("2.7.0"))


@pytest.mark.parametrize(
    ("differs", "expected"),
    [
        ({}, Exposure.EXPOSED),
        ({"target": Version("1.5.0")}, Exposure.CLEAR),
        ({"target": Version("1.4.3-rc.1")}, Exposure.EXPOSED),
        ({"target": Version("1.4.3-rc.1"), "labels": {}}, Exposure.CLEAR),
        ({"coming_from": Version("1.3.0")}, Exposure.CLEAR),
        ({"coming_from": None}, Exposure.CLEAR),
        ({"labels": {"cloud": "aws"}}, Exposure.CLEAR),
        ({"labels": {}}, Exposure.CLEAR),
        ({"components": {"cilium": Version("1.17.0")}}, Exposure.CLEAR),
        ({"components": {"cilium": Version("1.16.3-vendor.2")}}, Exposure.EXPOSED),
        ({"components": {}}, Exposure.CLEAR),
        ({"facts": UNKNOWN}, Exposure.UNKNOWN),
        ({"facts": replace(CONCERNED, kubernetes=None)}, Exposure.UNKNOWN),
        ({"facts": replace(CONCERNED, flux=None)}, Exposure.UNKNOWN),
        ({"facts": replace(CONCERNED, kubernetes=Version("1.35.0"))}, Exposure.CLEAR),
        ({"facts": OTHER_FLUX}, Exposure.CLEAR),
        ({"facts": UNKNOWN, "labels": {}}, Exposure.CLEAR),
        ({"facts": UNKNOWN, "target": Version("1.5.0")}, Exposure.CLEAR),
    ],
)
def test_a_risk_concerns_those_who_meet_all_its_conditions(differs: dict[str, Any], expected: Exposure) -> None:
    """One that is surely not met clears, whatever is unknown; what is unknown is not a yes."""
    assert ask(FULL, **differs) is expected


@pytest.mark.parametrize(("target", "expected"), [("1.4.2-rc.1", Exposure.EXPOSED), ("1.4.2-rc.2", Exposure.CLEAR)])
def test_a_risk_may_be_one_of_a_single_pre_release(target: str, expected: Exposure) -> None:
    """A range that names it holds it, and no other of the same version."""
    assert ask(replace(PLAIN, releases=VersionRange("1.4.2-rc.1")), target=Version(target)) is expected


@pytest.mark.parametrize(("release", "covered"), [("1.4.2", True), ("1.4.3-rc.1", True), ("1.5.0", False)])
def test_a_risk_covers_releases_and_their_pre_releases(release: str, *, covered: bool) -> None:
    """For the gate as for the data planes."""
    assert PLAIN.covers(Version(release)) is covered


LABELS = st.dictionaries(st.sampled_from(["cloud", "tier"]), st.sampled_from(["azure", "aws"]))
VERSIONS = st.sampled_from(["1.33.0", "1.34.1+k3s1", "2.6.4", "2.7.0-rc.1"]).map(Version)
RANGES = st.sampled_from(["~1.34", "<2", "2.6.x", "*"]).map(VersionRange)
FACTS = st.builds(Facts, st.none() | VERSIONS, st.none() | VERSIONS)
COMPONENTS = st.dictionaries(st.sampled_from(["cilium", "gateway"]), VERSIONS)
ANY_RISK = st.builds(
    replace,
    st.just(PLAIN),
    labels=LABELS,
    kubernetes=st.none() | RANGES,
    flux=st.none() | RANGES,
    components=st.dictionaries(st.sampled_from(["cilium", "gateway"]), RANGES),
)


@given_that(ANY_RISK, LABELS, FACTS, COMPONENTS)
def test_each_condition_only_narrows(
    risk: Risk, labels: dict[str, str], facts: Facts, components: dict[str, Version]
) -> None:
    """All of them together say what the strictest says alone."""
    alone = [
        *(replace(PLAIN, labels={name: value}) for name, value in risk.labels.items()),
        *(replace(PLAIN, components={name: versions}) for name, versions in risk.components.items()),
        replace(PLAIN, kubernetes=risk.kubernetes),
        replace(PLAIN, flux=risk.flux),
    ]
    answers = {ask(each, labels=labels, facts=facts, components=components) for each in alone}
    strictest = next(each for each in (Exposure.CLEAR, Exposure.UNKNOWN, Exposure.EXPOSED) if each in answers)
    assert ask(risk, labels=labels, facts=facts, components=components) is strictest


@given_that(ANY_RISK, LABELS, FACTS, COMPONENTS)
def test_to_learn_a_fact_never_turns_a_yes_or_a_no_round(
    risk: Risk, labels: dict[str, str], facts: Facts, components: dict[str, Version]
) -> None:
    """What was said while something was unknown stays true when it is known."""
    before = ask(risk, labels=labels, facts=replace(facts, kubernetes=None), components=components)
    after = ask(risk, labels=labels, facts=facts, components=components)
    assert before in {Exposure.UNKNOWN, after}


@given_that(ANY_RISK)
def test_any_risk_reads_as_it_is_written(risk: Risk) -> None:
    """Whatever its conditions."""
    assert Risk.from_dict(risk.to_dict()) == risk


def test_who_is_exposed_is_told_what_where_and_who_may_accept_it() -> None:
    """An update is not recommended; it is never called blocked."""
    reason = risk_reason(FULL, Exposure.EXPOSED, PROD)
    assert reason.to_dict() == {
        "code": "not-recommended",
        "message": "not recommended because of risk lost-routes: routes vanish for a minute "
        "(https://bugs.example.com/4711)",
        "until": "2026-12-23T12:00:00Z",
        "who_can_override": "an operator of acme (ums risk accept acme/prod lost-routes --reason …)",
    }


def test_an_unknown_exposure_is_called_unknown() -> None:
    """It is not recommended either, by another code."""
    reason = risk_reason(PLAIN, Exposure.UNKNOWN, PROD)
    assert (reason.code, reason.until) == ("risk-unknown", None)
    assert reason.message == (
        "not recommended because of risk lost-routes; whether this data plane is concerned is unknown: "
        "routes vanish for a minute"
    )


DEMANDS = Requires(VersionRange(">=1.34.1"), VersionRange("~2.6"), {"flux": VersionRange(">=2.0")})


@pytest.mark.parametrize(
    ("kubernetes", "flux", "bundles", "expected"),
    [
        ("1.34.1", "2.6.0", {"flux": "2.0.0"}, []),
        ("1.34.1+k3s1", "2.6.0", {"flux": "2.0.0"}, []),
        ("1.34.1-gke.100", "2.6.3-rc.1", {"flux": "2.0.0"}, []),
        ("1.34.0-gke.999", "2.6.0", {"flux": "2.0.0"}, ["requires-kubernetes"]),
        ("1.34.1", "2.7.0", {"flux": "2.0.0"}, ["requires-flux"]),
        ("1.34.1", "2.6.0", {"flux": "1.9.0"}, ["requires-bundle"]),
        ("1.34.1", "2.6.0", {"flux": "2.0.0-rc.1"}, ["requires-bundle"]),
        ("1.34.1", "2.6.0", {"other": "2.0.0"}, ["requires-bundle"]),
        (None, "2.6.0", {"flux": "2.0.0"}, ["unknown-kubernetes"]),
        (None, None, {}, ["unknown-kubernetes", "unknown-flux", "requires-bundle"]),
    ],
)
def test_all_that_is_missing_is_named_at_once(
    kubernetes: str | None, flux: str | None, bundles: dict[str, str], expected: list[str]
) -> None:
    """A vendor's suffix never excludes; what is unknown is called so, and not taken for a no."""
    facts = Facts(Version(kubernetes) if kubernetes else None, Version(flux) if flux else None)
    found = unmet(DEMANDS, facts, {name: Version(text) for name, text in bundles.items()}, PROD)
    assert [reason.code for reason in found] == expected


def test_what_is_missing_is_said_in_words() -> None:
    """What is demanded, and what there is."""
    found = unmet(DEMANDS, Facts(Version("1.33.5+k3s1")), {}, PROD)
    assert [reason.message for reason in found] == [
        "it requires Kubernetes >=1.34.1; 1.33.5+k3s1 runs here",
        "it requires Flux ~2.6, and which one runs here is unknown",
        "it requires flux >=2.0; none is here",
    ]


@given_that(FACTS)
def test_who_demands_nothing_needs_no_facts(facts: Facts) -> None:
    """What is unknown matters only where it is asked for."""
    assert unmet(Requires(), facts, {}, PROD) == ()
