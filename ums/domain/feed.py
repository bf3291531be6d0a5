"""What happened, as events: read off what each commit of ``main`` changed, so that none is lost and none invented.

Who asks again from the same commit is told the same, with the same ids. The form is CloudEvents 1.0.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ums.domain.instants import to_text
from ums.domain.world import LogEntry

Fields = Mapping[str, Any]
TYPE_PREFIX = "dev.ums."


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes:
        kind: such as ``rollout.halted``.
        subject: what it happened to: a release, a channel's bundle, a data plane.
        data: more about it; ``reason`` and ``by`` are always there.
        mark: its id, where no commit made it happen.

    """

    kind: str
    subject: str
    data: Fields
    commit: str
    number: int
    at: datetime
    mark: str = ""

    @property
    def id(self) -> str:
        """Return what tells it from all others, and is the same whenever it is read."""
        return self.mark or f"{self.commit}-{self.number}"

    def is_for(self, orgs: Collection[str] | None) -> bool:
        """Return whether it is the business of whoever sees these organizations alone; ``None`` sees all."""
        scope = self.data.get("scope") or {}
        name = self.data.get("pdp") or scope.get("pdp") or scope.get("org")
        return orgs is None or not name or str(name).partition("/")[0] in orgs

    def to_dict(self, source: str) -> dict[str, Any]:
        """Return the CloudEvent; ``source`` is the service's URL."""
        return {
            "specversion": "1.0",
            "id": self.id,
            "source": source,
            "type": TYPE_PREFIX + self.kind,
            "subject": self.subject,
            "time": to_text(self.at),
            "datacontenttype": "application/json",
            "data": {**self.data, "commit": self.commit},
        }


@dataclass(frozen=True, slots=True)
class _Told:
    kind: str
    subject: str
    data: Fields = field(default_factory=dict)


def events_of(commit: LogEntry, changes: Mapping[str, tuple[Fields | None, Fields | None]]) -> tuple[Event, ...]:
    """Return what a commit did.

    Args:
        commit: who recorded it.
        changes: by path, each document that it changed, before and after; ``None`` where there was or is none.

    """
    told = [each for path in sorted(changes) for each in _of_file(path, *changes[path])]
    common: dict[str, Any] = {"by": commit.actor, "reason": commit.reason}
    if not commit.is_signed:
        common["signed"] = False  # "by" is the author that the commit names, and anybody may have written that
    return tuple(
        Event(each.kind, each.subject, {**common, **each.data}, commit.commit_id, number, commit.at)
        for number, each in enumerate(told)
    )


def _of_file(path: str, before: Fields | None, after: Fields | None) -> Iterator[_Told]:
    match path.split("/"):
        case ["catalog", bundle, version, "status.yaml"]:
            yield from _of_release(f"{bundle}@{version}", before, after or {})
        case ["channels", channel, "promotions", _]:
            yield from _of_promotion(channel, before or {}, after, before or after or {})
        case ["channels", channel, "rollouts", name]:
            yield from _of_rollout(channel, name.removesuffix(".yaml"), before, after)
        case ["channels", channel, "state.yaml"]:
            yield from _of_instructions(f"channel {channel}", before or {}, after or {}, channel=channel)
        case ["channels", channel, "policy.in-force.yaml"]:
            yield _Told(
                "channel.policy-changed" if before else "channel.added", f"channel {channel}", {"channel": channel}
            )
        case ["fleet", org, pdp, "registration.yaml"]:
            kind = "pdp.changed" if before and after else "pdp.registered" if after else "pdp.removed"
            yield _Told(
                kind, f"{org}/{pdp}", {"pdp": f"{org}/{pdp}", "channel": (after or before or {}).get("channel")}
            )
        case ["fleet", org, pdp, "decisions.yaml"]:
            yield from _of_credentials(f"{org}/{pdp}", before or {}, after or {})
            yield from _of_instructions(f"{org}/{pdp}", before or {}, after or {}, pdp=f"{org}/{pdp}")
        case ["freezes.yaml"]:
            yield from _of_freezes(before or {}, after or {})
        case ["risks", name]:
            text = (after or before or {}).get("message", "")
            data = {"risk": name.removesuffix(".yaml"), "message": text}
            yield _Told("risk.declared" if after else "risk.retracted", data["risk"], data)
        case _:
            return


def _of_release(release: str, before: Fields | None, after: Fields) -> Iterator[_Told]:
    data = {"release": release}
    if before is None:
        yield _Told("release.published", release, {**data, "signedBy": after.get("signedBy", [])})
        return
    was, now = bool(before.get("yanked")), bool(after.get("yanked"))
    if after.get("recall") and not before.get("recall"):
        yield _Told("release.recalled", release, {**data, "to": after["recall"].get("to")})
    elif now and not was:
        yield _Told("release.yanked", release, data)
    elif was and not now:
        yield _Told("release.unyanked", release, data)


def _of_promotion(channel: str, before: Fields, after: Fields | None, either: Fields) -> Iterator[_Told]:
    release = f"{either.get('bundle')}@{either.get('release')}"
    data = {"channel": channel, "release": release}
    yield from _of_overrides(release, data, before.get("overrides", ()), (after or {}).get("overrides", ()))
    if after is not None and after.get("ended") and after.get("ended") != before.get("ended"):
        ended = after["ended"]
        yield _Told("promotion.failed", release, {**data, "by": ended.get("by"), "reason": ended.get("reason")})
        return
    if after is None or (before.get("wanted") and not after.get("wanted")):
        if before.get("wanted"):
            yield _Told("promotion.cancelled", release, data)
        return
    if after.get("wanted") and not before.get("wanted"):
        yield _Told("promotion.requested", release, data)
    known = [_essence(each) for each in before.get("approvals", ())]
    for each in after.get("approvals", ()):
        if _essence(each) not in known:
            kind = "promotion.rejected" if each.get("rejects") else "promotion.approved"
            yield _Told(kind, release, {**data, "by": each.get("by")})
    if after.get("executed") and not before.get("executed"):
        gates = after["executed"].get("gates", ())
        skipped = [gate.get("gate") for gate in gates if gate.get("verdict") == "skipped"]
        yield _Told("promotion.done", release, {**data, "by": after["executed"].get("by"), "skipped": skipped})


def _of_overrides(release: str, data: Fields, before: Sequence[Fields], after: Sequence[Fields]) -> Iterator[_Told]:
    known = [_essence(each) for each in before]
    for each in after:
        if _essence(each) not in known:
            yield _Told("promotion.overridden", release, {**data, "by": each.get("by"), "gate": each.get("gate")})
    for gate in {str(each.get("gate")): None for each in before}:
        if gate not in [each.get("gate") for each in after]:
            yield _Told("promotion.override-ended", release, {**data, "gate": gate})


def _of_rollout(channel: str, bundle: str, before: Fields | None, after: Fields | None) -> Iterator[_Told]:
    if after is None:
        return
    release = f"{bundle}@{after.get('release')}"
    data = {"channel": channel, "release": release, "wave": after.get("wave")}
    same = before is not None and (before.get("release"), before.get("started")) == (
        after.get("release"),
        after.get("started"),
    )
    status = {"by": after.get("by"), "reason": after.get("reason")}
    if before is None or not same:
        yield _Told("rollout.started", release, data)
    elif before.get("status") != after.get("status"):
        kind = "resumed" if after.get("status") == "running" else after.get("status")
        if after.get("catchUp") != before.get("catchUp") and kind == "resumed":
            kind = "catching-up"
        yield _Told(f"rollout.{kind}", release, {**data, **status})
    elif before.get("wave") != after.get("wave"):
        yield _Told("rollout.wave-started", release, data)


_Naming = Callable[[Fields], str]
_KINDS: dict[str, tuple[str, str, _Naming]] = {
    "pins": ("pin", "unpin", lambda each: f"{_part(each)} within {each.get('versions')}"),
    "holds": ("hold", "unhold", lambda each: f"{_part(each)} at {each.get('release')}"),
    "consents": ("consent", "consent-ended", lambda each: f"{each.get('bundle')}@{each.get('release')}"),
    "acceptedRisks": ("risk-accepted", "risk-acceptance-ended", lambda each: str(each.get("risk"))),
}


def _of_instructions(subject: str, before: Fields, after: Fields, **data: str) -> Iterator[_Told]:
    for name, (given, ended, describe) in _KINDS.items():
        old, new = ([_essence(each) for each in side.get(name, ())] for side in (before, after))
        kind = "channel" if "channel" in data else "pdp"
        for each in after.get(name, ()):
            if _essence(each) not in old:
                more = {"what": describe(each), "until": each.get("until")}
                yield _Told(f"{kind}.{given}", subject, {**data, **more})
        for each in before.get(name, ()):
            if _essence(each) not in new:
                yield _Told(f"{kind}.{ended}", subject, {**data, "what": describe(each)})


def _of_credentials(pdp: str, before: Fields, after: Fields) -> Iterator[_Told]:
    old, new = before.get("credentials") or {}, after.get("credentials") or {}
    until, generation = new.get("previousUntil"), new.get("generation")
    data = {"pdp": pdp, "generation": generation}
    if new and old.get("generation") != generation:
        what = f"generation {generation}" + (f", the one before is good until {until}" if until else "")
        yield _Told("pdp.rotated", pdp, {**data, "what": what, "until": until})
    elif new and old.get("previousUntil") and not until:
        yield _Told("pdp.rotation-finished", pdp, {**data, "what": f"generation {generation} alone is good"})


def _of_freezes(before: Fields, after: Fields) -> Iterator[_Told]:
    old, new = ({each.get("name"): each for each in side.get("freezes", ())} for side in (before, after))
    for name, each in new.items():
        if old.get(name) != each:
            data = {"freeze": name, "scope": each.get("scope"), "until": each.get("until")}
            yield _Told("freeze.set", str(name), data)
    for name in old.keys() - new.keys():
        yield _Told("freeze.lifted", str(name), {"freeze": name, "scope": old[name].get("scope")})


def _part(each: Fields) -> str:
    return f"{each.get('bundle')}/{each['component']}" if each.get("component") else str(each.get("bundle"))


def _essence(each: Fields) -> tuple[tuple[str, str], ...]:
    """Return an entry as something that compares."""
    return tuple(sorted((name, str(value)) for name, value in each.items()))
