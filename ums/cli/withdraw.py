"""``ums yank``, ``ums unyank`` and ``ums recall``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from ums.cli.asking import asks, carry_out
from ums.cli.client import service_options
from ums.cli.output import echo, output_option, planes_text, print_outcome, some
from ums.cli.types import RELEASE, VERSION

if TYPE_CHECKING:
    from ums.client import Client
    from ums.domain.release import ReleaseName
    from ums.domain.version import Version


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
@click.argument("release", type=RELEASE)
@_withdrawal
@asks("stops a release in every channel")
def yank(client: Client, release: ReleaseName, **options: Any) -> None:  # noqa: ANN401 - click's options
    """Give RELEASE (bundle@version) to nobody new. Who has it keeps it; ums unyank takes it back.

    It shows its impact and asks first.

    \b
    Example:
      ums yank platform@1.1.0 --reason "gateway leaks memory"
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    _send(client, release, "yank", {}, options)


@click.command()
@click.argument("release", type=RELEASE)
@_withdrawal
@asks("lets data planes of every channel move to a release")
def unyank(client: Client, release: ReleaseName, **options: Any) -> None:  # noqa: ANN401 - click's options
    """Take the yank, or the recall, of RELEASE (bundle@version) back. It shows its impact and asks first.

    \b
    Example:
      ums unyank platform@1.1.0 --reason "it was the test, not the gateway"
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    _send(client, release, "unyank", {}, options)


@click.command()
@click.argument("release", type=RELEASE)
@click.option(
    "--to",
    type=VERSION,
    default=None,
    metavar="VERSION",
    help="Where to move them.  [default: the newest release after it]",
)
@_withdrawal
@asks("moves all data planes that have a release, without waves")
def recall(client: Client, release: ReleaseName, to: Version | None, **options: Any) -> None:  # noqa: ANN401 - click's options
    """Yank RELEASE (bundle@version), and move everybody who has it to another release.

    Forward to a fixed one unless --to says otherwise; back only where no irreversible release lies between.
    Holds, pins and freezes keep a data plane on it, and it says so. It shows its impact and asks first.

    \b
    Example:
      ums recall platform@1.1.0 --to 1.0.0 --reason "gateway loses requests"
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    _send(client, release, "recall", {"to": str(to) if to else None}, options)


def _send(client: Client, name: ReleaseName, verb: str, body: dict[str, Any], options: dict[str, Any]) -> None:
    send = partial(getattr(client, verb), name.bundle, str(name.version), reason=options["reason"], **body)

    def show(data: dict[str, Any], dry_run: bool) -> None:
        to = f" to {data['recalledTo']}" if verb == "recall" else ""
        print_outcome(data, f"{name}: {verb}ed{to}", dry_run=dry_run)
        if verb != "unyank":
            print_exposed(data)

    carry_out(lambda dry_run: send(dryRun=dry_run), show)


def print_exposed(data: dict[str, Any]) -> None:
    """Print how many data planes have a release that was withdrawn."""
    if not data["exposed"]:
        echo("  no data plane is exposed", fg="green")
        return
    text = f"  {planes_text(data['exposed'])} still exposed: {some(data['examples'], data['exposed'])}"
    echo(text, fg="red")
