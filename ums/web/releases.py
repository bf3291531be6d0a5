"""Routes of the catalog: releases, what differs between them, and what withdraws them."""

from __future__ import annotations

from flask import Response, jsonify

from ums.domain.digest import Digest
from ums.domain.regressions import newly_fixed, regression
from ums.domain.release import ReleaseName, diff_releases
from ums.domain.version import Version
from ums.services import Services
from ums.usecases.record import Outcome
from ums.web import answers
from ums.web.openapi import Area, asker, changes, reads, sight
from ums.web.paging import page, start_of
from ums.web.requests import (
    BundleQuery,
    DiffQuery,
    ReasonBody,
    RecallBody,
    RegisterBody,
    ReleasePath,
    ReleasesQuery,
    why_of,
)
from ums.web.views import exposed_view, outcome_view, release_view


def add_release_routes(api: Area, services: Services) -> None:
    """Add the routes."""
    _catalog_routes(api, services)
    _withdrawal_routes(api, services)


def _catalog_routes(api: Area, services: Services) -> None:
    @api.get("/releases", responses=reads(answers.Releases))
    def releases(query: ReleasesQuery) -> Response:
        """List releases, by bundle, newest first."""
        world, start = sight(services).world, start_of(query, ReleaseName.parse)
        found = [
            entry
            for bundle, versions in sorted(world.catalog.items())
            for version, entry in sorted(versions.items(), reverse=True)
            if query.bundle in {None, bundle}
            and (start is None or bundle > start.bundle or (bundle == start.bundle and version < start.version))
        ]
        return page(
            found, query.limit, name=lambda each: each.release.name, view=lambda each: release_view(each, world)
        )

    @api.post("/releases", responses=changes(answers.ReleaseInFull, 201))
    def register_release(body: RegisterBody) -> tuple[Response, int]:
        """Register a published release."""
        by = asker()
        entry = services.register_release(
            ReleaseName.parse(body.release), Digest.parse(body.digest), by=by, override_floors=body.override_floors
        )
        return jsonify(release_view(entry, sight(services).world, full=True)), 201

    @api.get("/releases/<bundle>/<version>", responses=reads(answers.ReleaseInFull))
    def release(path: ReleasePath) -> Response:
        """Show a release and what is in it."""
        world = sight(services).world
        return jsonify(release_view(world.entry(path.bundle, path.name.version), world, full=True))

    @api.get("/releases/<bundle>/<version>/diff", responses=reads(answers.Diff))
    def diff(path: ReleasePath, query: DiffQuery) -> Response:
        """Show what differs from another release, or from nothing."""
        world = sight(services).world
        after = world.entry(path.bundle, path.name.version).release
        before = world.entry(path.bundle, Version(query.start)).release if query.start else None
        catalog = world.catalog[path.bundle]
        return jsonify(
            {
                "from": before.name if before else None,
                "to": after.name,
                "fixes": newly_fixed(catalog, before, after),
                "lostFixes": regression(catalog, before, after).lost_fixes if before else (),
                "components": [change.to_dict() for change in diff_releases(before, after)],
            }
        )

    @api.get("/floors", responses=reads(answers.Floors))
    def floors(query: BundleQuery) -> Response:
        """List the floors that releases declare for those after them."""
        seen = sight(services)
        return jsonify(
            {
                "items": [
                    {
                        "bundle": each.bundle,
                        "release": str(each.release),
                        **each.floor.to_dict(),
                        "inForce": each.floor.in_force(seen.now),
                    }
                    for each in seen.world.floors(query.bundle)
                ]
            }
        )

    @api.get("/releases/<bundle>/<version>/exposed", responses=reads(answers.Exposed))
    def exposed(path: ReleasePath) -> Response:
        """Count the data planes that have a release, or may have it."""
        world, name = sight(services).world, path.name
        world.entry(name.bundle, name.version)
        return jsonify(exposed_view(world, name))


def _withdrawal_routes(api: Area, services: Services) -> None:
    @api.post("/releases/<bundle>/<version>/yank", responses=changes(answers.Withdrawn))
    def yank(path: ReleasePath, body: ReasonBody) -> Response:
        """Give a release to nobody new."""
        by, name = asker(), path.name
        return _answer(name, services.withdraw_release.yank(name, why_of(by, body), dry_run=body.dry_run))

    @api.post("/releases/<bundle>/<version>/unyank", responses=changes(answers.Withdrawn))
    def unyank(path: ReleasePath, body: ReasonBody) -> Response:
        """Take a yank back."""
        by, name = asker(), path.name
        return _answer(name, services.withdraw_release.unyank(name, why_of(by, body), dry_run=body.dry_run))

    @api.post("/releases/<bundle>/<version>/recall", responses=changes(answers.Withdrawn))
    def recall(path: ReleasePath, body: RecallBody) -> Response:
        """Move whoever has a release off it."""
        by, name = asker(), path.name
        to = Version(body.to) if body.to else None
        return _answer(name, services.withdraw_release.recall(name, to, why_of(by, body), dry_run=body.dry_run))


def _answer(name: ReleaseName, outcome: Outcome) -> Response:
    entry = outcome.world.entry(name.bundle, name.version)
    recall = f"{name.bundle}@{entry.recall.to}" if entry.recall else None
    return jsonify(
        {**exposed_view(outcome.world, name), "yanked": entry.yanked, "recalledTo": recall, **outcome_view(outcome)}
    )
