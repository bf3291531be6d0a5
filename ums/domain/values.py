"""Helm values that a registration adds to a data plane's charts: what they may be, and the one text they have.

They are data to everybody on the way: nothing in them is ever interpreted but by the chart. Which of them are due is
``tailoring``'s to say.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, TypeAlias

from ums.domain.errors import InvalidInputError
from ums.domain.names import check_name

MAX_VALUES_BYTES = 64 * 1024
"""Of one data plane, as JSON: they stand in its registration, in its state, and in its HelmReleases."""
MAX_VALUES_DEPTH = 50
_MAX_INTEGER = 2**53
"""Beyond it Helm, which reads numbers as floats, changes digits."""

Values = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""By bundle and component, what Helm calls values."""


def check_values(values: Values) -> None:
    """Check that a data plane may have these values.

    Raises:
        InvalidInputError: they are not by bundle and component, more than ``MAX_VALUES_BYTES``, or hold what does not
            reach a chart as it is.

    """
    size = 0
    for bundle, components in values.items():
        check_name(bundle, "bundle name")
        _check_mapping(components, bundle)
        for component, given in components.items():
            check_name(component, "component name")
            _check_mapping(given, f"{bundle}.{component}")
            _check(given, f"{bundle}.{component}", 0)
            size += len(values_text(given))
    if size > MAX_VALUES_BYTES:
        raise InvalidInputError(
            f"the values have {size:,} bytes as JSON, more than {MAX_VALUES_BYTES:,}",
            hint="put what is large into a ConfigMap that the cluster's owner keeps: ums-values-<bundle>-<component>",
        )


def values_text(values: Mapping[str, Any]) -> str:
    """Return values as JSON, in ASCII, always the same for the same values; empty if there are none."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False) if values else ""


def _check_mapping(value: object, path: str) -> None:
    if not isinstance(value, Mapping):
        raise InvalidInputError(
            f"values.{path} is no mapping", hint="values are by bundle and component: {platform: {cilium: {…}}}"
        )


_Path: TypeAlias = "tuple[_Path, str | int] | str"
"""Where a value stands: its parent's place and its own key. Put into words only for an error."""


def _words(path: _Path) -> str:
    keys: list[str] = []
    while not isinstance(path, str):
        path, key = path
        keys.append(f"[{key}]" if isinstance(key, int) else f".{key}")
    return f"values.{path}{''.join(reversed(keys)):.120}"


def _check(value: object, path: _Path, depth: int) -> None:
    if depth > MAX_VALUES_DEPTH:
        raise InvalidInputError(f"{_words(path)} is nested more than {MAX_VALUES_DEPTH} deep")
    match value:
        case None | bool() | str() | int() | float():  # before mappings: to ask for an abstract class takes long
            _check_scalar(value, path)
        case Mapping():
            for key, each in value.items():
                if not isinstance(key, str):
                    raise InvalidInputError(f"{_words(path)} has a key that is no text: {key!r:.40}")
                _check_scalar(key, path)
                _check(each, (path, key), depth + 1)
        case list() | tuple():
            for number, each in enumerate(value):
                _check(each, (path, number), depth + 1)
        case _:
            raise InvalidInputError(f"{_words(path)} is a {type(value).__name__}, which JSON does not have")


def _check_scalar(value: object, path: _Path) -> None:
    match value:
        case str():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise InvalidInputError(f"{_words(path)} holds half a surrogate pair") from error
        case int() if abs(value) > _MAX_INTEGER:
            raise InvalidInputError(
                f"{_words(path)} is a whole number that Helm would round", hint="write it as text, in quotes"
            )
        case float() if not math.isfinite(value):
            raise InvalidInputError(f"{_words(path)} is no number that JSON has")
