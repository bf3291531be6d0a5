"""Metrics in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.doubles.memory_release_repo import MemoryReleaseRepo
from tests.unit.domain.worlds import NOW, make_release, make_world, settle
from ums.adapters.local_disk import LocalDisk
from ums.adapters.metered_release_repo import MeteredReleaseRepo
from ums.adapters.prometheus_meter import PrometheusMeter
from ums.domain.errors import ConflictError, StorageError
from ums.domain.measuring import Measurement, measure
from ums.domain.world import Base, Decision

Samples = dict[tuple[str, ...], float]


def make_meter() -> PrometheusMeter:
    """Return a meter for which each look at the time is a quarter of a second later."""
    ticks: Iterator[int] = count()
    return PrometheusMeter("1.2.3", timer=lambda: next(ticks) / 4)


def samples(meter: PrometheusMeter, fleet: tuple[Measurement, ...] | None = ()) -> Samples:
    """Return what a scrape sees, by name and the values of its labels in the order of their names."""
    text = meter.render(fleet).decode()
    families = list(text_string_to_metric_families(text))
    assert len({each.name for each in families}) == len(families)
    return {
        (each.name, *(value for _, value in sorted(each.labels.items()))): each.value
        for family in families
        for each in family.samples
    }


def test_a_commit_is_timed_and_counted_by_its_end() -> None:
    """Losing a race is no failure, and is told apart."""
    meter = make_meter()
    repo = MeteredReleaseRepo(inner := MemoryReleaseRepo(), meter)
    decision = Decision("a", "a", "a", "a", NOW)
    repo.commit(decision, base=Base())
    with pytest.raises(ConflictError):
        repo.commit(decision, base=Base("elsewhere"))
    with pytest.raises(StorageError), meter.time_commit():
        raise StorageError("full")
    found = samples(meter)
    for result in ("recorded", "conflict", "failed"):
        assert found["ums_commit_duration_seconds_count", result] == 1
        assert found["ums_commit_duration_seconds_sum", result] == 0.25
    assert repo.log(limit=5) == inner.log(limit=5)


def test_a_job_tells_when_it_last_succeeded() -> None:
    """Not when it last failed; and before there was a success, that there was none."""
    meter = make_meter()
    assert samples(meter)["ums_job_last_success_timestamp_seconds", "reconcile"] == 0
    with pytest.raises(ValueError, match="oops"), meter.time_job("reconcile"):
        raise ValueError("oops")
    assert samples(meter)["ums_job_last_success_timestamp_seconds", "reconcile"] == 0
    with meter.time_job("reconcile"):
        pass
    found = samples(meter)
    assert found["ums_job_last_success_timestamp_seconds", "reconcile"] > 1.7e9
    assert found["ums_job_duration_seconds_count", "reconcile", "failed"] == 1
    assert found["ums_job_duration_seconds_count", "reconcile", "succeeded"] == 1


def test_what_strangers_make_up_makes_no_series() -> None:
    """A method is one of few; routes are templates already."""
    meter = make_meter()
    for number in range(20):
        meter.count_request("api", "/api/v1/pdps", f"EVIL{number}", 405, 0.01)
    meter.count_request("git", "/info/refs", "GET", 200, 3.0)
    found = samples(meter)
    assert found["ums_http_requests_total", "other", "/api/v1/pdps", "405", "api"] == 20
    assert found["ums_http_request_duration_seconds_bucket", "2.5", "/info/refs", "git"] == 0
    assert found["ums_http_request_duration_seconds_bucket", "10.0", "/info/refs", "git"] == 1


def test_the_fleet_is_told_as_it_was_measured() -> None:
    """Gauges, and silence as buckets that add up."""
    world = settle(make_world([make_release("1.0.0", {"cilium": "1.0.0"})], promoted=["1.0.0"]))
    found = samples(make_meter(), measure(world, NOW + timedelta(minutes=10)))
    assert found["ums_data_planes", "stable", "healthy"] == 1
    assert found["ums_data_plane_silence_seconds_bucket", "stable", "300.0"] == 0
    assert found["ums_data_plane_silence_seconds_bucket", "stable", "900.0"] == 1
    assert found["ums_data_plane_silence_seconds_count", "stable"] == 1
    assert found["ums_data_plane_silence_seconds_sum", "stable"] == 600
    assert (found["ums_fleet_readable",], found["ums_scrape_errors_total",]) == (1, 0)


def test_a_fleet_that_cannot_be_read_is_a_number_too() -> None:
    """Nothing else of it is told then, rather than what was."""
    meter = make_meter()
    found = samples(meter, None)
    assert (found["ums_fleet_readable",], found["ums_scrape_errors_total",]) == (0, 1)
    assert not any(name.startswith("ums_data_plane") for name, *_ in found)


def test_no_series_tells_when_another_began() -> None:
    """They would be as many again."""
    meter = make_meter()
    meter.count_event("recorded")
    assert b"_created" not in meter.render(())


def test_two_meters_share_nothing() -> None:
    """No global registry: a second service in a process, as in a test, is no clash."""
    one, two = make_meter(), make_meter()
    one.count_event("recorded")
    assert samples(one)["ums_events_total", "recorded"] == 1
    assert ("ums_events_total", "recorded") not in samples(two)


def test_a_disk_that_is_gone_is_no_room(tmp_path: Path) -> None:
    """Rather than zero bytes, which would be a number."""
    folder = tmp_path / "data"
    folder.mkdir()
    assert LocalDisk(folder).free_bytes() > 0
    with pytest.raises(StorageError, match=r"^ums\.db cannot"):
        LocalDisk(folder, folder / "ums.db").free_bytes()
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match=r"^data cannot"):
        LocalDisk(folder).free_bytes()
