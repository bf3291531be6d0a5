"""Secrets encrypted: URLs and secrets of webhooks, and the answers kept for requests that come twice."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

_WEBHOOKS = sa.table("webhooks", sa.column("name"), sa.column("url"), sa.column("secret"))
_ANSWERS = sa.table("answers", sa.column("key"), sa.column("body"))


def upgrade() -> None:
    """Encrypt what is there."""
    connection, seal = op.get_bind(), op.get_context().opts["seal"]
    if connection.dialect.name == "sqlite":
        # Or the clear text stays in what the file calls free.
        connection.exec_driver_sql("PRAGMA secure_delete = ON")
    for name, url, secret in connection.execute(sa.select(_WEBHOOKS)).all():
        sealed = {"url": seal(url, "webhooks", name, "url"), "secret": seal(secret, "webhooks", name, "secret")}
        connection.execute(sa.update(_WEBHOOKS).where(_WEBHOOKS.c.name == name).values(sealed))
    for key, body in connection.execute(sa.select(_ANSWERS).where(_ANSWERS.c.body != "")).all():
        sealed = {"body": seal(body, "answers", key, "body")}
        connection.execute(sa.update(_ANSWERS).where(_ANSWERS.c.key == key).values(sealed))
