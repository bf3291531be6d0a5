"""The REST API, ``/api/v1``: what the command line and other machines speak."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from ums import __version__
from ums.domain.errors import InvalidInputError
from ums.domain.expiring import find_expiring
from ums.domain.rollouts import RolloutStatus
from ums.domain.trust import KeySigner
from ums.services import Services
from ums.web.auth import identify
from ums.web.channels import add_channel_routes
from ums.web.feed import add_feed_route
from ums.web.freezes import active_freezes, add_freeze_routes
from ums.web.planes import add_plane_routes
from ums.web.releases import add_release_routes
from ums.web.risks import add_risk_routes
from ums.web.rollouts import channel_plan, rollout_view
from ums.web.tokens import add_token_routes
from ums.web.views import channel_view, log_view, plan_view, problems_view, reasons_view
from ums.web.webhooks import add_webhook_routes

_MAX_LOG = 500


def create_api(services: Services) -> Blueprint:
    """Return the routes."""
    api = Blueprint("api", __name__)
    _read_routes(api, services)
    add_release_routes(api, services)
    add_channel_routes(api, services)
    add_plane_routes(api, services)
    add_feed_route(api, services)
    add_token_routes(api, services)
    add_webhook_routes(api, services)
    add_freeze_routes(api, services)
    add_risk_routes(api, services)
    return api


def _read_routes(api: Blueprint, services: Services) -> None:
    @api.get("/info")
    def info() -> Response:
        identify(services, request)
        settings = services.record.world().settings
        return jsonify(
            {
                "version": __version__,
                "url": settings.url,
                "registry": str(settings.registry),
                "plainHttp": settings.plain_http,
            }
        )

    @api.get("/trust")
    def trust() -> Response:
        identify(services, request)
        policy = services.record.world().trust
        signers = {
            name: {"key": each.public_key}
            if isinstance(each, KeySigner)
            else {"identity": each.identity, "issuer": each.issuer}
            for name, each in policy.signers.items()
        }
        rules = {
            name: {"signers": list(rule.signers), "threshold": rule.threshold} for name, rule in policy.rules.items()
        }
        return jsonify({"signers": signers, "bundles": rules, "stateKeys": list(policy.state_keys)})

    @api.get("/plan")
    def plan() -> Response:
        identify(services, request)
        world, now, wanted = services.record.world(), services.clock.now(), request.args.get("channel")
        found = channel_plan(world, world.channel(wanted).name, now) if wanted else services.plan()
        rollouts = [
            rollout_view(world, channel, bundle, found, now)
            for _, channel in sorted(world.channels.items())
            for bundle, rollout in sorted(channel.rollouts.items())
            if wanted in {None, channel.name} and rollout.status is not RolloutStatus.FINISHED
        ]
        return jsonify({**plan_view(found), "rollouts": rollouts, "reasons": reasons_view(found, world)})

    @api.get("/status")
    def status() -> Response:
        identify(services, request)
        world, now = services.record.world(), services.clock.now()
        counts: dict[str, int] = {}
        for plane in world.planes.values():
            health = plane.health(now).value
            counts[health] = counts.get(health, 0) + 1
        return jsonify(
            {
                "channels": [channel_view(each, world) for each in world.channels.values()],
                "health": counts,
                "dataPlanes": len(world.planes),
                "freezes": active_freezes(world, now),
                "expiring": [each.to_dict() for each in find_expiring(world, now)],
                "problems": problems_view(world, now),
            }
        )

    @api.get("/log")
    def log() -> Response:
        identify(services, request)
        limit = request.args.get("limit", "50")
        if not limit.isdecimal() or not 0 < int(limit) <= _MAX_LOG:
            raise InvalidInputError(f"limit is a number from 1 to {_MAX_LOG}")
        entries = services.log(limit=int(limit), path=request.args.get("path", ""))
        return jsonify({"items": [log_view(each) for each in entries]})
