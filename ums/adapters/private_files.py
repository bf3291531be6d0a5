"""Files that hold secrets: nobody but the service's user may read them, or put something else in their place."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from ums.domain.errors import StorageError

UMASK = 0o077
_ROOT = 0
_OTHERS = 0o077
_ANYBODY = stat.S_IROTH | stat.S_IWOTH


def make_new_files_private() -> None:
    """Let this process, and what it starts, make files that only its user can read."""
    os.umask(UMASK | os.umask(UMASK))


def keep_private(folder: Path, files: Iterable[Path]) -> None:
    """Make a data folder and what is in it private; what is not there is left out.

    Whatever others may read or write loses these rights. The folder itself may be named by a symbolic link; nothing in
    it may be one, since whoever made it chose where secrets go.

    Raises:
        StorageError: something is a symbolic link, or belongs to another user.

    """
    for path in (folder.resolve(), *files):
        _keep_private(path)


def make_private(file: Path) -> None:
    """Make an empty file that only its owner can read, unless it is there; then make that private.

    Raises:
        StorageError: it is a symbolic link, belongs to another user, or cannot be made.

    """
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StorageError(f"cannot open {file}: {error.strerror}", hint=_REPLACE) from error
    _keep_private(file)


def is_exposed(file: Path) -> bool:
    """Return whether users of this machine who are in no group of the file can read or write it, where it really is."""
    try:
        place = file.resolve(strict=True)
        return bool(place.stat().st_mode & _ANYBODY) and all(
            each.stat().st_mode & stat.S_IXOTH for each in place.parents
        )
    except OSError:
        return False


_REPLACE = "put the file itself there, owned by the user that runs the service"


def _keep_private(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(f"cannot look at {path}: {error.strerror}") from error
    if stat.S_ISLNK(found.st_mode):
        raise StorageError(f"{path} is a symbolic link, and holds secrets", hint=_REPLACE)
    user = os.geteuid()
    if found.st_uid not in {user, _ROOT}:
        raise StorageError(f"{path} belongs to user {found.st_uid}, who could read and replace it", hint=_REPLACE)
    if not found.st_mode & _OTHERS:
        return
    mode = stat.S_IMODE(found.st_mode)
    try:
        path.chmod(mode & ~_OTHERS)
    except OSError as error:
        raise StorageError(
            f"others may use {path} (mode {mode:04o}), and it cannot be made private: {error.strerror}", hint=_REPLACE
        ) from error
