"""Values as the JSON that the API answers with."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from ums.domain.channels import Channel
from ums.domain.deciding import Plan
from ums.domain.errors import Reason
from ums.domain.expiring import ends_soon, then_moves
from ums.domain.fleet import Cluster, DataPlane, Facts
from ums.domain.instants import duration_text, to_text
from ums.domain.names import PDPName
from ums.domain.policy import Approvals, Policy
from ums.domain.regressions import regressions_in
from ums.domain.release import ReleaseName
from ums.domain.version import Version
from ums.domain.windows import Schedule
from ums.domain.world import CatalogEntry, LogEntry, World
from ums.usecases.record import Outcome
from ums.usecases.withdraw import exposed
from ums.web.rollouts import rollout_summary

_EXAMPLES = 5
"""How many data planes are named where all are counted."""


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
        "recall": entry.recall.to_dict() if entry.recall else None,
        "channels": [
            name
            for name, channel in sorted(world.channels.items())
            if release.bundle in channel.tracks and channel.tracks[release.bundle].head.release == release.version
        ],
    }
    if full:
        view["components"] = [
            {**component.to_dict(), "onFailure": component.on_failure} for component in release.components
        ]
        view["base"] = str(release.base) if release.base else None
        view["floors"] = [floor.to_dict() for floor in release.floors]
        view["belowFloors"] = [each.to_dict() for each in entry.below_floors]
        view["regressions"] = [
            {
                "channel": channel.name,
                "release": str(head),
                "lostFixes": found.lost_fixes,
                "components": [change.to_dict() for change in found.downgrades],
            }
            for channel, head, found in regressions_in(world.channels.values(), world.catalog[release.bundle], release)
        ]
        view["removes"] = list(release.removes)
        view["requires"] = release.requires.to_dict()
        view["upgrade"] = release.upgrade.to_dict()
        view["promotions"] = [
            {
                "channel": channel.name,
                "approvals": [each.to_dict() for each in known.approvals],
                "overrides": [each.to_dict() for each in known.overrides],
                **done.to_dict(),
            }
            for channel in world.channels.values()
            if (done := (known := channel.request(release.bundle, release.version)).executed) is not None
        ]
        view["skipped"] = [each.to_dict() for each in entry.skipped]
        view["evidence"] = {kind: list(who) for kind, who in sorted(entry.evidence.items())}
        view["exposed"] = len(exposed(world, ReleaseName(release.bundle, release.version)))
    return view


def channel_view(channel: Channel, world: World) -> dict[str, Any]:
    """Return a channel, its heads and how many data planes follow it."""
    return {
        "channel": channel.name,
        "feeder": channel.policy.feeder,
        "description": channel.policy.description,
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
        "rollouts": {bundle: rollout_summary(rollout) for bundle, rollout in sorted(channel.rollouts.items())},
        "holds": [{**hold.to_dict(), "then": then_moves(world, channel.name, hold)} for hold in channel.holds],
        "dataPlanes": sum(plane.registration.channel == channel.name for plane in world.planes.values()),
    }


def plane_view(plane: DataPlane, now: datetime) -> dict[str, Any]:
    """Return a data plane: what it should run, what it reported, and how it is."""
    desired, report, facts = plane.desired, plane.report, plane.facts
    return {
        "pdp": str(plane.name),
        "channel": plane.registration.channel,
        "bundles": list(plane.registration.bundles),
        "labels": dict(plane.registration.labels),
        "management": plane.registration.management.value,
        "ask": plane.registration.ask,
        "standingConsent": sorted(plane.registration.standing_consent),
        "wariness": plane.registration.wariness,
        "volunteer": plane.registration.volunteer,
        "sealed": plane.registration.sealed,
        "facts": _facts_view(facts),
        "health": plane.health(now).value,
        "silentSince": to_text(silent) if (silent := plane.silent_since(now)) else None,
        "staleSince": to_text(stale) if (stale := plane.stale_since(now)) else None,
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
        "pins": [{**pin.to_dict(), "endsSoon": ends_soon(pin.given, now)} for pin in plane.pins],
        "holds": [{**hold.to_dict(), "endsSoon": ends_soon(hold.given, now)} for hold in plane.holds],
        "consents": [consent.to_dict() for consent in plane.consents],
        "acceptedRisks": [accepted.to_dict() for accepted in plane.accepted],
    }


def credentials_view(plane: DataPlane, now: datetime) -> dict[str, Any]:
    """Return which generation of credentials a data plane has, and until when the one before is good, if it is."""
    until = plane.previous_until if plane.accepts_previous(now) else None
    return {"generation": plane.generation, "previousUntil": to_text(until) if until else None}


def cluster_view(cluster: Cluster | None) -> dict[str, Any] | None:
    """Return what was reported of a cluster."""
    if cluster is None:
        return None
    return {"heard": to_text(cluster.heard), **_facts_view(cluster.facts), "images": list(cluster.images)}


def _facts_view(facts: Facts) -> dict[str, str | None]:
    return {"kubernetes": _version(facts.kubernetes), "flux": _version(facts.flux)}


def _version(fact: Version | None) -> str | None:
    return str(fact) if fact else None


def plan_view(plan: Plan, about: Callable[[PDPName], bool] = lambda _pdp: True) -> dict[str, Any]:
    """Return who moves, and why the others do not."""
    return {
        "moves": [move.to_dict() for move in plan.moves if about(move.pdp)],
        "withheld": [withheld.to_dict() for withheld in plan.withheld if about(withheld.pdp)],
    }


def followers(world: World, channel: str) -> Callable[[PDPName], bool]:
    """Return whether a data plane follows a channel, as a question."""
    return lambda pdp: world.plane(pdp).registration.channel == channel


def reasons_view(plan: Plan, world: World) -> list[dict[str, Any]]:
    """Return why data planes do not move, each reason once for all of a channel that it keeps."""
    groups: dict[tuple[str, str, str, str], tuple[Reason, list[str]]] = {}
    for withheld in plan.withheld:
        channel, name = world.plane(withheld.pdp).registration.channel, str(withheld.pdp)
        for reason in withheld.reasons:
            alike = reason.message.replace(name, "")
            _, names = groups.setdefault((channel, withheld.bundle, reason.code, alike), (reason, []))
            names.append(name)
    return [
        {"channel": channel, "bundle": bundle, **reason.to_dict(), "count": len(names), "examples": names[:_EXAMPLES]}
        for (channel, bundle, _, _), (reason, names) in sorted(groups.items(), key=lambda each: -len(each[1][1]))
    ]


def outcome_view(outcome: Outcome, about: Callable[[PDPName], bool] = lambda _pdp: True) -> dict[str, Any]:
    """Return what a decision did, or would do; ``about`` leaves out data planes that it is not about."""
    return {
        "recorded": outcome.recorded,
        "already": outcome.already,
        "commit": outcome.base.main if outcome.recorded else None,
        "serials": {str(pdp): serial for pdp, serial in outcome.serials.items() if about(pdp)},
        "impact": impact_view(outcome),
        **plan_view(outcome.plan, about),
    }


def impact_view(outcome: Outcome) -> dict[str, Any] | None:
    """Return what a decision that was only tried would change."""
    found = outcome.impact
    return found.to_dict() if found is not None else None


def exposed_view(world: World, name: ReleaseName) -> dict[str, Any]:
    """Return how many data planes have a release, or may have it, and some of them."""
    names = [str(pdp) for pdp in exposed(world, name)]
    return {"release": str(name), "exposed": len(names), "examples": names[:_EXAMPLES]}


def policy_view(policy: Policy, now: datetime) -> dict[str, Any]:
    """Return a policy, with what its windows mean now."""
    gates, expedite = policy.gates, policy.expedite
    return {
        "feeder": policy.feeder,
        "automatic": policy.automatic,
        "classes": sorted(policy.classes),
        "gates": {
            "soak": duration_text(gates.soak),
            "adoption": {
                "healthy": str(gates.adoption.healthy),
                "for": duration_text(gates.adoption.lasting),
                "maxFailed": str(gates.adoption.max_failed),
            }
            if gates.adoption
            else None,
            "approvals": _approvals_view(gates.approvals),
            "windows": _schedule_view(gates.windows, now),
            "evidence": {kind: list(who) for kind, who in sorted(gates.evidence.items())},
            "undeclaredRisk": gates.undeclared_risk,
        },
        "rollout": policy.rollout.to_dict(),
        "windows": _schedule_view(policy.windows, now),
        "expedite": {
            "classes": sorted(expedite.classes),
            "skip": sorted(expedite.skip),
            "approvals": _approvals_view(expedite.approvals),
        }
        if expedite
        else None,
        "deadlines": {kind.value: duration_text(span) for kind, span in sorted(policy.deadlines.items())},
        "digest": policy.digest,
    }


def _approvals_view(rule: Approvals | None) -> dict[str, Any] | None:
    return {"required": rule.required, "groups": list(rule.groups)} if rule else None


def _schedule_view(schedule: Schedule, now: datetime) -> dict[str, Any] | None:
    if not (schedule.allow or schedule.deny):
        return None
    change = schedule.next_change(now)
    return {"open": schedule.is_open(now), "nextChange": to_text(change) if change else None}


def log_view(entry: LogEntry) -> dict[str, Any]:
    """Return a recorded decision, or another commit that is among them."""
    return {
        "commit": entry.commit_id,
        "at": to_text(entry.at),
        "subject": entry.subject,
        "actor": entry.actor,
        "action": entry.action,
        "reason": entry.reason,
        "signed": entry.is_signed,
    }
