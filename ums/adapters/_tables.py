"""The tables as they are today. How a database gets there is said in ``migrations``; a test holds the two together."""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData()
REPORTS = sa.Table(
    "reports",
    METADATA,
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
    # Seconds; null where a data plane is not known to report at an interval.
    sa.Column("silent_after", sa.Float),
    sa.Column("well", sa.BigInteger, nullable=False, server_default="0"),
    # Forgotten reports stay as rows, so that other processes learn of it.
    sa.Column("forgotten", sa.Boolean, nullable=False, server_default=sa.false()),
    # When the row was written last: on PostgreSQL the writing transaction's id, on SQLite a number one higher than any.
    sa.Column("changed", sa.BigInteger, nullable=False, server_default="0"),
    sa.Index("reports_by_change", "changed"),
)
CLUSTER_REPORTS = sa.Table(
    "cluster_reports",
    METADATA,
    sa.Column("org", sa.String(40), primary_key=True),
    sa.Column("pdp", sa.String(40), primary_key=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("heard", sa.Float, nullable=False),
    sa.Column("kubernetes", sa.String(128)),
    sa.Column("flux", sa.String(128)),
    sa.Column("images", sa.JSON, nullable=False),
    # As of reports, but that it counts only when the facts change: images are read one data plane at a time.
    sa.Column("forgotten", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("changed", sa.BigInteger, nullable=False, server_default="0"),
    sa.Index("cluster_reports_by_change", "changed"),
)
TOKENS = sa.Table(
    "tokens",
    METADATA,
    sa.Column("hash", sa.String(64), primary_key=True),
    sa.Column("subject", sa.String(200), nullable=False),
    sa.Column("groups", sa.JSON, nullable=False),
    sa.Column("bundles", sa.JSON, nullable=False),
    sa.Column("expires", sa.Float),
    sa.Column("channels", sa.JSON),
    sa.Column("orgs", sa.JSON),
    sa.Column("issued_by", sa.String(200)),
    sa.Column("issued", sa.Float),
    sa.Column("last_used", sa.Float),
)
HEALTH_CHANGES = sa.Table(
    "health_changes",
    METADATA,
    # In the order in which they were recorded, which clocks of several replicas are not. SQLite counts by itself
    # only what it calls INTEGER.
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("org", sa.String(40), nullable=False),
    sa.Column("pdp", sa.String(40), nullable=False),
    sa.Column("health", sa.String(16), nullable=False),
    sa.Column("component", sa.String(253), nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("serial", sa.BigInteger, nullable=False),
    sa.Column("since", sa.Float, nullable=False),
    sa.Index("health_changes_by_plane", "org", "pdp", "id"),
    sa.Index("health_changes_by_time", "since"),
)
WEBHOOKS = sa.Table(
    "webhooks",
    METADATA,
    sa.Column("name", sa.String(40), primary_key=True),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("secret", sa.String(200), nullable=False),
    sa.Column("kinds", sa.JSON, nullable=False),
    sa.Column("channels", sa.JSON, nullable=False),
    sa.Column("form", sa.String(16), nullable=False),
    sa.Column("private", sa.Boolean, nullable=False),
    sa.Column("told", sa.String(40), nullable=False),
)
DELIVERIES = sa.Table(
    "deliveries",
    METADATA,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("webhook", sa.String(40), nullable=False),
    sa.Column("event_id", sa.String(64), nullable=False),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("subject", sa.String(300), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("due", sa.Float, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("error", sa.String(300), nullable=False),
    sa.Index("deliveries_by_event", "webhook", "event_id", unique=True),
    sa.Index("deliveries_by_time", "status", "due"),
)
NOTICES = sa.Table("notices", METADATA, sa.Column("key", sa.String(500), primary_key=True))
ANSWERS = sa.Table(
    "answers",
    METADATA,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("begun", sa.Float, nullable=False),
    sa.Index("answers_by_time", "begun"),
)
SECURITY_EVENTS = sa.Table(
    "security_events",
    METADATA,
    # Counted by us, without gaps: a sequence would leave some.
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.String(20), nullable=False),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("subject", sa.String(200), nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("address", sa.String(64), nullable=False),
    sa.Column("request_id", sa.String(64), nullable=False),
    sa.Column("previous", sa.String(80), nullable=False),
    sa.Column("hash", sa.String(80), nullable=False),
    sa.Index("security_events_by_kind", "kind", "seq"),
    sa.Index("security_events_by_subject", "subject", "seq"),
)
SESSIONS = sa.Table(
    "sessions",
    METADATA,
    sa.Column("hash", sa.String(64), primary_key=True),
    sa.Column("subject", sa.String(200), nullable=False),
    sa.Column("groups", sa.JSON, nullable=False),
    sa.Column("begun", sa.Float, nullable=False),
    sa.Column("seen", sa.Float, nullable=False),
    sa.Index("sessions_by_time", "seen"),
)
LOGINS = sa.Table(
    "logins",
    METADATA,
    sa.Column("hash", sa.String(64), primary_key=True),
    sa.Column("next", sa.String(1000), nullable=False),
    sa.Column("begun", sa.Float, nullable=False),
    sa.Index("logins_by_time", "begun"),
)
CLOCK = sa.Table(
    "clock",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("seen", sa.Float, nullable=False),
)
