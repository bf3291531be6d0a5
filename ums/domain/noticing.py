"""What happens without anybody's decision: a data plane fails, falls silent or behind, an instruction is about to end.

Each is told once, when it begins; a data plane that is well again is told, too.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from ums.domain.expiring import find_expiring
from ums.domain.feed import Event, Fields
from ums.domain.fleet import DataPlane, Health
from ums.domain.instants import duration_text, to_text
from ums.domain.names import PDPName
from ums.domain.world import World

BEHIND_AFTER = timedelta(hours=1)
"""So long a data plane may be on its way to what it was offered."""
MANY = 20
"""More of a kind in one channel are told as one: when a network is gone, nobody wants a thousand messages."""
_PLANE = "pdp."
_WELL = "pdp.recovered"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that is so, from when on, and more about it.

    Attributes:
        kind: such as ``pdp.failed``.
        subject: the data plane, or what the instruction is about.
        channel: the data plane's; empty where there is none.
        since: what tells it from an earlier one of the same kind.

    """

    kind: str
    subject: str
    channel: str
    since: str
    data: Fields

    @property
    def key(self) -> str:
        """Return what it is remembered by; no name has a blank in it."""
        return f"{self.kind} {self.subject} {self.since}"


def find_notices(world: World, now: datetime) -> Mapping[str, Notice]:
    """Return what is so now, by key."""
    found = [each for plane in world.planes.values() for each in _of_plane(plane, now)]
    for expiring in find_expiring(world, now):
        until = expiring.given.until
        # The same instruction given anew is another.
        since = to_text(until) if until else ""
        data = {"what": expiring.what, "then": expiring.then, "until": since, "givenBy": expiring.given.by}
        mark = f"{since}/{_hash(expiring.what)[:12]}"
        found.append(Notice(f"{expiring.kind}.expiring", expiring.target, "", mark, data))
    return {each.key: each for each in found}


def _of_plane(plane: DataPlane, now: datetime) -> Iterable[Notice]:
    report, desired, health = plane.report, plane.desired, plane.health(now)
    if report is None or desired is None:
        return
    if health is Health.FAILED:
        what = f"{report.component}: {report.message}" if report.component else report.message
        told = {"component": report.component or None, "message": report.message, "what": what}
        yield _notice(plane, "failed", report.since, told)
    elif health is Health.SILENT:
        what = f"last heard {duration_text(now - report.heard)} ago"
        yield _notice(plane, "silent", report.heard, {"lastHeard": to_text(report.heard), "what": what})
    elif health is Health.STALE:
        what = f"last heard {duration_text(now - report.heard)} ago"
        yield _notice(plane, "stale", report.heard, {"lastHeard": to_text(report.heard), "what": what})
    elif health is Health.UPDATING and now - desired.issued >= BEHIND_AFTER:
        what = f"offered {duration_text(now - desired.issued)} ago, and not reported yet"
        yield _notice(plane, "behind", desired.issued, {"offered": to_text(desired.issued), "what": what})


def _notice(plane: DataPlane, kind: str, since: datetime, data: Fields) -> Notice:
    channel, name = plane.registration.channel, str(plane.name)
    return Notice(_PLANE + kind, name, channel, to_text(since), {"pdp": name, "channel": channel, **data})


def changes(
    world: World, now: datetime, known: Collection[str]
) -> tuple[Collection[str], Collection[str], tuple[Event, ...]]:
    """Return which notices are new, which are over, and what is to be told of that.

    Args:
        world: as it is now.
        now: the time.
        known: keys that were told before, and are not over.

    """
    notices = find_notices(world, now)
    new = [notice for key, notice in notices.items() if key not in known]
    over = [key for key in known if key not in notices and _is_over(key, world, now)]
    well = sorted({key.split(" ")[1] for key in over if key.startswith(_PLANE)})
    told = [*new, *(_well(world.planes[name], now) for each in well if (name := PDPName.parse(each)) in world.planes)]
    return [each.key for each in new], over, tuple(_events(told, world, now))


def _is_over(key: str, world: World, now: datetime) -> bool:
    """Return whether it is: of a data plane when that is well, or gone; till then another condition came in between."""
    kind, subject, _ = key.split(" ", 2)
    if not kind.startswith(_PLANE):
        return True
    plane = world.planes.get(PDPName.parse(subject))
    return plane is None or plane.health(now) is Health.HEALTHY


def _well(plane: DataPlane, now: datetime) -> Notice:
    return _notice(plane, "recovered", plane.report.since if plane.report else now, {"what": "healthy again"})


def _events(told: Iterable[Notice], world: World, now: datetime) -> Iterable[Event]:
    alike: dict[tuple[str, str], list[Notice]] = defaultdict(list)
    for each in told:
        alike[each.kind, each.channel].append(each)
    for (kind, channel), notices in alike.items():
        groups = [[each] for each in notices] if len(notices) <= MANY else [notices]
        for group in groups:
            first, *others = group
            names, what = [each.subject for each in group], f"{len(group)} at once"
            many = {"channel": channel or None, "count": len(group), "some": names[:MANY], "what": what}
            subject, data = (channel or "several", many) if others else (first.subject, first.data)
            mark = _hash("\n".join(each.key for each in group))
            yield Event(kind, subject, {"by": "ums", "reason": "", **data}, world.base.main, 0, now, mark)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
