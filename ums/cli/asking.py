"""Which verbs ask before they act. Every verb that changes something declares it, by ``asks`` or ``does_not_ask``.

A verb asks if it concerns many data planes at once without waves before them, or cannot be undone by another verb. It
shows its impact first – the service's own answer to a dry run, never a guess –, asks at a terminal, and needs
``--yes`` elsewhere.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

import click

from ums.cli.output import confirm, emit, to_stderr

Command = Callable[..., Any]
_Data = TypeVar("_Data")


@dataclass(frozen=True, slots=True)
class Class:
    """Whether a verb asks.

    Attributes:
        why: the reason why it asks, or needs not.
        when: on which options it depends; it is asked for all of them unless given.

    """

    asks: bool
    why: str
    when: Callable[[Mapping[str, Any]], bool] = lambda _options: True


def class_of(command: click.Command) -> Class | None:
    """Return the class of a verb; ``None`` for one that declares none, since it changes nothing."""
    found: Class | None = getattr(command.callback, "ums_class", None)
    return found


def does_not_ask(why: str) -> Callable[[Command], Command]:
    """Declare a verb that changes something, and does not ask."""

    def declare(command: Command) -> Command:
        command.ums_class = Class(asks=False, why=why)  # type: ignore[attr-defined]
        return command

    return declare


def asks(why: str, when: Callable[[Mapping[str, Any]], bool] = lambda _options: True) -> Callable[[Command], Command]:
    """Declare a verb that asks, and add ``--yes``; ``when`` limits it to some of its options.

    Where there is nobody to ask, the verb is refused before anything else is done.
    """

    def declare(command: Command) -> Command:
        @click.option("--yes", is_flag=True, help="Do not ask. Required where there is no terminal.")
        @wraps(command)
        def wrapped(*args: Any, yes: bool, **options: Any) -> Any:  # noqa: ANN401 - passes through
            if not yes and not options["dry_run"] and when(options) and not _is_terminal():
                from ums.domain.errors import InvalidInputError

                path = click.get_current_context().command_path
                raise InvalidInputError(
                    f"{path} asks before it acts, and there is no terminal to ask at",
                    hint="see its impact with --dry-run, then add --yes",
                )
            return command(*args, **options)

        wrapped.ums_class = Class(asks=True, why=why, when=when)  # type: ignore[attr-defined]
        return wrapped

    return declare


def carry_out(
    give: Callable[[bool], _Data],
    show: Callable[[_Data, bool], None],
    *,
    data: Callable[[_Data], Any] = lambda answer: answer,
) -> _Data:
    """Do what the verb that runs does: try it if so told; else show its impact and ask, if it asks; then do it.

    Args:
        give: does it, or with ``True`` only tries it.
        show: prints for people what was done, or with ``True`` would be.
        data: returns what programs get of an answer.

    """
    context = click.get_current_context()
    options = context.params
    declared = class_of(context.command)
    dry_run = bool(options["dry_run"])
    if declared and declared.asks and not dry_run and not options["yes"] and declared.when(options):
        # On the other output: the answer alone is for pipes.
        tried = give(True)  # noqa: FBT003 - dry run
        with to_stderr():
            show(tried, True)  # noqa: FBT003 - dry run
        confirm("do it?")
    answer = give(dry_run)
    emit(data(answer), options["output"], lambda: show(answer, dry_run))
    return answer


def _is_terminal() -> bool:
    return sys.stdin.isatty()
