"""What the API answers: models that describe the views' JSON in the document. Tests hold every answer against them."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from ums.domain.bundle import ComponentKind, OnFailure, ReleaseClass
from ums.domain.fleet import Health, Management
from ums.domain.gates import Verdict
from ums.domain.policy import GateName, OnHalt
from ums.domain.rollouts import RolloutStatus
from ums.domain.webhooks import Format

Instant = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Duration = Annotated[str, Field(description="Such as `30m`, `1d12h`.", examples=["30m"])]
Who = Annotated[str | None, Field(alias="who_can_override", description="Whom to ask.")]
T = TypeVar("T")


class Answer(BaseModel):
    """What all answers share."""

    # Nothing is read into them: validators are never needed.
    model_config = ConfigDict(alias_generator=to_camel, defer_build=True)


class Why(Answer):
    """One reason why something does not happen."""

    code: Annotated[str, Field(description="Stable; for machines.")]
    message: Annotated[str, Field(description="One sentence for people.")]
    until: Annotated[Instant | None, Field(description="When the reason ends by itself.")]
    who_can_override: Who


class Problem(Answer):
    """A problem document (RFC 9457)."""

    type: Annotated[str, Field(description="A URN that ends in a stable code.", examples=["urn:ums:error:refused"])]
    title: str
    status: int
    hint: Annotated[str, Field(description="What to do next; may be empty.")]
    blocked_by: Annotated[list[Why], Field(description="Every rule that said no.")]


class Given(Answer):
    """Who gave an instruction, when, why, and when it ends by itself."""

    by: str
    reason: str
    since: Instant
    until: Instant | None


# The service


class Document(Answer):
    """An OpenAPI document."""

    model_config = ConfigDict(extra="allow")

    openapi: str
    info: dict[str, Any]
    paths: dict[str, Any]
    components: dict[str, Any]


class Checked(Answer):
    """One thing that was looked at."""

    name: str
    status: Annotated[str, Field(description="`pass`, `fail`, or `warn`, which keeps nothing from working.")]
    message: str


class ServiceHealth(Answer):
    """How the service itself is."""

    status: Literal["ok", "fail"]
    checks: list[Checked]


class Info(Answer):
    """What a client needs to know of the service."""

    version: str
    url: str
    registry: str
    plain_http: Annotated[bool, Field(alias="plainHttp")]


class KeyOfSigner(Answer):
    """A signer with a key."""

    key: str


class IdentityOfSigner(Answer):
    """A signer that an issuer vouches for."""

    identity: str
    issuer: str


class PatternOfSigner(Answer):
    """A workflow that an issuer vouches for, at refs that begin alike."""

    identity_pattern: str
    issuer: str


class SigningRule(Answer):
    """How many of whom must sign."""

    signers: list[str]
    threshold: int


class Trust(Answer):
    """Whose signatures count."""

    signers: dict[str, KeyOfSigner | IdentityOfSigner | PatternOfSigner]
    bundles: dict[str, SigningRule]
    state_keys: list[str]


class KnownKey(Answer):
    """Who may not know a key yet."""

    key: str
    signs: Annotated[bool, Field(description="Whether it may sign, or signs commits, now.")]
    unknown_to: Annotated[int, Field(description="How many data planes may not know it yet.")]
    unknown_to_some: Annotated[list[str], Field(description="The first of them.")]


class KnownReleaseKey(KnownKey):
    """A release key, and who may not know it yet."""

    name: str


class TrustRelease(Answer):
    """The keys that a release of bundle trust brought."""

    release: Annotated[str | None, Field(description="None is what bootstrap brought before the first.")]
    release_keys: list[str]
    state_keys: list[str]
    data_planes: Annotated[int, Field(description="How many are surely on it.")]


class NextTrust(Answer):
    """What a release of bundle trust would bring, were it published now."""

    release: str
    changes: Annotated[list[str], Field(description="In words; empty where it would bring nothing new.")]
    objects: list[dict[str, Any]]
    stranded: Annotated[list[Why], Field(description="Releases in use that none of its keys signed.")]


class Keys(Answer):
    """Release keys and state keys, and who knows them."""

    release_keys: list[KnownReleaseKey]
    state_keys: list[KnownKey]
    releases: list[TrustRelease]
    next: NextTrust


class KeysRotated(Answer):
    """What adding and dropping keys did, or would do."""

    recorded: bool
    commit: str | None
    changes: list[str]
    data_planes: Annotated[
        int, Field(description="How many go by the keys that they know, until they took the next release of `trust`.")
    ]


class LogEntry(Answer):
    """A recorded decision, or another commit that is among them."""

    commit: str
    at: Instant
    subject: str
    actor: str
    action: str
    reason: str
    signed: Annotated[
        bool, Field(description="False for a commit that no state key signed: `actor` is the author it names.")
    ]


class Page(Answer, Generic[T]):
    """Some of a list."""

    items: list[T]
    next: Annotated[str | None, Field(description="The `cursor` of the page after this; `null` at the end.")]


class Items(Answer, Generic[T]):
    """A list."""

    items: list[T]


class Log(Page[LogEntry]):
    """Recorded decisions, newest first."""


class Event(Answer):
    """What happened, as a CloudEvent."""

    model_config = ConfigDict(extra="allow", alias_generator=None)

    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    subject: str
    time: Instant
    data: dict[str, Any]


class Feed(Items[Event]):
    """What happened, oldest first."""

    after: Annotated[str, Field(description="Where to go on.")]


# What auditors read

SECURITY_EVENT: Literal["securityEvent"] = "securityEvent"
DECISION: Literal["decision"] = "decision"
_Hash = Annotated[str, Field(pattern="^(sha256:[0-9a-f]{64})?$")]


class SecurityEvent(Answer):
    """A row of the security log. Without `hash` (and `type`), as canonical JSON (RFC 8785), it is what is hashed."""

    seq: Annotated[int, Field(description="From 1 on, without gaps.")]
    at: Instant
    kind: str
    subject: Annotated[str, Field(description="Who did it, or tried to; empty if nobody is proven.")]
    what: Annotated[dict[str, Any], Field(description="To what. `count` tells how many there were within a minute.")]
    address: Annotated[str, Field(description="The client's; empty if it came with no request.")]
    request_id: str
    previous: Annotated[_Hash, Field(description="The hash of the row before; empty for the first.")]
    hash: _Hash


class SecurityEvents(Page[SecurityEvent]):
    """Security events, newest first."""


class ExportedEvent(SecurityEvent):
    """A security event among other records."""

    type: Literal["securityEvent"]


class ExportedDecision(LogEntry):
    """A decision among other records."""

    type: Literal["decision"]


class AuditRecords(Page[ExportedEvent | ExportedDecision]):
    """Decisions and security events, oldest first."""


# Tokens and webhooks


class Token(Answer):
    """What is known of a token."""

    id: str
    subject: str
    groups: list[str]
    bundles: list[str]
    channels: list[str]
    orgs: list[str]
    issued_by: str
    issued: Instant | None
    expires: Instant | None
    last_used: Instant | None


class Tokens(Items[Token]):
    """All tokens, newest first."""


class IssuedToken(Answer):
    """A new token; it is shown this once."""

    subject: str
    token: str
    expires: str | None


class Revoked(Answer):
    """A token that counts no more, or would not."""

    id: str
    subject: str
    last_used: Instant | None
    revoked: Annotated[bool, Field(description="False where it was only tried.")]


class Grantee(Answer):
    """Whom a role is granted to, as the identity provider names them: one of the two."""

    subject: str = ""
    group: str = ""


class Reach(Answer):
    """A role, and what it is limited to. A list that is empty limits nothing."""

    role: str
    bundles: list[str]
    channels: list[str]
    orgs: list[str]


class Role(Reach):
    """A role granted in Git."""

    to: Grantee
    by: str
    reason: str
    since: Instant | None
    until: Instant | None
    counts: Annotated[bool, Field(description="Whether it counts now: it began, and is not over.")]


class Roles(Items[Role]):
    """The roles granted in Git."""

    readable: Annotated[bool, Field(description="Where not, the file is wrong, and nobody has a role by it.")]


class Ended(Reach):
    """A grant that counts no more."""

    to: Grantee


class RolesChanged(Answer):
    """What granting or revoking a role did."""

    recorded: bool
    commit: str | None
    ends: Annotated[list[Ended], Field(description="The grants that count no more.")]
    warnings: list[str]


class WhoAmI(Answer):
    """Who asks, how that is known, and what they may."""

    subject: str
    groups: list[str]
    roles: list[Reach]
    permissions: Annotated[list[str], Field(description="What the roles allow, each within its limits.")]
    by: Annotated[Literal["token", "session"], Field(description="How that is known.")]
    expires: Annotated[Instant | None, Field(description="When it ends; a session, if it is not used meanwhile.")]
    csrf_token: Annotated[str | None, Field(description="To be sent as `X-CSRF-Token` with every change by a session.")]


class LoggedOut(Answer):
    """A session that is over."""

    subject: str
    logged_out: Literal[True]


class Webhook(Answer):
    """Who is told what; never where, nor the secret."""

    name: str
    kinds: list[str]
    channels: list[str]
    form: Format
    private: bool


class Webhooks(Items[Webhook]):
    """All webhooks."""


class AddedWebhook(Webhook):
    """A new webhook; its secret is shown this once."""

    secret: str


class Removed(Answer):
    """A webhook that is gone, or would be."""

    name: str
    removed: Annotated[bool, Field(description="False where it was only tried.")]


class Delivery(Answer):
    """What became of telling a receiver."""

    id: int
    kind: str
    subject: str
    status: str
    attempts: int
    due: Instant | None
    error: str


class Deliveries(Items[Delivery]):
    """Deliveries, newest first."""


class Replayed(Answer):
    """A delivery that is due again."""

    id: str
    replayed: Literal[True]


# Releases


class Workload(Answer):
    """An object whose health is the component's health."""

    api_version: str
    kind: str
    namespace: str
    name: str


class Component(Answer):
    """One deployable thing, by digest."""

    name: str
    kind: ComponentKind
    version: str
    digest: str
    content_digest: str
    namespace: str
    release_name: str
    storage_namespace: str
    needs: list[str]
    images: list[str]
    workloads: list[Workload]
    timeout_seconds: int
    fixes: list[str]
    on_failure: OnFailure


class Requires(Answer):
    """What must be there before a release may be installed."""

    kubernetes: str | None
    flux: str | None
    bundles: dict[str, str]


class UpgradeRules(Answer):
    """From which releases one may come, and whether one may go back or skip this one."""

    from_: Annotated[str | None, Field(alias="from")]
    barrier: str
    irreversible: bool


class Recall(Given):
    """A release is withdrawn: whoever has it moves off it."""

    to: str


class Gate(Answer):
    """What a gate says."""

    gate: GateName
    verdict: Verdict
    message: str
    until: Instant | None
    who_can_override: Who


class Approval(Given):
    """A yes, or a no, to a promotion."""

    groups: list[str]
    policy: str
    release: str
    rejects: bool


class Override(Given):
    """A decision that a gate does not stop a promotion."""

    gate: str
    findings: Annotated[list[str], Field(description="What the gate said: it counts for these alone.")]
    policy: str
    release: str


class Executed(Given):
    """A promotion that was executed, and what each gate said then."""

    gates: list[Gate]


class ExecutedIn(Executed):
    """A promotion of a release."""

    channel: str
    approvals: list[Approval]
    overrides: list[Override]


class Skipped(Given):
    """Gates that a promotion went past: by the fast path, or overridden."""

    channel: str
    gates: list[str]


class Release(Answer):
    """A registered release."""

    release: str
    bundle: str
    version: str
    class_: Annotated[ReleaseClass, Field(alias="class")]
    fixes: list[str]
    digest: str
    signed_by: list[str]
    registered_at: Instant
    registered_by: str
    image_lock: Literal["required", "relaxed"]
    yanked: Annotated[str, Field(description="Why nobody new may get it, or the empty string.")]
    recall: Recall | None
    channels: Annotated[list[str], Field(description="Where it is the newest.")]


class ComponentVersion(Answer):
    """A component in one release."""

    version: str
    digest: str


class ComponentChange(Answer):
    """How a component differs between two releases."""

    component: str
    change: Literal["added", "removed", "changed", "downgraded", "same"]
    before: ComponentVersion | None
    after: ComponentVersion | None


class Regression(Answer):
    """What a release takes back of what a channel has."""

    channel: str
    release: str
    lost_fixes: list[str]
    components: Annotated[list[ComponentChange], Field(description="The older ones.")]


class Floor(Answer):
    """Versions of a component below which no later release may go."""

    component: str
    versions: str
    reason: str
    until: Instant | None


class DeclaredFloor(Floor):
    """A floor, and the release that declares it."""

    bundle: str
    release: str
    in_force: bool


class Floors(Items[DeclaredFloor]):
    """All floors."""


class BelowFloor(Given):
    """A floor that a release was let through below."""

    floor: str


class ReleaseInFull(Release):
    """A registered release, and what is in it."""

    components: list[Component]
    base: Annotated[str | None, Field(description="The version that it was published from.")]
    floors: list[Floor]
    below_floors: list[BelowFloor]
    regressions: Annotated[list[Regression], Field(description="What it takes back of channels' older heads.")]
    removes: list[str]
    requires: Requires
    upgrade: UpgradeRules
    promotions: list[ExecutedIn]
    skipped: list[Skipped]
    evidence: dict[str, list[str]]
    exposed: int


class Releases(Page[Release]):
    """Releases, by bundle, newest first."""


class Diff(Answer):
    """What differs between two releases."""

    from_: Annotated[str | None, Field(alias="from")]
    to: str
    fixes: Annotated[list[str], Field(description="Fixed after, and not before.")]
    lost_fixes: Annotated[list[str], Field(description="Fixed before, and not after.")]
    components: list[ComponentChange]


class Exposed(Answer):
    """How many data planes have a release, or may have it, and some of them."""

    release: str
    exposed: int
    examples: list[str]


# What decisions do


class BundleState(Answer):
    """A bundle on a data plane."""

    release: str
    components: dict[str, str]
    removing: list[str]
    since: int
    origins: list[str]


class Move(Answer):
    """A data plane gets another release."""

    pdp: str
    bundle: str
    before: BundleState | None
    after: BundleState
    road: Literal["ordered", "due", "follow"]


class Withheld(Answer):
    """A data plane does not get what its channel has, and why."""

    pdp: str
    bundle: str
    reasons: list[Why]


class Moves(Answer):
    """Who moves, and why the others do not."""

    moves: list[Move]
    withheld: list[Withheld]


class Course(Answer):
    """Data planes that go, or would have gone, the same way."""

    bundle: str
    from_: Annotated[str | None, Field(alias="from", description="The release that they were offered last.")]
    to: str
    components: Annotated[dict[str, str], Field(description="Those that come from another release than `to`.")]
    data_planes: int
    now: Annotated[int, Field(description="How many are offered it at once; the others when their turn comes.")]
    examples: list[str]


class Impact(Answer):
    """What a decision would change, by the plans without it and with it."""

    data_planes: Annotated[int, Field(description="How many data planes it concerns.")]
    moves: Annotated[list[Course], Field(description="The ways that they go because of it.")]
    stops: Annotated[list[Course], Field(description="The ways that they would have gone without it.")]
    kept: Annotated[list[Course], Field(description="The ways they would go because of it, were they not kept.")]
    removed: Annotated[list[str], Field(description="Data planes that are no longer part of the fleet.")]


class Recorded(Moves):
    """What a decision did, or would do."""

    impact: Annotated[Impact | None, Field(description="Of a dry run; else null.")]
    recorded: Annotated[bool, Field(description="False where nothing changed, or it was only tried.")]
    already: Annotated[bool, Field(description="It was so already: nothing changed, or would.")]
    commit: str | None
    serials: Annotated[dict[str, int], Field(description="The new serial of each data plane whose state changed.")]


class Named(Recorded):
    """What a decision about something with a name did."""

    name: str


class Withdrawn(Exposed, Recorded):
    """What withdrawing a release did."""

    yanked: str
    recalled_to: str | None


# Rollouts


class Wave(Answer):
    """A part of a rollout; counts are there once its data planes are known."""

    name: str
    labels: dict[str, str]
    share: str | None
    over: Duration
    soak: Duration
    state: str
    earliest: Instant | None
    targets: int = 0
    waiting: int = 0
    updating: int = 0
    succeeded: int = 0
    failed: int = 0
    offline: int = 0


class Rollout(Given):
    """A rollout, and what became of each of its waves."""

    channel: str
    bundle: str
    release: str
    status: RolloutStatus
    started: Instant
    through: Annotated[Instant | None, Field(description="When all its waves had succeeded first.")]
    catch_up: Annotated[
        Instant | None, Field(description="Since when data planes that came later go through waves of their own.")
    ]
    wave: str
    waves: list[Wave]
    earliest: Annotated[Instant | None, Field(description="When it can be through, if nothing goes wrong.")]
    data_planes: int
    offered: int
    failed: list[str]
    stopped_by: list[Why]


class Rollouts(Items[Rollout]):
    """Rollouts of a channel."""


class RolloutSummary(Given):
    """Where a rollout stands."""

    release: str
    status: RolloutStatus
    wave: str
    waves: list[str]
    soaking_until: Instant | None


class Steered(Recorded):
    """What a step did to a rollout."""

    rollout: Rollout


class SharedReason(Why):
    """A reason that keeps several data planes."""

    channel: str
    bundle: str
    count: int
    examples: list[str]


class Plan(Moves):
    """What would be done now."""

    rollouts: list[Rollout]
    reasons: list[SharedReason]


# Channels


class Promoted(Given):
    """A release in the history of a channel."""

    release: str
    stopped: Annotated[str, Field(description="Why it went no further.")] = ""
    finished: Annotated[Instant | None, Field(description="When its last wave succeeded.")] = None
    failed: Annotated[Instant | None, Field(description="When it first halted, was rolled back or cancelled.")] = None
    proven: Annotated[Instant | None, Field(description="When its first wave had somebody well on it.")] = None
    adopted: Annotated[
        list[str], Field(description="Channels whose adoption gates it had passed when another took its place.")
    ] = []


class Track(Answer):
    """One bundle in one channel."""

    release: str
    revision: int
    since: Instant
    by: str
    history: list[Promoted]


class Hold(Given):
    """Stay on a release."""

    bundle: str
    component: str | None
    release: str


class ChannelHold(Hold):
    """A whole channel stays on a release."""

    then: Annotated[str, Field(description="Who moves, and where to, when it ends.")]


class Channel(Answer):
    """A channel and what was promoted to it."""

    channel: str
    feeder: str | None
    description: str
    bundles: dict[str, Track]
    rollouts: dict[str, RolloutSummary]
    holds: list[ChannelHold]
    data_planes: int


class Channels(Items[Channel]):
    """All channels."""


class Request(Answer):
    """A promotion that somebody wants, or that people agree to."""

    bundle: str
    release: str
    wanted: Given | None
    expedite: bool
    approvals: list[Approval]
    overrides: list[Override]
    executed: Executed | None
    ended: Annotated[Given | None, Field(description="Why it was given up: a gate will never pass.")] = None
    waits_for: list[Gate]


class AdoptionRule(Answer):
    """How many must be well in the feeder, and for how long."""

    healthy: str
    for_: Annotated[Duration, Field(alias="for")]
    max_failed: str


class ApprovalRule(Answer):
    """How many of whom must agree."""

    required: int
    groups: list[str]


class Windows(Answer):
    """Whether windows are open, and until when."""

    open: bool
    next_change: Instant | None


class GateRules(Answer):
    """What is asked before a release enters a channel."""

    soak: Duration
    adoption: AdoptionRule | None
    approvals: ApprovalRule | None
    windows: Windows | None
    evidence: dict[str, list[str]]
    undeclared_risk: bool


class WaveRule(Answer):
    """A wave, as people write it."""

    name: str
    labels: dict[str, str] = {}
    share: str = ""
    over: Duration = ""
    soak: Duration = ""
    max_failed: str = ""


class Counting(Answer):
    """Whose reports count."""

    organizations: int
    management: list[Management] = []


class Strategy(Answer):
    """How a release is given to the data planes of a channel."""

    waves: list[WaveRule]
    max_updating: str
    healthy_for: Duration
    timeout: Duration
    offline_grace: Duration
    max_failed: str
    on_halt: OnHalt
    counting: Counting


class ExpediteRule(Answer):
    """The fast path."""

    classes: list[ReleaseClass]
    skip: list[GateName]
    approvals: ApprovalRule


class Policy(Answer):
    """A channel's policy, with what its windows mean now."""

    feeder: str | None
    automatic: bool
    classes: list[ReleaseClass]
    gates: GateRules
    rollout: Strategy
    windows: Windows | None
    expedite: ExpediteRule | None
    deadlines: dict[str, Duration]
    digest: str


class ChannelInFull(Channel):
    """A channel with its policy and what waits for its gates."""

    policy: Policy
    policy_text: str
    problems: list[str]
    requests: list[Request]


class Linted(Answer):
    """What is wrong with a policy."""

    channel: str
    problems: list[str]


class Gates(Answer):
    """What every gate says to a promotion."""

    channel: str
    release: str
    open: bool
    gates: list[Gate]


class Approved(Gates, Recorded):
    """What the gates say after a yes or a no."""


class Overridden(Gates, Recorded):
    """What the gates say after an override."""


class Promotion(Recorded):
    """A promotion, or the wish for one: what changes, which gates were asked, and who gets it when."""

    channel: str
    from_: Annotated[str | None, Field(alias="from")]
    to: str
    promoted: bool
    class_: Annotated[ReleaseClass, Field(alias="class")]
    fixes: Annotated[list[str], Field(description="Fixed by it, and not by what the channel has.")]
    lost_fixes: Annotated[list[str], Field(description="Fixed by what the channel has, and not by it.")]
    components: list[ComponentChange]
    gates: list[Gate]
    data_planes: int
    waves: list[Wave]
    first: list[str]
    earliest: Instant | None


# Freezes and risks


class Scope(Answer):
    """What a freeze covers; without members: everything."""

    channel: str = ""
    bundle: str = ""
    org: str = ""
    pdp: str = ""


class Freeze(Given):
    """A freeze in force."""

    name: str
    scope: Scope
    covers: str
    data_planes: int


class Freezes(Items[Freeze]):
    """Freezes in force."""


class Frozen(Freeze, Recorded):
    """What a freeze did."""


class Risk(Given):
    """A declared risk, and whom it concerns."""

    name: str
    bundle: str
    releases: str
    from_: Annotated[str | None, Field(alias="from")]
    message: str
    url: str
    labels: dict[str, str]
    kubernetes: str | None
    flux: str | None
    components: dict[str, str]
    accepted_by: int


class Risks(Items[Risk]):
    """Declared risks."""


# Data planes


class Facts(Answer):
    """What is known of a cluster: what was reported of it, and else what its registration says."""

    kubernetes: str | None
    flux: str | None


class Cluster(Facts):
    """What the reporter in a cluster saw there last."""

    heard: Instant
    images: Annotated[list[str], Field(description="Those that run there, each once.")]


class Desired(Answer):
    """What a data plane was offered last."""

    serial: int
    issued: Instant
    expires: Instant
    bundles: dict[str, BundleState]


class Reported(Answer):
    """What a data plane said of itself last."""

    serial: int
    health: Health
    component: str
    message: str
    heard: Instant


class PlanePin(Given):
    """Only these versions."""

    bundle: str
    component: str | None
    versions: str
    ends_soon: bool


class PlaneHold(Hold):
    """Stay on a release."""

    ends_soon: bool


class Consent(Given):
    """An owner's yes to a release."""

    bundle: str
    release: str


class AcceptedRisk(Given):
    """A risk that an owner takes."""

    risk: str


class Plane(Answer):
    """A data plane: what it should run, what it reported, and how it is."""

    pdp: str
    channel: str
    bundles: list[str]
    labels: dict[str, str]
    management: Management
    ask: bool
    standing_consent: list[ReleaseClass]
    wariness: float | None
    volunteer: bool
    sealed: Annotated[bool, Field(description="Whether its cluster is to take no values from its registration.")]
    facts: Facts
    health: Health
    silent_since: Annotated[
        str | None, Field(description="When it was heard last, where it is silent: its reports stopped. Else null.")
    ]
    stale_since: Annotated[str | None, Field(description="Since when nothing may be said of it; else null.")]
    desired: Desired | None
    reported: Reported | None
    pins: list[PlanePin]
    holds: list[PlaneHold]
    consents: list[Consent]
    accepted_risks: list[AcceptedRisk]


class Credentials(Answer):
    """Which generation of credentials a data plane has; never these themselves."""

    generation: int
    previous_until: Annotated[Instant | None, Field(description="Until then the generation before is good, too.")]


class PlaneInFull(Plane):
    """A data plane, its credentials, what was reported of its cluster, and why it does not move."""

    credentials: Credentials
    cluster: Cluster | None
    values: Annotated[
        dict[str, dict[str, dict[str, Any]]], Field(description="Helm values of its own, by bundle and component.")
    ]
    withheld: list[Withheld]


class Planes(Page[Plane]):
    """Data planes, by name."""


class Check(Answer):
    """One thing that must be so before a data plane moves."""

    check: str
    verdict: Annotated[
        Literal["ok", "waits", "unknown", "not-evaluated"],
        Field(description="`not-evaluated` where something before it keeps the data plane, or it wants nothing."),
    ]
    message: str
    until: Instant | None
    who_can_override: Who


class Explanation(Answer):
    """Where a data plane is with one bundle, and why it is not further."""

    bundle: str
    running: str | None
    target: str | None
    reasons: Annotated[list[Why], Field(description="All of them, in the order in which they will matter.")]
    checks: list[Check]
    sentence: str


class Explanations(Items[Explanation]):
    """Why a data plane is where it is."""

    pdp: str


class HealthChange(Answer):
    """What a data plane became, and when that was heard."""

    health: Health
    component: Annotated[str | None, Field(description="What failed, where one is named.")]
    message: Annotated[str, Field(description="Flux's own words.")]
    serial: Annotated[int, Field(description="Of the state that it spoke about.")]
    since: Instant


class History(Items[HealthChange]):
    """How a data plane's health changed, newest first."""

    pdp: str


class Bootstrap(Answer):
    """Objects to apply in a cluster; secrets are among them."""

    objects: list[dict[str, Any]]


class Rotated(Recorded, Bootstrap, Credentials):
    """New credentials, as objects to apply in a cluster; none are shown where nothing was recorded."""


class Heard(Answer):
    """Whether an event or a report changed what is known."""

    recorded: bool


class Expiring(Given):
    """An instruction that ends soon."""

    kind: str
    target: str
    what: str
    then: str


class Status(Answer):
    """How everything is."""

    channels: list[Channel]
    health: Annotated[dict[str, int], Field(description="How many data planes are how.")]
    data_planes: int
    freezes: list[Freeze]
    expiring: list[Expiring]
    keys_to_publish: Annotated[
        list[str], Field(description="In words, what trust.yaml says of keys and no release of bundle trust yet.")
    ]
    problems: list[str]


# Figures


class Times(Answer):
    """How long something took, in all cases."""

    count: int
    median_seconds: int | None
    p90_seconds: Annotated[int | None, Field(alias="p90Seconds", description="90 % took no longer.")]


class ChannelInsights(Answer):
    """The figures of a channel."""

    channel: str
    promotions: int
    promotions_per_week: float
    lead_time: Annotated[Times, Field(description="From publishing to the channel's data planes.")]
    failed: Annotated[int, Field(description="Promotions that failed.")]
    change_failure_rate: float | None
    restore_time: Annotated[Times, Field(description="From a failure to the next success.")]
    unrestored: Annotated[int, Field(description="Failures without a success after them.")]


class Insights(Items[ChannelInsights]):
    """How well delivery goes."""

    since: Instant
    until: Instant
    share: int
    approximations: Annotated[list[str], Field(description="What about the figures is approximate.")]
