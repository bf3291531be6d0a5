"""Routes of roles granted in Git."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import Response, jsonify

from ums.domain.access import Granted, Grantee, GranteeKind
from ums.domain.identity import Grant, Permission
from ums.services import Services
from ums.usecases.record import Outcome
from ums.web import answers
from ums.web.openapi import Area, asker, changes, reads
from ums.web.requests import GrantBody, RoleBody, why_of


def add_role_routes(api: Area, services: Services) -> None:
    """Add the routes."""
    do = services.grant_roles

    @api.get("/roles", responses=reads(answers.Roles))
    def roles() -> Response:
        """List the roles granted in Git that the asker could grant."""
        by, now = asker(Permission.ADMIN), services.clock.now()
        readable, found = do.list(by=by)
        return jsonify({"readable": readable, "items": [_view(each, now) for each in found]})

    @api.post("/roles", responses=changes(answers.RolesChanged))
    def grant_role(body: GrantBody) -> Response:
        """Grant a role, in Git."""
        by = asker(Permission.ADMIN)
        return _answer(services, do.grant(_grant(body), _grantee(body), why_of(by, body), dry_run=body.dry_run))

    @api.post("/roles/revoke", responses=changes(answers.RolesChanged))
    def revoke_role(body: RoleBody) -> Response:
        """Take a role back: with limits the grant of just these, without any every grant of the role."""
        by = asker(Permission.ADMIN)
        return _answer(services, do.revoke(_grant(body), _grantee(body), why_of(by, body), dry_run=body.dry_run))


def _grant(body: RoleBody) -> Grant:
    return Grant(body.role, *(frozenset(each) for each in (body.bundles, body.channels, body.orgs)))


def _grantee(body: RoleBody) -> Grantee:
    if body.subject is not None:
        return Grantee(GranteeKind.SUBJECT, body.subject)
    return Grantee(GranteeKind.GROUP, body.group or "")


def _answer(services: Services, outcome: Outcome) -> Response:
    now = services.clock.now()
    lost = outcome.before.access.has_admin(now) and not outcome.world.access.has_admin(now)
    ended = [
        each
        for each in outcome.before.access.granted
        if each.counts(now) and each.grant not in _grants(outcome, each.to)
    ]
    return jsonify(
        {
            "recorded": outcome.recorded,
            "commit": outcome.base.main if outcome.recorded else None,
            "ends": [_ended(each) for each in ended],
            "warnings": ["nobody is an admin without limits by a role any more: admins' tokens remain"] if lost else [],
        }
    )


def _grants(outcome: Outcome, to: Grantee) -> list[Grant]:
    return [each.grant for each in outcome.world.access.granted if each.to.is_same(to)]


def _ended(granted: Granted) -> dict[str, Any]:
    reach: dict[str, Any] = {"bundles": [], "channels": [], "orgs": []}
    data = granted.to_dict()
    return {**reach, **{name: data[name] for name in ("role", "to", *reach) if name in data}}


def _view(granted: Granted, now: datetime) -> dict[str, Any]:
    nothing: dict[str, Any] = {
        "bundles": [],
        "channels": [],
        "orgs": [],
        "by": "",
        "reason": "",
        "since": None,
        "until": None,
    }
    return {**nothing, **granted.to_dict(), "counts": granted.counts(now)}
