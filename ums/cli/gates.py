"""``ums gates``, ``ums approve`` and ``ums reject``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ums.cli.asking import does_not_ask
from ums.cli.client import service_options
from ums.cli.output import echo, emit, output_option, print_gates, print_recorded
from ums.cli.types import CHANNEL, RELEASE
from ums.outcomes import OUTCOMES

if TYPE_CHECKING:
    from ums.client import Client, shapes
    from ums.domain.release import ReleaseName


@click.command()
@click.argument("release", type=RELEASE)
@click.option("--to", "channel", type=CHANNEL, required=True, metavar="CHANNEL", help="The channel it shall go to.")
@click.option("--expedite", is_flag=True, help="By the channel's fast path.")
@output_option
@service_options
def gates(client: Client, release: ReleaseName, channel: str, expedite: bool, output: str) -> int:
    """Show what stands between RELEASE (bundle@version) and a channel: every gate, until when, who can change it.

    Exit code 3: a gate is closed.

    \b
    Example:
      ums gates platform@1.1.0 --to stable
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    from ums.domain.errors import RefusedError

    data = client.get_gates(channel, release=str(release), expedite=expedite)
    emit(data, output, lambda: _print_asked(data))
    return 0 if data["open"] else OUTCOMES[RefusedError].exit_code


@click.command()
@click.argument("release", type=RELEASE)
@click.option("--to", "channel", type=CHANNEL, required=True, metavar="CHANNEL", help="The channel it shall go to.")
@click.option("--reason", default="", help="Why; it stands in the log.")
@click.option("--dry-run", is_flag=True, help="Show what it would open; record nothing.")
@does_not_ask("ums reject takes it back")
@output_option
@service_options
def approve(client: Client, release: ReleaseName, channel: str, output: str, **body: Any) -> None:  # noqa: ANN401
    """Agree that RELEASE (bundle@version) goes to a channel.

    It counts for this very release under the channel's policy of today, and only if you are not its author.

    \b
    Example:
      ums approve platform@1.1.0 --to stable --reason "release notes read"
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    _answer(client, release, channel, output, body)


@click.command()
@click.argument("release", type=RELEASE)
@click.option("--to", "channel", type=CHANNEL, required=True, metavar="CHANNEL", help="The channel it shall not go to.")
@click.option("--reason", required=True, help="Why; it stands in the log.")
@click.option("--dry-run", is_flag=True, help="Show what it would close; record nothing.")
@does_not_ask("ums approve takes it back")
@output_option
@service_options
def reject(client: Client, release: ReleaseName, channel: str, output: str, **body: Any) -> None:  # noqa: ANN401
    """Say no to RELEASE (bundle@version) in a channel; a later ums approve of yours takes it back.

    \b
    Example:
      ums reject platform@1.1.0 --to stable --reason "latency doubled in candidate"
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    _answer(client, release, channel, output, {**body, "rejects": True})


def _answer(client: Client, release: ReleaseName, channel: str, output: str, body: dict[str, Any]) -> None:
    dry_run = body.pop("dry_run")
    data = client.approve(channel, release=str(release), dryRun=dry_run, **body)
    done = f"{release} to {channel}: {'rejected' if body.get('rejects') else 'approved'}"

    def table() -> None:
        print_recorded(data, done, dry_run=dry_run)
        print_gates([gate for gate in data["gates"] if gate["gate"] in {"approvals", "expedite"}])
        closed = [gate["gate"] for gate in data["gates"] if gate["verdict"] not in {"passed", "skipped"}]
        echo(f"  it still waits for {', '.join(closed)}" if closed else "  all gates are open")

    emit(data, output, table)


def _print_asked(data: shapes.Gates) -> None:
    closed = sum(gate["verdict"] not in {"passed", "skipped"} for gate in data["gates"])
    verdict = f"{closed} of {len(data['gates'])} gates closed" if closed else "all gates are open"
    echo(f"{data['release']} to {data['channel']}: {verdict}", bold=True)
    print_gates(data["gates"])
