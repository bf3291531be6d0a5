"""What somebody else wrote to the branch that data planes follow is put right, and told of."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from tests.doubles.memory_release_repo import MemoryReleaseRepo
from tests.unit.usecases.stage import Stage
from ums.domain.authority import Trespass
from ums.domain.errors import ConflictError
from ums.usecases.reclaim import Reclaim

EVIL = "e" * 40


class Written(MemoryReleaseRepo):
    """A release repo that somebody else wrote to, once, or that somebody is writing to."""

    left: str | None = EVIL
    trespass: Trespass | None = None

    def restore_main(self, *, at: datetime) -> Trespass | None:  # noqa: ARG002 - whenever
        """Put it right."""
        if self.left is None:
            raise ConflictError("it moved")
        found, self.trespass = self.trespass, None
        return found

    def reclaim(self, *, at: datetime) -> str:  # noqa: ARG002 - whenever
        """Put it right."""
        if self.left is None:
            raise ConflictError("it moved")
        found, self.left = self.left, ""
        return found


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Give a service."""
    return Stage(tmp_path)


def test_it_is_told_of_once(stage: Stage) -> None:
    """With the commit, which stays in the history."""
    log = stage.services.security.log
    reclaim, before = Reclaim(Written(), stage.clock, stage.services.security), log.head()
    assert [reclaim(), reclaim()] == [True, False]
    told = [(each.kind, each.what) for each in log.read(after=before.seq if before else 0, limit=9)]
    assert told == [("delivery.reclaimed", f'{{"commit":"{EVIL}"}}')]


def test_a_decision_that_is_faster_does_the_same(stage: Stage) -> None:
    """It builds on what counts: nothing is left to do."""
    repo = Written()
    repo.left = None
    assert not Reclaim(repo, stage.clock, stage.services.security)()


def test_what_was_changed_on_main_is_told_with_commit_authors_and_paths(stage: Stage) -> None:
    """Once, whatever becomes of the other branch."""
    log, repo = stage.services.security.log, Written()
    repo.left, repo.trespass = "", Trespass(EVIL, ("Mallory <m@example.com>",), ("freezes.yaml",))
    reclaim, before = Reclaim(repo, stage.clock, stage.services.security), log.head()
    assert [reclaim(), reclaim()] == [True, False]
    (entry,) = log.read(after=before.seq if before else 0, limit=9)
    assert entry.kind == "main.restored"
    assert json.loads(entry.what) == {
        "commit": EVIL,
        "authors": ["Mallory <m@example.com>"],
        "paths": ["freezes.yaml"],
        "replaced": False,
    }
