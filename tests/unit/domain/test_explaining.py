"""*Why not updated?* – every reason there is: the check that it fails, and the sentence that tells it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.domain.worlds import AT_ONCE, NOW, PROD, beside, given, make_release, make_world, settle
from ums.domain.bundle import ReleaseClass, Requires, UpgradeRules
from ums.domain.channels import Channel
from ums.domain.errors import NotFoundError
from ums.domain.explaining import _CHECKS, NOT_EVALUATED, Explanation, explain
from ums.domain.fleet import DataPlane, Facts, Given, Health, Hold, Pin, Registration, Report
from ums.domain.freezes import Freeze, Scope
from ums.domain.names import PDPName
from ums.domain.policy import EVERYONE, Amount, Policy, Strategy, Wave
from ums.domain.risks import Risk
from ums.domain.rollouts import RolloutStatus
from ums.domain.version import Version, VersionRange
from ums.domain.windows import Schedule, Span
from ums.domain.world import Recall, World

V1, V2, V3 = (Version(text) for text in ("1.0.0", "1.1.0", "1.2.0"))
HOUR = timedelta(hours=1)
UNTIL = NOW + HOUR
UNTIL_TEXT = "2026-11-23T13:00:00Z"
GIVEN = given(UNTIL)

Change = Callable[[World], World]


def make(*promoted: Version, after: Version = V1, well: bool = True) -> World:
    """Return a data plane that has ``after``, as the last of ``promoted`` is on its way; 1.2.0 is only published."""
    releases = [make_release(text, {"cilium": text, "gateway": text}) for text in ("1.0.0", "1.1.0", "1.2.0")]
    world = settle(make_world(releases, promoted=[str(after)]), NOW - 2 * HOUR, healthy=well)
    channel = Channel("stable", Policy(rollout=AT_ONCE))
    for version in promoted:
        channel = channel.with_promoted("platform", version, Given("erik", "", NOW - HOUR))
    return world.with_channel(channel)


def plane(world: World, **fields: Any) -> World:  # noqa: ANN401 - of any type
    """Return the world with something decided about the data plane."""
    return world.with_plane(replace(world.plane(PROD), **fields))


def registered(world: World, **fields: Any) -> World:  # noqa: ANN401
    """Return the world with the data plane registered otherwise."""
    return plane(world, registration=replace(world.plane(PROD).registration, **fields))


def release(world: World, version: Version = V2, **fields: Any) -> World:  # noqa: ANN401
    """Return the world with a release of other content."""
    entry = world.entry("platform", version)
    return world.with_entry(replace(entry, release=replace(entry.release, **fields)))


def status(world: World, version: Version = V2, **fields: Any) -> World:  # noqa: ANN401
    """Return the world with a release yanked or recalled."""
    return world.with_entry(replace(world.entry("platform", version), **fields))


def rollout(world: World, *, strategy: Strategy = AT_ONCE, **fields: Any) -> World:  # noqa: ANN401
    """Return the world with the rollout under way in another state."""
    channel = world.channel("stable")
    channel = replace(channel, policy=replace(channel.policy, rollout=strategy))
    found = replace(channel.rollouts["platform"], strategy=strategy, **fields)
    return world.with_channel(channel.with_rollout("platform", found))


def stopped(how: RolloutStatus, **fields: Any) -> World:  # noqa: ANN401
    """Return the world with the rollout stopped."""
    return rollout(make(V1, V2), status=how, given=Given("erik", "case 4711", NOW), **fields)


def held(version: Version, component: str | None = None) -> dict[str, Any]:
    """Return a hold as the field of a data plane."""
    return {"holds": (Hold("platform", component, version, GIVEN),)}


def pinned(versions: str) -> dict[str, Any]:
    """Return a pin as the field of a data plane."""
    return {"pins": (Pin("platform", None, VersionRange(versions), GIVEN),)}


def risk(**conditions: Any) -> dict[str, Risk]:  # noqa: ANN401
    """Return a declared risk of 1.1.0."""
    return {"r": Risk("r", "platform", VersionRange("1.1.0"), "routes vanish", GIVEN, **conditions)}


def among_others(world: World, count: int) -> World:
    """Return the world with others in the channel, of whom nothing was heard yet."""
    planes = {}
    for number in range(count):
        name = PDPName("acme", f"eager-{number}")
        registration = Registration(name, "stable", ("platform",), volunteer=True)
        planes[name] = replace(world.plane(PROD), registration=registration)
    return world.with_planes({**world.planes, **planes})


def beside_one_on_its_way(*, failed: bool) -> World:
    """Return the world pinned to what another data plane was just given, who may have failed on it."""
    world = plane(make(V1, V2, V3), **pinned("1.1.x"))
    desired, name = world.plane(PROD).desired, PDPName("acme", "eager")
    assert desired is not None
    state = replace(desired.bundles["platform"], release=V2, since=desired.serial, origins=(V1,))
    health = Health.FAILED if failed else Health.UPDATING
    report = Report(desired.serial, health, "", "", NOW, NOW)
    offered = replace(desired, bundles={"platform": state})
    return world.with_plane(DataPlane(Registration(name, "stable", ("platform",)), desired=offered, report=report))


def withdrawn(world: World) -> World:
    """Return the world with the head offered before the halt, and not taken."""
    state = world.plane(PROD).desired
    assert state is not None
    serial = int((NOW - HOUR).timestamp())
    offered = replace(state.bundles["platform"], release=V2, since=serial, origins=(V1,))
    return plane(world, desired=replace(state, serial=serial, bundles={"platform": offered}))


SOAKING = Strategy(waves=(Wave("canary", share=Amount("1"), soak=2 * HOUR), EVERYONE), max_updating=Amount("100%"))
RAMPED = Strategy(waves=(Wave("everyone", over=4 * HOUR),), max_updating=Amount("100%"))
WHO = "an operator of acme"
DOUBT = "; whether this data plane is concerned is unknown"


def offered_ahead(world: World) -> World:
    """Return a world whose data plane was offered something by a clock that was ten days ahead."""
    desired = world.plane(PROD).desired
    assert desired is not None
    return plane(world, desired=replace(desired, serial=desired.serial + 10 * 86_400))


REASONS: dict[str, tuple[World, str, str]] = {
    "no-channel": (
        replace(make(V1), channels={}),
        "subscription waits",
        "channel stable does not exist or its files are wrong",
    ),
    "unsubscribed": (
        registered(make(V1, V2), bundles=()),
        "subscription waits",
        "acme/prod no longer subscribes to platform; what runs stays",
    ),
    "nothing-promoted": (make(), "subscription waits", "no release of platform was promoted to stable yet"),
    "no-release": (make(V1, Version("9.0.0")), "subscription waits", "platform@9.0.0 is not in the catalog"),
    "ahead-of-channel": (
        make(V1, after=V2),
        "order waits",
        "acme/prod has platform@1.1.0, newer than 1.0.0 in stable; following a channel never downgrades",
    ),
    "held": (
        plane(make(V1, V2), **held(V1)),
        "hold waits",
        f"platform is held at 1.0.0 by olga: because, until {UNTIL_TEXT}",
    ),
    "pinned": (
        plane(make(V1, V2), **pinned("~1.0")),
        "pin waits",
        f"platform is pinned to ~1.0 by olga: because, until {UNTIL_TEXT}",
    ),
    "pin-unsatisfied": (
        plane(make(V1, V2), **pinned("1.2.0")),
        "pin waits",
        f"platform is pinned to 1.2.0 by olga: because; its channel has promoted nothing within it, until {UNTIL_TEXT}",
    ),
    "recalled": (
        status(plane(make(V1, V2), **held(V1)), V1, recall=Recall(V2, GIVEN)),
        "recall waits",
        f"platform@1.0.0 was recalled by olga: because; a hold keeps it here, which is dangerous, until {UNTIL_TEXT}",
    ),
    "yanked": (
        status(make(V1, V2), yanked="corrupts data"),
        "recall waits",
        "platform@1.1.0 was yanked: corrupts data",
    ),
    "no-path": (
        release(make(V1, V3), upgrade=UpgradeRules(barrier="migrates")),
        "path waits",
        "there is no way from platform@1.0.0 to platform@1.2.0: barrier 1.1.0 (migrates) must be promoted here first",
    ),
    "unconfirmed": (
        release(withdrawn(make(V1, V2, V3)), upgrade=UpgradeRules(barrier="migrates")),
        "path waits",
        "acme/prod must be well on platform@1.1.0 before it goes on to 1.2.0",
    ),
    "irreversible": (
        release(plane(make(V1, V2, after=V2), **held(V1)), upgrade=UpgradeRules(irreversible=True)),
        "path waits",
        f"platform is held at 1.0.0 by olga: because, until {UNTIL_TEXT}, and 1 more",
    ),
    "requires-kubernetes": (
        registered(
            release(make(V1, V2), requires=Requires(kubernetes=VersionRange(">=1.34"))), facts=Facts(Version("1.33.0"))
        ),
        "requirements waits",
        "it requires Kubernetes >=1.34; 1.33.0 runs here",
    ),
    "requires-flux": (
        registered(
            release(make(V1, V2), requires=Requires(flux=VersionRange("~2.6"))), facts=Facts(None, Version("2.5.0"))
        ),
        "requirements waits",
        "it requires Flux ~2.6; 2.5.0 runs here",
    ),
    "requires-bundle": (
        release(make(V1, V2), requires=Requires(bundles={"flux": VersionRange(">=2")})),
        "requirements waits",
        "it requires flux >=2; none is here",
    ),
    "required-by": (
        beside(
            make(V1, V2),
            make_release("7.0.0", {}, bundle="apps", requires=Requires(bundles={"platform": VersionRange("1.0.x")})),
        ),
        "requirements waits",
        "apps@7.0.0 runs here and requires platform 1.0.x; this is 1.1.0",
    ),
    "key-not-known": (
        status(make(V1, V2), signed_by=("new",)),
        "keys waits",
        "acme/prod may not know new yet, which alone signed platform@1.1.0; a release of trust must bring it first",
    ),
    "unknown-kubernetes": (
        release(make(V1, V2), requires=Requires(kubernetes=VersionRange(">=1.34"))),
        "requirements unknown",
        "it requires Kubernetes >=1.34, and which one runs here is unknown",
    ),
    "unknown-flux": (
        release(make(V1, V2), requires=Requires(flux=VersionRange("~2.6"))),
        "requirements unknown",
        "it requires Flux ~2.6, and which one runs here is unknown",
    ),
    "not-recommended": (
        replace(make(V1, V2), risks=risk()),
        "risk waits",
        f"not recommended because of risk r: routes vanish, until {UNTIL_TEXT}",
    ),
    "risk-unknown": (
        replace(make(V1, V2), risks=risk(kubernetes=VersionRange("<1.34"))),
        "risk unknown",
        f"not recommended because of risk r{DOUBT}: routes vanish, until {UNTIL_TEXT}",
    ),
    "consent": (
        registered(make(V1, V2), ask=True),
        "consent waits",
        "the owner of acme/prod has not consented to platform@1.1.0",
    ),
    "window": (
        registered(make(V1, V2), windows=Schedule(allow=(Span(UNTIL, UNTIL + HOUR),))),
        "window waits",
        (
            "the maintenance window of its registration is closed; it governs when a release is offered, "
            f"until {UNTIL_TEXT}"
        ),
    ),
    "frozen": (
        replace(make(V1, V2), freezes=(Freeze("f", Scope(), GIVEN),)),
        "freeze waits",
        f"everything was frozen by olga: because, until {UNTIL_TEXT}",
    ),
    "rollout-paused": (
        stopped(RolloutStatus.PAUSED),
        "rollout waits",
        "the rollout of platform@1.1.0 was paused by erik: case 4711",
    ),
    "rollout-halted": (
        stopped(RolloutStatus.HALTED),
        "rollout waits",
        "the rollout of platform@1.1.0 halted: case 4711",
    ),
    "rolled-back": (
        stopped(RolloutStatus.ROLLED_BACK),
        "rollout waits",
        "the rollout of platform@1.1.0 was rolled back: case 4711",
    ),
    "rollout-cancelled": (
        stopped(RolloutStatus.CANCELLED),
        "rollout waits",
        "the rollout of platform@1.1.0 was cancelled by erik: case 4711; only a newer release goes on",
    ),
    "withdrawn": (
        replace(withdrawn(stopped(RolloutStatus.HALTED)), freezes=(Freeze("f", Scope(), given()),)),
        "rollout waits",
        "the offer of platform@1.1.0 was withdrawn: case 4711, and 1 more",
    ),
    "wave": (
        rollout(among_others(make(V1, V2), 1), strategy=SOAKING),
        "wave waits",
        "platform@1.1.0 reaches wave everyone (2 of 2) after canary",
    ),
    "ramp": (
        rollout(among_others(make(V1, V2), 3), strategy=RAMPED),
        "wave waits",
        "wave everyone is ramped up, and reaches it later, until 2026-11-23T15:00:00Z",
    ),
    "serial-ahead": (
        offered_ahead(make(V1, V2)),
        "serial waits",
        "its last serial is further ahead of the clock than clusters accept, until 2026-12-02T11:00:01Z",
    ),
    "max-updating": (
        rollout(among_others(make(V1, V2), 3), strategy=replace(AT_ONCE, max_updating=Amount("50%"))),
        "turn waits",
        "2 of stable are updating, and no more than 2 may; it comes after these",
    ),
    "first": (
        beside_one_on_its_way(failed=False),
        "turn waits",
        f"platform is pinned to 1.1.x by olga: because, until {UNTIL_TEXT}, and 1 more",
    ),
    "first-failed": (
        beside_one_on_its_way(failed=True),
        "turn waits",
        f"platform is pinned to 1.1.x by olga: because, until {UNTIL_TEXT}, and 1 more",
    ),
}


def of(world: World) -> Explanation:
    """Return why the data plane is where it is."""
    (found,) = (each for each in explain(world, NOW, PROD) if each.bundle == "platform")
    return found


def failing(explanation: Explanation) -> list[str]:
    """Return the checks that are not ok."""
    return [f"{each.name} {each.verdict}" for each in explanation.checks if each.verdict != "ok"]


@pytest.mark.parametrize(
    ("code", "world", "check", "sentence"), [(code, *case) for code, case in REASONS.items()], ids=REASONS
)
def test_every_reason_fails_its_check_and_is_said_in_one_sentence(
    code: str, world: World, check: str, sentence: str
) -> None:
    """All other checks are there too; who waits for two things is told the first, and how many more."""
    found = of(world)
    assert check in failing(found)
    assert code in _CHECKS[check.partition(" ")[0]][1]
    assert list(dict.fromkeys(each.name for each in found.checks)) == list(_CHECKS)
    assert code in {each.code for each in found.reasons}
    assert found.sentence == f"acme/prod waits: {sentence}."


def test_no_reason_is_without_an_example() -> None:
    """Whoever adds one tells here how it comes about."""
    assert set(REASONS) == set().union(*(codes for _, codes in _CHECKS.values()))


def say(health: Health, message: str = "") -> Change:
    """Return what happens when the data plane reports."""

    def change(world: World) -> World:
        report = world.plane(PROD).report
        assert report is not None
        return plane(world, report=replace(report, health=health, message=message))

    return change


ENDS: Mapping[str, tuple[World, str, str, str]] = {
    "moves": (make(V1, V2), "1.0.0", "1.1.0", "acme/prod gets platform@1.1.0 now"),
    "moves, by a hop": (
        release(make(V1, V2, V3), upgrade=UpgradeRules(barrier="migrates")),
        "1.0.0",
        "1.2.0",
        "acme/prod gets platform@1.1.0 now",
    ),
    "moves back": (plane(make(V2, after=V2), **held(V1)), "1.1.0", "1.1.0", "acme/prod gets platform@1.0.0 now"),
    "well": (make(V1), "1.0.0", "1.0.0", "acme/prod has what stable offers, and is well"),
    "failed": (
        say(Health.FAILED, "cilium is not ready")(make(V1)),
        "1.0.0",
        "1.0.0",
        "acme/prod was offered what stable has, and is failed: cilium is not ready",
    ),
    "silent": (
        plane(make(V1), report=None),
        "1.0.0",
        "1.0.0",
        "acme/prod was offered what stable has, and is unknown",
    ),
}


@pytest.mark.parametrize(("world", "running", "target", "sentence"), ENDS.values(), ids=ENDS)
def test_who_waits_for_nothing_is_told_where_it_is(world: World, running: str, target: str, sentence: str) -> None:
    """Only health is called well: silence is not."""
    found = of(world)
    assert (found.running, found.target) == (f"platform@{running}", f"platform@{target}")
    assert found.sentence == f"{sentence}."


def test_a_check_that_waits_says_until_when_and_whom_to_ask() -> None:
    """Those that were looked at say what is well."""
    found = of(plane(make(V1, V2), **pinned("~1.0"))).to_dict()
    checks = {each["check"]: each for each in found["checks"]}
    assert (checks["pin"]["until"], checks["pin"]["who_can_override"]) == (
        UNTIL_TEXT,
        f"{WHO} (ums unpin acme/prod platform --reason …)",
    )
    assert checks["freeze"] == {
        "check": "freeze",
        "verdict": "ok",
        "message": "no freeze covers it",
        "until": None,
        "who_can_override": None,
    }


def test_what_was_not_looked_at_is_not_called_well() -> None:
    """Whoever has all there is was kept from nothing; and who waits for a wave is not there yet."""
    verdicts = {each.name: each.verdict for each in of(make(V1)).checks}
    looked_at = {name for name, verdict in verdicts.items() if verdict == "ok"}
    assert looked_at == {"subscription", "recall", "hold", "pin", "order"}
    assert {verdicts[name] for name in verdicts.keys() - looked_at} == {NOT_EVALUATED}
    found = {each.name: each.verdict for each in of(REASONS["wave"][0]).checks}
    assert (found["freeze"], found["wave"], found["turn"]) == ("ok", "waits", NOT_EVALUATED)


def test_what_is_behind_a_hold_is_said_too() -> None:
    """In the order in which it will matter, whoever ends it; and each is asked for when its turn comes."""
    asks = registered(make(V1, V2), ask=True, windows=Schedule(allow=(Span(NOW + 2 * HOUR, NOW + 3 * HOUR),)))
    kept = plane(asks, **held(V1), **pinned("~1.0"))
    frozen = replace(kept, freezes=(Freeze("f", Scope(org="acme"), given()),))
    found = of(rollout(frozen, status=RolloutStatus.PAUSED, given=Given("erik", "case 4711", NOW)))
    assert [(each.code, each.until, each.who_can_override) for each in found.reasons] == [
        ("held", UNTIL_TEXT, f"{WHO} (ums unhold acme/prod platform --reason …)"),
        ("pinned", UNTIL_TEXT, f"{WHO} (ums unpin acme/prod platform --reason …)"),
        ("consent", None, f"{WHO} (ums consent acme/prod platform@1.1.0 --reason …)"),
        ("window", "2026-11-23T14:00:00Z", None),
        ("frozen", None, f"{WHO} (ums thaw f --reason …)"),
        ("rollout-paused", None, "a release engineer (ums rollout resume stable platform --reason …)"),
    ]


def test_a_deadline_ends_what_owners_may_defer() -> None:
    """Be it before their window opens."""
    world = registered(make(V1, V2), ask=True, windows=Schedule(allow=(Span(NOW + 2 * HOUR, NOW + 3 * HOUR),)))
    channel = world.channel("stable")
    policy = replace(channel.policy, deadlines={ReleaseClass.FEATURE: 2 * HOUR})  # it was promoted an hour ago
    found = of(world.with_channel(replace(channel, policy=policy)))
    assert [(each.code, each.until) for each in found.reasons] == [("consent", UNTIL_TEXT), ("window", UNTIL_TEXT)]


def test_what_keeps_one_component_does_not_keep_the_rest() -> None:
    """It moves, and says what does not."""
    found = of(plane(make(V1, V2), **held(V1, "cilium")))
    assert [each for each in failing(found) if not each.endswith(NOT_EVALUATED)] == ["hold waits"]
    assert found.sentence == "acme/prod gets platform@1.1.0 now."


def test_each_bundle_has_its_own_explanation() -> None:
    """Also one that it no longer subscribes to, for that still runs."""
    found = explain(registered(make(V1, V2), bundles=("flux",)), NOW, PROD)
    assert [(each.bundle, each.running) for each in found] == [("flux", None), ("platform", "platform@1.0.0")]


def test_nobody_can_be_explained_who_is_not_there() -> None:
    """And where to look is told."""
    with pytest.raises(NotFoundError, match="no data plane acme/none") as caught:
        explain(make(V1), NOW, PDPName("acme", "none"))
    assert "ums pdp list" in caught.value.hint
