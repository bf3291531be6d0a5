"""Who is told what, in which form, and when again."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.domain.worlds import NOW
from ums.domain.errors import InvalidInputError
from ums.domain.feed import Event
from ums.domain.webhooks import MAX_ATTEMPTS, Format, Webhook, body_of, headers_of, next_attempt

DATA = {"channel": "stable", "by": "ums", "reason": "2 of 10 failed <!channel>"}
HALT = Event("rollout.halted", "platform@1.1.0", DATA, "c" * 40, 0, NOW)
FREEZE = Event("freeze.set", "everything", {"by": "ada", "reason": ""}, "c" * 40, 1, NOW)


def hook(**fields: Any) -> Webhook:  # noqa: ANN401 - of a webhook
    """Return a webhook."""
    return Webhook(**{"name": "chat", "url": "https://example.com/hook", "secret": "whsec_c2VjcmV0", **fields})


@pytest.mark.parametrize(
    ("fields", "halt", "freeze"),
    [
        ({}, True, True),
        ({"kinds": ("rollout",)}, True, False),
        ({"kinds": ("rollout.halted", "freeze")}, True, True),
        ({"kinds": ("roll",)}, False, False),
        ({"channels": frozenset({"stable"})}, True, True),
        ({"channels": frozenset({"edge"})}, False, True),
    ],
)
def test_each_is_told_what_it_asked_for(fields: dict[str, Any], *, halt: bool, freeze: bool) -> None:
    """What concerns no channel concerns everybody."""
    assert (hook(**fields).wants(HALT), hook(**fields).wants(FREEZE)) == (halt, freeze)


@pytest.mark.parametrize(
    "fields",
    [
        {"url": "http://example.com"},
        {"url": "ftp://example.com", "private": True},
        {"url": "https://"},
        {"url": "https://user:password@example.com"},
        {"name": "A b"},
    ],
)
def test_a_webhook_that_cannot_work_is_refused(fields: dict[str, Any]) -> None:
    """Its URL is not repeated: it may hold a secret."""
    with pytest.raises(InvalidInputError) as caught:
        hook(**fields)
    assert "password" not in str(caught.value)
    assert hook(url="http://chat.internal:8080/x", private=True).private


def test_a_delivery_is_signed_as_standard_webhooks_say() -> None:
    """Over its id, the time and the body."""
    body = body_of(HALT, Format.CLOUDEVENTS, source="https://ums.example.com")
    headers = headers_of(hook(), "id-1", body, at=NOW)
    signed = b"id-1." + headers["webhook-timestamp"].encode() + b"." + body
    expected = base64.b64encode(hmac.new(b"secret", signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert int(headers["webhook-timestamp"]) == int(NOW.timestamp())
    assert headers["Content-Type"] == "application/cloudevents+json"
    assert json.loads(body)["type"] == "dev.ums.rollout.halted"


def test_a_chat_is_told_in_words_and_nobody_is_called_by_them() -> None:
    """People choose reasons; none of them becomes a mention or a link."""
    text = json.loads(body_of(HALT, Format.SLACK, source="x"))["text"]
    assert text == "*rollout.halted* platform@1.1.0 in stable (ums – 2 of 10 failed &lt;!channel&gt;)"
    assert json.loads(body_of(FREEZE, Format.SLACK, source="x"))["text"] == "*freeze.set* everything (ada)"


def test_attempts_become_rare_and_end() -> None:
    """After about a day."""
    waits = []
    for attempts in range(1, MAX_ATTEMPTS):
        at = next_attempt(attempts, NOW)
        assert at is not None
        waits.append(at - NOW)
    assert waits[:3] == [timedelta(seconds=10), timedelta(seconds=20), timedelta(seconds=40)]
    assert waits == sorted(waits)
    assert timedelta(hours=20) < sum(waits, timedelta()) < timedelta(hours=28)
    assert next_attempt(MAX_ATTEMPTS, NOW) is None
