"""``ums init``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ums.cli.asking import does_not_ask
from ums.cli.data import settings_of
from ums.cli.output import echo, emit, output_option
from ums.cli.types import DURATION, REPOSITORY, SERVICE_URL

if TYPE_CHECKING:
    from datetime import timedelta

    from ums.domain.oci import Repository


@click.command()
@click.argument("data", type=click.Path(file_okay=False, path_type=Path), default=Path("ums-data"))
@click.option(
    "--url", type=SERVICE_URL, required=True, help="Where data planes reach the service, e.g. https://ums.example.com."
)
@click.option(
    "--release-key",
    "release_keys",
    multiple=True,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Public half of a release key; its file name (without .pub) becomes the signer's name. May be repeated.",
)
@click.option(
    "--registry",
    type=REPOSITORY,
    default=None,
    help="Prefix of all repositories.  [default: the embedded one, at --url]",
)
@click.option("--plain-http", is_flag=True, help="The registry speaks HTTP. Only for tests and loopback.")
@click.option(
    "--channels",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of your own channels, <channel>/policy.yaml.  [default: edge, candidate, stable, lts]",
)
@click.option(
    "--topology",
    type=click.Choice(["view", "shared"]),
    default="view",
    show_default=True,
    help="What data planes follow: each its own view, or all the release repo, which they can read then.",
)
@click.option("--interval", type=DURATION, default="1m", show_default=True, help="How often Flux polls.")
@click.option(
    "--root-timeout",
    type=DURATION,
    default="5m",
    show_default=True,
    help="How long a data plane may take to be healthy.",
)
@click.option("--validity", type=DURATION, default="7d", show_default=True, help="How long an offer may be taken.")
@does_not_ask("makes what is not there, and is refused where it is")
@output_option
def init(
    data: Path,
    url: str,
    release_keys: tuple[Path, ...],
    registry: Repository | None,
    plain_http: bool,
    channels: Path | None,
    topology: str,
    interval: timedelta,
    root_timeout: timedelta,
    validity: timedelta,
    output: str,
) -> None:
    """Make a service's data in DATA: state keys, master secret, release repo with four channels, first token.

    The token is shown once. Carry offline-state.key away to a safe place: every data plane trusts it from
    bootstrap on, and it is the way back if the state key is lost or stolen.

    The token goes into the database that the settings name: see ums config check.
    """
    from urllib.parse import urlsplit

    from ums.bootstrap import initialize
    from ums.domain.oci import Repository
    from ums.domain.world import Topology
    from ums.usecases.initialize import Seed

    parts = urlsplit(url)
    seed = Seed(
        url=url,
        registry=registry or Repository.parse(f"{parts.netloc}/ums"),
        signers={path.name.removesuffix(".pub"): path.read_text() for path in release_keys},
        state_keys=(),
        plain_http=plain_http or (registry is None and parts.scheme == "http"),
        registry_login=registry is None,
        topology=Topology(topology),
        interval=interval,
        root_timeout=root_timeout,
        validity=validity,
    )
    made = initialize(settings_of(data), seed, channels)
    report = {"data": str(data), "token": made.token, "offlineStateKey": str(made.offline_state_key)}

    def table() -> None:
        echo(f"initialized {data}")
        echo(f"  carry away   {made.offline_state_key}  (the second state key; the service does not need it)")
        echo(f"  admin token  {made.token}  (shown once)")
        echo()
        echo(f"Now: ums serve {data}")
        echo(f"     export UMS_SERVER={url} UMS_TOKEN=…")

    emit(report, output, table)
