"""How much one caller may have under way in the embedded registry: open uploads, and bytes of them.

For each open upload, a mark in ``callers/<hash of the caller>/<upload>`` holds the path of its file, so that the limits
hold across processes and restarts. A mark whose upload is over counts for nothing and goes when the caller begins the
next. A caller without a name is not limited.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

from ums.edge.registry_messages import RefusalError
from ums.edge.registry_storage import names

MAX_UPLOADS = 100
MAX_BYTES = 16 * 1024**3
_IDLE_SECONDS = 3600
"""An upload untouched for so long gives way to a new one of the same caller."""
_LOOK_AGAIN = 64
"""Pieces of a body between two looks at what the caller has: 16 MiB."""


@dataclass(frozen=True, slots=True)
class Quotas:
    """Limits for each caller.

    Args:
        root: the registry's folder.
        max_uploads: uploads that are open at a time.
        max_bytes: bytes of all of them.

    """

    root: Path
    max_uploads: int = MAX_UPLOADS
    max_bytes: int = MAX_BYTES
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def beginning(self, caller: str, upload: Path) -> Iterator[None]:
        """Count an upload whose file is made in this block.

        Raises:
            RefusalError: 429, the caller has as many as may be.

        """
        if not caller:
            yield
            return
        with self._lock:
            found = self._open(caller)
            if len(found) >= self.max_uploads:
                found = [mark for mark in found if not _gave_way(*mark)]
            if len(found) >= self.max_uploads:
                raise _too_many(f"you have {len(found)} open uploads: finish or cancel them, or wait an hour")
            yield
            mark = self._folder(caller) / upload.name
            mark.parent.mkdir(parents=True, exist_ok=True)
            draft = mark.with_name(f".{mark.name}")
            draft.write_text(upload.relative_to(self.root).as_posix())
            draft.rename(mark)  # so that nobody reads half a path

    def owns(self, caller: str, upload: Path) -> bool:
        """Return whether the caller began an upload: nobody adds to those of others, and past their limits."""
        return not caller or (self._folder(caller) / upload.name).exists()

    def within(self, caller: str, body: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the pieces of a body as long as the caller's uploads have room for them.

        Raises:
            RefusalError: 429, they have more bytes than may be.

        """
        for number, piece in enumerate(body):
            if caller and number % _LOOK_AGAIN == 0 and self._used(caller) > self.max_bytes - len(piece):
                raise _too_many(f"your open uploads have {self.max_bytes >> 20} MiB: finish or cancel them")
            yield piece

    def end(self, caller: str, upload: Path) -> None:
        """Forget an upload that is over."""
        if caller:
            (self._folder(caller) / upload.name).unlink(missing_ok=True)

    def _folder(self, caller: str) -> Path:
        return self.root / "callers" / hashlib.sha256(caller.encode()).hexdigest()

    def _open(self, caller: str) -> list[tuple[Path, Path]]:
        """Return mark and file of each open upload; the marks of those that are over are removed."""
        found = []
        for mark, upload in self._marks(caller):
            # Looked for twice where it is at rest: it may return there between the two other looks.
            if any(place.exists() for place in (upload, _busy(upload), upload)):
                found.append((mark, upload))
            else:
                mark.unlink(missing_ok=True)
        return found

    def _used(self, caller: str) -> int:
        size = 0
        for _, upload in self._marks(caller):
            for place in (upload, _busy(upload)):
                with contextlib.suppress(FileNotFoundError):
                    size += place.stat().st_size
        return size

    def _marks(self, caller: str) -> Iterator[tuple[Path, Path]]:
        for name in names(self._folder(caller)):
            mark = self._folder(caller) / name
            with contextlib.suppress(FileNotFoundError):
                yield mark, self.root / mark.read_text()


def _busy(upload: Path) -> Path:
    """Return where the file of an upload is while a request writes to it."""
    return upload.with_suffix(".busy")


def _gave_way(mark: Path, upload: Path) -> bool:
    """Remove an upload that nobody touched for long; one that is written to never goes."""
    with contextlib.suppress(FileNotFoundError):
        if upload.stat().st_mtime < time.time() - _IDLE_SECONDS:
            upload.unlink()
            mark.unlink()
            return True
    return False


def _too_many(text: str) -> RefusalError:
    return RefusalError(HTTPStatus.TOO_MANY_REQUESTS, "TOOMANYREQUESTS", text, {"Retry-After": "60"})
