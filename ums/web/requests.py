"""Bodies of requests: the models that validate them, strict about unknown fields."""

from __future__ import annotations

from typing import Annotated, TypeVar

from flask import request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from ums.domain.errors import InvalidInputError
from ums.domain.fleet import Management

MAX_BODY_BYTES = 256 * 1024

Text = Annotated[str, Field(max_length=2000)]
Name = Annotated[str, Field(max_length=300)]


class Body(BaseModel):
    """What all bodies share."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


class RegisterBody(Body):
    """A published release."""

    release: Name
    digest: Name


class PromoteBody(Body):
    """A promotion."""

    release: Name
    reason: Text = ""
    dry_run: bool = False


class InstructBody(Body):
    """A pin, a hold, a rollback, or the end of one."""

    subject: Name
    versions: Name | None = None
    release: Name | None = None
    reason: Text = ""
    until: Name | None = None
    dry_run: bool = False


class PlaneBody(Body):
    """A data plane to register."""

    pdp: Name
    channel: Name
    bundles: Annotated[list[Name], Field(min_length=1, max_length=100)]
    labels: dict[Name, Name] = {}
    management: Management = Management.VENDOR
    dry_run: bool = False


class TokenBody(Body):
    """A token to issue."""

    subject: Annotated[str, Field(min_length=1, max_length=200)]
    groups: Annotated[list[Name], Field(min_length=1)]
    bundles: list[Name] = []
    expires: Name | None = None


AnyBody = TypeVar("AnyBody", bound=Body)


def read_body(model: type[AnyBody]) -> AnyBody:
    """Return the request's body.

    Raises:
        InvalidInputError: names the field and what was expected.

    """
    try:
        return model.model_validate_json(request.get_data())
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}" for each in error.errors()]
        raise InvalidInputError(f"the request is not as expected: {'; '.join(problems)}") from error
