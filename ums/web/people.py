"""Routes for people's browsers: log in, come back, log out; and who somebody is."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, request

from ums.domain.errors import InvalidInputError
from ums.domain.identity import ROLES, Permission
from ums.domain.instants import to_text
from ums.domain.sessions import LIFETIME, PATIENCE
from ums.domain.throttling import client_key
from ums.web import answers
from ums.web.auth import SESSION_COOKIE, Asker, callback_url, cookie_name, recognize, set_cookie
from ums.web.observing import note
from ums.web.openapi import BY_SESSION, PREFIX, Area, Areas, changes, reads, redirects
from ums.web.requests import CallbackQuery, LoginQuery

_LOGIN_COOKIE = "ums-login"
_SEE_OTHER = 303


def make_login(areas: Areas) -> Area:
    """Return the routes that anybody may call, but not too often."""
    area, services = areas.open("login", "Where people log in, by their browser."), areas.services

    @area.before_request
    def slow_down() -> None:
        services.login_attempts.require(client_key(request.remote_addr), services.clock.now(), "logins from here")

    @area.after_request
    def forget(response: Response) -> Response:
        response.headers["Cache-Control"] = "no-store"
        return response

    @area.get("/auth/login", responses=redirects())
    def log_in(query: LoginQuery) -> Response:
        """Send a browser to the issuer."""
        # First: nobody should come back from the issuer to learn that there can be no session.
        cookie_name(services, SESSION_COOKIE)
        begun = services.log_in.begin(wanted=query.next, callback=callback_url(services))
        response = _to(begun.url)
        set_cookie(services, response, _LOGIN_COOKIE, begun.secret, seconds=int(PATIENCE.total_seconds()))
        return response

    @area.get("/auth/callback", responses=redirects())
    def come_back(query: CallbackQuery) -> Response:
        """Open a session for whom the issuer sends back."""
        opened = services.log_in.finish(
            secret=request.cookies.get(cookie_name(services, _LOGIN_COOKIE), ""),
            state=query.state,
            code=query.code,
            error=query.error,
            callback=callback_url(services),
        )
        note(subject=opened.person.subject)
        # Whose session it was before does not matter; it ends.
        services.sessions.replace(request.cookies.get(cookie_name(services, SESSION_COOKIE), ""))
        response = _to(opened.next)
        set_cookie(services, response, _LOGIN_COOKIE, "", seconds=0)
        set_cookie(services, response, SESSION_COOKIE, opened.secret, seconds=int(LIFETIME.total_seconds()))
        return response

    return area


def make_people(areas: Areas) -> Area:
    """Return the route for whoever is known, whatever they may."""
    area, services = areas.known("people", "Who somebody is."), areas.services

    @area.get(f"{PREFIX}/whoami", responses=reads(answers.WhoAmI))
    def whoami() -> Response:
        """Say who asks, how that is known, and what they may."""
        response = jsonify(_view(recognize(services, request)))
        response.headers["Cache-Control"] = "no-store"
        return response

    return area


def make_logout(areas: Areas) -> Area:
    """Return the route for whoever has a session."""
    area, services = areas.known("logout", "How people log out.", by=BY_SESSION), areas.services

    @area.post("/auth/logout", responses=changes(answers.LoggedOut))
    def log_out() -> Response:
        """End the session that asks."""
        asker = recognize(services, request)
        if asker.csrf_token is None:
            raise InvalidInputError("a token has no session to end", hint="ums token revoke ends a token")
        secret = request.cookies.get(cookie_name(services, SESSION_COOKIE), "")
        services.sessions.log_out(secret, subject=asker.identity.subject)
        response = jsonify({"subject": asker.identity.subject, "loggedOut": True})
        response.headers["Cache-Control"] = "no-store"
        set_cookie(services, response, SESSION_COOKIE, "", seconds=0)
        return response

    return area


def _to(url: str) -> Response:
    return Response(status=_SEE_OTHER, headers={"Location": url})


def _view(asker: Asker) -> dict[str, Any]:
    identity = asker.identity
    return {
        "subject": identity.subject,
        "groups": sorted(identity.groups),
        "roles": [
            {
                "role": each.role,
                "bundles": sorted(each.bundles),
                "channels": sorted(each.channels),
                "orgs": sorted(each.orgs),
            }
            for each in identity.grants
            if each.role in ROLES
        ],
        "permissions": [each.value for each in Permission if identity.may(each)],
        "by": "token" if asker.csrf_token is None else "session",
        "expires": to_text(asker.expires) if asker.expires else None,
        "csrfToken": asker.csrf_token,
    }
