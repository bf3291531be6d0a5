"""Pin, hold, roll back – and undo these: the instructions that take a data plane off its channel's head.

They share their shape (who, what, why, until when), so they share this file. A rollback is a hold with a target:
there is no second machine for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from ums.domain import layout
from ums.domain.channels import Channel
from ums.domain.composing import blocked_way_back
from ums.domain.errors import InvalidInputError, NotFoundError, Reason, RefusedError
from ums.domain.fleet import BundleState, Consent, DataPlane, Given, Hold, Pin
from ums.domain.identity import ALL, Identity, Permission
from ums.domain.names import PDPName
from ums.domain.release import ReleaseName
from ums.domain.version import Version, VersionRange
from ums.domain.world import Document, World
from ums.usecases.record import Change, Outcome, Record, unchanged

_Instruction = TypeVar("_Instruction", Pin, Hold)

ROLLBACK_HOLD = timedelta(days=14)
"""How long a rollback holds unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What an instruction is about: a bundle, or one component of it."""

    bundle: str
    component: str | None = None

    @classmethod
    def parse(cls, text: str) -> Subject:
        """Read ``bundle`` or ``bundle/component``."""
        bundle, _, component = text.partition("/")
        return cls(bundle, component or None)

    def __str__(self) -> str:
        return f"{self.bundle}/{self.component}" if self.component else self.bundle


@dataclass(frozen=True, slots=True)
class Why:
    """Who asks, for what reason, and until when it shall count."""

    by: Identity
    reason: str
    until: datetime | None = None

    def given(self, now: datetime) -> Given:
        """Return the record of it.

        Raises:
            InvalidInputError: no reason was given, or it would have ended already.

        """
        if not self.reason.strip():
            raise InvalidInputError("a reason is missing", hint="say why, for those who will ask: --reason '…'")
        if self.until is not None and self.until <= now:
            raise InvalidInputError("the end lies in the past", hint="give a later time: --until, --for")
        return Given(self.by.subject, self.reason, now, self.until)


@dataclass(frozen=True, slots=True)
class Instruct:
    """Record instructions of operators and release engineers."""

    record: Record

    def pin(
        self, pdp: PDPName, subject: Subject, versions: VersionRange | None, why: Why, *, dry_run: bool = False
    ) -> Outcome:
        """Pin a bundle, or one component, of a data plane; without a range, to what it is on now.

        Raises:
            ForbiddenError: the identity may not operate.
            NotFoundError: no such data plane, bundle or component.
            InvalidInputError: no reason.

        """

        def change(world: World, plane: DataPlane, now: datetime) -> DataPlane:
            state = _state(plane, subject)
            exact = versions or VersionRange(str(_version(world, state, subject)))
            _check_pin(world, subject, exact)
            pin = Pin(subject.bundle, subject.component, exact, why.given(now))
            if _repeats(plane.pins, pin, now):
                return plane
            return replace(plane, pins=(*_others(plane.pins, subject), pin))

        return self._instruct(pdp, subject, "pin", why, change, dry_run=dry_run)

    def unpin(self, pdp: PDPName, subject: Subject, why: Why, *, dry_run: bool = False) -> Outcome:
        """Remove a pin; where there is none, nothing changes.

        Raises:
            ForbiddenError: the identity may not operate.
            NotFoundError: no such data plane.

        """
        return self._instruct(
            pdp,
            subject,
            "unpin",
            why,
            lambda _world, plane, _now: replace(plane, pins=_others(plane.pins, subject)),
            dry_run=dry_run,
        )

    def hold(
        self, pdp: PDPName, subject: Subject, release: Version | None, why: Why, *, dry_run: bool = False
    ) -> Outcome:
        """Hold a bundle, or one component, of a data plane on a release; without one, on what it has now.

        Raises:
            ForbiddenError: the identity may not operate.
            NotFoundError: no such data plane, bundle, component or release.
            InvalidInputError: no reason.
            RefusedError: the release lies behind an irreversible one.

        """

        def change(world: World, plane: DataPlane, now: datetime) -> DataPlane:
            target = release or _provider(_state(plane, subject), subject)
            _check_target(world, plane, subject, target)
            hold = Hold(subject.bundle, subject.component, target, why.given(now))
            if _repeats(plane.holds, hold, now):
                return plane
            return replace(plane, holds=(*_others(plane.holds, subject), hold))

        return self._instruct(pdp, subject, "hold", why, change, dry_run=dry_run)

    def unhold(self, pdp: PDPName, subject: Subject, why: Why, *, dry_run: bool = False) -> Outcome:
        """Remove a hold; where there is none, nothing changes.

        Raises:
            ForbiddenError: the identity may not operate.
            NotFoundError: no such data plane.

        """
        return self._instruct(
            pdp,
            subject,
            "unhold",
            why,
            lambda _world, plane, _now: replace(plane, holds=_others(plane.holds, subject)),
            dry_run=dry_run,
        )

    def consent(self, pdp: PDPName, name: ReleaseName, why: Why, *, dry_run: bool = False) -> Outcome:
        """Agree, for its owner, that a data plane gets a release.

        Raises:
            ForbiddenError: the identity may not operate.
            NotFoundError: no such data plane or release.
            InvalidInputError: no reason.

        """

        def change(world: World, plane: DataPlane, now: datetime) -> DataPlane:
            world.entry(name.bundle, name.version)
            consent = Consent(name.bundle, name.version, why.given(now))
            same = [each for each in plane.consents if (each.bundle, each.release) == (name.bundle, name.version)]
            if any(each.given.lasts_as(consent.given, now) for each in same):
                return plane
            return replace(plane, consents=(*(each for each in plane.consents if each not in same), consent))

        return self._instruct(pdp, Subject(name.bundle), "consent", why, change, dry_run=dry_run)

    def roll_back(
        self, pdp: PDPName, subject: Subject, release: Version, why: Why, *, dry_run: bool = False
    ) -> Outcome:
        """Take a data plane back to an earlier release, and hold it there.

        Raises:
            InvalidInputError: the release is not earlier, or no reason was given.
            RefusedError: an irreversible release lies between.
            ForbiddenError: the identity may not operate.
            NotFoundError: no such data plane, bundle, component or release.

        """

        def change(world: World, plane: DataPlane, now: datetime) -> DataPlane:
            current = _provider(_state(plane, subject), subject)
            if release > current:
                raise InvalidInputError(
                    f"{plane.name} is on {subject.bundle}@{current}; {release} is not earlier",
                    hint="ums hold keeps it on a release, ums promote moves a channel forward",
                )
            _check_target(world, plane, subject, release)
            hold = Hold(
                subject.bundle, subject.component, release, _rollback_given(why, plane.holds, subject, release, now)
            )
            if _repeats(plane.holds, hold, now):
                return plane
            return replace(plane, holds=(*_others(plane.holds, subject), hold))

        return self._instruct(pdp, subject, "rollback", why, change, dry_run=dry_run)

    def roll_back_channel(
        self, channel: str, bundle: str, release: Version, why: Why, *, dry_run: bool = False
    ) -> Outcome:
        """Take every data plane of a channel back to an earlier release, and hold the channel there.

        The channel's head stays: promotions go on, and reach the data planes when the hold ends.

        Raises:
            InvalidInputError: the release is not earlier, or no reason was given.
            RefusedError: an irreversible release lies between.
            ForbiddenError: the identity may not promote.
            NotFoundError: no such channel or release, or the bundle was never promoted to it.

        """

        def change(world: World, found: Channel, now: datetime) -> Channel:
            track = found.tracks.get(bundle)
            if track is None:
                raise NotFoundError(f"no release of {bundle} was promoted to {channel}")
            if release > track.head.release:
                raise InvalidInputError(f"{channel} has {bundle}@{track.head.release}; {release} is not earlier")
            check_way_back(world, bundle, track.head.release, release)
            _check_proven(found, bundle, release)
            subject = Subject(bundle)
            hold = Hold(bundle, None, release, _rollback_given(why, found.holds, subject, release, now))
            if _repeats(found.holds, hold, now):
                return found
            return replace(found, holds=(*_others(found.holds, subject), hold))

        return self._instruct_channel(channel, bundle, "rollback", why, change, dry_run=dry_run)

    def unhold_channel(self, channel: str, bundle: str, why: Why, *, dry_run: bool = False) -> Outcome:
        """End a channel's hold: its data planes go on to the head.

        Raises:
            ForbiddenError: the identity may not promote.
            NotFoundError: no such channel.

        """
        return self._instruct_channel(
            channel,
            bundle,
            "unhold",
            why,
            lambda _world, found, _now: replace(found, holds=_others(found.holds, Subject(bundle))),
            dry_run=dry_run,
        )

    def _instruct(
        self,
        pdp: PDPName,
        subject: Subject,
        action: str,
        why: Why,
        change: Callable[[World, DataPlane, datetime], DataPlane],
        *,
        dry_run: bool,
    ) -> Outcome:
        return instruct_plane(
            self.record,
            pdp,
            change,
            about=lambda _world: subject.bundle,
            action=action,
            what=str(subject),
            why=why,
            dry_run=dry_run,
        )

    def _instruct_channel(
        self,
        name: str,
        bundle: str,
        action: str,
        why: Why,
        change: Callable[[World, Channel, datetime], Channel],
        *,
        dry_run: bool,
    ) -> Outcome:
        why.by.require(Permission.PROMOTE, bundle=bundle, channel=name, org=ALL)

        def apply(world: World, now: datetime) -> Change:
            before = world.channel(name)
            after = change(world, before, now)
            if after == before:
                return unchanged(world)
            return Change(world.with_channel(after), {layout.channel_state(name): Document(after.state_document())})

        return self.record(
            apply,
            subject=f"channels/{name}: {action.capitalize()} {bundle}",
            action=action,
            by=why.by,
            reason=why.reason,
            dry_run=dry_run,
        )


def instruct_plane(
    record: Record,
    pdp: PDPName,
    change: Callable[[World, DataPlane, datetime], DataPlane],
    *,
    about: Callable[[World], str],
    action: str,
    what: str,
    why: Why,
    dry_run: bool,
) -> Outcome:
    """Record what was decided about a data plane, and its consequences; ``about`` tells the bundle it concerns.

    Raises:
        ForbiddenError: the identity may not operate.
        NotFoundError: there is no such data plane.

    """
    why.by.require(Permission.OPERATE, org=pdp.org)

    def apply(world: World, now: datetime) -> Change:
        before = world.plane(pdp)
        why.by.require(Permission.OPERATE, bundle=about(world), channel=before.registration.channel, org=pdp.org)
        after = change(world, before, now)
        if after == before:
            return unchanged(world)
        return Change(world.with_plane(after), {layout.fleet_decisions(pdp): Document(after.decisions_document())})

    return record(
        apply,
        subject=f"fleet/{pdp}: {action.capitalize()} {what}",
        action=action,
        by=why.by,
        reason=why.reason,
        dry_run=dry_run,
    )


def _check_proven(channel: Channel, bundle: str, release: Version) -> None:
    """Check that a channel's data planes had a release, and that its rollout did not end badly.

    Raises:
        RefusedError: all would get at once what nobody there was ever well on.

    """
    steps = {step.release: step.stopped for step in channel.tracks[bundle].history}
    name = ReleaseName(bundle, release)
    if release not in steps:
        why = Reason("never-promoted", f"{name} was never promoted to {channel.name}")
    elif steps[release]:
        why = Reason("rollout-failed", f"its rollout in {channel.name} ended badly: {steps[release]}")
    else:
        return
    good = ", ".join(str(each) for each, stopped in steps.items() if not stopped and each < release) or "none"
    raise RefusedError(
        f"{channel.name} does not go back to {name} at once",
        (why,),
        hint=f"earlier releases that went through it: {good}; ums rollback ORG/PDP takes one data plane anywhere",
    )


def _rollback_given(why: Why, holds: tuple[Hold, ...], subject: Subject, release: Version, now: datetime) -> Given:
    """Return what a rollback's hold says; repeated without an end, it ends when it did."""
    given = replace(why, until=why.until or now + ROLLBACK_HOLD).given(now)
    known = next((each for each in holds if (each.bundle, each.component) == (subject.bundle, subject.component)), None)
    if why.until is None and known is not None and known.release == release and known.given.active(now):
        return replace(given, until=known.given.until)
    return given


def _repeats(items: tuple[_Instruction, ...], new: _Instruction, now: datetime) -> bool:
    """Return whether one of these says what a new one does; then that is left as it is."""
    return any(known.given.lasts_as(new.given, now) and replace(known, given=new.given) == new for known in items)


def _others(items: tuple[_Instruction, ...], subject: Subject) -> tuple[_Instruction, ...]:
    return tuple(item for item in items if (item.bundle, item.component) != (subject.bundle, subject.component))


def _state(plane: DataPlane, subject: Subject) -> BundleState:
    state = plane.desired.bundles.get(subject.bundle) if plane.desired else None
    if state is None:
        raise NotFoundError(
            f"{plane.name} has no release of {subject.bundle} yet",
            hint=f"it subscribes to {', '.join(plane.registration.bundles)}",
        )
    if subject.component is not None and subject.component not in state.components:
        raise NotFoundError(
            f"{plane.name} has no component {subject}", hint=f"it has {', '.join(sorted(state.components))}"
        )
    return state


def _provider(state: BundleState, subject: Subject) -> Version:
    return state.components[subject.component] if subject.component else state.release


def _version(world: World, state: BundleState, subject: Subject) -> Version:
    """Return the version that a pin without a range means: the release's, or the component's own."""
    provider = _provider(state, subject)
    if subject.component is None:
        return provider
    component = world.entry(subject.bundle, provider).release.component(subject.component)
    if component is None:
        raise NotFoundError(f"{subject.bundle}@{provider} has no component {subject.component}")
    return component.version


def _check_pin(world: World, subject: Subject, versions: VersionRange) -> None:
    """Refuse a pin to what does not exist: it would hold for ever."""
    known = set(world.catalog.get(subject.bundle, {}))
    if subject.component is not None:
        releases = (entry.release for entry in world.catalog.get(subject.bundle, {}).values())
        known = {found.version for release in releases if (found := release.component(subject.component))}
    if not any(version in versions for version in known):
        newest = ", ".join(str(each) for each in sorted(known)[-5:])
        raise InvalidInputError(f"no release of {subject} is within {versions}", hint=f"its newest: {newest or 'none'}")


def _check_target(world: World, plane: DataPlane, subject: Subject, release: Version) -> None:
    entry = world.entry(subject.bundle, release)
    if subject.component is not None and entry.release.component(subject.component) is None:
        raise NotFoundError(f"{entry.release.name} has no component {subject.component}")
    if subject.bundle not in world.bundles_of(plane):
        raise NotFoundError(
            f"{plane.name} does not subscribe to {subject.bundle}",
            hint=f"it subscribes to {', '.join(world.bundles_of(plane))}",
        )
    state = plane.desired.bundles.get(subject.bundle) if plane.desired else None
    if state is not None:
        check_way_back(world, subject.bundle, state.release, release)


def check_way_back(world: World, bundle: str, current: Version, release: Version) -> None:
    """Refuse a way back past what cannot be undone, or past a barrier: nobody skips one in this direction either.

    Raises:
        RefusedError: names what lies between.

    """
    blocked = blocked_way_back(world, bundle, current, release)
    if not blocked:
        return
    hint = "fix forward: publish and promote a newer release"
    if blocked[0].code == "barrier":
        entries = world.catalog[bundle].items()
        passed = [each for each, entry in entries if release < each < current and entry.release.upgrade.barrier]
        hint = f"go back to {max(passed)} at the most, or fix forward"
    raise RefusedError(f"{bundle} cannot go back from {current} to {release}", blocked, hint=hint)
