"""YAML as UMS reads and writes it: the safe loader with limits, errors that name file, line and field.

Shared by the adapters that read files; it knows no file of UMS.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, ClassVar, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from ums.domain.budget import Budget, BudgetError
from ums.domain.errors import InvalidInputError, SpecError
from ums.domain.instants import parse_duration
from ums.domain.names import MAX_NAME_LENGTH, NAME_PATTERN
from ums.domain.text import FOR_PROGRAMS, MULTI_LINE, check_plain

MAX_BYTES = 1 << 20
MAX_DEPTH = 100
MAX_ALIASES = 50
_BYTES_PER_NODE = 8
"""A file may have a node for so many bytes that it may have, aliases counted as what they stand for."""

_SafeLoader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SafeDumper: type[yaml.SafeDumper] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_Path = tuple[str | int, ...]

_PATH = re.compile(r"(?:\./)?[a-z0-9][A-Za-z0-9.+-]*(?:/[A-Za-z0-9.+-]+)+")
"""No reader takes text with a slash for anything else, so it is written as it is."""
_QUOTED = re.compile(r"[1-9][0-9]*|\{\"[^']*\}")
"""A number, or a JSON object: to every reader something else than text, unless it stands in quotes."""
_ONE_WORD = re.compile(r"[!-~]{1,65536}")
"""Text that is written alike wherever in a document it stands: nothing to fold, nothing to indent."""

# What a plain scalar is to the Go readers of Kubernetes and Helm (seen on Helm 4.2). PyYAML knows other rules: to it,
# 1e3 and y are text, 22:22 is a number and 2026-12-01 a date. Of those that match, the first counts.
_GO_SCALARS = (
    ("bool", r"y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF", "yYnNtTfFoO"),
    ("int", r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+0123456789.",
    ),
    ("merge", "<<", "<"),
    ("null", "~|null|Null|NULL|", "~nN\0"),
)


_TAGS = frozenset({None, "!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:binary"})
"""Tags that a scalar may have written out."""


class _Loader(_SafeLoader):  # type: ignore[valid-type, misc]  # chosen at import
    """Reads as Go does."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}
    bool_values: ClassVar[dict[str, bool]] = {**_SafeLoader.bool_values, "y": True, "n": False}


class _Dumper(_SafeDumper):  # type: ignore[valid-type, misc]  # chosen at import
    """Writes so that PyYAML and Go read the same: text that either takes for something else is quoted."""

    def ignore_aliases(self, data: object) -> bool:
        return True


for _tag, _pattern, _first in _GO_SCALARS:
    for _class in (_Loader, _Dumper):
        _characters = [character.strip("\0") for character in _first]
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})\\Z"), _characters)


class StrictModel(BaseModel):
    """A mapping that people write: camelCase keys, and an unknown one is a typo."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True, hide_input_in_errors=True
    )


def parsed_by(parse: Callable[[str], object]) -> BeforeValidator:
    """Return a check that text can be parsed, as pydantic wants it."""

    def check(value: object) -> object:
        if not isinstance(value, str):
            raise ValueError("text was expected")  # noqa: TRY004 - pydantic reports ValueError
        try:
            parse(value)
        except InvalidInputError as error:
            raise ValueError(f"{error.message}; {error.hint}" if error.hint else error.message) from error
        return value

    return BeforeValidator(check)


Name = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$", max_length=MAX_NAME_LENGTH)]
Duration = Annotated[str, parsed_by(parse_duration), Field(description="A span of time: 30s, 5m, 7d or P7D.")]


Model = TypeVar("Model", bound=BaseModel)


def load(content: bytes, file: str) -> Any:  # noqa: ANN401 - any YAML value
    """Return the one document in ``content``.

    Raises:
        SpecError: it is no YAML, too large, too deep, or has a key twice.

    """
    documents = _documents(content, file)
    if len(documents) > 1:
        raise SpecError("one document was expected, there are more", file=file, hint="remove the lines with ---")
    return documents[0][0] if documents else None


def validate(model: type[Model], content: bytes, file: str, *, max_bytes: int = MAX_BYTES) -> Model:
    """Return the document as ``model``: one that people write, whose words others read.

    Raises:
        SpecError: names the line and field of the first problem, and what was expected there.

    """
    documents = _documents(content, file, max_bytes, shown=True)
    if len(documents) != 1 or not isinstance(documents[0][0], dict):
        raise SpecError("one mapping was expected", file=file, line=1)
    value, lines = documents[0]
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _spec_error(error, model, lines, file) from error


def load_with_lines(content: bytes, file: str) -> tuple[dict[str, Any], Mapping[_Path, int]]:
    """Return the one mapping in ``content``, or an empty one where there is nothing, and the line of each field.

    Raises:
        SpecError: it is no mapping.

    """
    documents = [each for each in _documents(content, file) if each[0] is not None]
    if not documents:
        return {}, {}
    value, lines = documents[0]
    if len(documents) > 1 or not isinstance(value, dict):
        raise SpecError("one mapping was expected", file=file, line=1)
    return value, lines


def check(model: type[Model], value: object, *, reference: str) -> tuple[Model | None, list[tuple[SpecError, _Path]]]:
    """Return a value as ``model``, or everything that is wrong with it, each with the path of its field.

    ``reference`` says where the fields are explained.
    """
    try:
        return model.model_validate(value), []
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        return None, [(_problem(each, model, {}, "", reference=reference), _known_path(each)) for each in problems]


def dump(data: Mapping[str, Any]) -> bytes:
    """Return a document, always the same for the same data."""
    return dump_all([data])


def dump_all(items: Iterable[Mapping[str, Any]]) -> bytes:
    """Return several documents, always the same for the same data."""
    documents = [
        yaml.dump(item, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=4096, default_flow_style=False)
        for item in items
    ]
    return "---\n".join(documents).encode()


def edit(content: bytes, fields: Mapping[str, Any], file: str) -> bytes:
    """Return a mapping with some top-level fields changed, ``None`` removed, and the text of all others as it was.

    Raises:
        SpecError: it is no mapping.

    """
    old = load(content, file) or {}
    if not isinstance(old, dict):
        raise SpecError("one mapping was expected", file=file, line=1)
    wanted = {key: value for key, value in {**old, **fields}.items() if value is not None}
    text = _edited(content.decode(), fields).encode()
    try:
        return text if load(text, file) == wanted else dump(wanted)
    except SpecError:  # an anchor went with the field that others refer to
        return dump(wanted)


def _edited(text: str, fields: Mapping[str, Any]) -> str:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    there = {key.value: (key, value) for key, value in root.value} if isinstance(root, yaml.MappingNode) else {}
    left = dict(fields)
    for name, (key, value) in reversed(there.items()):
        if name in left:
            new = left.pop(name)
            start, end = key.start_mark.index, _end(value)
            text = text[:start] + (_line(name, new) if new is not None else "") + text[end:]
            if new is None:
                text = text[:start] + text[start:].lstrip(" ").removeprefix("\n")
    added = "".join(f"{_line(name, new)}\n" for name, new in left.items() if new is not None)
    return text if not added else f"{text.rstrip()}\n{added}" if text.strip() else added


def _end(node: yaml.Node) -> int:
    """Return where the last text of a node ends; a block itself goes on to whatever comes next."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    assert node.end_mark is not None  # noqa: S101 - text was read
    return int(node.end_mark.index)


def _line(name: str, value: object) -> str:
    return yaml.dump({name: value}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=4096).rstrip("\n")


class Template:
    """A document, cut where the text of some fields stands, to be written again with another text there.

    The bytes are those of ``dump``; dumping a thousand documents that differ in their paths takes it a second.
    """

    def __init__(self, data: Mapping[str, Any], fields: Sequence[Sequence[str]]) -> None:
        for number, field in enumerate(fields):
            data = _with(data, field, f"ums/cut-here/{number}")
        pieces = re.split(rb"ums/cut-here/([0-9]+)", dump(data))
        self._data = data
        self._text, order = pieces[::2], [int(number) for number in pieces[1::2]]
        self._pattern = re.compile(rb"(.*)".join(re.escape(text) for text in self._text))
        self._fields = [fields[number] for number in order if number < len(fields)]
        self._usable = sorted(order) == list(range(len(fields)))

    def dump(self, data: Mapping[str, Any]) -> bytes:
        """Return a document that is as the template but for the fields."""
        parts = [self._text[0]]
        for field, after in zip(self._fields, self._text[1:], strict=False):
            value: Any = data
            for key in field:
                value = value[key]
            scalar = _scalar(value) if self._usable else None
            if scalar is None:
                return dump(data)
            parts += scalar, after
        return b"".join(parts) if self._usable else dump(data)

    def load(self, content: bytes) -> dict[str, Any] | None:
        """Return what ``load`` does, where the template wrote ``content``; ``None`` where it did not."""
        found = self._pattern.fullmatch(content)
        if found is None:
            return None
        data = dict(self._data)
        for field, scalar in zip(self._fields, found.groups(), strict=False):
            data = _with(data, field, scalar.decode(errors="replace").strip("'"))
        # The texts were guessed; but what is written like this is this.
        return data if self.dump(data) == content else None


def _with(data: Mapping[str, Any], path: Sequence[str], text: str) -> dict[str, Any]:
    first, *rest = path
    return {**data, first: _with(data[first], rest, text) if rest else text}


def _scalar(value: object) -> bytes | None:
    """Return how a text is written, or ``None`` where that depends on what is around it."""
    if not isinstance(value, str) or not _ONE_WORD.fullmatch(value):
        return None
    if _PATH.fullmatch(value):
        return value.encode()
    return f"'{value}'".encode() if _QUOTED.fullmatch(value) else _dumped(value)


@lru_cache(maxsize=4096)
def _dumped(text: str) -> bytes:
    return dump({"x": text}).removeprefix(b"x: ").removesuffix(b"\n")


def _documents(
    content: bytes, file: str, max_bytes: int = MAX_BYTES, *, shown: bool = False
) -> list[tuple[Any, dict[_Path, int]]]:
    if len(content) > max_bytes:
        raise SpecError(f"the file has {len(content):,} bytes, more than {max_bytes:,}", file=file)
    nodes = max_bytes // _BYTES_PER_NODE
    try:
        _check_events(content, file, Budget(nodes, "values and keys"))
        budget = Budget(nodes, "values and keys, aliases written out")
        loader = _Loader(content)
        try:
            documents = []
            while loader.check_node():
                node = loader.get_node()
                lines: dict[_Path, int] = {}
                _Walk(file, lines, budget, shown=shown).visit(node, (), 0)
                documents.append((loader.construct_document(node), lines))
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        raise SpecError(f"not YAML: {problem}", file=file, line=mark.line + 1 if mark else 0) from error
    except BudgetError as error:
        raise SpecError(error.message, file=file, hint=error.hint) from error
    # What its constructors stumble on where a tag promises something else than what stands there.
    except (ValueError, RecursionError, TypeError, AttributeError, ArithmeticError, LookupError) as error:
        raise SpecError(f"not YAML: {error}", file=file) from error
    return documents


def _check_events(content: bytes, file: str, budget: Budget) -> None:
    # Before anything recurses: the C parser's own recursion has no limit, and ends the process.
    depth = 0
    for event in yaml.parse(content, Loader=_Loader):
        budget.spend()
        if isinstance(event, yaml.ScalarEvent) and event.tag not in _TAGS:
            # The constructor of a whole number with colons takes a time that grows with the square of its length.
            line = event.start_mark.line + 1 if event.start_mark else 0
            raise SpecError(f"the tag {event.tag:.60} is not understood", file=file, line=line, hint="leave it out")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _too_deep(file, event.start_mark.line + 1 if event.start_mark else 0)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _too_deep(file: str, line: int) -> SpecError:
    return SpecError(f"nested more than {MAX_DEPTH} deep", file=file, line=line)


class _Walk:
    """Checks a node tree before anything is built of it, and notes on which line each field stands."""

    def __init__(self, file: str, lines: dict[_Path, int], budget: Budget, *, shown: bool) -> None:
        self._shown = shown
        self._file = file
        self._budget = budget
        self._lines = lines
        self._seen: set[int] = set()
        self._aliases = 0

    def visit(self, node: yaml.Node, path: _Path, depth: int) -> None:
        line = node.start_mark.line + 1
        self._budget.spend()
        self._lines.setdefault(path, line)
        if depth > MAX_DEPTH:
            raise _too_deep(self._file, line)  # aliases can nest without it showing in the text
        if isinstance(node, yaml.ScalarNode):
            if self._shown:
                self._check_plain(node.value, path, line)
            return
        if id(node) in self._seen:
            self._aliases += 1
            if self._aliases > MAX_ALIASES:
                raise SpecError(f"more than {MAX_ALIASES} aliases", file=self._file, line=line, hint="write it out")
            # An alias is visited again, so that a bomb is counted as what it would become.
        self._seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self.visit(item, (*path, index), depth + 1)
        elif isinstance(node, yaml.MappingNode):
            self._visit_mapping(node, path, depth)

    def _check_plain(self, text: str, path: _Path, line: int) -> None:
        if not FOR_PROGRAMS.isdisjoint(path):
            return
        try:
            check_plain(text, "the text", keep=f"{MULTI_LINE}\r")
        except InvalidInputError as error:
            raise SpecError(error.message, file=self._file, line=line, field=_field(path), hint=error.hint) from error

    def _visit_mapping(self, node: yaml.MappingNode, path: _Path, depth: int) -> None:
        keys: set[str] = set()
        for key, value in node.value:
            name = str(getattr(key, "value", ""))
            if name in keys:
                raise SpecError(
                    "this key stands here twice",
                    file=self._file,
                    line=key.start_mark.line + 1,
                    field=_field((*path, name)),
                    hint="delete one of the two",
                )
            keys.add(name)
            self._budget.spend()
            if self._shown:
                self._check_plain(name, path, key.start_mark.line + 1)
            self._lines[*path, name] = key.start_mark.line + 1
            self.visit(value, (*path, name), depth + 1)


def _field(path: _Path) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f"{'.' if text else ''}{part}"
    return text


def _spec_error(error: ValidationError, model: type[BaseModel], lines: dict[_Path, int], file: str) -> SpecError:
    problems = error.errors(include_url=False, include_input=False)
    # A misspelt field is missing too, and its spelling is the better advice.
    first = min(problems, key=lambda problem: problem["type"] != "extra_forbidden")
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return _problem(first, model, lines, file, more=more)


def _problem(
    problem: ErrorDetails,
    model: type[BaseModel],
    lines: Mapping[_Path, int],
    file: str,
    *,
    more: str = "",
    reference: str = "see the JSON Schema named in the file's first line",
) -> SpecError:
    path = _known_path(problem)
    line = next((lines[path[:end]] for end in range(len(path), -1, -1) if path[:end] in lines), 0)
    message, hint = problem["msg"].removeprefix("Value error, "), ""
    if problem["type"] == "extra_forbidden":
        message = "this field is not known"
        near = difflib.get_close_matches(str(path[-1]), _field_names(model), n=1)
        hint = f"did you mean {near[0]}?" if near else reference
    elif problem["type"] == "missing":
        message = "this field is missing"
    return SpecError(message + more, file=file, line=line, field=_field(path), hint=hint)


def _known_path(problem: ErrorDetails) -> _Path:
    return tuple(part for part in problem["loc"] if _known_part(part))


def _known_part(part: str | int) -> bool:
    # Pydantic names the member of a union in the path, which is no field of the file, and says of what is a key.
    return isinstance(part, int) or (part != "[key]" and _may_be_a_field(part))


def _may_be_a_field(part: str) -> bool:
    return part[:1].islower() or part[:1] in {"*", "/"} or not part.isidentifier()


def _field_names(model: type[BaseModel]) -> list[str]:
    names: list[str] = []
    schema = model.model_json_schema(by_alias=True)
    for each in (schema, *schema.get("$defs", {}).values()):
        names += each.get("properties", {})
    return names
