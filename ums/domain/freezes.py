"""Freezes: nothing moves within a scope, whoever wants it to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Self

from ums.domain.errors import Reason
from ums.domain.fleet import Given
from ums.domain.instants import to_text
from ums.domain.names import PDPName
from ums.domain.owners import engineer, operator


@dataclass(frozen=True, slots=True)
class Scope:
    """What a freeze covers: everything, narrowed by each part that is given."""

    channel: str | None = None
    bundle: str | None = None
    org: str | None = None
    pdp: PDPName | None = None

    def covers(self, *, channel: str, bundle: str) -> bool:
        """Return whether anything of a bundle in a channel is within it."""
        return self.channel in {None, channel} and self.bundle in {None, bundle}

    def covers_plane(self, name: PDPName) -> bool:
        """Return whether a data plane is within it, whatever its channel and bundle."""
        return self.org in {None, name.org} and self.pdp in {None, name}

    @property
    def owner(self) -> str | None:
        """Return the organization that it covers something of alone, if so."""
        return self.pdp.org if self.pdp else self.org

    @property
    def is_whole(self) -> bool:
        """Return whether it covers whole channels, and not only some data planes of them."""
        return self.owner is None

    def __str__(self) -> str:
        parts = [f"{each.name} {value}" for each in fields(self) if (value := getattr(self, each.name)) is not None]
        return ", ".join(parts) or "everything"

    def to_dict(self) -> dict[str, Any]:
        """Return the wire form; what is not narrowed is left out."""
        named = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: str(value) for name, value in named.items() if value is not None}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the wire form."""
        pdp = data.get("pdp")
        return cls(data.get("channel"), data.get("bundle"), data.get("org"), PDPName.parse(pdp) if pdp else None)


@dataclass(frozen=True, slots=True)
class Freeze:
    """A ban on promotions and moves; ``name`` is how it is thawed."""

    name: str
    scope: Scope
    given: Given

    @property
    def reason(self) -> Reason:
        """Return why nothing moves."""
        given, command = self.given, f"ums thaw {self.name} --reason …"
        who: str | None = operator(self.scope.owner, command) if self.scope.owner else engineer(command)
        last = ""
        if self == UNREADABLE:
            who, last = None, "; the file must be corrected in the release repo"
        return Reason(
            "frozen",
            f"{self.scope} was frozen by {given.by}: {given.reason}{last}",
            to_text(given.until) if given.until else None,
            who,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the wire form."""
        return {"name": self.name, "scope": self.scope.to_dict(), **self.given.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the wire form."""
        return cls(data["name"], Scope.from_dict(data["scope"]), Given.from_dict(data))


UNREADABLE = Freeze(
    "unreadable", Scope(), Given("ums", "freezes.yaml cannot be read", datetime(1970, 1, 1, tzinfo=UTC))
)
"""Stands for a file of freezes that is wrong: it was meant to stop something."""
