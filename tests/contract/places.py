"""Where stores keep what they keep, for the tests of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import Postgres
from ums.adapters._database import Database
from ums.adapters.sql_store import SqlStore

MASTER = b"m" * 32
"""What secrets in the databases of tests are encrypted with."""


@dataclass(frozen=True)
class Place:
    """A database that several processes can open."""

    url: str
    password: str | None = None

    def open(self) -> SqlStore:
        """Open the store."""
        return SqlStore(self.url, password=self.password, master=MASTER)

    def lose(self) -> None:
        """Lose all that is there."""
        if self.url.startswith("sqlite:///"):
            for path in Path(self.url.removeprefix("sqlite:///")).parent.glob("ums.db*"):
                path.unlink()
        else:
            self.run("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements past the store; return the rows of the last."""
        database = Database(self.url, password=self.password)
        rows: list[tuple[Any, ...]] = []
        with database.writing() as connection:
            for statement in statements:
                result = connection.exec_driver_sql(statement)
                rows = [tuple(row) for row in result] if result.returns_rows else []
        database.close()
        return rows


def new_place(kind: str, request: pytest.FixtureRequest) -> Place:
    """Return where nothing is yet; ``kind`` is ``memory``, ``file`` or ``postgresql``."""
    if kind == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        return Place(server.create_database(), server.password)
    folder: Path = request.getfixturevalue("tmp_path")
    return Place("sqlite://" if kind == "memory" else f"sqlite:///{folder}/ums.db")
