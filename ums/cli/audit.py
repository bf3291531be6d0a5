"""``ums audit``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ums.cli.asking import does_not_ask
from ums.cli.client import service_options
from ums.cli.data import settings_of
from ums.cli.output import ago, echo, emit, output_option, print_table
from ums.cli.types import MOMENT, SECURITY_KIND
from ums.outcomes import OUTCOMES

if TYPE_CHECKING:
    from datetime import datetime

    from ums.client import Client
    from ums.client.shapes import SecurityEvent, SecurityKind
    from ums.domain.auditing import Audited
    from ums.domain.security_log import Chain, Entry


@click.group()
def audit() -> None:
    """Read what happened, export it, and check that nobody changed it."""


@audit.command()
@click.argument("repo", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--state-key",
    "keys",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Public state key to trust (OpenSSH form); may be repeated.  [default: those that its trust.yaml names]",
)
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Check the security log of the service in this folder too, in its database.",
)
@click.option(
    "--export",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Check the security log in this file too, which ums audit export wrote.",
)
@output_option
def verify(repo: Path, keys: tuple[Path, ...], data: Path | None, export: Path | None, output: str) -> int:
    """Walk every commit of REPO, a whole clone of the release repo, and name those that do not hold.

    Everything that UMS writes must come from commits signed with a state key; people's commits may change what people
    write, and nothing else. On delivery, every commit must be signed, follow the one before and a signed decision,
    and let no serial fall. Without --state-key the repository vouches for itself: each commit by the keys that
    trust.yaml named then.

    With --data or --export every row of the security log is checked too: each must follow the one before, and be the
    one that signed commits name. Clone first and export then, since commits name what is in the log already. What was
    cut off behind the last row that a commit names cannot be noticed.

    \b
    Examples:
      ums audit verify ums-data/release-repo.git
      git clone https://ums.example.com/git/release-repo && ums audit verify release-repo --state-key state.pub
      ums audit verify release-repo --state-key state.pub --export audit.jsonl

    Exit code 7: something does not hold.
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    from ums.adapters.git_history import GitHistory
    from ums.domain.errors import UnverifiedError
    from ums.usecases.audit import Audit

    if data and export:
        raise click.UsageError("give --data or --export, not both")
    found = Audit(GitHistory(repo))([key.read_text().strip() for key in keys], log=_entries(data, export))
    emit(found.to_dict(), output, lambda: _print(found, pinned=bool(keys)))
    return 0 if found.holds else OUTCOMES[UnverifiedError].exit_code


@audit.command("log")
@click.option("-n", "--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="How many.")
@click.option("--kind", type=SECURITY_KIND, default=None, help="Only one, e.g. token.issued, authentication.failed.")
@click.option("--subject", default=None, help="Only what somebody did, or tried to.")
@click.option(
    "--since", type=MOMENT, default=None, metavar="TIME", help="Only from then on: 24h, or 2026-12-01T06:00:00Z."
)
@output_option
@service_options
def show_log(
    client: Client, limit: int, kind: SecurityKind | None, subject: str | None, since: datetime | None, output: str
) -> None:
    """Show security events, newest first: tokens, logins, refusals, secrets shown. Admins only.

    \b
    Examples:
      ums audit log --kind authentication.failed --since 24h
      ums audit log --subject ada -o json
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    from ums.domain.instants import to_text

    start = to_text(since) if since is not None else None
    data = client.get_audit(limit=limit, kind=kind, subject=subject, since=start)

    def table() -> None:
        rows = [
            (str(each["seq"]), ago(each["at"]), each["kind"], each["subject"] or "–", each["address"], _words(each))
            for each in data["items"]
        ]
        print_table(("seq", "when", "what", "who", "from", "details"), rows, empty="No security events.")

    emit(data, output, table)


@audit.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@does_not_ask("writes a file alone")
@output_option
@service_options
def export(client: Client, file: Path, output: str) -> None:
    """Write all decisions and security events to FILE, a line of JSON each, oldest first. Admins only.

    \b
    Example:
      ums audit export audit.jsonl && ums audit verify release-repo --export audit.jsonl
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    from ums.adapters.audit_export import write_export
    from ums.client import items_of

    count = write_export(file, items_of(client.get_audit_export))
    emit({"file": str(file), "records": count}, output, lambda: echo(f"wrote {file}: {count} records"))


def _words(event: SecurityEvent) -> str:
    return ", ".join(
        f"{name} {' '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in event["what"].items()
        if value not in (None, [], "")
    )


def _entries(data: Path | None, export: Path | None) -> Iterable[Entry] | None:
    if export:
        from ums.adapters.audit_export import read_events

        return read_events(export)
    if data:
        from ums.bootstrap import security_entries

        return security_entries(settings_of(data))
    return None


def _print(found: Audited, *, pinned: bool) -> None:
    rows = [(flaw.commit[:12], flaw.branch, flaw.author, flaw.message) for flaw in found.flaws]
    if rows:
        print_table(("commit", "branch", "author", "what does not hold"), rows, empty="")
    signed = found.decisions - found.by_people
    counted = f"{signed} decisions, {found.by_people} commits of people, {found.deliveries} deliveries"
    if found.flaws:
        echo(f"✗ the first that does not hold: {found.flaws[0].commit} ({counted})", fg="red")
    else:
        echo(f"✓ {counted}: all hold", fg="green")
    if found.security:
        _print_chain(found.security)
    for text in found.ignored:
        echo(f"  ignored: {text}")
    if not pinned:
        echo("  the keys are those the repository itself names; --state-key pins yours")


def _print_chain(chain: Chain) -> None:
    if chain.broken:
        echo(f"✗ security event {chain.broken.seq} {chain.broken.message}", fg="red")
        return
    echo(f"✓ {chain.entries} security events: all hold", fg="green")
    if behind := chain.entries - chain.anchored:
        echo(f"  no signed commit names the last {behind} yet: were some cut off there, nobody could tell")
