"""Which view a data plane is served, and when it is told to come back."""

from __future__ import annotations

from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from tests.doubles.memory_views import MemoryViews
from tests.unit.usecases.stage import PROD, Stage
from ums.domain.errors import NotFoundError, StorageError, UnavailableError
from ums.domain.fleet import Health
from ums.domain.names import PDPName
from ums.domain.views import View
from ums.usecases.serve_view import ServeView


class Offered(MemoryViews):
    """Views that offer what they are told."""

    serial: int | None = None

    def head(self, pdp: PDPName) -> View | None:  # noqa: ARG002 - of whomever
        """Return it."""
        return View("1" * 40, self.serial) if self.serial else None


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Give a data plane that is healthy on its first release."""
    made = Stage(tmp_path)
    made.add_plane()
    made.publish("1.0.0")
    made.promote("1.0.0")
    made.hear(Health.HEALTHY, PROD)
    return made


def serve(stage: Stage, serial: int | None) -> tuple[ServeView, Offered]:
    """Return what serves a view of that serial."""
    views = Offered(stage.release_repo)
    views.serial = serial
    return ServeView(views, stage.release_repo, stage.store, stage.clock), views


def serial(stage: Stage) -> int:
    """Return what the data plane reported on."""
    return stage.store.reports()[PROD].serial


def test_a_newer_state_than_reported_is_served(stage: Stage) -> None:
    """And the same again."""
    for ahead in (0, 1):
        assert serve(stage, serial(stage) + ahead)[0].head(PROD).serial == serial(stage) + ahead


def test_an_older_state_than_reported_is_not(stage: Stage) -> None:
    """Another replica has served more than this one knows of."""
    with pytest.raises(UnavailableError, match=f"serial {serial(stage) - 1} of acme/prod, which has been offered"):
        serve(stage, serial(stage) - 1)[0].head(PROD)


def test_an_older_state_than_served_is_not(stage: Stage) -> None:
    """Even if nobody has reported on the newer one yet."""
    serving, views = serve(stage, serial(stage) + 5)
    serving.head(PROD)
    views.serial = serial(stage) + 4
    with pytest.raises(UnavailableError):
        serving.head(PROD)


def test_a_report_from_the_future_counts_for_nothing(stage: Stage) -> None:
    """Serials are seconds: who once stole the key must not shut a data plane out by it for a day."""
    stage.clock.time -= timedelta(hours=1)
    assert serve(stage, 7)[0].head(PROD).serial == 7


def test_without_a_database_the_fleet_goes_on_updating(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports make the answer better, and are not needed for it."""

    def broken() -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr(stage.store, "reports", broken)
    assert serve(stage, 7)[0].head(PROD).serial == 7


def test_reports_are_looked_at_every_few_seconds(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many poll: a poll asks no database."""
    (serving, _), reports, asked = serve(stage, serial(stage)), stage.store.reports, count(1)
    monkeypatch.setattr(stage.store, "reports", lambda: (next(asked), reports())[1])
    for _ in range(10):
        serving.head(PROD)
    stage.clock.advance(timedelta(seconds=2))
    serving.head(PROD)
    assert next(asked) == 3


def test_who_was_offered_nothing_comes_back(stage: Stage) -> None:
    """And who is no data plane is told so."""
    with pytest.raises(UnavailableError, match="no state yet"):
        serve(stage, None)[0].head(PROD)
    with pytest.raises(NotFoundError):
        serve(stage, None)[0].head(PDPName("acme", "gone"))
