"""One table: what each error means to HTTP and to a shell."""

from __future__ import annotations

from dataclasses import dataclass

from ums.domain import errors


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an error is told.

    Attributes:
        code: its name on the wire, in problem documents (RFC 9457).
        status: HTTP status.
        exit_code: of the command line.

    """

    code: str
    status: int
    exit_code: int


OUTCOMES: dict[type[errors.UmsError], Outcome] = {
    errors.InvalidInputError: Outcome("invalid-input", 400, 2),
    errors.RefusedError: Outcome("refused", 409, 3),
    errors.NotFoundError: Outcome("not-found", 404, 4),
    errors.ConflictError: Outcome("conflict", 409, 5),
    errors.InProgressError: Outcome("in-progress", 409, 5),
    errors.UnauthenticatedError: Outcome("unauthenticated", 401, 6),
    errors.ForbiddenError: Outcome("forbidden", 403, 6),
    errors.UnverifiedError: Outcome("unverified", 422, 7),
    errors.IntegrityError: Outcome("integrity", 502, 8),
    errors.TooManyRequestsError: Outcome("too-many-requests", 429, 9),
    errors.UnavailableError: Outcome("unavailable", 503, 9),
    errors.StorageError: Outcome("storage", 507, 10),
}
"""0 is success, 1 an error that UMS did not foresee, 2 also wrong usage."""
UNFORESEEN = Outcome("internal", 500, 1)

TIMED_OUT = 11
"""Exit code of ``--wait`` when the time was up before everybody was healthy."""
NOT_HEALTHY = 12
"""Exit code of ``--wait`` when a data plane reported failure."""


def outcome_of(error: errors.UmsError) -> Outcome:
    """Return the row for an error, by its nearest class; the root alone is what a newer service may have meant."""
    return next((OUTCOMES[kind] for kind in type(error).__mro__ if kind in OUTCOMES), UNFORESEEN)


def error_of(code: str) -> type[errors.UmsError] | None:
    """Return the class that a wire name stands for, or ``None`` when a newer service sent it."""
    return next((kind for kind, outcome in OUTCOMES.items() if outcome.code == code), None)
