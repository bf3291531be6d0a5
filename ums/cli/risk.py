"""``ums risk``: named reasons not to recommend an update, and whom they concern."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ums.cli.asking import asks, carry_out, does_not_ask
from ums.cli.client import ending_options, service_options, until_text
from ums.cli.instructing import instruction, send, to_plane
from ums.cli.output import ago, emit, output_option, print_outcome, print_table
from ums.cli.types import BUNDLE, COMPONENT_RANGE, LABEL, LINK, NAME, PLANE, VERSION_RANGE

if TYPE_CHECKING:
    from ums.client import Client, shapes
    from ums.domain.names import PDPName
    from ums.domain.version import VersionRange


@click.group()
def risk() -> None:
    """Declare, list, retract and accept risks: named reasons why an update is not recommended."""


@risk.command()
@click.argument("name", type=NAME)
@click.option("--bundle", type=BUNDLE, required=True, help="The bundle whose releases bring it.")
@click.option(
    "--releases", type=VERSION_RANGE, required=True, metavar="RANGE", help="Those that bring it: 1.4.x, '>=1.4 <1.5'."
)
@click.option(
    "--from",
    "from_releases",
    type=VERSION_RANGE,
    default=None,
    metavar="RANGE",
    help="Only for those who come from these.",
)
@click.option(
    "--label", "labels", type=LABEL, multiple=True, metavar="KEY=VALUE", help="Only with this label; may be repeated."
)
@click.option(
    "--kubernetes", type=VERSION_RANGE, default=None, metavar="RANGE", help="Only on these versions of Kubernetes."
)
@click.option("--flux", type=VERSION_RANGE, default=None, metavar="RANGE", help="Only on these versions of Flux.")
@click.option(
    "--component",
    "components",
    type=COMPONENT_RANGE,
    multiple=True,
    metavar="NAME=RANGE",
    help="Only where this component runs in these versions of its own; may be repeated.",
)
@click.option("--url", type=LINK, default=None, help="Where one reads more.")
@click.option("--message", required=True, help="What happens, for the owners of data planes.")
@ending_options
@click.option("--reason", required=True, help="Why; it stands in the log.")
@click.option("--dry-run", is_flag=True, help="Show whom it concerns; record nothing.")
@asks("stops releases for all data planes that it concerns")
@output_option
@service_options
def declare(client: Client, name: str, dry_run: bool, output: str, **options: Any) -> None:  # noqa: ANN401, ARG001 - click's options
    """Declare the risk NAME: releases it concerns are not recommended where every condition holds.

    Where a condition is not known to hold or not, nobody is moved either, and ums explain says unknown. An
    owner may take a risk: ums risk accept. It shows its impact and asks first.

    \b
    Example:
      ums risk declare old-kernel --bundle platform --releases 1.4.x --label kernel=5.4 \\
        --message "cilium 1.17 does not start on kernel 5.4" --reason "case 4711"
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    body = {
        **{key: options[key] for key in ("bundle", "message", "reason")},
        **{key: _text(options[key]) for key in ("releases", "kubernetes", "flux")},
        "name": name,
        "url": options["url"] or "",
        "from": _text(options["from_releases"]),
        "labels": dict(options["labels"]),
        "components": {component: str(versions) for component, versions in options["components"]},
        "until": until_text(options["until"], options["duration"]),
    }
    done = f"risk {name}: {options['bundle']} {options['releases']} is not recommended where it applies"
    carry_out(
        lambda dry_run: client.declare_risk(**body, dryRun=dry_run),
        lambda data, dry_run: print_outcome(data, done, dry_run=dry_run),
    )


def _text(versions: VersionRange | None) -> str | None:
    return str(versions) if versions is not None else None


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
@click.argument("name", type=NAME)
@click.option("--reason", required=True, help="Why; it stands in the log.")
@click.option("--dry-run", is_flag=True, help="Show who would move then; record nothing.")
@asks("lets all data planes that it concerned move")
@output_option
@service_options
def retract(client: Client, name: str, reason: str, dry_run: bool, output: str) -> None:  # noqa: ARG001 - carry_out reads them
    """Take the risk NAME back. It shows its impact and asks first."""
    carry_out(
        lambda dry_run: client.retract_risk(name, reason=reason, dryRun=dry_run),
        lambda data, dry_run: print_outcome(data, f"risk {name}: retracted", dry_run=dry_run),
    )


@risk.command()
@click.argument("pdp", type=PLANE, metavar="ORG/PDP")
@click.argument("name", type=NAME)
@instruction(ends=True)
@does_not_ask("concerns one data plane, in its wave")
def accept(client: Client, pdp: PDPName, name: str, **options: Any) -> int:  # noqa: ANN401 - click's options
    """Take the risk NAME for a data plane: it gets what is not recommended to it."""
    return send(client, to_plane(client.accept_risk, pdp), {"risk": name}, done=f"{pdp}: takes {name}", options=options)


def _condition(data: shapes.Risk) -> str:
    parts = [f"{key}={value}" for key, value in data["labels"].items()]
    parts += [f"{kind} {data[kind]}" for kind in ("kubernetes", "flux") if data[kind]]
    parts += [f"{name} {versions}" for name, versions in data["components"].items()]
    if data["from"]:
        parts.append(f"from {data['from']}")
    return ", ".join(parts) or "everywhere"
