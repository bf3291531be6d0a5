"""Run the migrations that a database has not seen, by Alembic: the only door, and opened only where there are some."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory


def upgrade(connection: sa.Connection, seal: Callable[..., str]) -> None:
    """Bring the tables to the newest revision, in the transaction of the connection; ``seal`` encrypts secrets."""
    scripts = ScriptDirectory(Path(__file__).parent)

    def steps(revision: Any, _context: MigrationContext) -> Any:  # noqa: ANN401 - Alembic's own
        return scripts._upgrade_revs("head", revision)  # noqa: SLF001 - what its command "upgrade" passes here

    with EnvironmentContext(Config(), scripts, fn=steps) as environment:
        environment.configure(connection=connection, seal=seal)
        environment.run_migrations()
