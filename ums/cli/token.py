"""``ums token``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ums.cli.client import service_options, until_text
from ums.cli.output import emit, output_option

if TYPE_CHECKING:
    from ums.adapters.service_client import ServiceClient


@click.group()
def token() -> None:
    """Issue API tokens."""


@token.command()
@click.argument("subject")
@click.option(
    "--group",
    "groups",
    multiple=True,
    required=True,
    help="A role: viewer, publisher, release-engineer, operator, admin; or a group that approves. May be repeated.",
)
@click.option("--bundle", "bundles", multiple=True, help="Limit it to a bundle; may be repeated.")
@click.option("--for", "duration", default="90d", show_default=True, help="How long it is valid.")
@output_option
@service_options
def create(
    client: ServiceClient, subject: str, groups: tuple[str, ...], bundles: tuple[str, ...], duration: str, output: str
) -> None:
    """Issue a token to SUBJECT. It is shown once: only its hash is kept.

    Besides a role it may have groups of your own, which channels' policies name in their approvals.

    \b
    Examples:
      ums token create ci --group publisher --bundle platform
      ums token create sam --group viewer --group security
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    body = {
        "subject": subject,
        "groups": list(groups),
        "bundles": list(bundles),
        "expires": until_text(None, duration),
    }
    data = client.post("/tokens", body)
    emit(data, output, lambda: click.echo(data["token"]))
