"""Kubernetes objects as YAML: read only where every reader reads the same, and written so that every reader does.

What UMS checks here is applied by others: by kustomize-controller, which reads with kyaml, and by Helm and
helm-controller, which use sigs.k8s.io/yaml and kyaml. They differ from PyYAML, and from each other:

- kyaml, Helm and Kubernetes cut a stream at each line that begins with ``---``, before any of it is parsed as YAML;
- kyaml takes one document of each piece and leaves out the rest;
- ``yes``, ``on`` and ``y`` are text to kyaml and booleans to sigs.k8s.io/yaml; dates are times to kyaml alone;
- PyYAML decodes ``!!binary``, the others do not; where a key overrides a merged one depends on the reader.

Whatever they read differently is refused, with file and line. An alias, a comment or a folded text, which they read
alike, is not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from ums.adapters._yaml import MAX_ALIASES, MAX_BYTES, MAX_DEPTH
from ums.domain.errors import SpecError

MAX_NODES = 1_000_000
"""Most values of one file, aliases written out."""
MAX_KEY = 1000
"""Longest key as JSON, in characters: YAML readers look for its colon within 1,024."""

_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_SEPARATOR = re.compile(r"---(?:[ \t]+(?:#.*)?)?")
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""Characters that YAML forbids, or takes for the end of a line where others do not; ``\\r\\n`` was replaced before."""
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""Those that JSON leaves as they are, and YAML does not allow, or folds."""

_NULL = re.compile(r"|~|null|Null|NULL")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_OCTAL = re.compile(r"[-+]?0[0-7]+")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[eE][-+]?[0-9]+)?")
_DIFFERS = re.compile(
    r"y|Y|yes|Yes|YES|n|N|no|No|NO|on|On|ON|off|Off|OFF"  # text to kyaml and to YAML 1.2, booleans to others
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"  # nothing that JSON has
    r"|[-+]?0(?:[bB][01]+|[oO][0-7]+|[xX][0-9a-fA-F]+)|[-+]?0[0-9]*[89][0-9]*"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:(?:[Tt]|[ \t]+)[0-9].*)?"  # kyaml writes a time of day behind a date
)
_PLAIN_KEY = re.compile(r"0|-?[1-9][0-9]*|true|false")
"""Keys that are not text, and that all readers turn into this text."""
_LISTS, _OF_A_LIST = {"List", "ResourceList"}, {"apiVersion", "kind", "metadata", "items"}
"""What kyaml takes apart wherever it reads, and what it does not act on there."""
_INT64 = range(-(2**63), 2**63)


def read_objects(content: bytes, file: str, *, max_bytes: int = MAX_BYTES) -> list[dict[str, Any]]:
    """Return the objects in a stream of YAML documents, empty documents left out and lists taken apart.

    Raises:
        SpecError: names the line of what is not YAML, is too large or too deep, is no mapping, or would be read
            differently by Flux, Helm or Kubernetes.

    """
    objects: list[dict[str, Any]] = []
    reader = _Reader(file)
    for line, part in _parts(content, file, max_bytes):
        value = reader.read(part, line)
        if value is None or value == {}:
            continue
        if not isinstance(value, dict):
            raise SpecError("this document is not a mapping", file=file, line=line)
        objects += _items(value, file, line)
    return objects


def write_objects(objects: Sequence[Mapping[str, Any]]) -> bytes:
    """Return objects as YAML documents in the form of JSON, always the same for the same objects.

    Text is in quotes and one line, so that nothing in it is taken for a separator, another type or a key.
    """
    return "---\n".join(f"{_json(each)}\n" for each in objects).encode()


def _json(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _depth(value: object) -> int:
    if isinstance(value, dict | list):
        return 1 + max(map(_depth, value.values() if isinstance(value, dict) else value), default=0)
    return 0


def _items(value: dict[str, Any], file: str, line: int) -> Iterator[dict[str, Any]]:
    """Yield the objects of a list, as kustomize does: what they are in does not reach the cluster."""
    kind = str(value.get("kind"))
    if kind in _LISTS and not value.keys() <= _OF_A_LIST:
        raise SpecError(f"a {kind} has apiVersion, kind, metadata and items only", file=file, line=line)
    if not kind.endswith("List") or "items" not in value:
        yield value
        return
    items = value["items"] or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise SpecError("this list has an item that is not a Kubernetes object", file=file, line=line)
    for item in items:
        yield from _items(item, file, line)


def _parts(content: bytes, file: str, max_bytes: int) -> Iterator[tuple[int, str]]:
    """Yield the pieces between lines that begin with ``---``, each with the line that it begins on."""
    if len(content) > max_bytes:
        raise SpecError(f"the file has {len(content):,} bytes, more than {max_bytes:,}", file=file)
    try:
        text = content.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise SpecError(f"not UTF-8: {error.reason}", file=file, hint="save the file as UTF-8") from error
    if (unsafe := _UNSAFE.search(text)) is not None:
        raise SpecError(
            f"the character U+{ord(unsafe[0]):04X} ends a line to some readers only, or is no YAML",
            file=file,
            line=text.count("\n", 0, unsafe.start()) + 1,
            hint=f'write it as "\\u{ord(unsafe[0]):04x}" in double quotes, or remove it',
        )
    start, lines = 0, text.split("\n")
    for number, line in enumerate(lines):
        if line.startswith("%"):
            raise SpecError("directives are not accepted", file=file, line=number + 1, hint="remove the line")
        if not line.startswith("---"):
            continue
        if _SEPARATOR.fullmatch(line) is None:
            raise SpecError(
                "Flux and Helm begin another document at this line, YAML does not",
                file=file,
                line=number + 1,
                hint="put nothing but a comment behind ---, and indent other lines that begin with it",
            )
        yield start + 1, "\n".join([*lines[start:number], ""])
        start = number + 1
    yield start + 1, "\n".join(lines[start:])


@dataclass
class _Reader:
    """Builds the values of one file from the parser's events.

    Attributes:
        nodes: how many values there are so far, aliases written out.

    """

    file: str
    nodes: int = 0
    aliases: int = 0
    _line: int = 1
    _flow: int = 0
    _anchors: dict[str, tuple[Any, int, int]] = field(default_factory=dict)  # value, values in it, depth
    _next: Callable[[], Any] = field(init=False)

    def read(self, part: str, line: int) -> Any:  # noqa: ANN401 - any YAML value
        """Return the one document in ``part``, or ``None`` where there is none.

        Raises:
            SpecError: it is no YAML, or is more than one document.

        """
        self._line, self._flow, self._anchors = line, 0, {}
        loader: Any = _Loader(part)
        self._next = loader.get_event
        try:
            self._next()  # the start of the stream
            event = self._next()
            if isinstance(event, yaml.StreamEndEvent):
                return None
            value = self._value(self._next(), 0)
            self._next()  # the end of the document
            if not isinstance(event := self._next(), yaml.StreamEndEvent):
                raise self._error(event, "another document begins here without a line of ---", "add one before it")
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            problem = getattr(error, "problem", None) or str(error)
            found = mark.line + line if mark else 0
            raise SpecError(f"not YAML: {problem}", file=self.file, line=found) from error
        finally:
            loader.dispose()
        return value

    def _value(self, event: Any, depth: int) -> Any:  # noqa: ANN401 - any event, any YAML value
        if depth > MAX_DEPTH:
            raise self._error(event, f"nested more than {MAX_DEPTH} deep")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth)
        if event.tag is not None:
            raise self._error(event, f"readers of YAML differ on tags such as {event.tag}", "remove the tag")
        before = self.nodes
        value: Any
        self._count(event, 1)
        if isinstance(event, yaml.ScalarEvent):
            if self._flow and event.implicit[0] and not event.value:
                raise self._error(event, "readers of YAML differ on an omitted value", "write null or a value")
            value = self._scalar(event)
        else:
            self._flow += bool(event.flow_style)
            value = self._sequence(depth) if isinstance(event, yaml.SequenceStartEvent) else self._mapping(depth)
            self._flow -= bool(event.flow_style)
        if event.anchor is not None:
            if event.anchor in self._anchors:
                raise self._error(event, f"the anchor {event.anchor} is defined twice", "rename one of them")
            self._anchors[event.anchor] = value, self.nodes - before, _depth(value)
        return value

    def _alias(self, event: yaml.AliasEvent, depth: int) -> Any:  # noqa: ANN401 - any YAML value
        if event.anchor not in self._anchors:
            raise self._error(event, f"the alias {event.anchor} refers to nothing that is complete before it")
        value, nodes, inner = self._anchors[event.anchor]
        self.aliases += 1
        if self.aliases > MAX_ALIASES:
            raise self._error(event, f"more than {MAX_ALIASES} aliases", "write it out")
        self._count(event, nodes)
        if depth + inner > MAX_DEPTH:
            raise self._error(event, f"nested more than {MAX_DEPTH} deep")
        return value

    def _count(self, event: yaml.Event, nodes: int) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            raise self._error(event, f"more than {MAX_NODES:,} values")

    def _sequence(self, depth: int) -> list[Any]:
        sequence: list[Any] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            sequence.append(self._value(event, depth + 1))
        return sequence

    def _mapping(self, depth: int) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        merged: set[str] = set()
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            self._count(event, 1)
            if not isinstance(event, yaml.ScalarEvent) or event.tag is not None or event.anchor is not None:
                raise self._error(event, "a key is not plain text", "write plain text")
            if event.value == "<<":
                merged |= self._merge(mapping, event, depth)
                continue
            key = self._key(event)
            if key in mapping and key not in merged:
                raise self._twice(event, key)
            merged.discard(key)
            mapping[key] = self._value(self._next(), depth + 1)
        return mapping

    def _merge(self, mapping: dict[str, Any], event: yaml.ScalarEvent, depth: int) -> set[str]:
        """Merge into a mapping, and return the new keys.

        Readers agree that a key after the merge replaces a merged one. They differ where it stands before it.
        """
        if not event.implicit[0]:
            raise self._error(event, "the key << is a merge to some readers and text to others", "rename it")
        value = self._value(self._next(), depth + 1)
        merged: set[str] = set()
        for each in value if isinstance(value, list) else [value]:
            if not isinstance(each, dict):
                raise self._error(event, "<< merges mappings only")
            for key in each:
                if key in mapping:
                    raise self._twice(event, key)
            mapping.update(each)
            merged.update(each)
        return merged

    def _key(self, event: yaml.ScalarEvent) -> str:
        text, value = str(event.value), self._scalar(event)
        if not isinstance(value, str) and not _PLAIN_KEY.fullmatch(text):
            raise self._error(event, f"readers of YAML differ on the key {text or '(empty)'}", "put it in quotes")
        if len(_json(text)) > MAX_KEY:
            raise self._error(event, f"this key is longer than {MAX_KEY} characters")
        return text

    def _scalar(self, event: yaml.ScalarEvent) -> str | bool | int | float | None:
        text = str(event.value)
        if "\x85" in text:
            raise self._error(event, "kustomize makes the character U+0085 a space", "remove it")
        if not event.implicit[0]:
            return text
        if _NULL.fullmatch(text):
            return None
        if _BOOL.fullmatch(text):
            return text.lower() == "true"
        number = text.replace("_", "")
        if _DIFFERS.fullmatch(number) or (number != text and _FLOAT.fullmatch(number)):
            raise self._error(
                event, f"readers of YAML differ on {text}", "put text in quotes; write true, false or a decimal number"
            )
        if _INT.fullmatch(text) or _OCTAL.fullmatch(text):
            return self._int(event, text)
        if _FLOAT.fullmatch(text):
            return self._float(event, text)
        return text

    def _int(self, event: yaml.ScalarEvent, text: str) -> int:
        value = int(text, 8 if _OCTAL.fullmatch(text) else 10) if len(text) <= len(str(-(2**63))) + 2 else 2**63
        if value not in _INT64:
            raise self._error(event, f"{text:.40} does not fit 64 bits", "put it in quotes")
        return value

    def _float(self, event: yaml.ScalarEvent, text: str) -> float:
        value = float(text)
        if abs(value) == float("inf"):
            raise self._error(event, f"{text:.40} is larger than any number", "put it in quotes")
        return value

    def _twice(self, event: yaml.Event, key: str) -> SpecError:
        return self._error(event, f"duplicate key {key}", "delete one of the two")

    def _error(self, event: yaml.Event, message: str, hint: str = "") -> SpecError:
        line = event.start_mark.line + self._line if event.start_mark else 0
        return SpecError(message, file=self.file, line=line, hint=hint)
