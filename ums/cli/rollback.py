"""``ums rollback``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ums.cli.instructing import instruction, send, to_target

if TYPE_CHECKING:
    from ums.client import Client


@click.command()
@click.argument("target", metavar="PDP|CHANNEL")
@click.argument("what", metavar="BUNDLE[/COMPONENT]")
@click.option("--to", "release", required=True, metavar="RELEASE", help="The version to go back to.")
@instruction(ends=True)
def rollback(client: Client, target: str, what: str, release: str, **options: Any) -> int:  # noqa: ANN401 - click's options
    """Take PDP (org/name), or every data plane of CHANNEL, back to an earlier release, and hold it there.

    It stays there, although the channel's head is newer, until the hold ends (14 days unless --for or
    --until says otherwise) or ums unhold ends it. Refused where an irreversible release lies between.
    """
    body = {"subject": what, "release": release}
    done = f"{target}: {what} goes back to {release}, and is held there"
    give = to_target(client.roll_back, client.roll_back_channel, target)
    return send(client, give, body, done=done, options=options)
