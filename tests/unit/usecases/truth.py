"""Every reason of ``ums explain`` is true: it ends when it says, and whom it names ends it with the command it names.

The commands are read by the real command line, and given to the real use cases by an identity that holds the role that
is named, and no more. Only the release repo is a double: it keeps worlds instead of files.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import click

from tests.unit.domain.random_worlds import recorded, reported
from ums.adapters._release_files import desired_from_state
from ums.cli.root import root
from ums.domain import layout
from ums.domain.deciding import decide
from ums.domain.errors import Reason
from ums.domain.explaining import explain
from ums.domain.fleet import DataPlane, Facts, Health, Registration
from ums.domain.identity import Grant, Identity
from ums.domain.instants import parse_instant
from ums.domain.names import PDPName
from ums.domain.release import ReleaseName
from ums.domain.version import Version
from ums.domain.world import Content, Document, World
from ums.ports import ClockWitness, WatchedClock
from ums.usecases.change_data_plane import ChangeDataPlane
from ums.usecases.freeze import FreezeFleet
from ums.usecases.instruct import Instruct, Subject, Why
from ums.usecases.record import Change, Outcome, Record
from ums.usecases.risks import DeclareRisk
from ums.usecases.security_events import SecurityEvents
from ums.usecases.steer_rollout import SteerRollout
from ums.usecases.watch_clock import AcceptClock
from ums.usecases.withdraw import WithdrawRelease

SECOND = timedelta(seconds=1)
ENDS_OTHERWISE: Mapping[str, str] = {
    "no-channel": "does not exist or its files are wrong",
    "nothing-promoted": "was promoted .* yet",
    "no-release": "is not in the catalog",
    "ahead-of-channel": "following a channel never downgrades",
    "no-path": "there is no way",
    "unconfirmed": "must be well on .* before it goes on",
    "irreversible": "cannot be undone; what runs stays",
    "requires-kubernetes": "runs here",
    "requires-flux": "runs here",
    "requires-bundle": "it requires .* is here",
    "required-by": "runs here and requires",
    "key-not-known": "must bring it first",
    "window": "does not open within a year",
    "frozen": "the file must be corrected",
    "rollout-cancelled": "only a newer release goes on",
    "withdrawn": "was withdrawn",
    "wave": "after",
    "ramp": "reaches it later",
    "max-updating": "it comes after these",
    "first": "goes first",
    "first-failed": "it must be well, or taken off it",
}
"""What says of a reason without a time and without a command why it has neither."""


@dataclass
class Told:
    """A clock that shows what it was set to, and trusts itself; and a witness that saw nothing."""

    time: datetime

    def now(self) -> datetime:
        """Return its time."""
        return self.time

    def problem(self) -> str:
        """Return that it never jumped."""
        return ""

    def seen(self) -> datetime | None:
        """Return that nothing was noted."""
        return None

    def reset(self, now: datetime) -> None:
        """Note the time."""
        assert now == self.time


@dataclass
class Kept:
    """In place of ``Record``: the world itself instead of its files."""

    kept: World
    time: datetime

    def __call__(
        self,
        change: Callable[[World, datetime], Change],
        *,
        settle: bool = True,
        **_: object,
    ) -> Outcome:
        """Apply a change and its consequences."""
        wanted = change(self.kept, self.time)
        plan = decide(wanted.world, self.time)
        self.kept = recorded(_renumbered(wanted), plan, self.time) if settle else _renumbered(wanted)
        return Outcome(wanted.world, self.kept, plan, {}, self.kept.base, recorded=True)


def _renumbered(wanted: Change) -> World:
    """Return the world with the states that a change delivers by itself: only those with other serials."""
    world = wanted.world
    for name, plane in world.planes.items():
        if layout.plane_state(name) in wanted.delivered and plane.desired is not None:
            world = world.with_plane(_delivered(plane, wanted.delivered[layout.plane_state(name)]))
    return world


def _delivered(plane: DataPlane, state: Content | None) -> DataPlane:
    assert isinstance(state, Document)
    return replace(plane, desired=desired_from_state(state.data))


@dataclass
class Acting:
    """Gives commands to the use cases, as an identity."""

    record: Kept
    by: Identity
    why: Why = field(init=False)

    def __post_init__(self) -> None:
        self.why = Why(self.by, "told to")

    @property
    def _record(self) -> Record:
        return cast(Record, self.record)

    def unhold(self, target: str, what: str, **_: object) -> None:
        """End a hold."""
        subject, instruct = Subject.parse(what), Instruct(self._record)
        if "/" in target:
            instruct.unhold(PDPName.parse(target), subject, self.why)
        else:
            instruct.unhold_channel(target, subject.bundle, self.why)

    def unpin(self, pdp: str, what: str, **_: object) -> None:
        """Remove a pin."""
        Instruct(self._record).unpin(PDPName.parse(pdp), Subject.parse(what), self.why)

    def consent(self, pdp: str, release: str, **_: object) -> None:
        """Consent to a release."""
        Instruct(self._record).consent(PDPName.parse(pdp), ReleaseName.parse(release), self.why)

    def rollback(self, target: str, what: str, release: str, **_: object) -> None:
        """Take a data plane back."""
        Instruct(self._record).roll_back(PDPName.parse(target), Subject.parse(what), Version(release), self.why)

    def thaw(self, name: str, **_: object) -> None:
        """Lift a freeze."""
        FreezeFleet(self._record).thaw(name, self.why)

    def unyank(self, release: str, **_: object) -> None:
        """Take a yank back."""
        WithdrawRelease(self._record).unyank(ReleaseName.parse(release), self.why)

    def accept_risk(self, pdp: str, name: str, **_: object) -> None:
        """Accept a risk."""
        DeclareRisk(self._record).accept(PDPName.parse(pdp), name, self.why)

    def steer(self, step: str, channel: str, bundle: str, **_: object) -> None:
        """Take a step of a rollout."""
        SteerRollout(self._record)(step, channel, bundle, self.why)

    def change_plane(self, plane: str, bundles: tuple[str, ...], **options: Any) -> None:  # noqa: ANN401
        """Change a registration."""
        facts = Facts.parse(options["kubernetes"], options["flux"])

        def change(before: Registration) -> Registration:
            return replace(before, bundles=bundles or before.bundles, facts=facts.over(before.facts))

        ChangeDataPlane(self._record)(PDPName.parse(plane), change, self.why)

    def accept_clock(self, **_: object) -> None:
        """Accept the clock."""

        class Silent:
            recording = staticmethod(lambda *_, **__: nullcontext())

        clock = Told(self.record.time)
        AcceptClock(self._record, cast(WatchedClock, clock), cast(ClockWitness, clock), cast(SecurityEvents, Silent()))(
            self.why
        )


COMMANDS: Mapping[str, Callable[..., None]] = {
    "unhold": Acting.unhold,
    "unpin": Acting.unpin,
    "consent": Acting.consent,
    "rollback": Acting.rollback,
    "thaw": Acting.thaw,
    "unyank": Acting.unyank,
    "risk accept": Acting.accept_risk,
    "rollout resume": lambda acting, **params: acting.steer("resume", **params),
    "rollout next": lambda acting, **params: acting.steer("next", **params),
    "pdp set": Acting.change_plane,
    "clock accept": Acting.accept_clock,
}
"""By command what its parameters are given to; whoever names another in a reason adds it here."""

REMEDY = re.compile(r"(?P<who>[^()]+) \((?P<command>ums [^()]+)\)")
_ROLES: Mapping[str, str] = {
    r"an operator of (\S+)": "operator",
    r"an admin of (\S+)": "admin",
    r"a release engineer": "release-engineer",
    r"an administrator of the service": "admin",
}
_BLANKS: Mapping[str, str] = {
    "--kubernetes …": "--kubernetes 1.36.0",
    "--flux …": "--flux 2.9.0",
    "--message …": "--message x",
    "--reason …": "--reason x",
}


def named(who: str) -> Identity:
    """Return an identity with the role that a reason names, and no other."""
    for words, role in _ROLES.items():
        if (match := re.fullmatch(words, who)) is not None:
            return Identity("sam", grants=(Grant(role, orgs=frozenset(match.groups())),))
    raise AssertionError(f"{who} is no role")


def parsed(command: str) -> tuple[str, dict[str, Any]]:
    """Return a command's name and its parameters, as the command line reads them."""
    for blank, filled in _BLANKS.items():
        command = command.replace(blank, filled)
    args = [str(Path.cwd()) if each == "DATA" else each for each in shlex.split(command)[1:]]
    assert "…" not in command, f"{command} cannot be given as it stands"
    found: click.Command = root
    context, path = click.Context(root), []
    while isinstance(found, click.Group):
        path.append(args.pop(0))
        inner = found.get_command(context, path[-1])
        assert inner is not None, f"there is no command {' '.join(path)}"
        found = inner
    params = found.make_context(path[-1], args, parent=context).params
    return " ".join(path), {name: _plain(value) for name, value in params.items()}


def _plain(value: object) -> object:
    """Return what a parameter was written as; flags, and what is given several times, as they are."""
    return value if value is None or isinstance(value, bool | tuple) else str(value)


Key = tuple[str, str, str]


def keys(world: World, now: datetime, name: PDPName) -> set[Key]:
    """Return the reasons that a data plane is told."""
    return {key(each.bundle, reason) for each in explain(world, now, name) for reason in each.reasons}


def key(bundle: str, reason: Reason) -> Key:
    """Return what tells a reason from others."""
    return bundle, reason.code, reason.message


def later(world: World, now: datetime) -> World:
    """Return the world as the fleet reports then: who is not silent is as well as it was, or well on what is new."""

    def health(name: PDPName) -> Health | None:
        plane = world.plane(name)
        if plane.report is None or plane.desired is None:
            return None
        same = plane.report.serial >= plane.desired.serial
        return plane.report.health if same and plane.report.health is Health.FAILED else Health.HEALTHY

    return reported(world, now, health)


def check(world: World, now: datetime, name: PDPName) -> set[str]:
    """Check all that a data plane is told; return the codes."""
    codes = set()
    for explanation in explain(world, now, name):
        for reason in explanation.reasons:
            codes.add(reason.code)
            told = key(explanation.bundle, reason)
            if reason.who_can_override is not None:
                check_command(world, now, name, reason.who_can_override, told)
            if reason.until is not None:
                check_end(world, parse_instant(reason.until), name, told)
            if reason.who_can_override is None and reason.until is None:
                assert re.search(ENDS_OTHERWISE[reason.code], reason.message), f"{reason} does not say what ends it"
    return codes


def check_command(world: World, now: datetime, name: PDPName, who: str, told: Key) -> None:
    """Check that who is named is not refused, and that the reason is gone then."""
    match = REMEDY.fullmatch(who)
    assert match is not None, f"{who} names no command"
    command, params = parsed(match["command"])
    params.pop("server", None)
    record = Kept(world, now)
    COMMANDS[command](Acting(record, named(match["who"])), **params)
    assert told not in keys(record.kept, now, name), f"{match['command']} does not end {told}"


def check_end(world: World, end: datetime, name: PDPName, told: Key) -> None:
    """Check that a reason is there until its end, and not longer."""
    just_before = end - SECOND
    assert told in keys(later(world, just_before), just_before, name), f"{told} ends before {end}"
    assert told not in keys(later(world, end), end, name), f"{told} does not end at {end}"
