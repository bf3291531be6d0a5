"""``ums flux``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ums.cli.asking import does_not_ask
from ums.cli.cluster import cluster_of, cluster_options
from ums.cli.output import echo, emit, output_option

if TYPE_CHECKING:
    from ums.usecases.migrate_stored_versions import Migrated


@click.group()
def flux() -> None:
    """Prepare a cluster for an update of Flux itself."""


@flux.command()
@cluster_options
@click.option("--dry-run", is_flag=True, help="Say what would be written; write nothing.")
@does_not_ask("writes what is there once more, unchanged")
@output_option
def migrate(*, dry_run: bool, output: str, **options: Any) -> None:  # noqa: ANN401 - click's options
    """Store every object of Flux's APIs in the version of today, so that an update may drop older ones.

    Definitions of *.toolkit.fluxcd.io whose objects may be stored in several versions have all of them written once
    more, unchanged; then their status names the one version alone. It runs in that cluster, may be run again at any
    time, and has nothing to do where that was done.

    \b
    Examples:
      ums flux migrate
      ums flux migrate --dry-run -o json --kube-url https://127.0.0.1:6443 --kube-ca ca.crt --kube-token-file token
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    from ums.adapters.kube_custom_resources import KubeCustomResources
    from ums.usecases.migrate_stored_versions import MigrateStoredVersions

    done = []
    for each in MigrateStoredVersions(KubeCustomResources(*cluster_of(options)))(dry_run=dry_run):
        done.append(each)
        if output == "table":
            echo(_line(each, dry_run=dry_run))
    emit(
        {"dryRun": dry_run, "definitions": [_view(each) for each in done]},
        output,
        lambda: None if done else echo("every object is stored in the version of today"),
    )


def _line(each: Migrated, *, dry_run: bool) -> str:
    definition = each.definition
    return (
        f"{definition.name}: {', '.join(definition.outdated)} -> {definition.storage}, "
        f"{each.objects} object{'s' if each.objects != 1 else ''}{' would be' if dry_run else ''} written"
    )


def _view(each: Migrated) -> dict[str, Any]:
    definition = each.definition
    return {
        "name": definition.name,
        "storage": definition.storage,
        "outdated": list(definition.outdated),
        "objects": each.objects,
    }
