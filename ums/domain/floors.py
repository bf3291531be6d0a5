"""Floors: versions of a component below which no later release of the bundle may go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from ums.domain import strict_json
from ums.domain.errors import Reason, RefusedError
from ums.domain.instants import parse_instant, to_text
from ums.domain.names import check_name
from ums.domain.text import MULTI_LINE, check_plain
from ums.domain.version import Version, VersionRange

_MEMBERS = ("component", "versions", "reason", "until")


@dataclass(frozen=True, slots=True)
class Floor:
    """What a release demands of those after it.

    Attributes:
        component: the component that it is about; a release without that component meets it.
        versions: the component's own versions that are allowed. They are compared by order alone.
        until: when the floor ends; ``None`` means never.

    """

    component: str
    versions: VersionRange
    reason: str
    until: datetime | None = None

    def in_force(self, now: datetime) -> bool:
        """Return whether it counts at a time."""
        return self.until is None or now < self.until

    def to_dict(self) -> dict[str, Any]:
        """Return the wire form."""
        return {
            "component": self.component,
            "versions": str(self.versions),
            "reason": self.reason,
            "until": to_text(self.until) if self.until else None,
        }

    @classmethod
    def from_dict(cls, data: object) -> Self:
        """Read the wire form.

        Raises:
            InvalidInputError: it is not the one that ``to_dict`` returns.

        """
        data = strict_json.members(data, "a floor", required=_MEMBERS)
        component, versions, reason = (strict_json.text(data[name], f"member {name!r}") for name in _MEMBERS[:3])
        until = None if data["until"] is None else parse_instant(strict_json.text(data["until"], "member 'until'"))
        reason = check_plain(reason, "member 'reason'", keep=MULTI_LINE)
        return cls(check_name(component, "component name"), VersionRange(versions), reason, until)


@dataclass(frozen=True, slots=True)
class DeclaredFloor:
    """A floor and the release that declares it."""

    bundle: str
    release: Version
    floor: Floor

    def __str__(self) -> str:
        return f"{self.floor.component} {self.floor.versions}, declared by {self.bundle}@{self.release}"

    def reason(self, found: Version) -> Reason:
        """Return why a release with that version of the component is refused, and who may let it through."""
        return Reason(
            "floor",
            f"{self.floor.component} {found} is below the floor {self}: {self.floor.reason}",
            to_text(self.floor.until) if self.floor.until else None,
            f"a release engineer of bundle {self.bundle} (ums publish … --override-floors '<reason>')",
        )


def below(
    floors: Iterable[DeclaredFloor], bundle: str, version: Version, components: Mapping[str, Version], now: datetime
) -> tuple[DeclaredFloor, ...]:
    """Return the floors in force that a release is below, of those that earlier versions of its bundle declare."""
    return tuple(
        each
        for each in floors
        if each.bundle == bundle
        and each.release < version
        and each.floor.in_force(now)
        and (found := components.get(each.floor.component)) is not None
        and not each.floor.versions.spans(found)
    )


def refusal(release: str, missed: Iterable[DeclaredFloor], components: Mapping[str, Version]) -> RefusedError:
    """Return the refusal that names every floor that a release is below."""
    reasons = tuple(each.reason(components[each.floor.component]) for each in missed)
    hint = "publish it with versions that the floors allow; ums release floors lists them"
    return RefusedError(f"{release} has components below a floor", reasons, hint=hint)
