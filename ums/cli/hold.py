"""``ums hold`` and ``ums unhold``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ums.cli.asking import asks, does_not_ask
from ums.cli.instructing import instruction, is_channel, send, to_plane, to_target
from ums.cli.types import PLANE, SUBJECT, SUBJECT_AT_RELEASE, TARGET

if TYPE_CHECKING:
    from ums.client import Client
    from ums.domain.names import PDPName
    from ums.domain.version import Version


@click.command()
@click.argument("pdp", type=PLANE)
@click.argument("what", type=SUBJECT_AT_RELEASE, metavar="BUNDLE[/COMPONENT][@RELEASE]")
@instruction(ends=True)
@does_not_ask("concerns one data plane, and ums unhold undoes it")
def hold(client: Client, pdp: PDPName, what: tuple[str, Version | None], **options: Any) -> int:  # noqa: ANN401 - click's options
    """Keep a bundle, or one component, of PDP (org/name) on a release; without RELEASE, on what it has now."""
    subject, release = what
    body = {"subject": subject, "release": str(release) if release else None}
    done = f"{pdp}: holds {subject}{f'@{release}' if release else ''}"
    return send(client, to_plane(client.hold, pdp), body, done=done, options=options)


@click.command()
@click.argument("target", type=TARGET, metavar="PDP|CHANNEL")
@click.argument("what", type=SUBJECT, metavar="BUNDLE[/COMPONENT]")
@instruction(ends=False)
@asks("lets every data plane of a channel move on", when=is_channel)
def unhold(client: Client, target: PDPName | str, what: str, **options: Any) -> int:  # noqa: ANN401 - click's options
    """End a hold, also one that a rollback left: PDP (org/name), or all of CHANNEL, moves on to the head.

    For a channel it shows its impact and asks first.
    """
    give = to_target(client.unhold, client.unhold_channel, target)
    return send(client, give, {"subject": what}, done=f"{target}: no longer holds {what}", options=options)
