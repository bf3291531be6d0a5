"""``ums consent``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ums.cli.instructing import instruction, send, to_plane

if TYPE_CHECKING:
    from ums.client import Client


@click.command()
@click.argument("pdp", metavar="ORG/PDP")
@click.argument("release")
@instruction(ends=True)
def consent(client: Client, pdp: str, release: str, **options: Any) -> int:  # noqa: ANN401 - click's options
    """Agree, for its owner, that a data plane that asks gets RELEASE (bundle@version).

    Its turn still comes with its wave and its window. For whole classes of releases there is ums pdp add
    --standing-consent, and standingConsent in its registration.

    \b
    Example:
      ums consent acme/plant platform@1.1.0 --reason "change 815 is approved"
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    done = f"{pdp}: consents to {release}"
    return send(client, to_plane(client.consent, pdp), {"release": release}, done=done, options=options)
