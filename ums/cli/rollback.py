"""``ums rollback``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ums.cli.asking import asks
from ums.cli.instructing import instruction, is_channel, send, to_target
from ums.cli.types import SUBJECT, TARGET, VERSION

if TYPE_CHECKING:
    from ums.client import Client
    from ums.domain.names import PDPName
    from ums.domain.version import Version


@click.command()
@click.argument("target", type=TARGET, metavar="PDP|CHANNEL")
@click.argument("what", type=SUBJECT, metavar="BUNDLE[/COMPONENT]")
@click.option(
    "--to", "release", type=VERSION, required=True, metavar="VERSION", help="The version of the release to go back to."
)
@instruction(ends=True)
@asks("takes every data plane of a channel back at once, without waves", when=is_channel)
def rollback(client: Client, target: PDPName | str, what: str, release: Version, **options: Any) -> int:  # noqa: ANN401 - click's options
    """Take PDP (org/name), or every data plane of CHANNEL, back to an earlier release, and hold it there.

    It stays there, although the channel's head is newer, until the hold ends (14 days unless --for or
    --until says otherwise) or ums unhold ends it. Refused where an irreversible release lies between.

    For a channel it shows its impact and asks first.
    """
    body = {"subject": what, "release": str(release)}
    done = f"{target}: {what} goes back to {release}, and is held there"
    give = to_target(client.roll_back, client.roll_back_channel, target)
    return send(client, give, body, done=done, options=options)
