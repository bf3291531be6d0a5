"""Risks: named, declared, conditional reasons not to recommend an update. And what a release requires.

Both are answered from what is known of a data plane. Nothing is decided here: who calls lets nobody pass whose
exposure is unknown, unless that owner accepted the risk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from ums.domain.bundle import Requires
from ums.domain.errors import Reason
from ums.domain.fleet import Facts, Given
from ums.domain.instants import to_text
from ums.domain.names import PDPName, check_name
from ums.domain.owners import operator, registrar
from ums.domain.release import Release
from ums.domain.version import Version, VersionRange


@dataclass(frozen=True, slots=True)
class Risk:
    """A reason not to recommend some releases to those data planes that meet every condition given.

    Attributes:
        releases: those that bring the risk …
        from_releases: … to whoever comes from one of these.
        url: where one reads more.
        labels: a condition: what the data plane is labelled with.
        kubernetes: a condition: the version of its cluster.
        flux: a condition: the version of its Flux.
        components: a condition: which own versions of these components it runs now.

    """

    name: str
    bundle: str
    releases: VersionRange
    message: str
    given: Given
    url: str = ""
    from_releases: VersionRange | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    kubernetes: VersionRange | None = None
    flux: VersionRange | None = None
    components: Mapping[str, VersionRange] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.name, "risk name")
        check_name(self.bundle, "bundle name")

    def covers(self, release: Version) -> bool:
        """Return whether a release brings the risk."""
        return _holds(self.releases, release)

    def to_dict(self) -> dict[str, Any]:
        """Return the wire form."""
        return {
            "name": self.name,
            "bundle": self.bundle,
            "releases": str(self.releases),
            "from": _text(self.from_releases),
            "message": self.message,
            "url": self.url,
            "labels": dict(self.labels),
            "kubernetes": _text(self.kubernetes),
            "flux": _text(self.flux),
            "components": {name: str(versions) for name, versions in self.components.items()},
            **self.given.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the wire form."""
        return cls(
            name=data["name"],
            bundle=data["bundle"],
            releases=VersionRange(data["releases"]),
            message=data["message"],
            given=Given.from_dict(data),
            url=data.get("url") or "",
            from_releases=_range(data.get("from")),
            labels=dict(data.get("labels") or {}),
            kubernetes=_range(data.get("kubernetes")),
            flux=_range(data.get("flux")),
            components={name: VersionRange(text) for name, text in (data.get("components") or {}).items()},
        )


def _text(versions: VersionRange | None) -> str | None:
    return None if versions is None else str(versions)


def _range(text: str | None) -> VersionRange | None:
    return None if text is None else VersionRange(text)


class Exposure(StrEnum):
    """Whether a risk concerns a data plane."""

    EXPOSED = "exposed"
    CLEAR = "clear"
    UNKNOWN = "unknown"


def exposure(
    risk: Risk,
    *,
    labels: Mapping[str, str],
    facts: Facts,
    components: Mapping[str, Version],
    coming_from: Version | None,
    target: Version,
) -> Exposure:
    """Return whether a risk concerns a data plane that goes to ``target``; all conditions must hold.

    One that certainly does not hold settles it, whatever else is unknown. Labels and components are known: one that
    is absent does not match. So is where one comes from: ``None`` is nowhere, and meets no ``from_releases``.

    Args:
        risk: one of the bundle in question, and in force.
        labels: of the data plane.
        facts: of its cluster.
        components: the own versions of those that it runs now.
        coming_from: the release that it runs now.
        target: the release that it would get.

    """
    answers = [
        risk.covers(target),
        *([coming_from is not None and _holds(risk.from_releases, coming_from)] if risk.from_releases else []),
        *(labels.get(name) == value for name, value in risk.labels.items()),
        *(name in components and _holds(versions, components[name]) for name, versions in risk.components.items()),
        _meets(risk.kubernetes, facts.kubernetes),
        _meets(risk.flux, facts.flux),
    ]
    if False in answers:
        return Exposure.CLEAR
    return Exposure.UNKNOWN if None in answers else Exposure.EXPOSED


def _meets(demanded: VersionRange | None, fact: Version | None) -> bool | None:
    """Return whether a fact is as demanded; ``None`` is unknown."""
    if demanded is None:
        return True
    return None if fact is None else _holds(demanded, fact)


def _holds(versions: VersionRange, version: Version) -> bool:
    """Return whether a range holds a version, or its MAJOR.MINOR.PATCH.

    Ranges leave pre-releases out, and vendors' suffixes look like pre-releases: a chart 1.16.3-vendor.2 is a 1.16.3.
    And a risk of 1.4.x is one of 1.4.2-rc.1 too: rather warn once too often.
    """
    core = version.parsed
    return version in versions or Version(f"{core.major}.{core.minor}.{core.patch}") in versions


def risk_reason(risk: Risk, found: Exposure, name: PDPName) -> Reason:
    """Return why the update is not recommended to a data plane whose exposure is not clear."""
    unknown = found is Exposure.UNKNOWN
    doubt = "; whether this data plane is concerned is unknown" if unknown else ""
    more = f" ({risk.url})" if risk.url else ""
    return Reason(
        "risk-unknown" if unknown else "not-recommended",
        f"not recommended because of risk {risk.name}{doubt}: {risk.message}{more}",
        to_text(risk.given.until) if risk.given.until else None,
        acceptor(risk, name),
    )


def acceptor(risk: Risk, name: PDPName) -> str:
    """Return who can take a risk for a data plane."""
    return operator(name.org, f"ums risk accept {name} {risk.name} --reason …")


def unmet(requires: Requires, facts: Facts, bundles: Mapping[str, Version], name: PDPName) -> tuple[Reason, ...]:
    """Return what a release requires and a data plane lacks, or is not known to have.

    Kubernetes and Flux are compared by MAJOR.MINOR.PATCH. Bundles are our own: their pre-releases are just that.
    """
    reasons: list[Reason] = []
    for code, product, demanded, fact in (
        ("kubernetes", "Kubernetes", requires.kubernetes, facts.kubernetes),
        ("flux", "Flux", requires.flux, facts.flux),
    ):
        met = _meets(demanded, fact)
        if met is None:
            text = f"it requires {product} {demanded}, and which one runs here is unknown"
            who = registrar(name.org, f"ums pdp set {name} --{code} … --reason …")
            reasons.append(Reason(f"unknown-{code}", text, None, who))
        elif not met:
            text = f"it requires {product} {demanded}; {fact} runs here"
            reasons.append(Reason(f"requires-{code}", text))
    for bundle, versions in sorted(requires.bundles.items()):
        running = bundles.get(bundle)
        if running is None or running not in versions:
            text = f"it requires {bundle} {versions}; {running or 'none'} is here"
            reasons.append(Reason("requires-bundle", text))
    return tuple(reasons)


def broken(release: Release, neighbours: Iterable[Release]) -> tuple[Reason, ...]:
    """Return which releases of other bundles on a data plane require this bundle, but not in this version."""
    return tuple(
        Reason(
            "required-by", f"{each.name} runs here and requires {release.bundle} {versions}; this is {release.version}"
        )
        for each in neighbours
        if (versions := each.requires.bundles.get(release.bundle)) is not None and release.version not in versions
    )
