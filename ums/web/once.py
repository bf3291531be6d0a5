"""``Idempotency-Key``: a change that is asked for twice is made once, and answered as it was the first time."""

from __future__ import annotations

import logging
from typing import Any

from flask import Response, g, request

from ums.domain.answers import Kept
from ums.domain.errors import ConflictError, InProgressError, InvalidInputError, StorageError, UnavailableError
from ums.domain.identity import Identity, Permission
from ums.services import Services
from ums.usecases.answer_once import AnswerOnce, Claim
from ums.web.errors import problem

_LOG = logging.getLogger(__name__)

HEADER = "Idempotency-Key"
_MAX = 200
_SECRET = "secret"  # noqa: S105 - what is kept in place of one
_REDIRECTION, _UNPROCESSABLE = 300, 422
NEEDED = {
    name: permission
    for permission, names in {
        Permission.APPROVE: "approve",
        Permission.PUBLISH: "register_release look_again",
        Permission.PROMOTE: "promote cancel_promotion override_gate steer_rollout roll_back_channel unhold_channel "
        "yank unyank recall declare_risk retract_risk",
        Permission.OPERATE: "freeze thaw pin unpin hold unhold roll_back consent accept_risk",
        Permission.REGISTER: "add_plane change_plane remove_plane rotate finish_rotation",
        Permission.ADMIN: "set_policy rotate_keys grant_role revoke_role issue_token revoke_token add_webhook "
        "remove_webhook replay_delivery",
    }.items()
    for name in names.split()
}
"""What each change needs at least, by its operation; the change itself asks for more: for what it is meant."""
_PARAMETER = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "Chosen by you, for this request alone. The same request with the same key, within a day, is "
    "answered as it was the first time, and changes nothing; another request with this key is 422.",
    "schema": {"type": "string", "minLength": 1, "maxLength": _MAX, "pattern": "^[!-~]+$"},
}


def begin(services: Services, by: Identity) -> Response | None:
    """Return the answer that this request had before, if it has a key and had one.

    Nothing is kept for an identity whose roles do not allow the change, wherever it is meant for.

    Raises:
        ForbiddenError: the identity lacks the permission.
        TooManyRequestsError: the identity used too many keys.
        InvalidInputError: the key is none.
        InProgressError: the first request is not through.
        ConflictError: it had an answer that was not kept.

    """
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not 0 < len(key) <= _MAX or not all("!" <= each <= "~" for each in key):
        raise InvalidInputError(f"{HEADER}: from 1 to {_MAX} characters of ASCII, without spaces")
    needed = NEEDED.get(str(request.endpoint).rpartition(".")[2])
    if needed is None:
        return None  # nothing is changed
    by.require(needed)
    services.keys_used.require(by.subject, services.clock.now(), f"{HEADER}s of {by.subject}")
    content = request.get_data()
    claim, kept = services.answer_once.claim(by, request.full_path, key, content)
    if kept is None:
        g.claim = claim
        return None
    if kept.fingerprint != claim.fingerprint:
        title = f"{HEADER}: this key was given with another body"
        return problem(_UNPROCESSABLE, "key-reused", title, hint="choose a new key for each request")
    if not kept.status:
        raise InProgressError("the first request with this key is not through", hint="try again in a moment")
    if kept.body == _SECRET:
        raise ConflictError("this was done, and its answer held a secret, which nobody keeps", hint="make a new one")
    return Response(kept.body, kept.status, mimetype="application/json", headers={"Idempotency-Replayed": "true"})


def end(answer_once: AnswerOnce, response: Response) -> None:
    """Keep the answer of a request that has a key. An error is not kept: nothing was changed, and it may end."""
    claim: Claim | None = g.pop("claim", None)
    if claim is None:
        return
    answer = None
    if response.status_code < _REDIRECTION:
        body = _SECRET if response.cache_control.no_store else response.get_data(as_text=True)
        answer = Kept(claim.fingerprint, response.status_code, body)
    try:
        answer_once.keep(claim, answer)
    except (StorageError, UnavailableError) as error:
        # What was asked for is done, and that is what must be told; a claim ends by itself.
        _LOG.warning("an answer could not be kept: %s", error)


def described(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document in which changes take the header."""
    for path in document["paths"].values():
        operation = path.get("post")
        if operation is not None and {"bearer": []} in operation.get("security", ()):
            operation.setdefault("parameters", []).append(_PARAMETER)
    return document
