"""``ums role``: who may do what, of those whom the identity provider vouches for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from ums.cli.asking import asks, carry_out, does_not_ask
from ums.cli.client import ending_options, service_options, until_text
from ums.cli.output import ago, echo, emit, output_option, print_recorded, print_table
from ums.cli.types import BUNDLE, CHANNEL, ORG, ROLE

if TYPE_CHECKING:
    from ums.client import Client, shapes


@click.group()
def role() -> None:
    """Grant, list and revoke roles of people; they stand in Git. What tokens may do is ums token's."""


@role.command("list")
@output_option
@service_options
def list_roles(client: Client, output: str) -> None:
    """List who was granted which role, how far it reaches, and until when."""
    data = client.get_roles()

    def table() -> None:
        if not data["readable"]:
            echo("access.yaml cannot be read, so nobody has a role by it: ums status says why", fg="red")
        rows = [
            (
                *(f"{kind} {name}" for kind, name in each["to"].items()),
                each["role"],
                _limits(each) or "everything",
                (each["until"] or "no end") if each["counts"] else "does not count now",
                f"{each['by'] or 'somebody'}{', ' + ago(each['since']) if each['since'] else ''}",
                each["reason"],
            )
            for each in data["items"]
        ]
        print_table(("who", "role", "reaches", "until", "granted by", "why"), rows, empty="No role is granted in Git.")

    emit(data, output, table)


def _about(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what says which grant is meant."""
    options = (
        click.option("--to-subject", "subject", default=None, help="One person or machine, as your login names it."),
        click.option("--to-group", "group", default=None, help="Whoever is in this group of your login."),
        click.option("--bundle", "bundles", type=BUNDLE, multiple=True, help="Limited to a bundle; may be repeated."),
        click.option(
            "--channel", "channels", type=CHANNEL, multiple=True, help="Limited to a channel; may be repeated."
        ),
        click.option("--org", "orgs", type=ORG, multiple=True, help="Limited to an organization; may be repeated."),
        click.option("--reason", required=True, help="Why; it stands in the log."),
        click.option("--dry-run", is_flag=True, help="Only check whether it can be done; record nothing."),
        output_option,
        service_options,
    )
    for add in reversed(options):
        command = add(command)
    return click.argument("name", type=ROLE, metavar="ROLE")(command)


@role.command()
@ending_options
@_about
@does_not_ask("ums role revoke undoes it")
def grant(client: Client, name: str, output: str, **options: Any) -> None:  # noqa: ANN401 - click's options
    """Grant ROLE: viewer, approver, publisher, release-engineer, operator or admin.

    It counts from the next request on, and nobody grants more than he has.

    \b
    Examples:
      ums role grant viewer --to-group everyone --reason "all of us may look"
      ums role grant operator --to-group acme-ops --org acme --reason "acme runs its own"
      ums role grant admin --to-subject sam@example.com --for 8h --reason "incident 4711"
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    who, body = _body(name, options)
    data = client.grant_role(**body, until=until_text(options["until"], options["duration"]))
    done = f"{who} is {name}, limited to {_limits(body)}" if _limits(body) else f"{who} is {name}"
    emit(data, output, lambda: print_recorded(data, done, dry_run=options["dry_run"]))


@role.command()
@_about
@asks("cuts people off at once")
def revoke(client: Client, name: str, output: str, **options: Any) -> None:  # noqa: ANN401, ARG001 - click's options
    """Take ROLE back, from the next request on: with limits the grant of just these, without any every grant of it.

    It shows which grants end, and asks first.

    \b
    Example:
      ums role revoke operator --to-group acme-ops --reason "the contract ended"
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    who, body = _body(name, options)
    body.pop("dryRun")

    def show(data: shapes.RolesChanged, dry_run: bool) -> None:
        print_recorded(data, f"{who} is no longer {name}", dry_run=dry_run)
        for grant in data["ends"]:
            echo(f"  {'would end' if dry_run else 'ended'}: {grant['role']} for {_limits(grant) or 'everything'}")
        for warning in data["warnings"]:
            echo(f"  {warning}", fg="yellow")

    carry_out(lambda dry_run: client.revoke_role(**body, dryRun=dry_run), show)


def _body(name: str, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    subject, group = options["subject"], options["group"]
    if (subject is None) == (group is None):
        raise click.UsageError("give either --to-subject or --to-group")
    limits = {each: list(options[each]) for each in ("bundles", "channels", "orgs")}
    given = {"subject": subject, "group": group, "reason": options["reason"], "dryRun": options["dry_run"]}
    return f"subject {subject}" if group is None else f"group {group}", {"role": name, **limits, **given}


def _limits(data: Mapping[str, Any]) -> str:
    kinds = (("bundle", "bundles"), ("channel", "channels"), ("organization", "orgs"))
    return "; ".join(f"{kind} {', '.join(data[key])}" for kind, key in kinds if data[key])
