"""What any service of this kind costs: Flask, a pool, and one row written for each POST; nothing is checked."""

from __future__ import annotations

import json
import os

import sqlalchemy as sa
from flask import Flask, request
from sqlalchemy.dialects import postgresql, sqlite

from ums.adapters._database import Database

_ROWS = sa.Table("floor", sa.MetaData(), sa.Column("name", sa.String(80), primary_key=True), sa.Column("said", sa.Text))


def make_app() -> Flask:
    """Return the application; the database is the one in ``FLOOR_DATABASE``."""
    app = Flask("floor")
    database = Database(os.environ["FLOOR_DATABASE"], password=os.environ.get("FLOOR_PASSWORD"))
    insert = postgresql.insert if database.engine.dialect.name == "postgresql" else sqlite.insert
    statement = insert(_ROWS)
    upsert = statement.on_conflict_do_update(index_elements=["name"], set_={"said": statement.excluded.said})
    with database.writing() as connection:
        _ROWS.metadata.create_all(connection)

    @app.post("/<name>")
    def keep(name: str) -> tuple[dict[str, bool], int]:
        """Keep what somebody says."""
        said = json.loads(request.get_data())
        with database.writing() as connection:
            connection.execute(upsert, {"name": name, "said": said["message"]})
        return {"recorded": True}, 202

    return app
