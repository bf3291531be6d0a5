"""Registry and views of a service killed at random, in short; ``python -m tests.registry_chaos`` is the long form."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.registry_chaos import run

pytestmark = pytest.mark.integration


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    """Clients try again and succeed, the checker finds nothing, and no view is older than what was offered."""
    result = run(tmp_path, kills=2, seed=11)
    assert result.wrong == []
    assert result.figures["acknowledged and there"]
    assert result.figures["views cloned"]
