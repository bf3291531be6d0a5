"""Routes of the catalog: releases, what differs between them, and what withdraws them."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from ums.domain.digest import Digest
from ums.domain.release import ReleaseName, diff_releases
from ums.domain.version import Version
from ums.services import Services
from ums.usecases.record import Outcome
from ums.web.auth import identify
from ums.web.requests import ReasonBody, RecallBody, RegisterBody, read_body, why_of
from ums.web.views import exposed_view, outcome_view, release_view


def add_release_routes(api: Blueprint, services: Services) -> None:
    """Add the routes."""
    _catalog_routes(api, services)
    _withdrawal_routes(api, services)


def _catalog_routes(api: Blueprint, services: Services) -> None:
    @api.get("/releases")
    def releases() -> Response:
        identify(services, request)
        world, wanted = services.record.world(), request.args.get("bundle")
        return jsonify(
            {
                "items": [
                    release_view(entry, world)
                    for bundle, versions in sorted(world.catalog.items())
                    for _, entry in sorted(versions.items(), reverse=True)
                    if wanted in {None, bundle}
                ]
            }
        )

    @api.post("/releases")
    def register() -> tuple[Response, int]:
        by, body = identify(services, request), read_body(RegisterBody)
        entry = services.register_release(ReleaseName.parse(body.release), Digest.parse(body.digest), by=by)
        return jsonify(release_view(entry, services.record.world(), full=True)), 201

    @api.get("/releases/<bundle>/<version>")
    def release(bundle: str, version: str) -> Response:
        identify(services, request)
        world = services.record.world()
        return jsonify(release_view(world.entry(bundle, Version(version)), world, full=True))

    @api.get("/releases/<bundle>/<version>/diff")
    def diff(bundle: str, version: str) -> Response:
        identify(services, request)
        world, start = services.record.world(), request.args.get("from")
        after = world.entry(bundle, Version(version)).release
        before = world.entry(bundle, Version(start)).release if start else None
        return jsonify(
            {
                "from": before.name if before else None,
                "to": after.name,
                "components": [change.to_dict() for change in diff_releases(before, after)],
            }
        )

    @api.get("/releases/<bundle>/<version>/exposed")
    def exposed(bundle: str, version: str) -> Response:
        identify(services, request)
        world, name = services.record.world(), ReleaseName(bundle, Version(version))
        world.entry(name.bundle, name.version)
        return jsonify(exposed_view(world, name))


def _withdrawal_routes(api: Blueprint, services: Services) -> None:
    @api.post("/releases/<bundle>/<version>/yank")
    def yank(bundle: str, version: str) -> Response:
        by, body, name = identify(services, request), read_body(ReasonBody), ReleaseName(bundle, Version(version))
        return _answer(name, services.withdraw_release.yank(name, why_of(by, body), dry_run=body.dry_run))

    @api.post("/releases/<bundle>/<version>/unyank")
    def unyank(bundle: str, version: str) -> Response:
        by, body, name = identify(services, request), read_body(ReasonBody), ReleaseName(bundle, Version(version))
        return _answer(name, services.withdraw_release.unyank(name, why_of(by, body), dry_run=body.dry_run))

    @api.post("/releases/<bundle>/<version>/recall")
    def recall(bundle: str, version: str) -> Response:
        by, body, name = identify(services, request), read_body(RecallBody), ReleaseName(bundle, Version(version))
        to = Version(body.to) if body.to else None
        return _answer(name, services.withdraw_release.recall(name, to, why_of(by, body), dry_run=body.dry_run))


def _answer(name: ReleaseName, outcome: Outcome) -> Response:
    entry = outcome.world.entry(name.bundle, name.version)
    recall = f"{name.bundle}@{entry.recall.to}" if entry.recall else None
    return jsonify(
        {**exposed_view(outcome.world, name), "yanked": entry.yanked, "recalledTo": recall, **outcome_view(outcome)}
    )
