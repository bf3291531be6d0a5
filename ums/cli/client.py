"""The options that every command speaking to the service has, and the client they make."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import click

from ums.cli.types import DURATION, INSTANT, LINK

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from ums.client import Client
    from ums.domain.oci import Repository


def make_client(server: str | None, token: str | None, token_file: Path | None) -> Client:
    """Return a client of the service.

    Raises:
        UsageError: no server or no token was given.

    """
    from ums.client import Client

    if not server:
        raise click.UsageError("which service? Set UMS_SERVER, or give --server https://…")
    if token_file is not None:
        token = token_file.read_text().strip()
    if not token:
        raise click.UsageError("no token. Set UMS_TOKEN, or give --token-file; ums init printed the first one")
    return Client(server, token)


class Access(TypedDict):
    """How a registry is spoken to; without a login, by Docker's own configuration."""

    login: tuple[str, str] | None
    plain_http: bool


def registry_of(client: Client) -> tuple[Repository, Access]:
    """Return the prefix of a service's repositories, and how to get at it: by our token, if it is the service's own."""
    from urllib.parse import urlsplit

    from ums.domain.oci import Repository

    info = client.get_info()
    prefix = Repository.parse(info["registry"])
    embedded = prefix.registry == urlsplit(info["url"]).netloc
    return prefix, {"login": ("token", client.token) if embedded else None, "plain_http": info["plainHttp"]}


def service_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--server`` and ``--token-file``; the command receives ``client``."""

    @click.option("--server", type=LINK, envvar="UMS_SERVER", metavar="URL", help="The service.  [env: UMS_SERVER]")
    @click.option(
        "--token-file",
        envvar="UMS_TOKEN_FILE",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="File with the API token.  [env: UMS_TOKEN_FILE; or the token itself in UMS_TOKEN]",
    )
    @wraps(command)
    def wrapped(*args: Any, server: str | None, token_file: Path | None, **kwargs: Any) -> Any:  # noqa: ANN401 - passes through
        import os

        client = make_client(server, os.environ.get("UMS_TOKEN"), token_file)
        return command(*args, client=client, **kwargs)

    return wrapped


def ending_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--until`` and ``--for``, for ``until_text``."""
    until = click.option("--until", type=INSTANT, default=None, metavar="TIME", help="Ends then: 2026-12-01T06:00:00Z.")
    duration = click.option(
        "--for", "duration", type=DURATION, default=None, metavar="DURATION", help="Ends after: 36h, 14d."
    )
    return until(duration(command))


def until_text(until: datetime | None, duration: timedelta | None) -> str | None:
    """Return the end that ``--until`` or ``--for`` mean, as RFC 3339.

    Raises:
        UsageError: both were given, or it is further away than times reach.

    """
    from datetime import UTC, datetime

    from ums.domain.instants import to_text

    if until is not None and duration is not None:
        raise click.UsageError("give --until or --for, not both")
    try:
        end = until if duration is None else datetime.now(UTC) + duration
    except OverflowError as error:
        raise click.UsageError("--for reaches past the end of time") from error
    return to_text(end) if end is not None else None
