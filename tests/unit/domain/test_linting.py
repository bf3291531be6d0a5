"""What is wrong with a policy beside the others and the fleet: each finding, and what is fine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.unit.domain.worlds import NOW, make_world
from ums.domain.channels import Channel
from ums.domain.errors import InvalidInputError
from ums.domain.fleet import DataPlane, Registration
from ums.domain.linting import check_waves, lint
from ums.domain.names import PDPName
from ums.domain.policy import EVERYONE, Adoption, Amount, GateRules, Policy, Strategy, Wave
from ums.domain.windows import Schedule, Span, Window
from ums.domain.world import World

DAY = timedelta(days=1)
FED = Policy(feeder="edge")
NIGHTLY = Window(duration=timedelta(hours=2), zone="UTC", cron="0 22 * * *")


def between(start: int, end: int) -> Span:
    """Return the time from so many days from now until so many."""
    return Span(NOW + start * DAY, NOW + end * DAY)


def make(policies: Mapping[str, Policy]) -> World:
    """Return channels by their policies: two data planes in ``edge``, three in ``stable``, of which one is gold."""
    planes = {}
    for channel, count in (("edge", 2), ("stable", 3)):
        for number in range(count):
            name = PDPName(channel, f"pdp-{number}")
            labels = {"tier": "silver" if number else "gold"} if channel == "stable" else {"cloud": "azure"}
            bundles = ("flux",) if number == 1 else ("platform", "flux")
            planes[name] = DataPlane(Registration(name, channel, bundles, labels))
    channels = {"edge": Channel("edge"), **{name: Channel(name, policy) for name, policy in policies.items()}}
    return replace(make_world([]), channels=channels, planes=planes)


def findings(policies: Mapping[str, Policy], channel: str = "stable") -> list[str]:
    """Return what is wrong with a channel."""
    world = make(policies)
    return list(lint(world, world.channel(channel), NOW))


def waves(*selecting: Mapping[str, str]) -> Policy:
    """Return a policy of waves by the labels that they select."""
    return Policy(rollout=Strategy(waves=(*(Wave(f"w{n}", labels) for n, labels in enumerate(selecting)), EVERYONE)))


def adopting(amount: str, feeder: str = "edge") -> Policy:
    """Return a policy that wants a release to be adopted in the feeder."""
    return Policy(feeder=feeder, gates=GateRules(adoption=Adoption(Amount(amount), DAY, Amount("0"))))


CIRCLE = "channels feed each other in a circle: {}; nothing could enter any of them"
FEEDING = {
    "edge": ({"stable": FED}, []),
    "itself": ({"stable": Policy(feeder="stable")}, [CIRCLE.format("stable <- stable")]),
    "each other": ({"stable": FED, "edge": Policy(feeder="stable")}, [CIRCLE.format("stable <- edge <- stable")]),
    "a circle further up": (
        {"stable": FED, "edge": Policy(feeder="beta"), "beta": FED},
        [CIRCLE.format("stable <- edge <- beta <- edge")],
    ),
    "nobody": ({"stable": Policy(feeder="nobody")}, ["stable is fed by nobody, which does not exist"]),
    "nobody further up": (
        {"stable": FED, "edge": Policy(feeder="nobody")},
        ["edge is fed by nobody, which does not exist"],
    ),
}
NEVER = " do not open within a year: nothing would ever pass"
OPENING: dict[str, tuple[Schedule, bool]] = {
    "always": (Schedule(), True),
    "every night": (Schedule(allow=(NIGHTLY,)), True),
    "once, now": (Schedule(allow=(between(-1, 1),)), True),
    "once, in ten months": (Schedule(allow=(between(300, 301),)), True),
    "once, long ago": (Schedule(allow=(between(-9, -8),)), False),
    "once, in two years": (Schedule(allow=(between(700, 701),)), False),
    "always denied": (Schedule(deny=(between(-1, 400),)), False),
    "denied whenever allowed": (
        Schedule(allow=(NIGHTLY,), deny=(replace(NIGHTLY, duration=3 * timedelta(hours=1)),)),
        False,
    ),
}
ADOPTING = {
    "as many as there are": (adopting("2"), []),
    "a share": (adopting("100%"), []),
    "more than there are": (
        adopting("3"),
        ["gates.adoption wants 3 data planes of edge, which has 2: write a percentage"],
    ),
    "of one that has none yet": (adopting("3", feeder="beta"), []),
}
NOBODY = "wave {} selects nobody: no data plane of stable is labelled {}"
SELECTING = {
    "somebody": (waves({"tier": "gold"}), []),
    "nobody": (waves({"tier": "lead"}), [NOBODY.format("w0", "tier=lead")]),
    "somebody, of another channel": (waves({"cloud": "azure"}), [NOBODY.format("w0", "cloud=azure")]),
    "one of two": (
        waves({"tier": "gold"}, {"tier": "gold", "cloud": "azure"}),
        [NOBODY.format("w1", "cloud=azure, tier=gold")],
    ),
}


@pytest.mark.parametrize(("policies", "expected"), FEEDING.values(), ids=FEEDING)
def test_feeders_lead_somewhere(policies: Mapping[str, Policy], expected: list[str]) -> None:
    """Not to a channel that is not there, nor round and round; a finding names the way."""
    assert findings(policies) == expected


@pytest.mark.parametrize(("schedule", "opens"), OPENING.values(), ids=OPENING)
def test_windows_open_within_a_year(schedule: Schedule, *, opens: bool) -> None:
    """Those for promotions and those for data planes alike, each by its own name."""
    policy = Policy(gates=GateRules(windows=schedule), windows=schedule)
    assert findings({"stable": policy}) == ([] if opens else [f"gates.windows{NEVER}", f"windows{NEVER}"])


@pytest.mark.parametrize(("policy", "expected"), ADOPTING.values(), ids=ADOPTING)
def test_no_more_data_planes_are_asked_for_than_there_are(policy: Policy, expected: list[str]) -> None:
    """And what to write instead is told; a feeder without any is still to be filled."""
    assert findings({"stable": policy, "beta": Policy()}) == expected


@pytest.mark.parametrize(("policy", "expected"), SELECTING.values(), ids=SELECTING)
def test_every_wave_selects_somebody(policy: Policy, expected: list[str]) -> None:
    """Of this very channel, by all of its labels."""
    assert findings({"stable": policy}) == expected


def test_a_channel_that_nobody_follows_yet_may_have_any_waves() -> None:
    """The policy may be there before the data planes."""
    assert findings({"beta": waves({"tier": "lead"})}, "beta") == []


def test_everything_that_is_wrong_is_told_at_once() -> None:
    """Nobody mends one thing to be told of the next."""
    closed = Schedule(allow=(between(-9, -8),))
    policy = replace(waves({"tier": "lead"}), feeder="stable", gates=GateRules(windows=closed), windows=closed)
    assert len(findings({"stable": policy})) == 4


def test_a_rollout_does_not_start_with_a_wave_that_selects_nobody() -> None:
    """Of those who subscribe to the bundle: here those of silver that have ``platform`` are gone."""
    world = make({"stable": waves({"tier": "silver"})})
    check_waves(world, world.channel("stable"), "platform")
    world = world.with_planes({name: plane for name, plane in world.planes.items() if name.pdp != "pdp-2"})
    check_waves(world, world.channel("stable"), "flux")
    with pytest.raises(InvalidInputError, match=NOBODY.format("w0", "tier=silver")) as caught:
        check_waves(world, world.channel("stable"), "platform")
    assert caught.value.hint == "label some data planes, or change the wave: ums channel show stable"
