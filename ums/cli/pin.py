"""``ums pin`` and ``ums unpin``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ums.cli.asking import does_not_ask
from ums.cli.instructing import instruction, send, to_plane
from ums.cli.types import PLANE, SUBJECT, SUBJECT_AT_VERSIONS

if TYPE_CHECKING:
    from ums.client import Client
    from ums.domain.names import PDPName
    from ums.domain.version import VersionRange


@click.command()
@click.argument("pdp", type=PLANE)
@click.argument("what", type=SUBJECT_AT_VERSIONS, metavar="BUNDLE[/COMPONENT][@VERSIONS]")
@instruction(ends=True)
@does_not_ask("concerns one data plane, and ums unpin undoes it")
def pin(client: Client, pdp: PDPName, what: tuple[str, VersionRange | None], **options: Any) -> int:  # noqa: ANN401 - click's options
    """Keep a bundle, or one component, of PDP (org/name) within VERSIONS.

    VERSIONS is exact (1.4.2) or a range (~1.4, ">=1.2 <2"); without it, what is there now is meant. For a
    component its own version counts. The data plane gets the highest promoted release that fits, and all that
    is not pinned goes on moving.
    """
    subject, versions = what
    body = {"subject": subject, "versions": str(versions) if versions else None}
    done = f"{pdp}: pinned {subject}{f'@{versions}' if versions else ''}"
    return send(client, to_plane(client.pin, pdp), body, done=done, options=options)


@click.command()
@click.argument("pdp", type=PLANE)
@click.argument("what", type=SUBJECT, metavar="BUNDLE[/COMPONENT]")
@instruction(ends=False)
@does_not_ask("concerns one data plane, which goes on as its channel does")
def unpin(client: Client, pdp: PDPName, what: str, **options: Any) -> int:  # noqa: ANN401 - click's options
    """Remove a pin: PDP (org/name) follows its channel again."""
    return send(client, to_plane(client.unpin, pdp), {"subject": what}, done=f"{pdp}: unpinned {what}", options=options)
