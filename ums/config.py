"""Settings of a service process: frozen, validated, from environment variables that an entry point passes in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Self

from ums.domain.errors import InvalidInputError
from ums.domain.instants import parse_duration

_LISTEN = re.compile(r"(?P<host>\[[0-9a-fA-F:]+\]|[^:\[\]]+):(?P<port>\d{1,5})")
_MAX_PORT = 65535
DEFAULT_LISTEN = "127.0.0.1:8080"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a process needs to know before it can read the release repo.

    Attributes:
        data: folder with keys, release repo, database and embedded registry.
        listen: ``host:port``.
        reconcile_every: how often the loop runs when nobody changes anything.
        registry_username, registry_password: for an outside registry; reading is all it needs.

    """

    data: Path
    listen: str = DEFAULT_LISTEN
    reconcile_every: timedelta = timedelta(seconds=10)
    registry_username: str | None = None
    registry_password: str | None = None

    def __post_init__(self) -> None:
        match = _LISTEN.fullmatch(self.listen)
        if match is None or int(match["port"]) > _MAX_PORT:
            raise InvalidInputError(
                f"UMS_LISTEN: {self.listen!r} is no address", hint="write host:port, e.g. 0.0.0.0:8080"
            )

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read the ``UMS_…`` variables that ``ums serve --help`` lists.

        Raises:
            InvalidInputError: a value is wrong; names the variable.

        """
        password_file = env.get("UMS_REGISTRY_PASSWORD_FILE")
        try:
            password = Path(password_file).read_text().strip() if password_file else None
        except OSError as error:
            raise InvalidInputError(
                f"UMS_REGISTRY_PASSWORD_FILE: cannot read {password_file}: {error.strerror}"
            ) from error
        return cls(
            data=Path(env.get("UMS_DATA", "ums-data")),
            listen=env.get("UMS_LISTEN", DEFAULT_LISTEN),
            reconcile_every=parse_duration(env.get("UMS_RECONCILE_EVERY", "10s")),
            registry_username=env.get("UMS_REGISTRY_USERNAME"),
            registry_password=password,
        )

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
        return f"sqlite:///{self.data / 'ums.db'}"

    @property
    def state_key(self) -> Path:
        """Return where the key is that signs commits."""
        return self.data / "state.key"

    @property
    def offline_state_key(self) -> Path:
        """Return where ``ums init`` leaves the second state key, to be carried away."""
        return self.data / "offline-state.key"

    @property
    def master_key(self) -> Path:
        """Return where the secret is that credentials of data planes derive from."""
        return self.data / "master.key"
