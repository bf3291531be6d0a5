"""Record a decision together with everything that follows from it, as one change of the release repo.

Every verb that changes something goes through here: read the world, change it, decide, render, commit with
compare-and-swap; who loses the race reads and decides again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from ums.domain import layout
from ums.domain.clock import HINT
from ums.domain.deciding import NOTHING, Plan, decide
from ums.domain.errors import ConflictError, UnavailableError
from ums.domain.fleet import Desired, Facts, Report, next_serial
from ums.domain.gates import Gate
from ums.domain.identity import Identity
from ums.domain.impact import Impact, impact
from ums.domain.names import PDPName
from ums.domain.rendering import offer, render_planes
from ums.domain.world import Base, Content, Decision, Document, Observed, World
from ums.ports import Clock, ReleaseRepo, Store

_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Change:
    """What a verb wants recorded: the world as it will be, the files that make it so, and which gates were asked.

    ``files`` are on ``main``; ``delivered`` is what goes from ``delivery`` besides what follows from the world.
    """

    world: World
    files: Mapping[str, Content | None] = field(default_factory=dict)
    gates: tuple[Gate, ...] = ()
    delivered: Mapping[str, Content | None] = field(default_factory=dict)
    already: bool = False


def unchanged(world: World) -> Change:
    """Return that all of it is so already: nothing is recorded then, and what else is due is left to the loop."""
    return Change(world, already=True)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was, or with ``dry_run`` would be, recorded.

    Attributes:
        before: the world that it was made from.
        serials: the new serial of each data plane whose state was issued.
        base: the heads afterwards.
        gates: those that were asked, and what they said.
        was: of what was only tried, the plan without it.
        already: it was so already; nothing changed.

    """

    before: World
    world: World
    plan: Plan
    serials: Mapping[PDPName, int]
    base: Base
    recorded: bool
    gates: tuple[Gate, ...] = ()
    was: Plan | None = None
    already: bool = False

    @property
    def impact(self) -> Impact | None:
        """Return what it would change, where it was only tried."""
        return impact(self.before, self.world, self.was, self.plan) if self.was is not None else None

    def for_orgs(self, orgs: Collection[str] | None) -> Outcome:
        """Return it without other organizations' data planes; ``None`` leaves it whole."""
        if orgs is None:
            return self
        return replace(
            self,
            before=self.before.for_orgs(orgs),
            world=self.world.for_orgs(orgs),
            plan=self.plan.for_orgs(orgs),
            serials={name: serial for name, serial in self.serials.items() if name.org in orgs},
            was=self.was.for_orgs(orgs) if self.was is not None else None,
        )


@dataclass(slots=True)
class Observer:
    """Remembers the fleet as last observed, to look only at what changed since; any number of threads may ask."""

    seen: Observed = field(default_factory=Observed)

    def __call__(self, world: World, reports: Mapping[PDPName, Report], facts: Mapping[PDPName, Facts]) -> World:
        """Return a world with what was observed."""
        self.seen = seen = self.seen.follow(world.planes, reports, facts)
        return world.with_planes(seen.planes)


@dataclass(frozen=True, slots=True)
class Record:
    """Apply a change and its consequences, or neither."""

    release_repo: ReleaseRepo
    store: Store
    clock: Clock
    wake: Callable[[], None] = lambda: None
    """Called when there is something for the loop to do."""
    observe: Observer = field(default_factory=Observer)
    clock_problem: Callable[[World], str] = lambda _world: ""
    """Returns why the time cannot be right; then nothing is recorded."""

    def world(self) -> World:
        """Return what should be and what was observed, now."""
        return self.observe(self.release_repo.read(), self.store.reports(), self.store.facts())

    def __call__(
        self,
        change: Callable[[World, datetime], Change],
        *,
        subject: str,
        action: str,
        by: Identity,
        reason: str,
        dry_run: bool = False,
        settle: bool = True,
    ) -> Outcome:
        """Record what ``change`` makes of the world; it is asked again whenever the world moved meanwhile.

        The outcome tells whoever did it no more than what is its business.

        Without ``settle`` its consequences are left to the loop, which is woken: the answer comes at once however
        large the fleet is.

        Raises:
            UmsError: whatever ``change`` refuses with.
            UnavailableError: others were faster every time, or the clock cannot be right.
            StorageError: the disk refused; nothing was recorded.

        """
        for _ in range(_ATTEMPTS):
            now = self.clock.now()
            before = self.world()
            if not dry_run and (problem := self.clock_problem(before)):
                raise UnavailableError(f"nothing is recorded: {problem}", hint=HINT)
            wanted = change(before, now)
            plan = decide(wanted.world, now) if settle or dry_run else NOTHING
            if wanted.already:
                plan = replace(plan, moves=(), offers={}, rollouts={})
            world, files = _with_rollouts(wanted, plan)
            issued: dict[PDPName, Desired] = {}
            for pdp, bundles in plan.offers.items():
                serial = next_serial(world.plane(pdp).last_serial, now)
                issued[pdp] = offer(world, pdp, bundles, serial=serial, now=now)
            delivery = {**wanted.delivered, **render_planes(world, issued)}
            serials = {pdp: each.serial for pdp, each in issued.items()}
            decision = Decision(subject, action, by.subject, reason, now, files, delivery)
            if dry_run or decision.is_empty:
                was = None
                if dry_run:
                    was = plan if wanted.already else decide(before, now)
                found = Outcome(before, world, plan, serials, before.base, recorded=False, gates=wanted.gates, was=was)
                return replace(found, already=wanted.already).for_orgs(by.orgs)
            try:
                base = self.release_repo.commit(decision, base=before.base)
            except ConflictError:
                continue
            self.wake()
            found = Outcome(before, world, plan, serials, base, recorded=True, gates=wanted.gates)
            return found.for_orgs(by.orgs)
        raise UnavailableError(
            f"the release repo moved {_ATTEMPTS} times while this was decided; nothing was recorded",
            hint="try again in a moment",
        )


def _with_rollouts(wanted: Change, plan: Plan) -> tuple[World, Mapping[str, Content | None]]:
    """Return the world and the files with the rollouts where the plan brings them."""
    world, files = wanted.world, dict(wanted.files)
    for (name, bundle), rollout in plan.rollouts.items():
        world = world.with_channel(world.channel(name).with_rollout(bundle, rollout))
        files[layout.channel_rollout(name, bundle)] = Document(rollout.to_dict())
    return world, files
