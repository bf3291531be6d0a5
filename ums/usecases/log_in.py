"""Log people in by the issuer, and know them by their session afterwards."""

from __future__ import annotations

import contextlib
import hmac
import secrets
from dataclasses import dataclass, replace
from datetime import timedelta

from ums.domain.errors import (
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    StorageError,
    UnauthenticatedError,
    UnavailableError,
)
from ums.domain.identity import Identity
from ums.domain.security_log import SecurityKind
from ums.domain.sessions import PATIENCE, PendingLogin, Person, Session, check_local, derive, fingerprint
from ums.domain.subjects import normal_subject
from ums.ports import Clock, IdentityProvider, ReleaseRepo, SessionStore
from ums.usecases.security_events import SecurityEvents

_STATE, _NONCE, _VERIFIER, _CSRF = "login-state", "login-nonce", "login-verifier", "csrf"
_SEEN_EVERY = timedelta(minutes=1)
"""So often it is noted that a session was used, at most."""
_AGAIN = "log in again: /auth/login"


@dataclass(frozen=True, slots=True)
class Begun:
    """A login under way: where the browser goes, and the secret that it brings back."""

    url: str
    secret: str


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that was opened.

    Attributes:
        secret: the browser knows it by; it is told once.
        next: the path that somebody wanted.

    """

    secret: str
    person: Person
    next: str


@dataclass(frozen=True, slots=True)
class LogIn:
    """Send a browser to the issuer, and open a session when it comes back."""

    provider: IdentityProvider | None
    store: SessionStore
    clock: Clock
    security: SecurityEvents

    def begin(self, *, wanted: str, callback: str) -> Begun:
        """Begin a login; ``callback`` is the URL that the issuer sends the browser back to.

        Raises:
            NotFoundError: no issuer is set.
            InvalidInputError: what is wanted is no path of this service.
            UnavailableError: the issuer or the database does not answer.
            StorageError: the database refused.

        """
        check_local(wanted)
        secret = secrets.token_urlsafe(32)
        url = self._issuer().authorization_url(
            redirect_uri=callback,
            state=derive(secret, _STATE),
            nonce=derive(secret, _NONCE),
            verifier=derive(secret, _VERIFIER),
        )
        self.store.add_login(fingerprint(secret), PendingLogin(wanted, self.clock.now()))
        return Begun(url, secret)

    def finish(self, *, secret: str, state: str, code: str, error: str, callback: str) -> Opened:
        """Open a session for who came back.

        Args:
            secret: of ``begin``, from the same browser.
            state: as it came back.
            code: the issuer's, or empty.
            error: what the issuer said instead, or empty.
            callback: as it was for ``begin``.

        Raises:
            UnauthenticatedError: this browser did not begin that login, or did long ago, or ended it before; or the
                issuer says no.
            ForbiddenError: the issuer does not say of this person what the settings ask for.
            NotFoundError: no issuer is set.
            UnavailableError: the issuer or the database does not answer.
            StorageError: the database refused.

        """
        try:
            return self._finish(secret, state, code, error, callback)
        except (UnauthenticatedError, ForbiddenError) as refused:
            self.security.note(SecurityKind.AUTHENTICATION_FAILED, proof="login", message=refused.message)
            raise

    def _finish(self, secret: str, state: str, code: str, error: str, callback: str) -> Opened:
        issuer = self._issuer()
        # It is the state that ties the answer to this browser: nobody is logged in as somebody else by a link.
        if not secret or not hmac.compare_digest(derive(secret, _STATE).encode(), state.encode()):
            raise UnauthenticatedError("this login was not begun in this browser", hint=_AGAIN)
        login = self.store.take_login(fingerprint(secret))
        now = self.clock.now()
        if login is None or login.begun + PATIENCE <= now:
            raise UnauthenticatedError("this login took too long, or was through before", hint=_AGAIN)
        if error or not code:
            raise UnauthenticatedError(f"the issuer did not log you in: {error or 'no code'}", hint=_AGAIN)
        person = issuer.person(
            code=code,
            redirect_uri=callback,
            nonce=derive(secret, _NONCE),
            verifier=derive(secret, _VERIFIER),
            now=now,
        )
        person = _named_normally(person)
        opened = secrets.token_urlsafe(32)
        with self.security.recording(SecurityKind.LOGIN, subject=person.subject, groups=sorted(person.groups)):
            self.store.add_session(fingerprint(opened), Session(person, now, now))
        return Opened(opened, person, login.next)

    def _issuer(self) -> IdentityProvider:
        if self.provider is None:
            raise NotFoundError("nobody logs in here: no issuer is set", hint="set oidc.issuer, or use a token")
        return self.provider


def _named_normally(person: Person) -> Person:
    try:
        return replace(person, subject=normal_subject(person.subject))
    except InvalidInputError as error:
        raise ForbiddenError(
            f"the issuer calls you {person.subject!r:.60}, which may look like another name",
            hint="set oidc.subjectClaim to a claim in ASCII, such as email or sub",
        ) from error


@dataclass(frozen=True, slots=True)
class KnowSessions:
    """Find out whose a session is, and end it."""

    release_repo: ReleaseRepo
    store: SessionStore
    clock: Clock
    security: SecurityEvents

    def __call__(self, secret: str) -> tuple[Identity, Session]:
        """Return whose it is, with the roles that Git grants now; that it was used is noted.

        Raises:
            UnauthenticatedError: there is no such session, or it is over.

        """
        key, now = fingerprint(secret), self.clock.now()
        session = self.store.find_session(key)
        if session is None or session.expires <= now:
            raise UnauthenticatedError("the session is over", hint=_AGAIN)
        if now - session.seen >= _SEEN_EVERY:
            # A full disk must lock nobody out.
            with contextlib.suppress(StorageError, UnavailableError):
                self.store.touch_session(key, seen=now)
                session = Session(session.person, session.begun, now)
        person, access = session.person, self.release_repo.read().access
        return access.identity_for(person.subject, person.groups, now), session

    def log_out(self, secret: str, *, subject: str) -> None:
        """End somebody's session.

        Raises:
            UnavailableError, StorageError: the database could not; then it goes on.

        """
        with self.security.recording(SecurityKind.LOGOUT, subject=subject):
            self.store.end_session(fingerprint(secret))

    def replace(self, secret: str) -> None:
        """End the session that a browser had before it logged in anew, if it had one."""
        self.store.end_session(fingerprint(secret))

    @staticmethod
    def csrf_token(secret: str) -> str:
        """Return what a page must send along to change something: only who reads our answers knows it."""
        return derive(secret, _CSRF)
