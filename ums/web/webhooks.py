"""Routes of webhooks. Neither URLs nor secrets are ever answered, but for a new secret, once."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify

from ums.domain.errors import NotFoundError
from ums.domain.identity import Permission
from ums.domain.webhooks import Webhook
from ums.services import Services
from ums.usecases.webhooks import make_secret
from ums.web import answers
from ums.web.openapi import Area, asker, changes, reads, secret
from ums.web.requests import DeliveryPath, NamePath, NewestQuery, ReplayBody, RevokeBody, WebhookBody

_MAX_DIGITS = 18


def add_webhook_routes(api: Area, services: Services) -> None:
    """Add the routes."""
    manage = services.manage_webhooks

    @api.get("/webhooks", responses=reads(answers.Webhooks))
    def webhooks() -> Response:
        """List webhooks."""
        by = asker(Permission.ADMIN)
        return jsonify({"items": [_view(each) for each in manage.list(by=by)]})

    @api.post("/webhooks", responses=changes(answers.AddedWebhook, 201))
    def add_webhook(body: WebhookBody) -> Response:
        """Add a webhook; its secret is shown this once."""
        by = asker(Permission.ADMIN)
        limits = (tuple(body.kinds), frozenset(body.channels))
        webhook = Webhook(body.name, body.url, make_secret(), *limits, body.form, private=body.private)
        manage.add(webhook, by=by)
        return secret({**_view(webhook), "secret": webhook.secret}, 201)

    @api.post("/webhooks/<name>/remove", responses=changes(answers.Removed))
    def remove_webhook(path: NamePath, body: RevokeBody) -> Response:
        """Remove a webhook and what is on its way to it."""
        by = asker(Permission.ADMIN)
        manage.remove(path.name, by=by, dry_run=body.dry_run)
        return jsonify({"name": path.name, "removed": not body.dry_run})

    @api.get("/webhooks/<name>/deliveries", responses=reads(answers.Deliveries))
    def deliveries(path: NamePath, query: NewestQuery) -> Response:
        """List deliveries to a webhook, newest first."""
        by = asker(Permission.ADMIN)
        return jsonify({"items": [each.to_dict() for each in manage.deliveries(path.name, limit=query.limit, by=by)]})

    @api.post("/deliveries/<delivery>/replay", responses=changes(answers.Replayed))
    def replay_delivery(path: DeliveryPath, body: ReplayBody) -> Response:  # noqa: ARG001 - it must be empty
        """Deliver again."""
        by = asker(Permission.ADMIN)
        delivery = path.delivery
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
