"""Routes of freezes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import Response, jsonify

from ums.domain.errors import InvalidInputError
from ums.domain.freezes import Freeze, Scope
from ums.domain.names import MAX_NAME_LENGTH, PDPName, check_name
from ums.domain.world import World
from ums.services import Services
from ums.web import answers
from ums.web.openapi import Area, asker, changes, reads, sight
from ums.web.requests import FreezeBody, ThawBody, why_of
from ums.web.views import outcome_view


def add_freeze_routes(api: Area, services: Services) -> None:
    """Add the routes."""

    @api.get("/freezes", responses=reads(answers.Freezes))
    def freezes() -> Response:
        """List the freezes in force."""
        seen = sight(services)
        return jsonify({"items": active_freezes(seen.world, seen.now)})

    @api.post("/freezes", responses=changes(answers.Frozen))
    def freeze(body: FreezeBody) -> Response:
        """Freeze everything, or what is named."""
        by = asker()
        scope = _scope(body)
        name = check_name(body.name or _name_of(scope), "freeze name")
        outcome = services.freeze_fleet.freeze(name, scope, why_of(by, body), dry_run=body.dry_run)
        made = next((each for each in outcome.world.freezes if each.name == name), None)
        shown = freeze_view(made, outcome.world) if made else {"name": name}
        return jsonify({**shown, **outcome_view(outcome)})

    @api.post("/thaws", responses=changes(answers.Named))
    def thaw(body: ThawBody) -> Response:
        """End a freeze."""
        by = asker()
        outcome = services.freeze_fleet.thaw(body.name, why_of(by, body), dry_run=body.dry_run)
        return jsonify({"name": body.name, **outcome_view(outcome)})


def active_freezes(world: World, now: datetime) -> list[dict[str, Any]]:
    """Return the freezes in force."""
    return [freeze_view(each, world) for each in world.freezes if each.given.active(now)]


def freeze_view(freeze: Freeze, world: World) -> dict[str, Any]:
    """Return a freeze, in words too, and how many data planes it stops."""
    scope = freeze.scope
    stopped = sum(
        scope.covers_plane(name)
        and any(scope.covers(channel=plane.registration.channel, bundle=each) for each in world.bundles_of(plane))
        for name, plane in world.planes.items()
    )
    return {**freeze.to_dict(), "covers": str(scope), "dataPlanes": stopped}


def _scope(body: FreezeBody) -> Scope:
    if body.pdp is not None and body.org is not None:
        raise InvalidInputError("a data plane names its organization already", hint="give org or pdp, not both")
    channel = check_name(body.channel, "channel name") if body.channel else None
    bundle = check_name(body.bundle, "bundle name") if body.bundle else None
    org = check_name(body.org, "organization name") if body.org else None
    return Scope(channel, bundle, org, PDPName.parse(body.pdp) if body.pdp else None)


def _name_of(scope: Scope) -> str:
    parts = (f"{kind}-{value}".replace("/", "-") for kind, value in scope.to_dict().items())
    return "-".join(parts)[:MAX_NAME_LENGTH].rstrip("-") or "everything"
