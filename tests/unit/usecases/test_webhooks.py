"""Telling others what happens: nothing is lost, nothing is told to who did not ask."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.usecases.stage import ADMIN, PROD, Stage
from ums.domain.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    StorageError,
    UnavailableError,
)
from ums.domain.fleet import Health
from ums.domain.freezes import Scope
from ums.domain.identity import Holder
from ums.domain.webhooks import MAX_ATTEMPTS, Status, Webhook
from ums.usecases.instruct import Why
from ums.usecases.webhooks import KEPT, make_secret

WHY = Why(ADMIN, "incident")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return a service with a chat that is told of freezes."""
    made = Stage(tmp_path)
    made.add_plane()
    made.services.manage_webhooks.add(hook("chat", kinds=("freeze",)), by=ADMIN)
    return made


def hook(name: str, **fields: Any) -> Webhook:  # noqa: ANN401 - of a webhook
    """Return a webhook."""
    return Webhook(name, f"https://{name}.example.com", make_secret(), **fields)


def freeze(stage: Stage, name: str = "all") -> None:
    """Let something happen."""
    stage.services.freeze_fleet.freeze(name, Scope(), WHY)


def told(stage: Stage) -> list[tuple[str, str]]:
    """Return who was told of what, in its order."""
    return [(url, json.loads(body)["subject"]) for url, body, _ in stage.sender.posted]


def test_each_is_told_what_it_asked_for_and_nothing_from_before(stage: Stage) -> None:
    """Once, whoever else asks the job to run."""
    freeze(stage, "first")
    stage.services.manage_webhooks.add(hook("audit"), by=ADMIN)
    stage.services.freeze_fleet.thaw("first", WHY)
    freeze(stage, "second")
    for _ in range(3):
        stage.services.deliver_webhooks()
    assert sorted(told(stage)) == [
        ("https://audit.example.com", "first"),
        ("https://audit.example.com", "second"),
        ("https://chat.example.com", "first"),
        ("https://chat.example.com", "first"),
        ("https://chat.example.com", "second"),
    ]


def test_what_is_not_taken_is_sent_again_with_the_same_id(stage: Stage) -> None:
    """Later and later; after its end it can still be asked for."""
    manage, deliver = stage.services.manage_webhooks, stage.services.deliver_webhooks
    freeze(stage)
    stage.sender.broken = "chat.example.com answered 500"
    deliver()
    (failing,) = manage.deliveries("chat", limit=5, by=ADMIN)
    assert (failing.status, failing.attempts, failing.error) == (Status.PENDING, 1, "chat.example.com answered 500")
    deliver()
    assert manage.deliveries("chat", limit=5, by=ADMIN)[0].attempts == 1, "it is not due yet"
    stage.clock.advance(timedelta(seconds=10))
    deliver()
    assert manage.deliveries("chat", limit=5, by=ADMIN)[0].attempts == 2
    for _ in range(MAX_ATTEMPTS):
        stage.clock.advance(timedelta(hours=1))
        deliver()
    (given_up,) = manage.deliveries("chat", limit=5, by=ADMIN)
    assert (given_up.status, given_up.attempts) == (Status.FAILED, MAX_ATTEMPTS)
    stage.sender.broken = ""
    assert given_up.id is not None
    manage.replay(given_up.id, by=ADMIN)
    assert deliver() == 1
    ((_, body, headers),) = stage.sender.posted
    assert headers["webhook-id"] == json.loads(body)["id"] == given_up.event_id
    stage.clock.advance(KEPT + timedelta(hours=1))
    deliver()
    assert not manage.deliveries("chat", limit=5, by=ADMIN)


def test_a_process_that_dies_in_between_loses_nothing(stage: Stage) -> None:
    """What it took comes back after a minute; until then nobody sends it twice."""
    freeze(stage)
    deliver = stage.services.deliver_webhooks
    webhook, at = deliver.queue.webhooks()[0]
    deliver._queue_news(webhook, at)
    assert len(deliver.queue.claim(stage.clock.now(), limit=9)) == 1  # and there it died
    assert deliver() == 0
    stage.clock.advance(timedelta(seconds=61))
    assert deliver() == 1


def test_a_history_that_was_replaced_begins_anew(stage: Stage) -> None:
    """What lies between cannot be told; what comes can."""
    queue = stage.services.deliver_webhooks.queue
    queue.remove("chat")
    queue.add(hook("chat"), told="0" * 40)
    stage.services.deliver_webhooks()
    freeze(stage)
    assert stage.services.deliver_webhooks() == 1


def test_what_data_planes_report_is_told_once(stage: Stage) -> None:
    """That one failed, and is well again; whatever runs the job, and to whoever asked for it."""
    stage.services.manage_webhooks.add(hook("pager", kinds=("pdp",)), by=ADMIN)
    stage.publish("1.0.0")
    stage.promote("1.0.0")
    stage.services.reconcile()
    stage.hear(Health.FAILED, PROD)
    assert [stage.services.take_notice() for _ in range(2)] == [1, 0]
    stage.clock.advance(timedelta(minutes=1))
    stage.hear(Health.HEALTHY, PROD)
    assert stage.services.take_notice() == 1
    stage.services.deliver_webhooks()
    said = [(json.loads(body)["type"], json.loads(body)["subject"]) for _, body, _ in stage.sender.posted]
    assert said == [("dev.ums.pdp.failed", "acme/prod"), ("dev.ums.pdp.recovered", "acme/prod")]


def test_only_admins_see_and_change_webhooks(stage: Stage) -> None:
    """Not even admins of an organization: a webhook is told of all of them."""
    manage = stage.services.manage_webhooks
    for by in (
        Holder("erik", frozenset({"release-engineer"})).identity,
        Holder("o", ADMIN.groups, orgs=frozenset({"acme"})).identity,
    ):
        for act in (
            lambda by=by: manage.list(by=by),
            lambda by=by: manage.add(hook("x"), by=by),
            lambda by=by: manage.remove("chat", by=by),
            lambda by=by: manage.deliveries("chat", limit=1, by=by),
            lambda by=by: manage.replay(1, by=by),
        ):
            with pytest.raises(ForbiddenError):
                act()
    with pytest.raises(ConflictError):
        manage.add(hook("chat"), by=ADMIN)
    with pytest.raises(NotFoundError):
        manage.remove("none", by=ADMIN)
    with pytest.raises(NotFoundError):
        manage.replay(99, by=ADMIN)
    manage.remove("chat", by=ADMIN)
    assert manage.list(by=ADMIN) == []


class Trouble:
    """Takes what is for others, and has trouble with one; ``seconds`` is how long that takes."""

    def __init__(self, stage: Stage, error: Exception, seconds: int = 0) -> None:
        self.stage, self.error, self.seconds = stage, error, seconds
        self.tried = 0
        self.posted: list[str] = []

    def send(self, url: str, body: bytes, headers: Mapping[str, str], *, private: bool) -> int:  # noqa: ARG002 - a port
        """Post."""
        if url == "https://chat.example.com":
            self.tried += 1
            self.stage.clock.advance(timedelta(seconds=self.seconds))
            raise self.error
        self.posted.append(url)
        return 200


@pytest.mark.parametrize(
    "error",
    [
        ValueError("Port out of range 0-65535"),
        UnicodeError("label too long"),
        RecursionError(),
        InvalidInputError("no"),
        UnavailableError("bad\x00text"),
        StorageError("not the database's"),
    ],
)
def test_whatever_happens_to_one_delivery_happens_to_no_other(stage: Stage, error: Exception) -> None:
    """It is tried again later, as any that fails; who comes after it is told at once."""
    stage.services.manage_webhooks.add(hook("other", kinds=("freeze",)), by=ADMIN)
    freeze(stage)
    sender = Trouble(stage, error)
    assert replace(stage.services.deliver_webhooks, sender=sender)() == 1
    assert sender.posted == ["https://other.example.com"]
    (failing,) = stage.services.manage_webhooks.deliveries("chat", limit=5, by=ADMIN)
    assert (failing.status, failing.attempts) == (Status.PENDING, 1)
    assert failing.due > stage.clock.now()
    assert failing.error.isprintable()
    assert failing.error


def test_a_slow_receiver_with_much_to_take_holds_up_others_for_one_turn(stage: Stage) -> None:
    """However much is due to it: what is left of its turn comes with the next ones."""
    stage.services.manage_webhooks.add(hook("other", kinds=("freeze",)), by=ADMIN)
    for number in range(30):
        freeze(stage, f"f{number}")
    sender = Trouble(stage, UnavailableError("slow"), seconds=15)
    began = stage.clock.now()
    replace(stage.services.deliver_webhooks, sender=sender)()
    assert sender.tried == 2
    assert len(sender.posted) == 20
    assert stage.clock.now() - began <= timedelta(seconds=40)


def test_what_always_fails_with_one_webhook_is_logged_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The job runs every few seconds."""
    stage.services.manage_webhooks.add(hook("audit"), by=ADMIN)
    queue = type(stage.services.deliver_webhooks.queue)
    claim = queue.claim

    def failing(self: Any, now: Any, *, limit: int, webhook: str | None = None) -> Any:  # noqa: ANN401
        if webhook == "audit":
            raise ValueError("unforeseen")
        return claim(self, now, limit=limit, webhook=webhook)

    def logged() -> int:
        caplog.clear()
        for _ in range(3):
            stage.services.deliver_webhooks()
        return len(caplog.records)

    monkeypatch.setattr(queue, "claim", failing)
    freeze(stage)
    assert logged() == 1
    assert told(stage) == [("https://chat.example.com", "all")]
    assert logged() == 0
    monkeypatch.setattr(queue, "claim", claim)
    assert logged() == 0
    monkeypatch.setattr(queue, "claim", failing)
    assert logged() == 1
