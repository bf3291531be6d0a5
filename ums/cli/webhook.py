"""``ums webhook``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ums.cli.asking import asks, carry_out, does_not_ask
from ums.cli.client import service_options
from ums.cli.output import echo, emit, output_option, print_table
from ums.cli.types import CHANNEL, NAME, URL

if TYPE_CHECKING:
    from ums.client import Client, shapes


@click.group()
def webhook() -> None:
    """Tell other systems what happens: add, list and remove webhooks; see and repeat deliveries."""


@webhook.command()
@click.argument("name", type=NAME)
@click.option("--url", type=URL, envvar="UMS_WEBHOOK_URL", required=True, help="Where to post.  [env: UMS_WEBHOOK_URL]")
@click.option("--kind", "kinds", multiple=True, help="Only these: rollout, rollout.halted; may be repeated.")
@click.option(
    "--channel", "channels", type=CHANNEL, multiple=True, help="Only what concerns these channels; may be repeated."
)
@click.option("--slack", is_flag=True, help="In words, as Slack's incoming webhooks want it, instead of CloudEvents.")
@click.option("--private", is_flag=True, help="The receiver may be at an address that is not public, and speak HTTP.")
@does_not_ask("ums webhook remove undoes it")
@output_option
@service_options
def add(
    client: Client,
    name: str,
    url: str,
    kinds: tuple[str, ...],
    channels: tuple[str, ...],
    slack: bool,
    private: bool,
    output: str,
) -> None:
    """Add a webhook; it is told what happens from now on. The secret that signs is shown once.

    Signed as Standard Webhooks say: webhook-id, webhook-timestamp, webhook-signature. The id of an event stays the
    same when it is sent again. The URL is shown to nobody: it may hold a secret of the receiver.

    \b
    Examples:
      ums webhook add chat --url https://hooks.slack.com/services/… --slack --kind rollout --channel stable
      ums webhook add audit --url https://events.example.com/ums
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    data = client.add_webhook(
        name=name,
        url=url,
        kinds=list(kinds),
        channels=list(channels),
        private=private,
        form="slack" if slack else "cloudevents",
    )
    emit(data, output, lambda: _print_added(name, data["secret"]))


@webhook.command("list")
@output_option
@service_options
def list_webhooks(client: Client, output: str) -> None:
    """List webhooks, without their URLs and secrets."""
    data = client.get_webhooks()

    def table() -> None:
        rows = [
            (each["name"], each["form"], ", ".join(each["kinds"]) or "all", ", ".join(each["channels"]) or "all")
            for each in data["items"]
        ]
        print_table(("name", "form", "kinds", "channels"), rows, empty="No webhooks: ums webhook add adds one.")

    emit(data, output, table)


@webhook.command()
@click.argument("name", type=NAME)
@click.option("--dry-run", is_flag=True, help="Show what would happen; remove nothing.")
@asks("cannot be undone: its URL and secret are shown to nobody")
@output_option
@service_options
def remove(client: Client, name: str, dry_run: bool, output: str) -> None:  # noqa: ARG001 - carry_out reads them
    """Remove a webhook, and drop what is on its way. It asks first."""

    def show(_data: shapes.Removed, dry_run: bool) -> None:
        echo(f"dry run: {name} would be removed" if dry_run else f"{name} is removed")
        echo("  its receiver is cut off, and what is on its way to it is dropped")

    carry_out(lambda dry_run: client.remove_webhook(name, dryRun=dry_run), show)


@webhook.command()
@click.argument("name", type=NAME)
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="How many.")
@output_option
@service_options
def deliveries(client: Client, name: str, limit: int, output: str) -> None:
    """Show what was sent to a webhook, newest first, and what became of it. Kept for 14 days."""
    data = client.get_deliveries(name, limit=limit)

    def table() -> None:
        rows = [
            (
                str(each["id"]),
                each["kind"],
                each["subject"],
                each["status"],
                str(each["attempts"]),
                each["error"] or "–",
            )
            for each in data["items"]
        ]
        headings = ("id", "kind", "subject", "status", "attempts", "last error")
        print_table(headings, rows, empty="Nothing was sent to it yet.")

    emit(data, output, table)


@webhook.command()
@click.argument("delivery", type=click.IntRange(min=0))
@does_not_ask("sends what was sent before")
@output_option
@service_options
def replay(client: Client, delivery: int, output: str) -> None:
    """Send a DELIVERY once more, with the same id; ums webhook deliveries shows their numbers."""
    data = client.replay_delivery(str(delivery))
    emit(data, output, lambda: echo(f"delivery {delivery} is sent again"))


def _print_added(name: str, secret: str) -> None:
    echo(f"{name} is told from now on")
    echo(f"  secret  {secret}  (shown once)")
