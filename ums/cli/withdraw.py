"""``ums yank``, ``ums unyank`` and ``ums recall``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ums.cli.client import service_options
from ums.cli.output import echo, emit, output_option, planes_text, print_outcome, some

if TYPE_CHECKING:
    from ums.client import Client


def _withdrawal(command: Callable[..., Any]) -> Callable[..., Any]:
    for add in (
        service_options,
        output_option,
        click.option("--dry-run", is_flag=True, help="Show whom it touches; record nothing."),
        click.option("--reason", required=True, help="Why; it stands in the log, and on the release."),
    ):
        command = add(command)
    return command


@click.command()
@click.argument("release")
@_withdrawal
def yank(client: Client, release: str, **options: Any) -> None:  # noqa: ANN401 - click's options
    """Give RELEASE (bundle@version) to nobody new. Who has it keeps it; ums unyank takes it back.

    \b
    Example:
      ums yank platform@1.1.0 --reason "gateway leaks memory"
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    _send(client, release, "yank", {}, options)


@click.command()
@click.argument("release")
@_withdrawal
def unyank(client: Client, release: str, **options: Any) -> None:  # noqa: ANN401 - click's options
    """Take the yank, or the recall, of RELEASE (bundle@version) back.

    \b
    Example:
      ums unyank platform@1.1.0 --reason "it was the test, not the gateway"
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    _send(client, release, "unyank", {}, options)


@click.command()
@click.argument("release")
@click.option(
    "--to", default=None, metavar="VERSION", help="Where to move them.  [default: the newest release after it]"
)
@_withdrawal
def recall(client: Client, release: str, to: str | None, **options: Any) -> None:  # noqa: ANN401 - click's options
    """Yank RELEASE (bundle@version), and move everybody who has it to another release.

    Forward to a fixed one unless --to says otherwise; back only where no irreversible release lies between.
    Holds, pins and freezes keep a data plane on it, and it says so.

    \b
    Example:
      ums recall platform@1.1.0 --to 1.0.0 --reason "gateway loses requests"
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    _send(client, release, "recall", {"to": to}, options)


def _send(client: Client, release: str, verb: str, body: dict[str, Any], options: dict[str, Any]) -> None:
    from ums.domain.release import ReleaseName

    name, dry_run = ReleaseName.parse(release), options["dry_run"]
    send = getattr(client, verb)
    data = send(name.bundle, str(name.version), reason=options["reason"], dryRun=dry_run, **body)
    to = f" to {data['recalledTo']}" if verb == "recall" else ""

    def table() -> None:
        print_outcome(data, f"{name}: {verb}ed{to}", dry_run=dry_run)
        if verb != "unyank":
            print_exposed(data)

    emit(data, options["output"], table)


def print_exposed(data: dict[str, Any]) -> None:
    """Print how many data planes have a release that was withdrawn."""
    if not data["exposed"]:
        echo("  no data plane is exposed", fg="green")
        return
    text = f"  {planes_text(data['exposed'])} still exposed: {some(data['examples'], data['exposed'])}"
    echo(text, fg="red")
