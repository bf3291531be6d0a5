"""What every queue of webhooks does, on each database."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.contract.places import Place
from ums.adapters import sealing
from ums.adapters.sql_webhooks import SqlWebhooks
from ums.domain.webhooks import Delivery, Format, Status, Webhook
from ums.ports import WebhookQueue

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
CHAT = Webhook("chat", "https://example.com/x", "whsec_c2VjcmV0", ("rollout",), frozenset({"stable"}), Format.SLACK)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def queue(place: Place) -> Iterator[WebhookQueue]:
    """Give a queue with one webhook."""
    store = place.open()
    made = SqlWebhooks(store.database)
    assert made.add(CHAT, told="a")
    yield made
    store.close()


def news(number: int, at: datetime = NOW) -> Delivery:
    """Return something to tell."""
    return Delivery("chat", f"{'c' * 40}-{number}", "rollout.halted", "platform@1.1.0", '{"ü": 1}', at)


def test_webhooks_read_as_they_were_kept_and_names_are_taken_once(queue: WebhookQueue) -> None:
    """With where they are."""
    assert not queue.add(replace(CHAT, url="https://other.example.com"), told="b")
    assert queue.webhooks() == [(CHAT, "a")]
    assert queue.remove("chat")
    assert not queue.remove("chat")
    assert queue.webhooks() == []


def test_news_is_queued_once_whoever_else_read_it(queue: WebhookQueue) -> None:
    """Two replicas read the same commits; the second finds them told."""
    assert queue.enqueue("chat", [news(1), news(2)], was="a", told="b")
    assert not queue.enqueue("chat", [news(1), news(2)], was="a", told="b")
    assert queue.enqueue("chat", [news(2), news(3)], was="b", told="c")
    assert [each.event_id[-1] for each in queue.deliveries("chat", limit=9)] == ["3", "2", "1"]
    assert queue.webhooks() == [(CHAT, "c")]


def test_what_nobody_decided_is_told_once_and_remembered(queue: WebhookQueue) -> None:
    """Whoever else noticed it; what is over is forgotten, and may come again."""
    assert queue.notice(["pdp.failed acme/prod 1", "b"], [], [news(1)])
    assert not queue.notice(["c", "b"], [], [news(2)])
    assert queue.noticed() == {"pdp.failed acme/prod 1", "b"}
    assert queue.notice([], ["b"], [news(3)])
    assert queue.noticed() == {"pdp.failed acme/prod 1"}
    assert [each.event_id[-1] for each in queue.deliveries("chat", limit=9)] == ["3", "1"]


def test_what_one_took_no_other_takes_for_a_while(queue: WebhookQueue) -> None:
    """Many at once share it out; what was not settled comes again."""
    queue.enqueue("chat", [news(number) for number in range(20)], was="a", told="b")
    with ThreadPoolExecutor(4) as pool:
        taken = [each.id for found in pool.map(lambda _: queue.claim(NOW, limit=5), range(4)) for each in found]
    assert len(set(taken)) == len(taken) == 20
    assert not queue.claim(NOW + MINUTE / 2, limit=99)
    assert len(queue.claim(NOW + MINUTE, limit=99)) == 20


def test_a_delivery_is_settled_and_can_be_asked_for_again(queue: WebhookQueue) -> None:
    """Through, or to be tried later; what is old and through is dropped."""
    queue.enqueue("chat", [news(1), news(2)], was="a", told="b")
    first, second = queue.claim(NOW, limit=9)
    queue.settle(replace(first, status=Status.DELIVERED, attempts=1))
    later = replace(second, attempts=1, due=NOW + 5 * MINUTE, error="x" * 999)
    queue.settle(later)
    assert queue.deliveries("chat", limit=1) == [replace(later, error="x" * 300)]
    assert not queue.claim(NOW + 4 * MINUTE, limit=9)
    assert [each.id for each in queue.claim(NOW + 5 * MINUTE, limit=9)] == [second.id]
    assert first.id is not None
    assert queue.replay(first.id, now=NOW)
    assert [each.id for each in queue.claim(NOW, limit=9)] == [first.id]
    assert not queue.replay(10**6, now=NOW)
    queue.settle(replace(first, status=Status.FAILED))
    assert queue.prune(before=NOW + MINUTE) == 1
    assert [each.id for each in queue.deliveries("chat", limit=9)] == [second.id]


def test_a_webhook_that_cannot_be_read_keeps_nothing_from_the_others(place: Place, queue: WebhookQueue) -> None:
    """Somebody moved what is encrypted for one receiver to another, or wrote it in clear."""
    for name in ("moved", "clear"):
        assert queue.add(replace(CHAT, name=name), told="a")
    place.run(
        "UPDATE webhooks SET secret = (SELECT secret FROM webhooks WHERE name = 'chat') WHERE name = 'moved'",
        "UPDATE webhooks SET url = 'https://mallory.example.com/' WHERE name = 'clear'",
    )
    assert queue.webhooks() == [(CHAT, "a")]
    assert queue.remove("moved")
    assert queue.remove("clear")


def test_a_webhook_that_is_left_out_is_logged_once_for_each_cause(
    place: Place, queue: WebhookQueue, caplog: pytest.LogCaptureFixture
) -> None:
    """Webhooks are read every few seconds; another cause, or the same after it was mended, is said again."""
    assert queue.add(replace(CHAT, name="other"), told="a")

    def logged(*changes: str) -> int:
        caplog.clear()
        place.run(*changes)
        for _ in range(3):
            queue.webhooks()
        return len(caplog.records)

    assert logged() == 0
    assert logged("UPDATE webhooks SET kinds = 'null' WHERE name = 'other'") == 1
    assert logged() == 0
    assert logged("UPDATE webhooks SET kinds = '[]', url = secret WHERE name = 'other'") == 1
    assert queue.remove("other")
    assert logged() == 0
    assert queue.add(replace(CHAT, name="other"), told="a")
    assert logged("UPDATE webhooks SET kinds = 'null' WHERE name = 'other'") == 1
    assert queue.webhooks() == [(CHAT, "a")]


def test_without_the_place_in_it_what_is_sealed_opens_anywhere(
    place: Place, queue: WebhookQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The defence switched off: a receiver's URL takes the place of another's, and nothing tells."""
    monkeypatch.setattr(sealing, "_bound", lambda _: b"")
    for name in ("mallory", "target"):
        assert queue.add(replace(CHAT, name=name, url=f"https://{name}.example.com/"), told="a")
    place.run("UPDATE webhooks SET url = (SELECT url FROM webhooks WHERE name = 'mallory') WHERE name = 'target'")
    assert "https://mallory.example.com/" in [each.url for each, _ in queue.webhooks() if each.name == "target"]
