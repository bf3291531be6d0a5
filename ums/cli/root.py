"""The root command: it finds a subcommand's module only when that subcommand is asked for."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from ums import __version__
from ums.cli.output import echo, echo_usage
from ums.domain.errors import UmsError
from ums.outcomes import outcome_of

# heading: name: (module under ums.cli, attribute, one line of help). It stands here so that --help imports nothing.
GROUPS = {
    "Publish": {
        "build": ("build", "build", "Build a bundle's artifacts into a folder."),
        "publish": ("publish", "publish", "Build, push, sign, verify and register a release."),
        "verify": ("verify", "verify", "Verify a release's signatures, from the registry alone."),
        "release": ("release", "release", "List, show and compare releases."),
        "keys": ("keys", "keys", "Make and show release keys."),
    },
    "Release": {
        "promote": ("promote", "promote", "Make a release the head of a channel, by its gates and in waves."),
        "gates": ("gates", "gates", "Show what stands between a release and a channel."),
        "approve": ("gates", "approve", "Agree to a promotion."),
        "reject": ("gates", "reject", "Say no to a promotion."),
        "override": ("override", "override", "Let a release past a gate, for one channel and a reason."),
        "rollout": ("rollout", "rollout", "Show, pause, resume, cancel, retry and advance rollouts."),
        "freeze": ("freeze", "freeze", "Stop promotions and moves, now: everything, or a scope."),
        "thaw": ("freeze", "thaw", "Lift a freeze."),
        "yank": ("withdraw", "yank", "Give a release to nobody new."),
        "unyank": ("withdraw", "unyank", "Take a yank, or a recall, back."),
        "recall": ("withdraw", "recall", "Move everybody off a release."),
        "risk": ("risk", "risk", "Declare, list, retract and accept risks of updates."),
        "channel": ("channel", "channel", "List, show, lint, compare and set channels' policies."),
    },
    "Operate": {
        "explain": ("explain", "explain", "Say why a data plane is where it is."),
        "rollback": ("rollback", "rollback", "Take a data plane or a channel back, and hold it there."),
        "pin": ("pin", "pin", "Keep a bundle or component of a data plane within versions."),
        "unpin": ("pin", "unpin", "Remove a pin."),
        "hold": ("hold", "hold", "Keep a bundle or component of a data plane on a release."),
        "unhold": ("hold", "unhold", "End a hold, of a data plane or a channel."),
        "consent": ("consent", "consent", "Agree, for its owner, that a data plane gets a release."),
        "pdp": ("pdp", "pdp", "Register, change, list, show and bootstrap data planes."),
    },
    "Look": {
        "status": ("status", "status", "Show channels, rollouts, the fleet's health, what is frozen or ends soon."),
        "plan": ("plan", "plan", "Show who moves now, who next, and why the others do not."),
        "insights": ("insights", "insights", "Show how often, how fast and how safely releases arrive."),
        "log": ("log", "log", "Show recorded decisions, newest first."),
        "events": ("events", "events", "Show what happens, as it happens."),
        "audit": ("audit", "audit", "Check that the record of decisions holds."),
    },
    "Service": {
        "init": ("init", "init", "Make a service's data: keys, release repo, channels, first token."),
        "config": ("config", "config", "Show what is set where, and what is wrong with it."),
        "serve": ("serve", "serve", "Run the service."),
        "flux": ("flux", "flux", "Prepare a cluster for an update of Flux itself."),
        "report": ("report", "report", "Tell, from inside a cluster, what it has."),
        "backup": ("backup", "backup", "Write all that a service needs into one file."),
        "restore": ("backup", "restore", "Bring a backup back."),
        "reindex": ("reindex", "reindex", "Bring the database in line with the release repo."),
        "clock": ("clock", "clock", "Accept the clock after a long time off or a jump."),
        "registry": ("registry", "registry", "Collect garbage in the embedded registry, and check it."),
        "token": ("token", "token", "Issue, list and revoke API tokens."),
        "role": ("role", "role", "Grant, list and revoke roles of people, in Git."),
        "webhook": ("webhook", "webhook", "Tell other systems what happens."),
        "version": ("version", "version", "Show the version."),
    },
}
COMMANDS = {name: row for group in GROUPS.values() for name, row in group.items()}
ALIASES = {"unfreeze": "thaw", "dataplane": "pdp"}
"""What people of other systems type."""


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = ALIASES.get(cmd_name, cmd_name)
        if name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[name]
        command = getattr(importlib.import_module(f"ums.cli.{module}"), attribute)
        assert isinstance(command, click.Command)  # noqa: S101 - the table above is ours
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(len(name) for name in COMMANDS)
        for heading, group in GROUPS.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), text) for name, (_, _, text) in group.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in {*COMMANDS, *ALIASES} and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            ctx.fail(f"no such command {args[0]!r}.{f' Did you mean {near[0]!r}?' if near else ''}")
        return super().resolve_command(ctx, args)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, message="ums %(version)s")
def root() -> None:
    """Publish signed, versioned bundles and promote them through channels that Flux follows.

    \b
    A session:
      ums publish platform/ --version 1.1.0          build, push, sign, verify, register
      ums promote platform@1.1.0 --to stable --wait  ask the gates, roll out in waves, wait for the end
      ums explain acme/prod                          why it is not newer
      ums pin acme/prod platform/cilium --reason …   keep one component where it is
      ums rollback acme/prod platform --to 1.0.0 --reason …

    \b
    Environment:
      UMS_SERVER        URL of the service
      UMS_TOKEN         API token (or UMS_TOKEN_FILE)
      UMS_KEY           release key to sign with
      UMS_KEY_PASSWORD  its password

    \b
    Exit codes:
      0 ok   1 unforeseen error   2 usage or invalid input   3 refused by a rule   4 not found   5 conflict
      6 not allowed   7 signatures missing or wrong   8 corrupt content   9 unavailable, try again
      10 disk refused   11 --wait timed out   12 --wait saw a failure
    """  # noqa: D301 - \b is click's mark for text not to be wrapped


def main(args: list[str] | None = None) -> None:
    """Run the command line; errors become one message and a documented exit code."""
    from ums.adapters.private_files import make_new_files_private

    make_new_files_private()
    try:
        result: Any = root.main(args, prog_name="ums", standalone_mode=False)
    except UmsError as error:
        echo(f"error: {error.message}", fg="red", err=True)
        for reason in error.reasons:
            until = f" (until {reason.until})" if reason.until else ""
            echo(f"  - {reason.code}: {reason.message}{until}", err=True)
            if reason.who_can_override:
                echo(f"    can change it: {reason.who_can_override}", err=True)
        if error.hint:
            echo(f"hint: {error.hint}", err=True)
        sys.exit(outcome_of(error).exit_code)
    except click.ClickException as error:
        echo_usage(error)
        sys.exit(error.exit_code)
    except click.Abort:
        echo("stopped", err=True)
        sys.exit(130)
    sys.exit(result if isinstance(result, int) else 0)
