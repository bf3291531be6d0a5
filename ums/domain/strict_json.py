"""The one reader of JSON that others wrote: a document has one reading, here and in Go, or it is rejected.

Go's ``encoding/json``, with which Flux reads, matches member names without regard to case (Unicode simple folding:
U+017F is an s, U+212A a k) and takes the last of several; Python takes the exact name. A document that both accept with
different results is a way past a signature. The rules are those of I-JSON (RFC 7493 §2: UTF-8, no surrogates, unique
names, safe integers), and stricter where Go differs from Python.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NoReturn

from ums.domain.canonical import canonical_json
from ums.domain.errors import InvalidInputError

MAX_DEPTH = 64
MAX_BYTES = 4 << 20
_SAFE_INTEGER = 2**53 - 1
_MAX_DIGITS = 17
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_SHOWN = 60


class StrictJSONError(InvalidInputError):
    """A document has no reading, more than one, or another shape than is expected of it."""


def loads(content: bytes | bytearray, *, limit: int = MAX_BYTES, floats: bool = False, go: bool = True) -> Any:  # noqa: ANN401 - any JSON
    """Return the value of a JSON document.

    Args:
        content: UTF-8 without a byte order mark; one value and nothing behind it.
        limit: bytes.
        floats: accept numbers with a fraction or an exponent, in documents that are not signed.
        go: reject what Go would read in another way; without it, names may differ in case alone and hold any
            character, and numbers are of any kind: in answers and records that Go does not read.

    Raises:
        StrictJSONError: it is none; has a member twice in one object, also in another case; a control character in a
            name; half a surrogate pair; a number that is not an integer of at most 53 bits; or is larger or deeper
            (``MAX_DEPTH``) than allowed.

    """
    if len(content) > limit:
        raise StrictJSONError(f"the document has more than {limit} bytes")
    try:
        text = bytes(content).decode()
    except UnicodeDecodeError as error:
        raise StrictJSONError(f"byte {error.start} of the document is not UTF-8") from error
    if text.startswith("\ufeff"):
        raise StrictJSONError("the document begins with a byte order mark")
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object if go else _exact_object,
            parse_int=_integer if go else int,
            parse_float=_float if floats or not go else _NotSafe,
            parse_constant=_reject_constant,
        )
    except RecursionError as error:
        raise StrictJSONError(f"the document is nested more than {MAX_DEPTH} levels deep") from error
    except ValueError as error:
        raise StrictJSONError(f"the document is not JSON: {error}") from error
    _check(value, MAX_DEPTH, "the document")
    return value


def load_canonical(content: bytes, *, limit: int = MAX_BYTES) -> Any:  # noqa: ANN401 - any JSON
    """Return the value of a document that is canonical JSON (RFC 8785), as ``canonical_json`` writes it.

    Raises:
        StrictJSONError: it is not.

    """
    value = loads(content, limit=limit)
    if canonical_json(value) != content:
        raise StrictJSONError("the document is not canonical JSON (RFC 8785)")
    return value


def fold(name: str) -> str:
    """Return what two member names have in common if Go takes them for one; coarser than Go's folding, never finer."""
    return name.casefold()


def members(
    value: object, what: str, *, required: Collection[str] = (), optional: Collection[str] = (), others: bool = False
) -> Mapping[str, Any]:
    """Return an object whose members are those expected.

    Args:
        value: as ``loads`` returned it.
        what: names the object in errors.
        required: names that must be there.
        optional: names that may be there.
        others: accept further members, unless Go takes one of them for a member that is expected.

    Raises:
        StrictJSONError: it is no object, or a member is missing or unknown; names the member.

    """
    if not isinstance(value, dict):
        raise StrictJSONError(f"{what} is not an object")
    known = {*required, *optional}
    folded = {fold(name): name for name in known}
    for name in value.keys() - known:
        if fold(name) in folded:
            raise StrictJSONError(f"{what} has member {_show(name)}, which Go reads as {folded[fold(name)]!r}")
        if not others:
            raise StrictJSONError(f"{what} has an unknown member {_show(name)}")
    require(value, what, required)
    return value


def shaped(value: Any, shape: Any, what: str) -> Any:  # noqa: ANN401 - any JSON value, any shape
    """Return a value that has a shape.

    Args:
        value: as ``loads`` returned it.
        shape: a type or several; of an object, the shapes of all members that it may have; of an array, a list with
            the shape of its items.
        what: names the value in errors.

    Raises:
        StrictJSONError: it has another; names the member.

    """
    if isinstance(shape, dict):
        for name, item in members(value, what, optional=shape).items():
            shaped(item, shape[name], f"member {_show(name)} of {what}")
    elif isinstance(shape, list):
        for item in array(value, what):
            shaped(item, shape[0], what)
    elif not isinstance(value, shape) or isinstance(value, bool):
        raise StrictJSONError(f"{what} is of another type")
    return value


def require(members: Mapping[str, Any], what: str, names: Iterable[str]) -> None:
    """Check that members are there.

    Raises:
        StrictJSONError: one is not; names it.

    """
    missing = [name for name in names if name not in members]
    if missing:
        raise StrictJSONError(f"{what} lacks member {missing[0]!r}")


def text(value: object, what: str, *, pattern: re.Pattern[str] | None = None) -> str:
    """Return a string, which matches a pattern as a whole if one is given.

    Raises:
        StrictJSONError: it is another value.

    """
    if not isinstance(value, str):
        raise StrictJSONError(f"{what} is not a string")
    if pattern is not None and not pattern.fullmatch(value):
        raise StrictJSONError(f"{what} is not acceptable: {_show(value)}")
    return value


def integer(value: object, what: str, *, minimum: int = 0, maximum: int = _SAFE_INTEGER) -> int:
    """Return an integer within bounds.

    Raises:
        StrictJSONError: it is another value; ``true`` is none.

    """
    if type(value) is not int or not minimum <= value <= maximum:
        raise StrictJSONError(f"{what} is not an integer from {minimum} to {maximum}")
    return value


def boolean(value: object, what: str) -> bool:
    """Return a boolean.

    Raises:
        StrictJSONError: it is another value.

    """
    if not isinstance(value, bool):
        raise StrictJSONError(f"{what} is neither true nor false")
    return value


def array(value: object, what: str) -> list[Any]:
    """Return an array.

    Raises:
        StrictJSONError: it is another value.

    """
    if not isinstance(value, list):
        raise StrictJSONError(f"{what} is not an array")
    return value


def texts(value: object, what: str, *, pattern: re.Pattern[str] | None = None) -> list[str]:
    """Return an array of strings, each of which matches a pattern as a whole if one is given.

    Raises:
        StrictJSONError: it is another value.

    """
    return [text(item, what, pattern=pattern) for item in array(value, what)]


def strings(value: object, what: str) -> dict[str, str]:
    """Return an object whose members are all strings, of any content.

    Raises:
        StrictJSONError: it is no object, or a member is another value; names the member.

    """
    if not isinstance(value, dict):
        raise StrictJSONError(f"{what} is not an object")
    for name, item in value.items():
        if not isinstance(item, str):
            raise StrictJSONError(f"{what}: member {_show(name)} is not a string")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, str] = {}
    for count, (name, _) in enumerate(pairs):
        if _CONTROL.search(name) or _SURROGATE.search(name):
            raise StrictJSONError(f"member name {_show(name)} has a control character or half a surrogate pair")
        other = seen.setdefault(fold(name), name)
        if len(seen) == count:
            raise StrictJSONError(f"members {_show(other)} and {_show(name)} of one object are the same to Go")
    return dict(pairs)


def _exact_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise StrictJSONError(f"member {_show(name)} occurs twice in one object")
        found[name] = value
    return found


class _NotSafe(str):
    """A number that is not an integer of at most 53 bits, as written, until it is known which member it is."""

    __slots__ = ()


def _integer(digits: str) -> int | _NotSafe:
    if digits == "-0" or len(digits) > _MAX_DIGITS or abs(int(digits)) > _SAFE_INTEGER:
        return _NotSafe(digits)
    return int(digits)


def _float(digits: str) -> float | _NotSafe:
    value = float(digits)
    return value if math.isfinite(value) else _NotSafe(digits)


def _reject_constant(name: str) -> NoReturn:
    raise StrictJSONError(f"{name} is not JSON")


def _check(value: object, levels: int, where: str) -> None:
    """Check depth, numbers and strings; names were checked where their object was read."""
    if levels < 0:
        raise StrictJSONError(f"the document is nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, _NotSafe):
        raise StrictJSONError(f"{where} has number {value:.20}, which is not an integer of at most 53 bits")
    if isinstance(value, str):
        if _SURROGATE.search(value):
            raise StrictJSONError(f"{where} has half a surrogate pair: {_show(value)}")
    elif isinstance(value, dict):
        for name, item in value.items():
            _check(item, levels - 1, f"member {_show(name)}")
    elif isinstance(value, list):
        for item in value:
            _check(item, levels - 1, where)


def _show(name: str) -> str:
    return ascii(name[:_SHOWN])
