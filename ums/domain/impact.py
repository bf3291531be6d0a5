"""What a decision would change: who would go elsewhere because of it, whom it stops, and who leaves the fleet.

Both plans are the decision function's own; nothing here decides.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ums.domain.deciding import Plan
from ums.domain.fleet import BundleState
from ums.domain.names import PDPName
from ums.domain.version import Version
from ums.domain.world import World

_EXAMPLES = 5
_Key = tuple[PDPName, str]


@dataclass(frozen=True, slots=True)
class Course:
    """Data planes that go, or would have gone, the same way.

    Attributes:
        before: the release that they were offered last; ``None`` for none.
        after: the state that they go to.
        now: how many of them are offered it at once; the others when their turn comes.

    """

    bundle: str
    before: Version | None
    after: BundleState
    planes: tuple[PDPName, ...]
    now: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the form used in API answers."""
        after = self.after
        return {
            "bundle": self.bundle,
            "from": str(self.before) if self.before else None,
            "to": str(after.release),
            "components": {
                name: str(version) for name, version in sorted(after.components.items()) if version != after.release
            },
            "dataPlanes": len(self.planes),
            "now": self.now,
            "examples": [str(name) for name in self.planes[:_EXAMPLES]],
        }


@dataclass(frozen=True, slots=True)
class Impact:
    """What a decision changes.

    Attributes:
        moves: the ways that data planes go because of it, at once or when their turn comes.
        stops: the ways that data planes would have gone without it, and no longer go.
        kept: the ways that data planes would go because of it, were they not kept by something of their own.
        removed: the data planes that are no longer part of the fleet.

    """

    moves: tuple[Course, ...] = ()
    stops: tuple[Course, ...] = ()
    kept: tuple[Course, ...] = ()
    removed: tuple[PDPName, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the form used in API answers."""
        courses = (*self.moves, *self.stops, *self.kept)
        concerned = {name for course in courses for name in course.planes}.union(self.removed)
        return {
            "dataPlanes": len(concerned),
            "moves": [course.to_dict() for course in self.moves],
            "stops": [course.to_dict() for course in self.stops],
            "kept": [course.to_dict() for course in self.kept],
            "removed": [str(name) for name in self.removed],
        }


@dataclass(frozen=True, slots=True)
class _Goal:
    """The state that a data plane goes to; ``goes`` says that its turn is all it can wait for."""

    after: BundleState
    goes: bool
    now: bool


def impact(before: World, after: World, was: Plan, will: Plan) -> Impact:
    """Return the difference between two worlds and their plans; ``before`` also tells what was offered last."""
    old, new = _goals(was), _goals(will)
    moves, stops, kept = [], [], []
    for key, goal in new.items():
        known = old.get(key)
        if goal.goes and not (known and known.goes and known.after == goal.after):
            moves.append(key)
        elif not goal.goes and (known is None or known.after != goal.after):
            kept.append(key)
    for key, known in old.items():
        goal_now = new.get(key)
        if known.goes and not (goal_now and goal_now.goes):
            stops.append(key)

    def courses(keys: Collection[_Key], goals: Mapping[_Key, _Goal]) -> tuple[Course, ...]:
        return _courses(keys, goals, lambda key: _offered(before, *key))

    removed = tuple(sorted(name for name in before.planes if name not in after.planes))
    return Impact(courses(moves, new), courses(stops, old), courses(kept, new), removed)


def _goals(plan: Plan) -> dict[_Key, _Goal]:
    found = {
        (each.pdp, each.bundle): _Goal(each.goal, each.in_turn, now=False)
        for each in plan.withheld
        if each.goal is not None
    }
    return {**found, **{(each.pdp, each.bundle): _Goal(each.after, goes=True, now=True) for each in plan.moves}}


def _offered(world: World, name: PDPName, bundle: str) -> Version | None:
    plane = world.planes.get(name)
    state = plane.desired.bundles.get(bundle) if plane and plane.desired else None
    return state.release if state else None


def _courses(
    keys: Collection[_Key], goals: Mapping[_Key, _Goal], offered: Callable[[_Key], Version | None]
) -> tuple[Course, ...]:
    groups: dict[tuple[Any, ...], list[_Key]] = {}
    for key in sorted(keys):
        after = goals[key].after
        groups.setdefault((key[1], offered(key), after.release, tuple(sorted(after.components.items()))), []).append(
            key
        )
    found = [
        Course(
            bundle,
            before,
            goals[group[0]].after,
            tuple(name for name, _ in group),
            sum(goals[key].now for key in group),
        )
        for (bundle, before, _, _), group in groups.items()
    ]
    return tuple(sorted(found, key=lambda course: (-len(course.planes), course.bundle)))
