"""Promote: move a channel to a release."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from ums.domain import layout
from ums.domain.errors import Reason, RefusedError, UnverifiedError
from ums.domain.fleet import Channel, Given, Promoted, Track
from ums.domain.identity import Identity, Permission
from ums.domain.release import ReleaseName
from ums.domain.world import Document, World
from ums.usecases.record import Change, Outcome, Record
from ums.usecases.verify import Verify


@dataclass(frozen=True, slots=True)
class Promote:
    """Make a release the head of a channel."""

    record: Record
    verify: Verify

    def __call__(self, name: ReleaseName, *, to: str, by: Identity, reason: str = "", dry_run: bool = False) -> Outcome:
        """Promote a release; if it is the head already, nothing changes.

        Every rule is asked, so that a refusal names all its reasons at once.

        Raises:
            ForbiddenError: the identity may not promote this bundle.
            NotFoundError: there is no such release or channel.
            RefusedError: a rule said no.
            UnavailableError: the registry or the release repo did not answer.

        """
        by.require(Permission.PROMOTE, bundle=name.bundle)
        self._check_signatures(name)

        def change(world: World, now: datetime) -> Change:
            channel = world.channel(to)
            world.entry(name.bundle, name.version)
            track = channel.tracks.get(name.bundle)
            if track is not None and track.head.release == name.version:
                return Change(world)
            reasons = blocking(world, channel, name)
            if reasons:
                raise RefusedError(f"{name} is not promoted to {to}", reasons, hint="the reasons say what is missing")
            step = Promoted(name.version, Given(by.subject, reason, now))
            history = (*(track.history if track else ()), step)
            moved = replace(channel, tracks={**channel.tracks, name.bundle: Track(history)})
            return Change(world.with_channel(moved), {layout.channel_state(to): Document(moved.state_document())})

        return self.record(
            change,
            subject=f"channels/{to}: Promote {name}",
            action="promote",
            actor=by.subject,
            reason=reason,
            dry_run=dry_run,
        )

    def _check_signatures(self, name: ReleaseName) -> None:
        """Verify again: a key may have left ``trust.yaml`` since the release was registered."""
        world = self.record.world()
        entry = world.entry(name.bundle, name.version)
        try:
            self.verify.release(world.settings.registry, name.bundle, entry.digest, world.trust)
        except UnverifiedError as error:
            raise RefusedError(
                f"{name} may not be promoted", (Reason("unverified", error.message, None, None),), hint=error.hint
            ) from error


def blocking(world: World, channel: Channel, name: ReleaseName) -> tuple[Reason, ...]:
    """Return every reason against promoting a release to a channel."""
    reasons: list[Reason] = []
    entry = world.entry(name.bundle, name.version)
    if entry.yanked:
        reasons.append(Reason("yanked", f"{name} was yanked: {entry.yanked}", None, "a release engineer"))
    track = channel.tracks.get(name.bundle)
    if track is not None and name.version < track.head.release:
        reasons.append(
            Reason(
                "older-than-head",
                f"{channel.name} has {name.bundle}@{track.head.release}; going back is a rollback",
                None,
                "a release engineer (ums rollback)",
            )
        )
    if channel.feeder is not None:
        feeder = world.channels.get(channel.feeder)
        feeding = feeder.tracks.get(name.bundle) if feeder else None
        if feeding is None or name.version not in feeding.promoted():
            reasons.append(
                Reason(
                    "not-in-feeder",
                    f"{name} was not promoted to {channel.feeder}, which feeds {channel.name}",
                    None,
                    f"a release engineer (ums promote {name} --to {channel.feeder})",
                )
            )
    return tuple(reasons)
