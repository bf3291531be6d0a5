"""The route of the feed: what happened, as CloudEvents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Response, jsonify

from ums.domain.feed import Event
from ums.domain.identity import Identity
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
        found, after = services.read_feed(after=query.after, limit=query.limit)
        return jsonify({"items": visible(services, by, found), "after": after})


def visible(services: Services, by: Identity, found: Sequence[Event]) -> list[dict[str, Any]]:
    """Return the CloudEvents among those found that are somebody's business."""
    source = services.release_repo.read().settings.url
    seen = [each for each in found if "pdp" not in each.data or by.sees(each.data["pdp"].partition("/")[0])]
    return [each.to_dict(source) for each in seen]
