"""``ums consent``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ums.cli.asking import does_not_ask
from ums.cli.instructing import instruction, send, to_plane
from ums.cli.types import PLANE, RELEASE

if TYPE_CHECKING:
    from ums.client import Client
    from ums.domain.names import PDPName
    from ums.domain.release import ReleaseName


@click.command()
@click.argument("pdp", type=PLANE, metavar="ORG/PDP")
@click.argument("release", type=RELEASE)
@instruction(ends=True)
@does_not_ask("concerns one data plane, in its wave")
def consent(client: Client, pdp: PDPName, release: ReleaseName, **options: Any) -> int:  # noqa: ANN401 - click's options
    """Agree, for its owner, that a data plane that asks gets RELEASE (bundle@version).

    Its turn still comes with its wave and its window. For whole classes of releases there is ums pdp add
    --standing-consent, and standingConsent in its registration.

    \b
    Example:
      ums consent acme/plant platform@1.1.0 --reason "change 815 is approved"
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    done = f"{pdp}: consents to {release}"
    return send(client, to_plane(client.consent, pdp), {"release": str(release)}, done=done, options=options)
