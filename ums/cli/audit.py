"""``ums audit``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ums.cli.output import emit, output_option, print_table
from ums.outcomes import OUTCOMES

if TYPE_CHECKING:
    from ums.domain.auditing import Audited


@click.group()
def audit() -> None:
    """Check that the record of decisions holds."""


@audit.command()
@click.argument("repo", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--state-key",
    "keys",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Public state key to trust (OpenSSH form); may be repeated.  [default: those that its trust.yaml names]",
)
@output_option
def verify(repo: Path, keys: tuple[Path, ...], output: str) -> int:
    """Walk every commit of REPO, a whole clone of the release repo, and name those that do not hold.

    Everything that UMS writes must come from commits signed with a state key; people's commits may change what people
    write, and nothing else. On delivery, every commit must be signed, follow the one before and a signed decision,
    and let no serial fall. Without --state-key the repository vouches for itself.

    \b
    Examples:
      ums audit verify ums-data/release-repo.git
      git clone https://ums.example.com/git/release-repo && ums audit verify release-repo --state-key state.pub

    Exit code 7: something does not hold.
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    from ums.adapters.git_history import GitHistory
    from ums.domain.errors import UnverifiedError
    from ums.usecases.audit import Audit

    found = Audit(GitHistory(repo))([key.read_text().strip() for key in keys])
    emit(found.to_dict(), output, lambda: _print(found, pinned=bool(keys)))
    return OUTCOMES[UnverifiedError].exit_code if found.flaws else 0


def _print(found: Audited, *, pinned: bool) -> None:
    rows = [(flaw.commit[:12], flaw.branch, flaw.author, flaw.message) for flaw in found.flaws]
    if rows:
        print_table(("commit", "branch", "author", "what does not hold"), rows, empty="")
    signed = found.decisions - found.by_people
    counted = f"{signed} decisions, {found.by_people} commits of people, {found.deliveries} deliveries"
    if found.flaws:
        click.secho(f"✗ the first that does not hold: {found.flaws[0].commit} ({counted})", fg="red")
    else:
        click.secho(f"✓ {counted}: all hold", fg="green")
    if not pinned:
        click.echo("  the keys are those the repository itself names; --state-key pins yours")
