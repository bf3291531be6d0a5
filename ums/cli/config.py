"""``ums config``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ums.cli.output import echo, emit, output_option, print_table, style
from ums.outcomes import OUTCOMES

if TYPE_CHECKING:
    from ums.config import Found


@click.group()
def config() -> None:
    """Look at the settings of a service."""


@config.command()
@click.argument("data", type=click.Path(file_okay=False, path_type=Path), required=False)
@output_option
def check(data: Path | None, output: str) -> int:
    """Print what ums serve would run with on DATA, and where each value comes from; and all that is wrong with it.

    A setting comes from service.yaml in DATA (or the file that UMS_CONFIG names), unless a variable overrides it, or
    is the default. Files with secrets are named and tried, and what is in them is never printed; those that
    other users of this machine can read are named. Nothing is connected to.

    \b
    Examples:
      ums config check ums-data
      UMS_CONFIG=/etc/ums/service.yaml ums config check -o json

    Exit code 2: something is wrong. docs/reference/configuration.md explains every setting.
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    import os

    from ums.config import find_settings
    from ums.domain.errors import InvalidInputError

    found = find_settings({**os.environ, "UMS_DATA": str(data)} if data else os.environ)
    report = {
        "data": str(found.data),
        "file": str(found.file) if found.file_read else None,
        "settings": {
            name: {"value": each.value, "source": each.source, "where": each.where or None, "env": each.field.env}
            for name, each in found.values.items()
        },
        "problems": [problem.to_dict() for problem in found.problems],
        "exposed": list(found.arguments["exposed"]),
    }
    emit(report, output, lambda: _print(found))
    return OUTCOMES[InvalidInputError].exit_code if found.problems else 0


def _print(found: Found) -> None:
    echo(f"data  {found.data}")
    echo(f"file  {found.file}{'' if found.file_read else '  (not there)'}")
    echo()
    wrong = {problem.field for problem in found.problems}
    rows = [
        (name, _shown(each.value, wrong=name in wrong), each.where or "default") for name, each in found.values.items()
    ]
    print_table(("setting", "value", "from"), rows, empty="")
    for problem in found.problems:
        echo(f"✗ {problem}", fg="red", err=True)
    for exposed in found.arguments["exposed"]:
        echo(f"! other users of this machine can read {exposed}", fg="yellow", err=True)
    if not found.problems:
        echo("✓ all of it can be used", fg="green")


def _shown(value: object, *, wrong: bool) -> str:
    if wrong:
        return style("✗ see below", fg="red")
    return "–" if value is None else str(value)
