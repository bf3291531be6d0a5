"""The last state that each data plane was well on: who failed later did not fail on its update."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

_REPORTS = sa.table("reports", sa.column("serial"), sa.column("well"))


def upgrade() -> None:
    """Take it that whoever reported was well: an upgrade of the service halts no rollout that was through."""
    op.add_column("reports", sa.Column("well", sa.BigInteger, nullable=False, server_default="0"))
    op.execute(sa.update(_REPORTS).values(well=_REPORTS.c.serial))
