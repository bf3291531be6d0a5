"""Promotions as the JSON that the API answers with: what changes, which gates were asked, and who gets it when."""

from __future__ import annotations

from typing import Any

from ums.domain.fleet import Given
from ums.domain.instants import parse_instant, to_text
from ums.domain.regressions import newly_fixed, regression
from ums.domain.release import ReleaseName, diff_releases
from ums.usecases.record import Outcome
from ums.web.rollouts import earliest_end, waves_view
from ums.web.views import followers, outcome_view

_FIRST = 20
"""How many of those who move first are named."""


def promotion_view(outcome: Outcome, channel: str, name: ReleaseName, given: Given) -> dict[str, Any]:
    """Return a promotion, or the wish for one."""
    before, gates = outcome.before, outcome.gates
    was, there = before.channel(channel), outcome.world.channel(channel)
    track, release = was.tracks.get(name.bundle), outcome.world.entry(name.bundle, name.version).release
    catalog = outcome.world.catalog[name.bundle]
    head = before.entry(name.bundle, track.head.release).release if track else None
    promoted = name.bundle in there.tracks and there.tracks[name.bundle].head.release == name.version
    planned = there if promoted else there.with_promoted(name.bundle, name.version, given)
    rollout = planned.rollouts.get(name.bundle)
    members = outcome.plan.members.get((channel, name.bundle))
    opening = max([given.since, *(parse_instant(gate.until) for gate in gates if gate.until and not gate.is_open)])
    end = earliest_end(rollout, members, opening) if rollout else None

    follows = followers(outcome.world, channel)
    first = [str(move.pdp) for move in outcome.plan.moves if move.bundle == name.bundle and follows(move.pdp)]
    return {
        "channel": channel,
        "from": head.name if head else None,
        "to": release.name,
        "promoted": promoted,
        "class": release.release_class.value,
        "fixes": newly_fixed(catalog, head, release),
        "lostFixes": regression(catalog, head, release).lost_fixes if head else (),
        "components": [change.to_dict() for change in diff_releases(head, release)],
        "gates": [gate.to_dict() for gate in gates],
        "dataPlanes": sum(1 for _ in outcome.world.followers(channel, name.bundle)),
        "waves": waves_view(rollout, members, opening) if rollout else [],
        "first": first[:_FIRST],
        "earliest": to_text(end) if end else None,
        **outcome_view(outcome, follows),
    }
