"""What a channel demands before a release may enter it, and how it is given to the data planes there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

from ums.domain.bundle import ReleaseClass
from ums.domain.errors import InvalidInputError
from ums.domain.fleet import Management
from ums.domain.instants import duration_text
from ums.domain.windows import Schedule

_AMOUNT = re.compile(r"(\d{1,9})(%?)", re.ASCII)
_WHOLE = 100
MAX_POLICY_BYTES = 16 * 1024
"""Of a policy's file."""
MAX_WAVES = 20
"""Of one rollout."""


@dataclass(frozen=True, slots=True)
class Amount:
    """A number of data planes, or a share of them: ``3`` or ``25%``."""

    text: str

    def __post_init__(self) -> None:
        match = _AMOUNT.fullmatch(self.text)
        if match is None or (match.group(2) and int(match.group(1)) > _WHOLE):
            raise InvalidInputError(f"{self.text!r:.40} is neither a number nor a percentage", hint="write 3 or 25%")

    @property
    def is_zero(self) -> bool:
        """Return whether it is nothing, of however many."""
        return int(self.text.rstrip("%")) == 0

    def at_least(self, total: int) -> int:
        """Return how many of ``total`` are enough: a share is rounded up, and a number never more than there are."""
        return min(self._of(total, up=True), total)

    def at_most(self, total: int) -> int:
        """Return how many of ``total`` are not too many: a share is rounded down."""
        return self._of(total, up=False)

    def _of(self, total: int, *, up: bool) -> int:
        number = int(self.text.rstrip("%"))
        if not self.text.endswith("%"):
            return number
        return (number * total + (_WHOLE - 1 if up else 0)) // _WHOLE

    def __str__(self) -> str:
        return self.text


class GateName(StrEnum):
    """The gates, in the order in which they are asked and shown."""

    FEEDER = "feeder"
    CLASS = "class"
    YANKED = "yanked"
    ORDER = "order"
    REGRESSION = "regression"
    FREEZE = "freeze"
    SIGNATURES = "signatures"
    EVIDENCE = "evidence"
    DEPENDENCIES = "dependencies"
    STRANDING = "stranding"
    SOAK = "soak"
    ADOPTION = "adoption"
    RISK = "risk"
    WINDOW = "window"
    APPROVALS = "approvals"
    EXPEDITE = "expedite"


SKIPPABLE = frozenset({GateName.SOAK, GateName.ADOPTION, GateName.WINDOW, GateName.APPROVALS, GateName.RISK})
"""What an expedited promotion may skip, where the policy says so; the others protect, they do not delay."""
OVERRIDABLE = frozenset({GateName.REGRESSION})
"""What a person may override, for one release in one channel."""


@dataclass(frozen=True, slots=True)
class Approvals:
    """How many distinct people must agree, and the groups that they may come from."""

    required: int
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Adoption:
    """How many of the feeder's data planes must run a release, in health and for how long."""

    healthy: Amount
    lasting: timedelta
    max_failed: Amount


@dataclass(frozen=True, slots=True)
class Counting:
    """Whose reports count, since they come from clusters that are not ours.

    Attributes:
        management: data planes run like this; all of them unless told otherwise.
        organizations: how many of them must agree, or all where the channel has fewer.

    """

    management: frozenset[Management] = frozenset(Management)
    organizations: int = 1


@dataclass(frozen=True, slots=True)
class GateRules:
    """What is asked before a release enters a channel, beyond what is always asked.

    Attributes:
        evidence: kinds of statements that must be there, such as ``sbom``, and who must have signed each
            (nobody named: anybody trusted).
        undeclared_risk: refuse what failed in the feeder while no declared risk says why.

    """

    soak: timedelta = timedelta()
    adoption: Adoption | None = None
    approvals: Approvals | None = None
    windows: Schedule = field(default_factory=Schedule)
    evidence: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    undeclared_risk: bool = False


@dataclass(frozen=True, slots=True)
class Wave:
    """A part of a channel's data planes.

    Attributes:
        labels: only data planes that carry all of them.
        share: how many of these, together with the waves before; ``None`` means all.
        over: the time over which the wave is ramped up.
        soak: how long to wait after it succeeded.
        max_failed: more failures than that, so far, halt; ``None`` takes the strategy's.

    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    share: Amount | None = None
    over: timedelta = timedelta()
    soak: timedelta = timedelta()
    max_failed: Amount | None = None

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Return whether a data plane with these labels may belong to it."""
        return all(labels.get(key) == value for key, value in self.labels.items())

    def to_dict(self) -> dict[str, Any]:
        """Return the form in which people write it."""
        return _sparse(
            name=self.name,
            labels=dict(self.labels),
            share=str(self.share) if self.share else None,
            over=_span(self.over),
            soak=_span(self.soak),
            maxFailed=str(self.max_failed) if self.max_failed else None,
        )


class OnHalt(StrEnum):
    """What becomes of those who were moved when a rollout halts."""

    PAUSE = "pause"
    ROLLBACK = "rollback"


EVERYONE = Wave("everyone")
CANARY = Wave("canary", share=Amount("1"), soak=timedelta(minutes=30))


@dataclass(frozen=True, slots=True)
class Strategy:
    """How a release is rolled out. What is not said is safe for small fleets: one data plane first.

    Attributes:
        waves: in their order; data planes that none selects come last of all.
        max_updating: how many of the channel may be between versions at once.
        healthy_for: how long a data plane must be well for its update to have succeeded.
        timeout: how long a data plane that took an offer may need to be well.
        offline_grace: how long one that takes no offer is waited for.
        max_failed: more failures than that halt.

    """

    waves: tuple[Wave, ...] = (CANARY, EVERYONE)
    max_updating: Amount = field(default=Amount("25%"))
    healthy_for: timedelta = timedelta(minutes=5)
    timeout: timedelta = timedelta(hours=1)
    offline_grace: timedelta = timedelta(hours=24)
    max_failed: Amount = field(default=Amount("0"))
    on_halt: OnHalt = OnHalt.PAUSE
    counting: Counting = field(default_factory=Counting)

    def to_dict(self) -> dict[str, Any]:
        """Return the form in which people write it, for the record of a rollout."""
        counting: dict[str, Any] = {"organizations": self.counting.organizations}
        if self.counting.management != frozenset(Management):
            counting["management"] = sorted(self.counting.management)
        return {
            "waves": [wave.to_dict() for wave in self.waves],
            "maxUpdating": str(self.max_updating),
            "healthyFor": duration_text(self.healthy_for),
            "timeout": duration_text(self.timeout),
            "offlineGrace": duration_text(self.offline_grace),
            "maxFailed": str(self.max_failed),
            "onHalt": self.on_halt.value,
            "counting": counting,
        }


@dataclass(frozen=True, slots=True)
class Expedite:
    """The fast path: for which classes, which gates it may skip, and whose approval it needs instead."""

    classes: frozenset[ReleaseClass]
    skip: frozenset[GateName]
    approvals: Approvals


@dataclass(frozen=True, slots=True)
class Policy:
    """``channels/<channel>/policy.yaml``.

    Attributes:
        feeder: the channel that a release must have been promoted to first.
        automatic: promote by itself whatever passes all gates.
        classes: the classes of releases that may enter.
        windows: when data planes may be offered something new.
        deadlines: after which time, by class, owners can no longer defer what was promoted.
        digest: of the file; an approval counts for the policy that it was given under.
        source: the file.

    """

    description: str = ""
    feeder: str | None = None
    automatic: bool = False
    classes: frozenset[ReleaseClass] = frozenset(ReleaseClass)
    gates: GateRules = field(default_factory=GateRules)
    rollout: Strategy = field(default_factory=Strategy)
    windows: Schedule = field(default_factory=Schedule)
    expedite: Expedite | None = None
    deadlines: Mapping[ReleaseClass, timedelta] = field(default_factory=dict)
    digest: str = ""
    source: bytes = field(default=b"", compare=False, repr=False)


def _span(span: timedelta) -> str | None:
    return duration_text(span) if span else None


def _sparse(**fields: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON values
    return {name: value for name, value in fields.items() if value}
