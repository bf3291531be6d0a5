"""The demonstration that newcomers start with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.running_service import ROOT


def test_the_demonstration_settles(tmp_path: Path) -> None:
    """``make demo`` publishes, promotes, and its fleet reports: all healthy but the one that is made to fail."""
    command = [sys.executable, "-m", "examples.demo", "--once", "--folder", str(tmp_path / "demo")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 failed, 30 healthy, 1 unknown" in done.stdout
