"""Routes of tokens."""

from __future__ import annotations

from flask import Response, jsonify

from ums.domain.identity import Holder, Permission
from ums.services import Services
from ums.web import answers
from ums.web.openapi import Area, asker, changes, reads, secret
from ums.web.requests import RevokeBody, TokenBody, TokenPath, instant


def add_token_routes(api: Area, services: Services) -> None:
    """Add the routes."""

    @api.get("/tokens", responses=reads(answers.Tokens))
    def tokens() -> Response:
        """List tokens."""
        by = asker(Permission.ADMIN)
        return jsonify({"items": [each.to_dict() for each in services.manage_tokens.list(by=by)]})

    @api.post("/tokens/<token_id>/revoke", responses=changes(answers.Revoked))
    def revoke_token(path: TokenPath, body: RevokeBody) -> Response:
        """Revoke a token."""
        by = asker(Permission.ADMIN)
        token = services.manage_tokens.revoke(path.token_id, by=by, dry_run=body.dry_run).to_dict()
        shown = {name: token[name] for name in ("id", "subject", "lastUsed")}
        return jsonify({**shown, "revoked": not body.dry_run})

    @api.post("/tokens", responses=changes(answers.IssuedToken, 201))
    def issue_token(body: TokenBody) -> Response:
        """Issue a token; it is shown this once."""
        by = asker(Permission.ADMIN)
        limits = (frozenset(each) for each in (body.groups, body.bundles, body.channels, body.orgs))
        token = services.issue_token(Holder(body.subject, *limits), expires=instant(body.expires), by=by)
        return secret({"subject": body.subject, "token": token, "expires": body.expires}, 201)
