"""Answers that are kept, to be given again to whoever asks twice."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer.

    Attributes:
        fingerprint: a hash of the request.
        status: 0 while there is no answer.

    """

    fingerprint: str
    status: int = 0
    body: str = ""
