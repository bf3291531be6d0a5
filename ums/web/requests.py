"""What requests carry: the models that validate bodies and parameters, strict about what they do not know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from ums.domain.bundle import ReleaseClass
from ums.domain.errors import InvalidInputError
from ums.domain.fleet import Facts, Health, Management, Registration
from ums.domain.identity import ROLES, Identity
from ums.domain.instants import parse_duration, parse_instant
from ums.domain.names import PDPName
from ums.domain.policy import MAX_POLICY_BYTES, OVERRIDABLE
from ums.domain.release import ReleaseName
from ums.domain.security_log import SecurityKind
from ums.domain.text import FOR_PROGRAMS, MULTI_LINE, check_plain
from ums.domain.version import Version
from ums.domain.webhooks import Format
from ums.domain.world import Topology
from ums.usecases.instruct import Why
from ums.usecases.rotate_credentials import OVERLAP
from ums.usecases.steer_rollout import STEPS

MAX_BODY_BYTES = 256 * 1024
MAX_PAGE = 1000

Text = Annotated[str, Field(max_length=2000)]
Name = Annotated[str, Field(max_length=300), AfterValidator(lambda text: check_plain(text, "a name"))]
Names = Annotated[dict[Name, Name], Field(max_length=100)]


class Checked(BaseModel):
    """Words of others, which others read: none of them hides anything."""

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, data: Any) -> Any:  # noqa: ANN401 - any JSON value
        for name, value in data.items() if isinstance(data, dict) else ():
            if name not in FOR_PROGRAMS:
                _check_plain(value, name)
        return data


def _check_plain(value: object, where: str) -> None:
    match value:
        case str():
            check_plain(value, where, keep=MULTI_LINE)
        case dict():
            for name, each in value.items():
                check_plain(str(name), where)
                _check_plain(each, where)
        case list():
            for each in value:
                _check_plain(each, where)


class Body(Checked):
    """What all bodies share."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)


class ReasonBody(Body):
    """What every change may say: why, and that it is only tried."""

    reason: Text = ""
    dry_run: bool = False


class EndingBody(ReasonBody):
    """A change that may end by itself."""

    until: Name | None = None


class RegisterBody(Body):
    """A published release."""

    release: Name
    digest: Name
    override_floors: Annotated[
        Text, Field(description="Why it may be below floors; it needs the right to promote.")
    ] = ""


class PromoteBody(ReasonBody):
    """A promotion: at once, by the fast path, or as soon as all gates are open."""

    release: Name
    expedite: bool = False
    when_ready: bool = False


class CancelBody(ReasonBody):
    """The end of a wish for a promotion."""

    release: Name


class OverrideBody(ReasonBody):
    """A decision that a gate does not stop a promotion, or the end of one."""

    release: Name
    gate: Annotated[Name, Field(json_schema_extra={"enum": sorted(OVERRIDABLE)})]
    cancels: bool = False


class ApprovalBody(ReasonBody):
    """A yes, or a no, to a promotion."""

    release: Name
    rejects: bool = False


class PolicyBody(ReasonBody):
    """A channel's policy, as people write it."""

    policy: Annotated[str, Field(max_length=MAX_POLICY_BYTES)]


class LookAgainBody(Body):
    """Nothing: who signed stands in the registry."""


class RotateKeysBody(ReasonBody):
    """Keys that may sign from now on, and such that no longer may."""

    add: Annotated[
        dict[Name, Annotated[str, Field(max_length=1000)]],
        Field(max_length=20, description="Public release keys (PEM), by the signer's name."),
    ] = Field(default_factory=dict)
    like: Annotated[
        Name | None,
        Field(description="They may sign what this signer may; needed where not all bundles have the same signers."),
    ] = None
    drop: Annotated[list[Name], Field(max_length=20, description="Names of signers.")] = Field(default_factory=list)
    add_state_keys: Annotated[list[Name], Field(max_length=20, description="OpenSSH's one-line form.")] = Field(
        default_factory=list
    )
    drop_state_keys: Annotated[list[Name], Field(max_length=20)] = Field(default_factory=list)


class InstructBody(EndingBody):
    """A pin, a hold, a rollback, or the end of one."""

    subject: Name
    versions: Name | None = None
    release: Name | None = None

    def release_to_go_back_to(self) -> Version:
        """Return the release of a rollback.

        Raises:
            InvalidInputError: it is missing, or no version.

        """
        if self.release is None:
            raise InvalidInputError("release: which release to go back to is missing")
        return Version(self.release)


class ConsentBody(EndingBody):
    """An owner's yes to a release."""

    release: Name


class AcceptBody(EndingBody):
    """A risk that an owner takes."""

    risk: Name


class FreezeBody(EndingBody):
    """A freeze: of everything, narrowed by each part that is given; its name follows from these."""

    name: Name | None = None
    channel: Name | None = None
    bundle: Name | None = None
    org: Name | None = None
    pdp: Name | None = None


class ThawBody(ReasonBody):
    """The end of a freeze."""

    name: Name


class RecallBody(ReasonBody):
    """A recall; without a release to go to, the newest one is meant."""

    to: Name | None = None


class RiskBody(EndingBody):
    """A risk, and whom it concerns."""

    name: Name
    bundle: Name
    releases: Name
    message: Annotated[str, Field(min_length=1, max_length=2000)]
    from_releases: Annotated[Name | None, Field(alias="from")] = None
    labels: Names = {}
    kubernetes: Name | None = None
    flux: Name | None = None
    components: Names = {}
    url: Text = ""


Bundles = Annotated[list[Name], Field(min_length=1, max_length=100)]
Limits = Annotated[list[Name], Field(max_length=100, description="All, if none is named.")]
Wariness = Annotated[float | None, Field(ge=0, le=1)]
Classes = Annotated[list[ReleaseClass], Field(max_length=10)]


OwnValues = Annotated[
    dict[Name, Annotated[dict[Name, dict[str, Any]], Field(max_length=100)]],
    Field(max_length=100, description="Helm values of its charts, by bundle and component. They are no secrets."),
]
Sealed = Annotated[bool, Field(description="Whether its cluster is to take no values from its registration.")]


class PlaneBody(Body):
    """A data plane to register."""

    pdp: Name
    channel: Name
    bundles: Bundles
    labels: Names = {}
    management: Management = Management.VENDOR
    kubernetes: Name | None = None
    flux: Name | None = None
    wariness: Wariness = None
    volunteer: bool = False
    ask: bool = False
    standing_consent: Classes = []
    values: OwnValues = {}
    sealed: Sealed = True
    dry_run: bool = False


class PlaneChangeBody(ReasonBody):
    """What changes in a data plane's registration; what is not there stays.

    A label without a value goes. Values replace all that there were; an empty object removes them.
    """

    channel: Name | None = None
    bundles: Bundles | None = None
    labels: Annotated[dict[Name, Name | None], Field(max_length=100)] = {}
    management: Management | None = None
    kubernetes: Name | None = None
    flux: Name | None = None
    wariness: Wariness = None
    volunteer: bool | None = None
    ask: bool | None = None
    standing_consent: Classes | None = None
    values: OwnValues | None = None
    sealed: Sealed | None = None

    def apply(self, before: Registration) -> Registration:
        """Return the registration with what changes.

        Raises:
            InvalidInputError: a fact is no version, or values are none that a data plane may have.

        """
        kept = {"labels", "bundles", "kubernetes", "flux", "standing_consent", "values", "reason", "dry_run"}
        given = self.model_dump(exclude=kept, exclude_none=True)
        labels = {**before.labels, **self.labels}
        facts = Facts.parse(self.kubernetes, self.flux)
        return replace(
            before,
            **given,
            bundles=before.bundles if self.bundles is None else tuple(self.bundles),
            labels={name: value for name, value in labels.items() if value is not None},
            standing_consent=before.standing_consent
            if self.standing_consent is None
            else frozenset(self.standing_consent),
            facts=Facts(facts.kubernetes or before.facts.kubernetes, facts.flux or before.facts.flux),
            values=before.values if self.values is None else self.values,
        )


class RotateBody(ReasonBody):
    """New credentials: the previous ones are good for a while, or not any more."""

    overlap: Annotated[Name | None, Field(description="How long: `7d`, `36h`, `P7D`; a week unless given.")] = None
    now: Annotated[bool, Field(description="No overlap: whatever came before ends at once.")] = False

    @model_validator(mode="after")
    def _one_of_both(self) -> RotateBody:
        if self.now and self.overlap is not None:
            raise ValueError("give either overlap or now")
        return self

    @property
    def span(self) -> timedelta | None:
        """Return how long the previous generation is good; ``None``: not at all.

        Raises:
            InvalidInputError: it is no duration.

        """
        if self.now:
            return None
        return parse_duration(self.overlap) if self.overlap is not None else OVERLAP


class TokenBody(Body):
    """A token to issue."""

    subject: Annotated[str, Field(min_length=1, max_length=200)]
    groups: Annotated[list[Name], Field(min_length=1)]
    bundles: list[Name] = []
    channels: list[Name] = []
    orgs: list[Name] = []
    expires: Name | None = None


class RoleBody(ReasonBody):
    """A role, and whom it is granted to: a subject or a group."""

    role: Annotated[str, Field(json_schema_extra={"enum": list(ROLES)})]
    subject: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    group: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    bundles: Limits = []
    channels: Limits = []
    orgs: Limits = []

    @model_validator(mode="after")
    def _one_kind(self) -> RoleBody:
        if (self.subject is None) == (self.group is None):
            raise ValueError("give either subject or group")
        return self


class GrantBody(RoleBody, EndingBody):
    """A role to grant, perhaps until some time."""


class RevokeBody(Body):
    """Nothing but that it is only tried: the path says the rest."""

    dry_run: bool = False


class ReplayBody(Body):
    """Nothing: the path says it all."""


class WebhookBody(Body):
    """A webhook to add."""

    name: Name
    url: Annotated[str, Field(max_length=2000)]
    kinds: Annotated[list[Name], Field(max_length=100)] = []
    channels: Annotated[list[Name], Field(max_length=100)] = []
    form: Format = Format.CLOUDEVENTS
    private: bool = False


@cache
def _once(make: Callable[..., dict[str, Any]], *args: Any, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401
    return make(*args, **kwargs)


class Query(Checked):
    """What all queries share."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401 - what the parent takes
        """Return the schema; the library asks for it with every request."""
        return _once(super().model_json_schema, *args, **kwargs)


class LoginQuery(Query):
    """Where to go after a login."""

    next: Annotated[Text, Field(description="A path of this service.")] = "/api/v1/whoami"


class CallbackQuery(Query):
    """What an issuer sends a browser back with; it may add what it likes."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    state: Text = ""
    code: Annotated[str, Field(max_length=8000)] = ""
    error: Annotated[str, Field(max_length=100, pattern="^[ -~]*$")] = ""


class PageQuery(Query):
    """Which part of a list."""

    limit: Annotated[int | None, Field(ge=1, le=MAX_PAGE, description="How many; all of them unless given.")] = None
    cursor: Annotated[Name, Field(description="The `next` of the page before.")] = ""


class PlanesQuery(PageQuery):
    """Which data planes."""

    channel: Name | None = None
    org: Name | None = None
    bundle: Name | None = None
    health: Health | None = None


class BootstrapQuery(Query):
    """What a cluster is to follow, and what is to be in it besides."""

    topology: Annotated[
        Topology | None, Field(description="Its own view, or the shared release repo; the fleet's unless given.")
    ] = None
    reporter: Annotated[bool, Field(description="Whether there is to be a reporter.")] = False
    reporter_image: Annotated[
        Name | None, Field(description="Its image; the one of this version beside the bundles unless given.")
    ] = None
    unsealed: Annotated[
        bool, Field(description="Open the cluster to values from its registration, which must not be sealed.")
    ] = False


class KeysQuery(Query):
    """Which release of bundle trust is to be next."""

    number: Annotated[int, Field(ge=0, le=1_000_000, description="At least this one.")] = 0


class ReleasesQuery(PageQuery):
    """Which releases."""

    bundle: Name | None = None


class LogQuery(PageQuery):
    """Which decisions."""

    limit: Annotated[int, Field(ge=1, le=500)] = 50
    path: Annotated[Text, Field(description="Only what changed this file or folder of the release repo.")] = ""


class AuditQuery(PageQuery):
    """Which security events."""

    limit: Annotated[int, Field(ge=1, le=500)] = 50
    kind: SecurityKind | None = None
    subject: Annotated[Name, Field(description="Who did it, or tried to.")] = ""
    since: Annotated[Name, Field(description="Only those from this time on.")] = ""


class AuditExportQuery(PageQuery):
    """Which part of what is kept."""

    limit: Annotated[int, Field(ge=1, le=500)] = 500


class ChannelQuery(Query):
    """Which channel."""

    channel: Annotated[Name, Field(description="All of them unless given.")] = ""


class BundleQuery(Query):
    """Which bundle."""

    bundle: Annotated[Name | None, Field(description="All of them unless given.")] = None


class DiffQuery(Query):
    """What to compare with."""

    start: Annotated[Name, Field(alias="from", description="A version; nothing unless given.")] = ""


class GatesQuery(Query):
    """Which promotion."""

    release: Annotated[Name, Field(description="`bundle@version`.")]
    expedite: bool = False


class FeedQuery(Query):
    """From where, and how far."""

    after: Annotated[Name, Field(description="A commit; unless given, the newest.")] = ""
    limit: Annotated[
        int, Field(ge=1, le=1000, description="How many commits to look at, at most: fewer where these changed much.")
    ] = 100


class StreamQuery(Query):
    """From where, and for how long."""

    after: Annotated[Name, Field(description="A commit; unless given, the newest. `Last-Event-ID` counts more.")] = ""
    seconds: Annotated[int, Field(ge=0, le=300, description="How long to go on.")] = 300


class InsightsQuery(Query):
    """Of which time and channel, and when a release counts as arrived."""

    since: Annotated[Name, Field(description="How far to look back: `90d`, `12w`, `P90D`.")] = "90d"
    share: Annotated[int, Field(ge=1, le=100, description="Percentage of a channel's data planes.")] = 90
    channel: Annotated[Name, Field(description="All of them unless given.")] = ""


class NewestQuery(Query):
    """How many of the newest."""

    limit: Annotated[int, Field(ge=1, le=500)] = 50


class Path(Checked):
    """What all paths share."""

    model_config = ConfigDict(frozen=True)


class ChannelPath(Path):
    """A channel."""

    channel: Name


class RolloutPath(ChannelPath):
    """A step of a rollout."""

    bundle: Name
    step: Annotated[Name, Field(json_schema_extra={"enum": list(STEPS)})]


class ReleasePath(Path):
    """A release."""

    bundle: Name
    version: Name

    @property
    def name(self) -> ReleaseName:
        """Return the release.

        Raises:
            InvalidInputError: the version is none.

        """
        return ReleaseName(self.bundle, Version(self.version))


class PlanePath(Path):
    """A data plane."""

    org: Name
    pdp: Name

    @property
    def name(self) -> PDPName:
        """Return the data plane.

        Raises:
            InvalidInputError: a name is none.

        """
        return PDPName(self.org, self.pdp)


class NamePath(Path):
    """A name."""

    name: Name


class TokenPath(Path):
    """A token."""

    token_id: Name


class DeliveryPath(Path):
    """A delivery."""

    delivery: Name


def why_of(by: Identity, body: ReasonBody) -> Why:
    """Return who asks, and what the body says of why and until when.

    Raises:
        InvalidInputError: the end is not a time.

    """
    return Why(by, body.reason, instant(body.until) if isinstance(body, EndingBody) else None)


def instant(text: str | None) -> datetime | None:
    """Return a time that may be missing.

    Raises:
        InvalidInputError: it is not a time.

    """
    return parse_instant(text) if text else None
