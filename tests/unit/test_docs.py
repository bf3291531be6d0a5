"""What the documents say is true: commands, options, links, schemas."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from ums.adapters.settings_file import fields, read_settings
from ums.cli.root import root
from ums.domain.explaining import _CHECKS
from ums.domain.policy import GateName
from ums.domain.security_log import SecurityKind
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
        options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        for word in words:
            if re.fullmatch(r"--[a-z][a-z-]+", word):
                assert word in options, f"{line}: {word}"


def test_schemas_are_those_of_the_models() -> None:
    """``make schemas`` was run."""
    for name, text in schemas().items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, name


@pytest.mark.parametrize(("page", "schema"), [("bundle", "bundle"), ("channels", "policy"), ("access", "access")])
def test_a_reference_names_every_field(page: str, schema: str) -> None:
    """A field that is not explained is not there for people."""
    text = (TOP / "docs" / "reference" / f"{page}.md").read_text()
    for name in re.findall(
        r'"([a-zA-Z]+)": \{\n\s+"(?:default|description|anyOf|type|items|const|\$ref)',
        schemas()[f"{schema}.schema.json"],
    ):
        if name[0].islower() and name not in {"items", "additionalProperties", "properties", "propertyNames"}:
            assert re.search(rf"[`.]{name}`", text), name


def test_the_reference_of_channels_shows_stable_as_it_is_shipped() -> None:
    """An example that is not shipped is a wish."""
    text = (TOP / "docs" / "reference" / "channels.md").read_text()
    assert (TOP / "channels" / "stable" / "policy.yaml").read_text() in text
    for gate in GateName:
        assert f"\n| `{gate}` |" in text, gate


def test_the_reference_of_the_configuration_lists_every_setting() -> None:
    """With its variable and its default; and the example holds each, and can be read."""
    text = (TOP / "docs" / "reference" / "configuration.md").read_text()
    rows = {
        (name, env): default
        for name, env, default in re.findall(r"^\| `(.+?)` \| `(.+?)` \| (.+?) \|", text, re.MULTILINE)
    }
    assert set(rows) == {(field.name, field.env) for field in fields()}
    for field in fields():
        if field.default is not None:
            assert rows[field.name, field.env] == f"`{field.default}`"
    example = text.partition("```yaml\n")[2].partition("```")[0]
    values, problems = read_settings(example.encode(), "service.yaml", {}, {})
    assert not problems
    assert {each.source for each in values.values()} == {"file"}


def test_the_help_of_serve_lists_every_variable() -> None:
    """And no other."""
    command = root.get_command(click.Context(root), "serve")
    assert command is not None
    listed = re.findall(r"^ *(UMS_[A-Z_]+)  +", command.help or "", re.MULTILINE)
    assert listed == ["UMS_DATA", "UMS_CONFIG", *(field.env for field in fields())]


def test_the_reference_of_decisions_lists_every_reason() -> None:
    """Whoever is told a code finds it, and finds no other."""
    text = (TOP / "docs" / "reference" / "decisions.md").read_text()
    table = text[text.index("## Why a data plane") : text.index("## The upgrade graph")]
    assert set(re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)) == set().union(
        *(codes for _, codes in _CHECKS.values())
    )


def test_the_reference_of_the_audit_lists_every_kind() -> None:
    """And no other."""
    text = (TOP / "docs" / "reference" / "audit.md").read_text()
    table = text[text.index("## What is told") : text.index("## How rows are bound")]
    rows = re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`([a-z.-]+)`", row)} - {"kind"} == {*SecurityKind}


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
