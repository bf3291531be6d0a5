"""Files that are written once: keys. Whole or not at all, and never over something else."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ums.domain.errors import ConflictError, StorageError


def write_new(path: Path, content: bytes, *, mode: int) -> None:
    """Write ``content`` to ``path``, which must not exist.

    Raises:
        ConflictError: there is something already; it is left as it is.
        StorageError: the disk refused; nothing is left behind.

    """
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                os.fchmod(descriptor, mode)
                file.flush()
                os.fsync(descriptor)
            # A rename would replace what is there; a link does not.
            os.link(name, path)
        finally:
            Path(name).unlink()
    except FileExistsError as error:
        raise ConflictError(
            f"{path} exists already", hint="choose another name, or move it away: keys are never overwritten"
        ) from error
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error
