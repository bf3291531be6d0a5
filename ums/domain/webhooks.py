"""Telling other systems what happened: who is told what, in which form, and when to try again.

Signed as Standard Webhooks say (webhook-id, webhook-timestamp, webhook-signature), so that receivers have libraries.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from ums.domain.addresses import is_public, parse_target
from ums.domain.errors import InvalidInputError
from ums.domain.feed import Event
from ums.domain.instants import to_text
from ums.domain.names import check_name

_FIRST_WAIT = timedelta(seconds=10)
_DOUBLINGS = 10
_LONGEST_WAIT = timedelta(hours=1)
MAX_ATTEMPTS = 30
"""About a day."""


SECRET_PREFIX = "whsec_"  # noqa: S105 - what all begin with


class Format(StrEnum):
    """What a receiver understands."""

    CLOUDEVENTS = "cloudevents"
    SLACK = "slack"


@dataclass(frozen=True, slots=True)
class Webhook:
    """Who is told what.

    Attributes:
        url: where to post; it may hold a secret itself, so it is shown to nobody but admins.
        secret: what deliveries are signed with, ``whsec_`` and base64.
        kinds: such as ``rollout`` or ``rollout.halted``; empty means all.
        channels: only what concerns these, and what concerns none; empty means all.
        private: the receiver may be at an address that is not public.

    """

    name: str
    url: str
    secret: str
    kinds: tuple[str, ...] = ()
    channels: frozenset[str] = frozenset()
    form: Format = Format.CLOUDEVENTS
    private: bool = False

    def __post_init__(self) -> None:
        check_name(self.name, "webhook name")
        target = parse_target(self.url)
        if self.private:
            return
        if target.scheme != "https":
            raise InvalidInputError("the URL cannot be used: it is not https", hint="http only with --private")
        if target.address is not None and not is_public(target.address):
            raise InvalidInputError(
                "the URL cannot be used: its address is not a public one", hint="allow it: ums webhook add --private"
            )

    def wants(self, event: Event) -> bool:
        """Return whether its receiver is to be told of an event."""
        kind = f"{event.kind}."
        channel = event.data.get("channel")
        asked = not self.kinds or any(kind.startswith(f"{each}.") for each in self.kinds)
        return asked and (not self.channels or channel is None or channel in self.channels)


def body_of(event: Event, form: Format, *, source: str) -> bytes:
    """Return what is posted."""
    cloud_event = event.to_dict(source)
    return json.dumps(cloud_event if form is Format.CLOUDEVENTS else _slack(event), ensure_ascii=False).encode()


def _slack(event: Event) -> dict[str, Any]:
    data = event.data
    where = f" in {data['channel']}" if data.get("channel") else ""
    what = f": {data['what']}" if data.get("what") else ""
    why = f" – {data['reason']}" if data.get("reason") else ""
    text = f"*{event.kind}* {event.subject}{where}{what} ({data.get('by')}{why})"
    return {"text": _escaped(text)}


def _escaped(text: str) -> str:
    """Return text in which nothing is a mention or a link: people choose names and reasons."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def headers_of(webhook: Webhook, delivery_id: str, body: bytes, *, at: datetime) -> Mapping[str, str]:
    """Return the headers of a delivery, with its signature."""
    seconds = str(int(at.timestamp()))
    signed = hmac.new(key_of(webhook.secret), b".".join((delivery_id.encode(), seconds.encode(), body)), hashlib.sha256)
    json_type = "application/cloudevents+json" if webhook.form is Format.CLOUDEVENTS else "application/json"
    return {
        "Content-Type": json_type,
        "webhook-id": delivery_id,
        "webhook-timestamp": seconds,
        "webhook-signature": f"v1,{base64.b64encode(signed.digest()).decode()}",
    }


def key_of(secret: str) -> bytes:
    """Return the key that a secret stands for.

    Raises:
        InvalidInputError: it is none.

    """
    try:
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError as error:
        raise InvalidInputError("the webhook's secret is not whsec_ and base64") from error


def next_attempt(attempts: int, now: datetime) -> datetime | None:
    """Return when to try again after so many attempts that failed, or ``None``: never."""
    if attempts >= MAX_ATTEMPTS:
        return None
    doubled: timedelta = _FIRST_WAIT * (1 << min(attempts - 1, _DOUBLINGS))
    return now + min(doubled, _LONGEST_WAIT)


class Status(StrEnum):
    """How far a delivery is."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one receiver.

    Attributes:
        id: ``None`` before it was queued.
        due: when it is tried next.
        error: why the last attempt failed, or the empty string.

    """

    webhook: str
    event_id: str
    kind: str
    subject: str
    body: str
    due: datetime
    status: Status = Status.PENDING
    attempts: int = 0
    error: str = ""
    id: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the form used in API answers, without what was posted."""
        return {
            "id": self.id,
            "webhook": self.webhook,
            "event": self.event_id,
            "kind": self.kind,
            "subject": self.subject,
            "status": self.status.value,
            "attempts": self.attempts,
            "due": to_text(self.due) if self.status is Status.PENDING else None,
            "error": self.error,
        }
