"""Every command of the API's client, with a service – or people who wrote into it – that means harm."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NotRequired, get_args, get_origin, get_type_hints, is_typeddict

import click
import pytest

from ums.cli import client as client_module
from ums.cli.root import COMMANDS, main, root
from ums.client import operations, shapes
from ums.domain.text import is_plain

HOSTILE = "a\x1b[2J\x1b]0;x\x07\u202eb\u2066c\u200bd\x9b31m\U000e0041\x7f\u2028\u061ce"
TIME = "2026-12-01T06:00:00Z"
TIMES = re.compile(
    r"time|since|until|heard|created|expires|at|opens|published|nextChange|earliest|due|lastUsed|registered|newest|.*At|.*Since|from"
)
WORDS = {
    "change": "changed",
    "verdict": "failed",
    "status": "halted",
    "health": "failed",
    "state": "updating",
    "type": "dev.ums.rollout.halted",
    "answer": "no",
    "subject": HOSTILE,
}
"""What is one of few words, and looked up by commands."""
OPEN: dict[str, object] = {
    "data": dict.fromkeys(("by", "reason", "channel", "what", "to", "message"), HOSTILE),
    "objects": [{"kind": HOSTILE, "metadata": {"name": HOSTILE, "namespace": HOSTILE}}],
}
"""What has no type in the API's document."""


def answer(kind: object, name: str = "") -> Any:  # noqa: ANN401 - any JSON value
    """Return an answer of a type, full of hostile text."""
    if name in OPEN:
        return OPEN[name]
    if is_typeddict(kind):
        hints = get_type_hints(kind, include_extras=True)
        # Where no member is required, it has one of them.
        some_required = any(get_origin(hint) is not NotRequired for hint in hints.values())
        return {each: answer(hints[each], each) for each in (hints if some_required else [*hints][:1])}
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in {list, dict}:
        item = answer(arguments[-1], name)
        return [item] if origin is list else {HOSTILE: item}
    if origin is Literal:
        return arguments[0]
    if arguments:  # a union, or a member that may be missing
        return answer(next(each for each in arguments if each is not type(None)), name)
    return scalar(kind, name)


def scalar(kind: object, name: str) -> object:
    """Return a value without parts."""
    if kind is bool:
        return True
    if kind in {int, float}:
        return 1
    if name == "next":
        return None  # there is one page
    return WORDS.get(name) or (TIME if TIMES.fullmatch(name) else HOSTILE)


class Hostile:
    """A client whose service answers everything, and whatever it likes."""

    server, token = "https://ums.example", "t"

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return an operation."""
        operation = getattr(operations.Client, name)
        hints = get_type_hints(operation, vars(operations) | {"shapes": shapes})
        return lambda *_, **__: answer(hints["return"])

    def all(self, operation: Callable[..., Any], **_: object) -> Any:  # noqa: ANN401 - any JSON value
        """Return all pages of a list: one item."""
        return operation()["items"]

    def follow(self) -> Iterator[tuple[str, Any]]:
        """Yield what a stream tells."""
        yield "problem", HOSTILE
        yield "happened", answer(shapes.Event)
        yield "status", answer(shapes.Status)


ARGUMENTS = {
    "name": "acme/prod",
    "plane": "acme/prod",
    "pdp": "acme/prod",
    "release": "platform@1.0.0",
    "subject": "acme/prod",
    "before": "platform@1.0.0",
    "after": "platform@1.1.0",
    "delivery": "1",
}
OPTIONS = {"--reason": "x", "--to": "stable", "--versions": "1.x", "--for": "1d", "--url": "https://example.org"}


def commands(group: click.Command, *words: str) -> list[tuple[str, ...]]:
    """Return all commands that there are."""
    if not isinstance(group, click.Group):
        return [words]
    context = click.Context(group)
    found = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        found += commands(command, *words, name) if command else []
    return found


def find(words: tuple[str, ...]) -> click.Command:
    """Return a command."""
    command: click.Command = root
    for word in words:
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), word) or command
    return command


def line_of(words: tuple[str, ...], file: Path) -> list[str]:
    """Return a command line that has everything that is required."""
    found = list(words)
    for parameter in find(words).params:
        if isinstance(parameter, click.Argument) and parameter.required:
            found.append(
                str(file) if isinstance(parameter.type, click.Path) else ARGUMENTS.get(parameter.name or "", "stable")
            )
        elif isinstance(parameter, click.Option) and parameter.required:
            found += [parameter.opts[-1], OPTIONS.get(parameter.opts[-1], "platform")]
    return found


SERVED = [words for words in commands(root) if any(each.name == "server" for each in find(words).params)]


def test_most_commands_speak_to_the_service() -> None:
    """So the table below is not empty, and has every one that does."""
    assert len(SERVED) > 45
    assert {words[0] for words in SERVED} <= set(COMMANDS)


@pytest.mark.parametrize(("words", "form"), list(itertools.product(SERVED, ["table", "json", "yaml"])), ids=str)
def test_no_command_passes_on_what_is_hidden(
    words: tuple[str, ...],
    form: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """Neither in what it prints nor in its errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(client_module, "make_client", lambda *_: Hostile())
    (tmp_path / "file").write_text(f"description: {HOSTILE}\n")
    has_form = any(each.name == "output" for each in find(words).params)
    with pytest.raises(SystemExit):
        main([*line_of(words, tmp_path / "file"), *(["-o", form] if has_form else [])])
    shown = capsys.readouterr()
    for line in (shown.out + shown.err).split("\n"):
        assert is_plain(line, keep="\t"), ascii(line)
    assert shown.out or shown.err
