"""What the documents say is true: commands, options, links, schemas."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from ums.cli.root import root
from ums.outcomes import OUTCOMES
from ums.schemas.__main__ import FOLDER, schemas

TOP = Path(__file__).parent.parent.parent
DOCUMENTS = [
    TOP / "README.md",
    TOP / "CONTRIBUTING.md",
    TOP / "tests" / "README.md",
    *sorted((TOP / "docs").rglob("*.md")),
]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    """Every relative link of a document is a file."""
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text()):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_documents_exist_with_their_options(path: Path) -> None:
    """Nobody copies a line that does not work."""
    for line in re.findall(r"(?:^|\s)(ums [a-z]+[^\n`|]*)", path.read_text()):
        words = line.split("#")[0].split()[1:]
        command: click.Command | None = root.get_command(click.Context(root), words[0])
        if command is None:
            continue  # prose: "ums" and a word
        if isinstance(command, click.Group):
            if len(words) < 2 or words[1] not in command.commands:
                continue
            command = command.commands[words[1]]
        options = {name for parameter in command.params for name in parameter.opts}
        for word in words:
            if re.fullmatch(r"--[a-z][a-z-]+", word):
                assert word in options, f"{line}: {word}"


def test_schemas_are_those_of_the_models() -> None:
    """``make schemas`` was run."""
    for name, text in schemas().items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, name


def test_the_bundle_reference_names_every_field() -> None:
    """A field that is not explained is not there for people."""
    text = (TOP / "docs" / "reference" / "bundle.md").read_text()
    for name in re.findall(
        r'"([a-zA-Z]+)": \{\n\s+"(?:default|description|anyOf|type|items|const|\$ref)', schemas()["bundle.schema.json"]
    ):
        if name[0].islower() and name not in {"items", "additionalProperties", "properties"}:
            assert f"`{name}`" in text, name


def test_exit_codes_in_the_help_are_those_of_the_table() -> None:
    """The root's help lists each code once."""
    text = root.help or ""
    for outcome in OUTCOMES.values():
        assert re.search(rf"\b{outcome.exit_code} [a-z]", text), outcome


def test_make_targets_in_the_readme_exist() -> None:
    """``make demo`` and ``make test`` carry a newcomer."""
    makefile = (TOP / "Makefile").read_text()
    for target in set(re.findall(r"make ([a-z0-9]+)", (TOP / "README.md").read_text())):
        assert f"\n{target}:" in makefile, target
