"""When each report was written last, so that whoever has read them all needs only what came after."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("reports", sa.Column("forgotten", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("reports", sa.Column("changed", sa.BigInteger, nullable=False, server_default="0"))
    op.create_index("reports_by_change", "reports", ["changed"])
