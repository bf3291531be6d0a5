"""All that a decision may look at, and the form a decision takes before it is recorded."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from ums.domain import layout
from ums.domain.access import Access
from ums.domain.channels import Channel
from ums.domain.digest import Digest
from ums.domain.errors import InvalidInputError, NotFoundError, SpecError
from ums.domain.fleet import DataPlane, Facts, Given, Report, Retired
from ums.domain.floors import DeclaredFloor
from ums.domain.freezes import Freeze
from ums.domain.instants import to_text
from ums.domain.names import PDPName
from ums.domain.oci import Repository
from ums.domain.policy import Policy
from ums.domain.release import Release, ReleaseName
from ums.domain.risks import Risk
from ums.domain.strict_json import text, texts
from ums.domain.trust import TRUST, Trusted, TrustPolicy
from ums.domain.version import Version

_PINNED = re.compile(r"@(sha256:[0-9a-f]{64})\Z")


class Topology(StrEnum):
    """Which Git remote a data plane follows."""

    VIEW = "view"
    """Its own, with its folder alone."""
    SHARED = "shared"
    """The release repo, with everybody's."""


_MISSED = 3
"""Reports that may be missed."""
_REPEATED = timedelta(minutes=5)
"""For so long notification-controller sends no message again, unless it was told otherwise (--rate-limit-interval)."""


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """``ums.yaml``: what all data planes share.

    Attributes:
        url: where data planes reach the service.
        registry: prefix of all repositories.
        plain_http: the registry speaks HTTP; only for a loopback or test registry.
        registry_login: data planes authenticate to the registry with their own credential.
        topology: what data planes follow; where it is ``shared``, each may read the whole release repo.
        interval: how often Flux polls.
        root_timeout: how long the root waits for everything to be healthy.
        validity: how long an offer may be taken.
        silence: how long a data plane that reports at an interval may say nothing; ``None`` follows from the others.

    """

    url: str
    registry: Repository
    plain_http: bool = False
    registry_login: bool = False
    topology: Topology = Topology.VIEW
    interval: timedelta = timedelta(minutes=1)
    root_timeout: timedelta = timedelta(minutes=5)
    validity: timedelta = timedelta(days=7)
    silence: timedelta | None = None

    @property
    def silent_after(self) -> timedelta:
        """Return after how long without a report a data plane is silent.

        Flux reports whenever the root was reconciled: once an interval, but later by the root's timeout where that
        waits for health, and by five minutes where notification-controller drops a message that it sent before.
        """
        if self.silence is not None:
            return self.silence
        return _MISSED * self.interval + self.root_timeout + _REPEATED


@dataclass(frozen=True, slots=True)
class Recall:
    """Who has the release shall leave it, for this one."""

    to: Version
    given: Given

    def to_dict(self) -> dict[str, Any]:
        """Return the wire form."""
        return {"to": str(self.to), **self.given.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the wire form."""
        return cls(Version(data["to"]), Given.from_dict(data))


@dataclass(frozen=True, slots=True)
class Skipped:
    """The gates that an expedited promotion went past, for ever to be seen."""

    channel: str
    gates: tuple[str, ...]
    given: Given

    def to_dict(self) -> dict[str, Any]:
        """Return the wire form."""
        return {"channel": self.channel, "gates": list(self.gates), **self.given.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the wire form."""
        gates = tuple(texts(data["gates"], "member 'gates'"))
        return cls(text(data["channel"], "member 'channel'"), gates, Given.from_dict(data))


@dataclass(frozen=True, slots=True)
class BelowFloor:
    """A floor that a release was let through below, for ever to be seen."""

    floor: str
    given: Given

    def to_dict(self) -> dict[str, Any]:
        """Return the wire form."""
        return {"floor": self.floor, **self.given.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the wire form."""
        return cls(text(data["floor"], "member 'floor'"), Given.from_dict(data))


RENDERER = 4
"""Recorded with each release that is registered. Raise it when what Flux reads of a component would come out
differently, and keep the renderer of the old number: releases change nobody's cluster before their waves."""


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A release that the service accepted.

    Attributes:
        digest: of its OCI manifest, in ``<prefix>/<bundle>``.
        signed_by: the signers that counted when it was accepted.
        yanked: why nobody new may get it, or the empty string.
        evidence: kinds of statements found about it, and who signed them.
        trusted: of bundle ``trust``, the keys that it brings.
        renderer: the number of what its objects were rendered with, and what is rendered of it for ever after: an
            upgrade of UMS changes nothing of a release that is there.

    """

    release: Release
    digest: Digest
    signed_by: tuple[str, ...]
    registered_at: datetime
    registered_by: str
    yanked: str = ""
    recall: Recall | None = None
    skipped: tuple[Skipped, ...] = ()
    evidence: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    trusted: Trusted | None = None
    below_floors: tuple[BelowFloor, ...] = ()
    renderer: int = RENDERER

    def status_document(self) -> dict[str, Any]:
        """Return what ``status.yaml`` says of the release."""
        return {
            "schema": 1,
            "digest": str(self.digest),
            "signedBy": list(self.signed_by),
            "registeredAt": to_text(self.registered_at),
            "registeredBy": self.registered_by,
            "yanked": self.yanked,
            "recall": self.recall.to_dict() if self.recall else None,
            "skipped": [each.to_dict() for each in self.skipped],
            "evidence": {kind: list(who) for kind, who in sorted(self.evidence.items())},
            "renderer": self.renderer,
            **({"trusted": self.trusted.to_dict()} if self.trusted else {}),
            **({"belowFloors": [each.to_dict() for each in self.below_floors]} if self.below_floors else {}),
        }


@dataclass(frozen=True, slots=True)
class Base:
    """The commits a world was read at; empty before the first."""

    main: str = ""
    delivery: str = ""


@dataclass(frozen=True, slots=True)
class World:
    """The release repo's content, and what was observed.

    Attributes:
        proposals: by channel, a policy that people wrote and that is not in force yet.
        retired: what is kept of data planes that were removed, also of those that came again.
        unread: releases of the catalog that cannot be read, by bundle and version as their folders are called, and the
            digests that are written in their files.
        problems: files left out because they are wrong.
        state_keys: whose commits count, in OpenSSH's form: the service's own key, and those in ``trust.yaml`` that data
            planes were given.
        unkept: by path, what is to be kept of valid files that people wrote, for the day on which they break one.
        at_bootstrap: the keys that data planes know which no release of bundle ``trust`` has reached; ``None`` if that
            was not written down yet.

    """

    base: Base
    settings: FleetSettings
    trust: TrustPolicy
    channels: Mapping[str, Channel] = field(default_factory=dict)
    proposals: Mapping[str, Policy] = field(default_factory=dict)
    catalog: Mapping[str, Mapping[Version, CatalogEntry]] = field(default_factory=dict)
    unread: Mapping[tuple[str, str], frozenset[Digest]] = field(default_factory=dict)
    planes: Mapping[PDPName, DataPlane] = field(default_factory=dict)
    retired: Mapping[PDPName, Retired] = field(default_factory=dict)
    freezes: tuple[Freeze, ...] = ()
    risks: Mapping[str, Risk] = field(default_factory=dict)
    access: Access = field(default_factory=Access)
    problems: tuple[SpecError, ...] = ()
    at_bootstrap: Trusted | None = None
    state_keys: frozenset[str] = frozenset()
    unkept: Mapping[str, bytes] = field(default_factory=dict)

    def require_valid(self, path: str) -> None:
        """Check that a file that people write is valid, before UMS changes a part of it.

        Raises:
            InvalidInputError: it is wrong or missing, so that its last valid version is in force. A change of the file
                would not be.

        """
        for problem in self.problems:
            if problem.file == path:
                raise InvalidInputError(
                    f"{path} cannot be changed, because it is wrong: {problem.problem}",
                    hint="correct the file in the release repo first",
                )

    def for_orgs(self, orgs: Collection[str] | None) -> World:
        """Return the world without what other organizations' data planes are, and what is said of these alone.

        Nothing may be decided on it: it is for looking at. ``None`` leaves it whole.
        """
        if orgs is None:
            return self
        return replace(
            self,
            planes={name: plane for name, plane in self.planes.items() if name.org in orgs},
            retired={name: each for name, each in self.retired.items() if name.org in orgs},
            freezes=tuple(each for each in self.freezes if each.scope.owner is None or each.scope.owner in orgs),
            access=Access(is_readable=self.access.is_readable),
            problems=tuple(each for each in self.problems if _is_for(each, orgs)),
        )

    def released_digests(self) -> frozenset[Digest]:
        """Return every digest that a release in the catalog names: its own, its components', its images'.

        Of a release that cannot be read all digests count that its files hold, so that nothing it needs is lost.
        """
        found: set[Digest] = set().union(*self.unread.values())
        for entry in (entry for versions in self.catalog.values() for entry in versions.values()):
            found.add(entry.digest)
            for component in entry.release.components:
                found.add(component.digest)
                found.update(Digest.parse(pin[1]) for pin in map(_PINNED.search, component.images) if pin)
        return frozenset(found)

    def holds_unread(self, repository: str) -> bool:
        """Return whether a repository of the registry holds a bundle of which a release cannot be read."""
        return any(
            repository == place or repository.startswith(f"{place}/")
            for place in (f"{self.settings.registry.path}/{bundle}" for bundle, _ in self.unread)
        )

    def with_channel(self, channel: Channel) -> World:
        """Return the world with one channel replaced."""
        return replace(self, channels={**self.channels, channel.name: channel})

    def with_policy(self, name: str, policy: Policy) -> World:
        """Return the world with another policy in force in a channel, or with a new channel."""
        there = self.channels.get(name, Channel(name))
        proposals = {each: proposed for each, proposed in self.proposals.items() if each != name}
        return replace(self.with_channel(replace(there, policy=policy)), proposals=proposals)

    def with_plane(self, plane: DataPlane) -> World:
        """Return the world with one data plane added or replaced."""
        return replace(self, planes={**self.planes, plane.name: plane})

    def without_plane(self, name: PDPName, retired: Retired) -> World:
        """Return the world with one data plane removed."""
        planes = {each: plane for each, plane in self.planes.items() if each != name}
        return replace(self, planes=planes, retired={**self.retired, name: retired})

    def with_planes(self, planes: Mapping[PDPName, DataPlane]) -> World:
        """Return the world with these data planes alone."""
        return replace(self, planes=planes)

    def with_entry(self, entry: CatalogEntry) -> World:
        """Return the world with one release of the catalog replaced."""
        release = entry.release
        versions = {**self.catalog.get(release.bundle, {}), release.version: entry}
        return replace(self, catalog={**self.catalog, release.bundle: versions})

    def channel(self, name: str) -> Channel:
        """Return a channel.

        Raises:
            NotFoundError: there is none of that name.

        """
        if name not in self.channels:
            raise NotFoundError(
                f"there is no channel {name}", hint=f"channels: {', '.join(sorted(self.channels)) or 'none'}"
            )
        return self.channels[name]

    def plane(self, name: PDPName) -> DataPlane:
        """Return a data plane.

        Raises:
            NotFoundError: it is not registered.

        """
        if name not in self.planes:
            raise NotFoundError(
                f"there is no data plane {name}", hint="ums pdp list shows all; ums pdp add registers one"
            )
        return self.planes[name]

    def followers(self, channel: str, bundle: str | None = None) -> Iterator[DataPlane]:
        """Yield the data planes that follow a channel, and of those that subscribe to a bundle if one is given."""
        for plane in self.planes.values():
            mine = plane.registration
            if mine.channel == channel and (bundle is None or mine.follows(bundle)):
                yield plane

    def entry(self, bundle: str, version: Version) -> CatalogEntry:
        """Return a release of the catalog.

        Raises:
            NotFoundError: it was never published, or never accepted.

        """
        found = self.catalog.get(bundle, {}).get(version)
        if found is None:
            known = ", ".join(str(each) for each in sorted(self.catalog.get(bundle, {}))[-5:])
            raise NotFoundError(
                f"there is no release {ReleaseName(bundle, version)}",
                hint=f"newest of {bundle}: {known}" if known else "ums publish makes one; ums release list shows all",
            )
        return found

    def trusted_by(self, version: Version | None) -> Trusted:
        """Return the keys that a release of bundle ``trust`` brings, or those from before the first."""
        entry = self.catalog.get(TRUST, {}).get(version) if version else None
        if entry is not None and entry.trusted is not None:
            return entry.trusted
        return self.at_bootstrap or self.trust.trusted

    def every_trusted(self) -> tuple[Trusted, ...]:
        """Return each set of keys that a data plane may know: those from before, and what each release brings."""
        return tuple(self.trusted_by(version) for version in (None, *self.catalog.get(TRUST, {})))

    def floors(self, bundle: str | None = None) -> Iterator[DeclaredFloor]:
        """Yield the floors that releases declare, of one bundle or of all; those of yanked ones count too."""
        for name, versions in self.catalog.items():
            for entry in versions.values() if bundle in {None, name} else ():
                yield from entry.release.declared_floors

    def bundles_of(self, plane: DataPlane) -> tuple[str, ...]:
        """Return the bundles a data plane subscribes to: those it names, and ``trust`` where its channel has it."""
        named, channel = plane.registration.bundles, self.channels.get(plane.registration.channel)
        return (*named, TRUST) if channel is not None and TRUST in channel.tracks and TRUST not in named else named


def _is_for(problem: SpecError, orgs: Collection[str]) -> bool:
    folder, _, rest = problem.file.partition("/")
    return folder not in {"fleet", "pdps"} or rest.partition("/")[0] in orgs


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """Data planes with what was observed of them, beside the three that they were made of.

    None of them is ever changed in place: what is the same object as before needs no second look.
    """

    known: Mapping[PDPName, DataPlane] = field(default_factory=dict)
    reports: Mapping[PDPName, Report] = field(default_factory=dict)
    facts: Mapping[PDPName, Facts] = field(default_factory=dict)
    planes: Mapping[PDPName, DataPlane] = field(default_factory=dict)

    def follow(
        self, known: Mapping[PDPName, DataPlane], reports: Mapping[PDPName, Report], facts: Mapping[PDPName, Facts]
    ) -> Observed:
        """Return the same of these; as long as nobody joins, leaves or is decided about, only news is looked at."""
        if known is not self.known:
            planes = {name: plane.with_observed(reports.get(name), facts.get(name)) for name, plane in known.items()}
        elif reports is not self.reports or facts is not self.facts:
            planes = {**self.planes}
            for name in (*_news(self.reports, reports), *_news(self.facts, facts)):
                if name in known:
                    planes[name] = known[name].with_observed(reports.get(name), facts.get(name))
        else:
            return self
        return Observed(known, reports, facts, planes)


def _news(before: Mapping[PDPName, object], now: Mapping[PDPName, object]) -> Collection[PDPName]:
    if now is before:
        return ()
    return [*(name for name, each in now.items() if before.get(name) is not each), *(before.keys() - now.keys())]


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Shape:
    """What documents for many data planes share: everything but the text at ``fields``, each the keys that lead there.

    A document is whole without it. Who writes thousands of one shape can spare itself most of the work.
    """

    fields: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML document that UMS writes; top-level fields it does not know are kept. ``comment`` is its first line."""

    data: Mapping[str, Any]
    comment: str = ""
    shape: Shape | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Objects:
    """Several YAML documents in one file."""

    items: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes as they are."""

    content: bytes


@dataclass(frozen=True, slots=True)
class Edited:
    """A YAML file that people write, with some of its top-level fields changed, or removed where they are ``None``.

    The rest is as it was: comments, order, and what UMS does not know. ``like`` names another path on ``main`` to start
    from, in place of the file itself.
    """

    fields: Mapping[str, Any]
    like: str = ""


def edited(path: str, fields: Mapping[str, Any]) -> dict[str, Content | None]:
    """Return the files that change fields of one that people write, and of its last valid version, at once.

    Else somebody could undo the change by breaking the file before the loop has kept it.
    """
    return {path: Edited(fields), layout.in_force(path): Edited(fields, like=path)}


@dataclass(frozen=True, slots=True)
class CopyOf:
    """The same blob as a path on ``main``, after this decision: content is never stored twice."""

    path: str


Content = Document | Edited | Objects | Raw | CopyOf


@dataclass(frozen=True, slots=True)
class Decision:
    """One change of the release repo.

    Attributes:
        subject: first line of the commit, ``area: What`` .
        action: kebab-case verb, for the trailer.
        reason: why, in the actor's words.
        main: new content by path; ``None`` deletes.
        delivery: the same for ``delivery``; a path ending in ``/`` and ``None`` deletes a folder first.

    """

    subject: str
    action: str
    actor: str
    reason: str
    at: datetime
    main: Mapping[str, Content | None] = field(default_factory=dict)
    delivery: Mapping[str, Content | None] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Return whether there is nothing to record."""
        return not self.main and not self.delivery


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A decision as recorded, or another commit that is among them.

    Attributes:
        is_signed: whether a state key signed it. Where not, ``actor`` is the author that the commit names, which
            anybody may write there, and whatever it says of action and reason is left out.

    """

    commit_id: str
    at: datetime
    subject: str
    actor: str
    action: str
    reason: str
    is_signed: bool = True

    def is_for(self, orgs: Collection[str] | None) -> bool:
        """Return whether it is the business of whoever sees these organizations alone; ``None`` sees all.

        Whom it is about, its subject says. Where it says nothing that UMS would say, it may be about anybody.
        """
        if orgs is None:
            return True
        if not self.is_signed:
            return False
        if self.action == "reconcile":
            return True
        area, _, what = self.subject.partition(": ")
        if area == "fleet" and what.startswith("Freeze "):
            return all(org in orgs for org in _ABOUT.findall(what))
        folder, _, rest = area.partition("/")
        return rest.partition("/")[0] in orgs if folder == "fleet" else folder in _OF_ALL


UNSIGNED = "unsigned-commit"
"""The action of a log entry that no state key signed."""
_ABOUT = re.compile(r"\b(?:org|pdp) ([a-z0-9-]+)")
_OF_ALL = frozenset({"channels", "catalog", "risks", "ums"})
