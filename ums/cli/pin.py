"""``ums pin`` and ``ums unpin``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ums.cli.instructing import instruction, send, to_plane

if TYPE_CHECKING:
    from ums.client import Client


@click.command()
@click.argument("pdp")
@click.argument("what", metavar="BUNDLE[/COMPONENT][@VERSIONS]")
@instruction(ends=True)
def pin(client: Client, pdp: str, what: str, **options: Any) -> int:  # noqa: ANN401 - click's options
    """Keep a bundle, or one component, of PDP (org/name) within VERSIONS.

    VERSIONS is exact (1.4.2) or a range (~1.4, ">=1.2 <2"); without it, what is there now is meant. For a
    component its own version counts. The data plane gets the highest promoted release that fits, and all that
    is not pinned goes on moving.
    """
    subject, _, versions = what.partition("@")
    body = {"subject": subject, "versions": versions or None}
    return send(client, to_plane(client.pin, pdp), body, done=f"{pdp}: pinned {what}", options=options)


@click.command()
@click.argument("pdp")
@click.argument("what", metavar="BUNDLE[/COMPONENT]")
@instruction(ends=False)
def unpin(client: Client, pdp: str, what: str, **options: Any) -> int:  # noqa: ANN401 - click's options
    """Remove a pin: PDP (org/name) follows its channel again."""
    return send(client, to_plane(client.unpin, pdp), {"subject": what}, done=f"{pdp}: unpinned {what}", options=options)
