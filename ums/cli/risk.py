"""``ums risk``: named reasons not to recommend an update, and whom they concern."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ums.cli.client import pairs, service_options, until_text
from ums.cli.instructing import instruction, send, to_plane
from ums.cli.output import ago, emit, output_option, print_outcome, print_table

if TYPE_CHECKING:
    from ums.client import Client, shapes


@click.group()
def risk() -> None:
    """Declare, list, retract and accept risks: named reasons why an update is not recommended."""


@risk.command()
@click.argument("name")
@click.option("--bundle", required=True, help="The bundle whose releases bring it.")
@click.option("--releases", required=True, metavar="RANGE", help="Those that bring it: 1.4.x, '>=1.4 <1.5'.")
@click.option("--from", "from_releases", default=None, metavar="RANGE", help="Only for those who come from these.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Only with this label; may be repeated.")
@click.option("--kubernetes", default=None, metavar="RANGE", help="Only on these versions of Kubernetes.")
@click.option("--flux", default=None, metavar="RANGE", help="Only on these versions of Flux.")
@click.option(
    "--component",
    "components",
    multiple=True,
    metavar="NAME=RANGE",
    help="Only where this component runs in these versions of its own; may be repeated.",
)
@click.option("--url", default="", help="Where one reads more.")
@click.option("--message", required=True, help="What happens, for the owners of data planes.")
@click.option("--until", default=None, metavar="TIME", help="Ends then: 2026-12-01T06:00:00Z.")
@click.option("--for", "duration", default=None, metavar="DURATION", help="Ends after: 36h, 14d.")
@click.option("--reason", required=True, help="Why; it stands in the log.")
@click.option("--dry-run", is_flag=True, help="Show whom it concerns; record nothing.")
@output_option
@service_options
def declare(client: Client, name: str, dry_run: bool, output: str, **options: Any) -> None:  # noqa: ANN401 - click's options
    """Declare the risk NAME: releases it concerns are not recommended where every condition holds.

    Where a condition is not known to hold or not, nobody is moved either, and ums explain says unknown. An
    owner may take a risk: ums risk accept.

    \b
    Example:
      ums risk declare old-kernel --bundle platform --releases 1.4.x --label kernel=5.4 \\
        --message "cilium 1.17 does not start on kernel 5.4" --reason "case 4711"
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    body = {
        **{key: options[key] for key in ("bundle", "releases", "kubernetes", "flux", "url", "message", "reason")},
        "name": name,
        "from": options["from_releases"],
        "labels": pairs(options["labels"]),
        "components": pairs(options["components"]),
        "until": until_text(options["until"], options["duration"]),
        "dryRun": dry_run,
    }
    data = client.declare_risk(**body)
    done = f"risk {name}: {options['bundle']} {options['releases']} is not recommended where it applies"
    emit(data, output, lambda: print_outcome(data, done, dry_run=dry_run))


@risk.command("list")
@output_option
@service_options
def list_risks(client: Client, output: str) -> None:
    """List declared risks: which releases, for whom, and how many owners took them."""
    data = client.get_risks()

    def table() -> None:
        rows = [
            (
                each["name"],
                f"{each['bundle']} {each['releases']}",
                _condition(each),
                each["message"] + (f" ({each['url']})" if each["url"] else ""),
                f"{each['by']}, {ago(each['since'])}",
                str(each["acceptedBy"]),
            )
            for each in data["items"]
        ]
        headings = ("risk", "not recommended", "where", "message", "declared", "accepted")
        print_table(headings, rows, empty="No risk is declared.")

    emit(data, output, table)


@risk.command()
@click.argument("name")
@click.option("--reason", required=True, help="Why; it stands in the log.")
@click.option("--dry-run", is_flag=True, help="Show who would move then; record nothing.")
@output_option
@service_options
def retract(client: Client, name: str, reason: str, dry_run: bool, output: str) -> None:
    """Take the risk NAME back."""
    data = client.retract_risk(name, reason=reason, dryRun=dry_run)
    emit(data, output, lambda: print_outcome(data, f"risk {name}: retracted", dry_run=dry_run))


@risk.command()
@click.argument("pdp", metavar="ORG/PDP")
@click.argument("name")
@instruction(ends=True)
def accept(client: Client, pdp: str, name: str, **options: Any) -> int:  # noqa: ANN401 - click's options
    """Take the risk NAME for a data plane: it gets what is not recommended to it."""
    return send(client, to_plane(client.accept_risk, pdp), {"risk": name}, done=f"{pdp}: takes {name}", options=options)


def _condition(data: shapes.Risk) -> str:
    parts = [f"{key}={value}" for key, value in data["labels"].items()]
    parts += [f"{kind} {data[kind]}" for kind in ("kubernetes", "flux") if data[kind]]
    parts += [f"{name} {versions}" for name, versions in data["components"].items()]
    if data["from"]:
        parts.append(f"from {data['from']}")
    return ", ".join(parts) or "everywhere"
