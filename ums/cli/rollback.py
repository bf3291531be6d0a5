"""``ums rollback``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ums.cli.instructing import instruction, send, target_path

if TYPE_CHECKING:
    from ums.adapters.service_client import ServiceClient


@click.command()
@click.argument("target", metavar="PDP|CHANNEL")
@click.argument("what", metavar="BUNDLE[/COMPONENT]")
@click.option("--to", "release", required=True, metavar="RELEASE", help="The version to go back to.")
@instruction(ends=True)
def rollback(client: ServiceClient, target: str, what: str, release: str, **options: Any) -> int:  # noqa: ANN401 - click's options
    """Take PDP (org/name), or every data plane of CHANNEL, back to an earlier release, and hold it there.

    It stays there, although the channel's head is newer, until the hold ends (14 days unless --for or
    --until says otherwise) or ums unhold ends it. Refused where an irreversible release lies between.
    """
    body = {"subject": what, "release": release}
    done = f"{target}: {what} goes back to {release}, and is held there"
    return send(client, target_path(target, "rollbacks"), body, done=done, options=options)
