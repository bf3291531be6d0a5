"""Settings of a service process: frozen, validated, from a file and variables that an entry point passes in."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from ums.adapters._database import check_url
from ums.adapters.private_files import is_exposed
from ums.adapters.settings_file import (
    DEFAULT_LISTEN,
    Problem,
    SettingField,
    Value,
    check_address,
    domains,
    fields,
    read_settings,
)
from ums.domain.errors import InvalidInputError
from ums.domain.git_hosts import GitRemote
from ums.domain.instants import parse_duration
from ums.domain.issuers import Issuer

__all__ = ["DEFAULT_LISTEN", "Found", "Problem", "SettingField", "Settings", "Value", "fields", "find_settings"]

FILE_NAME = "service.yaml"
DATABASE_NAME = "ums.db"
LEADER_LOCK = "leader.lock"
_MAX_SECRET_BYTES = 4096
_SECRET_FILES = (
    "database.passwordFile",
    "registry.passwordFile",
    "tls.keyFile",
    "oidc.clientSecretFile",
    "gitHost.passwordFile",
    "gitHost.sshKeyFile",
)
_SHORTEST = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a process needs to know before it can read the release repo.

    Attributes:
        data: folder with keys, release repo, embedded registry and, unless it is elsewhere, the database.
        listen: ``host:port``.
        trusted_proxies: how many reverse proxies in front have their X-Forwarded headers believed.
        connections_per_address: connections that one address may have at a time.
        reconcile_every: how often the loop runs when nobody changes anything.
        database_url: SQLAlchemy URL without a password, or ``None`` for the file in ``data``.
        database_password: for the database.
        registry_username, registry_password: for an outside registry; reading is all it needs.
        tls_cert_file, tls_key_file: to serve HTTPS.
        log_format: ``json``, ``console``, or ``auto``: console at a terminal.
        exposed: files with secrets that other users of this machine can read, in words.
        issuer: where people log in, or ``None``: tokens alone.
        git_host: the Git host that the release repo is exchanged with, or ``None``.
        history_retention: how long changes of health are kept.
        metrics_anonymous: who reads ``/metrics`` without a token: ``local``, ``never`` or ``always``.

    """

    data: Path
    listen: str = DEFAULT_LISTEN
    trusted_proxies: int = 0
    connections_per_address: int = 512
    reconcile_every: timedelta = timedelta(seconds=10)
    database_url: str | None = None
    database_password: str | None = field(default=None, repr=False)
    registry_username: str | None = None
    registry_password: str | None = field(default=None, repr=False)
    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None
    issuer: Issuer | None = None
    git_host: GitRemote | None = None
    history_retention: timedelta = timedelta(days=90)
    metrics_anonymous: str = "local"
    log_format: str = "auto"
    exposed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_address(self.listen)
        if self.database_url is not None:
            check_url(self.database_url)
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise InvalidInputError("a TLS certificate needs its key, and a key its certificate")

    @classmethod
    def from_env(cls, env: Mapping[str, str], *, options: Mapping[str, tuple[str, str]] | None = None) -> Self:
        """Read the settings as ``find_settings`` does.

        Raises:
            InvalidInputError: names everything that is wrong, and where it stands.

        """
        found = find_settings(env, options=options)
        found.check()
        return cls(**found.arguments)

    @property
    def release_repo(self) -> Path:
        """Return where the bare release repo is."""
        return self.data / "release-repo.git"

    @property
    def registry(self) -> Path:
        """Return where the embedded registry keeps its blobs."""
        return self.data / "registry"

    @property
    def database(self) -> str:
        """Return the SQLAlchemy URL of the database."""
        return self.database_url or f"sqlite:///{self.database_file}"

    @property
    def database_file(self) -> Path | None:
        """Return where the database is, if it is the one in the data folder."""
        return None if self.database_url else self.data / DATABASE_NAME

    @property
    def local_database(self) -> Path | None:
        """Return where the database is, if it is a file."""
        if self.database_url is None:
            return self.data / DATABASE_NAME
        scheme, _, path = self.database_url.partition(":///")
        return Path(path.partition("?")[0]) if scheme == "sqlite" else None

    @property
    def private_paths(self) -> tuple[Path, ...]:
        """Return everything that holds secrets or that only the service may write, whether it is there or not."""
        keys = (self.state_key, self.next_state_key, self.offline_state_key, self.pending_state_key, self.master_key)
        file = self.local_database
        databases = [file.with_name(file.name + end) for end in ("", "-wal", "-shm", "-journal")] if file else []
        return (*keys, self.file, *databases, self.release_repo, self.registry, self.data / LEADER_LOCK)

    @property
    def file(self) -> Path:
        """Return where the file with settings is, unless it was named elsewhere."""
        return self.data / FILE_NAME

    @property
    def state_key(self) -> Path:
        """Return where the key is that signs commits."""
        return self.data / "state.key"

    @property
    def pending_state_key(self) -> Path:
        """Return where ``ums init`` keeps the state key until all else is made."""
        return self.state_key.with_suffix(".pending")

    @property
    def next_state_key(self) -> Path:
        """Return where a state key stands by until every data plane knows it."""
        return self.data / "next-state.key"

    @property
    def old_state_key(self) -> Path:
        """Return where the public half of the state key before is left, to be dropped."""
        return self.data / "old-state.pub"

    @property
    def offline_state_key(self) -> Path:
        """Return where ``ums init`` leaves the second state key, to be carried away."""
        return self.data / "offline-state.key"

    @property
    def master_key(self) -> Path:
        """Return where the secret is that credentials of data planes derive from."""
        return self.data / "master.key"


@dataclass(frozen=True, slots=True)
class Found:
    """What is set, where, and what is wrong with it.

    Attributes:
        data: the data folder.
        file: the file that was read or, if ``file_read`` is false, would be.
        values: every setting, by name; secrets are not among them, only the files they are in.
        problems: all of them, those in the file first.
        arguments: for ``Settings``; complete where there is no problem.

    """

    data: Path
    file: Path
    file_read: bool
    values: Mapping[str, Value]
    problems: tuple[Problem, ...]
    arguments: Mapping[str, Any] = field(repr=False)

    def check(self) -> None:
        """Raise all problems as one error.

        Raises:
            InvalidInputError: there are some.

        """
        if len(self.problems) == 1:
            first = replace(self.problems[0], hint="")
            raise InvalidInputError(str(first), hint=self.problems[0].hint)
        if self.problems:
            lines = "".join(f"\n  {problem}" for problem in self.problems)
            raise InvalidInputError(
                f"{len(self.problems)} settings are wrong:{lines}", hint="ums config check shows what is set where"
            )


def find_settings(env: Mapping[str, str], *, options: Mapping[str, tuple[str, str]] | None = None) -> Found:
    """Look at the file, the variables and the options of a command; the later of these count more.

    The file is ``UMS_CONFIG``, which must then be there, or else ``service.yaml`` in the data folder, ``UMS_DATA``.
    ``options`` is, by the name of a setting, what the option is called and what was given.
    """
    data = Path(env.get("UMS_DATA") or "ums-data")
    named = env.get("UMS_CONFIG")
    file = Path(named) if named else data / FILE_NAME
    content, problems = None, []
    try:
        content = file.read_bytes()
    except FileNotFoundError as error:
        problems = [_unreadable("UMS_CONFIG", "", file, error)] if named else []
    except OSError as error:
        problems = [_unreadable("UMS_CONFIG" if named else str(file), "", file, error)]
    values, found = read_settings(content, str(file), env, options or {})
    collected = _Collected(file.parent, values, [*problems, *found])
    arguments = {"data": data, **collected.arguments()}
    shown = dict(collected.values)
    if shown["database.url"].source == "default":
        shown["database.url"] = replace(shown["database.url"], value=f"sqlite:///{data / DATABASE_NAME}")
    return Found(data, file, content is not None, shown, tuple(collected.problems), arguments)


def _unreadable(where: str, name: str, path: Path, error: OSError) -> Problem:
    return Problem(where, name, f"cannot read {path}: {error.strerror}")


class _Collected:
    """Follows what the settings name, and collects what is wrong there."""

    def __init__(self, folder: Path, values: Mapping[str, Value], problems: list[Problem]) -> None:
        self.problems = problems
        self._wrong = {problem.field for problem in problems}
        self.values = {name: self._located(each, folder) for name, each in values.items()}

    def arguments(self) -> dict[str, Any]:
        """Return what ``Settings`` takes, as far as it could be read."""
        database_password = self._secret("database.passwordFile")
        registry_password = self._secret("registry.passwordFile")
        self._needs("database.passwordFile", "database.url")
        if str(self._get("database.url")).startswith("sqlite") and self._get("database.passwordFile") is not None:
            self._report("database.passwordFile", "SQLite has no password", "protect the file, or use PostgreSQL")
        self._needs("registry.passwordFile", "registry.username")
        self._needs("registry.username", "registry.passwordFile")
        self._needs("tls.keyFile", "tls.certFile")
        self._needs("tls.certFile", "tls.keyFile")
        self._check_tls()
        for name in ("clientId", "clientSecretFile", "allowedDomains"):
            self._needs(f"oidc.{name}", "oidc.issuer")
        self._needs("oidc.issuer", "oidc.clientId")
        for name in ("passwordFile", "sshKeyFile", "knownHostsFile"):
            self._needs(f"gitHost.{name}", "gitHost.url")
        self._needs("gitHost.sshKeyFile", "gitHost.knownHostsFile")
        return {
            "listen": self._get("listen"),
            "trusted_proxies": self._get("trustedProxies"),
            "connections_per_address": self._get("connectionsPerAddress"),
            "reconcile_every": self._span("reconcileEvery"),
            "database_url": self._get("database.url"),
            "database_password": database_password,
            "registry_username": self._get("registry.username"),
            "registry_password": registry_password,
            "tls_cert_file": self._path("tls.certFile"),
            "tls_key_file": self._path("tls.keyFile"),
            "issuer": self._issuer(),
            "git_host": self._git_host(),
            "history_retention": self._span("history.retention"),
            "metrics_anonymous": self._get("metrics.anonymous"),
            "log_format": self._get("log.format"),
            "exposed": self._exposed(),
        }

    def _exposed(self) -> tuple[str, ...]:
        files = [(name, self._path(name)) for name in _SECRET_FILES]
        return tuple(f"{name}: {path}" for name, path in files if path is not None and is_exposed(path))

    def _located(self, value: Value, folder: Path) -> Value:
        # What stands in the file is meant from there; what a shell says, from where the shell is.
        if value.source == "file" and value.field.name.endswith("File") and isinstance(value.value, str):
            return replace(value, value=str(folder / value.value))
        return value

    def _get(self, name: str) -> Any:  # noqa: ANN401 - any value
        return None if name in self._wrong else self.values[name].value

    def _report(self, name: str, message: str, hint: str = "") -> None:
        self.problems.append(Problem(self.values[name].where, name, message, hint))

    def _path(self, name: str) -> Path | None:
        text = self._get(name)
        return Path(text) if text else None

    def _span(self, name: str) -> timedelta | None:
        text = self._get(name)
        if text is None:
            return None
        span = parse_duration(text)
        if span < _SHORTEST:
            self._report(name, f"{text} is too short", "write 1s or more")
        return span

    def _needs(self, name: str, other: str) -> None:
        if self._get(name) is not None and self.values[other].value is None and other not in self._wrong:
            self._report(name, f"this needs {other} as well")

    def _secret(self, name: str) -> str | None:
        path = self._path(name)
        if path is None:
            return None
        try:
            with path.open("rb") as file:
                text = file.read(_MAX_SECRET_BYTES + 1).decode().strip()
        except OSError as error:
            self.problems.append(_unreadable(self.values[name].where, name, path, error))
            return None
        except UnicodeDecodeError:
            self._report(name, f"{path} holds no text")
            return None
        if not text or len(text) > _MAX_SECRET_BYTES:
            self._report(name, f"{path} is {'empty' if not text else 'too long for a password'}")
        return text

    def _issuer(self) -> Issuer | None:
        secret, allowed = self._secret("oidc.clientSecretFile"), self._get("oidc.allowedDomains")
        url, client_id = self._get("oidc.issuer"), self._get("oidc.clientId")
        if not url or not client_id:
            return None
        return Issuer(
            url,
            client_id,
            secret,
            self._get("oidc.scopes"),
            self._get("oidc.groupsClaim"),
            self._get("oidc.subjectClaim"),
            domains(allowed) if allowed else frozenset(),
        )

    def _git_host(self) -> GitRemote | None:
        password, url = self._secret("gitHost.passwordFile"), self._get("gitHost.url")
        if not url:
            return None
        key, known_hosts = self._path("gitHost.sshKeyFile"), self._path("gitHost.knownHostsFile")
        remote = GitRemote(url, self._get("gitHost.username"), password, key, known_hosts)
        if (remote.protocol == "ssh") != (key is not None):
            wanted = "sshKeyFile and knownHostsFile" if remote.protocol == "ssh" else "passwordFile, and no sshKeyFile"
            self._report("gitHost.url", f"this needs gitHost.{wanted}")
        return remote

    def _check_tls(self) -> None:
        cert, key = self._path("tls.certFile"), self._path("tls.keyFile")
        readable = True
        for name, path in (("tls.certFile", cert), ("tls.keyFile", key)):
            try:
                if path is not None:
                    path.open("rb").close()
            except OSError as error:
                readable = False
                self.problems.append(_unreadable(self.values[name].where, name, path or Path(), error))
        if not readable or cert is None or key is None:
            return
        try:
            # With an empty password, or a key that has one would be asked for on the terminal.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
        except (ssl.SSLError, OSError, ValueError) as error:
            text = getattr(error, "reason", None) or "not PEM"
            self._report(
                "tls.certFile",
                f"{cert} and {key} cannot be used: {text}",
                "both in PEM, the key unencrypted and that of the certificate",
            )
