"""Reading the feed in parts, none of which is much work."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.usecases.stage import ADMIN, Stage
from ums.domain.freezes import Scope
from ums.usecases import read_feed
from ums.usecases.instruct import Why

FREEZES = 40


@pytest.fixture
def start(stage: Stage) -> str:
    """Return the commit before many that each change a file that grows."""
    before = stage.release_repo.read().base.main
    for number in range(FREEZES):
        stage.services.freeze_fleet.freeze(f"f{number}", Scope(), Why(ADMIN, "x" * 1900))
    return before


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return a service."""
    return Stage(tmp_path)


def parts(stage: Stage, after: str) -> list[list[str]]:
    """Return whom events are about, by answer, until there are no more."""
    found: list[list[str]] = []
    while True:
        events, now = stage.services.deliver_webhooks.read_feed(after=after, limit=1000)
        if now == after:
            return found
        found.append([each.subject for each in events])
        after = now


def test_much_is_told_in_parts_and_nothing_twice(stage: Stage, start: str) -> None:
    """Whatever the limit of commits is: what they changed is what takes time. A large change comes by itself."""
    found = parts(stage, start)
    assert [each for part in found for each in part] == [f"f{number}" for number in range(FREEZES)]
    assert len(found) > 5
    assert max(map(len, found[len(found) // 2 :])) <= 3


def test_without_the_limit_all_of_it_is_read_for_one_answer(
    stage: Stage, start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The defence switched off."""
    monkeypatch.setattr(read_feed, "MAX_SIZE", float("inf"))
    assert list(map(len, parts(stage, start))) == [FREEZES]
