"""After how long without a report a data plane that reports at an interval is silent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Add it; it is learnt anew from what comes."""
    op.add_column("reports", sa.Column("silent_after", sa.Float))
