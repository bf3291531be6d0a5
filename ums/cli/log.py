"""``ums log``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ums.cli.client import service_options
from ums.cli.output import ago, emit, output_option, print_table

if TYPE_CHECKING:
    from ums.client import Client


@click.command()
@click.option("-n", "--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="How many.")
@click.option("--path", default=None, help="Only decisions about this path, e.g. channels/stable or fleet/acme/prod.")
@output_option
@service_options
def log(client: Client, limit: int, path: str | None, output: str) -> None:
    """Show recorded decisions, newest first."""
    data = client.get_log(limit=limit, path=path)

    def table() -> None:
        rows = [
            (each["commit"][:12], ago(each["at"]), each["actor"], each["subject"], each["reason"])
            for each in data["items"]
        ]
        print_table(("commit", "when", "who", "what", "why"), rows, empty="No decisions yet.")

    emit(data, output, table)
