"""JSON that others wrote is read in one place, so that no document is read past its rules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import ums

READER = Path(ums.__file__).parent / "domain" / "strict_json.py"


def readers(path: Path) -> Iterator[str]:
    """Yield where a file reads JSON by Python's own or a library's means."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Attribute(value=ast.Name("json"), attr="loads" | "load" | "JSONDecoder"):
                yield f"{path.name}:{node.lineno}"
            case ast.ImportFrom(module="json"):
                yield f"{path.name}:{node.lineno}"
            case ast.Call(func=ast.Attribute(attr="json"), args=[]):
                yield f"{path.name}:{node.lineno}"


def test_there_is_one_reader_of_json() -> None:
    """Nothing in the package but the strict reader itself parses JSON text."""
    found = {where for path in READER.parents[1].rglob("*.py") if path != READER for where in readers(path)}
    assert found == set()
    assert list(readers(READER)), "the rule sees what it looks for"
