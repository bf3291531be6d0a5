"""``ums report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ums.cli.asking import does_not_ask
from ums.cli.cluster import FILE, cluster_of, cluster_options, read_text
from ums.cli.output import echo, emit, output_option
from ums.cli.types import LINK, NAMESPACE, PLANE

if TYPE_CHECKING:
    from ums.domain.names import PDPName


@click.command()
@click.option("--server", type=LINK, envvar="UMS_SERVER", metavar="URL", help="The service.  [env: UMS_SERVER]")
@click.option("--pdp", type=PLANE, required=True, metavar="ORG/PDP", help="Whose cluster this is.")
@click.option("--key-file", type=FILE, help="The key of its events: what Secret ums-events holds as token.")
@click.option(
    "--flux-namespace", type=NAMESPACE, default="flux-system", show_default=True, help="Where Flux's Deployments are."
)
@cluster_options
@click.option("--dry-run", is_flag=True, help="Print what would be sent; send nothing.")
@does_not_ask("tells what is there")
@output_option
def report(server: str | None, pdp: PDPName, key_file: Path | None, dry_run: bool, output: str, **options: Any) -> None:  # noqa: ANN401 - click's options
    """Tell the service what a cluster has: the versions of Kubernetes and Flux, and the images that run there.

    It runs in that cluster, as the CronJob that ums pdp bootstrap --reporter writes, and reads nothing else.

    \b
    Examples:
      ums report --pdp acme/prod --key-file /var/run/ums/token
      ums report --pdp acme/prod --dry-run -o json --kube-url https://127.0.0.1:6443 --kube-ca ca.crt \\
        --kube-token-file token
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    from ums.adapters.kube_reader import KubeReader
    from ums.adapters.system_clock import SystemClock
    from ums.client import Client
    from ums.usecases.report_cluster import ReportCluster

    if not dry_run and (not server or key_file is None):
        raise click.UsageError("where to, and signed with what? Give --server and --key-file, or --dry-run")
    key = read_text(key_file) if key_file is not None else ""
    reader = KubeReader(*cluster_of(options))
    said, left_out = ReportCluster(reader, SystemClock())(flux_namespace=options["flux_namespace"])
    recorded = None
    if server and key_file is not None and not dry_run:
        recorded = Client(server, "").report(pdp, said, key=key)
    emit(
        {**said, "leftOut": left_out, "recorded": recorded},
        output,
        lambda: _print(
            pdp, said, left_out, sent="would be sent" if dry_run else "sent" if recorded else "known already"
        ),
    )


def _print(pdp: object, said: dict[str, Any], left_out: int, *, sent: str) -> None:
    versions = f"Kubernetes {said['kubernetes'] or 'unknown'}, Flux {said['flux'] or 'unknown'}"
    more = f" ({left_out} more do not fit)" if left_out else ""
    echo(f"{pdp}: {versions}, {len(said['images'])} images{more}: {sent}")
