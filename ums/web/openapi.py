"""What every route says of itself: one OpenAPI document, made of the models that check and describe. The only door."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Any

from flask import Request, Response, current_app, g, jsonify, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models import RawModel
from flask_openapi3.models.info import Info
from flask_openapi3.models.security_scheme import SecurityScheme
from flask_openapi3.models.tag import Tag
from flask_openapi3.openapi import OpenAPI
from flask_openapi3.types import ResponseDict
from pydantic import BaseModel, ValidationError
from pydantic.alias_generators import to_camel

from ums import __version__
from ums.domain import strict_json
from ums.domain.budget import Budget
from ums.domain.errors import (
    ConflictError,
    ForbiddenError,
    InProgressError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    RefusedError,
    StorageError,
    TooManyRequestsError,
    UmsError,
    UnauthenticatedError,
    UnavailableError,
    UnverifiedError,
)
from ums.domain.identity import Identity, Permission
from ums.domain.strict_json import StrictJSONError
from ums.outcomes import OUTCOMES, UNFORESEEN
from ums.services import Services
from ums.usecases.see import Sight
from ums.web import once
from ums.web.answers import Problem
from ums.web.auth import CSRF_HEADER, SESSION_COOKIE, identify

PREFIX = "/api/v1"
_DESCRIPTION = """\
Every answer that is no success is a problem document (RFC 9457): `type` ends in a stable code, `hint` says what to do
next, and `blockedBy` lists every rule that said no. Reading answers carry an `ETag`; send it back as `If-None-Match`
and an answer that did not change is 304. Unknown members and parameters are refused."""
_BEARER, _SESSION, _SIGNATURE = "bearer", "session", "signature"
_SCHEMES: dict[str, SecurityScheme | dict[str, Any]] = {
    _BEARER: SecurityScheme(type="http", scheme="bearer", description="A token, as `ums token issue` prints it."),
    _SESSION: SecurityScheme(
        type="apiKey",
        name=f"__Host-{SESSION_COOKIE}",
        security_scheme_in="cookie",
        description=f"A session of a person's browser, from `/auth/login`. Whatever changes something needs the header "
        f"`{CSRF_HEADER}`, with the `csrfToken` of `{PREFIX}/whoami`, and has to come from a page of this service.",
    ),
    _SIGNATURE: SecurityScheme(
        type="apiKey",
        name="X-Signature",
        security_scheme_in="header",
        description="`sha256=` and the HMAC-SHA256 of the body in hex, as Flux's notification-controller sends it.",
    ),
}
PROVEN: list[dict[str, list[str]]] = [{_BEARER: []}, {_SESSION: []}]
BY_SESSION: list[dict[str, list[str]]] = [{_SESSION: []}]
"""Of a route that tokens cannot use."""
_UNCHANGED: dict[str, Any] = {"description": "It is what the given ETag stands for."}
_ANYWHERE = (InvalidInputError, UnavailableError)
_READING = (
    *_ANYWHERE,
    TooManyRequestsError,
    UnauthenticatedError,
    ForbiddenError,
    NotFoundError,
    IntegrityError,
    StorageError,
)
_CHANGING = (*_READING, RefusedError, ConflictError, InProgressError, UnverifiedError)
_MAX_MEMBERS = 10_000
_MAX_PROBLEMS = 10
_TOO_LARGE = int(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


Area = APIBlueprint
"""Routes that belong together."""


class RawJSON(RawModel):
    """A body whose very bytes count."""


class JSONRequest(Request):
    """A request whose body is JSON, whatever it calls itself."""

    def get_json(self, *_: Any, **__: Any) -> Any:  # noqa: ANN401 - any JSON value
        """Return the body.

        Raises:
            InvalidInputError: it is no JSON object, or has too many members and items.

        """
        content = self.get_data()
        # Each member and item but one has a comma before it: this counts them before anything is made of them.
        Budget(_MAX_MEMBERS, "members and items of the body").spend(content.count(b","))
        try:
            data = strict_json.loads(content, floats=True, go=False)
        except StrictJSONError as error:
            raise InvalidInputError(f"the body is not JSON: {error.message}") from error
        if not isinstance(data, dict):
            raise InvalidInputError("the request is not as expected: body: an object is needed")
        return data


class Application(OpenAPI):
    """Describes itself, once its blueprints are registered by ``register_api``."""

    request_class = JSONRequest


def make_app() -> Application:
    """Return an application whose routes describe themselves."""
    return Application(
        "ums",
        info=Info(title="UMS", version=__version__, description=_DESCRIPTION),
        security_schemes=_SCHEMES,
        validation_error_status=OUTCOMES[InvalidInputError].status,
        validation_error_model=Problem,
        validation_error_callback=_refuse,
        operation_id_callback=_operation_id,
        doc_ui=False,
    )


@dataclass(frozen=True, slots=True)
class Areas:
    """Makes blueprints; schemas are costly, so only those of a ``documented`` application are made."""

    services: Services
    documented: bool

    def guarded(self, name: str, description: str) -> Area:
        """Return one whose routes want a token or a session that may read."""
        area = self._area(name, description, PROVEN, PREFIX)

        @area.before_request
        def who() -> Response | None:
            identify(self.services, request)
            _check_query()
            return once.begin(self.services, g.identity) if request.method == "POST" else None

        @area.after_request
        def keep(response: Response) -> Response:
            _hide(self.services, response)
            once.end(self.services.answer_once, response)
            return spare(response)

        return area

    def known(self, name: str, description: str, *, by: list[dict[str, list[str]]] = PROVEN) -> Area:
        """Return one whose routes find out themselves who asks, by a token or a session, whatever these may."""
        area = self._area(name, description, by, None)
        area.before_request(_check_query)
        return area

    def signed(self, name: str, description: str) -> Area:
        """Return one whose routes check a signature of the body themselves."""
        area = self._area(name, description, [{_SIGNATURE: []}], PREFIX)
        area.before_request(_check_query)
        return area

    def open(self, name: str, description: str, *, prefix: str | None = None) -> Area:
        """Return one whose routes anybody may call."""
        area = self._area(name, description, [], prefix)
        area.before_request(_check_query)
        return area

    def _area(self, name: str, description: str, security: list[dict[str, list[str]]], prefix: str | None) -> Area:
        return Area(
            name,
            __name__,
            url_prefix=prefix,
            abp_tags=[Tag(name=name, description=description)],
            abp_security=security,
            operation_id_callback=_operation_id,
            doc_ui=self.documented,
        )


def asker(needed: Permission = Permission.READ) -> Identity:
    """Return who asks.

    Raises:
        ForbiddenError: the identity lacks the permission.

    """
    identity: Identity = g.identity
    identity.require(needed)
    return identity


def sight(services: Services) -> Sight:
    """Return what whoever asks sees. Routes read of the fleet by this alone."""
    return services.see(asker())


def secret(data: dict[str, Any], status: int = 200) -> Response:
    """Answer with something that no cache may keep."""
    response = jsonify(data)
    response.status_code = status
    response.headers["Cache-Control"] = "no-store"
    return response


def reads(answer: type[BaseModel]) -> ResponseDict:
    """Return the answers of a route that changes nothing."""
    return {200: answer, 304: _UNCHANGED, **_problems(*_READING)}


def hands_out(answer: type[BaseModel]) -> ResponseDict:
    """Return the answers of a route that changes nothing, and refuses by rules what it could give."""
    return {**reads(answer), **_problems(*_READING, RefusedError, ConflictError)}


def streams() -> ResponseDict:
    """Return the answers of a route that goes on telling."""
    told = {"description": "Server-sent events.", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
    return {200: told, **_problems(*_READING)}


def changes(answer: type[BaseModel], *statuses: int) -> ResponseDict:
    """Return the answers of a route that takes a body."""
    too_large: ResponseDict = {_TOO_LARGE: _problem("The body is too large.")}
    return {**dict.fromkeys(statuses or (200,), answer), **_problems(*_CHANGING), **too_large}


def hears(answer: type[BaseModel]) -> ResponseDict:
    """Return the answers of a route that takes only so much from one sender."""
    return {**changes(answer, 202), **_problems(TooManyRequestsError)}


def publishes(answer: type[BaseModel]) -> ResponseDict:
    """Return the answers of a route that says the same to everybody."""
    return {200: answer, 304: _UNCHANGED, **_problems(InvalidInputError)}


def redirects() -> ResponseDict:
    """Return the answers of a route that leads a browser elsewhere."""
    return {int(HTTPStatus.SEE_OTHER): {"description": "Go on there."}, **_problems(*_READING)}


def checks(answer: type[BaseModel]) -> ResponseDict:
    """Return the answers of a route about the service itself: the same form whether it is well or not."""
    unavailable = OUTCOMES[UnavailableError].status
    return {200: answer, unavailable: answer, **_problems(InvalidInputError)}


@cache
def _problems(*kinds: type[UmsError]) -> ResponseDict:
    texts: dict[int, list[str]] = {UNFORESEEN.status: [f"`{UNFORESEEN.code}`"]}
    for kind in kinds:
        outcome = OUTCOMES[kind]
        texts.setdefault(outcome.status, []).append(f"`{outcome.code}`: {inspect.getdoc(kind)}")
    return {status: _problem("\n\n".join(texts[status])) for status in sorted(texts)}


def _problem(description: str) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{Problem.__name__}"}
    return {"description": description, "content": {"application/problem+json": {"schema": schema}}}


def _operation_id(*, name: str, path: str, method: str) -> str:  # noqa: ARG001 - the library's
    return to_camel(f"get_{name}" if method == "GET" else name)


def _hide(services: Services, response: Response) -> None:
    """Name no data planes in an answer that are not the asker's business; the one that the path names it knows."""
    by: Identity | None = g.get("identity")
    if by is None or by.orgs is None or not response.is_json:
        return
    given = request.view_args or {}
    asked = f"{given.get('org', '')}/{given.get('pdp', '')}"
    response.set_data(current_app.json.dumps(services.see.hide(response.get_json(), by, asked)))


def _refuse(error: ValidationError) -> None:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    problems = [f"{'.'.join(map(str, each['loc'])) or 'body':.200}: {each['msg']}" for each in found[:_MAX_PROBLEMS]]
    if len(found) > _MAX_PROBLEMS:
        problems.append(f"and {len(found) - _MAX_PROBLEMS} more")
    raise InvalidInputError(f"the request is not as expected: {'; '.join(problems)}") from error


def spare(response: Response) -> Response:
    """Tag an answer, and spare it to whoever has it already."""
    if (
        request.method in {"GET", "HEAD"}
        and response.status_code == HTTPStatus.OK
        and not response.cache_control.no_store
    ):
        response.headers["Cache-Control"] = "private, no-cache"
        response.add_etag()
        response.make_conditional(request)
    return response


def _check_query() -> None:
    """Refuse parameters where a route has none, or twice; routes that have some check the others by their model."""
    twice = next((name for name, values in request.args.lists() if len(values) > 1), None)
    if twice is not None:
        raise InvalidInputError(f"query parameter {twice!r:.100} is there twice")
    if request.args and request.endpoint is not None:
        view = current_app.view_functions[request.endpoint]
        if "query" not in inspect.signature(view).parameters:
            raise InvalidInputError(f"{request.path:.100} takes no query parameters")
