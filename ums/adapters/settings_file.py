"""``service.yaml``, what an operator sets for a process, and the environment that overrides it.

It finds out what is set where, and everything that is wrong with it; it opens no file that a setting names.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ums.adapters._database import check_url
from ums.adapters._yaml import Duration, StrictModel, check, load_with_lines, parsed_by
from ums.domain.errors import InvalidInputError, SpecError
from ums.domain.git_hosts import check_remote
from ums.domain.issuers import check_issuer

DEFAULT_LISTEN = "127.0.0.1:8080"
_ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:]+\]|[^:\[\]\s/]+):(?P<port>\d{1,5})")
_MAX_PORT = 65535
_MAX_PROXIES = 10
_MAX_CONNECTIONS = 2000
_NEAR = 0.9
_DOMAIN = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+", re.ASCII)


def check_address(text: str) -> None:
    """Check that text is ``host:port``.

    Raises:
        InvalidInputError: it is not.

    """
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match["port"]) > _MAX_PORT:
        raise InvalidInputError(f"{text!r:.60} is no address", hint="write host:port, e.g. 0.0.0.0:8080")


def _whole_number(value: object) -> object:
    # From the environment all is text; in YAML a quoted number is a slip that harms nobody.
    return int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() else value


FileName = Annotated[str, Field(min_length=1)]
Number = Annotated[int, BeforeValidator(_whole_number), Field(strict=True)]


class DatabaseModel(StrictModel):
    """Where observations and tokens are kept."""

    url: Annotated[str, parsed_by(check_url)] | None = Field(
        None, description="postgresql://user@host/name, or sqlite:///path; without it, ums.db in the data folder."
    )
    password_file: FileName | None = Field(None, description="File with the password of the database.")


class RegistryModel(StrictModel):
    """The login at an outside registry."""

    username: FileName | None = Field(None, description="User at an outside registry; reading is all it needs.")
    password_file: FileName | None = Field(None, description="File with that user's password.")


class TLSModel(StrictModel):
    """For serving HTTPS without a proxy in front."""

    cert_file: FileName | None = Field(None, description="PEM file with the certificate and its chain.")
    key_file: FileName | None = Field(None, description="PEM file with its private key, unencrypted.")


def domains(text: str) -> frozenset[str]:
    """Return domains that are separated by commas.

    Raises:
        InvalidInputError: one is none.

    """
    found = frozenset(each.strip().lower() for each in text.split(","))
    if not all(_DOMAIN.fullmatch(each) for each in found):
        raise InvalidInputError(f"{text!r:.60} are no domains", hint="write example.com, example.org")
    return found


def _check_scopes(text: str) -> None:
    if "openid" not in text.split():
        raise InvalidInputError("without the scope openid nobody can log in", hint="write openid email profile")


class OIDCModel(StrictModel):
    """Where people log in."""

    issuer: Annotated[str, parsed_by(check_issuer)] | None = Field(
        None, description="URL of the OpenID Connect issuer, as it calls itself; without it, there are tokens alone."
    )
    client_id: FileName | None = Field(None, description="The service's id at the issuer.")
    client_secret_file: FileName | None = Field(
        None, description="File with the service's secret at the issuer; without it, a public client."
    )
    scopes: Annotated[str, parsed_by(_check_scopes)] = Field(
        "openid email profile", description="Scopes to ask for, separated by blanks."
    )
    groups_claim: FileName = Field("groups", description="Claim of the ID token that lists a person's groups.")
    subject_claim: FileName = Field(
        "email", description="Claim that people are called by; email counts only if the issuer verified it."
    )
    allowed_domains: Annotated[str, parsed_by(domains)] | None = Field(
        None, description="Domains of verified addresses that may log in, separated by commas; without it, all."
    )


class GitHostModel(StrictModel):
    """The Git host that the release repo is exchanged with."""

    url: Annotated[str, parsed_by(check_remote)] | None = Field(
        None, description="https:// or ssh:// URL of an empty repository, or of this one; without it, there is no host."
    )
    username: FileName = Field("git", description="User for HTTPS; most hosts take any with a token.")
    password_file: FileName | None = Field(None, description="File with that user's password, or a token.")
    ssh_key_file: FileName | None = Field(None, description="File with a private key that may push: a deploy key.")
    known_hosts_file: FileName | None = Field(None, description="File with the host's keys, as known_hosts has them.")


class HistoryModel(StrictModel):
    """What is kept of the past."""

    retention: Duration = Field("90d", description="How long changes of data planes' health are kept.")


class MetricsModel(StrictModel):
    """What Prometheus reads."""

    anonymous: Literal["local", "never", "always"] = Field(
        "local", description="Who reads /metrics without a token: local (this machine, not by a proxy), never, always."
    )


class LogModel(StrictModel):
    """How the process logs, to standard error."""

    format: Literal["auto", "json", "console"] = Field(
        "auto", description="json, console for people, or auto: console at a terminal, json elsewhere."
    )


class ServiceModel(StrictModel):
    """The settings of a service process."""

    listen: Annotated[str, parsed_by(check_address)] = Field(DEFAULT_LISTEN, description="Address, host:port.")
    trusted_proxies: Number = Field(
        0, ge=0, le=_MAX_PROXIES, description="Reverse proxies in front whose X-Forwarded headers are believed."
    )
    connections_per_address: Number = Field(
        512, ge=1, le=_MAX_CONNECTIONS, description="Connections that one client address may have at a time."
    )
    reconcile_every: Duration = Field("10s", description="How often the loop runs when nobody acts.")
    database: DatabaseModel = Field(default_factory=DatabaseModel, description="Where observations and tokens are.")
    registry: RegistryModel = Field(default_factory=RegistryModel, description="Login at an outside registry.")
    tls: TLSModel = Field(default_factory=TLSModel, description="For serving HTTPS.")
    oidc: OIDCModel = Field(default_factory=OIDCModel, description="Where people log in.")
    git_host: GitHostModel = Field(default_factory=GitHostModel, description="Where the release repo is exchanged.")
    history: HistoryModel = Field(default_factory=HistoryModel, description="What is kept of the past.")
    metrics: MetricsModel = Field(default_factory=MetricsModel, description="What Prometheus reads.")
    log: LogModel = Field(default_factory=LogModel, description="How the process logs.")


@dataclass(frozen=True, slots=True)
class SettingField:
    """A setting that there is.

    Attributes:
        name: its dotted path in the file.
        env: the variable that overrides it.
        default: what counts where nobody sets it, or ``None``.
        description: one sentence.

    """

    name: str
    env: str
    default: str | int | None
    description: str


@dataclass(frozen=True, slots=True)
class Value:
    """What a setting is, and who says so.

    Attributes:
        field: which one.
        value: as it was given, or ``None`` where nothing was, or something wrong.
        source: ``file``, ``env``, ``option`` or ``default``.
        where: file and line, or the name of the variable or option; empty for a default.

    """

    field: SettingField
    value: Any
    source: str
    where: str


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong with the settings."""

    where: str
    field: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        parts = [self.where, self.field if self.field and ":" in self.where else "", self.message]
        return ": ".join(part for part in parts if part) + (f" ({self.hint})" if self.hint else "")

    def to_dict(self) -> dict[str, str]:
        """Return the form used in answers."""
        return {"where": self.where, "field": self.field, "message": self.message, "hint": self.hint}


def fields() -> tuple[SettingField, ...]:
    """Return every setting, in the order of the file."""
    return tuple(_fields(ServiceModel, ""))


def _fields(model: type[StrictModel], prefix: str) -> list[SettingField]:
    found = []
    for info in model.model_fields.values():
        name = f"{prefix}{info.alias}"
        if isinstance(info.annotation, type) and issubclass(info.annotation, StrictModel):
            found += _fields(info.annotation, f"{name}.")
        else:
            env = "UMS_" + re.sub(r"(?<=[a-z])(?=[A-Z])|\.", "_", name).upper()
            found.append(SettingField(name, env, info.default, info.description or ""))
    return found


def read_settings(
    content: bytes | None, file: str, env: Mapping[str, str], options: Mapping[str, tuple[str, str]]
) -> tuple[dict[str, Value], list[Problem]]:
    """Return every setting by name, and all problems.

    Args:
        content: of the file, or ``None`` where there is none.
        file: its name, for messages.
        env: variables; those that are no setting, or empty, do not count.
        options: of a command, by the name of the setting: how the option is called, and what was given.

    """
    given, lines, problems = _file(content, file)
    sources: dict[str, tuple[str, str]] = {}
    for field in fields():
        path = tuple(field.name.split("."))
        if path in lines and _get(given, field.name) is not None:
            sources[field.name] = ("file", f"{file}:{lines[path]}")
        text, source, where = env.get(field.env, ""), "env", field.env
        if field.name in options:
            (where, text), source = options[field.name], "option"
        # An empty variable is how many tools say that there is none.
        if text and _put(given, path, text):
            sources[field.name] = (source, where)
    problems += _misspelt(env)
    checked, wrong = check(ServiceModel, given, reference="see docs/reference/configuration.md")
    for error, parts in wrong:
        name = ".".join(str(part) for part in parts)
        where = sources.get(name, ("", ""))[1]
        line = next((lines[parts[:end]] for end in range(len(parts), -1, -1) if parts[:end] in lines), 0)
        problems.append(Problem(where or f"{file}:{line}", name, error.problem, error.hint))
    bad = {problem.field for problem in problems}
    values = {}
    for field in fields():
        source, where = sources.get(field.name, ("default", ""))
        value = _get(given, field.name) if source != "default" else field.default
        # What is wrong has no value: it might be a secret, and is not what would count.
        is_wrong = any(field.name == name or field.name.startswith(f"{name}.") for name in bad)
        values[field.name] = Value(field, None if is_wrong else value, source, where)
    if checked is not None:
        dumped = checked.model_dump(by_alias=True)
        values = {name: Value(each.field, _get(dumped, name), each.source, each.where) for name, each in values.items()}
    return values, problems


def _file(
    content: bytes | None, file: str
) -> tuple[dict[str, Any], Mapping[tuple[str | int, ...], int], list[Problem]]:
    if content is None:
        return {}, {}, []
    try:
        value, lines = load_with_lines(content, file)
    except SpecError as error:
        where = f"{file}:{error.line}" if error.line else file
        return {}, {}, [Problem(where, error.field, error.problem, error.hint)]
    # A field or section with nothing behind it is one that was commented out.
    sections = {name: _without_nothing(each) if isinstance(each, dict) else each for name, each in value.items()}
    return _without_nothing(sections), lines, []


def _without_nothing(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if value is not None}


def _misspelt(env: Mapping[str, str]) -> list[Problem]:
    """Return the variables that are nearly a setting: nobody sets UMS_LISTENS for anything else."""
    known = [field.env for field in fields()]
    unknown = sorted(name for name in env if name.startswith("UMS_") and name not in known)
    near = {name: difflib.get_close_matches(name, known, n=1, cutoff=_NEAR) for name in unknown}
    return [Problem(name, "", "no such setting", f"did you mean {found[0]}?") for name, found in near.items() if found]


def _put(given: dict[str, Any], path: tuple[str, ...], text: str) -> bool:
    """Set a field; not where the file has something else than a mapping on the way, which is a problem of its own."""
    for part in path[:-1]:
        given.setdefault(part, {})
        if not isinstance(given[part], dict):
            return False
        given = given[part]
    given[path[-1]] = text
    return True


def _get(given: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - any YAML value
    value: Any = given
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
