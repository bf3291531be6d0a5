"""Two replicas of the service under load, killed at random for a moment; ``make chaos`` does so for minutes."""

from __future__ import annotations

from pathlib import Path

from tests import chaos
from tests.postgres import Postgres


def test_what_was_acknowledged_outlives_every_kill(tmp_path: Path, postgres: Postgres) -> None:
    """It is in Git once; what was refused is not; the chain and every commit hold, and the loop goes on."""
    result = chaos.run(tmp_path, postgres, seconds=20, seed=7)
    assert not result.wrong, "\n".join([*result.wrong, str(result.figures)])
    assert sum(result.kills.values()) > 1
