"""``ums override``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from ums.cli.asking import does_not_ask
from ums.cli.client import service_options
from ums.cli.output import OPEN_GATES, echo, emit, output_option, print_gates, print_recorded
from ums.cli.types import CHANNEL, RELEASE

if TYPE_CHECKING:
    from ums.client import Client
    from ums.domain.release import ReleaseName


@click.command()
@click.argument("gate", type=click.Choice(["regression"]))
@click.argument("release", type=RELEASE)
@click.option("--to", "channel", type=CHANNEL, required=True, metavar="CHANNEL", help="Target channel.")
@click.option("--reason", required=True, help="Reason, recorded in the audit log and on the release.")
@click.option("--cancel", "cancels", is_flag=True, help="Withdraw the override, while the promotion waits.")
@click.option("--dry-run", is_flag=True, help="Show what it would open; record nothing.")
@does_not_ask("promotes nothing: all gates are asked again when somebody does")
@output_option
@service_options
def override(
    client: Client,
    gate: Literal["regression"],
    release: ReleaseName,
    channel: str,
    reason: str,
    cancels: bool,
    dry_run: bool,
    output: str,
) -> None:
    """Let RELEASE (bundle@version) past GATE into one channel, although it loses fixes or has older components.

    The override is valid for this release under the current policy of the channel, and for what the gate says now.

    \b
    Example:
      ums override regression platform@1.1.0 --to stable --reason "1.16.4 loses packets, CVE-2026-0001 needs IPv6"
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    name = str(release)
    data = client.override_gate(channel, release=name, gate=gate, reason=reason, cancels=cancels, dryRun=dry_run)
    done = f"{release} to {channel}: gate {gate} {'no longer ' if cancels else ''}overridden"

    def table() -> None:
        print_recorded(data, done, dry_run=dry_run)
        print_gates([each for each in data["gates"] if each["gate"] == gate])
        closed = [each["gate"] for each in data["gates"] if each["verdict"] not in OPEN_GATES]
        echo(f"  it still waits for {', '.join(closed)}" if closed else "  all gates are open")

    emit(data, output, table)
