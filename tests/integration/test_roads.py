"""A data plane that becomes eligible later goes through a canary: every road, against one running service.

The bad release fails wherever it is applied. However data planes come to it, one of each channel fails on it, the
rollout halts, and the others stay on what they had.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from examples.simulated_plane import SimulatedPlane
from tests.processes import eventually
from tests.running_service import RunningService
from ums.client import Client
from ums.domain.instants import to_text
from ums.domain.names import PDPName

BUNDLE, PART = "platform", "platform/observability"
GOOD, BETTER, BAD = "1.0.0", "1.0.1", "1.1.0"
SIZE = 4
"""Data planes of a channel."""
ROLLOUT = {
    "waves": [{"name": "canary", "share": "1", "soak": "1s"}, {"name": "everyone"}],
    "maxUpdating": "100%",
    "healthyFor": "0s",
}
WHY = "a test"
PARKING = "parking"
"""A channel that never gets the bad release."""


def write_bundle(folder: Path, version: str) -> Path:
    """Write a bundle of two components of manifests."""
    components = []
    for name in ("network", "observability"):
        (folder / name).mkdir(parents=True)
        metadata = {"name": name, "namespace": BUNDLE}
        content = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"version": version}}
        (folder / name / "all.yaml").write_text(yaml.safe_dump(content))
        components.append({"name": name, "manifests": name, "version": version, "namespace": BUNDLE})
    (folder / "bundle.yaml").write_text(yaml.safe_dump({"name": BUNDLE, "components": components}))
    return folder


@dataclass
class Stage:
    """A running service with simulated data planes.

    Attributes:
        planes: by name, the data planes that have a cluster.
        offline: the data planes that do not poll.

    """

    service: RunningService
    pool: ThreadPoolExecutor
    planes: dict[PDPName, SimulatedPlane] = field(default_factory=dict)
    offline: set[PDPName] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.client = Client(self.service.url, self.service.token)

    def add(self, name: PDPName, channel: str, *, robust: bool = False) -> None:
        """Register a data plane and connect its cluster, where nothing runs; a robust one fails on no release."""
        labels = {"org": name.org}
        self.client.add_plane(pdp=str(name), channel=channel, bundles=[BUNDLE], labels=labels)
        objects: Any = self.client.get_bootstrap(name.org, name.pdp)["objects"]
        folder = Path(tempfile.mkdtemp(dir=self.service.folder)) / "view.git"
        self.planes[name] = SimulatedPlane(name, objects, folder, fails_on="" if robust else f"observability:{BAD}")

    def promote(self, version: str, channel: str) -> None:
        """Promote a release."""
        self.client.promote(channel, release=f"{BUNDLE}@{version}", reason=WHY)

    def rollout(self, channel: str) -> Mapping[str, Any]:
        """Return the rollout of a channel."""
        return self.client.get_rollouts(channel)["items"][0]

    def poll(self) -> bool:
        """Let every data plane that is online poll as Flux does; return whether any found something new."""
        online = [plane for name, plane in self.planes.items() if name not in self.offline]
        return any(list(self.pool.map(SimulatedPlane.poll, online)))

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Poll until a condition holds, all offers are made, and no data plane finds anything new."""

        def reached() -> bool:
            return not self.poll() and not self.client.get_plan()["moves"] and bool(condition())

        eventually(reached, timeout=240, what=what)

    def is_through(self, version: str, channel: str) -> bool:
        """Return whether the rollout of a release is finished."""
        rollout = self.rollout(channel)
        return (rollout["release"], rollout["status"]) == (f"{BUNDLE}@{version}", "finished")

    def running(self, name: PDPName) -> str:
        """Return the version of the component that fails, as it is applied in a cluster; empty where it is not."""
        plane = self.planes.get(name)
        applied = plane.applied.releases.get(PART, "") if plane and plane.applied else ""
        return applied.removeprefix("observability:")


def late(road: str) -> list[PDPName]:
    """Return the data planes that get the bad release later than it was promoted."""
    return [PDPName(road, f"late-{number}") for number in range(SIZE - ROADS[road].early)]


Act = Callable[[Stage, str], None]


def each(operation: Callable[..., Any], **body: object) -> Act:
    """Return a request about each late data plane."""

    def act(stage: Stage, road: str) -> None:
        for name in late(road):
            operation(stage.client, name.org, name.pdp, reason=WHY, **body)

    return act


def _roll_back(stage: Stage, road: str) -> None:
    stage.client.roll_back_channel(road, subject=BUNDLE, release=GOOD, reason=WHY)


def _unhold(stage: Stage, road: str) -> None:
    stage.client.unhold_channel(road, subject=BUNDLE, reason=WHY)


def _soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=8)


def _expire(stage: Stage, road: str) -> None:
    stage.client.roll_back_channel(road, subject=BUNDLE, release=GOOD, until=to_text(_soon()), reason=WHY)


def _declare(stage: Stage, road: str) -> None:
    stage.client.declare_risk(
        name=road, bundle=BUNDLE, releases=BAD, labels={"org": road}, message="breaks disks", reason=WHY
    )


def _retract(stage: Stage, road: str) -> None:
    stage.client.retract_risk(road, reason=WHY)


def _accept(stage: Stage, road: str) -> None:
    each(Client.accept_risk, risk=road)(stage, road)


def _close_until(end: datetime, stage: Stage, road: str) -> None:
    deny = [{"from": "2026-01-01T00:00:00Z", "until": to_text(end)}]
    stage.client.set_policy(road, policy=yaml.safe_dump({"rollout": ROLLOUT, "windows": {"deny": deny}}), reason=WHY)


def _close(stage: Stage, road: str) -> None:
    _close_until(datetime.now(UTC) + timedelta(days=30), stage, road)


def _open(stage: Stage, road: str) -> None:
    _close_until(_soon(), stage, road)


def _freeze(stage: Stage, road: str) -> None:
    stage.client.freeze(name=road, org=road, reason=WHY)


def _thaw(stage: Stage, road: str) -> None:
    stage.client.thaw(name=road, reason=WHY)


def _move_here(stage: Stage, road: str) -> None:
    each(Client.change_plane, channel=road)(stage, road)


def _remove(stage: Stage, road: str) -> None:
    for name in late(road):
        stage.client.remove_plane(name.org, name.pdp, reason=WHY)
        stage.planes.pop(name).close()


def _add(stage: Stage, road: str) -> None:
    for name in late(road):
        stage.add(name, road)


def _go_offline(stage: Stage, road: str) -> None:
    stage.offline.update(late(road))


def _come_back(stage: Stage, road: str) -> None:
    stage.offline.difference_update(late(road))


def _nothing(_stage: Stage, _road: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Road:
    """A way by which data planes become eligible later.

    Attributes:
        keep: keeps the late data planes from what is promoted.
        lift: ends that.
        early: whether another data plane of the channel, on which nothing fails, gets the bad release before, so that
            the late ones meet a rollout that is finished; else they meet one that has not begun.
        home: the channel of the late data planes before; empty where they are not registered.

    """

    keep: Act
    lift: Act
    early: bool
    home: str | None = None


ROADS = {
    "channel-hold-lifted": Road(_roll_back, _unhold, early=False),
    "channel-hold-expired": Road(_roll_back, _expire, early=False),
    "hold-lifted": Road(each(Client.hold, subject=BUNDLE), each(Client.unhold, subject=BUNDLE), early=True),
    "pin-removed": Road(
        each(Client.pin, subject=BUNDLE, versions=GOOD), each(Client.unpin, subject=BUNDLE), early=True
    ),
    "component-pin-removed": Road(
        each(Client.pin, subject=PART, versions=GOOD), each(Client.unpin, subject=PART), early=True
    ),
    "risk-retracted": Road(_declare, _retract, early=False),
    "risk-accepted": Road(_declare, _accept, early=False),
    "consent-given": Road(
        each(Client.change_plane, ask=True), each(Client.consent, release=f"{BUNDLE}@{BAD}"), early=True
    ),
    "window-opened": Road(_close, _open, early=False),
    "freeze-thawed": Road(_freeze, _thaw, early=False),
    "label-changed": Road(_declare, each(Client.change_plane, labels={"org": None}), early=False),
    "channel-changed": Road(_nothing, _move_here, early=True, home=PARKING),
    "added": Road(_nothing, _add, early=True, home=""),
    "registered-again": Road(_remove, _add, early=True),
    "back-online": Road(_go_offline, _come_back, early=False),
    "empty-channel-filled": Road(_nothing, _move_here, early=False, home=PARKING),
}
HELD = ("channel-hold-lifted", "channel-hold-expired")


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a road.

    Attributes:
        before: the state of the rollout before the late data planes became eligible.
        rollout: the rollout afterwards.
        had, has: by late data plane, the version that was applied before and afterwards.
        health: by late data plane, its health as the service tells it.

    """

    before: Mapping[str, Any]
    rollout: Mapping[str, Any]
    had: Mapping[PDPName, str]
    has: Mapping[PDPName, str]
    health: Mapping[PDPName, str]


def _install(stage: Stage) -> None:
    """Bring the good release to every data plane; and to channels that are rolled back, a better one before."""
    for version in (GOOD, BETTER, BAD):
        stage.service.publish(write_bundle(stage.service.folder / version, version), version)
    for channel in (*ROADS, PARKING):
        stage.promote(GOOD, channel)
    for name, road in ROADS.items():
        if road.early:
            stage.add(PDPName(name, "early"), name, robust=True)
        if road.home != "":
            for plane in late(name):
                stage.add(plane, road.home or name)
    filled = {name for name, road in ROADS.items() if road.early or road.home is None} | {PARKING}
    stage.wait(lambda: all(stage.is_through(GOOD, each) for each in filled), "the good release is everywhere")
    for channel in HELD:
        stage.promote(BETTER, channel)
    stage.wait(lambda: all(stage.is_through(BETTER, each) for each in HELD), "the better release went through")


def _is_over(stage: Stage, road: str) -> bool:
    """Return whether a rollout halted, or every late data plane has the bad release."""
    return stage.rollout(road)["status"] == "halted" or all(stage.running(name) == BAD for name in late(road))


def _drive(stage: Stage) -> dict[str, Result]:
    _install(stage)
    for name, road in ROADS.items():
        road.keep(stage, name)
    held = [plane for channel in HELD for plane in late(channel)]
    stage.wait(lambda: {stage.running(plane) for plane in held} == {GOOD}, "the channels are rolled back")
    for name in ROADS:
        stage.promote(BAD, name)
    early = {name for name, road in ROADS.items() if road.early}
    stage.wait(lambda: all(stage.is_through(BAD, name) for name in early), "the release went through where it could")
    before = {name: stage.rollout(name) for name in ROADS}
    had = {plane: stage.running(plane) for name in ROADS for plane in late(name)}
    for name, road in ROADS.items():
        road.lift(stage, name)
    with suppress(AssertionError):  # a road that is not over fails its own test
        stage.wait(lambda: all(_is_over(stage, name) for name in ROADS), "every road is over")
    health = {PDPName.parse(plane["pdp"]): plane["health"] for plane in stage.client.get_planes()["items"]}
    return {
        name: Result(
            before[name],
            stage.rollout(name),
            {plane: had[plane] for plane in late(name)},
            {plane: stage.running(plane) for plane in late(name)},
            {plane: health[plane] for plane in late(name)},
        )
        for name in ROADS
    }


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """Return a service with a channel for each road."""
    channels = {name: {"rollout": ROLLOUT} for name in (*ROADS, PARKING)}
    with RunningService(tmp_path_factory.mktemp("service"), channels=channels) as running:
        yield running


@pytest.fixture(scope="module")
def results(service: RunningService) -> dict[str, Result]:
    """Return what became of each road; all of them are taken at once."""
    with ThreadPoolExecutor(4) as pool:
        stage = Stage(service, pool)
        try:
            return _drive(stage)
        finally:
            for plane in stage.planes.values():
                plane.close()


@pytest.mark.parametrize("road", ROADS)
def test_one_fails_the_rollout_halts_and_the_others_stay(results: dict[str, Result], road: str) -> None:
    """The bad release reaches one data plane of the channel, and the rollout names it."""
    result = results[road]
    assert result.before["status"] == ("finished" if ROADS[road].early else "running")
    assert BAD not in result.had.values(), "it was kept from all of them"
    failed = [name for name, health in result.health.items() if health == "failed"]
    assert len(failed) == 1
    assert result.has == {**result.had, failed[0]: BAD}
    assert (result.rollout["release"], result.rollout["status"]) == (f"{BUNDLE}@{BAD}", "halted")
    assert str(failed[0]) in result.rollout["reason"]


def test_the_command_line_says_so(service: RunningService, results: dict[str, Result]) -> None:
    """The status of a rollout says that it halted, and because of which data plane."""
    road = "channel-hold-lifted"
    said = service.ums("rollout", "status", road)
    assert "halted" in said
    assert results[road].rollout["reason"] in " ".join(said.split())
