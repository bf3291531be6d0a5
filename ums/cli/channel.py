"""``ums channel``: channels and their policies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ums.cli.asking import asks, carry_out
from ums.cli.client import service_options
from ums.cli.output import ago, at, echo, emit, output_option, planes_text, print_hold, print_outcome, print_table
from ums.cli.rollout import status_text
from ums.cli.types import CHANNEL
from ums.outcomes import OUTCOMES

if TYPE_CHECKING:
    from ums.client import Client, shapes

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def channel() -> None:
    """List, show, lint, compare and set channels and their policies."""


@channel.command("list")
@output_option
@service_options
def list_channels(client: Client, output: str) -> None:
    """List channels: what feeds each, what each has, and who follows."""
    data = client.get_channels()

    def table() -> None:
        rows = [
            (
                each["channel"],
                each["feeder"] or "–",
                ", ".join(f"{bundle}@{head['release']}" for bundle, head in each["bundles"].items()) or "nothing yet",
                str(each["dataPlanes"]),
                each["description"],
            )
            for each in data["items"]
        ]
        print_table(("channel", "feeder", "heads", "planes", ""), rows, empty="No channels: ums channel set makes one.")

    emit(data, output, table)


@channel.command()
@click.argument("name", type=CHANNEL, metavar="CHANNEL")
@click.option("--policy", "policy_text", is_flag=True, help="Print policy.yaml as it is in force, and nothing else.")
@output_option
@service_options
def show(client: Client, name: str, policy_text: bool, output: str) -> None:
    """Show a channel: its policy in short, heads, rollouts, and the promotions that wait.

    \b
    Examples:
      ums channel show stable
      ums channel show stable --policy > policy.yaml
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    data = client.get_channel(name)
    if policy_text:
        echo(data["policyText"], nl=False, lines=True)
        return
    emit(data, output, lambda: _print_channel(data))


@channel.command()
@click.argument("name", type=CHANNEL, metavar="CHANNEL")
@click.argument("file", required=False, type=_FILE)
@output_option
@service_options
def lint(client: Client, name: str, file: Path | None, output: str) -> int:
    """Say what is wrong with a channel's policy, or with FILE if it were its policy. Exit code 2: something is.

    FILE needs the right to set the policy.

    \b
    Example:
      ums channel lint stable policy.yaml
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    from ums.domain.errors import InvalidInputError

    if file is None:
        problems = client.get_channel(name)["problems"]
    else:
        found = client.lint_policy(name, policy=_read(file))["problems"]
        problems = [each.replace(f"channels/{name}/policy.yaml", str(file)) for each in found]

    def table() -> None:
        for problem in problems:
            echo(f"✗ {problem}", fg="red")
        if not problems:
            echo(f"✓ {file or f'the policy of {name}'} is fine", fg="green")

    emit({"channel": name, "problems": problems}, output, table)
    return OUTCOMES[InvalidInputError].exit_code if problems else 0


@channel.command()
@click.argument("name", type=CHANNEL, metavar="CHANNEL")
@click.argument("file", type=_FILE)
@output_option
@service_options
def diff(client: Client, name: str, file: Path, output: str) -> None:
    """Compare the policy in force with FILE.

    \b
    Example:
      ums channel diff stable policy.yaml
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    import difflib

    before, after = client.get_channel(name)["policyText"], _read(file)
    lines = list(
        difflib.unified_diff(before.splitlines(), after.splitlines(), f"{name} (in force)", str(file), lineterm="")
    )

    def table() -> None:
        for line in lines:
            echo(line, fg={"+": "green", "-": "red", "@": "cyan"}.get(line[0]))
        if not lines:
            echo(f"{file} is the policy of {name}")

    emit({"channel": name, "diff": lines}, output, table)


@channel.command("set")
@click.argument("name", type=CHANNEL, metavar="CHANNEL")
@click.argument("file", type=_FILE)
@click.option("--reason", required=True, help="Why; it stands in the log.")
@click.option("--dry-run", is_flag=True, help="Check it, and show who would move; record nothing.")
@asks("changes the rules for all data planes of a channel")
@output_option
@service_options
def set_policy(client: Client, name: str, file: Path, reason: str, dry_run: bool, output: str) -> None:  # noqa: ARG001 - carry_out reads them
    """Make FILE the policy of a channel, which need not exist yet. It shows its impact and asks first.

    A rollout that runs goes on as it started; approvals given under the old policy count no longer.

    \b
    Example:
      ums channel set stable policy.yaml --reason "soak for two days"
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    policy = _read(file)
    carry_out(
        lambda dry_run: client.set_policy(name, policy=policy, reason=reason, dryRun=dry_run),
        lambda data, dry_run: print_outcome(data, f"{name}: policy set", dry_run=dry_run),
    )


def _read(file: Path) -> str:
    from ums.domain.errors import InvalidInputError

    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{file} is not text in UTF-8") from error


def _print_channel(data: shapes.ChannelInFull) -> None:
    echo(f"{data['channel']}  {data['description']}", bold=True)
    for problem in data["problems"]:
        echo(f"  ✗ {problem}", fg="red")
    for label, value in _policy_rows(data["policy"]):
        echo(f"  {label:<11} {value}")
    echo(f"  {'followed by':<11} {planes_text(data['dataPlanes'])}")
    rows = [
        (f"{bundle}@{head['release']}", ago(head["since"]), head["by"], _rollout_text(data["rollouts"].get(bundle)))
        for bundle, head in data["bundles"].items()
    ]
    print_table(("head", "since", "by", "rollout"), rows, empty="Nothing was promoted to it yet.")
    for hold in data["holds"]:
        print_hold(data["channel"], hold)
    for each in data["requests"]:
        _print_request(each)


def _policy_rows(policy: shapes.Policy) -> list[tuple[str, str]]:
    gates, rollout, expedite = policy["gates"], policy["rollout"], policy["expedite"]
    asked = [f"soak {gates['soak']}"] if gates["soak"] != "0s" else []
    if gates["adoption"]:
        asked.append(f"{gates['adoption']['healthy']} of the feeder well for {gates['adoption']['for']}")
    if gates["approvals"]:
        asked.append(_approvals_text(gates["approvals"]))
    asked += [f"evidence: {', '.join(gates['evidence'])}"] if gates["evidence"] else []
    asked += ["no undeclared risk"] if gates["undeclaredRisk"] else []
    asked += [f"promotions {_window_text(gates['windows'])}"] if gates["windows"] else []
    waves = " -> ".join(wave["name"] + (f" {wave['share']}" if wave.get("share") else "") for wave in rollout["waves"])
    limits = f"at most {rollout['maxUpdating']} updating, {rollout['maxFailed']} failed; then {rollout['onHalt']}"
    rows = [
        ("feeder", (policy["feeder"] or "–") + (", promoted by itself" if policy["automatic"] else "")),
        ("takes", ", ".join(policy["classes"])),
        ("asks for", ", ".join(asked) or "nothing beyond order, signatures and a way onward"),
        ("waves", f"{waves}; {limits}"),
    ]
    if policy["windows"]:
        rows.append(("window", _window_text(policy["windows"])))
    if expedite:
        skips = ", ".join(expedite["skip"])
        text = f"{', '.join(expedite['classes'])} may skip {skips}, with {_approvals_text(expedite['approvals'])}"
        rows.append(("fast path", text))
    if policy["deadlines"]:
        rows.append(("deadlines", ", ".join(f"{kind} {span}" for kind, span in policy["deadlines"].items())))
    return rows


def _approvals_text(rule: shapes.ApprovalRule) -> str:
    return f"{rule['required']} approval{'s' if rule['required'] > 1 else ''} of {' or '.join(rule['groups'])}"


def _window_text(window: shapes.Windows) -> str:
    now, then = ("open", "closes") if window["open"] else ("closed", "opens")
    return now + (f", {then} {at(window['nextChange'])}" if window["nextChange"] else "")


def _rollout_text(rollout: shapes.RolloutSummary | None) -> str:
    if rollout is None:
        return "–"
    wave = f", wave {rollout['wave']}" if rollout["status"] != "finished" else ""
    return f"{status_text(rollout['status'])}{wave}"


def _print_request(data: shapes.Request) -> None:
    wanted = (
        f"wanted by {data['wanted']['by']}, {ago(data['wanted']['since'])}" if data["wanted"] else "not asked for yet"
    )
    if ended := data.get("ended"):
        echo(f"given up: {data['release']}, {ago(ended['since'])}: {ended['reason']}", fg="yellow")
        return
    echo(f"waiting: {data['release']}, {wanted}{', by the fast path' if data['expedite'] else ''}")
    for each in data["approvals"]:
        word = "rejected" if each["rejects"] else "approved"
        echo(f"  {word} by {each['by']} {ago(each['since'])}: {each['reason'] or 'no reason given'}")
    for override in data["overrides"]:
        echo(f"  {override['gate']} overridden by {override['by']} {ago(override['since'])}: {override['reason']}")
    for gate in data["waitsFor"]:
        echo(f"  … {gate['gate']}: {gate['message']}")
