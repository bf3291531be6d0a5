"""What an event of Flux's notification-controller says about a data plane.

Source: Flux event v1beta1. Reports are states: the newest wins, and one seen before changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self

from ums.domain.errors import InvalidInputError
from ums.domain.fleet import Health, Report
from ums.domain.instants import parse_instant
from ums.domain.rendering import NAMESPACE, ROOT, SOURCE
from ums.domain.text import MULTI_LINE, plain

MAX_MESSAGE = 2000
MAX_NAME = 253
"""Of a Kubernetes object."""
_COMMIT = re.compile(r"(?:^|([a-z]*)@)sha1:([0-9a-f]{40})$")
_APPLIED = frozenset({"ReconciliationSucceeded", "HealthCheckFailed"})
"""What the root says after it applied everything; health is checked last (kustomize-controller)."""
_WAITING = frozenset({"DependencyNotReady", "Progressing", "ProgressingWithRetry"})


@dataclass(frozen=True, slots=True)
class FluxEvent:
    """The members that UMS looks at.

    Attributes:
        commit_id: what it is about, where that is said.
        branch: which it stands on; empty where that is not said.

    """

    kind: str
    name: str
    severity: str
    reason: str
    message: str
    at: datetime
    commit_id: str | None
    branch: str = ""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the body of an event.

        Raises:
            InvalidInputError: it is no event, or about an object that is none of ours.

        """
        try:
            involved = data["involvedObject"]
            kind, name, namespace = involved["kind"], involved["name"], involved["namespace"]
            metadata = data.get("metadata") or {}
            revision = next((str(metadata[key]) for key in metadata if key.split("/")[-1] == "revision"), "")
            match = _COMMIT.search(revision)
            event = cls(
                kind=str(kind),
                name=_clean(name, MAX_NAME),
                severity=str(data["severity"]),
                reason=str(data["reason"]),
                message=_clean(data.get("message", ""), MAX_MESSAGE),
                at=parse_instant(str(data["timestamp"])),
                commit_id=match[2] if match else None,
                branch=(match[1] or "") if match else "",
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise InvalidInputError(f"not a Flux event: {error}") from error
        if namespace != NAMESPACE or event.kind not in {"GitRepository", "Kustomization"}:
            raise InvalidInputError(f"an event about {kind} {namespace}/{name}, which is none of ours")
        return event


def _clean(value: object, limit: int) -> str:
    """Return text that every database takes, and every terminal: JSON can carry halves of characters, and escapes."""
    return plain(str(value)[:limit], keep=MULTI_LINE)[:limit]


def report_of(
    event: FluxEvent, *, serial: int | None, known: Report | None, heard: datetime, silent_after: timedelta
) -> Report | None:
    """Return the state an event reports, or ``None`` when it reports none.

    Only the root can say that all is well: it waits for every wrapper. Wrappers say what failed, and the
    source says that it could not even be read; it names no revision then, so the last serial known stands.

    ``silent_after`` is the fleet's: how long after one report of many the next may take.
    """
    is_root = (event.kind, event.name) == ("Kustomization", ROOT)
    is_source = (event.kind, event.name) == ("GitRepository", SOURCE)
    if is_source:
        if event.severity != "error":
            return None
        serial = known.serial if known else 0
    if serial is None:
        return None
    if event.reason in _WAITING:
        if not is_root:
            return None
        health = Health.UPDATING
    elif event.severity == "error":
        health = Health.FAILED
    elif is_root and event.reason == "ReconciliationSucceeded":
        health = Health.HEALTHY
    else:
        return None
    component = "" if is_root else event.name
    applied = is_root and event.reason in _APPLIED
    report = Report(serial, health, event.message, component, event.at, heard, applied=applied)
    return report if known is None else merged(report, known, silent_after)


def merged(new: Report, known: Report, silent_after: timedelta) -> Report | None:
    """Return what is to be kept now that ``new`` came after ``known``, or ``None`` if nothing new was learnt.

    A wrapper's failure and the root's, of one cause, follow each other: the one that names the component stays. That
    an offer was applied stays true while nothing newer is offered.

    Whoever says again in time that all is well, of the same serial, reports at an interval: from then on silence means
    something. That a report came later than it should have ends this until it is seen again.
    """
    if not new.is_newer_than(known):
        # Heard late, it still tells that the offer was applied.
        late = new.serial == known.serial and new.applied and not known.applied
        return replace(known, applied=True) if late else None
    gap, beat = new.heard - known.heard, known.silent_after
    if new.serial == known.serial and new.health is known.health is Health.HEALTHY:
        beat = silent_after
    beat = beat if beat is not None and gap <= beat else None
    if new.serial != known.serial:
        return replace(new, silent_after=beat)
    applied = new.applied or known.applied
    if new.health is known.health is Health.FAILED and known.component and not new.component:
        return replace(known, at=new.at, heard=new.heard, applied=applied, silent_after=beat)
    return replace(new, applied=applied, silent_after=beat)
