"""How everything is, in one view."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

from ums.domain.expiring import find_expiring
from ums.domain.world import World
from ums.web.freezes import active_freezes
from ums.web.views import channel_view, problems_view


def status_view(world: World, now: datetime) -> dict[str, Any]:
    """Return channels, the fleet's health, what is frozen, ends soon, or is wrong."""
    return {
        "channels": [channel_view(each, world) for each in world.channels.values()],
        "health": dict(Counter(plane.health(now).value for plane in world.planes.values())),
        "dataPlanes": len(world.planes),
        "freezes": active_freezes(world, now),
        "expiring": [each.to_dict() for each in find_expiring(world, now)],
        "problems": problems_view(world, now),
    }
