"""Times and spans as people write them, and as UMS writes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ums.domain.errors import InvalidInputError
from ums.domain.instants import duration_text, parse_duration, parse_instant, to_text


@given(st.datetimes(timezones=st.just(UTC), min_value=datetime(1000, 1, 1)))  # noqa: DTZ001 - hypothesis adds the zone
def test_instants_read_as_they_print(instant: datetime) -> None:
    """A time survives being written, but for fractions of a second."""
    assert parse_instant(to_text(instant)) == instant.replace(microsecond=0)


def test_every_zone_becomes_utc() -> None:
    """Times are kept in UTC, whatever zone they came in."""
    instant = parse_instant("2026-11-23T06:30:00+01:30")
    assert (instant, instant.tzinfo) == (datetime(2026, 11, 23, 5, tzinfo=UTC), UTC)
    assert to_text(instant.astimezone(timezone(timedelta(hours=-8)))) == "2026-11-23T05:00:00Z"


@pytest.mark.parametrize("text", ["", "yesterday", "2026-11-23", "2026-11-23T05:00:00", "0001-01-01T00:00:00+23:59"])
def test_what_is_no_instant_is_refused(text: str) -> None:
    """A time without a zone could be any of 24, so it is none."""
    with pytest.raises(InvalidInputError):
        parse_instant(text)


@given(st.integers(1, 10**9))
def test_durations_read_as_they_print(seconds: int) -> None:
    """A span survives being written as Flux writes it."""
    span = timedelta(seconds=seconds)
    assert parse_duration(duration_text(span)) == span


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("30s", timedelta(seconds=30)),
        ("1h30m", timedelta(minutes=90)),
        ("14d", timedelta(days=14)),
        ("2w", timedelta(weeks=2)),
        ("P14D", timedelta(days=14)),
        ("PT30M", timedelta(minutes=30)),
        ("P1W2DT3H4M5S", timedelta(weeks=1, days=2, hours=3, minutes=4, seconds=5)),
        ("0s", timedelta()),
    ],
)
def test_both_spellings_of_a_span_are_read(text: str, span: timedelta) -> None:
    """ISO 8601 and Go's short form mean the same."""
    assert parse_duration(text) == span


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "P1DT", "30", "m", "1.5h", "-1h", "1h1h", "30m1h", "٣m", "9" * 30 + "d", "9" * 5000 + "d"]
)
def test_what_is_no_span_is_refused(text: str) -> None:
    """A span that could be read two ways, or never ends, is none."""
    with pytest.raises(InvalidInputError):
        parse_duration(text)
