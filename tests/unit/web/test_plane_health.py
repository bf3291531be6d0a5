"""What the API says of a data plane's health, in each answer that tells it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.unit.usecases.stage import AT_ONCE, PROD, Stage
from tests.unit.usecases.test_operating import event
from ums.domain.fleet import Health
from ums.domain.gates import ask_gates
from ums.domain.noticing import find_notices
from ums.domain.release import ReleaseName
from ums.domain.version import Version
from ums.web.views import plane_view

HOUR, LONG = timedelta(hours=1), timedelta(days=8)


@pytest.mark.parametrize(
    ("said", "silence", "expected"),
    [
        ([], HOUR, ("unknown", None, None)),
        ([("ReconciliationSucceeded", "ums-root")], HOUR, ("healthy", "healthy", "")),
        ([("Progressing", "ums-root")], HOUR, ("updating", "updating", "")),
        ([("HealthCheckFailed", "platform-cilium")], HOUR, ("failed", "failed", "platform-cilium")),
        ([("ReconciliationSucceeded", "ums-root")], LONG, ("stale", "healthy", "")),
        ([("HealthCheckFailed", "platform-cilium")], LONG, ("stale", "failed", "platform-cilium")),
    ],
)
def test_each_health_is_told(
    tmp_path: Path, said: list[tuple[str, str]], silence: timedelta, expected: tuple[str, str | None, str | None]
) -> None:
    """With Flux's own words, the component that failed, and when it was heard: old words are never green."""
    stage = Stage(tmp_path)
    stage.add_plane()
    stage.publish("1.0.0")
    stage.promote("1.0.0")
    for reason, name in said:
        stage.services.record_event(PROD, event(stage, reason=reason, name=name, message="Flux's own words"))
    stage.clock.advance(silence)
    view = plane_view(stage.services.record.world().plane(PROD), stage.clock.now())
    reported = view["reported"] or {"health": None, "component": None}
    assert (view["health"], reported["health"], reported["component"]) == expected
    if said:
        assert reported["message"] == "Flux's own words"
        assert reported["heard"]


BEAT = timedelta(minutes=1)


def beat(stage: Stage, times: int, reason: str = "ReconciliationSucceeded") -> None:
    """Let the root report as kustomize-controller does: whenever it was reconciled."""
    for _ in range(times):
        stage.clock.advance(BEAT)
        stage.services.record_event(PROD, event(stage, reason=reason))


def health(stage: Stage) -> tuple[str, bool]:
    """Return what is said of it, and whether it is said since when it is silent."""
    view = plane_view(stage.world().plane(PROD), stage.clock.now())
    return view["health"], view["silentSince"] is not None


@pytest.fixture
def beating(tmp_path: Path) -> Stage:
    """Give a service with a data plane that reported three times."""
    stage = Stage(tmp_path)
    stage.add_plane()
    stage.publish("1.0.0")
    stage.promote("1.0.0")
    beat(stage, 3)
    return stage


def test_silence_is_seen_in_minutes_and_told(beating: Stage) -> None:
    """After a few reports that did not come: as health, metric, notice, and to the gates of the next channel."""
    limit = beating.world().settings.silent_after
    assert limit == timedelta(minutes=13), "three polls, the root's timeout, and what is not sent again"
    beating.clock.advance(limit)
    assert health(beating) == ("healthy", False)
    beating.clock.advance(timedelta(seconds=1))
    assert health(beating) == ("silent", True)
    assert [each.kind for each in find_notices(beating.world(), beating.clock.now()).values()] == ["pdp.silent"]
    assert beating.store.reports()[PROD].health is Health.HEALTHY, "what it said stays known"
    beat(beating, 1)
    assert health(beating) == ("healthy", False)


def test_who_sends_no_heartbeats_is_not_silent_for_that(tmp_path: Path) -> None:
    """One report of each change, as with the events between switched off: it is well until its state is old."""
    stage = Stage(tmp_path)
    stage.add_plane()
    stage.publish("1.0.0")
    stage.promote("1.0.0")
    for reason in ("Progressing", "ReconciliationSucceeded"):
        beat(stage, 1, reason=reason)
    stage.clock.advance(timedelta(days=3))
    assert health(stage) == ("healthy", False)
    stage.clock.advance(timedelta(days=5))
    assert health(stage) == ("stale", False)


def test_a_renewed_state_changes_nothing_of_what_is_known(beating: Stage) -> None:
    """Its data plane has all that is in it; it is updating when there is something else in it."""
    for _ in range(4 * 24 * 6):
        beating.clock.advance(timedelta(minutes=9))
        beat(beating, 1)
        before = beating.world().plane(PROD).desired
        beating.services.reconcile()
        after = beating.world().plane(PROD).desired
        assert before is not None
        assert after is not None
        assert health(beating) == ("healthy", False)
        if after.serial != before.serial:
            break
    else:
        raise AssertionError("it was never renewed")
    beating.publish("1.1.0")
    beating.promote("1.1.0")
    assert health(beating) == ("updating", False)


def test_a_silent_data_plane_is_none_that_is_well_for_the_gates(beating: Stage) -> None:
    """The adoption of the next channel does not count it."""
    rule = {"healthy": "100%", "for": "1m"}
    beating.set_policy("lts", feeder="stable", rollout=AT_ONCE, gates={"adoption": rule})

    def verdict() -> str:
        now = beating.clock.now()
        name = ReleaseName("platform", Version("1.0.0"))
        gates = ask_gates(beating.world(), beating.world().channel("lts"), name, now)
        return str(next(each.verdict for each in gates if each.name == "adoption"))

    assert verdict() == "passed"
    beating.clock.advance(timedelta(minutes=14))
    assert verdict() == "pending"
    beat(beating, 1)
    assert verdict() == "passed"
