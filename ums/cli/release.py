"""``ums release``: the catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ums.cli.client import service_options
from ums.cli.output import ago, emit, output_option, print_changes, print_table, short_digest

if TYPE_CHECKING:
    from ums.adapters.service_client import ServiceClient


@click.group()
def release() -> None:
    """List, show and compare releases."""


@release.command("list")
@click.argument("bundle", required=False)
@output_option
@service_options
def list_releases(client: ServiceClient, bundle: str | None, output: str) -> None:
    """List the releases of BUNDLE, or of all, newest version first."""
    data = client.get("/releases", {"bundle": bundle})

    def table() -> None:
        rows = [
            (
                each["release"],
                each["class"],
                short_digest(each["digest"]),
                ", ".join(each["signedBy"]),
                ago(each["registeredAt"]),
                ", ".join(each["channels"]) or "–",
            )
            for each in data["items"]
        ]
        headings = ("release", "class", "digest", "signed by", "published", "head of")
        print_table(headings, rows, empty="No releases yet: ums publish makes one.")

    emit(data, output, table)


@release.command()
@click.argument("name", metavar="RELEASE")
@output_option
@service_options
def show(client: ServiceClient, name: str, output: str) -> None:
    """Show RELEASE (bundle@version): components, digests, signers."""
    data = client.get(_path(name))

    def table() -> None:
        click.secho(f"{data['release']}  {data['class']}", bold=True)
        for label, value in (
            ("digest", data["digest"]),
            ("signed by", ", ".join(data["signedBy"])),
            ("published", f"{data['registeredAt']} by {data['registeredBy']}"),
            ("fixes", ", ".join(data["fixes"]) or "–"),
            ("image lock", data["imageLock"]),
            ("head of", ", ".join(data["channels"]) or "–"),
            ("removes", ", ".join(data["removes"]) or "–"),
        ):
            click.echo(f"  {label:<11} {value}")
        rows = [
            (
                each["name"],
                each["kind"],
                each["version"],
                short_digest(each["digest"]),
                each["namespace"],
                ", ".join(each["needs"]) or "–",
            )
            for each in data["components"]
        ]
        print_table(("component", "kind", "version", "digest", "namespace", "needs"), rows, empty="No components.")

    emit(data, output, table)


@release.command()
@click.argument("before", metavar="FROM")
@click.argument("after", metavar="TO")
@output_option
@service_options
def diff(client: ServiceClient, before: str, after: str, output: str) -> None:
    """Compare two releases of a bundle: FROM and TO are bundle@version."""
    data = client.get(f"{_path(after)}/diff", {"from": before.partition("@")[2] or before})

    def table() -> None:
        click.secho(f"{data['from']} -> {data['to']}", bold=True)
        print_changes(data["components"])

    emit(data, output, table)


def _path(name: str) -> str:
    from ums.domain.release import ReleaseName

    parsed = ReleaseName.parse(name)
    return f"/releases/{parsed.bundle}/{parsed.version}"
