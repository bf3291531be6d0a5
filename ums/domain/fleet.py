"""Data planes: what holds them, what they have, and what they report."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from ums.domain.bundle import ReleaseClass
from ums.domain.clock import HINT, is_too_far_ahead
from ums.domain.errors import InvalidInputError, UnavailableError
from ums.domain.instants import parse_instant, to_text
from ums.domain.names import PDPName, check_name
from ums.domain.strict_json import text
from ums.domain.trust import TRUST
from ums.domain.values import Values, check_values
from ums.domain.version import Version, VersionRange
from ums.domain.windows import Schedule

_EVER = datetime.min.replace(tzinfo=UTC)
_CENTURY = timedelta(days=36_525)
"""No state is good for longer; it keeps sums of times within what a datetime holds."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a data plane's cluster; ``None`` is unknown."""

    kubernetes: Version | None = None
    flux: Version | None = None

    def to_dict(self) -> dict[str, str]:
        """Return what is known."""
        known = {"kubernetes": self.kubernetes, "flux": self.flux}
        return {name: str(version) for name, version in known.items() if version is not None}

    @classmethod
    def parse(cls, kubernetes: str | None, flux: str | None) -> Self:
        """Read versions as the programs tell them.

        Raises:
            InvalidInputError: one is no version.

        """
        return cls(*(fact_version(text) if text else None for text in (kubernetes, flux)))

    def over(self, others: Facts) -> Facts:
        """Return these, and of the others what these do not know."""
        return Facts(self.kubernetes or others.kubernetes, self.flux or others.flux)


_UNKNOWN = Facts()


def fact_version(text: str) -> Version:
    """Return MAJOR.MINOR.PATCH of a version such as ``v1.34.1+k3s1``: a vendor's suffix makes nothing a pre-release.

    Raises:
        InvalidInputError: it is no version.

    """
    core = Version(text.removeprefix("v")).parsed
    return Version(f"{core.major}.{core.minor}.{core.patch}")


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

    def lasts_as(self, other: Given, now: datetime) -> bool:
        """Return whether it counts now, and as long as another: who repeats an instruction changes nothing."""
        ends = [to_text(each.until) if each.until else None for each in (self, other)]
        return self.active(now) and ends[0] == ends[1]

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
        until, by, reason = data.get("until"), text(data["by"], "member 'by'"), text(data["reason"], "member 'reason'")
        return cls(by, reason, parse_instant(data["since"]), parse_instant(until) if until else None)


@dataclass(frozen=True, slots=True)
class Hold:
    """*Do not move this automatically*: stay on, or go back to, the release it names.

    ``component`` limits it to one component of the bundle.
    """

    bundle: str
    component: str | None
    release: Version
    given: Given

    @property
    def what(self) -> str:
        """Return what it is about, as people write it."""
        return f"{self.bundle}/{self.component}" if self.component else self.bundle

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

    @property
    def what(self) -> str:
        """Return what it is about, as people write it."""
        return f"{self.bundle}/{self.component}" if self.component else self.bundle

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


class Management(StrEnum):
    """Who runs a data plane, and so who decides (``mission.md``: three models)."""

    VENDOR = "vendor"
    VENDOR_IN_CUSTOMER_CLOUD = "vendor-in-customer-cloud"
    CUSTOMER = "customer"


@dataclass(frozen=True, slots=True)
class Consent:
    """An owner's yes to one release."""

    bundle: str
    release: Version
    given: Given

    def to_dict(self) -> dict[str, Any]:
        """Return the wire form."""
        return {"bundle": self.bundle, "release": str(self.release), **self.given.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the wire form."""
        return cls(data["bundle"], Version(data["release"]), Given.from_dict(data))


@dataclass(frozen=True, slots=True)
class AcceptedRisk:
    """A named risk that an owner takes."""

    risk: str
    given: Given

    def to_dict(self) -> dict[str, Any]:
        """Return the wire form."""
        return {"risk": self.risk, **self.given.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the wire form."""
        return cls(data["risk"], Given.from_dict(data))


@dataclass(frozen=True, slots=True)
class Rotation:
    """A new generation of a data plane's credentials, and until when the one before it is accepted, too."""

    generation: int
    previous_until: datetime | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the wire form."""
        return {
            "generation": self.generation,
            "previousUntil": to_text(self.previous_until) if self.previous_until else None,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the wire form."""
        until = data.get("previousUntil")
        return cls(int(data["generation"]), parse_instant(until) if until else None)


@dataclass(frozen=True, slots=True)
class Retired:
    """What must be known of a data plane that was removed, should one of its name come again.

    Attributes:
        last_serial: the highest that it was offered; 0 if none.
        generation: the last of its credentials.

    """

    last_serial: int
    generation: int
    by: str
    reason: str
    at: datetime

    def to_dict(self) -> dict[str, Any]:
        """Return what ``retired.yaml`` holds."""
        return {
            "schema": 1,
            "lastSerial": self.last_serial,
            "generation": self.generation,
            "at": to_text(self.at),
            "by": self.by,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read it."""
        at = parse_instant(data["at"])
        return cls(int(data["lastSerial"]), int(data["generation"]), data["by"], data["reason"], at)


@dataclass(frozen=True, slots=True)
class Registration:
    """What people decide about a data plane: ``fleet/<org>/<pdp>/registration.yaml``.

    Attributes:
        credential_generation: which its credentials have at least; ``DataPlane.generation`` is the one that counts.
        windows: when it may be offered something new; Flux applies it when it next polls.
        ask: its owner is asked before each release …
        standing_consent: … but for these classes.
        wariness: where it stands in a ramp, 0 eager to 1 cautious, instead of where chance puts it.
        volunteer: it goes first.
        facts: what is known of its cluster.
        values: of its charts, by bundle and component, over what was signed; no secrets, they stand in Git.
        sealed: its cluster takes no such values; only ``ums pdp bootstrap --unsealed`` opens one.

    """

    name: PDPName
    channel: str
    bundles: tuple[str, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    management: Management = Management.VENDOR
    credential_generation: int = 1
    windows: Schedule = field(default_factory=Schedule)
    ask: bool = False
    standing_consent: frozenset[ReleaseClass] = frozenset()
    wariness: float | None = None
    volunteer: bool = False
    facts: Facts = field(default_factory=Facts)
    values: Values = field(default_factory=dict)
    sealed: bool = True

    def __post_init__(self) -> None:
        for bundle in self.bundles:
            check_name(bundle, "bundle name")
        if not self.values:
            return
        check_values(self.values)
        if self.sealed:
            raise InvalidInputError(
                f"{self.name} is sealed, so its registration may hold no values: its cluster would refuse them",
                hint="leave them to ConfigMaps and Secrets ums-values-<bundle>-<component> that its owner keeps, "
                "or unseal it: ums pdp set --no-sealed, then ums pdp bootstrap --unsealed",
            )

    def follows(self, bundle: str) -> bool:
        """Return whether it subscribes to a bundle."""
        return bundle in self.bundles or bundle == TRUST

    def to_dict(self) -> dict[str, Any]:
        """Return the file's content."""
        return {
            "schema": 1,
            "channel": self.channel,
            "bundles": list(self.bundles),
            "labels": dict(self.labels),
            "management": self.management.value,
            **({"credentialGeneration": self.credential_generation} if self.credential_generation > 1 else {}),
            **({"ask": True} if self.ask else {}),
            **(
                {"standingConsent": sorted(each.value for each in self.standing_consent)}
                if self.standing_consent
                else {}
            ),
            **({"wariness": self.wariness} if self.wariness is not None else {}),
            **({"volunteer": True} if self.volunteer else {}),
            **({"facts": facts} if (facts := self.facts.to_dict()) else {}),
            **({"values": self.values} if self.values else {}),
            **({} if self.sealed else {"sealed": False}),
        }


@dataclass(frozen=True, slots=True)
class BundleState:
    """What a data plane should run of one bundle.

    Attributes:
        release: the release it is on.
        components: for each component, the release that provides it – ``release``, unless held, pinned or kept.
        removing: components marked for removal; the next state leaves them out.
        since: serial with which it was first offered.
        origins: the releases that the data plane may have been on when it was, the surest first.
        values: by component, its registration's values as JSON, where there are any. They are no part of what was
            decided about releases: two states that differ in these alone are equal.

    """

    release: Version
    components: Mapping[str, Version]
    removing: tuple[str, ...] = ()
    since: int = field(default=0, compare=False)
    origins: tuple[Version, ...] = field(default=(), compare=False)
    values: Mapping[str, str] = field(default_factory=dict, compare=False)

    def to_state(self) -> dict[str, Any]:
        """Return the wire form, in ``ums-state``."""
        return {**self.to_dict(), **({"values": dict(sorted(self.values.items()))} if self.values else {})}

    def to_dict(self) -> dict[str, Any]:
        """Return the form used in API answers."""
        return {
            "release": str(self.release),
            "components": {name: str(version) for name, version in sorted(self.components.items())},
            "removing": list(self.removing),
            "since": self.since,
            "origins": [str(version) for version in self.origins],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the wire form."""
        return cls(
            Version(data["release"]),
            {name: Version(version) for name, version in data["components"].items()},
            tuple(data.get("removing", ())),
            int(data.get("since", 0)),
            tuple(Version(version) for version in data.get("origins", ())),
            data.get("values", {}),
        )


@dataclass(frozen=True, slots=True)
class Desired:
    """The state last offered to a data plane: the ConfigMap ``ums-state``."""

    serial: int
    channel: str
    issued: datetime
    expires: datetime
    bundles: Mapping[str, BundleState]

    @property
    def same_content_since(self) -> int:
        """Return a serial since which the content was this: that of the newest state of a bundle.

        Values of the data plane's own are no state of a bundle. With them only this very serial is known to hold them.
        """
        if not self.bundles or any(state.values or not state.since for state in self.bundles.values()):
            return self.serial
        return max(state.since for state in self.bundles.values())


_BOOTSTRAPPED = BundleState(Version("0.0.0"), {})
"""Stands for what bootstrap brought of bundle ``trust``, before its first release."""


class Health(StrEnum):
    """What is known of a data plane. Only ``healthy`` is green."""

    HEALTHY = "healthy"
    UPDATING = "updating"
    FAILED = "failed"
    SILENT = "silent"
    """It reports at an interval, and several reports in a row did not come."""
    STALE = "stale"
    """Nothing was heard of it for as long as an offer is good."""
    UNKNOWN = "unknown"


UNHEARD = frozenset({Health.SILENT, Health.STALE})
"""What was said last does not count any more."""


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
        since: when we first heard of this health, without another in between.
        applied: the cluster took the whole offer, be it well on it or not.
        silent_after: how long after it was heard nothing may be said of it; ``None`` where it is not known to report at
            an interval, so that its silence means nothing.
        well: the last serial that it was healthy on; 0 if none is known.

    """

    serial: int
    health: Health
    message: str
    component: str
    at: datetime
    heard: datetime
    since: datetime = _EVER
    applied: bool = False
    silent_after: timedelta | None = None
    well: int = 0

    def __post_init__(self) -> None:
        if self.since is _EVER:
            object.__setattr__(self, "since", self.heard)
        if self.health is Health.HEALTHY:
            object.__setattr__(self, "well", self.serial)

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
class HealthChange:
    """A moment at which a data plane said that its health is another one.

    Attributes:
        health: what it became.
        component: the object that failed, where one is named.
        message: Flux's own words.
        serial: of the desired state that it spoke about.
        since: when we heard of it.

    """

    health: Health
    component: str
    message: str
    serial: int
    since: datetime

    def to_dict(self) -> dict[str, Any]:
        """Return the form used in API answers."""
        return {
            "health": self.health.value,
            "component": self.component or None,
            "message": self.message,
            "serial": self.serial,
            "since": to_text(self.since),
        }


MAX_IMAGES, MAX_IMAGE_LENGTH = 1000, 512
MAX_AHEAD = timedelta(days=1)
"""How far ahead of our clock a reporter's may be."""
_IMAGE = re.compile(r"[!-~]+")
_ROOM_BYTES = 250 * 1024
"""For all images of a report, within what a body may have."""


def fitting(images: Collection[str]) -> tuple[str, ...]:
    """Return the images that a report may hold, each once, by name."""
    found: list[str] = []
    room = _ROOM_BYTES
    for image in sorted(set(images)):
        size = len(json.dumps(image)) + 2
        if len(found) < MAX_IMAGES and size <= room and len(image) <= MAX_IMAGE_LENGTH and _IMAGE.fullmatch(image):
            found.append(image)
            room -= size
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the reporter in a data plane's cluster saw there.

    Attributes:
        at: the sender's timestamp: compared only with others of the same data plane.
        heard: when we received it.
        images: those that run there, each once, by name.

    """

    at: datetime
    heard: datetime
    facts: Facts
    images: tuple[str, ...]

    @classmethod
    def from_dict(cls, data: Any, *, heard: datetime) -> Self:  # noqa: ANN401 - any JSON value
        """Read what a reporter sent.

        Raises:
            InvalidInputError: it is nothing that a reporter sends.

        """
        if not isinstance(data, dict) or data.keys() - {"at", "kubernetes", "flux", "images"}:
            raise InvalidInputError("not a report: an object of at, kubernetes, flux and images is needed")
        at, images = data.get("at"), data.get("images", [])
        versions = data.get("kubernetes"), data.get("flux")
        if not isinstance(at, str) or not all(isinstance(each, str | None) for each in versions):
            raise InvalidInputError("not a report: at is a time, kubernetes and flux are versions or null")
        if not isinstance(images, list) or len(images) > MAX_IMAGES:
            raise InvalidInputError(f"not a report: images is a list of {MAX_IMAGES} at most")
        for image in images:
            if not isinstance(image, str) or len(image) > MAX_IMAGE_LENGTH or not _IMAGE.fullmatch(image):
                raise InvalidInputError(
                    f"not a report: an image is {MAX_IMAGE_LENGTH} visible ASCII characters at most, without spaces"
                )
        sent = parse_instant(at)
        if sent - heard > MAX_AHEAD:
            # Once taken, nothing that is sent before that time would be.
            raise InvalidInputError(
                f"not a report: {at} is more than a day ahead", hint="set the clock of that cluster"
            )
        return cls(sent, heard, Facts.parse(*versions), tuple(sorted(set(images))))


@dataclass(frozen=True, slots=True)
class DataPlane:
    """Everything known about one data plane.

    Attributes:
        rotation: the last of its credentials, if there was one.
        retired: when one of its name was removed before it.

    """

    registration: Registration
    pins: tuple[Pin, ...] = ()
    holds: tuple[Hold, ...] = ()
    consents: tuple[Consent, ...] = ()
    accepted: tuple[AcceptedRisk, ...] = ()
    desired: Desired | None = None
    report: Report | None = None
    reported_facts: Facts = _UNKNOWN
    rotation: Rotation | None = None
    retired: Retired | None = None
    _fresh_until: datetime = field(init=False, repr=False, compare=False, default=_EVER)
    """Until when the report is not stale: reckoned once, since health is asked of whole fleets all the time."""
    _silent_from: datetime = field(init=False, repr=False, compare=False, default=_EVER)
    """When more reports than a few did not come."""

    def __post_init__(self) -> None:
        report, desired = self.report, self.desired
        if report is not None and desired is not None:
            fresh_until = report.heard + min(desired.expires - desired.issued, _CENTURY)
            object.__setattr__(self, "_fresh_until", fresh_until)
            silent_from = fresh_until if report.silent_after is None else report.heard + report.silent_after
            object.__setattr__(self, "_silent_from", silent_from)

    @property
    def facts(self) -> Facts:
        """Return what is known of its cluster: what was reported, and else what its registration says."""
        registered, reported = self.registration.facts, self.reported_facts
        return registered if reported is _UNKNOWN else reported.over(registered)

    @property
    def name(self) -> PDPName:
        """Return ``org/pdp``."""
        return self.registration.name

    @property
    def generation(self) -> int:
        """Return which generation its credentials have: the highest that it was given, and higher than any of old."""
        given = self.rotation.generation if self.rotation else 1
        return max(self.registration.credential_generation, given, self.retired.generation + 1 if self.retired else 1)

    @property
    def previous_until(self) -> datetime | None:
        """Return until when the generation before is accepted, too; ``None`` if it is not, whatever the time."""
        rotation = self.rotation
        return rotation.previous_until if rotation and rotation.generation == self.generation else None

    def accepts_previous(self, now: datetime) -> bool:
        """Return whether the generation before is accepted, too."""
        return self.previous_until is not None and now < self.previous_until

    @property
    def last_serial(self) -> int | None:
        """Return the highest serial that one of its name was offered."""
        if self.retired is None:
            return self.desired.serial if self.desired else None
        return max(self.retired.last_serial, self.desired.serial if self.desired else 0)

    def is_ahead(self, now: datetime) -> bool:
        """Return whether its next serial would be further ahead of the clock than clusters accept."""
        return self.last_serial is not None and is_too_far_ahead(self.last_serial + 1, now)

    def state_of(self, bundle: str) -> BundleState | None:
        """Return what it was offered of a bundle last; of bundle ``trust`` whoever was offered anything has something.

        Else the first release of it would be taken for a first install, which begins with the newest.
        """
        if self.desired is None:
            return None
        return self.desired.bundles.get(bundle) or (_BOOTSTRAPPED if bundle == TRUST else None)

    def with_observed(self, report: Report | None, facts: Facts | None) -> Self:
        """Return the data plane with what was observed of it."""
        # By their places: ``dataclasses.replace`` takes three times as long, for each of a large fleet.
        decided = (self.registration, self.pins, self.holds, self.consents, self.accepted, self.desired)
        return type(self)(*decided, report, facts or _UNKNOWN, self.rotation, self.retired)

    def decisions_document(self) -> dict[str, Any]:
        """Return what ``decisions.yaml`` holds."""
        return {
            "schema": 1,
            "pins": [pin.to_dict() for pin in self.pins],
            "holds": [hold.to_dict() for hold in self.holds],
            "consents": [consent.to_dict() for consent in self.consents],
            "acceptedRisks": [accepted.to_dict() for accepted in self.accepted],
            **({"credentials": self.rotation.to_dict()} if self.rotation else {}),
        }

    def health(self, now: datetime) -> Health:
        """Return what may be said of it now.

        A report about other content than what is offered means *updating*; one that was not refreshed for a few times
        means *silent*, and *stale* when it was not while the offer lived, however green its last words were. A state
        that was only issued again has the same content.
        """
        report, desired = self.report, self.desired
        if report is None or desired is None:
            return Health.UNKNOWN
        if now >= desired.expires or now > self._fresh_until:
            return Health.STALE
        if now > self._silent_from:
            return Health.SILENT
        said = report.serial
        if said != desired.serial and not desired.same_content_since <= said < desired.serial:
            return Health.UPDATING
        return report.health

    def silent_since(self, now: datetime) -> datetime | None:
        """Return when the report came after which none came in time, or ``None`` where it is not silent."""
        return self.report.heard if self.report is not None and self.health(now) is Health.SILENT else None

    def stale_since(self, now: datetime) -> datetime | None:
        """Return since when nothing may be said of it any more, or ``None`` where something may."""
        if self.health(now) is not Health.STALE or self.desired is None:
            return None
        return min(self.desired.expires, self._fresh_until)


def next_serial(previous: int | None, now: datetime) -> int:
    """Return the next serial: it rises with every offer and survives a restored backup (unix seconds).

    Raises:
        UnavailableError: clusters would refuse it, since the one before is far ahead of the clock.

    """
    serial = max((previous or 0) + 1, int(now.timestamp()))
    if is_too_far_ahead(serial, now):
        raise UnavailableError(f"serial {serial} is too far ahead of the clock for any cluster", hint=HINT)
    return serial
