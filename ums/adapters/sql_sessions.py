"""Sessions and logins under way, in SQL."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa

from ums.adapters._database import Database
from ums.adapters._tables import LOGINS, SESSIONS
from ums.domain.sessions import IDLE, LIFETIME, PATIENCE, PendingLogin, Person, Session


class SqlSessions:
    """Implements ``ports.SessionStore`` in the database of a ``SqlStore``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_login(self, login_hash: str, login: PendingLogin) -> None:
        """Keep that somebody was sent to the issuer."""
        row = {"hash": login_hash, "next": login.next, "begun": login.begun.timestamp()}
        with self._database.writing() as connection:
            connection.execute(sa.insert(LOGINS).values(row))

    def take_login(self, login_hash: str) -> PendingLogin | None:
        """Return a login and forget it, so that it counts once; ``None`` where there is none."""
        taken = sa.delete(LOGINS).where(LOGINS.c.hash == login_hash).returning(LOGINS.c.next, LOGINS.c.begun)
        with self._database.writing() as connection:
            row = connection.execute(taken).first()
        return None if row is None else PendingLogin(row.next, _time(row.begun))

    def add_session(self, session_hash: str, session: Session) -> None:
        """Keep a session."""
        row = {
            "hash": session_hash,
            "subject": session.person.subject,
            "groups": sorted(session.person.groups),
            "begun": session.begun.timestamp(),
            "seen": session.seen.timestamp(),
        }
        with self._database.writing() as connection:
            connection.execute(sa.insert(SESSIONS).values(row))

    def find_session(self, session_hash: str) -> Session | None:
        """Return a session, over or not, or ``None``."""
        with self._database.reading() as connection:
            row = connection.execute(sa.select(SESSIONS).where(SESSIONS.c.hash == session_hash)).first()
        if row is None:
            return None
        return Session(Person(row.subject, frozenset(row.groups)), _time(row.begun), _time(row.seen))

    def touch_session(self, session_hash: str, *, seen: datetime) -> None:
        """Keep when a session was used last."""
        with self._database.writing() as connection:
            mine = SESSIONS.c.hash == session_hash
            connection.execute(sa.update(SESSIONS).where(mine).values(seen=seen.timestamp()))

    def end_session(self, session_hash: str) -> bool:
        """Forget a session; return whether there was one."""
        with self._database.writing() as connection:
            return connection.execute(sa.delete(SESSIONS).where(SESSIONS.c.hash == session_hash)).rowcount > 0

    def prune_sessions(self, *, now: datetime) -> int:
        """Drop the sessions that are over and the logins that nobody came back from; return how many."""
        begun, seen = (now - LIFETIME).timestamp(), (now - IDLE).timestamp()
        over = (SESSIONS.c.begun <= begun) | (SESSIONS.c.seen <= seen)
        with self._database.writing() as connection:
            sessions = connection.execute(sa.delete(SESSIONS).where(over)).rowcount
            given_up = LOGINS.c.begun <= (now - PATIENCE).timestamp()
            return sessions + connection.execute(sa.delete(LOGINS).where(given_up)).rowcount


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
