"""The types of options and arguments: their values are read before anything is done, so before any request is sent.

What is wrong with one is wrong usage (exit code 2). Each type gives the domain's own value, read by the domain.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

_MAX_NAMESPACE = 63


class Parsed(click.ParamType[Any]):
    """A value that a reader of the domain understands.

    Attributes:
        name: what it is, for messages.
        malformed: a value that it refuses; tests show that nothing is sent then.

    """

    def __init__(self, name: str, read: Callable[[str], Any], malformed: str) -> None:
        self.name = name
        self._read = read
        self.malformed = malformed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401
        """Return the value, or fail with the reader's own words."""
        if not isinstance(value, str):
            return value
        from ums.domain.errors import InvalidInputError

        try:
            return self._read(value)
        except InvalidInputError as error:
            self.fail(f"{error.message}{f': {error.hint}' if error.hint else ''}", param, ctx)


# Each reader imports what it needs when it is asked: help needs none of it.


def _duration(text: str) -> Any:  # noqa: ANN401 - timedelta
    from ums.domain.instants import parse_duration

    return parse_duration(text)


def _instant(text: str) -> Any:  # noqa: ANN401 - datetime
    from ums.domain.instants import parse_instant

    return parse_instant(text)


def _moment(text: str) -> Any:  # noqa: ANN401 - datetime
    """Read a time, or a span before now."""
    from datetime import UTC, datetime

    from ums.domain.errors import InvalidInputError

    try:
        return datetime.now(UTC) - _duration(text)
    except (InvalidInputError, OverflowError):
        return _instant(text)


def _version(text: str) -> Any:  # noqa: ANN401 - Version
    from ums.domain.version import Version

    return Version(text)


def _fact(text: str) -> Any:  # noqa: ANN401 - Version
    from ums.domain.fleet import fact_version

    return fact_version(text)


def _range(text: str) -> Any:  # noqa: ANN401 - VersionRange
    from ums.domain.version import VersionRange

    return VersionRange(text)


def _release(text: str) -> Any:  # noqa: ANN401 - ReleaseName
    from ums.domain.release import ReleaseName

    return ReleaseName.parse(text)


def _release_or_version(text: str) -> Any:  # noqa: ANN401 - Version
    return _release(text).version if "@" in text else _version(text)


def _plane(text: str) -> Any:  # noqa: ANN401 - PDPName
    from ums.domain.names import PDPName

    return PDPName.parse(text)


def _named(kind: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        from ums.domain.names import check_name

        return check_name(text, kind)

    return read


def _target(text: str) -> Any:  # noqa: ANN401 - PDPName, or a channel's name
    return _plane(text) if "/" in text else _named("channel name")(text)


def _subject(text: str) -> str:
    bundle, slash, component = text.partition("/")
    _named("bundle name")(bundle)
    if slash:
        _named("component name")(component)
    return text


def _subject_at(read: Callable[[str], Any]) -> Callable[[str], tuple[str, Any]]:
    def split(text: str) -> tuple[str, Any]:
        subject, at, rest = text.partition("@")
        return _subject(subject), read(rest) if at else None

    return split


def _pair(read: Callable[[str], Any] = str) -> Callable[[str], tuple[str, Any]]:
    def split(text: str) -> tuple[str, Any]:
        from ums.domain.errors import InvalidInputError

        key, equals, value = text.partition("=")
        if not equals or not key:
            raise InvalidInputError(f"{text!r:.60} is not of the form KEY=VALUE")
        return key, read(value)

    return split


def _replacement(text: str) -> str:
    from pathlib import Path

    from ums.domain.errors import InvalidInputError

    name, equals, path = text.partition("=")
    _named("component name")(name)
    if equals and not Path(path).exists():
        raise InvalidInputError(f"there is no {path}", hint="name a chart, or a folder of manifests")
    return text


def _image_of_component(text: str) -> str:
    from ums.domain.oci import Reference

    name, image = _pair()(text)
    _named("component name")(name)
    Reference.parse(image)
    return text


def _readable(text: str) -> str:
    """Return what a small file of ASCII text holds."""
    from pathlib import Path

    from ums.domain.errors import InvalidInputError

    try:
        return Path(text).read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{text} cannot be read: {error}") from error


def _service(text: str) -> str:
    from urllib.parse import urlsplit

    from ums.domain.errors import InvalidInputError

    if urlsplit(_link(text)).path.strip("/"):
        raise InvalidInputError(f"{text!r:.200} is not the URL of a service", hint="write https://host[:port]")
    return text.rstrip("/")


def _url(text: str) -> str:
    from ums.domain.addresses import parse_target

    parse_target(text)
    return text


def _link(text: str) -> str:
    from urllib.parse import urlsplit

    from ums.domain.errors import InvalidInputError

    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise InvalidInputError(f"{text!r:.200} is no URL: {error}") from error
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise InvalidInputError(f"{text!r:.200} is no URL", hint="write https://host/path")
    return text


def _repository(text: str) -> Any:  # noqa: ANN401 - Repository
    from ums.domain.oci import Repository

    return Repository.parse(text)


def _namespace(text: str) -> str:
    import re

    from ums.domain.errors import InvalidInputError
    from ums.domain.names import NAME_PATTERN

    if not re.fullmatch(NAME_PATTERN, text) or len(text) > _MAX_NAMESPACE:
        raise InvalidInputError(f"{text!r:.60} is no namespace", hint="as in flux-system")
    return text


def _image(text: str) -> str:
    from ums.domain.reporter import check_image

    return check_image(text)


def _security_kind(text: str) -> str:
    from ums.domain.errors import InvalidInputError
    from ums.domain.security_log import SecurityKind

    if text not in set(SecurityKind):
        raise InvalidInputError(f"there is no kind {text!r:.60}", hint=f"kinds: {', '.join(SecurityKind)}")
    return text


def _role(text: str) -> str:
    from ums.domain.errors import InvalidInputError
    from ums.domain.identity import ROLES

    if text not in ROLES:
        raise InvalidInputError(f"there is no role {text!r:.60}", hint=f"roles: {', '.join(ROLES)}")
    return text


def _commit(text: str) -> str:
    import re

    from ums.domain.errors import InvalidInputError

    if text and not re.fullmatch(r"[0-9a-f]{7,64}", text):
        raise InvalidInputError(f"{text!r:.60} is no commit", hint="write the digits that ums log shows")
    return text


def _token_id(text: str) -> str:
    from ums.domain.errors import InvalidInputError

    if not (text.isalnum() and text.isascii()):
        raise InvalidInputError(f"{text!r:.60} is no id of a token", hint="ums token list shows their ids")
    return text


DURATION = Parsed("duration", _duration, "3x")
INSTANT = Parsed("time", _instant, "tomorrow")
MOMENT = Parsed("time or duration", _moment, "yesterday")
VERSION = Parsed("version", _version, "one")
FACT_VERSION = Parsed("version", _fact, "one")
VERSION_RANGE = Parsed("version range", _range, ">>1")
RELEASE = Parsed("release", _release, "platform")
RELEASE_OR_VERSION = Parsed("release", _release_or_version, "platform")
PLANE = Parsed("data plane", _plane, "acme")
BUNDLE = Parsed("bundle", _named("bundle name"), "Bad Name")
CHANNEL = Parsed("channel", _named("channel name"), "Bad Name")
ORG = Parsed("organization", _named("organization name"), "Bad Name")
NAME = Parsed("name", _named("name"), "Bad Name")
TARGET = Parsed("data plane or channel", _target, "Bad Name")
SUBJECT = Parsed("bundle or component", _subject, "Bad/Name")
SUBJECT_AT_RELEASE = Parsed("bundle or component, and release", _subject_at(_version), "platform@one")
SUBJECT_AT_VERSIONS = Parsed("bundle or component, and versions", _subject_at(_range), "platform@>>1")
LABEL = Parsed("label", _pair(), "eu")
COMPONENT_RANGE = Parsed("component and version range", _pair(_range), "cilium=>>1")
KEY_FILE = Parsed("name and file", _pair(_readable), "second=/no/such/file")
REPLACEMENT = Parsed("component and path", _replacement, "cilium=/no/such")
IMAGE_OF_COMPONENT = Parsed("component and image", _image_of_component, "cilium")
TEXT_FILE = Parsed("file", _readable, "/no/such/file")
SERVICE_URL = Parsed("URL", _service, "ums.example.com")
URL = Parsed("URL", _url, "ums.example.com")
LINK = Parsed("URL", _link, "ums.example.com")
REPOSITORY = Parsed("repository", _repository, "https://Registry/")
NAMESPACE = Parsed("namespace", _namespace, "Bad Name")
IMAGE = Parsed("image", _image, "no image")
SECURITY_KIND = Parsed("kind", _security_kind, "token.invented")
ROLE = Parsed("role", _role, "king")
COMMIT = Parsed("commit", _commit, "main")
TOKEN_ID = Parsed("id", _token_id, "../x")
