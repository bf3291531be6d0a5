"""``ums reindex``."""

from __future__ import annotations

from pathlib import Path

import click

from ums.cli.asking import does_not_ask
from ums.cli.data import settings_of
from ums.cli.output import echo, emit, output_option, planes_text, some


@click.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Show what differs; change nothing.")
@does_not_ask("makes anew what follows from the release repo")
@output_option
def reindex(data: Path, dry_run: bool, output: str) -> None:
    """Bring the database of the service in DATA in line with its release repo, and say what differed.

    All decisions are in Git, so a service that lost its database answers as before about releases, channels,
    promotions and what data planes should run. Git does not have tokens, webhooks, the history of health, and what
    data planes reported: they report again by themselves, the rest has to be made again. Where no token is left that
    may do so, a new one of an admin is printed, once. On PostgreSQL the database itself has to be there; its tables
    are made.

    \b
    Example:
      rm ums-data/ums.db* && ums reindex ums-data
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    from ums.bootstrap import reindex_data

    done = reindex_data(settings_of(data), dry_run=dry_run)

    def table() -> None:
        verb = "would be dropped" if dry_run else "dropped"
        if done.strangers:
            echo(f"{verb}: reports of {some([*map(str, done.strangers)])}, which nobody registered")
        if done.ahead:
            echo(f"{verb}: reports of {some([*map(str, done.ahead)])}, on states that the release repo has not")
        if done.unheard:
            echo(
                f"{len(done.unheard)} of {planes_text(done.data_planes)} unknown until they report:"
                f" {some([*map(str, done.unheard)])}"
            )
        if not done.webhooks:
            echo("no webhooks: ums webhook add, if there were some")
        if not (done.strangers or done.ahead or done.unheard):
            echo("the database says what the release repo says")
        if done.token:
            echo("no token of an admin was left; this one is shown once:")
            echo(done.token)
        elif not done.admins:
            echo("no token of an admin is left; without --dry-run, one is made", fg="yellow")

    emit(done.to_dict(), output, table)
