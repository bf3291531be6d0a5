"""Yank, unyank, recall: what becomes of a release that turned out to be bad."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from ums.domain import layout
from ums.domain.errors import InvalidInputError
from ums.domain.identity import ALL, Permission
from ums.domain.names import PDPName
from ums.domain.release import ReleaseName
from ums.domain.version import Version
from ums.domain.world import CatalogEntry, Document, Recall, World
from ums.usecases.instruct import Why, check_way_back
from ums.usecases.record import Change, Outcome, Record, unchanged


@dataclass(frozen=True, slots=True)
class WithdrawRelease:
    """Keep a release from those who do not have it, or take it from those who do."""

    record: Record

    def yank(self, name: ReleaseName, why: Why, *, dry_run: bool = False) -> Outcome:
        """Give a release to nobody new; who has it stays.

        Raises:
            ForbiddenError: the identity may not promote.
            NotFoundError: there is no such release.
            InvalidInputError: a reason is missing.

        """

        def change(_world: World, entry: CatalogEntry, now: datetime) -> CatalogEntry:
            given = why.given(now)
            return replace(entry, yanked=entry.yanked or given.reason)

        return self._change("yank", name, why, change, dry_run=dry_run)

    def unyank(self, name: ReleaseName, why: Why, *, dry_run: bool = False) -> Outcome:
        """Take a yank, and a recall, back.

        Raises:
            ForbiddenError: the identity may not promote.
            NotFoundError: there is no such release.

        """

        def change(_world: World, entry: CatalogEntry, now: datetime) -> CatalogEntry:
            why.given(now)
            return replace(entry, yanked="", recall=None)

        return self._change("unyank", name, why, change, dry_run=dry_run)

    def recall(self, name: ReleaseName, to: Version | None, why: Why, *, dry_run: bool = False) -> Outcome:
        """Yank a release, and move everybody who has it to another; by default to the newest after it.

        Raises:
            ForbiddenError: the identity may not promote.
            NotFoundError: there is no such release.
            InvalidInputError: there is none to go to, or a reason is missing.
            RefusedError: the way back is closed by a barrier or an irreversible release.

        """

        def change(world: World, entry: CatalogEntry, now: datetime) -> CatalogEntry:
            given, target = why.given(now), to or _fixed(world, name)
            goal = world.entry(name.bundle, target)
            if target == name.version or goal.yanked:
                raise InvalidInputError(f"{name.bundle}@{target} is no release to go to", hint="name another: --to")
            if entry.recall is not None and entry.recall.to == target:
                return entry
            check_way_back(world, name.bundle, name.version, target)
            return replace(entry, yanked=given.reason, recall=Recall(target, given))

        return self._change("recall", name, why, change, dry_run=dry_run)

    def _change(
        self,
        action: str,
        name: ReleaseName,
        why: Why,
        change: Callable[[World, CatalogEntry, datetime], CatalogEntry],
        *,
        dry_run: bool,
    ) -> Outcome:
        why.by.require(Permission.PROMOTE, bundle=name.bundle, channel=ALL, org=ALL)

        def apply(world: World, now: datetime) -> Change:
            before = world.entry(name.bundle, name.version)
            after = change(world, before, now)
            if after == before:
                return unchanged(world)
            path = layout.catalog_status(name.bundle, name.version)
            return Change(world.with_entry(after), {path: Document(after.status_document())})

        return self.record(
            apply,
            subject=f"catalog: {action.capitalize()} {name}",
            action=action,
            by=why.by,
            reason=why.reason,
            dry_run=dry_run,
        )


def _fixed(world: World, name: ReleaseName) -> Version:
    newer = [
        version
        for version, entry in world.catalog[name.bundle].items()
        if version > name.version and not entry.yanked and not version.parsed.prerelease
    ]
    if not newer:
        raise InvalidInputError(
            f"there is no release of {name.bundle} after {name.version}",
            hint="publish a fixed one, or recall to an earlier: --to",
        )
    return max(newer)


def exposed(world: World, name: ReleaseName) -> tuple[PDPName, ...]:
    """Return the data planes that have a release, or may still have it."""
    found = []
    for pdp, plane in world.planes.items():
        state = plane.desired.bundles.get(name.bundle) if plane.desired else None
        if state is None:
            continue
        confirmed = plane.report is not None and plane.report.serial >= state.since and plane.report.health == "healthy"
        possible = {state.release, *state.components.values(), *(() if confirmed else state.origins)}
        if name.version in possible:
            found.append(pdp)
    return tuple(sorted(found))
