"""Channels and data planes: who follows what, what holds them, what they have, and what they report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from ums.domain.instants import parse_instant, to_text
from ums.domain.names import PDPName
from ums.domain.version import Version, VersionRange


@dataclass(frozen=True, slots=True)
class Given:
    """Who gave an instruction, when, why, and when it ends by itself."""

    by: str
    reason: str
    since: datetime
    until: datetime | None = None

    def active(self, now: datetime) -> bool:
        """Return whether it still counts."""
        return self.until is None or now < self.until

    def to_dict(self) -> dict[str, Any]:
        """Return the wire form."""
        return {
            "by": self.by,
            "reason": self.reason,
            "since": to_text(self.since),
            "until": to_text(self.until) if self.until else None,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the wire form."""
        until = data.get("until")
        return cls(data["by"], data["reason"], parse_instant(data["since"]), parse_instant(until) if until else None)


@dataclass(frozen=True, slots=True)
class Hold:
    """*Do not move this automatically*: stay on, or go back to, the release it names.

    ``component`` limits it to one component of the bundle.
    """

    bundle: str
    component: str | None
    release: Version
    given: Given

    def to_dict(self) -> dict[str, Any]:
        """Return the wire form."""
        return {
            "bundle": self.bundle,
            "component": self.component,
            "release": str(self.release),
            **self.given.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the wire form."""
        return cls(data["bundle"], data.get("component"), Version(data["release"]), Given.from_dict(data))


@dataclass(frozen=True, slots=True)
class Pin:
    """*Stay exactly on, or within, these versions*.

    Of the release, or – with ``component`` – of that component, whose own version is meant then.
    """

    bundle: str
    component: str | None
    versions: VersionRange
    given: Given

    def to_dict(self) -> dict[str, Any]:
        """Return the wire form."""
        return {
            "bundle": self.bundle,
            "component": self.component,
            "versions": str(self.versions),
            **self.given.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the wire form."""
        return cls(data["bundle"], data.get("component"), VersionRange(data["versions"]), Given.from_dict(data))


@dataclass(frozen=True, slots=True)
class Promoted:
    """One step in a channel's history."""

    release: Version
    given: Given

    def to_dict(self) -> dict[str, Any]:
        """Return the wire form."""
        return {"release": str(self.release), **self.given.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the wire form."""
        return cls(Version(data["release"]), Given.from_dict(data))


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
class Channel:
    """A named pointer, per bundle, that data planes follow."""

    name: str
    feeder: str | None = None
    description: str = ""
    tracks: Mapping[str, Track] = field(default_factory=dict)
    holds: tuple[Hold, ...] = ()

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

    def with_state(self, document: Mapping[str, Any]) -> Channel:
        """Return this channel with the state that a document holds."""
        return Channel(
            self.name,
            self.feeder,
            self.description,
            {
                bundle: Track(tuple(Promoted.from_dict(step) for step in entry["history"]))
                for bundle, entry in document.get("bundles", {}).items()
            },
            tuple(Hold.from_dict(hold) for hold in document.get("holds", [])),
        )


class Management(StrEnum):
    """Who runs a data plane, and so who decides (``mission.md``: three models)."""

    VENDOR = "vendor"
    VENDOR_IN_CUSTOMER_CLOUD = "vendor-in-customer-cloud"
    CUSTOMER = "customer"


@dataclass(frozen=True, slots=True)
class Registration:
    """What people decide about a data plane: ``fleet/<org>/<pdp>/registration.yaml``."""

    name: PDPName
    channel: str
    bundles: tuple[str, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    management: Management = Management.VENDOR
    credential_generation: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Return the file's content."""
        return {
            "schema": 1,
            "channel": self.channel,
            "bundles": list(self.bundles),
            "labels": dict(self.labels),
            "management": self.management.value,
            "credentialGeneration": self.credential_generation,
        }


@dataclass(frozen=True, slots=True)
class BundleState:
    """What a data plane should run of one bundle.

    Attributes:
        release: the release it is on.
        components: for each component, the release that provides it – ``release``, unless held, pinned or kept.
        removing: components marked for removal; the next state leaves them out.

    """

    release: Version
    components: Mapping[str, Version]
    removing: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the wire form, in ``ums-state``."""
        return {
            "release": str(self.release),
            "components": {name: str(version) for name, version in sorted(self.components.items())},
            "removing": list(self.removing),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the wire form."""
        return cls(
            Version(data["release"]),
            {name: Version(version) for name, version in data["components"].items()},
            tuple(data.get("removing", ())),
        )


@dataclass(frozen=True, slots=True)
class Desired:
    """The state last offered to a data plane: the ConfigMap ``ums-state``."""

    serial: int
    channel: str
    issued: datetime
    expires: datetime
    bundles: Mapping[str, BundleState]


class Health(StrEnum):
    """What is known of a data plane. Only ``healthy`` is green."""

    HEALTHY = "healthy"
    UPDATING = "updating"
    FAILED = "failed"
    STALE = "stale"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Report:
    """What a data plane said of itself, as a state.

    Attributes:
        serial: of the desired state it speaks about.
        health: healthy, updating or failed.
        message: Flux's own words.
        component: the object that failed, where one is named.
        at: the sender's timestamp: compared only with others of the same data plane.
        heard: when we received it.

    """

    serial: int
    health: Health
    message: str
    component: str
    at: datetime
    heard: datetime

    @property
    def rank(self) -> int:
        """Return what decides between two reports of one second, which is as fine as Flux's clock is.

        Whatever order they come in, and however often, the same one wins; a failure that lasts is reported again.
        """
        return (Health.UPDATING, Health.FAILED, Health.HEALTHY).index(self.health)

    def is_newer_than(self, other: Report) -> bool:
        """Return whether this is to be believed instead of ``other``, of the same data plane."""
        return (self.serial, self.at, self.rank) > (other.serial, other.at, other.rank)


@dataclass(frozen=True, slots=True)
class DataPlane:
    """Everything known about one data plane."""

    registration: Registration
    pins: tuple[Pin, ...] = ()
    holds: tuple[Hold, ...] = ()
    desired: Desired | None = None
    report: Report | None = None

    @property
    def name(self) -> PDPName:
        """Return ``org/pdp``."""
        return self.registration.name

    def decisions_document(self) -> dict[str, Any]:
        """Return what ``decisions.yaml`` holds."""
        return {
            "schema": 1,
            "pins": [pin.to_dict() for pin in self.pins],
            "holds": [hold.to_dict() for hold in self.holds],
        }

    def health(self, now: datetime) -> Health:
        """Return what may be said of it now.

        A report about another serial than the one offered means *updating*; one not refreshed while the
        offer lived means *stale*, however green its last words were.
        """
        if self.report is None or self.desired is None:
            return Health.UNKNOWN
        if now >= self.desired.expires or now - self.report.heard > (self.desired.expires - self.desired.issued):
            return Health.STALE
        if self.report.serial != self.desired.serial:
            return Health.UPDATING
        return self.report.health
