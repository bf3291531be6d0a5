"""Views of a release repo in memory: commit ids without commits."""

from __future__ import annotations

import hashlib

from ums.domain.names import PDPName
from ums.domain.views import View
from ums.ports import ReleaseRepo


class MemoryViews:
    """Implements ``ports.Views``, but for what a Git client would fetch."""

    def __init__(self, release_repo: ReleaseRepo) -> None:
        self._release_repo = release_repo
        self._offered: dict[str, tuple[PDPName, int]] = {}

    def head(self, pdp: PDPName) -> View | None:
        """Return the view of what a data plane was offered last."""
        plane = self._release_repo.read().planes.get(pdp)
        if plane is None or plane.desired is None:
            return None
        serial = plane.desired.serial
        view = View(hashlib.sha1(f"{pdp} {serial}".encode(), usedforsecurity=False).hexdigest(), serial)
        self._offered[view.commit_id] = pdp, serial
        return view

    def pack(self, pdp: PDPName, commit_id: str) -> bytes | None:
        """Return a pack without objects."""
        return b"PACK" if self._offered.get(commit_id, (None,))[0] == pdp else None

    def serial_at(self, commit_id: str, pdp: PDPName) -> int | None:
        """Return the serial of a data plane's view."""
        self.head(pdp)
        owner, serial = self._offered.get(commit_id, (None, None))
        return serial if owner == pdp else None
