"""What the API takes and answers. Made by ``make client`` from the OpenAPI document."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict


class Info(TypedDict):
    """What a client needs to know of the service."""

    version: str
    url: str
    registry: str
    plainHttp: bool


class IdentityOfSigner(TypedDict):
    """A signer that an issuer vouches for."""

    identity: str
    issuer: str


class KeyOfSigner(TypedDict):
    """A signer with a key."""

    key: str


class PatternOfSigner(TypedDict):
    """A workflow that an issuer vouches for, at refs that begin alike."""

    identityPattern: str
    issuer: str


class SigningRule(TypedDict):
    """How many of whom must sign."""

    signers: list[str]
    threshold: int


class BundleState(TypedDict):
    """A bundle on a data plane."""

    release: str
    components: dict[str, str]
    removing: list[str]
    since: int
    origins: list[str]


class Move(TypedDict):
    """A data plane gets another release."""

    pdp: str
    bundle: str
    before: BundleState | None
    after: BundleState
    road: Literal["ordered", "due", "follow"]


RolloutStatus: TypeAlias = Literal["running", "paused", "halted", "rolled-back", "cancelled", "finished"]


class SharedReason(TypedDict):
    """A reason that keeps several data planes."""

    code: str
    message: str
    until: str | None
    who_can_override: str | None
    channel: str
    bundle: str
    count: int
    examples: list[str]


class Wave(TypedDict):
    """A part of a rollout; counts are there once its data planes are known."""

    name: str
    labels: dict[str, str]
    share: str | None
    over: str
    soak: str
    state: str
    earliest: str | None
    targets: NotRequired[int]
    waiting: NotRequired[int]
    updating: NotRequired[int]
    succeeded: NotRequired[int]
    failed: NotRequired[int]
    offline: NotRequired[int]


class Why(TypedDict):
    """One reason why something does not happen."""

    code: str
    message: str
    until: str | None
    who_can_override: str | None


class Withheld(TypedDict):
    """A data plane does not get what its channel has, and why."""

    pdp: str
    bundle: str
    reasons: list[Why]


class ChannelHold(TypedDict):
    """A whole channel stays on a release."""

    by: str
    reason: str
    since: str
    until: str | None
    bundle: str
    component: str | None
    release: str
    then: str


class Expiring(TypedDict):
    """An instruction that ends soon."""

    by: str
    reason: str
    since: str
    until: str | None
    kind: str
    target: str
    what: str
    then: str


class Promoted(TypedDict):
    """A release in the history of a channel."""

    by: str
    reason: str
    since: str
    until: str | None
    release: str
    stopped: NotRequired[str]
    finished: NotRequired[str | None]
    failed: NotRequired[str | None]
    proven: NotRequired[str | None]
    adopted: NotRequired[list[str]]


class RolloutSummary(TypedDict):
    """Where a rollout stands."""

    by: str
    reason: str
    since: str
    until: str | None
    release: str
    status: RolloutStatus
    wave: str
    waves: list[str]
    soakingUntil: str | None


class Scope(TypedDict):
    """What a freeze covers; without members: everything."""

    channel: NotRequired[str]
    bundle: NotRequired[str]
    org: NotRequired[str]
    pdp: NotRequired[str]


class Track(TypedDict):
    """One bundle in one channel."""

    release: str
    revision: int
    since: str
    by: str
    history: list[Promoted]


class LogEntry(TypedDict):
    """A recorded decision, or another commit that is among them."""

    commit: str
    at: str
    subject: str
    actor: str
    action: str
    reason: str
    signed: bool


class Recall(TypedDict):
    """A release is withdrawn: whoever has it moves off it."""

    by: str
    reason: str
    since: str
    until: str | None
    to: str


ReleaseClass: TypeAlias = Literal["security", "bugfix", "feature"]


class Approval(TypedDict):
    """A yes, or a no, to a promotion."""

    by: str
    reason: str
    since: str
    until: str | None
    groups: list[str]
    policy: str
    release: str
    rejects: bool


class BelowFloor(TypedDict):
    """A floor that a release was let through below."""

    by: str
    reason: str
    since: str
    until: str | None
    floor: str


ComponentKind: TypeAlias = Literal["chart", "manifests"]


class ComponentVersion(TypedDict):
    """A component in one release."""

    version: str
    digest: str


class Floor(TypedDict):
    """Versions of a component below which no later release may go."""

    component: str
    versions: str
    reason: str
    until: str | None


GateName: TypeAlias = Literal[
    "feeder",
    "class",
    "yanked",
    "order",
    "regression",
    "freeze",
    "signatures",
    "evidence",
    "dependencies",
    "stranding",
    "soak",
    "adoption",
    "risk",
    "window",
    "approvals",
    "expedite",
]


OnFailure: TypeAlias = Literal["retry", "rollback"]


class Override(TypedDict):
    """A decision that a gate does not stop a promotion."""

    by: str
    reason: str
    since: str
    until: str | None
    gate: str
    findings: list[str]
    policy: str
    release: str


class Requires(TypedDict):
    """What must be there before a release may be installed."""

    kubernetes: str | None
    flux: str | None
    bundles: dict[str, str]


class Skipped(TypedDict):
    """Gates that a promotion went past: by the fast path, or overridden."""

    by: str
    reason: str
    since: str
    until: str | None
    channel: str
    gates: list[str]


UpgradeRules = TypedDict(
    "UpgradeRules",
    {
        "from": str | None,
        "barrier": str,
        "irreversible": bool,
    },
)


Verdict: TypeAlias = Literal["passed", "pending", "failed", "unknown", "skipped"]


class Workload(TypedDict):
    """An object whose health is the component's health."""

    apiVersion: str
    kind: str
    namespace: str
    name: str


class RegisterBody(TypedDict):
    """A published release."""

    release: str
    digest: str
    overrideFloors: NotRequired[str | None]


class DeclaredFloor(TypedDict):
    """A floor, and the release that declares it."""

    component: str
    versions: str
    reason: str
    until: str | None
    bundle: str
    release: str
    inForce: bool


class Exposed(TypedDict):
    """How many data planes have a release, or may have it, and some of them."""

    release: str
    exposed: int
    examples: list[str]


Course = TypedDict(
    "Course",
    {
        "bundle": str,
        "from": str | None,
        "to": str,
        "components": dict[str, str],
        "dataPlanes": int,
        "now": int,
        "examples": list[str],
    },
)


class Impact(TypedDict):
    """What a decision would change, by the plans without it and with it."""

    dataPlanes: int
    moves: list[Course]
    stops: list[Course]
    kept: list[Course]
    removed: list[str]


class ReasonBody(TypedDict):
    """What every change may say: why, and that it is only tried."""

    reason: NotRequired[str | None]
    dryRun: NotRequired[bool | None]


class RecallBody(TypedDict):
    """A recall; without a release to go to, the newest one is meant."""

    reason: NotRequired[str | None]
    dryRun: NotRequired[bool | None]
    to: NotRequired[str | None]


class KnownKey(TypedDict):
    """Who may not know a key yet."""

    key: str
    signs: bool
    unknownTo: int
    unknownToSome: list[str]


class KnownReleaseKey(TypedDict):
    """A release key, and who may not know it yet."""

    key: str
    signs: bool
    unknownTo: int
    unknownToSome: list[str]
    name: str


class NextTrust(TypedDict):
    """What a release of bundle trust would bring, were it published now."""

    release: str
    changes: list[str]
    objects: list[dict[str, Any]]
    stranded: list[Why]


class TrustRelease(TypedDict):
    """The keys that a release of bundle trust brought."""

    release: str | None
    releaseKeys: list[str]
    stateKeys: list[str]
    dataPlanes: int


class KeysRotated(TypedDict):
    """What adding and dropping keys did, or would do."""

    recorded: bool
    commit: str | None
    changes: list[str]
    dataPlanes: int


DropItem: TypeAlias = str


AddStateKey: TypeAlias = str


DropStateKey: TypeAlias = str


class RotateKeysBody(TypedDict):
    """Keys that may sign from now on, and such that no longer may."""

    reason: NotRequired[str | None]
    dryRun: NotRequired[bool | None]
    add: NotRequired[dict[str, str] | None]
    like: NotRequired[str | None]
    drop: NotRequired[list[DropItem] | None]
    addStateKeys: NotRequired[list[AddStateKey] | None]
    dropStateKeys: NotRequired[list[DropStateKey] | None]


class LookAgainBody(TypedDict):
    """Nothing: who signed stands in the registry."""


AdoptionRule = TypedDict(
    "AdoptionRule",
    {
        "healthy": str,
        "for": str,
        "maxFailed": str,
    },
)


class ApprovalRule(TypedDict):
    """How many of whom must agree."""

    required: int
    groups: list[str]


class ExpediteRule(TypedDict):
    """The fast path."""

    classes: list[ReleaseClass]
    skip: list[GateName]
    approvals: ApprovalRule


class Given(TypedDict):
    """Who gave an instruction, when, why, and when it ends by itself."""

    by: str
    reason: str
    since: str
    until: str | None


Management: TypeAlias = Literal["vendor", "vendor-in-customer-cloud", "customer"]


OnHalt: TypeAlias = Literal["pause", "rollback"]


class WaveRule(TypedDict):
    """A wave, as people write it."""

    name: str
    labels: NotRequired[dict[str, str]]
    share: NotRequired[str]
    over: NotRequired[str]
    soak: NotRequired[str]
    maxFailed: NotRequired[str]


class Windows(TypedDict):
    """Whether windows are open, and until when."""

    open: bool
    nextChange: str | None


class Recorded(TypedDict):
    """What a decision did, or would do."""

    moves: list[Move]
    withheld: list[Withheld]
    impact: Impact | None
    recorded: bool
    already: bool
    commit: str | None
    serials: dict[str, int]


class PolicyBody(TypedDict):
    """A channel's policy, as people write it."""

    reason: NotRequired[str | None]
    dryRun: NotRequired[bool | None]
    policy: str


class Linted(TypedDict):
    """What is wrong with a policy."""

    channel: str
    problems: list[str]


class PromoteBody(TypedDict):
    """A promotion: at once, by the fast path, or as soon as all gates are open."""

    reason: NotRequired[str | None]
    dryRun: NotRequired[bool | None]
    release: str
    expedite: NotRequired[bool | None]
    whenReady: NotRequired[bool | None]


class CancelBody(TypedDict):
    """The end of a wish for a promotion."""

    reason: NotRequired[str | None]
    dryRun: NotRequired[bool | None]
    release: str


class ApprovalBody(TypedDict):
    """A yes, or a no, to a promotion."""

    reason: NotRequired[str | None]
    dryRun: NotRequired[bool | None]
    release: str
    rejects: NotRequired[bool | None]


class OverrideBody(TypedDict):
    """A decision that a gate does not stop a promotion, or the end of one."""

    reason: NotRequired[str | None]
    dryRun: NotRequired[bool | None]
    release: str
    gate: Literal["regression"]
    cancels: NotRequired[bool | None]


class InstructBody(TypedDict):
    """A pin, a hold, a rollback, or the end of one."""

    reason: NotRequired[str | None]
    dryRun: NotRequired[bool | None]
    until: NotRequired[str | None]
    subject: str
    versions: NotRequired[str | None]
    release: NotRequired[str | None]


class AcceptedRisk(TypedDict):
    """A risk that an owner takes."""

    by: str
    reason: str
    since: str
    until: str | None
    risk: str


class Consent(TypedDict):
    """An owner's yes to a release."""

    by: str
    reason: str
    since: str
    until: str | None
    bundle: str
    release: str


class Desired(TypedDict):
    """What a data plane was offered last."""

    serial: int
    issued: str
    expires: str
    bundles: dict[str, BundleState]


class Facts(TypedDict):
    """What is known of a cluster: what was reported of it, and else what its registration says."""

    kubernetes: str | None
    flux: str | None


Health: TypeAlias = Literal["healthy", "updating", "failed", "silent", "stale", "unknown"]


class PlaneHold(TypedDict):
    """Stay on a release."""

    by: str
    reason: str
    since: str
    until: str | None
    bundle: str
    component: str | None
    release: str
    endsSoon: bool


class PlanePin(TypedDict):
    """Only these versions."""

    by: str
    reason: str
    since: str
    until: str | None
    bundle: str
    component: str | None
    versions: str
    endsSoon: bool


class Reported(TypedDict):
    """What a data plane said of itself last."""

    serial: int
    health: Health
    component: str
    message: str
    heard: str


Bundle: TypeAlias = str


class PlaneBody(TypedDict):
    """A data plane to register."""

    pdp: str
    channel: str
    bundles: list[Bundle]
    labels: NotRequired[dict[str, str] | None]
    management: NotRequired[Management | None]
    kubernetes: NotRequired[str | None]
    flux: NotRequired[str | None]
    wariness: NotRequired[float | None]
    volunteer: NotRequired[bool | None]
    ask: NotRequired[bool | None]
    standingConsent: NotRequired[list[ReleaseClass] | None]
    values: NotRequired[dict[str, dict[str, dict[str, Any]]] | None]
    sealed: NotRequired[bool | None]
    dryRun: NotRequired[bool | None]


class Cluster(TypedDict):
    """What the reporter in a cluster saw there last."""

    kubernetes: str | None
    flux: str | None
    heard: str
    images: list[str]


class Credentials(TypedDict):
    """Which generation of credentials a data plane has; never these themselves."""

    generation: int
    previousUntil: str | None


class PlaneChangeBody(TypedDict):
    """
    What changes in a data plane's registration; what is not there stays.

    A label without a value goes. Values replace all that there were; an empty object removes them.
    """

    reason: NotRequired[str | None]
    dryRun: NotRequired[bool | None]
    channel: NotRequired[str | None]
    bundles: NotRequired[list[Bundle] | None]
    labels: NotRequired[dict[str, str | None] | None]
    management: NotRequired[Management | None]
    kubernetes: NotRequired[str | None]
    flux: NotRequired[str | None]
    wariness: NotRequired[float | None]
    volunteer: NotRequired[bool | None]
    ask: NotRequired[bool | None]
    standingConsent: NotRequired[list[ReleaseClass] | None]
    values: NotRequired[dict[str, dict[str, dict[str, Any]]] | None]
    sealed: NotRequired[bool | None]


class Check(TypedDict):
    """One thing that must be so before a data plane moves."""

    check: str
    verdict: Literal["ok", "waits", "unknown", "not-evaluated"]
    message: str
    until: str | None
    who_can_override: str | None


class Explanation(TypedDict):
    """Where a data plane is with one bundle, and why it is not further."""

    bundle: str
    running: str | None
    target: str | None
    reasons: list[Why]
    checks: list[Check]
    sentence: str


class HealthChange(TypedDict):
    """What a data plane became, and when that was heard."""

    health: Health
    component: str | None
    message: str
    serial: int
    since: str


class Bootstrap(TypedDict):
    """Objects to apply in a cluster; secrets are among them."""

    objects: list[dict[str, Any]]


Topology: TypeAlias = Literal["view", "shared"]


class Rotated(TypedDict):
    """New credentials, as objects to apply in a cluster; none are shown where nothing was recorded."""

    generation: int
    previousUntil: str | None
    objects: list[dict[str, Any]]
    moves: list[Move]
    withheld: list[Withheld]
    impact: Impact | None
    recorded: bool
    already: bool
    commit: str | None
    serials: dict[str, int]


class RotateBody(TypedDict):
    """New credentials: the previous ones are good for a while, or not any more."""

    reason: NotRequired[str | None]
    dryRun: NotRequired[bool | None]
    overlap: NotRequired[str | None]
    now: NotRequired[bool | None]


class ConsentBody(TypedDict):
    """An owner's yes to a release."""

    reason: NotRequired[str | None]
    dryRun: NotRequired[bool | None]
    until: NotRequired[str | None]
    release: str


class AcceptBody(TypedDict):
    """A risk that an owner takes."""

    reason: NotRequired[str | None]
    dryRun: NotRequired[bool | None]
    until: NotRequired[str | None]
    risk: str


class Frozen(TypedDict):
    """What a freeze did."""

    moves: list[Move]
    withheld: list[Withheld]
    impact: Impact | None
    recorded: bool
    already: bool
    commit: str | None
    serials: dict[str, int]
    by: str
    reason: str
    since: str
    until: str | None
    name: str
    scope: Scope
    covers: str
    dataPlanes: int


class FreezeBody(TypedDict):
    """A freeze: of everything, narrowed by each part that is given; its name follows from these."""

    reason: NotRequired[str | None]
    dryRun: NotRequired[bool | None]
    until: NotRequired[str | None]
    name: NotRequired[str | None]
    channel: NotRequired[str | None]
    bundle: NotRequired[str | None]
    org: NotRequired[str | None]
    pdp: NotRequired[str | None]


class Named(TypedDict):
    """What a decision about something with a name did."""

    moves: list[Move]
    withheld: list[Withheld]
    impact: Impact | None
    recorded: bool
    already: bool
    commit: str | None
    serials: dict[str, int]
    name: str


class ThawBody(TypedDict):
    """The end of a freeze."""

    reason: NotRequired[str | None]
    dryRun: NotRequired[bool | None]
    name: str


Risk = TypedDict(
    "Risk",
    {
        "by": str,
        "reason": str,
        "since": str,
        "until": str | None,
        "name": str,
        "bundle": str,
        "releases": str,
        "from": str | None,
        "message": str,
        "url": str,
        "labels": dict[str, str],
        "kubernetes": str | None,
        "flux": str | None,
        "components": dict[str, str],
        "acceptedBy": int,
    },
)


RiskBody = TypedDict(
    "RiskBody",
    {
        "reason": NotRequired[str | None],
        "dryRun": NotRequired[bool | None],
        "until": NotRequired[str | None],
        "name": str,
        "bundle": str,
        "releases": str,
        "message": str,
        "from": NotRequired[str | None],
        "labels": NotRequired[dict[str, str] | None],
        "kubernetes": NotRequired[str | None],
        "flux": NotRequired[str | None],
        "components": NotRequired[dict[str, str] | None],
        "url": NotRequired[str | None],
    },
)


class Event(TypedDict):
    """What happened, as a CloudEvent."""

    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    subject: str
    time: str
    data: dict[str, Any]


class Times(TypedDict):
    """How long something took, in all cases."""

    count: int
    medianSeconds: int | None
    p90Seconds: int | None


Format: TypeAlias = Literal["cloudevents", "slack"]


class Webhook(TypedDict):
    """Who is told what; never where, nor the secret."""

    name: str
    kinds: list[str]
    channels: list[str]
    form: Format
    private: bool


class AddedWebhook(TypedDict):
    """A new webhook; its secret is shown this once."""

    name: str
    kinds: list[str]
    channels: list[str]
    form: Format
    private: bool
    secret: str


Kind: TypeAlias = str


Channel1: TypeAlias = str


class WebhookBody(TypedDict):
    """A webhook to add."""

    name: str
    url: str
    kinds: NotRequired[list[Kind] | None]
    channels: NotRequired[list[Channel1] | None]
    form: NotRequired[Format | None]
    private: NotRequired[bool | None]


class Removed(TypedDict):
    """A webhook that is gone, or would be."""

    name: str
    removed: bool


class RevokeBody(TypedDict):
    """Nothing but that it is only tried: the path says the rest."""

    dryRun: NotRequired[bool | None]


class Delivery(TypedDict):
    """What became of telling a receiver."""

    id: int
    kind: str
    subject: str
    status: str
    attempts: int
    due: str | None
    error: str


class Replayed(TypedDict):
    """A delivery that is due again."""

    id: str
    replayed: Literal[True]


class ReplayBody(TypedDict):
    """Nothing: the path says it all."""


class SecurityEvent(TypedDict):
    """A row of the security log. Without `hash` (and `type`), as canonical JSON (RFC 8785), it is what is hashed."""

    seq: int
    at: str
    kind: str
    subject: str
    what: dict[str, Any]
    address: str
    requestId: str
    previous: str
    hash: str


SecurityKind: TypeAlias = Literal[
    "token.issued",
    "token.revoked",
    "token.first-used",
    "token.expired",
    "authentication.failed",
    "permission.denied",
    "login",
    "logout",
    "session.ended",
    "role.granted",
    "role.revoked",
    "data-plane.refused",
    "data-plane.bootstrapped",
    "data-plane.rotated",
    "data-plane.rotation-finished",
    "data-plane.outdated",
    "data-plane.removed",
    "delivery.reclaimed",
    "main.restored",
    "git-host.refused",
    "webhook.added",
    "webhook.removed",
    "database.rebuilt",
    "backup.made",
    "backup.restored",
    "clock.accepted",
]


class ExportedDecision(TypedDict):
    """A decision among other records."""

    commit: str
    at: str
    subject: str
    actor: str
    action: str
    reason: str
    signed: bool
    type: Literal["decision"]


class ExportedEvent(TypedDict):
    """A security event among other records."""

    seq: int
    at: str
    kind: str
    subject: str
    what: dict[str, Any]
    address: str
    requestId: str
    previous: str
    hash: str
    type: Literal["securityEvent"]


class Token(TypedDict):
    """What is known of a token."""

    id: str
    subject: str
    groups: list[str]
    bundles: list[str]
    channels: list[str]
    orgs: list[str]
    issuedBy: str
    issued: str | None
    expires: str | None
    lastUsed: str | None


class Revoked(TypedDict):
    """A token that counts no more, or would not."""

    id: str
    subject: str
    lastUsed: str | None
    revoked: bool


class IssuedToken(TypedDict):
    """A new token; it is shown this once."""

    subject: str
    token: str
    expires: str | None


Group: TypeAlias = str


class TokenBody(TypedDict):
    """A token to issue."""

    subject: str
    groups: list[Group]
    bundles: NotRequired[list[str] | None]
    channels: NotRequired[list[str] | None]
    orgs: NotRequired[list[str] | None]
    expires: NotRequired[str | None]


class Grantee(TypedDict):
    """Whom a role is granted to, as the identity provider names them: one of the two."""

    subject: NotRequired[str]
    group: NotRequired[str]


class Role(TypedDict):
    """A role granted in Git."""

    role: str
    bundles: list[str]
    channels: list[str]
    orgs: list[str]
    to: Grantee
    by: str
    reason: str
    since: str | None
    until: str | None
    counts: bool


class Ended(TypedDict):
    """A grant that counts no more."""

    role: str
    bundles: list[str]
    channels: list[str]
    orgs: list[str]
    to: Grantee


Org: TypeAlias = str


class GrantBody(TypedDict):
    """A role to grant, perhaps until some time."""

    reason: NotRequired[str | None]
    dryRun: NotRequired[bool | None]
    until: NotRequired[str | None]
    role: Literal["viewer", "approver", "publisher", "release-engineer", "operator", "admin"]
    subject: NotRequired[str | None]
    group: NotRequired[str | None]
    bundles: NotRequired[list[Bundle] | None]
    channels: NotRequired[list[Channel1] | None]
    orgs: NotRequired[list[Org] | None]


class RoleBody(TypedDict):
    """A role, and whom it is granted to: a subject or a group."""

    reason: NotRequired[str | None]
    dryRun: NotRequired[bool | None]
    role: Literal["viewer", "approver", "publisher", "release-engineer", "operator", "admin"]
    subject: NotRequired[str | None]
    group: NotRequired[str | None]
    bundles: NotRequired[list[Bundle] | None]
    channels: NotRequired[list[Channel1] | None]
    orgs: NotRequired[list[Org] | None]


class Heard(TypedDict):
    """Whether an event or a report changed what is known."""

    recorded: bool


class Reach(TypedDict):
    """A role, and what it is limited to. A list that is empty limits nothing."""

    role: str
    bundles: list[str]
    channels: list[str]
    orgs: list[str]


class LoggedOut(TypedDict):
    """A session that is over."""

    subject: str
    loggedOut: Literal[True]


class Document(TypedDict):
    """An OpenAPI document."""

    openapi: str
    info: dict[str, Any]
    paths: dict[str, Any]
    components: dict[str, Any]


class Checked(TypedDict):
    """One thing that was looked at."""

    name: str
    status: str
    message: str


class Problem(TypedDict):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    hint: str
    blockedBy: list[Why]


class GetPlanQuery(TypedDict):
    """Parameters of ``getPlan``."""

    channel: NotRequired[str | None]


class GetLogQuery(TypedDict):
    """Parameters of ``getLog``."""

    limit: NotRequired[int | None]
    cursor: NotRequired[str | None]
    path: NotRequired[str | None]


class GetReleasesQuery(TypedDict):
    """Parameters of ``getReleases``."""

    limit: NotRequired[int | None]
    cursor: NotRequired[str | None]
    bundle: NotRequired[str | None]


GetDiffQuery = TypedDict(
    "GetDiffQuery",
    {"from": NotRequired[str | None]},
)


class GetFloorsQuery(TypedDict):
    """Parameters of ``getFloors``."""

    bundle: NotRequired[str | None]


class GetKeysQuery(TypedDict):
    """Parameters of ``getKeys``."""

    number: NotRequired[int | None]


class GetGatesQuery(TypedDict):
    """Parameters of ``getGates``."""

    release: str
    expedite: NotRequired[bool | None]


class GetRolloutsQuery(TypedDict):
    """Parameters of ``getRollouts``."""

    bundle: NotRequired[str | None]


class GetPlanesQuery(TypedDict):
    """Parameters of ``getPlanes``."""

    limit: NotRequired[int | None]
    cursor: NotRequired[str | None]
    channel: NotRequired[str | None]
    org: NotRequired[str | None]
    bundle: NotRequired[str | None]
    health: NotRequired[Health | None]


class GetHistoryQuery(TypedDict):
    """Parameters of ``getHistory``."""

    limit: NotRequired[int | None]


class GetBootstrapQuery(TypedDict):
    """Parameters of ``getBootstrap``."""

    topology: NotRequired[Topology | None]
    reporter: NotRequired[bool | None]
    reporterImage: NotRequired[str | None]
    unsealed: NotRequired[bool | None]


class GetEventsQuery(TypedDict):
    """Parameters of ``getEvents``."""

    after: NotRequired[str | None]
    limit: NotRequired[int | None]


class GetInsightsQuery(TypedDict):
    """Parameters of ``getInsights``."""

    since: NotRequired[str | None]
    share: NotRequired[int | None]
    channel: NotRequired[str | None]


class GetDeliveriesQuery(TypedDict):
    """Parameters of ``getDeliveries``."""

    limit: NotRequired[int | None]


class GetAuditQuery(TypedDict):
    """Parameters of ``getAudit``."""

    limit: NotRequired[int | None]
    cursor: NotRequired[str | None]
    kind: NotRequired[SecurityKind | None]
    subject: NotRequired[str | None]
    since: NotRequired[str | None]


class GetAuditExportQuery(TypedDict):
    """Parameters of ``getAuditExport``."""

    limit: NotRequired[int | None]
    cursor: NotRequired[str | None]


class Trust(TypedDict):
    """Whose signatures count."""

    signers: dict[str, KeyOfSigner | IdentityOfSigner | PatternOfSigner]
    bundles: dict[str, SigningRule]
    stateKeys: list[str]


class Rollout(TypedDict):
    """A rollout, and what became of each of its waves."""

    by: str
    reason: str
    since: str
    until: str | None
    channel: str
    bundle: str
    release: str
    status: RolloutStatus
    started: str
    through: str | None
    catchUp: str | None
    wave: str
    waves: list[Wave]
    earliest: str | None
    dataPlanes: int
    offered: int
    failed: list[str]
    stoppedBy: list[Why]


class Channel(TypedDict):
    """A channel and what was promoted to it."""

    channel: str
    feeder: str | None
    description: str
    bundles: dict[str, Track]
    rollouts: dict[str, RolloutSummary]
    holds: list[ChannelHold]
    dataPlanes: int


class Freeze(TypedDict):
    """A freeze in force."""

    by: str
    reason: str
    since: str
    until: str | None
    name: str
    scope: Scope
    covers: str
    dataPlanes: int


class Log(TypedDict):
    """Recorded decisions, newest first."""

    items: list[LogEntry]
    next: str | None


Release = TypedDict(
    "Release",
    {
        "release": str,
        "bundle": str,
        "version": str,
        "class": ReleaseClass,
        "fixes": list[str],
        "digest": str,
        "signedBy": list[str],
        "registeredAt": str,
        "registeredBy": str,
        "imageLock": Literal["required", "relaxed"],
        "yanked": str,
        "recall": Recall | None,
        "channels": list[str],
    },
)


class Component(TypedDict):
    """One deployable thing, by digest."""

    name: str
    kind: ComponentKind
    version: str
    digest: str
    contentDigest: str
    namespace: str
    releaseName: str
    storageNamespace: str
    needs: list[str]
    images: list[str]
    workloads: list[Workload]
    timeoutSeconds: int
    fixes: list[str]
    onFailure: OnFailure


class ComponentChange(TypedDict):
    """How a component differs between two releases."""

    component: str
    change: Literal["added", "removed", "changed", "downgraded", "same"]
    before: ComponentVersion | None
    after: ComponentVersion | None


class Gate(TypedDict):
    """What a gate says."""

    gate: GateName
    verdict: Verdict
    message: str
    until: str | None
    who_can_override: str | None


class Regression(TypedDict):
    """What a release takes back of what a channel has."""

    channel: str
    release: str
    lostFixes: list[str]
    components: list[ComponentChange]


Diff = TypedDict(
    "Diff",
    {
        "from": str | None,
        "to": str,
        "fixes": list[str],
        "lostFixes": list[str],
        "components": list[ComponentChange],
    },
)


class Floors(TypedDict):
    """All floors."""

    items: list[DeclaredFloor]


class Withdrawn(TypedDict):
    """What withdrawing a release did."""

    moves: list[Move]
    withheld: list[Withheld]
    impact: Impact | None
    recorded: bool
    already: bool
    commit: str | None
    serials: dict[str, int]
    release: str
    exposed: int
    examples: list[str]
    yanked: str
    recalledTo: str | None


class Keys(TypedDict):
    """Release keys and state keys, and who knows them."""

    releaseKeys: list[KnownReleaseKey]
    stateKeys: list[KnownKey]
    releases: list[TrustRelease]
    next: NextTrust


class Channels(TypedDict):
    """All channels."""

    items: list[Channel]


class Counting(TypedDict):
    """Whose reports count."""

    organizations: int
    management: NotRequired[list[Management]]


class Executed(TypedDict):
    """A promotion that was executed, and what each gate said then."""

    by: str
    reason: str
    since: str
    until: str | None
    gates: list[Gate]


class GateRules(TypedDict):
    """What is asked before a release enters a channel."""

    soak: str
    adoption: AdoptionRule | None
    approvals: ApprovalRule | None
    windows: Windows | None
    evidence: dict[str, list[str]]
    undeclaredRisk: bool


class Request(TypedDict):
    """A promotion that somebody wants, or that people agree to."""

    bundle: str
    release: str
    wanted: Given | None
    expedite: bool
    approvals: list[Approval]
    overrides: list[Override]
    executed: Executed | None
    ended: NotRequired[Given | None]
    waitsFor: list[Gate]


class Strategy(TypedDict):
    """How a release is given to the data planes of a channel."""

    waves: list[WaveRule]
    maxUpdating: str
    healthyFor: str
    timeout: str
    offlineGrace: str
    maxFailed: str
    onHalt: OnHalt
    counting: Counting


Promotion = TypedDict(
    "Promotion",
    {
        "moves": list[Move],
        "withheld": list[Withheld],
        "impact": Impact | None,
        "recorded": bool,
        "already": bool,
        "commit": str | None,
        "serials": dict[str, int],
        "channel": str,
        "from": str | None,
        "to": str,
        "promoted": bool,
        "class": ReleaseClass,
        "fixes": list[str],
        "lostFixes": list[str],
        "components": list[ComponentChange],
        "gates": list[Gate],
        "dataPlanes": int,
        "waves": list[Wave],
        "first": list[str],
        "earliest": str | None,
    },
)


class Gates(TypedDict):
    """What every gate says to a promotion."""

    channel: str
    release: str
    open: bool
    gates: list[Gate]


class Approved(TypedDict):
    """What the gates say after a yes or a no."""

    moves: list[Move]
    withheld: list[Withheld]
    impact: Impact | None
    recorded: bool
    already: bool
    commit: str | None
    serials: dict[str, int]
    channel: str
    release: str
    open: bool
    gates: list[Gate]


class Overridden(TypedDict):
    """What the gates say after an override."""

    moves: list[Move]
    withheld: list[Withheld]
    impact: Impact | None
    recorded: bool
    already: bool
    commit: str | None
    serials: dict[str, int]
    channel: str
    release: str
    open: bool
    gates: list[Gate]


class Rollouts(TypedDict):
    """Rollouts of a channel."""

    items: list[Rollout]


class Steered(TypedDict):
    """What a step did to a rollout."""

    moves: list[Move]
    withheld: list[Withheld]
    impact: Impact | None
    recorded: bool
    already: bool
    commit: str | None
    serials: dict[str, int]
    rollout: Rollout


class Plane(TypedDict):
    """A data plane: what it should run, what it reported, and how it is."""

    pdp: str
    channel: str
    bundles: list[str]
    labels: dict[str, str]
    management: Management
    ask: bool
    standingConsent: list[ReleaseClass]
    wariness: float | None
    volunteer: bool
    sealed: bool
    facts: Facts
    health: Health
    silentSince: str | None
    staleSince: str | None
    desired: Desired | None
    reported: Reported | None
    pins: list[PlanePin]
    holds: list[PlaneHold]
    consents: list[Consent]
    acceptedRisks: list[AcceptedRisk]


class PlaneInFull(TypedDict):
    """A data plane, its credentials, what was reported of its cluster, and why it does not move."""

    pdp: str
    channel: str
    bundles: list[str]
    labels: dict[str, str]
    management: Management
    ask: bool
    standingConsent: list[ReleaseClass]
    wariness: float | None
    volunteer: bool
    sealed: bool
    facts: Facts
    health: Health
    silentSince: str | None
    staleSince: str | None
    desired: Desired | None
    reported: Reported | None
    pins: list[PlanePin]
    holds: list[PlaneHold]
    consents: list[Consent]
    acceptedRisks: list[AcceptedRisk]
    credentials: Credentials
    cluster: Cluster | None
    values: dict[str, dict[str, dict[str, Any]]]
    withheld: list[Withheld]


class Explanations(TypedDict):
    """Why a data plane is where it is."""

    items: list[Explanation]
    pdp: str


class History(TypedDict):
    """How a data plane's health changed, newest first."""

    items: list[HealthChange]
    pdp: str


class Freezes(TypedDict):
    """Freezes in force."""

    items: list[Freeze]


class Risks(TypedDict):
    """Declared risks."""

    items: list[Risk]


class Feed(TypedDict):
    """What happened, oldest first."""

    items: list[Event]
    after: str


class ChannelInsights(TypedDict):
    """The figures of a channel."""

    channel: str
    promotions: int
    promotionsPerWeek: float
    leadTime: Times
    failed: int
    changeFailureRate: float | None
    restoreTime: Times
    unrestored: int


class Webhooks(TypedDict):
    """All webhooks."""

    items: list[Webhook]


class Deliveries(TypedDict):
    """Deliveries, newest first."""

    items: list[Delivery]


class SecurityEvents(TypedDict):
    """Security events, newest first."""

    items: list[SecurityEvent]
    next: str | None


class AuditRecords(TypedDict):
    """Decisions and security events, oldest first."""

    items: list[ExportedEvent | ExportedDecision]
    next: str | None


class Tokens(TypedDict):
    """All tokens, newest first."""

    items: list[Token]


class Roles(TypedDict):
    """The roles granted in Git."""

    items: list[Role]
    readable: bool


class RolesChanged(TypedDict):
    """What granting or revoking a role did."""

    recorded: bool
    commit: str | None
    ends: list[Ended]
    warnings: list[str]


class WhoAmI(TypedDict):
    """Who asks, how that is known, and what they may."""

    subject: str
    groups: list[str]
    roles: list[Reach]
    permissions: list[str]
    by: Literal["token", "session"]
    expires: str | None
    csrfToken: str | None


class ServiceHealth(TypedDict):
    """How the service itself is."""

    status: Literal["ok", "fail"]
    checks: list[Checked]


class Plan(TypedDict):
    """What would be done now."""

    moves: list[Move]
    withheld: list[Withheld]
    rollouts: list[Rollout]
    reasons: list[SharedReason]


class Status(TypedDict):
    """How everything is."""

    channels: list[Channel]
    health: dict[str, int]
    dataPlanes: int
    freezes: list[Freeze]
    expiring: list[Expiring]
    keysToPublish: list[str]
    problems: list[str]


class Releases(TypedDict):
    """Releases, by bundle, newest first."""

    items: list[Release]
    next: str | None


class ExecutedIn(TypedDict):
    """A promotion of a release."""

    by: str
    reason: str
    since: str
    until: str | None
    gates: list[Gate]
    channel: str
    approvals: list[Approval]
    overrides: list[Override]


class Policy(TypedDict):
    """A channel's policy, with what its windows mean now."""

    feeder: str | None
    automatic: bool
    classes: list[ReleaseClass]
    gates: GateRules
    rollout: Strategy
    windows: Windows | None
    expedite: ExpediteRule | None
    deadlines: dict[str, str]
    digest: str


class Planes(TypedDict):
    """Data planes, by name."""

    items: list[Plane]
    next: str | None


class Insights(TypedDict):
    """How well delivery goes."""

    items: list[ChannelInsights]
    since: str
    until: str
    share: int
    approximations: list[str]


ReleaseInFull = TypedDict(
    "ReleaseInFull",
    {
        "release": str,
        "bundle": str,
        "version": str,
        "class": ReleaseClass,
        "fixes": list[str],
        "digest": str,
        "signedBy": list[str],
        "registeredAt": str,
        "registeredBy": str,
        "imageLock": Literal["required", "relaxed"],
        "yanked": str,
        "recall": Recall | None,
        "channels": list[str],
        "components": list[Component],
        "base": str | None,
        "floors": list[Floor],
        "belowFloors": list[BelowFloor],
        "regressions": list[Regression],
        "removes": list[str],
        "requires": Requires,
        "upgrade": UpgradeRules,
        "promotions": list[ExecutedIn],
        "skipped": list[Skipped],
        "evidence": dict[str, list[str]],
        "exposed": int,
    },
)


class ChannelInFull(TypedDict):
    """A channel with its policy and what waits for its gates."""

    channel: str
    feeder: str | None
    description: str
    bundles: dict[str, Track]
    rollouts: dict[str, RolloutSummary]
    holds: list[ChannelHold]
    dataPlanes: int
    policy: Policy
    policyText: str
    problems: list[str]
    requests: list[Request]
