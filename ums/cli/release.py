"""``ums release``: the catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ums.cli.client import service_options
from ums.cli.output import (
    ago,
    at,
    echo,
    emit,
    output_option,
    planes_text,
    print_changes,
    print_fixes,
    print_table,
    short_digest,
)
from ums.cli.types import BUNDLE, RELEASE, RELEASE_OR_VERSION

if TYPE_CHECKING:
    from ums.client import Client, shapes
    from ums.domain.release import ReleaseName
    from ums.domain.version import Version


@click.group()
def release() -> None:
    """List, show and compare releases; list floors."""


@release.command("list")
@click.argument("bundle", type=BUNDLE, required=False)
@output_option
@service_options
def list_releases(client: Client, bundle: str | None, output: str) -> None:
    """List the releases of BUNDLE, or of all, newest version first."""
    data = client.get_releases(bundle=bundle)

    def table() -> None:
        rows = [
            (
                each["release"],
                each["class"],
                short_digest(each["digest"]),
                ", ".join(each["signedBy"]),
                ago(each["registeredAt"]),
                ", ".join(each["channels"]) or "–",
                _withdrawn(each),
            )
            for each in data["items"]
        ]
        headings = ("release", "class", "digest", "signed by", "published", "head of", "")
        print_table(headings, rows, empty="No releases yet: ums publish makes one.")

    emit(data, output, table)


@release.command()
@click.argument("name", type=RELEASE, metavar="RELEASE")
@output_option
@service_options
def show(client: Client, name: ReleaseName, output: str) -> None:
    """Show RELEASE (bundle@version): components, digests, signers; whether it was withdrawn, and who has it.

    \b
    Example:
      ums release show platform@1.1.0
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    data = client.get_release(name.bundle, str(name.version))

    def table() -> None:
        echo(f"{data['release']}  {data['class']}", bold=True)
        _print_withdrawn(data)
        for label, value in (
            ("digest", data["digest"]),
            ("signed by", ", ".join(data["signedBy"])),
            ("published", f"{data['registeredAt']} by {data['registeredBy']}"),
            ("base", f"{data['bundle']}@{data['base']}" if data["base"] else "–"),
            ("fixes", ", ".join(data["fixes"]) or "–"),
            ("image lock", data["imageLock"]),
            ("head of", ", ".join(data["channels"]) or "–"),
            ("removes", ", ".join(data["removes"]) or "–"),
            ("on", planes_text(data["exposed"])),
        ):
            echo(f"  {label:<11} {value}")
        for promoted in data["promotions"]:
            where, when, who = promoted["channel"], ago(promoted["since"]), promoted["by"]
            echo(f"  promoted    to {where} {when} by {who}{_gates(promoted)}")
        for each in data["skipped"]:
            text = f"  skipped     {', '.join(each['gates'])} into {each['channel']}, by {each['by']}: {each['reason']}"
            echo(text, fg="yellow")
        _print_floors(data)
        for regression in data["regressions"]:
            echo(f"  ↓ for {regression['channel']}, which has {regression['release']}:", fg="red")
            print_changes(regression["components"])
            print_fixes((), regression["lostFixes"])
        rows = [
            (
                each["name"],
                each["kind"],
                each["version"],
                short_digest(each["digest"]),
                each["namespace"],
                ", ".join(each["needs"]) or "–",
                ", ".join(each["fixes"]) or "–",
            )
            for each in data["components"]
        ]
        headings = ("component", "kind", "version", "digest", "namespace", "needs", "fixes")
        print_table(headings, rows, empty="No components.")

    emit(data, output, table)


@release.command()
@click.argument("before", type=RELEASE_OR_VERSION, metavar="FROM")
@click.argument("after", type=RELEASE, metavar="TO")
@output_option
@service_options
def diff(client: Client, before: Version, after: ReleaseName, output: str) -> None:
    """Compare two releases of a bundle: FROM and TO are bundle@version."""
    data = client.get_diff(after.bundle, str(after.version), **{"from": str(before)})

    def table() -> None:
        echo(f"{data['from']} -> {data['to']}", bold=True)
        print_changes(data["components"])
        print_fixes(data["fixes"], data["lostFixes"])

    emit(data, output, table)


@release.command()
@click.argument("bundle", type=BUNDLE, required=False)
@output_option
@service_options
def floors(client: Client, bundle: str | None, output: str) -> None:
    """List floors: versions of components below which no later release of BUNDLE, or of any bundle, may go."""
    data = client.get_floors(bundle=bundle)

    def table() -> None:
        rows = [
            (
                f"{each['bundle']}/{each['component']}",
                each["versions"],
                f"{each['bundle']}@{each['release']}",
                (at(each["until"]) if each["until"] else "no end") if each["inForce"] else "✗ ended",
                each["reason"],
            )
            for each in data["items"]
        ]
        headings = ("component", "versions", "declared by", "until", "reason")
        print_table(headings, rows, empty="No floors: releases declare them in bundle.yaml.")

    emit(data, output, table)


def _print_floors(data: shapes.ReleaseInFull) -> None:
    for floor in data["floors"]:
        until = f" until {at(floor['until'])}" if floor["until"] else ""
        echo(f"  floor       {floor['component']} {floor['versions']}{until}: {floor['reason']}")
    for each in data["belowFloors"]:
        echo(f"  below floor {each['floor']}, let through by {each['by']}: {each['reason']}", fg="yellow")


def _print_withdrawn(data: shapes.ReleaseInFull) -> None:
    recall, bundle = data["recall"], data["bundle"]
    if recall:
        echo(f"  ✗ RECALLED to {bundle}@{recall['to']} by {recall['by']}: {recall['reason']}", fg="red", bold=True)
    elif data["yanked"]:
        echo(f"  ✗ YANKED: {data['yanked']}", fg="red", bold=True)
    if data["yanked"] and data["exposed"]:
        echo(f"  {planes_text(data['exposed'])} still exposed", fg="red")


def _gates(promotion: shapes.ExecutedIn) -> str:
    passed = [gate["gate"] for gate in promotion["gates"] if gate["verdict"] == "passed"]
    return f", past {', '.join(passed)}" if passed else ""


def _withdrawn(data: shapes.Release) -> str:
    return "✗ recalled" if data["recall"] else "✗ yanked" if data["yanked"] else ""
