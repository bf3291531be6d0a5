"""``ums backup`` and ``ums restore``."""

from __future__ import annotations

from pathlib import Path

import click

from ums.cli.asking import does_not_ask
from ums.cli.data import settings_of
from ums.cli.output import echo, emit, output_option


@click.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--without-registry", is_flag=True, help="Leave the embedded registry out, which is most of it.")
@does_not_ask("writes a file alone")
@output_option
def backup(data: Path, file: Path, without_registry: bool, output: str) -> None:
    """Write all that the service in DATA needs into FILE, also while it runs. It contains secrets.

    Keys, release repo, database and embedded registry; not the offline state key, which belongs elsewhere, nor a
    database on PostgreSQL, which has backups of its own: make one right after this, so that its security log holds all
    that the release repo names.

    \b
    Example:
      ums backup ums-data ums-2026-11-23.tar
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    from ums.bootstrap import back_up_data

    settings = settings_of(data)
    made = back_up_data(settings, file, registry=not without_registry)

    def told() -> None:
        echo(f"wrote {file}: {made.files} files, {made.size:,} bytes; it contains secrets")
        if settings.database_file is None:
            echo("The database is not in it – tokens, webhooks, the security log: back it up now, after this.")

    emit({"file": str(file), **made.to_dict(), "database": settings.database_file is not None}, output, told)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("data", type=click.Path(file_okay=False, path_type=Path))
@does_not_ask("writes into a folder in which there is no service, and is refused elsewhere")
@output_option
def restore(file: Path, data: Path, output: str) -> None:
    """Bring the backup FILE back into DATA, a folder in which there is no service yet.

    Data planes go on by themselves: serials follow the clock, so whatever is offered next is newer than all that
    was offered before the loss. Decisions made after the backup are gone; ums log shows the last one that is not.

    \b
    Example:
      ums restore ums-2026-11-23.tar ums-data && ums serve ums-data
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    from ums.bootstrap import restore_data

    found = restore_data(settings_of(data), file)

    def table() -> None:
        echo(f"restored {data} as of {found.at}: {found.files} files")
        echo(f"Now: ums serve {data}")

    emit({"data": str(data), **found.to_dict()}, output, table)
