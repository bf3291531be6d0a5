"""How often somebody may do something."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from ums.domain.errors import TooManyRequestsError
from ums.domain.throttling import Rate, Throttle, client_key

NOW = datetime(2026, 11, 23, tzinfo=UTC)
NOTHING = timedelta(0)
RATE = Rate(3, timedelta(seconds=10))


def seconds(number: float) -> timedelta:
    """Return a span."""
    return timedelta(seconds=number)


def test_a_burst_and_then_one_at_a_time() -> None:
    """And it is told how long to wait, which is then long enough."""
    throttle = Throttle(RATE)
    assert [throttle.take("a", NOW) for _ in range(4)] == [NOTHING, NOTHING, NOTHING, seconds(10)]
    assert throttle.take("a", NOW + seconds(4)) == seconds(6)
    assert throttle.take("a", NOW + seconds(10)) == NOTHING
    assert throttle.take("a", NOW + seconds(10)) == seconds(10)


def test_a_bucket_fills_up_to_a_burst() -> None:
    """No more is saved up, however long nobody comes."""
    throttle = Throttle(RATE)
    for _ in range(3):
        throttle.take("a", NOW)
    later = NOW + timedelta(days=1)
    assert [bool(throttle.take("a", later)) for _ in range(4)] == [False, False, False, True]


def test_everybody_has_a_bucket_of_their_own() -> None:
    """Nobody pays for somebody else."""
    throttle = Throttle(Rate(1, timedelta(seconds=10)))
    assert throttle.take("a", NOW) == NOTHING
    assert throttle.take("b", NOW) == NOTHING
    assert throttle.take("a", NOW) == seconds(10)


def test_being_refused_is_an_error_that_says_until_when() -> None:
    """For those who answer requests."""
    throttle = Throttle(Rate(1, timedelta(seconds=10)))
    throttle.require("a", NOW, "logins")
    with pytest.raises(TooManyRequestsError, match="too many logins") as caught:
        throttle.require("a", NOW + seconds(3), "logins")
    assert caught.value.retry_after == seconds(7)


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_a_client_counts_by_what_it_cannot_change_at_will(address: str | None, key: str) -> None:
    """An IPv6 network is one client."""
    assert client_key(address) == key


def test_there_are_never_more_buckets_than_so_many() -> None:
    """The one used least recently goes."""
    throttle = Throttle(Rate(1, timedelta(seconds=10)), size=2)
    for key in ("a", "b", "c"):
        throttle.take(key, NOW)
    assert throttle.take("c", NOW) == seconds(10)
    assert throttle.take("b", NOW) == seconds(10)
    assert throttle.take("a", NOW) == NOTHING


def test_a_clock_that_was_set_back_locks_nobody_out() -> None:
    """For longer than an empty bucket does."""
    throttle = Throttle(RATE)
    throttle.take("a", NOW + timedelta(days=1))
    assert throttle.take("a", NOW) <= seconds(10)
    assert throttle.take("a", NOW + seconds(10)) == NOTHING


def test_of_many_at_once_no_more_than_a_burst() -> None:
    """Threads share a bucket."""
    throttle = Throttle(Rate(50, timedelta(seconds=10)))
    with ThreadPoolExecutor(8) as pool:
        waits = list(pool.map(lambda _: throttle.take("a", NOW), range(200)))
    assert waits.count(NOTHING) == 50
