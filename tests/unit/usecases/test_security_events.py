"""What leaves a security event: acts together with theirs, refusals within bounds, and no secret ever."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.unit.usecases.stage import ADMIN, PROD, SettableClock, Stage
from ums.adapters.sql_security_log import SqlSecurityLog
from ums.adapters.sql_store import SqlStore
from ums.domain.errors import ConflictError, NotFoundError, StorageError, UmsError, UnauthenticatedError
from ums.domain.identity import Holder
from ums.domain.security_log import Entry, Origin, SecurityEvent, SecurityKind
from ums.domain.webhooks import Webhook
from ums.usecases.security_events import SecurityEvents
from ums.usecases.webhooks import make_secret

CI = Holder("ci", frozenset({"publisher"}), bundles=frozenset({"platform"}))
MINUTE = timedelta(minutes=1)


class Breaking(SqlSecurityLog):
    """A log whose database refuses rows for a while."""

    broken = False

    def append(self, event: SecurityEvent) -> Entry:
        """Add an event, or refuse."""
        if self.broken:
            raise StorageError("the disk is full")
        return super().append(event)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Give a service."""
    made = Stage(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def log() -> Iterator[Breaking]:
    """Give a log on its own."""
    store = SqlStore("sqlite://")
    yield Breaking(store.database)
    store.close()


def told(stage: Stage) -> list[tuple[str, str]]:
    """Return what happened and who did it, oldest first."""
    return [(each.kind, each.subject) for each in stage.services.security.log.read(after=0, limit=99)]


def last(stage: Stage) -> str:
    """Return the details of the newest event."""
    return stage.services.security.log.newest(limit=1)[0].what


def test_a_token_is_told_of_from_its_issue_to_its_end(stage: Stage) -> None:
    """Its first use but no other, and uses after its end; by its id alone."""
    services = stage.services
    token = services.issue_token(CI, expires=stage.clock.now() + MINUTE, by=ADMIN)
    issued = last(stage)
    assert '"bundles":["platform"]' in issued
    assert '"expires":"2026-11-23T12:01:00Z"' in issued
    for _ in range(3):
        services.authenticate(token)
    stage.clock.advance(MINUTE)
    for _ in range(3):
        with pytest.raises(UnauthenticatedError):
            services.authenticate(token)
    (known,) = services.manage_tokens.list(by=ADMIN)
    services.manage_tokens.revoke(known.id, by=ADMIN)
    with pytest.raises(NotFoundError):
        services.manage_tokens.revoke(known.id, by=ADMIN)
    assert told(stage) == [
        ("token.issued", "ada"),
        ("token.first-used", "ci"),
        ("token.expired", "ci"),
        ("token.revoked", "ada"),
    ]
    assert all(known.id in each.what for each in services.security.log.read(after=0, limit=9))


def test_what_cannot_be_told_of_does_not_happen(stage: Stage) -> None:
    """A token that nobody would know of is not issued, and none is ended without a trace."""
    services = stage.services
    services.security.log = broken = Breaking(stage.store.database)
    services.issue_token(CI, expires=None, by=ADMIN)
    (known,) = services.manage_tokens.list(by=ADMIN)
    stage.add_plane()
    stage.publish("1.0.0")
    stage.promote("1.0.0")
    broken.broken = True
    hook = Webhook("chat", "https://example.com", make_secret())
    for act in (
        lambda: services.issue_token(CI, expires=None, by=ADMIN),
        lambda: services.manage_tokens.revoke(known.id, by=ADMIN),
        lambda: services.manage_webhooks.add(hook, by=ADMIN),
        lambda: services.bootstrap_data_plane(PROD, by=ADMIN),
    ):
        with pytest.raises(StorageError):
            act()
    assert services.manage_tokens.list(by=ADMIN) == [known]
    assert services.manage_webhooks.list(by=ADMIN) == []


def test_webhooks_and_secrets_that_are_shown_are_told_of(stage: Stage) -> None:
    """Without the secrets, or where a webhook leads."""
    stage.add_plane()
    stage.publish("1.0.0")
    stage.promote("1.0.0")
    manage, hook = stage.services.manage_webhooks, Webhook("chat", "https://example.com/s3cret", make_secret())
    manage.add(hook, by=ADMIN)
    with pytest.raises(ConflictError):
        manage.add(hook, by=ADMIN)
    manage.remove("chat", by=ADMIN)
    stage.services.bootstrap_data_plane(PROD, by=ADMIN)
    assert told(stage) == [("webhook.added", "ada"), ("webhook.removed", "ada"), ("data-plane.bootstrapped", "ada")]
    text = " ".join(each.what for each in stage.services.security.log.read(after=0, limit=9))
    assert '"pdp":"acme/prod"' in text
    assert not any(secret in text for secret in ("s3cret", hook.secret))


def test_a_credential_that_is_refused_is_told_of_by_what_it_claims(stage: Stage) -> None:
    """If that can be a data plane's name: any other may be a token in the wrong field."""
    stage.add_plane()
    for user in ("acme/prod", "ums_a-token-in-the-wrong-field", ""):
        with pytest.raises(UnauthenticatedError):
            stage.services.authenticate("ums_guess", user=user)
    with pytest.raises(UnauthenticatedError):
        stage.services.authenticate_plane.by_signature(PROD, b"{}", "sha256=00")
    right = stage.services.bootstrap_data_plane(PROD, by=ADMIN)
    key = next(each["stringData"]["token"] for each in right if "token" in each.get("stringData", {}))
    stage.services.authenticate_plane.by_signature(
        PROD, b"{}", "sha256=" + hmac.new(key.encode(), b"{}", hashlib.sha256).hexdigest()
    )
    assert told(stage) == [
        ("data-plane.refused", ""),
        ("authentication.failed", ""),
        ("data-plane.bootstrapped", "ada"),
    ]
    stage.clock.advance(MINUTE)
    assert stage.services.security.flush() == 2
    text = " ".join(each.what for each in stage.services.security.log.read(after=0, limit=9))
    assert "acme/prod" in text
    assert "ums_" not in text


def test_a_flood_is_one_entry_a_minute(log: Breaking) -> None:
    """The first is told at once, the others together; each source on its own, and when it ends nothing more."""
    clock, here = SettableClock(), Origin("192.0.2.1")
    security = SecurityEvents(log, clock, lambda: here)
    for number in range(1000):
        security.note(SecurityKind.AUTHENTICATION_FAILED, number=number)
    here = Origin("192.0.2.2", "r2")
    security.note(SecurityKind.AUTHENTICATION_FAILED)
    assert [(each.address, each.what) for each in log.read(after=0, limit=9)] == [
        ("192.0.2.1", '{"number":0}'),
        ("192.0.2.2", "{}"),
    ]
    assert security.flush() == 0
    clock.advance(MINUTE)
    assert [security.flush(), security.flush()] == [1, 0]
    (entry,) = log.newest(limit=1)
    assert (entry.address, entry.what) == (
        "192.0.2.1",
        '{"count":999,"number":999,"since":"2026-11-23T12:00:00Z"}',
    )
    clock.advance(MINUTE)
    assert security.flush() == 0
    security.note(SecurityKind.AUTHENTICATION_FAILED)
    assert log.newest(limit=1)[0].what == "{}"


def test_a_flood_from_everywhere_is_bounded_and_hides_nobody(log: Breaking) -> None:
    """Addresses are free; who is proven to be somebody stays told apart."""
    clock, here = SettableClock(), Origin()
    security = SecurityEvents(log, clock, lambda: here)
    for number in range(3000):
        here = Origin(f"2001:db8::{number:x}", f"r{number}")
        security.note(SecurityKind.AUTHENTICATION_FAILED)
    security.note(SecurityKind.PERMISSION_DENIED, subject="sam")
    assert len(log.read(after=0, limit=999)) == 52
    assert (log.newest(limit=1)[0].subject, log.newest(limit=1)[0].address) == ("sam", here.address)
    clock.advance(MINUTE)
    assert security.flush() == 1
    assert '"count":2949' in log.newest(limit=1)[0].what
    assert '"sources":"many"' in log.newest(limit=1)[0].what


def test_a_log_that_refuses_fails_no_request_and_forgets_nothing(log: Breaking) -> None:
    """What it could not keep is counted, and told once it can."""
    clock = SettableClock()
    security = SecurityEvents(log, clock)
    log.broken = True
    for _ in range(5):
        security.note(SecurityKind.PERMISSION_DENIED, subject="sam", request="GET /api/v1/tokens")
    clock.advance(MINUTE)
    assert security.flush() == 0
    security.note(SecurityKind.PERMISSION_DENIED, subject="sam", request="GET /api/v1/tokens")
    log.broken = False
    clock.advance(MINUTE)
    assert security.flush() == 1
    (entry,) = log.read(after=0, limit=9)
    assert '"count":6' in entry.what


def test_a_commit_goes_on_where_the_log_does_not_answer(log: Breaking, monkeypatch: pytest.MonkeyPatch) -> None:
    """It then names nothing."""
    security = SecurityEvents(log, SettableClock())
    entry = log.append(security._event(SecurityKind.LOGIN, "ada", {}, Origin()))
    anchor = security.anchor()
    assert anchor is not None
    assert (anchor.seq, anchor.hash) == (entry.seq, entry.hash)

    def refuse() -> None:
        raise UmsError("gone")

    monkeypatch.setattr(log, "head", refuse)
    assert security.anchor() is None
