"""The files of the release repo, as values and back. Paths are in ``ums.domain.layout``; Git is elsewhere.

Files that people write are strict; files that UMS writes keep what a newer UMS added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar, cast
from weakref import WeakKeyDictionary

from pydantic import AfterValidator, Field, model_validator

from ums.adapters._policy_files import ChannelModel, ScheduleModel, strategy_from
from ums.adapters._yaml import Duration, Name, StrictModel, Template, dump, dump_all, edit, load, parsed_by, validate
from ums.adapters.cosign_bundle import check_release_key
from ums.adapters.ssh_signature import check_state_key
from ums.domain import layout
from ums.domain.access import UNREADABLE as NO_ACCESS
from ums.domain.access import Access, Granted, Grantee, GranteeKind
from ums.domain.bundle import ReleaseClass
from ums.domain.channels import Channel, Request
from ums.domain.digest import Digest, digests_in
from ums.domain.errors import InvalidInputError, SpecError
from ums.domain.fleet import (
    AcceptedRisk,
    BundleState,
    Consent,
    DataPlane,
    Desired,
    Facts,
    Hold,
    Management,
    Pin,
    Registration,
    Retired,
    Rotation,
    fact_version,
)
from ums.domain.freezes import UNREADABLE, Freeze
from ums.domain.identity import ROLES, Grant
from ums.domain.instants import MAX_INTERVAL, parse_duration, parse_instant, span_up_to
from ums.domain.names import PDPName, check_name
from ums.domain.oci import Repository
from ums.domain.policy import MAX_POLICY_BYTES, Policy
from ums.domain.release import Release
from ums.domain.rendering import RENDERERS, STATE_SHAPE, render_state
from ums.domain.risks import Risk
from ums.domain.rollouts import Rollout
from ums.domain.strict_json import loads, text, texts
from ums.domain.trust import KeylessSigner, KeySigner, SigningRule, Trusted, TrustPolicy
from ums.domain.values import check_values
from ums.domain.version import Version
from ums.domain.world import (
    Base,
    BelowFloor,
    CatalogEntry,
    Document,
    Edited,
    FleetSettings,
    Objects,
    Raw,
    Recall,
    Shape,
    Skipped,
    Topology,
    World,
)


class FluxModel(StrictModel):
    """How Flux behaves in every data plane."""

    interval: Annotated[str, parsed_by(span_up_to(MAX_INTERVAL))] = Field(
        default="1m", description="How often it polls: from 1s to 1h."
    )
    root_timeout: Duration = Field(default="5m", description="How long a data plane may take to be healthy.")
    silent_after: Duration | None = Field(
        default=None,
        description="How long a data plane that reports at an interval may say nothing before it is silent. "
        "By default three intervals, the root's timeout and five minutes.",
    )


class StateModel(StrictModel):
    """The states offered to data planes."""

    validity: Duration = Field(default="7d", description="How long an offer may be taken.")


class SettingsModel(StrictModel):
    """``ums.yaml``: what all data planes share."""

    schema_version: Literal[1] = Field(1, alias="schema", description="Version of the release repo's layout.")
    url: str = Field(pattern=r"^https?://[^/\s]+$", description="Where data planes reach the service.")
    registry: Annotated[str, parsed_by(Repository.parse)] = Field(description="Prefix of all repositories, host/path.")
    plain_http: bool = Field(default=False, description="The registry speaks HTTP. Only for tests and loopback.")
    registry_login: bool = Field(
        default=False, description="Data planes log in to the registry with their own credential."
    )
    topology: Topology = Field(
        default=Topology.VIEW,
        description="What data planes follow: their own view, or the release repo, which they may read then.",
    )
    flux: FluxModel = Field(default_factory=FluxModel)
    state: StateModel = Field(default_factory=StateModel)

    def to_domain(self) -> FleetSettings:
        """Return the settings."""
        return FleetSettings(
            url=self.url,
            registry=Repository.parse(self.registry),
            plain_http=self.plain_http,
            registry_login=self.registry_login,
            topology=self.topology,
            interval=parse_duration(self.flux.interval),
            root_timeout=parse_duration(self.flux.root_timeout),
            validity=parse_duration(self.state.validity),
            silence=parse_duration(self.flux.silent_after) if self.flux.silent_after else None,
        )


class SignerModel(StrictModel):
    """Who may sign: the holder of a key, or an identity that Fulcio vouches for."""

    key: str | None = Field(None, description="Public key, PEM.", pattern="^-----BEGIN PUBLIC KEY-----")
    identity: str | None = Field(None, description="Subject of the certificate, to the letter.")
    identity_pattern: str | None = Field(
        None,
        description="The same for refs that begin alike: https://…/<workflow>@refs/tags/v*, with one * at the end.",
    )
    issuer: str | None = Field(None, description="OIDC issuer that authenticated the subject.")

    @model_validator(mode="after")
    def _one_kind(self) -> SignerModel:
        kinds = [each is not None for each in (self.key, self.identity, self.identity_pattern)]
        if sum(kinds) != 1 or (self.key is None) != (self.issuer is not None):
            raise ValueError("give either key, or identity and issuer, or identityPattern and issuer")
        try:
            if self.key is not None:
                check_release_key(self.key)
            if (keyless := self.keyless("")) is not None:
                keyless.check()
        except InvalidInputError as error:
            raise ValueError(f"{error.message}; {error.hint}" if error.hint else error.message) from error
        return self

    def keyless(self, name: str) -> KeylessSigner | None:
        """Return the identity, if it is one."""
        identity = self.identity_pattern if self.identity is None else self.identity
        if identity is None or self.issuer is None:
            return None
        return KeylessSigner(name, identity, self.issuer, is_pattern=self.identity is None)


class RuleModel(StrictModel):
    """Whose signatures count for a bundle, and how many there must be."""

    signers: list[Name] = Field(min_length=1, description="Names of signers.")
    threshold: int = Field(1, ge=1, description="How many distinct ones must have signed.")


class TrustModel(StrictModel):
    """``trust.yaml``: who may sign what."""

    schema_version: Literal[1] = Field(1, alias="schema", description="Version of the release repo's layout.")
    signers: dict[Name, SignerModel] = Field(description="Everybody who may sign, by name.")
    bundles: dict[str, RuleModel] = Field(description="The rule for each bundle; * is every other.")
    state_keys: list[Annotated[str, Field(pattern="^ssh-ed25519 "), parsed_by(check_state_key)]] = Field(
        min_length=1, description="Public keys that may sign commits, OpenSSH form: the service's and the offline one."
    )

    @model_validator(mode="after")
    def _consistent(self) -> TrustModel:
        for bundle, rule in self.bundles.items():
            unknown = sorted(set(rule.signers) - set(self.signers))
            if unknown:
                raise ValueError(f"bundles.{bundle} names signers that are not listed: {', '.join(unknown)}")
            if rule.threshold > len(set(rule.signers)):
                raise ValueError(
                    f"bundles.{bundle} demands {rule.threshold} signatures of {len(set(rule.signers))} signers"
                )
        if len(set(self.state_keys)) < len(self.state_keys):
            raise ValueError("stateKeys names a key twice")
        return self

    def to_domain(self) -> TrustPolicy:
        """Return the policy."""
        signers: dict[str, KeySigner | KeylessSigner] = {}
        for name, each in self.signers.items():
            if each.key is not None:
                signers[name] = KeySigner(name, each.key)
            elif (keyless := each.keyless(name)) is not None:
                signers[name] = keyless
        rules = {name: SigningRule(tuple(rule.signers), rule.threshold) for name, rule in self.bundles.items()}
        return TrustPolicy(signers, rules, tuple(self.state_keys))


class FactsModel(StrictModel):
    """What is known of a data plane's cluster; releases that demand a version are withheld while it is unknown."""

    kubernetes: Annotated[str, parsed_by(fact_version)] | None = Field(None, description="Version of its API server.")
    flux: Annotated[str, parsed_by(fact_version)] | None = Field(None, description="Version of its Flux.")


def _checked_values(values: dict[str, dict[str, dict[str, Any]]]) -> dict[str, dict[str, dict[str, Any]]]:
    try:
        check_values(values)
    except InvalidInputError as error:
        raise ValueError(f"{error.message}; {error.hint}" if error.hint else error.message) from error
    return values


class RegistrationModel(StrictModel):
    """``fleet/<org>/<pdp>/registration.yaml``: a data plane."""

    schema_version: Literal[1] = Field(1, alias="schema", description="Version of the release repo's layout.")
    channel: Name = Field(description="The channel it follows.")
    bundles: list[Name] = Field(min_length=1, description="The bundles it subscribes to.")
    labels: dict[str, str] = Field(default_factory=dict, description="For selecting it; they grant nothing.")
    management: Management = Field(Management.VENDOR, description="Who runs it, and so who decides.")
    credential_generation: int = Field(
        1, ge=1, description="Its credentials have this generation at least; ums pdp rotate raises it with an overlap."
    )
    windows: ScheduleModel = Field(
        default_factory=ScheduleModel,
        description="When it may be offered something new; Flux applies it at its next poll.",
    )
    ask: bool = Field(default=False, description="Its owner is asked before each release: ums consent.")
    standing_consent: list[ReleaseClass] = Field(default_factory=list, description="But for releases of these classes.")
    wariness: float | None = Field(
        None, ge=0, le=1, description="Its place in a ramp: 0 eager, 1 cautious; chance decides where it is left out."
    )
    volunteer: bool = Field(default=False, description="It goes first.")
    facts: FactsModel = Field(default_factory=FactsModel, description="What is known of its cluster.")
    values: Annotated[dict[Name, dict[Name, dict[str, Any]]], AfterValidator(_checked_values)] = Field(
        default_factory=dict,
        description="Helm values of its charts, by bundle and component. No secrets: they stand in Git.",
    )
    sealed: bool = Field(
        default=True,
        description="Its cluster takes no values from here. To open one: false, and ums pdp bootstrap --unsealed.",
    )

    @model_validator(mode="after")
    def _takes_values(self) -> RegistrationModel:
        if self.sealed and self.values:
            raise ValueError(
                "a sealed data plane has no values here: its cluster's owner keeps them, or add sealed: false"
            )
        return self

    def to_domain(self, name: PDPName) -> Registration:
        """Return the registration."""
        return Registration(
            name=name,
            channel=self.channel,
            bundles=tuple(self.bundles),
            labels=self.labels,
            management=self.management,
            credential_generation=self.credential_generation,
            windows=self.windows.to_domain(),
            ask=self.ask,
            standing_consent=frozenset(self.standing_consent),
            wariness=self.wariness,
            volunteer=self.volunteer,
            facts=Facts.parse(self.facts.kubernetes, self.facts.flux),
            values=self.values,
            sealed=self.sealed,
        )


Person = Annotated[str, Field(min_length=1, max_length=200)]
Instant = Annotated[str, parsed_by(parse_instant)]


class GranteeModel(StrictModel):
    """Whom a role is granted to, as the identity provider names them."""

    subject: Person | None = Field(None, description="One person or machine.")
    group: Person | None = Field(None, description="Whoever is in this group.")

    @model_validator(mode="after")
    def _one_kind(self) -> GranteeModel:
        if (self.subject is None) == (self.group is None):
            raise ValueError("give either subject or group")
        return self

    def to_domain(self) -> Grantee:
        """Return whom."""
        if self.subject is not None:
            return Grantee(GranteeKind.SUBJECT, self.subject)
        return Grantee(GranteeKind.GROUP, self.group or "")


class GrantModel(StrictModel):
    """A role, whom it is granted to, and how far it reaches."""

    role: Annotated[str, Field(json_schema_extra={"enum": list(ROLES)})] = Field(description="What may be done.")
    to: GranteeModel = Field(description="Who may.")
    bundles: list[Name] = Field(default_factory=list, min_length=1, description="With these bundles alone.")
    channels: list[Name] = Field(default_factory=list, min_length=1, description="In these channels alone.")
    orgs: list[Name] = Field(default_factory=list, min_length=1, description="With these organizations' planes alone.")
    by: str = Field("", description="Who granted it.")
    reason: str = Field("", description="Why.")
    since: Instant | None = Field(None, description="It counts from then on.")
    until: Instant | None = Field(None, description="It ends then.")

    def to_domain(self) -> Granted:
        """Return the grant.

        Raises:
            InvalidInputError: there is no such role.

        """
        limits = (frozenset(each) for each in (self.bundles, self.channels, self.orgs))
        times = (parse_instant(each) if each else None for each in (self.since, self.until))
        return Granted(Grant(self.role, *limits), self.to.to_domain(), self.by, self.reason, *times)

    @model_validator(mode="after")
    def _is_one(self) -> GrantModel:
        try:
            self.to_domain()
        except InvalidInputError as error:
            raise ValueError(f"{error.message}; {error.hint}") from error
        return self


class AccessModel(StrictModel):
    """``access.yaml``: who has which role. If it is wrong, nobody has any by it."""

    schema_version: Literal[1] = Field(1, alias="schema", description="Version of the release repo's layout.")
    grants: list[GrantModel] = Field(default_factory=list, description="All roles that are granted here.")


MODELS: dict[str, type[StrictModel]] = {
    "ums": SettingsModel,
    "trust": TrustModel,
    "access": AccessModel,
    "policy": ChannelModel,
    "registration": RegistrationModel,
}
"""The files people write in the release repo, by the name of their JSON Schema."""

File = tuple[str, bytes]
"""Blob id and content; equal ids mean equal bytes."""
Key = TypeVar("Key")
Value = TypeVar("Value")


_Decisions = tuple[tuple[Pin, ...], tuple[Hold, ...], tuple[Consent, ...], tuple[AcceptedRisk, ...], Rotation | None]
_NO_DECISIONS: _Decisions = ((), (), (), (), None)
_NOTHING_FROZEN: tuple[Freeze, ...] = ()
_TEMPLATES: WeakKeyDictionary[Shape, Template] = WeakKeyDictionary()
_EPOCH = datetime.fromtimestamp(0, UTC)
_STATE = Template(render_state(PDPName("a", "b"), Desired(0, "c", _EPOCH, _EPOCH, {})), STATE_SHAPE.fields)
"""Reads the offers, by far the most files, as they were written."""
_NO_OFFER: tuple[Desired | None] = (None,)
_NOT_RETIRED: tuple[Retired | None] = (None,)


class ReleaseFiles:
    """Reads worlds from files by path, again only where files changed.

    What one folder describes – a channel, a release, a data plane with its offer – is read as a whole.
    """

    def __init__(self) -> None:
        self._main: dict[str, File] = {}
        self._delivery: dict[str, File] = {}
        self._parsed: dict[str, tuple[str, object]] = {}
        self._stale: set[_Unit] = set()
        self._problems: dict[_Unit, list[SpecError]] = {}
        self._unkept: dict[_Unit, dict[str, bytes]] = {}
        self._channels: dict[str, Channel] = {}
        self._proposals: dict[str, Policy] = {}
        self._entries: dict[tuple[str, str], CatalogEntry] = {}
        self._unread: dict[tuple[str, str], frozenset[Digest]] = {}
        self._planes: dict[PDPName, DataPlane] = {}
        self._retired: dict[PDPName, Retired] = {}
        self._catalog: Mapping[str, Mapping[Version, CatalogEntry]] = {}
        self._risks: dict[str, Risk] = {}
        self._freezes: tuple[Freeze, ...] = ()
        self._access = Access()
        self._at_bootstrap: Trusted | None = None

    def read(self, base: Base, main: Mapping[str, File], delivery: Mapping[str, File]) -> World:
        """Return the world of these files and no others, as ``world`` does."""
        self.change(_changes(self._main, main), _changes(self._delivery, delivery))
        return self.world(base)

    def change(self, main: Mapping[str, File | None], delivery: Mapping[str, File | None]) -> None:
        """Take in what changed; ``None`` is a file that is gone."""
        for files, changes in ((self._main, main), (self._delivery, delivery)):
            for path, file in changes.items():
                if file is not None:
                    files[path] = file
                else:
                    files.pop(path, None)
                    self._parsed.pop(path, None)
                self._stale.add(_unit(path))

    def world(self, base: Base) -> World:
        """Return the world; files that are wrong are listed as its problems and left out.

        Where people broke a file of theirs, its last valid version counts, which UMS keeps beside it.

        Raises:
            SpecError: ``ums.yaml`` or ``trust.yaml`` is missing or wrong, and there is no last valid version: nothing
                can be decided then.

        """
        reading = _Reading(self._main, self._delivery, self._parsed)
        settings, trust = self._demand(layout.SETTINGS, _settings), self._demand(layout.TRUST, _trust)
        kinds = {kind for kind, *_ in self._stale}
        if "fleet" in kinds:
            self._planes = dict(self._planes)  # worlds that were given away do not change
            self._retired = dict(self._retired)
        for unit in sorted(self._stale):
            self._read_again(unit, reading)
        if "catalog" in kinds:
            self._catalog = _by_bundle(self._entries)
        self._stale.clear()
        ordered = {name: self._channels[name] for name in _feeders_first(self._channels)}
        problems = tuple(problem for unit in sorted(self._problems) for problem in self._problems[unit])
        return World(
            base=base,
            settings=settings,
            trust=trust,
            channels=ordered,
            proposals=dict(self._proposals),
            catalog=self._catalog,
            unread=dict(self._unread),
            planes=self._planes,
            retired=self._retired,
            freezes=self._freezes,
            risks={risk.name: risk for risk in self._risks.values()},
            access=self._access,
            problems=problems,
            at_bootstrap=self._at_bootstrap,
            state_keys=frozenset(trust.state_keys),
            unkept={path: content for unit in sorted(self._unkept) for path, content in self._unkept[unit].items()},
        )

    def _demand(self, path: str, parse: Callable[[bytes, str], Value]) -> Value:
        reading = _Reading(self._main, self._delivery, self._parsed)
        value = reading.in_force(path, parse)
        problems = reading.take_problems()
        if value is None:
            raise problems[0]
        self._note((path,), problems, reading.unkept)
        return value

    def _note(self, unit: _Unit, problems: list[SpecError], unkept: Mapping[str, bytes]) -> None:
        _put(self._problems, unit, problems or None)
        _put(self._unkept, unit, dict(unkept) or None)

    def _read_again(self, unit: _Unit, reading: _Reading) -> None:
        match unit:
            case ("channels", name):
                channel, proposal = reading.channel(name)
                _put(self._channels, name, channel)
                _put(self._proposals, name, proposal)
            case ("catalog", bundle, version):
                entry = reading.entry(bundle, version)
                _put(self._entries, (bundle, version), entry)
                _put(self._unread, (bundle, version), None if entry else reading.unread(bundle, version))
            case ("fleet", org, pdp):
                plane = reading.plane_name(org, pdp)
                if plane is not None:
                    retired = reading.retired(plane)
                    _put(self._retired, plane, retired[0] if retired else None)
                    _put(self._planes, plane, reading.plane(plane, retired))
            case ("risks", path):
                _put(self._risks, path, reading.risk(path))
            case (layout.FREEZES,):
                self._freezes = reading.freezes()
            case (layout.ACCESS,):
                self._access = reading.access()
            case (layout.TRUST_AT_BOOTSTRAP,):
                self._at_bootstrap = reading.at_bootstrap()
            case _:
                return
        self._note(unit, reading.take_problems(), reading.take_unkept())


_Unit = tuple[str, ...]
"""A folder that is read as a whole; a file at the top stands for itself."""


def _unit(path: str) -> _Unit:
    match path.split("/"):
        case ["channels", name, _, *_]:
            return ("channels", name)
        case ["catalog", bundle, version, _, *_]:
            return ("catalog", bundle, version)
        case ["fleet" | "pdps", org, pdp, _, *_]:
            return ("fleet", org, pdp)
        case ["risks", _]:
            return ("risks", path)
        case _:
            return (path.replace(".in-force.", "."),)


def _changes(before: Mapping[str, File], after: Mapping[str, File]) -> dict[str, File | None]:
    changed: dict[str, File | None] = dict.fromkeys(before.keys() - after.keys())
    return changed | {path: file for path, file in after.items() if path not in before or before[path][0] != file[0]}


def _put(values: dict[Key, Value], key: Key, value: Value | None) -> None:
    if value is None:
        values.pop(key, None)
    else:
        values[key] = value


def _by_bundle(entries: Mapping[tuple[str, str], CatalogEntry]) -> dict[str, dict[Version, CatalogEntry]]:
    catalog: dict[str, dict[Version, CatalogEntry]] = {}
    for (bundle, _), entry in sorted(entries.items(), key=lambda item: item[0]):
        catalog.setdefault(bundle, {})[entry.release.version] = entry
    return catalog


class _Reading:
    """One reading: what was parsed before, and what was wrong."""

    def __init__(
        self, main: Mapping[str, File], delivery: Mapping[str, File], parsed: dict[str, tuple[str, object]]
    ) -> None:
        self._main = main
        self._delivery = delivery
        self._parsed = parsed
        self._problems: list[SpecError] = []
        self.unkept: dict[str, bytes] = {}

    def take_unkept(self) -> dict[str, bytes]:
        """Return what is to be kept of the files read since this was asked last: those that people write."""
        taken, self.unkept = self.unkept, {}
        return taken

    def in_force(self, path: str, parse: Callable[[bytes, str], Value], *, absent: Value | None = None) -> Value | None:
        """Return what a file of people's says; where it is wrong or gone, what it said when it was valid last.

        ``absent`` stands for a file that never was, and ``None`` for one that is wrong, and never was valid.
        """
        copy = layout.in_force(path)
        value, file = self._find(self._main, path, parse), self._main.get(path)
        if value is not None and file is not None:
            if copy not in self._main or self._main[copy][0] != file[0]:
                self.unkept[copy] = file[1]
            return value
        if copy not in self._main:
            if file is None and absent is None:
                hint = "ums init makes a release repo with all it needs"
                self._problems.append(SpecError("the file is missing", file=path, hint=hint))
            return absent if file is None else None
        problem = self._problems.pop() if file is not None else SpecError("the file is missing", file=path)
        kept = self._find(self._main, copy, parse)
        self._problems.append(problem if kept is None else _still_in_force(problem))
        return kept

    def take_problems(self) -> list[SpecError]:
        """Return what was wrong since this was asked last."""
        taken, self._problems = self._problems, []
        return taken

    def risk(self, path: str) -> Risk | None:
        return self._find(self._main, path, _risk)

    def freezes(self) -> tuple[Freeze, ...]:
        found = self._find(self._main, layout.FREEZES, _freezes, absent=_NOTHING_FROZEN)
        # One that cannot be read is one on everything: it was meant to stop something.
        return (UNREADABLE,) if found is None else found

    def at_bootstrap(self) -> Trusted | None:
        return self._find(self._main, layout.TRUST_AT_BOOTSTRAP, _trusted)

    def access(self) -> Access:
        found = self.in_force(layout.ACCESS, _access, absent=Access())
        return NO_ACCESS if found is None else found

    def channel(self, name: str) -> tuple[Channel | None, Policy | None]:
        """Return a channel with the policy in force, and the policy that people want instead, if another."""
        path, copy = layout.channel_policy(name), layout.channel_policy_in_force(name)
        if path not in self._main and copy not in self._main:
            return None, None
        try:
            check_name(name, "channel name")
        except InvalidInputError as error:
            self._problems.append(SpecError(error.message, file=f"channels/{name}", hint=error.hint))
            return None, None
        policy = self._find(self._main, copy, _policy)
        if path not in self._main:
            self._problems.append(_still_in_force(SpecError("the file is missing", file=path)))
        wanted = self._find(self._main, path, _policy)
        proposal = None if policy is not None and wanted == policy else wanted
        state = self._find(self._main, layout.channel_state(name), _channel_state, absent=Channel(name))
        if policy is None or state is None:
            return None, proposal
        rollouts = self._below(f"channels/{name}/rollouts/", _rollout)
        requests = self._below(f"channels/{name}/promotions/", _request)
        channel = replace(
            state,
            name=name,
            policy=policy,
            rollouts=dict(rollouts),
            requests={request.id: request for _, request in requests},
        )
        return channel, proposal

    def _below(self, folder: str, parse: Callable[[bytes, str], Value]) -> list[tuple[str, Value]]:
        """Return the values of a folder's files, by name without ending."""
        found = ((path, self._find(self._main, path, parse)) for path in self._main if path.startswith(folder))
        return [(path.removeprefix(folder).removesuffix(".yaml"), value) for path, value in found if value is not None]

    def entry(self, bundle: str, version: str) -> CatalogEntry | None:
        folder = f"catalog/{bundle}/{version}"
        if f"{folder}/release.json" not in self._main:
            if any(path.startswith(f"{folder}/") for path in self._main):
                self._problems.append(SpecError("the file is missing", file=f"{folder}/release.json"))
            return None
        release = self._find(self._main, f"{folder}/release.json", _release)
        status = self._find(self._main, f"{folder}/status.yaml", _status)
        if release is None or status is None:
            return None
        if (release.bundle, str(release.version)) != (bundle, version):
            self._problems.append(SpecError(f"holds {release.name}", file=f"{folder}/release.json"))
            return None
        return replace(status, release=release)

    def unread(self, bundle: str, version: str) -> frozenset[Digest] | None:
        """Return the digests in the files of a release that cannot be read; ``None`` where there are no files."""
        folder = f"catalog/{bundle}/{version}/"
        contents = [content for path, (_, content) in self._main.items() if path.startswith(folder)]
        return frozenset().union(*map(digests_in, contents)) if contents else None

    def plane_name(self, org: str, pdp: str) -> PDPName | None:
        try:
            return PDPName(org, pdp)
        except InvalidInputError as error:
            if f"fleet/{org}/{pdp}/registration.yaml" in self._main:
                self._problems.append(SpecError(error.message, file=f"fleet/{org}/{pdp}", hint=error.hint))
            return None

    def retired(self, name: PDPName) -> tuple[Retired | None] | None:
        """Return what is kept of a data plane that was removed; ``None`` where the file is wrong."""
        return self._find(self._main, layout.fleet_retired(name), _retired, absent=_NOT_RETIRED)

    def plane(self, name: PDPName, retired: tuple[Retired | None] | None) -> DataPlane | None:
        path = layout.fleet_registration(name)
        if path not in self._main and layout.in_force(path) not in self._main:
            return None
        registration = self.in_force(path, _registration)
        decisions = self._find(self._main, layout.fleet_decisions(name), _decisions, absent=_NO_DECISIONS)
        offered = self._find(self._delivery, layout.plane_state(name), _offered, absent=_NO_OFFER)
        # A file that is there but wrong must not read as absent: a lost pin would move somebody.
        if registration is None or decisions is None or offered is None or retired is None:
            return None
        pins, holds, consents, accepted, rotation = decisions
        decided = registration.to_domain(name), pins, holds, consents, accepted
        return DataPlane(*decided, *offered, rotation=rotation, retired=retired[0])

    def _find(
        self,
        files: Mapping[str, File],
        path: str,
        parse: Callable[[bytes, str], Value],
        *,
        absent: Value | None = None,
    ) -> Value | None:
        """Return a file's value; ``absent`` where there is no file, ``None`` where it is wrong."""
        if path not in files:
            return absent
        try:
            return self._cached(files, path, parse)
        except SpecError as error:
            self._problems.append(error)
        except (InvalidInputError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            self._problems.append(SpecError(f"not what UMS writes there: {error}", file=path))
        return None

    def _cached(self, files: Mapping[str, File], path: str, parse: Callable[[bytes, str], Value]) -> Value:
        blob, content = files[path]
        known, found = self._parsed.get(path, ("", None))
        if known != blob:
            try:
                found = parse(content, path)
            except SpecError as error:
                found = error  # a file that is slow to refuse is refused once
            self._parsed[path] = blob, found
        if isinstance(found, SpecError):
            raise found
        return cast(Value, found)


def _still_in_force(problem: SpecError) -> SpecError:
    hint = problem.hint or "correct it in the release repo"
    text = f"{problem.problem}; its last valid version stays in force"
    return SpecError(text, file=problem.file, line=problem.line, field=problem.field, hint=hint)


def _settings(content: bytes, path: str) -> FleetSettings:
    return validate(SettingsModel, content, path).to_domain()


def _trust(content: bytes, path: str) -> TrustPolicy:
    return validate(TrustModel, content, path).to_domain()


def _trusted(content: bytes, path: str) -> Trusted:
    return Trusted.from_dict(load(content, path))


def state_keys_of(content: bytes, path: str) -> tuple[str, ...]:
    """Return the keys that may sign commits, as ``trust.yaml`` names them.

    Raises:
        SpecError: the file is wrong.

    """
    return _trust(content, path).state_keys


def keys_given(contents: Iterable[bytes]) -> frozenset[str]:
    """Return the state keys that data planes were given.

    Args:
        contents: of ``trust.at-bootstrap.yaml``, and of ``status.yaml`` of each release of bundle ``trust``. One that
            cannot be read gave none.

    """
    given: set[str] = set()
    for content in contents:
        with suppress(InvalidInputError, KeyError, TypeError, ValueError, AttributeError):
            data = load(content, "")
            given.update(Trusted.from_dict(data.get("trusted", data)).state_keys)
    return frozenset(given)


def _policy(content: bytes, path: str) -> Policy:
    return validate(ChannelModel, content, path, max_bytes=MAX_POLICY_BYTES).to_domain(content)


def parse_policy(content: bytes, path: str) -> Policy:
    """Return a channel's policy.

    Raises:
        SpecError: names the line and field, and what was expected there.

    """
    return _policy(content, path)


def _rollout(content: bytes, path: str) -> Rollout:
    data = load(content, path)
    return Rollout.from_dict(data, strategy_from(data["strategy"]))


def _request(content: bytes, path: str) -> Request:
    return Request.from_dict(load(content, path))


def _freezes(content: bytes, path: str) -> tuple[Freeze, ...]:
    return tuple(Freeze.from_dict(each) for each in load(content, path)["freezes"])


def _access(content: bytes, path: str) -> Access:
    return Access(tuple(each.to_domain() for each in validate(AccessModel, content, path).grants))


def _risk(content: bytes, path: str) -> Risk:
    return Risk.from_dict(load(content, path))


def _registration(content: bytes, path: str) -> RegistrationModel:
    return validate(RegistrationModel, content, path)


def _channel_state(content: bytes, path: str) -> Channel:
    channel = Channel("").with_state(load(content, path))
    empty = sorted(bundle for bundle, track in channel.tracks.items() if not track.history)
    if empty:
        raise ValueError(f"{', '.join(empty)} without a history")
    return channel


def _release(content: bytes, _path: str) -> Release:
    return Release.from_bytes(content)


def _status(content: bytes, path: str) -> CatalogEntry:
    """Return the entry without its release, which stands in a file of its own."""
    data = load(content, path)
    return CatalogEntry(
        release=cast(Release, None),
        digest=Digest.parse(data["digest"]),
        signed_by=tuple(texts(data["signedBy"], "member 'signedBy'")),
        registered_at=parse_instant(data["registeredAt"]),
        registered_by=text(data["registeredBy"], "member 'registeredBy'"),
        yanked=text(data.get("yanked") or "", "member 'yanked'"),
        recall=Recall.from_dict(data["recall"]) if data.get("recall") else None,
        skipped=tuple(Skipped.from_dict(each) for each in data.get("skipped") or ()),
        evidence={
            text(kind, "a kind of evidence"): tuple(texts(who, "member 'evidence'"))
            for kind, who in (data.get("evidence") or {}).items()
        },
        trusted=Trusted.from_dict(data["trusted"]) if data.get("trusted") else None,
        below_floors=tuple(BelowFloor.from_dict(each) for each in data.get("belowFloors") or ()),
        renderer=_renderer(data.get("renderer"), path),
    )


def _renderer(number: object, path: str) -> int:
    """Return the number of a renderer that this UMS has.

    Raises:
        SpecError: it has not. To render a release otherwise would change clusters beside all waves.

    """
    if type(number) is not int or number not in RENDERERS:
        raise SpecError(
            f"the release was registered by another UMS, whose renderer {number!r:.20} is unknown here",
            hint="run a version of UMS that is at least as new as the one that registered it",
            file=path,
        )
    return number


def _decisions(content: bytes, path: str) -> _Decisions:
    data = load(content, path)
    return (
        tuple(Pin.from_dict(each) for each in data.get("pins", [])),
        tuple(Hold.from_dict(each) for each in data.get("holds", [])),
        tuple(Consent.from_dict(each) for each in data.get("consents", [])),
        tuple(AcceptedRisk.from_dict(each) for each in data.get("acceptedRisks", [])),
        Rotation.from_dict(data["credentials"]) if data.get("credentials") else None,
    )


def _retired(content: bytes, path: str) -> tuple[Retired | None]:
    return (Retired.from_dict(load(content, path)),)


def _offered(content: bytes, path: str) -> tuple[Desired]:
    document = _STATE.load(content)
    return (desired_from_state(load(content, path) if document is None else document),)


def desired_from_state(document: Mapping[str, Any]) -> Desired:
    """Return the offer that a ConfigMap ``ums-state`` holds."""
    data = document["data"]
    return Desired(
        serial=int(data["serial"]),
        channel=data["channel"],
        issued=parse_instant(data["issued"]),
        expires=parse_instant(data["expires"]),
        bundles=_bundles(data["releases"]),
    )


@lru_cache(maxsize=1024)
def _bundles(releases: str) -> Mapping[str, BundleState]:
    return {bundle: BundleState.from_dict(state) for bundle, state in loads(releases.encode()).items()}


def offered_in(content: bytes, path: str) -> Desired | None:
    """Return the offer in a file, or ``None`` where the file holds none."""
    try:
        return _offered(content, path)[0]
    except (InvalidInputError, KeyError, TypeError, ValueError, AttributeError):
        return None


def serial_of(content: bytes, path: str) -> int | None:
    """Return the serial of the offer in a file, or ``None`` where the file holds none."""
    desired = offered_in(content, path)
    return desired.serial if desired else None


def _feeders_first(channels: Mapping[str, Channel]) -> list[str]:
    """Return channel names so that each comes after its feeder; those in a circle come last."""
    order: list[str] = []
    left = sorted(channels)
    while left:
        ready = [name for name in left if channels[name].policy.feeder not in left]
        if not ready:
            return order + left
        order += ready
        left = [name for name in left if name not in ready]
    return order


def to_bytes(content: Document | Edited | Objects | Raw, before: bytes | None, path: str) -> bytes:
    """Return what to write; a document keeps the top-level fields of ``before`` that it does not know itself."""
    match content:
        case Edited():
            return edit(before or b"", content.fields, path)
        case Raw():
            return content.content
        case Objects():
            return dump_all(content.items)
        case Document():
            old = load(before, path) if before is not None else None
            unknown = (
                {key: value for key, value in old.items() if key not in content.data} if isinstance(old, dict) else {}
            )
            first = f"# {content.comment}\n".encode() if content.comment else b""
            if content.shape is None or unknown:
                return first + dump({**content.data, **unknown})
            if content.shape not in _TEMPLATES:
                _TEMPLATES[content.shape] = Template(content.data, content.shape.fields)
            return first + _TEMPLATES[content.shape].dump(content.data)
