"""Override a gate, for one release in one channel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from ums.domain.channels import Channel, Override, Request
from ums.domain.errors import ConflictError, InvalidInputError
from ums.domain.gates import ask_gates, regression_findings
from ums.domain.identity import ALL, Permission
from ums.domain.policy import OVERRIDABLE, GateName
from ums.domain.regressions import override_in_force
from ums.domain.release import ReleaseName
from ums.domain.world import World
from ums.usecases.instruct import Why
from ums.usecases.promote import requested
from ums.usecases.record import Change, Outcome, Record


@dataclass(frozen=True, slots=True)
class OverrideGate:
    """Record who lets a release past a gate and why: for this very release, under this very policy."""

    record: Record

    def __call__(
        self,
        gate: str,
        name: ReleaseName,
        *,
        to: str,
        why: Why,
        cancels: bool = False,
        dry_run: bool = False,
    ) -> Outcome:
        """Override what a gate finds now, or take that back; where it is so already, nothing changes.

        Raises:
            ForbiddenError: the identity may not promote this bundle.
            NotFoundError: there is no such release or channel.
            ConflictError: it was promoted there already.
            InvalidInputError: the gate cannot be overridden or is open, or a reason is missing.

        """
        why.by.require(Permission.PROMOTE, bundle=name.bundle, channel=to, org=ALL)
        if gate not in OVERRIDABLE:
            names = ", ".join(sorted(OVERRIDABLE))
            raise InvalidInputError(f"gate {gate!r:.40} cannot be overridden", hint=f"gates that can be: {names}")

        def change(world: World, now: datetime) -> Change:
            given, channel = why.given(now), world.channel(to)
            entry, known = world.entry(name.bundle, name.version), channel.request(name.bundle, name.version)
            if known.executed is not None:
                raise ConflictError(
                    f"{name} was promoted to {to} already, by {known.executed.given.by}",
                    hint=f"ums rollout pause {to} stops it; ums yank gives it to nobody new",
                )
            others = tuple(each for each in known.overrides if each.gate != gate)
            if cancels:
                return _asked(world, channel, replace(known, overrides=others), now)
            findings, _ = regression_findings(world, channel, name)
            if not findings:
                raise InvalidInputError(
                    f"gate {gate} is open, so that there is nothing to override",
                    hint=f"ums gates {name} --to {to} shows all gates",
                )
            if override_in_force(channel, entry, findings, GateName(gate)) is not None:
                return _asked(world, channel, known, now)
            override = Override(given, gate, findings, channel.policy.digest, str(entry.digest))
            return _asked(world, channel, replace(known, overrides=(*others, override)), now)

        done = "Withdraw the override" if cancels else "Override"
        return self.record(
            change,
            subject=f"channels/{to}: {done} {'of ' if cancels else ''}gate {gate} for {name}",
            action="cancel-override" if cancels else "override-gate",
            by=why.by,
            reason=why.reason,
            dry_run=dry_run,
            settle=False,
        )


def _asked(world: World, channel: Channel, request: Request, now: datetime) -> Change:
    """Return a request recorded, unless it stands like that already, and what the gates say then."""
    name = ReleaseName(request.bundle, request.release)
    change = requested(world, channel, request)
    return replace(change, gates=ask_gates(change.world, change.world.channel(channel.name), name, now))
