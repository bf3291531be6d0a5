"""The page of errors says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from ums.outcomes import NOT_HEALTHY, OUTCOMES, TIMED_OUT, UNFORESEEN

PAGE = Path(__file__).parent.parent.parent / "docs" / "reference" / "failures.md"


def test_every_error_has_its_row() -> None:
    """Code, HTTP status and exit code; and no row is of yesterday."""
    rows = re.findall(r"^\| `([a-z-]+)` \| (\d+) \| (\d+) \|", PAGE.read_text(), re.MULTILINE)
    known = {(each.code, str(each.status), str(each.exit_code)) for each in (*OUTCOMES.values(), UNFORESEEN)}
    assert set(rows) == known
    assert len(rows) == len(known)
    assert f"end with {TIMED_OUT} when" in PAGE.read_text()
    assert f"with {NOT_HEALTHY} when" in PAGE.read_text()
