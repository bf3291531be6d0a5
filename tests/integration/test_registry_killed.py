"""The embedded registry killed at random, in short; ``python -m tests.registry_chaos`` is the long form."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.registry_chaos import run

pytestmark = pytest.mark.integration


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    """Clients try again and succeed, and the checker finds nothing."""
    result = run(tmp_path, kills=2, seed=11)
    assert result.wrong == []
    assert result.figures["acknowledged and there"]
