"""``ums hold`` and ``ums unhold``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ums.cli.instructing import instruction, send, to_plane, to_target

if TYPE_CHECKING:
    from ums.client import Client


@click.command()
@click.argument("pdp")
@click.argument("what", metavar="BUNDLE[/COMPONENT][@RELEASE]")
@instruction(ends=True)
def hold(client: Client, pdp: str, what: str, **options: Any) -> int:  # noqa: ANN401 - click's options
    """Keep a bundle, or one component, of PDP (org/name) on a release; without RELEASE, on what it has now."""
    subject, _, release = what.partition("@")
    body = {"subject": subject, "release": release or None}
    return send(client, to_plane(client.hold, pdp), body, done=f"{pdp}: holds {what}", options=options)


@click.command()
@click.argument("target", metavar="PDP|CHANNEL")
@click.argument("what", metavar="BUNDLE[/COMPONENT]")
@instruction(ends=False)
def unhold(client: Client, target: str, what: str, **options: Any) -> int:  # noqa: ANN401 - click's options
    """End a hold, also one that a rollback left: PDP (org/name), or all of CHANNEL, moves on to the head."""
    give = to_target(client.unhold, client.unhold_channel, target)
    return send(client, give, {"subject": what}, done=f"{target}: no longer holds {what}", options=options)
