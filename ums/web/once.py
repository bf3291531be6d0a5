"""``Idempotency-Key``: a change that is asked for twice is made once, and answered as it was the first time."""

from __future__ import annotations

import logging
from typing import Any

from flask import Response, g, request

from ums.domain.answers import Kept
from ums.domain.errors import ConflictError, InProgressError, InvalidInputError, StorageError, UnavailableError
from ums.domain.identity import Identity
from ums.usecases.answer_once import AnswerOnce, Claim
from ums.web.errors import problem

_LOG = logging.getLogger(__name__)

HEADER = "Idempotency-Key"
_MAX = 200
_SECRET = "secret"  # noqa: S105 - what is kept in place of one
_REDIRECTION, _UNPROCESSABLE = 300, 422
_PARAMETER = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "Chosen by you, for this request alone. The same request with the same key, within a day, is "
    "answered as it was the first time, and changes nothing; another request with this key is 422.",
    "schema": {"type": "string", "minLength": 1, "maxLength": _MAX, "pattern": "^[!-~]+$"},
}


def begin(answer_once: AnswerOnce, by: Identity) -> Response | None:
    """Return the answer that this request had before, if it has a key and had one.

    Raises:
        InvalidInputError: the key is none.
        InProgressError: the first request is not through.
        ConflictError: it had an answer that was not kept.

    """
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not 0 < len(key) <= _MAX or not all("!" <= each <= "~" for each in key):
        raise InvalidInputError(f"{HEADER}: from 1 to {_MAX} characters of ASCII, without spaces")
    content = request.get_data()
    claim, kept = answer_once.claim(by, request.full_path, key, content)
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
