"""``channels/<channel>/policy.yaml`` and the windows that it shares with registrations, as people write them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from ums.adapters._yaml import Duration, Name, StrictModel, parsed_by
from ums.domain.bundle import ReleaseClass
from ums.domain.digest import Digest
from ums.domain.fleet import Management
from ums.domain.instants import parse_duration, parse_instant
from ums.domain.policy import (
    CANARY,
    EVERYONE,
    MAX_WAVES,
    SKIPPABLE,
    Adoption,
    Amount,
    Approvals,
    Counting,
    Expedite,
    GateName,
    GateRules,
    OnHalt,
    Policy,
    Strategy,
    Wave,
)
from ums.domain.windows import MAX_WINDOWS, Schedule, Span, Window


def _number_text(value: object) -> object:
    return str(value) if type(value) is int else value


_AMOUNT_SCHEMA = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]+%?$"}]}
AmountText = Annotated[
    str,
    parsed_by(Amount),
    BeforeValidator(_number_text),
    WithJsonSchema(_AMOUNT_SCHEMA),
    Field(description="A number of data planes, or a share of them: 3 or 25%."),
]
InstantText = Annotated[str, parsed_by(parse_instant), Field(description="RFC 3339: 2026-12-24T00:00:00Z.")]
_LOCAL = "%Y-%m-%dT%H:%M"


def _local(text: str) -> datetime:
    try:
        return datetime.strptime(text, _LOCAL)  # noqa: DTZ007 - local, its zone is the schedule's
    except ValueError as error:
        raise ValueError(f"{text!r:.40} is not a local time; write 2026-01-13T22:00") from error


class WindowModel(StrictModel):
    """A stretch of time: one that comes again (cron or rrule, and duration), or one that does not (from, until)."""

    cron: str = Field("", description="Starts: minute, hour, day of month, month, day of week.")
    rrule: str = Field("", description="Starts, as an RFC 5545 rule: FREQ=MONTHLY;BYDAY=2TU.")
    start: Annotated[str, parsed_by(_local)] | None = Field(
        None, description="Local time from which rrule counts: 2026-01-13T22:00."
    )
    duration: Duration | None = Field(None, description="How long it lasts.")
    from_time: InstantText | None = Field(None, alias="from", description="Begin of a window that does not recur.")
    until: InstantText | None = Field(None, description="Its end.")

    @model_validator(mode="after")
    def _one_kind(self) -> WindowModel:
        once = self.from_time is not None or self.until is not None
        if once != (self.duration is None) or (once and (self.from_time is None or self.until is None)):
            raise ValueError("give cron or rrule with duration, or from and until")
        return self

    def to_domain(self, zone: str) -> Window | Span:
        """Return the window."""
        if self.from_time is not None and self.until is not None:
            return Span(parse_instant(self.from_time), parse_instant(self.until))
        start = _local(self.start) if self.start else None
        return Window(
            duration=parse_duration(self.duration or ""), zone=zone, cron=self.cron, rrule=self.rrule, start=start
        )


class ScheduleModel(StrictModel):
    """When something may happen. Without allow, always; deny wins."""

    timezone: str = Field("UTC", description="IANA name: Europe/Zurich.")
    allow: list[WindowModel] = Field(default_factory=list, max_length=MAX_WINDOWS, description="Only then.")
    deny: list[WindowModel] = Field(default_factory=list, max_length=MAX_WINDOWS, description="Never then.")

    @model_validator(mode="after")
    def _opens(self) -> ScheduleModel:
        self.to_domain()
        return self

    def to_domain(self) -> Schedule:
        """Return the schedule."""
        return Schedule(
            tuple(each.to_domain(self.timezone) for each in self.allow),
            tuple(each.to_domain(self.timezone) for each in self.deny),
        )


class ApprovalsModel(StrictModel):
    """How many distinct people must agree, and the groups they may come from."""

    required: int = Field(ge=1, le=100, description="How many people.")
    groups: list[str] = Field(min_length=1, description="Groups whose people may approve.")

    def to_domain(self) -> Approvals:
        """Return the rule."""
        return Approvals(self.required, tuple(self.groups))


class AdoptionModel(StrictModel):
    """How many of the feeder's data planes must run a release, in health and for how long."""

    healthy: AmountText = Field(description="How many.")
    lasting: Duration = Field("0s", alias="for", description="For how long each of them.")
    max_failed: AmountText = Field("0", description="More failures than that, and it may not go on.")


class GatesModel(StrictModel):
    """What is asked before a release may enter, beyond order, signatures and a way onward, which always are."""

    soak: Duration = Field("0s", description="Time in the feeder, without a halt.")
    adoption: AdoptionModel | None = Field(None, description="Data planes of the feeder that run it.")
    approvals: ApprovalsModel | None = Field(None, description="People who agree.")
    windows: ScheduleModel = Field(default_factory=ScheduleModel, description="When promotions may be executed.")
    evidence: dict[Literal["signature", "sbom", "provenance"], list[str]] = Field(
        default_factory=dict, description="Statements that must be there, and who may have signed them (none: anybody)."
    )
    undeclared_risk: bool = Field(
        default=False, description="Refuse what failed in the feeder while no declared risk says why."
    )

    def to_domain(self) -> GateRules:
        """Return the rules."""
        rule = self.adoption
        return GateRules(
            soak=parse_duration(self.soak),
            adoption=Adoption(Amount(rule.healthy), parse_duration(rule.lasting), Amount(rule.max_failed))
            if rule
            else None,
            approvals=self.approvals.to_domain() if self.approvals else None,
            windows=self.windows.to_domain(),
            evidence={kind: tuple(who) for kind, who in self.evidence.items()},
            undeclared_risk=self.undeclared_risk,
        )


class WaveModel(StrictModel):
    """A part of the channel's data planes."""

    name: Name = Field(description="What people call it.")
    labels: dict[str, str] = Field(default_factory=dict, description="Only data planes that carry all of these.")
    share: AmountText | None = Field(None, description="How many of them, with the waves before; all if left out.")
    over: Duration = Field("0s", description="Time over which it is ramped up.")
    soak: Duration = Field("0s", description="Time to wait after it succeeded.")
    max_failed: AmountText | None = Field(None, description="More failures than that halt; else the rollout's.")

    def to_domain(self) -> Wave:
        """Return the wave."""
        return Wave(
            self.name,
            self.labels,
            Amount(self.share) if self.share else None,
            parse_duration(self.over),
            parse_duration(self.soak),
            Amount(self.max_failed) if self.max_failed else None,
        )


class CountingModel(StrictModel):
    """Whose reports count."""

    management: list[Management] | None = Field(None, description="Data planes run like this; all if left out.")
    organizations: int = Field(1, ge=1, description="How many organizations must agree, or all where there are fewer.")

    def to_domain(self) -> Counting:
        """Return the rule."""
        return Counting(frozenset(Management if self.management is None else self.management), self.organizations)


class RolloutModel(StrictModel):
    """How a release reaches the data planes of the channel. By default one of them first."""

    waves: list[WaveModel] | None = Field(
        None, min_length=1, max_length=MAX_WAVES, description="In their order; the rest comes last."
    )
    max_updating: AmountText = Field("25%", description="How many may be between versions at once.")
    healthy_for: Duration = Field("5m", description="How long a data plane must be well to count as a success.")
    timeout: Duration = Field("1h", description="How long one may take that took the offer.")
    offline_grace: Duration = Field("24h", description="How long one is waited for that did not.")
    max_failed: AmountText = Field("0", description="More failures than that halt the rollout.")
    on_halt: OnHalt = Field(OnHalt.PAUSE, description="What becomes of those who were moved.")
    counting: CountingModel = Field(default_factory=CountingModel, description="Whose reports count.")

    @model_validator(mode="after")
    def _moves(self) -> RolloutModel:
        if Amount(self.max_updating).is_zero:
            raise ValueError("maxUpdating is zero, so nobody would ever move; write 1, or 25%")
        names = [wave.name for wave in self.waves or ()]
        if len(set(names)) < len(names):
            raise ValueError("two waves have the same name")
        empty = [wave.name for wave in self.waves or () if wave.share and Amount(wave.share).is_zero]
        if empty:
            raise ValueError(f"wave {empty[0]} selects nobody: its share is zero")
        return self

    def to_domain(self) -> Strategy:
        """Return the strategy."""
        waves = (CANARY, EVERYONE) if self.waves is None else tuple(wave.to_domain() for wave in self.waves)
        return Strategy(
            waves=waves,
            max_updating=Amount(self.max_updating),
            healthy_for=parse_duration(self.healthy_for),
            timeout=parse_duration(self.timeout),
            offline_grace=parse_duration(self.offline_grace),
            max_failed=Amount(self.max_failed),
            on_halt=self.on_halt,
            counting=self.counting.to_domain(),
        )


class ExpediteModel(StrictModel):
    """The fast path."""

    classes: list[ReleaseClass] = Field(
        default_factory=lambda: [ReleaseClass.SECURITY], description="Releases that may take it."
    )
    skip: list[GateName] = Field(
        default_factory=lambda: [GateName.SOAK, GateName.ADOPTION], description="Gates that it goes past."
    )
    approvals: ApprovalsModel = Field(description="Whose approval it needs instead.")

    @model_validator(mode="after")
    def _only_delays(self) -> ExpediteModel:
        wrong = sorted(set(self.skip) - SKIPPABLE)
        if wrong:
            raise ValueError(f"{', '.join(wrong)} cannot be skipped; these can: {', '.join(sorted(SKIPPABLE))}")
        return self

    def to_domain(self) -> Expedite:
        """Return the rules."""
        return Expedite(frozenset(self.classes), frozenset(self.skip), self.approvals.to_domain())


class ChannelModel(StrictModel):
    """``channels/<channel>/policy.yaml``: what a channel demands, and how releases reach its data planes."""

    schema_version: Literal[1] = Field(1, alias="schema", description="Version of the release repo's layout.")
    description: str = Field("", description="For whom this channel is.")
    feeder: Name | None = Field(None, description="The channel a release must have been promoted to first.")
    promotion: Literal["manual", "automatic"] = Field(
        "manual", description="Whether what passes all gates is promoted by itself."
    )
    classes: list[ReleaseClass] | None = Field(
        None, min_length=1, description="Releases that may enter; all if left out."
    )
    gates: GatesModel = Field(default_factory=GatesModel, description="What is asked before a release may enter.")
    rollout: RolloutModel = Field(default_factory=RolloutModel, description="How it reaches the data planes.")
    windows: ScheduleModel = Field(
        default_factory=ScheduleModel, description="When data planes may be offered something new."
    )
    expedite: ExpediteModel | None = Field(None, description="The fast path, for security releases.")
    deadlines: dict[ReleaseClass, Duration] = Field(
        default_factory=dict, description="By class: after this time, owners can no longer defer a release."
    )

    @model_validator(mode="after")
    def _passable(self) -> ChannelModel:
        if self.feeder is None and (
            parse_duration(self.gates.soak) or self.gates.adoption or self.promotion == "automatic"
        ):
            raise ValueError("soak, adoption and automatic promotion need a feeder; this channel has none")
        return self

    def to_domain(self, source: bytes) -> Policy:
        """Return the policy; ``source`` is the file."""
        return Policy(
            description=self.description,
            feeder=self.feeder,
            automatic=self.promotion == "automatic",
            classes=frozenset(ReleaseClass if self.classes is None else self.classes),
            gates=self.gates.to_domain(),
            rollout=self.rollout.to_domain(),
            windows=self.windows.to_domain(),
            expedite=self.expedite.to_domain() if self.expedite else None,
            deadlines={each: parse_duration(span) for each, span in self.deadlines.items()},
            digest=str(Digest.of(source)),
            source=source,
        )


def strategy_from(data: object) -> Strategy:
    """Return the strategy as recorded with a rollout.

    Raises:
        ValueError: it is none.

    """
    return RolloutModel.model_validate(data).to_domain()
