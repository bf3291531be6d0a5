"""The route of the figures on how well delivery goes."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Response, jsonify

from ums.domain.insights import find_insights, insights_document
from ums.domain.instants import parse_duration
from ums.services import Services
from ums.web import answers
from ums.web.openapi import Area, reads, sight
from ums.web.requests import InsightsQuery

_EVER = datetime.min.replace(tzinfo=UTC)


def add_insights_route(api: Area, services: Services) -> None:
    """Add the route."""

    @api.get("/insights", responses=reads(answers.Insights))
    def insights(query: InsightsQuery) -> Response:
        """Tell DORA's four figures by channel, and what about them is approximate."""
        seen = sight(services)
        now = seen.now
        try:
            since = now - parse_duration(query.since)
        except OverflowError:
            since = _EVER
        found = find_insights(seen.world, now, since=since, share=query.share, channel=query.channel or None)
        return jsonify(insights_document(found, since=since, now=now, share=query.share))
