"""What ``decide`` costs as the fleet grows, in the middle of a rollout and with nothing to do."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from datetime import timedelta

from tests.bench.measuring import median, row
from tests.unit.domain.worlds import NOW, given, make_release, make_world
from ums.domain.channels import Channel
from ums.domain.deciding import decide
from ums.domain.explaining import explain
from ums.domain.fleet import BundleState, DataPlane, Desired, Health, Registration, Report
from ums.domain.names import PDPName
from ums.domain.policy import Amount, Policy, Strategy, Wave
from ums.domain.version import Version
from ums.domain.world import World

_SIZES = (1_000, 10_000, 100_000)
_COMPONENTS = {f"part-{number}": "1.0.0" for number in range(4)}
_OLD, _NEW = Version("1.0.0"), Version("1.1.0")
_WAVES = (Wave("canary", share=Amount("1")), Wave("tenth", share=Amount("10%")), Wave("everyone"))


def make_fleet(size: int, *, rolling: bool) -> World:
    """Return a channel of data planes that are well on a release; ``rolling`` promotes the next one."""
    world = make_world([make_release("1.0.0", _COMPONENTS), make_release("1.1.0", _COMPONENTS)])
    channel = Channel("stable", Policy(rollout=Strategy(waves=_WAVES)))
    channel = channel.with_promoted("platform", _OLD, given())
    if rolling:
        channel = channel.with_promoted("platform", _NEW, replace(given(), since=NOW))
    else:
        finished = channel.rollouts["platform"].at_wave(len(_WAVES), NOW)
        channel = channel.with_rollout("platform", finished)
    since = int((NOW - timedelta(days=1)).timestamp())
    planes = {}
    for number in range(size):
        name = PDPName(f"org-{number % 97}", f"pdp-{number}")
        state = BundleState(_OLD, dict.fromkeys(_COMPONENTS, _OLD), (), since)
        desired = Desired(since, "stable", NOW - timedelta(days=1), NOW + timedelta(days=6), {"platform": state})
        report = Report(since, Health.HEALTHY, "", "", NOW, NOW - timedelta(hours=20))
        registration = Registration(name, "stable", ("platform",), {"tier": str(number % 3)})
        planes[name] = DataPlane(registration, desired=desired, report=report)
    return replace(world, channels={"stable": channel}, planes=planes)


def bench_deciding() -> None:
    """Print how long a decision takes for fleets of growing size."""
    print("\ndeciding what everybody gets, four components each (time per data plane should not grow)")
    for rolling, what in ((False, "nothing to do"), (True, "in the middle of a rollout")):
        first = 0.0
        for size in _SIZES:
            world = make_fleet(size, rolling=rolling)
            now = NOW + timedelta(hours=1)
            taken = median(lambda world=world, now=now: decide(world, now), rounds=3)  # type: ignore[misc]
            first = first or taken / size
            row(f"{size:,} data planes, {what} (x: growth per data plane)", taken, first * size)
            if size == 10_000:
                row("  explain one of them", median(lambda w=world, n=now: explain(w, n, PDPName("org-5", "pdp-5"))))  # type: ignore[misc]
    tracemalloc.start()
    world = make_fleet(_SIZES[-1], rolling=True)
    decide(world, NOW + timedelta(hours=1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"  {'memory, the world of 100,000 and the decision together':<60} {peak / 2**20:9.0f} MiB")
