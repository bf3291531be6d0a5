"""``ums explain``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ums.cli.client import service_options
from ums.cli.output import echo, emit, output_option, print_reason
from ums.cli.types import PLANE

if TYPE_CHECKING:
    from ums.client import Client, shapes
    from ums.domain.names import PDPName

_MARKS = {"ok": ("✓", "green"), "waits": ("✗", "yellow"), "unknown": ("?", "magenta"), "not-evaluated": ("–", None)}


@click.command()
@click.argument("plane", type=PLANE, metavar="ORG/PDP")
@output_option
@service_options
def explain(client: Client, plane: PDPName, output: str) -> None:
    """Say why a data plane is where it is: every check, and one sentence for each of its bundles.

    All reasons are shown, also those that matter only once another has ended: a window behind a hold. Each says when it
    ends by itself, if that is known, and which command of which role ends it earlier. A check with – was not looked at.

    \b
    Example:
      ums explain acme/prod
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    data = client.get_explanation(plane.org, plane.pdp)

    def table() -> None:
        for index, each in enumerate(data["items"]):
            echo("", nl=bool(index))
            _print_explanation(data["pdp"], each)

    emit(data, output, table)


def _print_explanation(pdp: str, data: shapes.Explanation) -> None:
    where = data["running"] or f"nothing of {data['bundle']} yet"
    goal = f"its channel has {data['target']}" if data["target"] else "its channel has none"
    echo(f"{pdp}: {where}; {goal}", bold=True)
    width = max((len(check["check"]) for check in data["checks"]), default=0)
    for check in data["checks"]:
        mark, colour = _MARKS.get(check["verdict"], ("?", None))
        echo(f"  {mark} {check['check']:<{width}}  {check['message']}", fg=colour)
        if check["verdict"] in {"waits", "unknown"}:
            print_reason(check, " " * (width + 6))
    echo(data["sentence"], bold=True)
