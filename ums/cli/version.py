"""``ums version``."""

from __future__ import annotations

import click

from ums import __version__
from ums.cli.output import echo


@click.command()
def version() -> None:
    """Show the version."""
    echo(f"ums {__version__}")
