"""Values as the JSON that the API answers with."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ums.domain.deciding import Plan
from ums.domain.fleet import Channel, DataPlane
from ums.domain.instants import to_text
from ums.domain.world import CatalogEntry, LogEntry, World
from ums.usecases.record import Outcome


def release_view(entry: CatalogEntry, world: World, *, full: bool = False) -> dict[str, Any]:
    """Return a release; ``full`` adds its components."""
    release = entry.release
    view: dict[str, Any] = {
        "release": release.name,
        "bundle": release.bundle,
        "version": str(release.version),
        "class": release.release_class.value,
        "fixes": list(release.fixes),
        "digest": str(entry.digest),
        "signedBy": list(entry.signed_by),
        "registeredAt": to_text(entry.registered_at),
        "registeredBy": entry.registered_by,
        "imageLock": "required" if release.image_lock else "relaxed",
        "yanked": entry.yanked,
        "channels": [
            name
            for name, channel in sorted(world.channels.items())
            if release.bundle in channel.tracks and channel.tracks[release.bundle].head.release == release.version
        ],
    }
    if full:
        view["components"] = [component.to_dict() for component in release.components]
        view["removes"] = list(release.removes)
        view["requires"] = release.requires.to_dict()
        view["upgrade"] = release.upgrade.to_dict()
    return view


def channel_view(channel: Channel, world: World) -> dict[str, Any]:
    """Return a channel, its heads and how many data planes follow it."""
    return {
        "channel": channel.name,
        "feeder": channel.feeder,
        "description": channel.description,
        "bundles": {
            bundle: {
                "release": str(track.head.release),
                "revision": track.revision,
                "since": to_text(track.head.given.since),
                "by": track.head.given.by,
                "history": [step.to_dict() for step in track.history],
            }
            for bundle, track in sorted(channel.tracks.items())
        },
        "holds": [hold.to_dict() for hold in channel.holds],
        "dataPlanes": sum(plane.registration.channel == channel.name for plane in world.planes.values()),
    }


def plane_view(plane: DataPlane, now: datetime) -> dict[str, Any]:
    """Return a data plane: what it should run, what it reported, and how it is."""
    desired, report = plane.desired, plane.report
    return {
        "pdp": str(plane.name),
        "channel": plane.registration.channel,
        "bundles": list(plane.registration.bundles),
        "labels": dict(plane.registration.labels),
        "management": plane.registration.management.value,
        "health": plane.health(now).value,
        "desired": None
        if desired is None
        else {
            "serial": desired.serial,
            "issued": to_text(desired.issued),
            "expires": to_text(desired.expires),
            "bundles": {bundle: state.to_dict() for bundle, state in sorted(desired.bundles.items())},
        },
        "reported": None
        if report is None
        else {
            "serial": report.serial,
            "health": report.health.value,
            "component": report.component,
            "message": report.message,
            "heard": to_text(report.heard),
        },
        "pins": [pin.to_dict() for pin in plane.pins],
        "holds": [hold.to_dict() for hold in plane.holds],
    }


def plan_view(plan: Plan) -> dict[str, Any]:
    """Return who moves, and why the others do not."""
    return {
        "moves": [move.to_dict() for move in plan.moves],
        "withheld": [withheld.to_dict() for withheld in plan.withheld],
    }


def outcome_view(outcome: Outcome) -> dict[str, Any]:
    """Return what a decision did, or would do."""
    return {
        "recorded": outcome.recorded,
        "commit": outcome.base.main if outcome.recorded else None,
        "serials": {str(pdp): serial for pdp, serial in outcome.serials.items()},
        **plan_view(outcome.plan),
    }


def log_view(entry: LogEntry) -> dict[str, Any]:
    """Return a recorded decision."""
    return {
        "commit": entry.commit_id,
        "at": to_text(entry.at),
        "subject": entry.subject,
        "actor": entry.actor,
        "action": entry.action,
        "reason": entry.reason,
    }
