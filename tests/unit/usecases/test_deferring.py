"""What owners decide: risks they take, consent they give, windows they keep – and how long they may defer."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.usecases.stage import AT_ONCE, PROD, Stage
from ums.domain import layout
from ums.domain.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError, RefusedError, UmsError
from ums.domain.fleet import Given, Health
from ums.domain.identity import Holder
from ums.domain.names import PDPName
from ums.domain.release import ReleaseName
from ums.domain.risks import Risk
from ums.domain.version import Version, VersionRange
from ums.domain.world import Decision, Raw
from ums.usecases.instruct import Subject, Why

V1, V2 = (ReleaseName("platform", Version(text)) for text in ("1.0.0", "1.1.0"))
PLATFORM = Subject("platform")
OTHER = PDPName("acme", "other")
ENGINEER = Holder("erik", frozenset({"release-engineer"})).identity
OWNER = Why(Holder("olga", frozenset({"operator"})).identity, "tested in staging")
ERIK = Why(ENGINEER, "case 4711")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NIGHTS = {"allow": [{"cron": "0 22 * * *", "duration": "2h"}]}
LONG_AGO = {"allow": [{"from": "2020-01-01T00:00:00Z", "until": "2020-01-02T00:00:00Z"}]}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return two data planes on 1.0.0, with 1.1.0, which is a security release, in ``edge``."""
    made = Stage(tmp_path)
    made.add_plane()
    made.add_plane(OTHER)
    made.publish("1.0.0")
    made.promote("1.0.0")
    made.hear(Health.HEALTHY, PROD, OTHER)
    made.publish("1.1.0", **SECURITY)
    made.promote("1.1.0", "edge")
    made.clock.advance(HOUR)
    return made


SECURITY: dict[str, Any] = {"class": "security"}


def register(stage: Stage, name: PDPName = PROD, **fields: object) -> None:
    """Let an owner edit the registration in Git."""
    content = Raw(yaml.safe_dump({"channel": "stable", "bundles": ["platform"], **fields}).encode())
    decision = Decision("x", "edit", "olga", "x", stage.clock.now(), {layout.fleet_registration(name): content})
    stage.repo.commit(decision, base=stage.repo.read().base)


def on(stage: Stage, name: PDPName = PROD) -> str:
    """Return the release a data plane is on."""
    return " ".join(sorted(set(stage.running(name).values())))


def waits(stage: Stage, name: PDPName = PROD) -> list[tuple[str, str | None]]:
    """Return why a data plane does not move, and until when."""
    return [
        (reason.code, reason.until)
        for each in stage.services.plan().withheld
        if each.pdp == name
        for reason in each.reasons
    ]


def later(stage: Stage, span: timedelta) -> str:
    """Let time pass, and the loop do what is due; return where the data plane is."""
    stage.clock.advance(span)
    stage.services.reconcile()
    return on(stage)


def risk(stage: Stage, name: str = "lost-routes", **conditions: Any) -> Risk:  # noqa: ANN401 - passed on
    """Return a risk of 1.1.0."""
    given = Given("", "", stage.clock.now())
    return Risk(name, "platform", VersionRange("1.1.x"), "routes vanish", given, **conditions)


def test_a_risk_keeps_those_whom_it_concerns_until_they_accept_it(stage: Stage) -> None:
    """Nobody else; who accepted it, why, and who declared it stand in the log."""
    register(stage, labels={"cloud": "azure"})
    stage.services.declare_risk.declare(risk(stage, labels={"cloud": "azure"}), ERIK)
    stage.promote("1.1.0", "stable")
    assert (on(stage), on(stage, OTHER), waits(stage)) == ("1.0.0", "1.1.0", [("not-recommended", None)])
    stage.services.declare_risk.accept(PROD, "lost-routes", OWNER)
    assert on(stage) == "1.1.0"
    told = [(each.actor, each.action, each.reason) for each in stage.services.log(limit=4)]
    assert ("olga", "accept-risk", "tested in staging") in told
    assert ("erik", "declare-risk", "case 4711") in told


@pytest.mark.parametrize("ends", ["retracted", "by itself"])
def test_a_risk_that_is_over_keeps_nobody(stage: Stage, ends: str) -> None:
    """Taken back, or with its time."""
    until = stage.clock.now() + DAY
    stage.services.declare_risk.declare(risk(stage), Why(ENGINEER, "x", until if ends == "by itself" else None))
    stage.promote("1.1.0", "stable")
    assert (on(stage), len(waits(stage))) == ("1.0.0", 1)
    if ends == "retracted":
        stage.services.declare_risk.retract("lost-routes", ERIK)
    assert later(stage, DAY) == "1.1.0"


def test_a_risk_is_accepted_for_itself_alone_and_perhaps_not_for_ever(stage: Stage) -> None:
    """Of two, the other still keeps; an acceptance that ended is none."""
    for name in ("lost-routes", "lost-data"):
        stage.services.declare_risk.declare(risk(stage, name), ERIK)
    stage.promote("1.1.0", "stable")
    stage.services.declare_risk.accept(PROD, "lost-routes", OWNER)
    assert len(waits(stage)) == 1
    stage.services.declare_risk.accept(
        PROD, "lost-routes", Why(OWNER.by, "for the weekend", stage.clock.now() + 2 * DAY)
    )
    assert later(stage, 2 * DAY) == "1.0.0"
    assert len(waits(stage)) == 2


def test_a_risk_is_declared_once(stage: Stage) -> None:
    """The same again is no decision, another under its name is refused."""
    declare = stage.services.declare_risk.declare
    assert declare(risk(stage), ERIK).recorded
    assert not declare(risk(stage), ERIK).recorded
    with pytest.raises(ConflictError, match="another risk lost-routes"):
        declare(risk(stage, labels={"cloud": "azure"}), ERIK)


@pytest.mark.parametrize(
    ("pdp", "name", "why", "error"),
    [
        (PROD, "none", OWNER, NotFoundError),
        (PDPName("acme", "none"), "lost-routes", OWNER, NotFoundError),
        (PROD, "lost-routes", Why(OWNER.by, ""), InvalidInputError),
        (PROD, "lost-routes", Why(Holder("v", frozenset({"viewer"})).identity, "x"), ForbiddenError),
    ],
    ids=["no such risk", "no such data plane", "no reason", "no right"],
)
def test_what_is_not_there_cannot_be_accepted(
    stage: Stage, pdp: PDPName, name: str, why: Why, error: type[UmsError]
) -> None:
    """Nor by anybody, nor for nothing."""
    stage.services.declare_risk.declare(risk(stage), ERIK)
    before = stage.world()
    with pytest.raises(error):
        stage.services.declare_risk.accept(pdp, name, why)
    assert stage.world() == before


def test_what_failed_in_the_feeder_goes_on_with_a_declared_risk_alone(stage: Stage) -> None:
    """While that is in force: one that ended says nothing of the next promotion."""
    first = PDPName("acme", "first")
    stage.add_plane(first, "edge")
    stage.hear(Health.FAILED, first)
    stage.set_policy("stable", feeder="edge", rollout=AT_ONCE, gates={"undeclaredRisk": True})
    refused = pytest.raises(RefusedError, match=r"platform@1\.1\.0 is not promoted")
    with refused as caught:
        stage.services.promote(V2, to="stable", by=ENGINEER)
    assert [reason.code for reason in caught.value.reasons] == ["gate-risk"]
    stage.services.declare_risk.declare(risk(stage), Why(ENGINEER, "x", stage.clock.now() + HOUR))
    assert stage.services.promote(V2, to="stable", by=ENGINEER, dry_run=True).plan.withheld
    stage.clock.advance(HOUR)
    with refused:
        stage.services.promote(V2, to="stable", by=ENGINEER)


def test_who_asks_to_be_asked_gets_what_they_agreed_to(stage: Stage) -> None:
    """That very release, and while the consent counts; others are not kept back."""
    register(stage, ask=True)
    stage.promote("1.1.0", "stable")
    assert (on(stage), on(stage, OTHER), waits(stage)) == ("1.0.0", "1.1.0", [("consent", None)])
    consent = stage.services.instruct.consent
    consent(PROD, V1, OWNER)
    assert on(stage) == "1.0.0"
    consent(PROD, V2, OWNER)
    assert on(stage) == "1.1.0"
    (entry,) = stage.services.log(limit=1, path=f"fleet/{PROD}")
    assert (entry.actor, entry.action, entry.reason) == ("olga", "consent", "tested in staging")
    with pytest.raises(NotFoundError, match=r"no release platform@9\.0\.0"):
        consent(PROD, ReleaseName("platform", Version("9.0.0")), OWNER)


def test_a_consent_that_ended_is_none(stage: Stage) -> None:
    """Given before the release came, and too early."""
    register(stage, ask=True)
    stage.services.instruct.consent(PROD, V2, Why(OWNER.by, "this week", stage.clock.now() + DAY))
    stage.clock.advance(DAY)
    stage.promote("1.1.0", "stable")
    assert on(stage) == "1.0.0"


@pytest.mark.parametrize(("classes", "expected"), [(["security"], "1.1.0"), (["bugfix", "feature"], "1.0.0")])
def test_consent_may_stand_for_a_class(stage: Stage, classes: list[str], expected: str) -> None:
    """For that and no other."""
    register(stage, ask=True, standingConsent=classes)
    stage.promote("1.1.0", "stable")
    assert on(stage) == expected


def test_nobody_is_asked_about_the_way_back(stage: Stage) -> None:
    """Neither consent nor a window keeps what somebody ordered."""
    stage.promote("1.1.0", "stable")
    register(stage, ask=True, windows=LONG_AGO)
    stage.services.instruct.roll_back(PROD, PLATFORM, V1.version, OWNER)
    assert on(stage) == "1.0.0"


def test_a_window_of_the_owner_says_when_it_is_offered(stage: Stage) -> None:
    """At ten in the evening, and not before; the others do not wait for it."""
    register(stage, windows=NIGHTS)
    stage.promote("1.1.0", "stable")
    assert (on(stage, OTHER), waits(stage)) == ("1.1.0", [("window", "2026-11-23T22:00:00Z")])
    assert later(stage, 9 * HOUR - timedelta(seconds=1)) == "1.0.0"
    assert later(stage, timedelta(seconds=1)) == "1.1.0"


@pytest.mark.parametrize(
    ("deadlines", "channel", "expected"),
    [
        ({"security": "3d"}, {}, "1.1.0"),
        ({"bugfix": "3d"}, {}, "1.0.0"),
        ({"security": "3d"}, {"windows": {"deny": [{"cron": "0 0 * * *", "duration": "20h"}]}}, "1.0.0"),
    ],
    ids=["owners defer no longer", "of another class", "the channel's own window"],
)
def test_owners_defer_until_the_deadline(
    stage: Stage, deadlines: dict[str, str], channel: dict[str, Any], expected: str
) -> None:
    """Both by consent and by window, and three days long; the channel's own windows are not theirs."""
    stage.set_policy("stable", feeder="edge", rollout=AT_ONCE, deadlines=deadlines)
    register(stage, ask=True, windows=NIGHTS)
    stage.promote("1.1.0", "stable")
    until = "2026-11-26T13:00:00Z" if "security" in deadlines else None
    assert waits(stage) == [("consent", until), ("window", "2026-11-23T22:00:00Z")]
    by_hand = Raw(yaml.safe_dump({"feeder": "edge", "rollout": AT_ONCE, "deadlines": deadlines, **channel}).encode())
    path = layout.channel_policy("stable")
    stage.repo.commit(Decision("x", "x", "x", "x", stage.clock.now(), {path: by_hand}), base=stage.repo.read().base)
    assert later(stage, 3 * DAY - timedelta(seconds=1)) == "1.0.0"
    assert later(stage, timedelta(seconds=1)) == expected


def test_a_newer_promotion_gives_nobody_new_time(stage: Stage) -> None:
    """Whoever deferred the one gets the next by the same deadline."""
    stage.set_policy("stable", feeder="edge", rollout=AT_ONCE, deadlines={"security": "3d"})
    register(stage, ask=True)
    stage.promote("1.1.0", "stable")
    stage.clock.advance(2 * DAY)
    stage.publish("1.2.0", **SECURITY)
    stage.promote("1.2.0")
    assert waits(stage) == [("consent", "2026-11-26T13:00:00Z")]
    assert later(stage, DAY) == "1.2.0"


@pytest.mark.parametrize(
    ("subject", "versions", "newest"),
    [
        ("platform", "9.x", "1.0.0, 1.1.0"),
        ("platform/cilium", "1.5.0", "1.0.0, 1.1.0"),
        ("platform/none", "1.0.0", "none"),
    ],
)
def test_a_pin_to_what_does_not_exist_is_refused(stage: Stage, subject: str, versions: str, newest: str) -> None:
    """It would hold for ever; what there is is told."""
    before = stage.world()
    with pytest.raises((InvalidInputError, NotFoundError)) as caught:
        stage.services.instruct.pin(PROD, Subject.parse(subject), VersionRange(versions), OWNER)
    assert newest == "none" or caught.value.hint == f"its newest: {newest}"
    assert stage.world() == before


def test_a_pin_to_what_is_not_promoted_yet_waits_for_it(stage: Stage) -> None:
    """It stays where it is, and says so; then it goes there and no further."""
    stage.services.instruct.pin(PROD, PLATFORM, VersionRange("1.1.0"), OWNER)
    assert (on(stage), waits(stage)) == ("1.0.0", [("pin-unsatisfied", None)])
    stage.promote("1.1.0", "stable")
    assert on(stage) == "1.1.0"
    stage.hear(Health.HEALTHY, PROD, OTHER)
    stage.publish("1.2.0")
    stage.promote("1.2.0")
    assert (on(stage), on(stage, OTHER), waits(stage)) == ("1.1.0", "1.2.0", [("pinned", None)])
