"""A process that leads until it is ended: ``python -m tests.contract.leading URL FILE``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ums.adapters._database import Database
from ums.adapters.leadership import FileLeadership, PostgresLeadership
from ums.ports import Leadership


def leader_of(url: str, password: str | None, path: Path) -> Leadership:
    """Return one process' part: of a file where the database is one."""
    if url.startswith("sqlite"):
        return FileLeadership(path)
    return PostgresLeadership(Database(url, password=password))


if __name__ == "__main__":
    leadership = leader_of(sys.argv[1], os.environ["PGPASSWORD"], Path(sys.argv[2]))
    print("leads" if leadership.held() else "follows", flush=True)
    sys.stdin.read()
