"""The Git host that the release repo is exchanged with, and what of people's commits there may be taken in."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from ums.domain.auditing import trespasses
from ums.domain.authority import listed
from ums.domain.errors import InvalidInputError

_PATH = re.compile(r"[A-Za-z0-9._@+-]+(/[A-Za-z0-9._@+-]+)*")
_FILE = "100644"
_GONE = "000000"
_MAX_PATHS = 1000
_SHOWN = 5
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def check_remote(text: str) -> None:
    """Check that text is the URL of a repository at a host: HTTPS or SSH, without a password.

    Raises:
        InvalidInputError: it is not.

    """
    if not _is_remote(text):
        raise InvalidInputError(
            f"{text!r:.90} is no repository at a Git host",
            hint="write https://host/path.git or ssh://git@host/path.git; logins have settings of their own",
        )


def _is_remote(text: str) -> bool:
    if not text.isprintable() or any(each.isspace() for each in text):
        return False
    try:
        parts = urlsplit(text)
        scheme, host, _ = parts.scheme, parts.hostname, parts.port
    except ValueError:  # a port that is none, brackets that do not match
        return False
    if not host or host.startswith("-") or (parts.username or "").startswith("-"):
        return False  # ssh takes these for options
    plain = scheme == "http" and host in _LOOPBACK
    web = (scheme == "https" or plain) and parts.username is None and parts.password is None
    return web or (scheme == "ssh" and parts.password is None)


@dataclass(frozen=True, slots=True)
class GitRemote:
    """A repository at a host, and the login there.

    Attributes:
        url: HTTPS or SSH.
        username, password: for HTTPS; a token is a password.
        ssh_key, known_hosts: for SSH: a private key that may push, and the keys of the host.

    """

    url: str
    username: str = "git"
    password: str | None = field(default=None, repr=False)
    ssh_key: Path | None = None
    known_hosts: Path | None = None

    def __post_init__(self) -> None:
        check_remote(self.url)

    @property
    def protocol(self) -> str:
        """Return the one protocol that is spoken with it."""
        return urlsplit(self.url).scheme


@dataclass(frozen=True, slots=True)
class Changed:
    """A path that one side changed: its blob, empty where it is gone, and its mode."""

    blob: str
    mode: str


def refusals(
    theirs: Mapping[str, Changed], ours: Mapping[str, Changed], large: Collection[str] = ()
) -> tuple[str, ...]:
    """Return what speaks against taking in people's changes; all of it.

    People write what people write, and nothing else; and what both changed only a person can put together.

    Args:
        theirs: what people changed.
        ours: what was changed here since.
        large: which of theirs are larger than any file that is read, or missing.

    """
    odd = [path for path, changed in theirs.items() if changed.mode not in {_FILE, _GONE} or not _PATH.fullmatch(path)]
    both = [path for path, changed in theirs.items() if path in ours and ours[path].blob != changed.blob]
    found = []
    if len(theirs) > _MAX_PATHS:
        found.append(f"it changes {len(theirs)} files; a commit that is taken in changes up to {_MAX_PATHS}")
    for paths, problem in (
        (trespasses(path for path in theirs if path not in odd), "only UMS writes"),
        (odd, "no plain file of a plain name is"),
        (large, "too large:"),
        (both, "changed here meanwhile as well:"),
    ):
        if paths:
            found.append(f"{problem} {listed(paths, shown=_SHOWN)}")
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Exchange:
    """What came of one exchange with the host.

    Attributes:
        taken: people's commit that was taken in; empty if there was nothing new.
        left: people's commit that was not; empty if there is none.
        reasons: why it was not.

    """

    taken: str = ""
    left: str = ""
    reasons: tuple[str, ...] = ()
