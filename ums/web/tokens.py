"""Routes of tokens."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from ums.domain.identity import Identity, Permission
from ums.services import Services
from ums.web.auth import identify
from ums.web.requests import RevokeBody, TokenBody, instant, read_body


def add_token_routes(api: Blueprint, services: Services) -> None:
    """Add the routes."""

    @api.get("/tokens")
    def tokens() -> Response:
        by = identify(services, request, Permission.ADMIN)
        return jsonify({"items": [each.to_dict() for each in services.manage_tokens.list(by=by)]})

    @api.post("/tokens/<token_id>/revoke")
    def revoke_token(token_id: str) -> Response:
        by = identify(services, request, Permission.ADMIN)
        read_body(RevokeBody)
        services.manage_tokens.revoke(token_id, by=by)
        return jsonify({"id": token_id, "revoked": True})

    @api.post("/tokens")
    def issue_token() -> tuple[Response, int]:
        by, body = identify(services, request, Permission.ADMIN), read_body(TokenBody)
        limits = (frozenset(each) for each in (body.groups, body.bundles, body.channels, body.orgs))
        identity = Identity(body.subject, *limits)
        token = services.issue_token(identity, expires=instant(body.expires), by=by)
        return jsonify({"subject": body.subject, "token": token, "expires": body.expires}), 201
