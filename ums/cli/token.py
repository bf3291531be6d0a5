"""``ums token``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ums.cli.client import service_options, until_text
from ums.cli.output import ago, echo, emit, output_option, print_table

if TYPE_CHECKING:
    from ums.client import Client


@click.group()
def token() -> None:
    """Issue, list and revoke API tokens."""


@token.command()
@click.argument("subject")
@click.option(
    "--group",
    "groups",
    multiple=True,
    required=True,
    help="A role: viewer, approver, publisher, release-engineer, operator, admin; or a group that approves. "
    "May be repeated.",
)
@click.option("--bundle", "bundles", multiple=True, help="Limit it to a bundle; may be repeated.")
@click.option("--channel", "channels", multiple=True, help="Limit it to a channel; may be repeated.")
@click.option("--org", "orgs", multiple=True, help="Limit it to an organization's data planes; may be repeated.")
@click.option("--for", "duration", default="90d", show_default=True, help="How long it is valid.")
@output_option
@service_options
def create(
    client: Client,
    subject: str,
    groups: tuple[str, ...],
    duration: str,
    output: str,
    **limits: tuple[str, ...],
) -> None:
    """Issue a token to SUBJECT. It is shown once: only its hash is kept.

    Besides a role it may have groups of your own, which channels' policies name in their approvals.

    \b
    Examples:
      ums token create ci --group publisher --bundle platform
      ums token create sam --group viewer --group security
      ums token create olga --group operator --org acme
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    data = client.issue_token(
        subject=subject,
        groups=list(groups),
        expires=until_text(None, duration),
        bundles=list(limits["bundles"]),
        channels=list(limits["channels"]),
        orgs=list(limits["orgs"]),
    )
    emit(data, output, lambda: echo(data["token"]))


@token.command("list")
@output_option
@service_options
def list_tokens(client: Client, output: str) -> None:
    """List tokens: whose they are, what they may, when they end, when they were last used. Never the tokens."""
    data = client.get_tokens()

    def table() -> None:
        rows = [
            (
                each["id"],
                each["subject"],
                ", ".join(each["groups"]),
                ", ".join([*each["bundles"], *each["channels"], *each["orgs"]]) or "–",
                each["expires"] or "never",
                ago(each["lastUsed"]) if each["lastUsed"] else "never",
            )
            for each in data["items"]
        ]
        print_table(("id", "subject", "groups", "limited to", "ends", "last used"), rows, empty="No tokens.")

    emit(data, output, table)


@token.command()
@click.argument("token_id", metavar="ID")
@output_option
@service_options
def revoke(client: Client, token_id: str, output: str) -> None:
    """End the token of an ID, at once; ums token list shows the ids."""
    data = client.revoke_token(token_id)
    emit(data, output, lambda: echo(f"{token_id} is revoked"))
