"""``ums version``."""

from __future__ import annotations

import click

from ums import __version__


@click.command()
def version() -> None:
    """Show the version."""
    click.echo(f"ums {__version__}")
