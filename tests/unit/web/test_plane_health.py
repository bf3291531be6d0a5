"""What the API says of a data plane's health, in each answer that tells it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.unit.usecases.stage import PROD, Stage
from tests.unit.usecases.test_operating import event
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
