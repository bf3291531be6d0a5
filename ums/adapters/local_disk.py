"""The disk under a folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from ums.domain.errors import StorageError


class LocalDisk:
    """Implements ``ports.Disk``; ``needed`` are files without which the next start fails, or begins anew."""

    def __init__(self, folder: Path, *needed: Path) -> None:
        self._folder = folder
        self._needed = needed

    def free_bytes(self) -> int:
        """Return how much may still be written."""
        try:
            for path in self._needed:
                path.stat()
            return shutil.disk_usage(self._folder).free
        except OSError as error:
            raise StorageError(f"{Path(error.filename).name} cannot be looked at: {error.strerror}") from error
