"""Reports and tokens; those of a UMS that knew no migrations are adopted, whatever columns they have."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from ums.domain.errors import StorageError

revision = "0001"
down_revision = None

_RANK = "CASE health WHEN 'healthy' THEN 2 WHEN 'failed' THEN 1 ELSE 0 END"
# By what stands in the others. A data plane is healthy only on what it applied as a whole.
_ADDED = {"rank": _RANK, "since": "heard", "applied": "health = 'healthy'"}
_REPORTS: tuple[sa.Column[Any], ...] = (
    sa.Column("org", sa.String(40), primary_key=True),
    sa.Column("pdp", sa.String(40), primary_key=True),
    sa.Column("serial", sa.BigInteger, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("rank", sa.SmallInteger, nullable=False),
    sa.Column("heard", sa.Float, nullable=False),
    sa.Column("since", sa.Float, nullable=False),
    sa.Column("health", sa.String(16), nullable=False),
    sa.Column("component", sa.String(253), nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("applied", sa.Boolean, nullable=False),
)
_TOKENS: tuple[sa.Column[Any], ...] = (
    sa.Column("hash", sa.String(64), primary_key=True),
    sa.Column("subject", sa.String(200), nullable=False),
    sa.Column("groups", sa.JSON, nullable=False),
    sa.Column("bundles", sa.JSON, nullable=False),
    sa.Column("expires", sa.Float),
)


def upgrade() -> None:
    """Make the tables, or bring those that are there into this form."""
    _make_or_adopt("reports", _REPORTS)
    _make_or_adopt("tokens", _TOKENS)


def _make_or_adopt(name: str, columns: tuple[sa.Column[Any], ...]) -> None:
    inspector = sa.inspect(op.get_bind())
    if not inspector.has_table(name):
        op.create_table(name, *columns)
        return
    there = {column["name"] for column in inspector.get_columns(name)}
    wanted = {column.name for column in columns}
    if there - wanted or wanted - there - _ADDED.keys():
        raise StorageError(
            f"the database has a table {name!r} that is not one of UMS", hint="give UMS a database of its own"
        )
    old = f"{name}_before_0001"
    op.rename_table(name, old)
    op.create_table(name, *columns)
    quoted = ", ".join(f'"{column.name}"' for column in columns)
    values = ", ".join(f'"{column.name}"' if column.name in there else _ADDED[column.name] for column in columns)
    op.execute(f'INSERT INTO "{name}" ({quoted}) SELECT {values} FROM "{old}"')  # noqa: S608 - names of ours
    op.drop_table(old)
