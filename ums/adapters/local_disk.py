"""The disk under a folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from ums.domain.errors import StorageError


class LocalDisk:
    """Implements ``ports.Disk``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def free_bytes(self) -> int:
        """Return how much may still be written."""
        try:
            return shutil.disk_usage(self._folder).free
        except OSError as error:
            raise StorageError(f"{self._folder.name} cannot be looked at: {error.strerror}") from error
