"""What commands that work on a data folder share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ums.config import Settings


def settings_of(data: Path) -> Settings:
    """Return the settings of the service in a folder.

    Raises:
        InvalidInputError: something is wrong with them; all of it is named.

    """
    import os

    from ums.config import Settings

    return Settings.from_env({**os.environ, "UMS_DATA": str(data)})
