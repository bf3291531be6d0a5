"""JSON documents changed at random, also in ways that no serializer writes: for readers that must agree on them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

EVIL_DIGEST = f"sha256:{'e' * 64}"
_EVIL = {"mediaType": "text/x-evil", "digest": EVIL_DIGEST, "size": 4}
_FOLDS = {"s": "\u017f", "S": "\u017f", "k": "\u212a", "K": "\u212a"}
_NUMBERS = (
    *("1e2", "1.0", "-0", "-1", "0", "7", "007", "0x10", "1E0", "1e-1", "+1", "1.", ".5", "1e999", "-0.0", "2e0"),
    *(
        "9007199254740992",
        "9007199254740993",
        "9223372036854775807",
        "9223372036854775808",
        "1" * 40,
        "NaN",
        "Infinity",
    ),
)
_WRONG = ("null", "true", "false", "[]", "{}", '""', '"x"', "[null]", "[[]]", '{"a":{}}', "[{}]", '"7"')
_STRINGS = (
    *(b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\ud83d\\ude00"', b'"\\u0000"', b'"a\x00b"', b'"a\nb"', b'"\xff"'),
    *(b'"\xc0\xaf"', b'"\xed\xa0\x80"', b'"\\/"', b'"\\x"', b"'x'", b'"\xf0\x9f\x98\x80"', b'"\\u00e4"', b'"\\uD83D"'),
)
_BEFORE = (b"\xef\xbb\xbf", b" ", b"\n\t", b"\xc2\xa0", b"\x00", b"//x\n", b",", b"[", b"\xfe\xff", b"\x0c")
_BEHIND = (
    b"{}",
    b" ",
    b"\n",
    b"\x00",
    b",",
    b"}",
    b"null",
    b"garbage",
    b"\xff",
    b'{"layers":[]}',
    b"\xc2\xa0",
    b"\x1a",
)
_NAMES = (
    *("layers", "config", "manifests", "subject", "annotations", "artifactType", "mediaType", "schemaVersion"),
    *("digest", "size", "data", "urls", "platform", "fsLayers", "history", "comment", "x"),
)


@dataclass
class Raw:
    """Bytes that stand where a value or a name stands."""

    content: bytes


@dataclass
class Members:
    """An object as a list, so that a name may occur twice."""

    pairs: list[tuple[Raw, Any]]


def mutated(documents: list[bytes], seed: int, count: int) -> list[bytes]:
    """Return documents made of those given by nought to three changes each; equal seeds give equal documents."""
    chance = random.Random(seed)  # noqa: S311 - for tests
    return [_document(chance, chance.choice(documents)) for _ in range(count)]


def _document(chance: random.Random, document: bytes) -> bytes:
    root = _parsed(json.loads(document))
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3))):
        chance.choice(_CHANGES)(chance, root)
    text = _written(root, chance if chance.random() < 0.2 else None)
    if chance.random() < 0.06:
        text = chance.choice(_BEFORE) + text
    if chance.random() < 0.06:
        text += chance.choice(_BEHIND)
    if chance.random() < 0.02:
        at = chance.randrange(len(text))
        text = text[:at] + bytes([chance.randrange(256)]) + text[at + 1 :]
    if chance.random() < 0.01:
        text = text[: chance.randrange(len(text))]
    return text


def _parsed(value: object) -> Any:  # noqa: ANN401 - a tree of the three classes
    if isinstance(value, dict):
        return Members([(_name(name), _parsed(item)) for name, item in value.items()])
    if isinstance(value, list):
        return [_parsed(item) for item in value]
    return Raw(json.dumps(value).encode())


def _name(text: str) -> Raw:
    return Raw(json.dumps(text, ensure_ascii=False).encode())


def _written(value: Any, space: random.Random | None) -> bytes:  # noqa: ANN401 - as above
    gap = space.choice((b"", b" ", b"\n", b"\t\r")) if space else b""
    if isinstance(value, Members):
        items = [name.content + gap + b":" + gap + _written(item, space) for name, item in value.pairs]
        return b"{" + gap + (gap + b"," + gap).join(items) + gap + b"}"
    if isinstance(value, list):
        return b"[" + gap + (b"," + gap).join(_written(item, space) for item in value) + gap + b"]"
    return bytes(value.content)


def _objects(value: Any) -> list[Members]:  # noqa: ANN401 - as above
    if isinstance(value, Members):
        return [value, *(found for _, item in value.pairs for found in _objects(item))]
    return [found for item in value for found in _objects(item)] if isinstance(value, list) else []


def _object(chance: random.Random, root: Any) -> Members:  # noqa: ANN401 - as above
    """Return the whole document, or any object in it."""
    found = _objects(root)
    return found[0] if chance.random() < 0.4 else chance.choice(found)


def _member(chance: random.Random, members: Members) -> int:
    if not members.pairs:
        members.pairs.append((_name("x"), Raw(b"1")))
    return chance.randrange(len(members.pairs))


def _other_value(chance: random.Random, name: Raw) -> Any:  # noqa: ANN401 - as above
    """Return what an attacker would put under a name, or anything."""
    if chance.random() < 0.2:
        return Raw(chance.choice(_WRONG).encode())
    evil: dict[str, object] = {
        "layers": [_EVIL], "manifests": [_EVIL], "config": _EVIL, "subject": _EVIL, "digest": EVIL_DIGEST, "size": 4,
        "annotations": {"evil": "yes"}, "urls": ["https://evil.example.com/x"], "data": "ZXZpbA==",
        "platform": {"os": "evil", "architecture": "x"}, "schemaVersion": 2,
    }  # fmt: skip
    text = name.content.decode(errors="replace").strip('"').casefold()
    return _parsed({name.casefold(): value for name, value in evil.items()}.get(text, "text/x-evil"))


def _variant(chance: random.Random, name: Raw) -> Raw:
    """Return a name that Go takes for the same, or the same name spelled with escapes."""
    characters = list(json.loads(name.content))
    for at in range(len(characters)):
        if chance.random() < 0.3:
            character = characters[at]
            choices = (character.upper(), character.lower(), _FOLDS.get(character, character))
            characters[at] = chance.choice(choices)
    text = json.dumps("".join(characters), ensure_ascii=chance.random() < 0.5).encode()
    if chance.random() < 0.3 and characters and text[1:2] != b"\\":
        text = b'"' + f"\\u{ord(characters[0]):04x}".encode() + text[len(characters[0].encode()) + 1 :]
    return Raw(text)


def _readable(name: Raw) -> bool:
    """Return whether a name can be spelled in another way."""
    try:
        json.loads(name.content).encode()
    except ValueError:
        return False
    return True


def _add_variant(chance: random.Random, root: Any) -> None:  # noqa: ANN401 - as above
    members = _object(chance, root)
    name, _ = members.pairs[_member(chance, members)]
    if _readable(name):
        pair = (_variant(chance, name), _other_value(chance, name))
        members.pairs.insert(chance.choice((0, len(members.pairs))), pair)


def _repeat(chance: random.Random, root: Any) -> None:  # noqa: ANN401 - as above
    members = _object(chance, root)
    name, value = members.pairs[_member(chance, members)]
    value = value if chance.random() < 0.2 else _other_value(chance, name)
    members.pairs.insert(chance.choice((0, len(members.pairs))), (name, value))


def _rename(chance: random.Random, root: Any) -> None:  # noqa: ANN401 - as above
    members = _object(chance, root)
    at = _member(chance, members)
    name, value = members.pairs[at]
    if _readable(name):
        members.pairs[at] = (_variant(chance, name), value)


def _remove(chance: random.Random, root: Any) -> None:  # noqa: ANN401 - as above
    members = _object(chance, root)
    del members.pairs[_member(chance, members)]


def _shuffle(chance: random.Random, root: Any) -> None:  # noqa: ANN401 - as above
    chance.shuffle(_object(chance, root).pairs)


def _set(values: Callable[[random.Random], Raw]) -> Callable[[random.Random, Any], None]:
    def change(chance: random.Random, root: Any) -> None:  # noqa: ANN401 - as above
        members = _object(chance, root)
        at = _member(chance, members)
        members.pairs[at] = (members.pairs[at][0], values(chance))

    return change


def _set_number(chance: random.Random, root: Any) -> None:  # noqa: ANN401 - as above
    members = _object(chance, root)
    numbers = [at for at, (name, _) in enumerate(members.pairs) if name.content in {b'"size"', b'"schemaVersion"'}]
    at = chance.choice(numbers) if numbers else _member(chance, members)
    members.pairs[at] = (members.pairs[at][0], Raw(chance.choice(_NUMBERS).encode()))


def _add_known(chance: random.Random, root: Any) -> None:  # noqa: ANN401 - as above
    name = _name(chance.choice(_NAMES))
    members = _object(chance, root)
    members.pairs.insert(chance.randint(0, len(members.pairs)), (name, _other_value(chance, name)))


def _add_odd_name(chance: random.Random, root: Any) -> None:  # noqa: ANN401 - as above
    _object(chance, root).pairs.append((Raw(chance.choice(_STRINGS)), Raw(b"1")))


def _add_depth(chance: random.Random, root: Any) -> None:  # noqa: ANN401 - as above
    depth = chance.choice((5, 60, 70, 900, 9_990, 10_010))
    _object(chance, root).pairs.append((_name("x"), Raw(b"[" * depth + b"]" * depth)))


def _repeat_in_annotations(chance: random.Random, root: Any) -> None:  # noqa: ANN401 - as above
    value = chance.choice((b"null", b"1", b'"a"', b"{}", b'"\\ud800"'))
    pairs = [(_name("key"), Raw(b'"b"')), (_name(chance.choice(("key", "Key", "\u212aey", "other"))), Raw(value))]
    root.pairs.append((_name("annotations"), Members(pairs)))


_CHANGES: tuple[Callable[[random.Random, Any], None], ...] = (
    *(_add_variant, _add_variant, _add_variant, _repeat, _repeat, _rename, _remove, _shuffle, _shuffle),
    *(_set_number, _add_known, _add_known, _add_odd_name, _add_depth, _repeat_in_annotations),
    _set(lambda chance: Raw(chance.choice(_WRONG).encode())),
    _set(lambda chance: Raw(chance.choice(_STRINGS))),
)
