"""Small random fleets with a past: releases were promoted, data planes failed, people held, pinned and froze things."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tests.unit.domain.worlds import NOW, make_release
from ums.domain.bundle import ReleaseClass, Requires
from ums.domain.channels import Channel
from ums.domain.deciding import Plan, decide
from ums.domain.digest import Digest
from ums.domain.fleet import (
    AcceptedRisk,
    Consent,
    DataPlane,
    Facts,
    Given,
    Health,
    Hold,
    Pin,
    Registration,
    Report,
    next_serial,
)
from ums.domain.freezes import Freeze, Scope
from ums.domain.names import PDPName
from ums.domain.oci import Repository
from ums.domain.policy import EVERYONE, Amount, OnHalt, Policy, Strategy, Wave
from ums.domain.rendering import offer
from ums.domain.risks import Risk
from ums.domain.rollouts import WITHDRAWN, RolloutStatus
from ums.domain.trust import KeySigner, SigningRule, TrustPolicy
from ums.domain.version import Version, VersionRange
from ums.domain.windows import Schedule, Span
from ums.domain.world import Base, CatalogEntry, FleetSettings, Recall, World

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
VERSIONS = tuple(Version(text) for text in ("1.0.0", "1.1.0", "1.2.0", "1.3.0"))
CHANNELS = ("edge", "stable")
_RANGES = ("1.0.x", "1.1.x", "<=1.1.0", ">=1.2.0", "1.3.0", "*")


def recorded(world: World, plan: Plan, now: datetime) -> World:
    """Return the world after a plan was recorded."""
    for (channel, bundle), rollout in plan.rollouts.items():
        world = world.with_channel(world.channel(channel).with_rollout(bundle, rollout))
    for name, bundles in plan.offers.items():
        plane = world.plane(name)
        desired = offer(world, name, bundles, serial=next_serial(plane.last_serial, now), now=now)
        world = world.with_plane(replace(plane, desired=desired))
    return world


def looked_after(world: World, now: datetime) -> World:
    """Return the world as the loop leaves it: nothing is due any more."""
    for _ in range(20):
        plan = decide(world, now)
        if not (plan.moves or plan.rollouts or plan.offers):
            return world
        world = recorded(world, plan, now)
    raise AssertionError("the loop never comes to rest")


def reported(world: World, now: datetime, health: Callable[[PDPName], Health | None]) -> World:
    """Return the world after each data plane reported on what it was offered; ``None`` where it is silent."""
    planes = {}
    for name, plane in world.planes.items():
        said, before = health(name), plane.report
        if plane.desired is not None and said is not None:
            same = before is not None and before.health is said and before.serial >= plane.desired.serial
            since = before.since if before is not None and same else now
            well = before.well if before is not None else 0
            report = Report(plane.desired.serial, said, "", "", now, now, since, applied=True, well=well)
            plane = replace(plane, report=report)  # noqa: PLW2901
        planes[name] = plane
    return world.with_planes(planes)


@dataclass
class Past:
    """A fleet that grows a past, one step after another; all of it follows from the seed."""

    seed: int

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)  # noqa: S311 - a test
        self.now = NOW - 10 * DAY
        self.world = self._fleet()

    def worlds(self, steps: int) -> Iterator[tuple[World, datetime]]:
        """Yield the fleet, as the loop left it, after each of its next steps."""
        for _ in range(steps):
            for _ in range(self.random.randint(1, 3)):
                self.random.choice(_EVENTS)(self)
            self.settle()
            yield self.world, self.now
            self.pass_time()

    def settle(self) -> None:
        """Let the loop do what is due."""
        self.world = looked_after(self.world, self.now)

    def pass_time(self) -> None:
        """Let some time pass, in which the fleet reports."""
        self.now += self.random.choice((MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, DAY)) + timedelta(
            seconds=self.random.randint(0, 59)
        )
        self.world = reported(self.world, self.now, self._health)
        self.settle()

    def _health(self, name: PDPName) -> Health | None:
        plane = self.world.plane(name)
        state = plane.desired.bundles.get("platform") if plane.desired else None
        if state is not None and state.release in self.bad:
            return Health.FAILED if self.random.random() < 0.5 else Health.HEALTHY
        return self.random.choice((*[Health.HEALTHY] * 8, Health.UPDATING, None))

    def _fleet(self) -> World:
        chance = self.random
        self.bad = {version for version in VERSIONS[1:] if chance.random() < 0.2}
        entries = {}
        for version in VERSIONS:
            rules = Requires(
                kubernetes=VersionRange(">=1.34") if chance.random() < 0.1 else None,
                flux=VersionRange(">=2.6") if chance.random() < 0.05 else None,
            )
            release = make_release(
                str(version),
                {"cilium": str(version), "gateway": str(version)},
                irreversible=chance.random() < 0.1,
                barrier="migrates" if chance.random() < 0.15 else "",
                requires=rules,
                release_class=chance.choice(list(ReleaseClass)),
            )
            entries[version] = CatalogEntry(release, Digest.of(release.to_bytes()), ("release",), NOW, "ci")
        channels = {name: self._channel(name) for name in CHANNELS}
        names = [
            PDPName(org, f"p{number}") for number, org in enumerate(("acme", "acme", "globex", "globex", "initech"))
        ]
        planes = {name: DataPlane(self._registration(name)) for name in names[: chance.randint(3, 5)]}
        world = World(
            base=Base(),
            settings=FleetSettings("http://127.0.0.1", Repository("registry.example.com", "ums")),
            trust=TrustPolicy({"release": KeySigner("release", "PEM")}, {"*": SigningRule(("release",))}),
            channels=channels,
            catalog={"platform": entries},
            planes=planes,
        )
        self.world = looked_after(world, self.now)
        for _ in range(3):
            self.now += HOUR
            self.world = looked_after(reported(self.world, self.now, lambda _: Health.HEALTHY), self.now)
        return self.world

    def _channel(self, name: str) -> Channel:
        chance = self.random
        waves: tuple[Wave, ...] = (
            Wave("canary", share=Amount("1"), soak=chance.choice((0, 1, 6)) * HOUR),
            Wave("half", share=Amount("50%"), soak=chance.choice((0, 2)) * HOUR, over=chance.choice((0, 4)) * HOUR),
            replace(EVERYONE, over=chance.choice((0, 0, 5)) * HOUR),
        )
        rollout = Strategy(
            waves=chance.choice((waves, waves[1:], waves[2:])),
            max_updating=Amount(chance.choice(("25%", "100%", "2"))),
            healthy_for=chance.choice((0, 5)) * MINUTE,
            max_failed=Amount(chance.choice(("0", "1", "50%"))),
            on_halt=chance.choice(list(OnHalt)),
        )
        classes = [each for each in ReleaseClass if chance.random() < 0.4]
        deadlines = {each: chance.choice((6 * HOUR, DAY, 3 * DAY)) for each in classes}
        windows = self._windows() if chance.random() < 0.15 else Schedule()
        policy = Policy(rollout=rollout, deadlines=deadlines, windows=windows)
        return Channel(name, policy).with_promoted("platform", VERSIONS[0], Given("erik", "", self.now))

    def _windows(self) -> Schedule:
        spans = []
        start = NOW - 12 * DAY
        while start < NOW + 20 * DAY:
            start += timedelta(seconds=self.random.randint(3600, 3 * 86_400))
            spans.append(Span(start, start + HOUR))
            start += HOUR
        return Schedule(allow=tuple(spans[:32]))

    def _registration(self, name: PDPName) -> Registration:
        chance = self.random
        facts = chance.choice(
            (Facts(), Facts(Version("1.33.0"), Version("2.5.0")), Facts(Version("1.35.0"), Version("2.9.0")))
        )
        return Registration(
            name,
            chance.choice(("edge", "stable", "stable")),
            ("platform",),
            labels={"tier": chance.choice(("gold", "plain"))},
            ask=chance.random() < 0.25,
            standing_consent=frozenset(each for each in ReleaseClass if chance.random() < 0.2),
            volunteer=chance.random() < 0.1,
            windows=self._windows() if chance.random() < 0.25 else Schedule(),
            facts=facts,
        )

    def given(self) -> Given:
        """Return who gave an instruction, mostly with an end."""
        span = self.random.choice((None, HOUR, 7 * HOUR, DAY, 4 * DAY))
        number = self.random.randint(0, 9999)
        return Given("olga", f"case {number}", self.now, self.now + span if span else None)

    def plane(self) -> DataPlane:
        """Return any data plane."""
        return self.world.plane(self.random.choice(sorted(self.world.planes)))

    def version(self) -> Version:
        """Return any version."""
        return self.random.choice(VERSIONS)

    def component(self) -> str | None:
        """Return a component, or none: the whole bundle."""
        return self.random.choice((None, None, None, "cilium"))

    def name(self) -> str:
        """Return a new name."""
        return f"n{self.random.randint(0, 9999)}"


def _promote(past: Past) -> None:
    name = past.random.choice(CHANNELS)
    channel = past.world.channel(name)
    newer = [each for each in VERSIONS if each > channel.tracks["platform"].head.release]
    if newer and not past.world.entry("platform", newer[0]).yanked:
        promoted = channel.with_promoted("platform", past.random.choice(newer[:2]), Given("erik", "", past.now))
        past.world = past.world.with_channel(promoted)


def _hold(past: Past) -> None:
    plane = past.plane()
    if (state := plane.state_of("platform")) is not None:
        hold = Hold("platform", past.component(), past.random.choice((state.release, past.version())), past.given())
        others = tuple(each for each in plane.holds if each.component != hold.component)
        past.world = past.world.with_plane(replace(plane, holds=(*others, hold)))


def _pin(past: Past) -> None:
    plane = past.plane()
    pin = Pin("platform", past.component(), VersionRange(past.random.choice(_RANGES)), past.given())
    others = tuple(each for each in plane.pins if each.component != pin.component)
    past.world = past.world.with_plane(replace(plane, pins=(*others, pin)))


def _hold_channel(past: Past) -> None:
    channel = past.world.channel(past.random.choice(CHANNELS))
    hold = Hold("platform", None, VERSIONS[0], past.given())
    past.world = past.world.with_channel(replace(channel, holds=(hold,)))


def _freeze(past: Past) -> None:
    plane = past.plane()
    scopes = (Scope(), Scope(channel="stable"), Scope(org="acme"), Scope(pdp=plane.name), Scope(bundle="platform"))
    freeze = Freeze(past.name(), past.random.choice(scopes), past.given())
    past.world = replace(past.world, freezes=(*past.world.freezes[-2:], freeze))


def _risk(past: Past) -> None:
    conditions = past.random.choice(
        (
            {},
            {"kubernetes": VersionRange("<1.34")},
            {"labels": {"tier": "gold"}},
            {"from_releases": VersionRange("<1.2.0")},
            {"components": {"cilium": VersionRange("<1.2.0")}},
        )
    )
    name = past.name()
    versions = VersionRange(past.random.choice(_RANGES))
    risk = Risk(name, "platform", versions, "routes vanish", past.given(), **conditions)
    past.world = replace(past.world, risks={**past.world.risks, name: risk})


def _accept(past: Past) -> None:
    plane = past.plane()
    for name in past.world.risks:
        past.world = past.world.with_plane(replace(plane, accepted=(*plane.accepted, AcceptedRisk(name, past.given()))))


def _consent(past: Past) -> None:
    plane = past.plane()
    consent = Consent("platform", past.version(), past.given())
    past.world = past.world.with_plane(replace(plane, consents=(*plane.consents, consent)))


def _withdraw(past: Past) -> None:
    entry = past.world.entry("platform", past.random.choice(VERSIONS[1:]))
    to = past.random.choice([each for each in VERSIONS if each != entry.release.version])
    recall = Recall(to, past.given()) if past.random.random() < 0.4 else None
    past.world = past.world.with_entry(replace(entry, yanked=f"case {past.random.randint(0, 9999)}", recall=recall))


def _steer(past: Past) -> None:
    channel = past.world.channel(past.random.choice(CHANNELS))
    rollout, given = channel.rollouts["platform"], replace(past.given(), until=None)
    if rollout.status is RolloutStatus.RUNNING:
        changed = past.random.choice((rollout.paused, lambda by: rollout.stopped(RolloutStatus.CANCELLED, by)))(given)
    elif rollout.status in {*WITHDRAWN, RolloutStatus.PAUSED} and rollout.status is not RolloutStatus.CANCELLED:
        changed = rollout.resumed(given)
    else:
        return
    past.world = past.world.with_channel(channel.with_rollout("platform", changed))


def _register(past: Past) -> None:
    plane = past.plane()
    registration = plane.registration
    changed = past.random.choice(
        (
            replace(registration, channel=past.random.choice(CHANNELS)),
            replace(registration, bundles=()),
            replace(registration, bundles=("platform",)),
            replace(registration, ask=not registration.ask),
            replace(registration, windows=past._windows()),
        )
    )
    past.world = past.world.with_plane(replace(plane, registration=changed))


def _learn(past: Past) -> None:
    facts = past.random.choice((Facts(), Facts(Version("1.35.0"), Version("2.9.0"))))
    past.world = past.world.with_plane(replace(past.plane(), reported_facts=facts))


_EVENTS: tuple[Callable[[Past], None], ...] = (
    *[_promote] * 5,
    *[_hold] * 2,
    *[_pin] * 2,
    _hold_channel,
    *[_freeze] * 2,
    *[_risk] * 2,
    _accept,
    _consent,
    _withdraw,
    _steer,
    _register,
    _learn,
)
