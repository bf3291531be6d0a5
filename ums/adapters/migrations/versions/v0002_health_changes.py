"""The history of health, which begins with what is known today."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table and its first rows."""
    op.create_table(
        "health_changes",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("org", sa.String(40), nullable=False),
        sa.Column("pdp", sa.String(40), nullable=False),
        sa.Column("health", sa.String(16), nullable=False),
        sa.Column("component", sa.String(253), nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("serial", sa.BigInteger, nullable=False),
        sa.Column("since", sa.Float, nullable=False),
    )
    op.create_index("health_changes_by_plane", "health_changes", ["org", "pdp", "id"])
    op.create_index("health_changes_by_time", "health_changes", ["since"])
    columns = "org, pdp, health, component, message, serial, since"
    op.execute(f"INSERT INTO health_changes ({columns}) SELECT {columns} FROM reports ORDER BY since")  # noqa: S608
