"""Canonical JSON (RFC 8785) for the values that UMS signs: no floats, so numbers print as integers."""

from __future__ import annotations

import json
from typing import Any

from ums.domain.errors import InvalidInputError


def canonical_json(value: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """Return ``value`` as RFC 8785 bytes.

    Raises:
        InvalidInputError: a float, a key that is no string, text that is no Unicode, or a type that JSON lacks.

    """
    try:
        return json.dumps(
            _ordered(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False, check_circular=False
        ).encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            f"half a surrogate pair cannot stand in canonical JSON: {error.object!r:.60}"
        ) from error


def _ordered(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    match value:
        case str() | bool() | int() | None:
            return value
        case dict():
            if not all(isinstance(key, str) for key in value):
                raise InvalidInputError("canonical JSON has string keys only")
            # RFC 8785 §3.2.3: order by UTF-16 code units, which differs from code points above U+FFFF.
            return {key: _ordered(value[key]) for key in sorted(value, key=lambda key: key.encode("utf-16-be"))}
        case list() | tuple():
            return [_ordered(item) for item in value]
        case _:
            raise InvalidInputError(f"{type(value).__name__} cannot stand in canonical JSON")
