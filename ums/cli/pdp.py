"""``ums pdp``: data planes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from ums.cli.asking import asks, carry_out, does_not_ask
from ums.cli.client import service_options
from ums.cli.output import (
    ago,
    echo,
    emit,
    health_text,
    output_option,
    print_outcome,
    print_reason,
    print_recorded,
    print_table,
)
from ums.cli.types import BUNDLE, CHANNEL, DURATION, FACT_VERSION, IMAGE, LABEL, PLANE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from ums.client import Client, shapes
    from ums.domain.names import PDPName


@click.group()
def pdp() -> None:
    """Register, change, list, show, bootstrap and remove data planes, and see what became of them."""


def _registration(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what a registration may say besides channel and bundles."""
    for add_option in reversed(
        (
            click.option(
                "--label", "labels", type=LABEL, multiple=True, metavar="KEY=VALUE", help="A label; may be repeated."
            ),
            click.option(
                "--management",
                type=click.Choice(["vendor", "vendor-in-customer-cloud", "customer"]),
                default=None,
                help="Who runs it, and so who decides.  [default: vendor]",
            ),
            click.option(
                "--kubernetes",
                type=FACT_VERSION,
                metavar="VERSION",
                help="Its cluster's version, if known: 1.34.1.",
            ),
            click.option("--flux", type=FACT_VERSION, metavar="VERSION", help="Its Flux's version, if known: 2.9.2."),
            click.option(
                "--wariness",
                type=click.FloatRange(0, 1),
                help="Its place in a wave: 0 eager to 1 cautious.  [default: by chance, another with every release]",
            ),
            click.option("--volunteer/--no-volunteer", default=None, help="Whether it goes first."),
            click.option("--ask/--no-ask", default=None, help="Whether its owner is asked before each release."),
            click.option(
                "--standing-consent",
                "standing",
                multiple=True,
                type=click.Choice(["security", "bugfix", "feature"]),
                help="With --ask: a class that the owner agreed to beforehand; may be repeated.",
            ),
            click.option(
                "--values",
                "values_file",
                type=click.File("rb"),
                metavar="FILE",
                help="Its own Helm values, all of them: YAML by bundle and component; - is stdin. No secrets.",
            ),
            click.option(
                "--sealed/--no-sealed",
                default=None,
                help="Whether its cluster refuses such values.  [default: sealed]",
            ),
        )
    ):
        command = add_option(command)
    return command


def _registration_body(options: dict[str, Any], labels: dict[str, str | None]) -> dict[str, Any]:
    names = ("management", "kubernetes", "flux", "wariness", "volunteer", "ask", "sealed")
    given = {name: options[name] for name in names}
    given |= {name: str(given[name]) if given[name] else None for name in ("kubernetes", "flux")}
    values = _values(options["values_file"]) if options["values_file"] else None
    return {**given, "labels": labels or None, "standingConsent": list(options["standing"]) or None, "values": values}


def _values(file: BinaryIO) -> dict[str, Any]:
    """Return values by bundle and component, as people wrote them.

    Raises:
        InvalidInputError: it is no YAML, or no mapping.

    """
    from ums.adapters._yaml import MAX_BYTES, load
    from ums.domain.errors import InvalidInputError
    from ums.domain.values import check_values

    values = load(file.read(MAX_BYTES + 1), file.name)
    if values is not None and not isinstance(values, dict):
        raise InvalidInputError(f"{file.name} holds no values", hint="write <bundle>: {<component>: {<Helm values>}}")
    check_values(values or {})  # what is no JSON could not even be sent
    return values or {}


@pdp.command()
@click.argument("plane", type=PLANE, metavar="ORG/PDP")
@click.option("--channel", type=CHANNEL, required=True, help="The channel to follow.")
@click.option(
    "--bundle",
    "bundles",
    type=BUNDLE,
    multiple=True,
    required=True,
    help="A bundle to subscribe to; may be repeated.",
)
@_registration
@click.option("--dry-run", is_flag=True, help="Check only; record nothing.")
@does_not_ask("concerns one data plane, and ums pdp remove undoes it")
@output_option
@service_options
def add(
    client: Client,
    plane: PDPName,
    channel: str,
    dry_run: bool,
    output: str,
    **options: Any,  # noqa: ANN401 - click's options
) -> None:
    """Register a data plane; ums pdp bootstrap then connects its cluster.

    Its own values come over those that were signed with the charts, for this data plane alone. They stand in Git and
    in its HelmReleases: what is secret belongs into a Secret ums-values-<bundle>-<component> in namespace ums-system,
    key values.yaml, which the cluster's owner keeps, or a ConfigMap of that name.

    \b
    Examples:
      ums pdp add acme/prod --channel stable --bundle platform --label region=eu
      ums pdp add acme/plant --channel lts --bundle platform --management customer --ask --standing-consent security
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    body = {
        "pdp": str(plane),
        "channel": channel,
        "bundles": list(options["bundles"]),
        "dryRun": dry_run,
        **_registration_body(options, dict(options["labels"])),
    }
    data = client.add_plane(**body)
    emit(data, output, lambda: print_outcome(data, f"{plane} follows {channel}", dry_run=dry_run))


@pdp.command("set")
@click.argument("plane", type=PLANE, metavar="ORG/PDP")
@click.option("--channel", type=CHANNEL, help="The channel to follow from now on. It never takes the data plane back.")
@click.option("--bundle", "bundles", type=BUNDLE, multiple=True, help="All bundles to subscribe to; may be repeated.")
@_registration
@click.option("--unlabel", "unlabels", multiple=True, metavar="KEY", help="A label to remove; may be repeated.")
@click.option("--no-values", is_flag=True, help="Remove all its own values.")
@click.option("--reason", required=True, help="Why; it stands in the log.")
@click.option("--dry-run", is_flag=True, help="Say what would happen; record nothing.")
@asks(
    "cannot be undone where it switches the channel: no switch takes a data plane back",
    when=lambda options: options["channel"] is not None,
)
@output_option
@service_options
def set_plane(
    client: Client,
    plane: PDPName,
    reason: str,
    dry_run: bool,  # noqa: ARG001 - carry_out reads it
    output: str,  # noqa: ARG001 - carry_out reads it
    **options: Any,  # noqa: ANN401 - click's options
) -> None:
    """Change a data plane's registration; what is not given stays.

    A switch of the channel shows its impact and asks first.

    --values replaces all values that it had, and applies at once, unless it is frozen. They stand in Git: see
    ums pdp add --help for where secrets belong.

    \b
    Examples:
      ums pdp set acme/prod --channel candidate --reason "wants 1.2 early" --dry-run
      ums pdp set acme/prod --label tier=gold --kubernetes 1.35.1 --reason "cluster upgraded"
      echo '{platform: {cilium: {hubble: {enabled: true}}}}' | ums pdp set acme/prod --values - --reason "wants hubble"
      ums pdp set acme/prod --no-values --reason "hubble is on by default now"
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    labels = {**dict(options["labels"]), **dict.fromkeys(options["unlabels"])}
    channel = options["channel"]
    body = {"channel": channel, "bundles": list(options["bundles"]) or None, "reason": reason}
    body |= _registration_body(options, labels)
    if options["no_values"]:
        if options["values_file"]:
            raise click.UsageError("give either --values or --no-values")
        body["values"] = {}
    done = f"{plane} follows {channel}" if channel else f"{plane} changed"
    carry_out(
        lambda dry_run: client.change_plane(plane.org, plane.pdp, **body, dryRun=dry_run),
        lambda data, dry_run: _print_switch(data, done, dry_run=dry_run),
    )


def _print_switch(data: shapes.Recorded, done: str, *, dry_run: bool) -> None:
    print_recorded(data, done, dry_run=dry_run)
    for move in data["moves"]:
        before = move["before"]["release"] if move["before"] else "nothing"
        echo(f"  {move['bundle']}: {before} -> {move['after']['release']}")
    for each in data["withheld"]:
        for reason in each["reasons"]:
            echo(f"  {each['bundle']} stays: {reason['message']}")
            print_reason(reason)
    if not data["moves"] and not data["withheld"]:
        echo("  it has what its channel offers")
    for serial in data["serials"].values():
        echo(f"  {'it would be' if dry_run else 'it is'} offered state {serial}")


@pdp.command("list")
@click.option("--channel", type=CHANNEL, default=None, help="Only those that follow this channel.")
@output_option
@service_options
def list_planes(client: Client, channel: str | None, output: str) -> None:
    """List data planes: what they should run, and how they say they are."""
    data = {"items": client.get_planes(channel=channel)["items"]}

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
@click.argument("plane", type=PLANE, metavar="ORG/PDP")
@output_option
@service_options
def show(client: Client, plane: PDPName, output: str) -> None:
    """Show a data plane: desired and reported state, pins, holds, and why it does not move."""
    data = client.get_plane(plane.org, plane.pdp)
    emit(data, output, lambda: _print_plane(data))


@pdp.command()
@click.argument("plane", type=PLANE, metavar="ORG/PDP")
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="How many, newest first.")
@output_option
@service_options
def history(client: Client, plane: PDPName, limit: int, output: str) -> None:
    """Show when a data plane became healthy, updating or failed, and with which of Flux's words.

    It is what was heard, kept as long as historyRetention says; that nothing was heard is in ums pdp show.

    \b
    Example:
      ums pdp history acme/prod --limit 5
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    data = client.get_history(plane.org, plane.pdp, limit=limit)
    emit(data, output, lambda: _print_history(data))


def _print_history(data: shapes.History) -> None:
    rows = [
        (each["since"], health_text(each["health"]), str(each["serial"]), each["component"] or "", each["message"])
        for each in data["items"]
    ]
    empty = f"nothing was heard of {data['pdp']} yet: ums pdp show says what it was offered"
    print_table(("SINCE", "HEALTH", "SERIAL", "COMPONENT", "MESSAGE"), rows, empty=empty)


@pdp.command()
@click.argument("plane", type=PLANE, metavar="ORG/PDP")
@click.option(
    "-f",
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write there, readable by you alone.  [default: <org>-<pdp>.yaml]",
)
@click.option("--stdout", "to_stdout", is_flag=True, help="Print it instead. It contains secrets.")
@click.option(
    "--topology",
    type=click.Choice(["view", "shared"]),
    help="What its Flux follows: its own view, or the whole release repo.  [default: the fleet's, in ums.yaml]",
)
@click.option("--reporter", is_flag=True, help="With the CronJob that runs ums report every quarter of an hour.")
@click.option("--reporter-image", type=IMAGE, help="Its image.  [default: <registry of the service>/ums:<its version>]")
@click.option("--unsealed", is_flag=True, help="Open the cluster to values from its registration; see --no-sealed.")
@does_not_ask("writes a file alone")
@service_options
def bootstrap(
    client: Client,
    plane: PDPName,
    path: Path | None,
    to_stdout: bool,
    topology: Literal["view", "shared"] | None,
    reporter: bool,
    reporter_image: str | None,
    unsealed: bool,
) -> None:
    """Write the one YAML that connects a cluster: kubectl apply -f it there, once.

    It holds the data plane's credentials, the public keys it trusts, the current state, the guard that keeps
    a stolen state key from shipping code, and the Flux objects. It needs Flux >= 2.9 and Kubernetes >= 1.30: a cluster
    that is known to be older is refused; for others the command is printed that applies nothing without the guard.

    The cluster is sealed: it refuses Helm values from the registration, by which the state key alone could bring code.
    --unsealed opens it, for a data plane that was registered with --no-sealed.

    \b
    Examples:
      ums pdp bootstrap acme/prod
      ums pdp bootstrap acme/prod --reporter --reporter-image registry.example.com/ums:1.0.0
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    import yaml

    from ums.domain.bootstrapping import HOST_LOGIN, how_to_apply, preamble

    if reporter_image and not reporter:
        raise click.UsageError("--reporter-image is for --reporter")
    answer = client.get_bootstrap(
        plane.org,
        plane.pdp,
        topology=topology,
        reporter=reporter or None,
        reporterImage=reporter_image,
        unsealed=unsealed or None,
    )
    objects = answer["objects"]
    target = path or Path(f"{plane.org}-{plane.pdp}.yaml")
    text = "".join(f"# {line}\n" for line in "\n".join(preamble(plane, str(target))).splitlines())
    text += yaml.safe_dump_all(objects, sort_keys=False, allow_unicode=True, width=4096)
    if to_stdout:
        echo(text, nl=False, lines=True)
        return
    write_private(target, text)
    echo(f"wrote {target}; it contains secrets. Apply it in the cluster of {plane}:")
    echo(f"  {how_to_apply(str(target))}")
    echo("It needs Flux >= 2.9 and Kubernetes >= 1.30: where the first command fails, there would be no guard.")
    if any(
        each["spec"].get("secretRef") == {"name": HOST_LOGIN} for each in objects if each["kind"] == "GitRepository"
    ):
        echo(f"It follows the Git host: make a Secret {HOST_LOGIN} with a login there, e.g. flux create secret git")


@pdp.command()
@click.argument("plane", type=PLANE, metavar="ORG/PDP")
@click.option(
    "--overlap",
    type=DURATION,
    metavar="DURATION",
    help="How long the previous ones are accepted, too: 36h, 14d.  [default: 7d]",
)
@click.option("--now", is_flag=True, help="No overlap: all previous ones end at once. For a stolen credential.")
@click.option("--finish", is_flag=True, help="Make none: end the overlap of the rotation before.")
@click.option(
    "-f",
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write there, readable by you alone.  [default: <org>-<pdp>-credentials.yaml]",
)
@click.option("--stdout", "to_stdout", is_flag=True, help="Print them instead. They are secrets.")
@click.option("--reason", default="", help="Why; it stands in the log.")
@click.option("--dry-run", is_flag=True, help="Say what would happen; record nothing, and show no secret.")
@asks("cuts off a cluster in which the new credentials are not applied in time")
@output_option
@service_options
def rotate(
    client: Client,
    plane: PDPName,
    path: Path | None,
    to_stdout: bool,
    reason: str,
    dry_run: bool,  # noqa: ARG001 - carry_out reads it
    output: str,
    **options: Any,  # noqa: ANN401 - click's options
) -> None:
    """Give a data plane new credentials: for Git, the registry and events.

    It writes the new Secrets, and nothing else: kubectl apply -f them in the cluster. Until the overlap ends the
    previous credentials are accepted, too, so nothing stops meanwhile. -o json and -o yaml print the Secrets with the
    rest, and write no file. It shows what would be cut off, and asks first.

    \b
    Examples:
      ums pdp rotate acme/prod --reason "once a year"
      ums pdp rotate acme/prod --finish
      ums pdp rotate acme/prod --now --reason "found in a ticket"
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    from ums.domain.instants import duration_text

    overlap, now = options["overlap"], options["now"]
    if sum((overlap is not None, now, options["finish"])) > 1:
        raise click.UsageError("give one of --overlap, --now and --finish")
    if to_stdout and output != "table":
        raise click.UsageError(f"-o {output} prints the Secrets already; leave --stdout out")
    if options["finish"]:
        carry_out(
            lambda dry_run: client.finish_rotation(plane.org, plane.pdp, reason=reason, dryRun=dry_run),
            lambda data, dry_run: _print_finished(plane, data, dry_run=dry_run),
        )
        return
    span = duration_text(overlap) if overlap is not None else None
    carry_out(
        lambda dry_run: client.rotate(plane.org, plane.pdp, overlap=span, now=now, reason=reason, dryRun=dry_run),
        lambda data, dry_run: _write_rotated(plane, data, None if to_stdout else path, to_stdout, dry_run=dry_run),
    )


def _print_finished(plane: PDPName, data: shapes.Recorded, *, dry_run: bool) -> None:
    print_recorded(data, f"{plane}: the newest credentials alone are accepted", dry_run=dry_run)
    if dry_run:
        echo(f"  cut off at once, unless the newest are applied there: {plane} from Git, registry and events")


def _write_rotated(plane: PDPName, data: shapes.Rotated, path: Path | None, to_stdout: bool, *, dry_run: bool) -> None:
    import yaml

    from ums.domain.errors import StorageError

    text = yaml.safe_dump_all(data["objects"], sort_keys=False, allow_unicode=True, width=4096)
    if to_stdout and not dry_run:
        echo(text, nl=False, lines=True)
        return
    until = data["previousUntil"]
    previous = f"the one before is accepted until {until}" if until else "none before it is accepted"
    print_recorded(data, f"{plane} has generation {data['generation']} of its credentials; {previous}", dry_run=dry_run)
    if dry_run:
        when = f"at {until}, unless they are applied by then" if until else "at once, until they are applied"
        echo(f"  cut off {when}: {plane} from Git, registry and events")
        return
    target = path or Path(f"{plane.org}-{plane.pdp}-credentials.yaml")
    try:
        write_private(target, text)
    except StorageError as error:
        hint = f"the rotation is recorded; ums pdp bootstrap {plane} writes the new Secrets, too"
        raise StorageError(error.message, hint=hint) from error
    echo(f"wrote {target}; it contains secrets. Apply it in the cluster of {plane}: kubectl apply -f {target}")
    if until:
        echo(f"Once it is applied: ums pdp rotate {plane} --finish")


@pdp.command()
@click.argument("plane", type=PLANE, metavar="ORG/PDP")
@click.option("--reason", required=True, help="Why; it stands in the log.")
@click.option("--dry-run", is_flag=True, help="Say what would happen; record nothing.")
@asks("cannot be undone: its credentials end, and it comes back as a new one")
@output_option
@service_options
def remove(client: Client, plane: PDPName, reason: str, dry_run: bool, output: str) -> None:  # noqa: ARG001 - carry_out reads them
    """Remove a data plane: nothing is offered to it any more, and its credentials end.

    What runs in its cluster runs on. If it is registered again, it gets new credentials, and counts as a cluster in
    which nothing runs. It shows its impact and asks first.

    \b
    Example:
      ums pdp remove acme/prod --reason "the site is closed"
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    carry_out(
        lambda dry_run: client.remove_plane(plane.org, plane.pdp, reason=reason, dryRun=dry_run),
        lambda data, dry_run: _print_removed(plane, data, dry_run=dry_run),
    )


def _print_removed(plane: PDPName, data: shapes.Recorded, *, dry_run: bool) -> None:
    from ums.domain.bootstrapping import disconnecting

    print_recorded(data, f"{plane} is removed", dry_run=dry_run)
    if dry_run and data["impact"] and data["impact"]["removed"]:
        echo(f"  cut off at once: {plane} from Git, registry and events")
    echo("What runs in its cluster runs on. These end its way here, and touch nothing else; leave the namespace:")
    for command in disconnecting():
        echo(f"  {command}")


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


def _desired(plane: shapes.Plane) -> str:
    bundles = plane["desired"]["bundles"] if plane["desired"] else {}
    return ", ".join(f"{bundle}@{state['release']}" for bundle, state in bundles.items()) or "nothing yet"


def _print_plane(data: shapes.PlaneInFull) -> None:
    echo(f"{data['pdp']}  {health_text(data['health'])}", bold=True)
    if data["silentSince"]:
        echo(f"  silent      its reports stopped: heard {ago(data['silentSince'])}, and none since", fg="yellow")
    if data["staleSince"]:
        echo(f"  stale       since {data['staleSince']}: nothing is known of how it is")
    echo(f"  follows     {data['channel']}: {', '.join(data['bundles'])}  ({data['management']}-managed)")
    desired, reported = data["desired"], data["reported"]
    if desired:
        echo(f"  desired     serial {desired['serial']}, to be taken until {desired['expires']}")
    if reported:
        echo(f"  reported    serial {reported['serial']}, {reported['health']}, heard {ago(reported['heard'])}")
        if reported["health"] == "failed":
            echo(f"              {reported['component'] or 'root'}: {reported['message']}", fg="red")
    else:
        echo("  reported    nothing yet: was ums pdp bootstrap applied in its cluster?")
    credentials = data["credentials"]
    until = f", the one before is accepted until {credentials['previousUntil']}" if credentials["previousUntil"] else ""
    echo(f"  credentials generation {credentials['generation']}{until}")
    facts, cluster = data["facts"], data["cluster"]
    versions = f"Kubernetes {facts['kubernetes'] or 'unknown'}, Flux {facts['flux'] or 'unknown'}"
    seen = f"{len(cluster['images'])} images, heard {ago(cluster['heard'])}" if cluster else "as registered"
    echo(f"  cluster     {versions}  ({seen})")
    if data["sealed"]:
        echo("  sealed      its cluster takes no values from its registration")
    rows = [
        (f"{bundle}/{component}", version, "other than the bundle's" if version != state["release"] else "")
        for bundle, state in (desired["bundles"] if desired else {}).items()
        for component, version in state["components"].items()
    ]
    print_table(("component", "from release", ""), rows, empty="  Nothing is offered to it yet.")
    _print_values(data)
    _print_decisions(data)
    for each in data["withheld"]:
        for reason in each["reasons"]:
            echo(f"  not newer: {reason['message']}")
    if data["withheld"]:
        echo(f"  ums explain {data['pdp']} shows every check")


def _print_values(data: shapes.PlaneInFull) -> None:
    import yaml

    if data["values"]:
        echo("  values of its own, by bundle and component:")
        text = yaml.safe_dump(data["values"], sort_keys=False, allow_unicode=True, width=4096)
        echo("".join(f"    {line}\n" for line in text.splitlines()), nl=False, lines=True)


def _print_decisions(data: shapes.PlaneInFull) -> None:
    if data["ask"]:
        standing = f", but not for {' and '.join(data['standingConsent'])}" if data["standingConsent"] else ""
        echo(f"  its owner is asked before each release{standing}")
    for consent in data["consents"]:
        echo(f"  consent to {consent['bundle']}@{consent['release']}: {consent['reason']} ({consent['by']})")
    for risk in data["acceptedRisks"]:
        echo(f"  takes risk {risk['risk']}: {risk['reason']} ({risk['by']})")
    kept: dict[str, Sequence[shapes.PlanePin | shapes.PlaneHold]] = {"pin": data["pins"], "hold": data["holds"]}
    for kind, found in kept.items():
        for each in found:
            what = each["bundle"] + (f"/{each['component']}" if each["component"] else "")
            until = f" until {each['until']}{', soon' if each['endsSoon'] else ''}" if each["until"] else ""
            where = each.get("versions") or each.get("release")
            echo(f"  {kind} {what} {where}{until}: {each['reason']} ({each['by']})")
