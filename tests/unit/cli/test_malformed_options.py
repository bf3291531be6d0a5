"""A malformed value of an option is wrong usage, found before anything happens: no request, no file, no change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.unit.cli.test_asking import VERBS
from tests.unit.cli.test_commands import run
from ums.cli.types import Parsed
from ums.client.connection import Connection

FREE = {
    "audit log --subject",
    "events --kind",
    "log --path",
    "pdp set --unlabel",
    "publish --fixes",
    "publish --notes",
    "publish --override-floors",
    "role grant --to-group",
    "role grant --to-subject",
    "role revoke --to-group",
    "role revoke --to-subject",
    "serve --listen",
    "token create --group",
    "token create SUBJECT",
    "webhook add --kind",
    "risk declare --message",
}
"""Free text, and what only the service or its settings can tell: an option that is new is here, or has a type."""
WELL = {
    "duration": "1d",
    "time": "2999-01-01T00:00:00Z",
    "version": "1.0.0",
    "version range": "1.x",
    "release": "platform@1.0.0",
    "data plane": "acme/prod",
    "bundle": "platform",
    "channel": "stable",
    "organization": "acme",
    "name": "name",
    "data plane or channel": "acme/prod",
    "bundle or component": "platform",
    "bundle or component, and release": "platform",
    "bundle or component, and versions": "platform",
    "role": "viewer",
    "id": "a" * 12,
    "URL": "https://127.0.0.1:1",
    "repository": "127.0.0.1:1/ums",
}
"""A value that each type takes, for what else a verb requires."""


def name_of(parameter: click.Parameter) -> str:
    """Return the name that people see."""
    long = [each for each in parameter.opts if each.startswith("--")]
    return long[0] if long else parameter.opts[0].upper()


def malformed(kind: click.ParamType[object]) -> str | None:
    """Return a value that a type refuses; ``None`` where it takes any text."""
    match kind:
        case Parsed():
            return kind.malformed
        case click.Choice():
            return "nonsense"
        case click.IntRange() | click.FloatRange():
            return "many"
        case click.Path(exists=True) | click.File():
            return "/no/such/file"
        case click.Path():
            return None  # it is written
        case _ if isinstance(kind, type(click.STRING)):
            return ""
    raise AssertionError(f"a new type: {kind}")


def cases() -> Iterator[tuple[str, click.Parameter, str]]:
    """Yield every option and argument that takes something other than free text, with what it refuses."""
    for verb, command in VERBS.items():
        for parameter in command.params:
            if isinstance(parameter, click.Option) and (parameter.is_flag or parameter.is_eager):
                continue
            value = malformed(parameter.type)
            if value:
                yield verb, parameter, value


CASES = {f"{verb} {name_of(parameter)}": (verb, parameter, value) for verb, parameter, value in cases()}


def test_every_other_option_is_known_to_be_free_text() -> None:
    """So that a new option decides: it gets a type, or stands here."""
    free = {
        f"{verb} {name_of(parameter)}"
        for verb, command in VERBS.items()
        for parameter in command.params
        if not (isinstance(parameter, click.Option) and (parameter.is_flag or parameter.is_eager))
        and malformed(parameter.type) == ""
        and name_of(parameter) != "--reason"
    }
    assert free == FREE


@pytest.fixture
def cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder with a file, in a world where no request may be sent."""

    def never(*_args: object, **_options: object) -> None:
        raise AssertionError("a request was sent")

    monkeypatch.setattr(Connection, "_send", never)
    monkeypatch.setattr("socket.socket.connect", never)
    for name, value in (("SERVER", "http://127.0.0.1:1"), ("TOKEN", "none"), ("KEY_PASSWORD", "")):
        monkeypatch.setenv(f"UMS_{name}", value)
    (tmp_path / "file").write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("case", CASES)
def test_a_malformed_value_is_wrong_usage_and_nothing_is_sent(
    case: str, cut_off: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and the option is named."""
    verb, wrong, value = CASES[case]
    options, arguments = [], []
    for parameter in VERBS[verb].params:
        text = value if parameter is wrong else _well(parameter, cut_off) if parameter.required else None
        if text is None:
            continue
        if isinstance(parameter, click.Option):
            options += [name_of(parameter), text]
        else:
            arguments.append(text)
    if "yes" in {each.name for each in VERBS[verb].params}:
        options.append("--yes")
    before = sorted(cut_off.iterdir())
    done = run(capsys, *verb.split(), *options, *arguments)
    assert (done.code, done.out) == (2, ""), done
    assert "Invalid value for" in done.err
    assert isinstance(wrong, click.Argument) or name_of(wrong) in done.err
    assert sorted(cut_off.iterdir()) == before


def _well(parameter: click.Parameter, folder: Path) -> str:
    kind = parameter.type
    if isinstance(kind, Parsed):
        return WELL[kind.name]
    if isinstance(kind, click.Path):
        return str(folder if kind.dir_okay else folder / "file")
    if isinstance(kind, click.IntRange | click.FloatRange):
        return "1"
    return "viewer" if name_of(parameter) == "--group" else "some text"


def test_what_is_promoted_is_not_promoted_before_its_timeout_is_read(
    cut_off: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The case that this began with."""
    done = run(capsys, "promote", "platform@1.1.0", "--to", "stable", "--wait", "--timeout", "3x")
    assert (done.code, "'--timeout': '3x' is not a duration" in done.err) == (2, True)
    assert cut_off.is_dir()
