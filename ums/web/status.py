"""How everything is, in one view."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ums.domain.expiring import find_expiring
from ums.domain.trusting import key_changes, newest_trust
from ums.usecases.see import Sight
from ums.web.freezes import active_freezes
from ums.web.views import channel_view


def status_view(sight: Sight) -> dict[str, Any]:
    """Return channels, the fleet's health, what is frozen, ends soon, or is wrong."""
    world, now = sight.world, sight.now
    counted = Counter([plane.health(now) for plane in world.planes.values()])
    return {
        "channels": [channel_view(each, world) for each in world.channels.values()],
        "health": {health.value: count for health, count in counted.items()},
        "dataPlanes": len(world.planes),
        "freezes": active_freezes(world, now),
        "expiring": [each.to_dict() for each in find_expiring(world, now)],
        "keysToPublish": list(key_changes(world.trusted_by(newest_trust(world)), world.trust.trusted)),
        "problems": sight.problems(),
    }
