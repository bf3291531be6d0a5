"""``ums freeze`` and ``ums thaw``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from ums.cli.asking import asks, carry_out
from ums.cli.client import ending_options, service_options, until_text
from ums.cli.output import ago, echo, output_option, planes_text, print_outcome, print_recorded
from ums.cli.types import BUNDLE, CHANNEL, NAME, ORG, PLANE

if TYPE_CHECKING:
    from ums.client import Client, shapes


@click.command()
@click.argument("name", type=NAME, required=False)
@click.option("--channel", type=CHANNEL, default=None, help="Only this channel.")
@click.option("--bundle", type=BUNDLE, default=None, help="Only this bundle.")
@click.option("--org", type=ORG, default=None, help="Only the data planes of this organization.")
@click.option("--pdp", type=PLANE, default=None, metavar="ORG/PDP", help="Only this data plane.")
@ending_options
@click.option("--reason", required=True, help="Why; it stands in the log.")
@click.option("--dry-run", is_flag=True, help="Show what it covers; record nothing.")
@asks("stops all data planes within its scope, fixes included")
@output_option
@service_options
def freeze(client: Client, name: str | None, dry_run: bool, output: str, **options: Any) -> None:  # noqa: ANN401, ARG001 - click's options
    """Stop promotions and moves, now: of everything, or of what the options narrow it to.

    NAME is how ums thaw lifts it; without one it follows from the scope: everything, channel-stable. Holds,
    rollbacks and recalls wait too. ums status shows what is frozen. It shows its impact and asks first.

    \b
    Examples:
      ums freeze --reason "incident 4711"
      ums freeze holidays --channel stable --until 2027-01-04T06:00:00Z --reason "nobody is there"
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    until = until_text(options.pop("until"), options.pop("duration"))
    plane = options.pop("pdp")
    body = {"name": name, **options, "pdp": str(plane) if plane else None, "until": until}

    def show(data: shapes.Frozen, dry_run: bool) -> None:
        print_recorded(data, f"{data['covers']}: frozen", dry_run=dry_run)
        echo(f"  it stops {planes_text(data['dataPlanes'])}")
        if not data["dataPlanes"]:
            echo("  nobody is within it now: is the scope as you meant it?", fg="yellow")
        echo(f"  ums thaw {data['name']} --reason … lifts it")

    carry_out(lambda dry_run: client.freeze(**body, dryRun=dry_run), show)


@click.command()
@click.argument("name", type=NAME)
@click.option("--reason", required=True, help="Why; it stands in the log.")
@click.option("--dry-run", is_flag=True, help="Show who would move then; record nothing.")
@asks("lets all data planes within its scope move on")
@output_option
@service_options
def thaw(client: Client, name: str, reason: str, dry_run: bool, output: str) -> None:  # noqa: ARG001 - carry_out reads them
    """Lift the freeze NAME: what it stopped goes on. It shows its impact and asks first.

    \b
    Example:
      ums thaw everything --reason "incident 4711 is over"
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    carry_out(
        lambda dry_run: client.thaw(name=name, reason=reason, dryRun=dry_run),
        lambda data, dry_run: _print_thawed(data, name, dry_run=dry_run),
    )


def _print_thawed(data: shapes.Named, name: str, *, dry_run: bool) -> None:
    print_outcome(data, f"{name}: thawed", dry_run=dry_run)
    if data["already"]:
        echo("  nothing is frozen by that name; ums status shows what is", fg="yellow")


def print_freeze(each: Mapping[str, Any]) -> None:
    """Print a freeze in force, so that nobody overlooks it."""
    until = f", until {each['until']}" if each["until"] else ""
    text = f"❄ FROZEN: {each['covers']} by {each['by']} {ago(each['since'])}{until}: {each['reason']}"
    echo(text, fg="cyan", bold=True)
    echo(f"  it stops {planes_text(each['dataPlanes'])}; ums thaw {each['name']} --reason … lifts it")
