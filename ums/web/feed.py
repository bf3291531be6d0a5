"""The route of the feed: what happened, as CloudEvents."""

from __future__ import annotations

from flask import Response, jsonify

from ums.services import Services
from ums.web import answers
from ums.web.openapi import Area, asker, reads
from ums.web.requests import FeedQuery


def add_feed_route(api: Area, services: Services) -> None:
    """Add the route."""

    @api.get("/events", responses=reads(answers.Feed))
    def events(query: FeedQuery) -> Response:
        """Tell what happened after a commit, as CloudEvents, oldest first."""
        by = asker()
        found, after = services.see.events(by, after=query.after, limit=query.limit)
        source = services.see.settings().url
        return jsonify({"items": [each.to_dict(source) for each in found], "after": after})
