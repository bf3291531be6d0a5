"""The route of the feed: what happened, as CloudEvents."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from ums.domain.errors import InvalidInputError
from ums.services import Services
from ums.web.auth import identify

_MAX = 1000


def add_feed_route(api: Blueprint, services: Services) -> None:
    """Add the route."""

    @api.get("/events")
    def events() -> Response:
        by = identify(services, request)
        limit = request.args.get("limit", "100")
        if not limit.isdecimal() or not 0 < int(limit) <= _MAX:
            raise InvalidInputError(f"limit is a number of commits from 1 to {_MAX}")
        found, after = services.read_feed(after=request.args.get("after", ""), limit=int(limit))
        source = services.release_repo.read().settings.url
        seen = [each for each in found if "pdp" not in each.data or by.sees(each.data["pdp"].partition("/")[0])]
        return jsonify({"items": [each.to_dict(source) for each in seen], "after": after})
