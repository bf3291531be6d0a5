"""Gates: what is asked before a release enters a channel. Every gate is asked, so that one answer names them all."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from ums.domain.channels import Approval, Channel, Promoted, Request
from ums.domain.errors import Reason, UnverifiedError
from ums.domain.fleet import UNHEARD, DataPlane, Health
from ums.domain.graph import Graph
from ums.domain.instants import duration_text, to_text
from ums.domain.lanes import unknown_keys, unmet_by
from ums.domain.names import PDPName
from ums.domain.owners import engineer, registrar
from ums.domain.policy import SKIPPABLE, Approvals, GateName
from ums.domain.regressions import override_in_force, taken_back
from ums.domain.release import ReleaseName
from ums.domain.rollouts import WITHDRAWN, offered_at
from ums.domain.subjects import is_plain, person_key, same_person
from ums.domain.trust import TRUST
from ums.domain.version import Version
from ums.domain.world import CatalogEntry, World

_SHOWN = 3


class Verdict(StrEnum):
    """What a gate says. Only ``passed`` and ``skipped`` let a release through."""

    PASSED = "passed"
    PENDING = "pending"
    FAILED = "failed"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate's answer.

    Attributes:
        until: when it will pass if all goes well, RFC 3339, where that can be told.
        final: it will never pass: what it waited for can no longer come.

    """

    name: GateName
    verdict: Verdict
    message: str
    until: str | None = None
    who_can_override: str | None = None
    final: bool = False

    @property
    def is_open(self) -> bool:
        """Return whether it lets the release through."""
        return self.verdict in {Verdict.PASSED, Verdict.SKIPPED}

    @property
    def reason(self) -> Reason:
        """Return the answer as a reason for a refusal."""
        return Reason(f"gate-{self.name.value}", self.message, self.until, self.who_can_override)

    def to_dict(self) -> dict[str, Any]:
        """Return the form used in API answers."""
        return {
            "gate": self.name.value,
            "verdict": self.verdict.value,
            "message": self.message,
            "until": self.until,
            "who_can_override": self.who_can_override,
        }


@dataclass(frozen=True, slots=True)
class _Answer:
    verdict: Verdict
    message: str
    until: datetime | None = None
    who: str | None = None
    final: bool = False


@dataclass(frozen=True, slots=True)
class _Question:
    world: World
    channel: Channel
    name: ReleaseName
    entry: CatalogEntry
    request: Request
    verified: bool | None
    promoter: str
    now: datetime

    @property
    def feeder(self) -> Channel | None:
        return self.world.channels.get(self.channel.policy.feeder or "")


def ask_gates(
    world: World,
    channel: Channel,
    name: ReleaseName,
    now: datetime,
    *,
    expedite: bool = False,
    verified: bool | None = None,
    promoter: str = "",
) -> tuple[Gate, ...]:
    """Return the answer of every gate that the channel's policy has.

    Args:
        world: with the release in its catalog.
        channel: where the release is to go.
        name: the release.
        now: the time.
        expedite: by the fast path; a gate that it may skip answers *skipped*.
        verified: whether the signatures were checked again just now; ``None`` where that was not tried,
            and what was found at registration counts.
        promoter: who promotes, and so cannot have approved.

    Raises:
        NotFoundError: there is no such release.

    """
    entry = world.entry(name.bundle, name.version)
    request = channel.request(name.bundle, name.version)
    question = _Question(world, channel, name, entry, request, verified, promoter, now)
    skippable = _skippable(question)
    gates = []
    for gate, ask in _GATES.items():
        answer = ask(question)
        if answer is None:
            continue
        verdict, message, who = answer.verdict, answer.message, answer.who
        if gate in skippable and verdict is not Verdict.PASSED:
            who = who or engineer(f"ums promote {name} --to {channel.name} --expedite --reason …")
            if expedite:
                verdict, message = Verdict.SKIPPED, f"skipped by the fast path: {message}"
        gates.append(Gate(gate, verdict, message, to_text(answer.until) if answer.until else None, who, answer.final))
    if expedite:
        gates.append(_expedite(question))
    return tuple(gates)


def _skippable(q: _Question) -> frozenset[GateName]:
    """Return the gates that the fast path leads past, if the release may take it."""
    rules = q.channel.policy.expedite
    if rules is None or q.entry.release.release_class not in rules.classes:
        return frozenset()
    return (rules.skip | {GateName.APPROVALS}) & SKIPPABLE


def _expedite(q: _Question) -> Gate:
    rules = q.channel.policy.expedite
    if rules is None or q.entry.release.release_class not in rules.classes:
        which = f"{', '.join(sorted(rules.classes))} releases" if rules else "no release"
        found = q.entry.release.release_class
        text = f"the policy of {q.channel.name} has a fast path for {which}; this is a {found} release"
        return Gate(GateName.EXPEDITE, Verdict.FAILED, text)
    verdict, text = _approved(q, rules.approvals)
    return Gate(GateName.EXPEDITE, verdict, f"fast path: {text}", None, _approvers(q, rules.approvals))


def _feeder(q: _Question) -> _Answer | None:
    name = q.channel.policy.feeder
    if name is None:
        return None
    track = q.feeder.tracks.get(q.name.bundle) if q.feeder else None
    if track is None or q.name.version not in track.promoted():
        text = f"{q.name} was not promoted to {name}, which feeds {q.channel.name}"
        asked = q.feeder.requests.get(q.request.id) if q.feeder else None
        if asked is not None and asked.wanted:
            return _Answer(Verdict.PENDING, f"{text}, but is asked for there: ums gates {q.name} --to {name}")
        return _Answer(Verdict.FAILED, text, None, engineer(f"ums promote {q.name} --to {name}"))
    return _Answer(Verdict.PASSED, f"promoted to {name}")


def _class(q: _Question) -> _Answer | None:
    found, allowed = q.entry.release.release_class, q.channel.policy.classes
    if found not in allowed:
        text = f"{q.name} is a {found} release; {q.channel.name} takes {', '.join(sorted(allowed))}"
        return _Answer(Verdict.FAILED, text, None, f"whoever edits the policy of {q.channel.name}")
    return _Answer(Verdict.PASSED, f"{found} releases may enter")


def _yanked(q: _Question) -> _Answer | None:
    if q.entry.yanked:
        return _Answer(
            Verdict.FAILED, f"{q.name} was yanked: {q.entry.yanked}", None, engineer(f"ums unyank {q.name} --reason …")
        )
    return _Answer(Verdict.PASSED, "not yanked")


def _order(q: _Question) -> _Answer | None:
    track = q.channel.tracks.get(q.name.bundle)
    if track is not None and q.name.version < track.head.release:
        text = f"{q.channel.name} has {q.name.bundle}@{track.head.release}; going back is a rollback"
        back = engineer(f"ums rollback {q.channel.name} {q.name.bundle} --to {q.name.version} --reason …")
        return _Answer(Verdict.FAILED, text, None, back if q.name.version in track.promoted() else None)
    return _Answer(Verdict.PASSED, "newer than what the channel has")


def _regression(q: _Question) -> _Answer | None:
    track = q.channel.tracks.get(q.name.bundle)
    if track is not None and q.name.version < track.head.release:
        return None  # another gate says so
    findings, text = regression_findings(q.world, q.channel, q.name)
    if not findings:
        return _Answer(Verdict.PASSED, "it takes back neither a fix nor a version that the channel has")
    override = override_in_force(q.channel, q.entry, findings)
    if override is not None:
        return _Answer(Verdict.SKIPPED, f"overridden by {override.given.by}: {override.given.reason} ({text})")
    who = engineer(f"ums override regression {q.name} --to {q.channel.name} --reason …")
    known = track is not None and track.head.release in q.world.catalog[q.name.bundle]
    return _Answer(Verdict.FAILED if known else Verdict.UNKNOWN, text, None, who)


def regression_findings(world: World, channel: Channel, name: ReleaseName) -> tuple[tuple[str, ...], str]:
    """Return what a release takes back of what a channel has: the findings, for an override to name, and a sentence.

    Raises:
        NotFoundError: there is no such release.

    """
    release = world.entry(name.bundle, name.version).release
    track, catalog = channel.tracks.get(name.bundle), world.catalog[name.bundle]
    if track is None or name.version <= track.head.release:
        return (), ""
    head = ReleaseName(name.bundle, track.head.release)
    if head.version not in catalog:
        text = f"{head}, which {channel.name} has, cannot be read, so what {name} takes back is not known"
        return (f"{head} cannot be read",), text
    found = taken_back(catalog, track, release)
    return found.findings, f"{name} takes back what {channel.name} has with {head}: {found}"


def _freeze(q: _Question) -> _Answer | None:
    for freeze in q.world.freezes:
        covers = freeze.scope.is_whole and freeze.scope.covers(channel=q.channel.name, bundle=q.name.bundle)
        if covers and freeze.given.active(q.now):
            return _Answer(
                Verdict.FAILED, freeze.reason.message, freeze.given.until, freeze.reason.who_can_override or ""
            )
    return _Answer(Verdict.PASSED, "nothing is frozen")


def _signatures(q: _Question) -> _Answer | None:
    try:
        rule = q.world.trust.rule_for(q.name.bundle)
    except UnverifiedError as error:
        return _Answer(Verdict.FAILED, error.message, None, "whoever may edit trust.yaml")
    if q.verified is False:
        return _Answer(Verdict.FAILED, f"{q.name} does not carry the signatures that trust.yaml demands")
    counted = sorted(set(q.entry.signed_by) & set(rule.signers))
    if len(counted) < rule.threshold:
        text = f"{len(counted)} of {rule.threshold} trusted signatures: {', '.join(counted) or 'none'}"
        return _Answer(Verdict.FAILED, text, None, "whoever may sign it, or edit trust.yaml")
    return _Answer(Verdict.PASSED, f"signed by {', '.join(counted)}")


def _evidence(q: _Question) -> _Answer | None:
    missing, unknown = [], []
    known = {"signature": q.entry.signed_by, **q.entry.evidence}
    for kind, signers in sorted(q.channel.policy.gates.evidence.items()):
        if kind not in known:
            unknown.append(kind)
        elif not set(signers or known[kind]) & set(known[kind]):
            missing.append(f"{kind} by {' or '.join(signers)}")
    if missing:
        return _Answer(Verdict.FAILED, f"there is no {', no '.join(missing)}", None, "whoever builds the release")
    if unknown:
        text = f"nothing is known of its {', '.join(unknown)}, and what is unknown does not pass"
        return _Answer(Verdict.UNKNOWN, text, None, "whoever builds the release")
    return _Answer(Verdict.PASSED, "all that the policy demands is there") if q.channel.policy.gates.evidence else None


def _dependencies(q: _Question) -> _Answer | None:
    failing: list[PDPName] = []
    unknown: list[PDPName] = []
    for plane in q.world.followers(q.channel.name, q.name.bundle):
        found = unmet_by(q.world, plane, q.entry.release)
        if q.name.bundle != TRUST:  # they get that one by one, each signed with a key of the one before
            found += unknown_keys(q.world, plane, q.entry)
        if any(not reason.code.startswith("unknown") for reason in found):
            failing.append(plane.name)
        elif found:
            unknown.append(plane.name)
    if failing:
        return _Answer(Verdict.FAILED, f"{_some(failing)} cannot run it: ums explain says what is missing")
    if unknown:
        text = f"whether {_some(unknown)} can run it is unknown: their Kubernetes or Flux version is not known"
        command = f"ums pdp set {unknown[0]} --kubernetes … --flux … --reason …"
        return _Answer(Verdict.UNKNOWN, text, None, registrar(unknown[0].org, command))
    requires = q.entry.release.requires
    if not (requires.kubernetes or requires.flux or requires.bundles):
        return None
    return _Answer(Verdict.PASSED, "every data plane there has what it requires")


def _stranding(q: _Question) -> _Answer | None:
    if q.entry.yanked:
        return None  # another gate says so
    versions: dict[Version, int] = {}
    for plane in q.world.followers(q.channel.name, q.name.bundle):
        state = plane.desired.bundles.get(q.name.bundle) if plane.desired else None
        if state is not None and state.release < q.name.version:
            versions[state.release] = versions.get(state.release, 0) + 1
    track = q.channel.tracks.get(q.name.bundle)
    promoted = frozenset({*(track.promoted() if track else ()), q.name.version})
    entries = q.world.catalog[q.name.bundle]
    stranded = Graph.of(entries, promoted).stranded(sorted(versions), q.name.version)
    if track is not None:
        # Who has no way to the present head either must not keep the others from the next.
        lost = Graph.of(entries, track.promoted()).stranded(sorted(versions), track.head.release)
        stranded = {version: why for version, why in stranded.items() if version not in lost}
    if stranded:
        version, why = next(iter(sorted(stranded.items())))
        count = sum(versions[each] for each in stranded)
        text = f"{count} data planes would have no way onward, for instance from {version}: {why}"
        return _Answer(Verdict.FAILED, text, None, "a release engineer, by promoting what lies between first")
    return _Answer(Verdict.PASSED, "everybody there has a way to it")


def _soak(q: _Question) -> _Answer | None:
    wanted = q.channel.policy.gates.soak
    track = q.feeder.tracks.get(q.name.bundle) if q.feeder else None
    if not wanted or q.feeder is None:
        return None
    if track is None or q.name.version not in track.promoted():
        return _Answer(Verdict.PENDING, f"it has not begun to soak in {q.feeder.name}")
    step = [step for step in track.history if step.release == q.name.version][-1]
    stopped = _soak_stopped(q, q.feeder, step)
    if stopped is not None:
        return stopped
    following = [each.given.since for each in track.history if each.given.since > step.given.since]
    end = min(following, default=q.now)
    rollout = q.feeder.rollouts.get(q.name.bundle)
    since = step.proven
    if rollout is not None and rollout.release == q.name.version:
        since = max(rollout.proven, rollout.forgiven or rollout.proven) if rollout.proven else None
    soaked = end - since if since is not None else timedelta()
    if since is not None and soaked >= wanted:
        return _Answer(Verdict.PASSED, f"soaked {duration_text(wanted)} in {q.feeder.name}")
    if following:
        text = f"it soaked {duration_text(soaked)} of {duration_text(wanted)} in {q.feeder.name}, then a newer one came"
        return _Answer(Verdict.FAILED, text, final=True)
    text = f"soaks {duration_text(wanted)} in {q.feeder.name}" + ("" if since else ", once somebody there is well")
    return _Answer(Verdict.PENDING, text, since + wanted if since else None)


def _soak_stopped(q: _Question, feeder: Channel, step: Promoted) -> _Answer | None:
    """Return what ended a release's soak before its time."""
    rollout = feeder.rollouts.get(q.name.bundle)
    stopped = step.stopped
    if rollout is not None and rollout.release == q.name.version and rollout.status in WITHDRAWN:
        stopped = rollout.given.reason
    if stopped:
        return _Answer(Verdict.FAILED, f"it stopped soaking in {feeder.name}: {stopped}")
    for hold in feeder.holds:
        if hold.bundle == q.name.bundle and hold.release < q.name.version and hold.given.active(q.now):
            text = f"{feeder.name} is held at {hold.release} by {hold.given.by}: {hold.given.reason}"
            who = engineer(f"ums unhold {feeder.name} {q.name.bundle} --reason …")
            return _Answer(Verdict.FAILED, text, hold.given.until, who)
    return None


def _adoption(q: _Question) -> _Answer | None:
    rule = q.channel.policy.gates.adoption
    if rule is None or q.feeder is None:
        return None
    counting, planes = q.feeder.policy.rollout.counting, _counted(q, q.feeder)
    well: list[tuple[DataPlane, datetime]] = []
    due: list[tuple[DataPlane, datetime]] = []
    failed: list[DataPlane] = []
    for plane in planes:
        state = plane.desired.bundles.get(q.name.bundle) if plane.desired else None
        if (
            state is None
            or state.release != q.name.version
            or plane.report is None
            or plane.report.serial < state.since
        ):
            continue
        if plane.report.health is Health.FAILED:
            failed.append(plane)
        elif plane.report.health is Health.HEALTHY and plane.health(q.now) not in UNHEARD:
            lasts_since = max(plane.report.since, offered_at(state))
            (well if q.now - lasts_since >= rule.lasting else due).append((plane, lasts_since))
    if len(failed) > rule.max_failed.at_most(len(well) + len(due) + len(failed)):
        return _Answer(
            Verdict.FAILED,
            f"{_some([each.name for each in failed])} failed on it in {q.feeder.name}",
        )
    needed = max(rule.healthy.at_least(len(planes)), 1)
    orgs = {plane.name.org for plane, _ in well}
    agreeing = min(counting.organizations, len({plane.name.org for plane in planes}))
    text = f"{len(well)} of {needed} data planes of {q.feeder.name} were well on it for {duration_text(rule.lasting)}"
    if len(well) >= needed and len(orgs) >= agreeing:
        return _Answer(Verdict.PASSED, text)
    if len(well) >= needed:
        text += f", of {len(orgs)} organization where {agreeing} are asked for"
    if (replaced := _replaced(q, q.feeder, text)) is not None:
        return replaced
    coming = sorted(since + rule.lasting for _, since in due)
    missing = needed - len(well)
    until = coming[missing - 1] if 0 < missing <= len(coming) else None
    return _Answer(Verdict.PENDING, text, until)


def _replaced(q: _Question, feeder: Channel, text: str) -> _Answer | None:
    """Return what holds for a release whose place in the feeder a newer one took; ``None`` if none did."""
    track = feeder.tracks.get(q.name.bundle)
    steps = [step for step in track.history if step.release == q.name.version] if track is not None else []
    if track is None or not steps or track.head.release == q.name.version:
        return None
    if q.channel.name in steps[-1].adopted:
        return _Answer(Verdict.PASSED, f"enough of {feeder.name} were well on it when a newer one came")
    text += f" when {track.head.release} took its place there"
    return _Answer(Verdict.FAILED, text, final=True)


def adopters(world: World, feeder: Channel, bundle: str, now: datetime) -> tuple[str, ...]:
    """Return the channels whose adoption gate a feeder's head passes now: that counts after a newer one came."""
    track = feeder.tracks.get(bundle)
    entry = world.catalog.get(bundle, {}).get(track.head.release) if track else None
    if track is None or entry is None:
        return ()
    name, found = ReleaseName(bundle, track.head.release), []
    for channel in world.channels.values():
        if channel.policy.feeder == feeder.name:
            request = channel.request(bundle, name.version)
            answer = _adoption(_Question(world, channel, name, entry, request, None, "", now))
            if answer is not None and answer.verdict is Verdict.PASSED:
                found.append(channel.name)
    return tuple(found)


def _risk(q: _Question) -> _Answer | None:
    if not q.channel.policy.gates.undeclared_risk or q.feeder is None:
        return None
    known = (each for each in q.world.risks.values() if each.bundle == q.name.bundle and each.given.active(q.now))
    if any(each.covers(q.name.version) for each in known):
        return _Answer(Verdict.PASSED, "its risks are declared")
    failed = [
        plane.name
        for plane in _counted(q, q.feeder)
        if plane.report is not None
        and plane.report.health is Health.FAILED
        and (state := plane.desired.bundles.get(q.name.bundle) if plane.desired else None) is not None
        and state.release == q.name.version
        and plane.report.serial >= state.since
    ]
    if failed:
        text = f"{_some(failed)} failed on it, and no declared risk says why"
        command = f"ums risk declare NAME --bundle {q.name.bundle} --releases {q.name.version} --message … --reason …"
        return _Answer(Verdict.FAILED, text, None, engineer(command))
    return _Answer(Verdict.PASSED, f"nobody failed on it in {q.feeder.name}")


def _window(q: _Question) -> _Answer | None:
    windows = q.channel.policy.gates.windows
    if not (windows.allow or windows.deny):
        return None
    if not windows.is_open(q.now):
        opening = windows.next_opening(q.now)
        return _Answer(Verdict.PENDING, f"promotions to {q.channel.name} are closed now", opening)
    closing = windows.next_change(q.now)
    return _Answer(Verdict.PASSED, "open" + (f" until {to_text(closing)}" if closing else ""))


def _approvals(q: _Question) -> _Answer | None:
    rule = q.channel.policy.gates.approvals
    if rule is None:
        return None
    verdict, text = _approved(q, rule)
    return _Answer(verdict, text, None, _approvers(q, rule))


def _approved(q: _Question, rule: Approvals) -> tuple[Verdict, str]:
    counted = [
        each
        for each in approvals_that_count(q.channel, q.entry, q.request, rule)
        if not same_person(each.given.by, q.promoter)
    ]
    rejections = [each for each in counted if each.rejects]
    if rejections:
        each = rejections[0].given
        return Verdict.FAILED, f"rejected by {each.by}: {each.reason}"
    names = ", ".join(sorted(each.given.by for each in counted))
    text = f"{len(counted)} of {rule.required} approvals" + (f": {names}" if names else "")
    return (Verdict.PASSED if len(counted) >= rule.required else Verdict.PENDING), text


def _approvers(q: _Question, rule: Approvals) -> str:
    command = f"ums approve {q.name} --to {q.channel.name} --reason …"
    return f"people of {' or '.join(rule.groups)}, but not its author ({command})"


def approvals_that_count(
    channel: Channel, entry: CatalogEntry, request: Request, rule: Approvals
) -> tuple[Approval, ...]:
    """Return the answers of distinct people of the right groups, for this very release and policy."""
    by_person = {
        person_key(each.given.by): each
        for each in request.approvals
        if each.policy == channel.policy.digest
        and each.release == str(entry.digest)
        and each.groups & set(rule.groups)
        and is_plain(each.given.by)
    }
    return tuple(each for person, each in by_person.items() if person not in authors(entry, request))


def authors(entry: CatalogEntry, request: Request) -> frozenset[str]:
    """Return who may not approve, by ``person_key``: who published the release, and who wants it promoted."""
    wanted = {person_key(request.wanted.by)} if request.wanted else set()
    return frozenset({person_key(entry.registered_by)} | wanted)


def _counted(q: _Question, feeder: Channel) -> list[DataPlane]:
    """Return the data planes of the feeder whose reports count."""
    counts = feeder.policy.rollout.counting.management
    followers = q.world.followers(feeder.name, q.name.bundle)
    return [plane for plane in followers if plane.registration.management in counts]


def _some(names: Collection[PDPName]) -> str:
    shown = [str(each) for each in sorted(names)[:_SHOWN]]
    return ", ".join(shown) + (f" and {len(names) - len(shown)} more" if len(names) > len(shown) else "")


_GATES: dict[GateName, Callable[[_Question], _Answer | None]] = {
    GateName.FEEDER: _feeder,
    GateName.CLASS: _class,
    GateName.YANKED: _yanked,
    GateName.ORDER: _order,
    GateName.REGRESSION: _regression,
    GateName.FREEZE: _freeze,
    GateName.SIGNATURES: _signatures,
    GateName.EVIDENCE: _evidence,
    GateName.DEPENDENCIES: _dependencies,
    GateName.STRANDING: _stranding,
    GateName.SOAK: _soak,
    GateName.ADOPTION: _adoption,
    GateName.RISK: _risk,
    GateName.WINDOW: _window,
    GateName.APPROVALS: _approvals,
}
