"""``ums plan``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ums.cli.client import service_options
from ums.cli.output import emit, output_option, print_table

if TYPE_CHECKING:
    from ums.adapters.service_client import ServiceClient


@click.command()
@output_option
@service_options
def plan(client: ServiceClient, output: str) -> None:
    """Show who would move now, and why the others do not."""
    data = client.get("/plan")

    def table() -> None:
        rows = [
            (move["pdp"], move["bundle"], (move["before"] or {}).get("release", "–"), move["after"]["release"])
            for move in data["moves"]
        ]
        print_table(("pdp", "bundle", "from", "to"), rows, empty="Nobody has to move.")
        for each in data["withheld"]:
            for reason in each["reasons"]:
                until = f" (until {reason['until']})" if reason["until"] else ""
                click.echo(f"{each['pdp']} {each['bundle']}: {reason['message']}{until}")

    emit(data, output, table)
