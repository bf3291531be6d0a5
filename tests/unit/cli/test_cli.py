"""The command line: quick to ask, plain to read, and with exit codes that scripts can rely on."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from ums.cli.output import ago, print_table, style
from ums.cli.root import COMMANDS, main, root
from ums.domain import errors
from ums.outcomes import OUTCOMES

HEAVY = (
    "cryptography",
    "flask",
    "git",
    "oras",
    "prometheus_client",
    "pydantic",
    "requests",
    "rich",
    "sigstore",
    "sqlalchemy",
    "structlog",
    "yaml",
)


def test_asking_for_help_imports_nothing_heavy() -> None:
    """``--help`` is instant because it only reads a table."""
    code = (
        "import sys\nfrom ums.cli.root import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print('LOADED', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "LOADED []"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_says_what_it_does(name: str) -> None:
    """The table, the module and the help agree."""
    command = root.get_command(click.Context(root), name)
    assert command is not None
    assert command.help
    subcommands = command.commands.values() if isinstance(command, click.Group) else [command]
    for each in subcommands:
        assert each.help, each.name
        for parameter in each.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name} {each.name} {parameter.name}"


@pytest.mark.parametrize("kind", OUTCOMES)
def test_every_error_has_its_exit_code_and_says_what_next(
    kind: type[errors.UmsError], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message, each reason, who can change it, and a hint."""

    def fail(*_args: object, **_kwargs: object) -> None:
        if kind is errors.RefusedError:
            raise errors.RefusedError("no", (errors.Reason("a-rule", "because", "2026", "ops"),), hint="wait")
        raise kind("no", hint="wait")

    monkeypatch.setattr(root, "main", fail)
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == OUTCOMES[kind].exit_code
    said = capsys.readouterr().err
    assert "error: no" in said
    assert "hint: wait" in said
    if kind is errors.RefusedError:
        assert "a-rule: because (until 2026)" in said
        assert "ops" in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["pormote"], "Did you mean 'promote'?"),
        (["promote", "platform@1.0.0"], "--to"),
        (["pin", "acme/prod", "platform"], "--reason"),
        (["status"], "UMS_SERVER"),
        (["publish", "--version", "1.0.0", "--registry", "r/x", "--no-register"], "--key"),
    ],
)
def test_wrong_usage_ends_with_two_and_names_what_is_missing(
    arguments: list[str], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is guessed, and nothing is asked of a service."""
    for name in ("UMS_SERVER", "UMS_TOKEN", "UMS_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert says in capsys.readouterr().err


def test_an_empty_table_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is a state too."""
    print_table(("a",), [], empty="Nothing yet: do this.")
    assert capsys.readouterr().out == "Nothing yet: do this.\n"


def test_columns_fit_what_is_in_them(capsys: pytest.CaptureFixture[str]) -> None:
    """Colour does not count as width."""
    print_table(("a", "b"), [(style("x", fg="red"), "long"), ("longer", "y")], empty="")
    lines = click.unstyle(capsys.readouterr().out).splitlines()
    assert lines == ["A       B", "x       long", "longer  y"]


def test_never_is_said_so() -> None:
    """A data plane that was not heard of has no age."""
    assert ago(None) == "never"
