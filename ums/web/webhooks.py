"""Routes of webhooks. Neither URLs nor secrets are ever answered, but for a new secret, once."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, request

from ums.domain.errors import InvalidInputError, NotFoundError
from ums.domain.identity import Permission
from ums.domain.webhooks import Webhook
from ums.services import Services
from ums.usecases.webhooks import make_secret
from ums.web.auth import identify
from ums.web.requests import RevokeBody, WebhookBody, read_body

_MAX = 500
_MAX_DIGITS = 18


def add_webhook_routes(api: Blueprint, services: Services) -> None:
    """Add the routes."""
    manage = services.manage_webhooks

    @api.get("/webhooks")
    def webhooks() -> Response:
        by = identify(services, request, Permission.ADMIN)
        return jsonify({"items": [_view(each) for each in manage.list(by=by)]})

    @api.post("/webhooks")
    def add_webhook() -> tuple[Response, int]:
        by, body = identify(services, request, Permission.ADMIN), read_body(WebhookBody)
        limits = (tuple(body.kinds), frozenset(body.channels))
        webhook = Webhook(body.name, body.url, make_secret(), *limits, body.form, private=body.private)
        manage.add(webhook, by=by)
        return jsonify({**_view(webhook), "secret": webhook.secret}), 201

    @api.post("/webhooks/<name>/remove")
    def remove_webhook(name: str) -> Response:
        by = identify(services, request, Permission.ADMIN)
        read_body(RevokeBody)
        manage.remove(name, by=by)
        return jsonify({"name": name, "removed": True})

    @api.get("/webhooks/<name>/deliveries")
    def deliveries(name: str) -> Response:
        by, limit = identify(services, request, Permission.ADMIN), request.args.get("limit", "50")
        if not limit.isdecimal() or not 0 < int(limit) <= _MAX:
            raise InvalidInputError(f"limit is a number from 1 to {_MAX}")
        return jsonify({"items": [each.to_dict() for each in manage.deliveries(name, limit=int(limit), by=by)]})

    @api.post("/deliveries/<delivery>/replay")
    def replay(delivery: str) -> Response:
        by = identify(services, request, Permission.ADMIN)
        read_body(RevokeBody)
        if not delivery.isdecimal() or len(delivery) > _MAX_DIGITS:
            raise NotFoundError(f"there is no delivery {delivery:.40}", hint="they have numbers")
        manage.replay(int(delivery), by=by)
        return jsonify({"id": delivery, "replayed": True})


def _view(webhook: Webhook) -> dict[str, Any]:
    return {
        "name": webhook.name,
        "kinds": list(webhook.kinds),
        "channels": sorted(webhook.channels),
        "form": webhook.form.value,
        "private": webhook.private,
    }
