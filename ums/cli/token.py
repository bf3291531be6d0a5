"""``ums token``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ums.cli.asking import asks, carry_out, does_not_ask
from ums.cli.client import service_options, until_text
from ums.cli.output import ago, echo, emit, output_option, print_table
from ums.cli.types import BUNDLE, CHANNEL, DURATION, ORG, TOKEN_ID

if TYPE_CHECKING:
    from datetime import timedelta

    from ums.client import Client, shapes


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
@click.option("--bundle", "bundles", type=BUNDLE, multiple=True, help="Limit it to a bundle; may be repeated.")
@click.option("--channel", "channels", type=CHANNEL, multiple=True, help="Limit it to a channel; may be repeated.")
@click.option(
    "--org", "orgs", type=ORG, multiple=True, help="Limit it to an organization's data planes; may be repeated."
)
@click.option("--for", "duration", type=DURATION, default="90d", show_default=True, help="How long it is valid.")
@does_not_ask("ums token revoke undoes it")
@output_option
@service_options
def create(
    client: Client,
    subject: str,
    groups: tuple[str, ...],
    duration: timedelta,
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
@click.argument("token_id", type=TOKEN_ID, metavar="ID")
@click.option("--dry-run", is_flag=True, help="Show whose it is; end nothing.")
@asks("cannot be undone: what uses the token is cut off at once")
@output_option
@service_options
def revoke(client: Client, token_id: str, dry_run: bool, output: str) -> None:  # noqa: ARG001 - carry_out reads them
    """End the token of an ID, at once; ums token list shows the ids. It shows whose it is, and asks first."""

    def show(data: shapes.Revoked, dry_run: bool) -> None:
        echo(f"dry run: {token_id} would be revoked" if dry_run else f"{token_id} is revoked")
        used = f"last used {ago(data['lastUsed'])}" if data["lastUsed"] else "never used"
        echo(f"  whatever uses it is cut off: it is {data['subject']}'s, {used}")

    carry_out(lambda dry_run: client.revoke_token(token_id, dryRun=dry_run), show)
