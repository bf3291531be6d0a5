"""Every error UMS raises on purpose.

::

    UmsError
    ├── InvalidInputError      what was given cannot be right, whoever asks
    │   └── SpecError          … and it stands in a file, at a line, in a field
    ├── UnauthenticatedError   we do not know who asks
    ├── ForbiddenError         we know, and they may not
    ├── NotFoundError          the thing named is not there
    ├── ConflictError          it is there already, with other content, or moved meanwhile
    ├── RefusedError           a rule of the release process says no; carries every reason
    ├── UnverifiedError        signatures were looked at, and are not good enough
    ├── IntegrityError         bytes are not what they claim to be: a registry lied
    ├── TooManyRequestsError   they ask too often; the same call works after a while
    ├── UnavailableError       something outside did not answer; the same call may work later
    └── StorageError           this machine cannot keep what it was given (disk full, no permission)

Adapters raise only these; the library's own error is the ``__cause__``. ``ums.outcomes`` maps each
to an HTTP status and an exit code.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason why something does not happen.

    Attributes:
        code: stable, machine-readable, kebab-case.
        message: one sentence for people.
        until: ISO 8601 time at which the reason ends by itself, or ``None``.
        who_can_override: the group or person to ask, or ``None`` when nobody can.

    """

    code: str
    message: str
    until: str | None = None
    who_can_override: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the form used in API answers."""
        return {
            "code": self.code,
            "message": self.message,
            "until": self.until,
            "who_can_override": self.who_can_override,
        }


class UmsError(Exception):
    """Root of all errors that UMS raises on purpose.

    Attributes:
        message: what happened, to what, and why.
        hint: what to do next; may be empty.

    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Return the machine-readable reasons, if the error has any."""
        return ()


class InvalidInputError(UmsError):
    """The input cannot be right, whoever asks and whenever."""


class SpecError(InvalidInputError):
    """A file that people write is wrong.

    Attributes:
        file: path as the user gave it.
        line: 1-based line, or 0 where no line can be named.
        field: dotted path of the field, or the empty string for the whole file.

    """

    def __init__(self, message: str, *, file: str = "", line: int = 0, field: str = "", hint: str = "") -> None:
        where = ":".join(str(part) for part in (file, line or "") if part)
        text = ": ".join(part for part in (where, field, message) if part)
        super().__init__(text, hint=hint)
        self.file = file
        self.line = line
        self.field = field
        self.problem = message


class UnauthenticatedError(UmsError):
    """No valid credential came with the request."""


class ForbiddenError(UmsError):
    """The identity is known and lacks the permission."""


class NotFoundError(UmsError):
    """The named thing does not exist."""


class ConflictError(UmsError):
    """The named thing exists with other content, or moved while we looked."""


class InProgressError(ConflictError):
    """The same was asked for already, and is under way."""


class RefusedError(UmsError):
    """A rule of the release process says no. Every rule was asked: all reasons are there."""

    def __init__(self, message: str, blocked_by: tuple[Reason, ...], *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.blocked_by = blocked_by

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Return all reasons for the refusal."""
        return self.blocked_by


class UnverifiedError(UmsError):
    """Signatures were looked at and are missing, wrong or too few."""


class IntegrityError(UmsError):
    """Bytes do not match the digest or size that was promised."""


class TooManyRequestsError(UmsError):
    """Whoever asks does so too often.

    Attributes:
        retry_after: after how long the same call is let in; nothing where that is not known.

    """

    def __init__(self, message: str, *, hint: str = "", retry_after: timedelta = timedelta(0)) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class UnavailableError(UmsError):
    """An outside system did not answer in time, or answered that it cannot now."""


class StorageError(UmsError):
    """The local disk refused a write."""
