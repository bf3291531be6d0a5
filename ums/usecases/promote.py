"""Promote: move a channel to a release, now or as soon as its gates are open."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from ums.domain import layout
from ums.domain.channels import Channel, Request
from ums.domain.errors import InvalidInputError, RefusedError, UnverifiedError
from ums.domain.fleet import Given
from ums.domain.gates import Gate, Verdict, adopters, ask_gates
from ums.domain.identity import ALL, Identity, Permission
from ums.domain.linting import check_waves
from ums.domain.policy import OVERRIDABLE
from ums.domain.release import ReleaseName
from ums.domain.world import Content, Document, Skipped, World
from ums.usecases.record import Change, Outcome, Record, unchanged
from ums.usecases.verify import Verify


@dataclass(frozen=True, slots=True)
class Promote:
    """Make a release the head of a channel."""

    record: Record
    verify: Verify

    def __call__(
        self,
        name: ReleaseName,
        *,
        to: str,
        by: Identity,
        reason: str = "",
        expedite: bool = False,
        when_ready: bool = False,
        dry_run: bool = False,
    ) -> Outcome:
        """Promote a release; if it is the head already, nothing changes.

        Every gate is asked, so that a refusal names all its reasons at once. The rollout begins with the loop.

        Args:
            name: the release.
            to: the channel.
            by: who promotes.
            reason: why; demanded where gates are skipped.
            expedite: take the policy's fast path.
            when_ready: if a gate is closed, keep the wish, for the loop to execute once all are open.
            dry_run: record nothing.

        Raises:
            ForbiddenError: the identity may not promote this bundle.
            NotFoundError: there is no such release or channel.
            RefusedError: a gate said no.
            InvalidInputError: a reason is missing, or a wave of the channel selects nobody.
            UnavailableError: the registry or the release repo did not answer.

        """
        by.require(Permission.PROMOTE, bundle=name.bundle, channel=to, org=ALL)
        if expedite and not reason.strip():
            raise InvalidInputError("a reason is missing", hint="say why the gates may be skipped: --reason '…'")
        verified = self.check_signatures(name)

        def change(world: World, now: datetime) -> Change:
            channel = world.channel(to)
            track = channel.tracks.get(name.bundle)
            if track is not None and track.head.release == name.version:
                return unchanged(world)
            gates = ask_gates(world, channel, name, now, expedite=expedite, verified=verified, promoter=by.subject)
            given = Given(by.subject, reason, now)
            if all(gate.is_open for gate in gates):
                check_waves(world, channel, name.bundle)
                return promotion(world, channel, name, given, gates)
            if when_ready and not any(gate.verdict is Verdict.FAILED for gate in gates):
                known = channel.request(name.bundle, name.version)
                wish = replace(known, wanted=known.wanted or given, expedite=expedite, ended=None)
                return replace(requested(world, channel, wish), gates=gates)
            raise refusal(channel, name, gates)

        return self.record(
            change,
            subject=f"channels/{to}: Promote {name}",
            action="promote",
            by=by,
            reason=reason,
            dry_run=dry_run,
            settle=False,
        )

    def check_signatures(self, name: ReleaseName) -> bool:
        """Verify again: a key may have left ``trust.yaml`` since the release was registered.

        Raises:
            NotFoundError: there is no such release.
            UnavailableError: the registry does not answer.

        """
        world = self.record.release_repo.read()
        entry = world.entry(name.bundle, name.version)
        try:
            self.verify.release(world.settings.registry, name.bundle, entry.digest, world.trust)
        except UnverifiedError:
            return False
        return True


def promotion(world: World, channel: Channel, name: ReleaseName, given: Given, gates: tuple[Gate, ...]) -> Change:
    """Return a promotion: the channel's new head, its rollout, and what the gates said.

    What was skipped stands on the release too, for ever.
    """
    said = tuple(gate.to_dict() for gate in gates)
    adopted = adopters(world, channel, name.bundle, given.since)
    moved = channel.with_promoted(name.bundle, name.version, given, said, adopted)
    request = moved.request(name.bundle, name.version)
    files: dict[str, Content | None] = {
        layout.channel_state(channel.name): Document(moved.state_document()),
        layout.channel_rollout(channel.name, name.bundle): Document(moved.rollouts[name.bundle].to_dict()),
        layout.channel_request(channel.name, request.id): Document(request.to_dict()),
    }
    for overtaken in channel.requests.keys() - moved.requests.keys():
        files[layout.channel_request(channel.name, overtaken)] = None
    world = world.with_channel(moved)
    skipped = [gate.name for gate in gates if gate.verdict is Verdict.SKIPPED]
    if skipped:
        fast = tuple(gate.value for gate in skipped if gate not in OVERRIDABLE)
        by_fast_path = [Skipped(channel.name, fast, given)] if fast else []
        overridden = [
            Skipped(channel.name, (each.gate,), each.given) for each in request.overrides if each.gate in skipped
        ]
        entry = world.entry(name.bundle, name.version)
        entry = replace(entry, skipped=(*entry.skipped, *by_fast_path, *overridden))
        world = world.with_entry(entry)
        files[layout.catalog_status(name.bundle, name.version)] = Document(entry.status_document())
    return Change(world, files, gates)


def requested(world: World, channel: Channel, request: Request) -> Change:
    """Return a request recorded, unless it stands like that already; one of which nothing is left is forgotten."""
    if channel.request(request.bundle, request.release) == request:
        return unchanged(world)
    path = layout.channel_request(channel.name, request.id)
    if request.is_empty:
        left = {each: other for each, other in channel.requests.items() if each != request.id}
        return Change(world.with_channel(replace(channel, requests=left)), {path: None})
    return Change(world.with_channel(channel.with_request(request)), {path: Document(request.to_dict())})


def refusal(channel: Channel, name: ReleaseName, gates: tuple[Gate, ...]) -> RefusedError:
    """Return the refusal that names every closed gate."""
    closed = tuple(gate.reason for gate in gates if not gate.is_open)
    hint = f"ums gates {name} --to {channel.name} shows all gates; --when-ready promotes once they are open"
    return RefusedError(f"{name} is not promoted to {channel.name}", closed, hint=hint)
