"""Who asks: bearer tokens of people and machines."""

from __future__ import annotations

from flask import Request, g

from ums.domain.errors import UnauthenticatedError
from ums.domain.identity import Identity, Permission
from ums.services import Services
from ums.web.observing import note


def identify(services: Services, request: Request, needed: Permission = Permission.READ) -> Identity:
    """Return who asks, if they may.

    Raises:
        UnauthenticatedError: no valid token came with the request.
        ForbiddenError: the identity lacks the permission.

    """
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise UnauthenticatedError("a token is needed", hint="set UMS_TOKEN, or give --token-file")
    identity = services.authenticate(token.strip())
    g.identity = identity
    note(subject=identity.subject)
    identity.require(needed)
    return identity
