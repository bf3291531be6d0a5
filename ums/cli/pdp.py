"""``ums pdp``: data planes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ums.cli.client import pairs, service_options
from ums.cli.output import ago, emit, health_text, output_option, print_outcome, print_table

if TYPE_CHECKING:
    from ums.adapters.service_client import ServiceClient


@click.group()
def pdp() -> None:
    """Register, list, show and bootstrap data planes."""


@pdp.command()
@click.argument("name", metavar="ORG/PDP")
@click.option("--channel", required=True, help="The channel to follow.")
@click.option("--bundle", "bundles", multiple=True, required=True, help="A bundle to subscribe to; may be repeated.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="A label; may be repeated.")
@click.option(
    "--management",
    type=click.Choice(["vendor", "vendor-in-customer-cloud", "customer"]),
    default="vendor",
    show_default=True,
    help="Who runs it, and so who decides.",
)
@click.option("--kubernetes", default=None, metavar="VERSION", help="Its cluster's version, if known: 1.34.1.")
@click.option("--flux", default=None, metavar="VERSION", help="Its Flux's version, if known: 2.9.2.")
@click.option(
    "--wariness",
    type=click.FloatRange(0, 1),
    default=None,
    help="Its place in a wave: 0 eager to 1 cautious.  [default: by chance, another with every release]",
)
@click.option("--volunteer", is_flag=True, help="It goes first.")
@click.option("--ask", is_flag=True, help="Its owner is asked before each release: ums consent.")
@click.option(
    "--standing-consent",
    "standing",
    multiple=True,
    type=click.Choice(["security", "bugfix", "feature"]),
    help="With --ask: a class that the owner agreed to beforehand; may be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Check only; record nothing.")
@output_option
@service_options
def add(
    client: ServiceClient,
    name: str,
    channel: str,
    dry_run: bool,
    output: str,
    **options: Any,  # noqa: ANN401 - click's options
) -> None:
    """Register a data plane; ums pdp bootstrap then connects its cluster.

    \b
    Examples:
      ums pdp add acme/prod --channel stable --bundle platform --label region=eu
      ums pdp add acme/plant --channel lts --bundle platform --management customer --ask --standing-consent security
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    body = {
        "pdp": name,
        "channel": channel,
        "bundles": list(options["bundles"]),
        "labels": pairs(options["labels"]),
        "management": options["management"],
        "kubernetes": options["kubernetes"],
        "flux": options["flux"],
        "wariness": options["wariness"],
        "volunteer": options["volunteer"],
        "ask": options["ask"],
        "standingConsent": list(options["standing"]),
        "dryRun": dry_run,
    }
    data = client.post("/pdps", body)
    emit(data, output, lambda: print_outcome(data, f"{name} follows {channel}", dry_run=dry_run))


@pdp.command("list")
@click.option("--channel", default=None, help="Only those that follow this channel.")
@output_option
@service_options
def list_planes(client: ServiceClient, channel: str | None, output: str) -> None:
    """List data planes: what they should run, and how they say they are."""
    data = client.get("/pdps", {"channel": channel})

    def table() -> None:
        rows = [
            (
                each["pdp"],
                each["channel"],
                health_text(each["health"]),
                _desired(each),
                ago(each["reported"]["heard"]) if each["reported"] else "never",
                ", ".join([*(["held"] if each["holds"] else []), *(["pinned"] if each["pins"] else [])]) or "–",
            )
            for each in data["items"]
        ]
        headings = ("pdp", "channel", "health", "desired", "last heard", "")
        print_table(headings, rows, empty="No data planes yet: ums pdp add <org>/<pdp> --channel … --bundle …")

    emit(data, output, table)


@pdp.command()
@click.argument("name", metavar="ORG/PDP")
@output_option
@service_options
def show(client: ServiceClient, name: str, output: str) -> None:
    """Show a data plane: desired and reported state, pins, holds, and why it does not move."""
    from ums.domain.names import PDPName

    data = client.get(f"/pdps/{PDPName.parse(name)}")
    emit(data, output, lambda: _print_plane(data))


@pdp.command()
@click.argument("name", metavar="ORG/PDP")
@click.option(
    "-f",
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write there, readable by you alone.  [default: <org>-<pdp>.yaml]",
)
@click.option("--stdout", "to_stdout", is_flag=True, help="Print it instead. It contains secrets.")
@service_options
def bootstrap(client: ServiceClient, name: str, path: Path | None, to_stdout: bool) -> None:
    """Write the one YAML that connects a cluster: kubectl apply -f it there, once.

    It holds the data plane's credentials, the public keys it trusts, the current state, the guard that keeps
    a stolen state key from shipping code, and the Flux objects. It needs Flux >= 2.9 and Kubernetes >= 1.30.
    """
    import yaml

    from ums.domain.names import PDPName

    plane = PDPName.parse(name)
    objects = client.get(f"/pdps/{plane}/bootstrap")["objects"]
    text = yaml.safe_dump_all(objects, sort_keys=False, allow_unicode=True, width=4096)
    if to_stdout:
        click.echo(text, nl=False)
        return
    target = path or Path(f"{plane.org}-{plane.pdp}.yaml")
    write_private(target, text)
    click.echo(f"wrote {target}; it contains secrets. Apply it in the cluster of {plane}: kubectl apply -f {target}")


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all.

    Raises:
        StorageError: the disk refused.

    """
    from ums.domain.errors import StorageError

    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(f"cannot write {path}: {error.strerror}", hint="give another place with --file") from error


def _desired(plane: dict[str, Any]) -> str:
    bundles = (plane["desired"] or {}).get("bundles", {})
    return ", ".join(f"{bundle}@{state['release']}" for bundle, state in bundles.items()) or "nothing yet"


def _print_plane(data: dict[str, Any]) -> None:
    click.secho(f"{data['pdp']}  {health_text(data['health'])}", bold=True)
    click.echo(f"  follows     {data['channel']}: {', '.join(data['bundles'])}  ({data['management']}-managed)")
    desired, reported = data["desired"], data["reported"]
    if desired:
        click.echo(f"  desired     serial {desired['serial']}, to be taken until {desired['expires']}")
    if reported:
        click.echo(f"  reported    serial {reported['serial']}, {reported['health']}, heard {ago(reported['heard'])}")
        if reported["health"] == "failed":
            click.secho(f"              {reported['component'] or 'root'}: {reported['message']}", fg="red")
    else:
        click.echo("  reported    nothing yet: was ums pdp bootstrap applied in its cluster?")
    rows = [
        (f"{bundle}/{component}", version, "other than the bundle's" if version != state["release"] else "")
        for bundle, state in (desired or {}).get("bundles", {}).items()
        for component, version in state["components"].items()
    ]
    print_table(("component", "from release", ""), rows, empty="  Nothing is offered to it yet.")
    _print_decisions(data)
    for each in data["withheld"]:
        for reason in each["reasons"]:
            click.echo(f"  not newer: {reason['message']}")
    if data["withheld"]:
        click.echo(f"  ums explain {data['pdp']} shows every check")


def _print_decisions(data: dict[str, Any]) -> None:
    if data["ask"]:
        standing = f", but not for {' and '.join(data['standingConsent'])}" if data["standingConsent"] else ""
        click.echo(f"  its owner is asked before each release{standing}")
    for each in data["consents"]:
        click.echo(f"  consent to {each['bundle']}@{each['release']}: {each['reason']} ({each['by']})")
    for each in data["acceptedRisks"]:
        click.echo(f"  takes risk {each['risk']}: {each['reason']} ({each['by']})")
    for kind in ("pins", "holds"):
        for each in data[kind]:
            what = each["bundle"] + (f"/{each['component']}" if each["component"] else "")
            until = f" until {each['until']}{', soon' if each['endsSoon'] else ''}" if each["until"] else ""
            where = each.get("versions") or each.get("release")
            click.echo(f"  {kind[:-1]} {what} {where}{until}: {each['reason']} ({each['by']})")
