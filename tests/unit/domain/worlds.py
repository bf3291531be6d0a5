"""Small worlds to decide about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ums.domain.bundle import ComponentKind, UpgradeRules, Workload
from ums.domain.channels import Channel, Promoted, Track
from ums.domain.deciding import decide
from ums.domain.digest import Digest
from ums.domain.fleet import BundleState, DataPlane, Given, Health, Hold, Pin, Registration, Report, next_serial
from ums.domain.names import PDPName
from ums.domain.oci import Repository
from ums.domain.policy import EVERYONE, Amount, Policy, Strategy
from ums.domain.release import Component, Release
from ums.domain.rendering import offer
from ums.domain.rollouts import Rollout
from ums.domain.trust import KeySigner, SigningRule, TrustPolicy
from ums.domain.version import Version, VersionRange
from ums.domain.world import Base, CatalogEntry, FleetSettings, World

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PROD = PDPName("acme", "prod")


def given(until: datetime | None = None) -> Given:
    """Return an instruction's frame."""
    return Given("olga", "because", NOW - timedelta(hours=1), until)


AT_ONCE = Strategy(waves=(EVERYONE,), max_updating=Amount("100%"), healthy_for=timedelta())
"""A rollout to all data planes at once."""


def make_component(name: str, version: str, needs: tuple[str, ...] = ()) -> Component:
    """Return a chart component whose digest depends on its name and version alone."""
    digest = Digest.of(f"{name}@{version}".encode())
    image = f"registry.example.com/{name}:{version}@{Digest.of(name.encode())}"
    workload = Workload("apps/v1", "Deployment", name, name)
    return Component(
        name=name,
        kind=ComponentKind.CHART,
        version=Version(version),
        digest=digest,
        content_digest=digest,
        namespace=name,
        release_name=name,
        storage_namespace=name,
        needs=needs,
        images=(image,),
        workloads=(workload,),
        timeout=timedelta(minutes=1),
    )


def make_release(
    version: str,
    components: Mapping[str, str],
    *,
    removes: tuple[str, ...] = (),
    irreversible: bool = False,
    barrier: str = "",
    bundle: str = "platform",
    **fields: Any,  # noqa: ANN401 - of the release
) -> Release:
    """Return a release of components by version."""
    return Release(
        bundle=bundle,
        version=Version(version),
        components=tuple(make_component(name, each) for name, each in components.items()),
        removes=removes,
        upgrade=UpgradeRules(irreversible=irreversible, barrier=barrier),
        **fields,
    )


def make_world(
    releases: Iterable[Release],
    *,
    promoted: Iterable[str] = (),
    pins: Iterable[tuple[str | None, str]] = (),
    holds: Iterable[tuple[str | None, str]] = (),
    channel_hold: str | None = None,
) -> World:
    """Return a world of one channel, ``stable``, and one data plane that follows it, offered nothing yet."""
    catalog = {
        release.version: CatalogEntry(release, Digest.of(release.to_bytes()), ("release",), NOW, "ci")
        for release in releases
    }
    steps = tuple(Promoted(Version(version), given()) for version in promoted)
    held = (Hold("platform", None, Version(channel_hold), given()),) if channel_hold else ()
    channel = Channel("stable", Policy(rollout=AT_ONCE), holds=held)
    if steps:
        rollout = Rollout.start(steps[-1].release, AT_ONCE, steps[-1].given, before=None)
        channel = replace(channel, tracks={"platform": Track(steps)}, rollouts={"platform": rollout})
    plane = DataPlane(
        Registration(PROD, "stable", ("platform",)),
        pins=tuple(Pin("platform", component, VersionRange(text), given()) for component, text in pins),
        holds=tuple(Hold("platform", component, Version(text), given()) for component, text in holds),
    )
    return World(
        base=Base(),
        settings=FleetSettings("http://127.0.0.1", Repository("registry.example.com", "ums")),
        trust=TrustPolicy({"release": KeySigner("release", "PEM")}, {"*": SigningRule(("release",))}),
        channels={"stable": channel},
        catalog={"platform": catalog},
        planes={PROD: plane},
    )


def settle(world: World, now: datetime = NOW, *, healthy: bool = True) -> World:
    """Return the world after what is due was offered, and taken."""
    for pdp, bundles in decide(world, now).offers.items():
        plane = world.plane(pdp)
        serial = next_serial(plane.desired.serial if plane.desired else None, now)
        desired = offer(world, pdp, bundles, serial=serial, now=now)
        health = Health.HEALTHY if healthy else Health.FAILED
        report = Report(serial, health, "", "", now, now)
        world = world.with_plane(replace(plane, desired=desired, report=report))
    return world


def running(world: World) -> dict[str, str]:
    """Return which release provides each component of the data plane."""
    desired = world.plane(PROD).desired
    assert desired is not None
    return {name: str(version) for name, version in desired.bundles["platform"].components.items()}


def beside(world: World, release: Release) -> World:
    """Return the world with a release of another bundle running on the data plane."""
    entry = replace(next(iter(world.catalog["platform"].values())), release=release)
    plane = world.plane(PROD)
    assert plane.desired is not None
    state = BundleState(release.version, {each.name: release.version for each in release.components})
    desired = replace(plane.desired, bundles={**plane.desired.bundles, release.bundle: state})
    registration = replace(plane.registration, bundles=(*plane.registration.bundles, release.bundle))
    return world.with_entry(entry).with_plane(replace(plane, desired=desired, registration=registration))
