"""``ums log``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ums.cli.client import service_options
from ums.cli.output import ago, emit, output_option, print_table

if TYPE_CHECKING:
    from ums.client import Client, shapes


@click.command()
@click.option("-n", "--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="How many.")
@click.option("--path", default=None, help="Only decisions about this path, e.g. channels/stable or fleet/acme/prod.")
@output_option
@service_options
def log(client: Client, limit: int, path: str | None, output: str) -> None:
    """Show recorded decisions, newest first.

    A commit that no state key signed is listed with the author that it names, as (not signed).
    """
    data = client.get_log(limit=limit, path=path)

    def table() -> None:
        rows = [
            (each["commit"][:12], ago(each["at"]), _actor(each), each["subject"], each["reason"])
            for each in data["items"]
        ]
        print_table(("commit", "when", "who", "what", "why"), rows, empty="No decisions yet.")

    emit(data, output, table)


def _actor(entry: shapes.LogEntry) -> str:
    return entry["actor"] if entry["signed"] else f"{entry['actor']} (not signed)"
