"""Channels: what was promoted to each, what is on its way, and what holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self

from ums.domain.fleet import Given, Hold
from ums.domain.instants import parse_instant, to_text
from ums.domain.policy import Policy
from ums.domain.rollouts import WITHDRAWN, Rollout
from ums.domain.subjects import same_person
from ums.domain.version import Version


@dataclass(frozen=True, slots=True)
class Promoted:
    """One step in a channel's history, and what became of its rollout, once another took its place.

    Attributes:
        stopped: why it ended badly, or the empty string.
        proven: when its first wave had somebody well on it.
        finished: when its last wave succeeded.
        failed: when it first halted, was rolled back or cancelled, be it that it went on later.
        adopted: the channels for whose adoption gates enough data planes were well on it when another took its place.

    """

    release: Version
    given: Given
    stopped: str = ""
    finished: datetime | None = None
    failed: datetime | None = None
    proven: datetime | None = None
    adopted: tuple[str, ...] = ()

    def with_end(self, rollout: Rollout) -> Self:
        """Return the step with what became of its rollout: the rollout's own file is about to go."""
        return replace(
            self,
            stopped=f"{rollout.status}: {rollout.given.reason}" if rollout.status in WITHDRAWN else self.stopped,
            finished=rollout.through,
            failed=rollout.failed,
            proven=rollout.proven,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the wire form."""
        return {
            "release": str(self.release),
            **self.given.to_dict(),
            **({"stopped": self.stopped} if self.stopped else {}),
            **({"finished": to_text(self.finished)} if self.finished else {}),
            **({"failed": to_text(self.failed)} if self.failed else {}),
            **({"proven": to_text(self.proven)} if self.proven else {}),
            **({"adopted": list(self.adopted)} if self.adopted else {}),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the wire form."""
        names = ("finished", "failed", "proven")
        finished, failed, proven = (parse_instant(data[name]) if data.get(name) else None for name in names)
        return cls(
            release=Version(data["release"]),
            given=Given.from_dict(data),
            stopped=data.get("stopped", ""),
            finished=finished,
            failed=failed,
            proven=proven,
            adopted=tuple(data.get("adopted", ())),
        )


@dataclass(frozen=True, slots=True)
class Track:
    """One bundle in one channel: its history, newest last; the last entry is the head."""

    history: tuple[Promoted, ...]

    @property
    def head(self) -> Promoted:
        """Return the newest promotion."""
        return self.history[-1]

    @property
    def revision(self) -> int:
        """Return how often the channel moved."""
        return len(self.history)

    def promoted(self) -> tuple[Version, ...]:
        """Return every release ever promoted here, each once, in ascending order."""
        return tuple(sorted({step.release for step in self.history}))


@dataclass(frozen=True, slots=True)
class Approval:
    """One person's yes – or no – to a promotion, for one release under one policy.

    Attributes:
        groups: those of the person at the time.
        policy: digest of the policy that it was given under.
        release: digest of the release that it was given for.

    """

    given: Given
    groups: frozenset[str]
    policy: str
    release: str
    rejects: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the wire form."""
        return {
            **self.given.to_dict(),
            "groups": sorted(self.groups),
            "policy": self.policy,
            "release": self.release,
            "rejects": self.rejects,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the wire form."""
        rejects = bool(data.get("rejects"))
        return cls(Given.from_dict(data), frozenset(data["groups"]), data["policy"], data["release"], rejects)


@dataclass(frozen=True, slots=True)
class Override:
    """One person's decision that a gate does not stop a promotion, for one release under one policy.

    Attributes:
        gate: its name.
        findings: what the gate said, part by part: it counts for these alone.
        policy: digest of the policy that it was given under.
        release: digest of the release that it was given for.

    """

    given: Given
    gate: str
    findings: tuple[str, ...]
    policy: str
    release: str

    def to_dict(self) -> dict[str, Any]:
        """Return the wire form."""
        return {
            **self.given.to_dict(),
            "gate": self.gate,
            "findings": list(self.findings),
            "policy": self.policy,
            "release": self.release,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the wire form."""
        return cls(Given.from_dict(data), data["gate"], tuple(data["findings"]), data["policy"], data["release"])


@dataclass(frozen=True, slots=True)
class Executed:
    """A promotion that was executed: by whom, and what each gate said then, in its wire form."""

    given: Given
    gates: tuple[Mapping[str, Any], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the wire form."""
        return {**self.given.to_dict(), "gates": [dict(gate) for gate in self.gates]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the wire form."""
        return cls(Given.from_dict(data), tuple(data.get("gates", ())))


@dataclass(frozen=True, slots=True)
class Request:
    """A promotion that somebody wants, that people agree to, or that was executed.

    Attributes:
        wanted: who asked for it, to be executed once all gates are open; ``None`` if nobody did.
        expedite: by the policy's fast path.
        ended: why it was given up: a gate will never pass.

    """

    bundle: str
    release: Version
    wanted: Given | None = None
    expedite: bool = False
    approvals: tuple[Approval, ...] = ()
    executed: Executed | None = None
    overrides: tuple[Override, ...] = ()
    ended: Given | None = None

    @property
    def id(self) -> str:
        """Return the name of its file."""
        return f"{self.bundle}-{self.release}"

    @property
    def is_empty(self) -> bool:
        """Return whether nothing is known of it."""
        return not (self.wanted or self.approvals or self.overrides or self.executed or self.ended)

    def with_approval(self, approval: Approval) -> Self:
        """Return the request with one person's answer, in place of the same person's earlier one."""
        others = tuple(each for each in self.approvals if not same_person(each.given.by, approval.given.by))
        return replace(self, approvals=(*others, approval))

    def to_dict(self) -> dict[str, Any]:
        """Return the wire form."""
        return {
            "bundle": self.bundle,
            "release": str(self.release),
            "wanted": self.wanted.to_dict() if self.wanted else None,
            "expedite": self.expedite,
            "approvals": [each.to_dict() for each in self.approvals],
            "overrides": [each.to_dict() for each in self.overrides],
            "executed": self.executed.to_dict() if self.executed else None,
            **({"ended": self.ended.to_dict()} if self.ended else {}),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the wire form."""
        return cls(
            data["bundle"],
            Version(data["release"]),
            Given.from_dict(data["wanted"]) if data.get("wanted") else None,
            bool(data.get("expedite")),
            tuple(Approval.from_dict(each) for each in data.get("approvals", ())),
            Executed.from_dict(data["executed"]) if data.get("executed") else None,
            tuple(Override.from_dict(each) for each in data.get("overrides", ())),
            Given.from_dict(data["ended"]) if data.get("ended") else None,
        )


@dataclass(frozen=True, slots=True)
class Channel:
    """A named pointer, per bundle, that data planes follow.

    Attributes:
        rollouts: per bundle, how its head reaches the data planes.
        requests: promotions that were asked for, agreed to or executed, by ``Request.id``.

    """

    name: str
    policy: Policy = field(default_factory=Policy)
    tracks: Mapping[str, Track] = field(default_factory=dict)
    holds: tuple[Hold, ...] = ()
    rollouts: Mapping[str, Rollout] = field(default_factory=dict)
    requests: Mapping[str, Request] = field(default_factory=dict)

    def state_document(self) -> dict[str, Any]:
        """Return what ``channels/<channel>/state.yaml`` holds."""
        return {
            "schema": 1,
            "bundles": {
                bundle: {
                    "release": str(track.head.release),
                    "revision": track.revision,
                    "history": [step.to_dict() for step in track.history],
                }
                for bundle, track in sorted(self.tracks.items())
            },
            "holds": [hold.to_dict() for hold in self.holds],
        }

    def with_state(self, document: Mapping[str, Any]) -> Self:
        """Return this channel with the state that a document holds."""
        return replace(
            self,
            tracks={
                bundle: Track(tuple(Promoted.from_dict(step) for step in entry["history"]))
                for bundle, entry in document.get("bundles", {}).items()
            },
            holds=tuple(Hold.from_dict(hold) for hold in document.get("holds", [])),
        )

    def request(self, bundle: str, release: Version) -> Request:
        """Return what is known of a promotion, also if nobody asked for it yet."""
        unasked = Request(bundle, release)
        return self.requests.get(unasked.id, unasked)

    def with_promoted(
        self,
        bundle: str,
        release: Version,
        given: Given,
        gates: tuple[Mapping[str, Any], ...] = (),
        adopted: tuple[str, ...] = (),
    ) -> Self:
        """Return this channel with a new head for a bundle, its rollout started, and what the gates said kept.

        ``adopted`` are the channels whose adoption gates the head until now had passed.
        Who waits to promote an older release waits no longer: it would be a way back.
        """
        history = self.tracks[bundle].history if bundle in self.tracks else ()
        replaced = self.rollouts.get(bundle)
        if replaced is not None and history:
            # Its end must not be forgotten: gates look at it, and insights.
            history = (*history[:-1], replace(history[-1].with_end(replaced), adopted=adopted))
        track = Track((*history, Promoted(release, given)))
        rollout = Rollout.start(release, self.policy.rollout, given, before=replaced)
        executed = replace(self.request(bundle, release), executed=Executed(given, gates), ended=None)
        overtaken = {
            name
            for name, each in self.requests.items()
            if each.bundle == bundle and each.release < release and each.executed is None
        }
        left = {name: each for name, each in self.requests.items() if name not in overtaken}
        return replace(
            replace(self, requests=left).with_request(executed),
            tracks={**self.tracks, bundle: track},
            rollouts={**self.rollouts, bundle: rollout},
        )

    def with_rollout(self, bundle: str, rollout: Rollout) -> Self:
        """Return this channel with one rollout replaced."""
        return replace(self, rollouts={**self.rollouts, bundle: rollout})

    def with_request(self, request: Request) -> Self:
        """Return this channel with one request added or replaced."""
        return replace(self, requests={**self.requests, request.id: request})
