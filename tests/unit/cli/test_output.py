"""Everything that commands print goes through one function, which shows what others hid in their words."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

import ums.cli
from tests.unit.domain.test_text import FINE, HOSTILE
from ums.cli import output
from ums.cli.output import echo, emit, print_table, style
from ums.domain.text import is_plain

PRINTING = {"echo", "secho", "style", "prompt", "confirm", "clear", "echo_via_pager", "progressbar", "pause", "getchar"}
FORBIDDEN_MODULES = {"rich", "structlog"}


def prints(tree: ast.AST) -> list[str]:
    """Return what of a module may print by itself."""
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name("click"), attr=name) if name in PRINTING:
                found.append(f"click.{name}")
            case ast.Attribute(value=ast.Name("sys"), attr="stdout" | "stderr" | "__stdout__" | "__stderr__" as name):
                found.append(f"sys.{name}")
            case ast.Name(id="print") | ast.Name(id="input"):
                found.append(node.id)
            case ast.Attribute(attr="show"):
                found.append("show")
            case ast.ImportFrom(module=str() as module) if module.partition(".")[0] in {*FORBIDDEN_MODULES, "click"}:
                found.append(f"from {module}")
            case ast.Import(names=names):
                found += [each.name for each in names if each.name.partition(".")[0] in FORBIDDEN_MODULES]
            case ast.Attribute(value=ast.Name("os"), attr="write"):
                found.append("os.write")
    return found


MODULES = sorted(path for path in Path(ums.cli.__file__).parent.glob("**/*.py") if path.name != "output.py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_command_prints_by_itself(path: Path) -> None:
    """But for whether a stream is a terminal, which two ask, and the log that the service writes."""
    allowed = {"publish": ["sys.stderr"], "serve": ["sys.stderr"]}.get(path.stem, [])
    assert [each for each in prints(ast.parse(path.read_text())) if each not in allowed] == []


def test_the_rule_finds_what_prints() -> None:
    """Else it would allow all."""
    text = "import rich\nfrom rich.console import Console\nprint(1)\nclick.echo(1)\nsys.stdout.write('')\nerror.show()"
    assert sorted(prints(ast.parse(text))) == ["click.echo", "from rich.console", "print", "rich", "show", "sys.stdout"]


@pytest.mark.parametrize("character", HOSTILE, ids=lambda character: f"U+{ord(character):04X}")
def test_hidden_characters_are_shown(character: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In lines, tables and JSON, whatever the colours; programs get back what was there."""
    text = f"a{character}[31mb"
    echo(text)
    echo(f"  {style(text, fg='red')}", err=True)
    echo(text, lines=True, bold=True)
    print_table(("a", "b"), [[text, "x"], [style(text, dim=True), "y"]], empty="")
    emit({text: [text]}, "json", lambda: None)
    shown = capsys.readouterr()
    for line in (*shown.out.split("\n"), *shown.err.split("\n")):
        assert is_plain(line), ascii(line)
    start = shown.out.index("{")
    assert json.loads(shown.out[start:]) == {text: [text]}


@pytest.mark.parametrize("character", [each for each in HOSTILE if not "\ud800" <= each <= "\udfff"], ids=ascii)
def test_hidden_characters_are_shown_in_yaml(character: str, capsys: pytest.CaptureFixture[str]) -> None:
    """YAML has no surrogates at all."""
    emit({"a": f"a{character}b"}, "yaml", lambda: None)
    shown = capsys.readouterr().out
    assert is_plain(shown, keep="\n")
    assert yaml.safe_load(shown) == {"a": f"a{character}b"}


def test_a_line_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    """A reason cannot add a line that looks like one of ours; cells of a table keep their columns."""
    echo("reason: x\n✓ all signatures hold")
    print_table(("a",), [["x\ny"]], empty="")
    assert capsys.readouterr().out.splitlines() == [r"reason: x\n✓ all signatures hold", "A", r"x\ny"]


def test_what_people_write_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """As it is."""
    echo(FINE)
    emit([FINE], "yaml", lambda: None)
    assert capsys.readouterr().out == f"{FINE}\n- {FINE}\n"


def test_only_our_own_colours_reach_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody else wrote has none, whichever form it takes."""
    said: list[Any] = []
    monkeypatch.setattr(click, "echo", lambda text, **_: said.append(text))
    echo(f"{style('mine', fg='green')} \x1b[31mtheirs\x1b[0m \0[31m")
    assert said == ["\x1b[32mmine\x1b[0m \\x1b[31mtheirs\\x1b[0m \\x00[31m"]


def test_without_the_function_a_terminal_obeys(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The defence is this one function: without it, the same text forges a line."""
    monkeypatch.setattr(output, "plain", lambda text, **_: text)
    echo("reason: x\n✓ all signatures hold")
    assert capsys.readouterr().out.splitlines() == ["reason: x", "✓ all signatures hold"]
