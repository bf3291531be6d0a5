"""Write the typed client from the OpenAPI document: ``make client``. A test holds it against the document."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.unit.web.documented import document

FOLDER = Path(__file__).parent.parent / "ums" / "client"
PREFIX = "/api/v1"
BEARER: dict[str, list[str]] = {"bearer": []}
_MADE = "Made by ``make client`` from the OpenAPI document."
_HEAD = f'''\
"""The operations of the API, by their names there. {_MADE}"""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from ums.client.connection import Connection, path

if TYPE_CHECKING:
    from ums.client import shapes


class Client(Connection):
    """The API, typed. Members of bodies and queries are keywords, named as in the document; ``None`` is not sent.

    Every method raises the ``UmsError`` that the service answered, or ``UnavailableError`` where it did not answer.
    """
'''


def generate() -> dict[str, str]:
    """Return the files, by name."""
    found = copy.deepcopy(document())
    found["paths"] = {
        where: {
            method: each for method, each in path.items() if BEARER in each.get("security", ()) and not _goes_on(each)
        }
        for where, path in found["paths"].items()
    }
    for _, _, operation in _operations(found):
        if query := _query(operation):
            found["components"]["schemas"][_query_name(operation)] = query
    for name, schema in found["components"]["schemas"].items():
        if name.endswith(("Body", "Query")):
            _let_be_none(schema)
    return {"operations.py": _operations_text(found), "shapes.py": _shapes_text(found)}


def _is_for_clients(operation: dict[str, Any]) -> bool:
    return BEARER in operation.get("security", ()) and not _goes_on(operation)


def _goes_on(operation: dict[str, Any]) -> bool:
    return "text/event-stream" in operation["responses"].get("200", {}).get("content", {})


def _let_be_none(schema: dict[str, Any]) -> None:
    """Allow ``None`` for whatever need not be given: it is not sent."""
    for name, found in schema.get("properties", {}).items():
        if name not in schema.get("required", []) and {"type": "null"} not in found.get("anyOf", []):
            schema["properties"][name] = {"anyOf": [found, {"type": "null"}]}


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for where, path in document["paths"].items():
        for method, operation in path.items():
            yield method, where, operation


def _query_name(operation: dict[str, Any]) -> str:
    name: str = operation["operationId"]
    return f"{name[0].upper()}{name[1:]}Query"


def _query(operation: dict[str, Any]) -> dict[str, Any] | None:
    found = [each for each in operation.get("parameters", []) if each["in"] == "query"]
    if not found:
        return None
    return {
        "type": "object",
        "description": f"Parameters of ``{operation['operationId']}``.",
        "properties": {each["name"]: each["schema"] for each in found},
        "required": [each["name"] for each in found if each["required"]],
    }


def _operations_text(document: dict[str, Any]) -> str:
    return _HEAD + "".join(_method(*each) for each in _operations(document))


def _method(method: str, where: str, operation: dict[str, Any]) -> str:
    parts = re.findall(r"{(\w+)}", where)
    answers = {_reference(found["content"]) for status, found in operation["responses"].items() if status < "300"}
    (answer,) = answers
    arguments, name, given = ["self", *(f"{each}: str" for each in parts)], "", ""
    kind = _reference(operation["requestBody"]["content"]) if "requestBody" in operation else ""
    if kind:
        name, given = "body", f"**body: Unpack[shapes.{kind}]"
    elif _query(operation):
        name, given = "query", f"**query: Unpack[shapes.{_query_name(operation)}]"
    if given:
        arguments.append(given)
    target = f'path("{where.removeprefix(PREFIX)}"{"".join(f", {each}" for each in parts)})'
    if not parts:
        target = f'"{where.removeprefix(PREFIX)}"'
    call = f"self.{method}({target}{f', dict({name})' if given else ''})"
    snake = re.sub(r"(?<!^)(?=[A-Z])", "_", operation["operationId"]).lower()
    return f'''
    def {snake}({", ".join(arguments)}) -> shapes.{answer}:
        """{operation["summary"]}"""
        answer: shapes.{answer} = {call}
        return answer
'''


def _reference(content: dict[str, Any]) -> str:
    (found,) = content.values()
    reference: str = found["schema"]["$ref"]
    return reference.rpartition("/")[2]


def _shapes_text(document: dict[str, Any]) -> str:
    with TemporaryDirectory() as folder:
        source, target = Path(folder, "openapi.json"), Path(folder, "shapes.py")
        source.write_text(json.dumps(document))
        options = [
            *("--input", source, "--input-file-type", "openapi", "--output", target),
            *("--output-model-type", "typing.TypedDict", "--no-use-closed-typed-dict", "--use-schema-description"),
            "--use-single-line-docstring",
            *("--target-python-version", "3.11", "--formatters", "builtin"),
            *("--custom-file-header", f'"""What the API takes and answers. {_MADE}"""'),
        ]
        subprocess.run([sys.executable, "-m", "datamodel_code_generator", *map(str, options)], check=True, timeout=120)
        return target.read_text().replace("from typing_extensions import TypedDict\n", "")


def formatted(files: dict[str, str]) -> dict[str, str]:
    """Return files as ``make fix`` would leave them."""
    return {
        name: subprocess.run(
            [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(FOLDER / name), "-"],
            input=text,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for name, text in files.items()
    }


if __name__ == "__main__":
    for name, text in formatted(generate()).items():
        (FOLDER / name).write_text(text)
