"""Long lists in pages. A cursor names the last item of a page, so that pages stay right while a list changes."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from flask import Response, jsonify

from ums.domain.errors import InvalidInputError
from ums.web.requests import PageQuery

T = TypeVar("T")


def start_of(query: PageQuery, parse: Callable[[str], T]) -> T | None:
    """Return the item after which a page begins, or ``None`` for the first page.

    Raises:
        InvalidInputError: the cursor is none of ours.

    """
    if not query.cursor:
        return None
    try:
        return parse(base64.urlsafe_b64decode(query.cursor.encode("ascii")).decode())
    except (ValueError, InvalidInputError) as error:
        raise InvalidInputError("cursor: it is no `next` of an answer", hint="begin anew, without it") from error


def cursor_of(name: str) -> str:
    """Return the cursor behind an item."""
    return base64.urlsafe_b64encode(name.encode()).decode()


def page(
    found: Sequence[T], limit: int | None, *, name: Callable[[T], str], view: Callable[[T], dict[str, Any]]
) -> Response:
    """Answer with the first of what was found."""
    shown = found[:limit]
    more = len(shown) < len(found)
    following = cursor_of(name(shown[-1])) if more else None
    return jsonify({"items": [view(each) for each in shown], "next": following})
