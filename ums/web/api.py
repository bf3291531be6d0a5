"""The REST API, ``/api/v1``: what the command line and other machines speak."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from flask import Response, jsonify

from ums import __version__
from ums.domain.rollouts import RolloutStatus
from ums.domain.trust import KeySigner
from ums.services import Services
from ums.web import answers
from ums.web.audit import add_audit_routes
from ums.web.channels import add_channel_routes
from ums.web.feed import add_feed_route
from ums.web.freezes import add_freeze_routes
from ums.web.insights import add_insights_route
from ums.web.keys import add_key_routes
from ums.web.openapi import Area, Areas, asker, reads, sight
from ums.web.paging import cursor_of, start_of
from ums.web.planes import add_event_route, add_plane_routes
from ums.web.releases import add_release_routes
from ums.web.requests import ChannelQuery, LogQuery
from ums.web.risks import add_risk_routes
from ums.web.roles import add_role_routes
from ums.web.rollouts import rollout_view
from ums.web.status import status_view
from ums.web.stream import add_stream_route
from ums.web.tokens import add_token_routes
from ums.web.views import log_view, plan_view, reasons_view
from ums.web.webhooks import add_webhook_routes

_AREAS: dict[str, tuple[str, Callable[[Area, Services], None]]] = {
    "releases": ("What was published, what differs between releases, and what withdraws them.", add_release_routes),
    "keys": ("Who may sign, and who knows it.", add_key_routes),
    "channels": ("Policies, promotions, gates and rollouts.", add_channel_routes),
    "data planes": ("What they are, and the instructions given to them.", add_plane_routes),
    "freezes": ("Bans on promotions and moves.", add_freeze_routes),
    "risks": ("Declared risks.", add_risk_routes),
    "feed": ("What happened.", add_feed_route),
    "stream": ("What happens, as it does.", add_stream_route),
    "insights": ("How well delivery goes.", add_insights_route),
    "webhooks": ("Who is told of what happened.", add_webhook_routes),
    "audit": ("What auditors read.", add_audit_routes),
    "tokens": ("Who may ask.", add_token_routes),
    "roles": ("Who may do what.", add_role_routes),
}


def create_api(areas: Areas) -> Iterator[Area]:
    """Yield the routes, by area."""
    services = areas.services
    api = areas.guarded("service", "How everything is, and what would be done now.")
    _read_routes(api, services)
    yield api
    for name, (description, add_routes) in _AREAS.items():
        area = areas.guarded(name, description)
        add_routes(area, services)
        yield area
    signed = areas.signed("reports", "What data planes say of themselves.")
    add_event_route(signed, services)
    yield signed


def _read_routes(api: Area, services: Services) -> None:
    @api.get("/info", responses=reads(answers.Info))
    def info() -> Response:
        """Say what a client needs to know of the service."""
        settings = services.see.settings()
        return jsonify(
            {
                "version": __version__,
                "url": settings.url,
                "registry": str(settings.registry),
                "plainHttp": settings.plain_http,
            }
        )

    @api.get("/trust", responses=reads(answers.Trust))
    def trust() -> Response:
        """Show whose signatures count."""
        policy = sight(services).world.trust
        signers = {
            name: {"key": each.public_key} if isinstance(each, KeySigner) else each.to_dict()
            for name, each in policy.signers.items()
        }
        rules = {
            name: {"signers": list(rule.signers), "threshold": rule.threshold} for name, rule in policy.rules.items()
        }
        return jsonify({"signers": signers, "bundles": rules, "stateKeys": list(policy.state_keys)})

    @api.get("/plan", responses=reads(answers.Plan))
    def plan(query: ChannelQuery) -> Response:
        """Show what would be done now: who moves, and why the others do not."""
        seen, wanted = sight(services), query.channel
        world, found = seen.world, seen.plan(seen.world.channel(wanted).name if wanted else "")
        rollouts = [
            rollout_view(world, channel, bundle, found, seen.now)
            for _, channel in sorted(world.channels.items())
            for bundle, rollout in sorted(channel.rollouts.items())
            if wanted in {"", channel.name} and rollout.status is not RolloutStatus.FINISHED
        ]
        return jsonify({**plan_view(found), "rollouts": rollouts, "reasons": reasons_view(found, world)})

    @api.get("/status", responses=reads(answers.Status))
    def status() -> Response:
        """Show how everything is."""
        return jsonify(status_view(sight(services)))

    @api.get("/log", responses=reads(answers.Log))
    def log(query: LogQuery) -> Response:
        """List decisions, newest first."""
        # What led to a commit is the same for ever, in the same order.
        head, skip = start_of(query, _place) or (services.see.head(), 0)
        entries, more = services.see.log(asker(), limit=query.limit, path=query.path, head=head, skip=skip)
        following = cursor_of(f"{head}:{skip + query.limit}") if more else None
        return jsonify({"items": [log_view(each) for each in entries], "next": following})


def _place(text: str) -> tuple[str, int]:
    head, _, skip = text.partition(":")
    return head, min(abs(int(skip)), sys.maxsize)
