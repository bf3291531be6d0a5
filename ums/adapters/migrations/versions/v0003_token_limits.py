"""What tokens are limited to, who issued them, and when they were last used."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns; what exists is limited to nothing more than before."""
    op.add_column("tokens", sa.Column("channels", sa.JSON))
    op.add_column("tokens", sa.Column("orgs", sa.JSON))
    op.add_column("tokens", sa.Column("issued_by", sa.String(200)))
    op.add_column("tokens", sa.Column("issued", sa.Float))
    op.add_column("tokens", sa.Column("last_used", sa.Float))
