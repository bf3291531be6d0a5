"""What reporters saw in clusters."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "cluster_reports",
        sa.Column("org", sa.String(40), primary_key=True),
        sa.Column("pdp", sa.String(40), primary_key=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("heard", sa.Float, nullable=False),
        sa.Column("kubernetes", sa.String(128)),
        sa.Column("flux", sa.String(128)),
        sa.Column("images", sa.JSON, nullable=False),
        sa.Column("forgotten", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("changed", sa.BigInteger, nullable=False, server_default="0"),
    )
    op.create_index("cluster_reports_by_change", "cluster_reports", ["changed"])
