"""Files that are written once: keys, exports. Whole or not at all, and never over something else."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ums.domain.errors import ConflictError, StorageError


def write_new(path: Path, content: bytes, *, mode: int) -> None:
    """Write a key to ``path``, which must not exist.

    Raises:
        ConflictError: there is something already; it is left as it is.
        StorageError: the disk refused; nothing is left behind.

    """
    with new_file(path, mode=mode, hint="choose another name, or move it away: keys are never overwritten") as file:
        file.write(content)


@contextmanager
def new_file(path: Path, *, mode: int, hint: str) -> Iterator[BinaryIO]:
    """Give a file to write to; at the end it is ``path``, which must not exist. If anything is raised, there is none.

    Raises:
        ConflictError: there is something already; it is left as it is, and ``hint`` says what to do.
        StorageError: the disk refused; nothing is left behind.

    """
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                os.fchmod(descriptor, mode)
                file.flush()
                os.fsync(descriptor)
            # A rename would replace what is there; a link does not.
            os.link(name, path)
        finally:
            Path(name).unlink()
    except FileExistsError as error:
        raise ConflictError(f"{path} exists already", hint=hint) from error
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error
