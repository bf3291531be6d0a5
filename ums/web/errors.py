"""Errors as problem documents (RFC 9457)."""

from __future__ import annotations

import logging
import math

from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException

from ums.domain.errors import ForbiddenError, TooManyRequestsError, UmsError
from ums.domain.security_log import SecurityKind
from ums.outcomes import outcome_of
from ums.usecases.security_events import SecurityEvents
from ums.web.observing import request_id

_LOG = logging.getLogger(__name__)


def problem(
    status: int, code: str, title: str, *, hint: str = "", blocked_by: list[dict[str, object]] | None = None
) -> Response:
    """Return a problem document."""
    response = jsonify(
        {"type": f"urn:ums:error:{code}", "title": title, "status": status, "hint": hint, "blockedBy": blocked_by or []}
    )
    response.status_code = status
    response.content_type = "application/problem+json"
    if status == 401:  # noqa: PLR2004 - RFC 9110 §15.5.2 demands a challenge
        response.headers["WWW-Authenticate"] = 'Bearer realm="ums"'
    return response


def handle_errors(app: Flask, security: SecurityEvents) -> None:
    """Make every error of the app a problem document; what was not foreseen is logged and not shown.

    What somebody may not do is noted, wherever that was decided.
    """

    @app.errorhandler(UmsError)
    def known(error: UmsError) -> Response:
        outcome = outcome_of(error)
        if isinstance(error, ForbiddenError):
            who, rule = g.get("identity"), request.url_rule
            asked = f"{request.method} {rule.rule if rule else 'unmatched'}"
            security.note(
                SecurityKind.PERMISSION_DENIED, subject=who.subject if who else "", request=asked, message=error.message
            )
        response = problem(
            outcome.status,
            outcome.code,
            error.message,
            hint=error.hint,
            blocked_by=[reason.to_dict() for reason in error.reasons],
        )
        if isinstance(error, TooManyRequestsError):
            # Whole seconds, upwards: who comes at the time that was told must be let in.
            response.headers["Retry-After"] = retry_after(error)
        return response

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        return problem(error.code or 500, "http", error.description or error.name)

    @app.errorhandler(Exception)
    def unforeseen(error: Exception) -> Response:
        _LOG.error("request failed", exc_info=error, extra={"request_id": request_id()})
        return problem(500, "internal", "something failed that UMS did not foresee; its log has the details")


def retry_after(error: TooManyRequestsError) -> str:
    """Return after how many whole seconds the same is let in: 1 or more."""
    return str(max(1, math.ceil(error.retry_after.total_seconds())))
