"""What was told of data planes that nobody decided."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Make the table."""
    op.create_table("notices", sa.Column("key", sa.String(500), primary_key=True))
