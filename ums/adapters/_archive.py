"""Folders as reproducible archives, and archives as files in memory: with limits, without links."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from ums.domain.digest import Digest
from ums.domain.errors import InvalidInputError

MAX_FILES = 10_000
MAX_FILE_BYTES = 16 << 20
MAX_TOTAL_BYTES = 64 << 20
_LEVEL = 6
_SKIPPED = {".git", ".hg", ".svn", ".DS_Store"}


def read_folder(folder: Path, *, inside: Path) -> dict[str, bytes]:
    """Return the files below ``folder`` by relative path.

    Raises:
        InvalidInputError: the folder is missing or leads outside ``inside``; a file is a link, a device or too large.

    """
    root = check_inside(folder, inside)
    if not root.is_dir():
        raise InvalidInputError(f"{folder} is not a folder")
    files: dict[str, bytes] = {}
    total = 0
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if _SKIPPED & set(relative.parts):
            continue
        if path.is_symlink():
            raise InvalidInputError(f"{path} is a symbolic link", hint="put the file itself there")
        if path.is_dir():
            continue
        if not path.is_file():
            raise InvalidInputError(f"{path} is not a regular file")
        total += path.stat().st_size
        _check_size(str(path), path.stat().st_size, total, len(files))
        files[relative.as_posix()] = path.read_bytes()
    if not files:
        raise InvalidInputError(f"{folder} is empty")
    return files


def check_inside(path: Path, root: Path) -> Path:
    """Return ``path`` resolved.

    Raises:
        InvalidInputError: it, or a part of it, is missing, is a link, or leads outside ``root``.

    """
    base = root.resolve()
    absolute = base / path if not path.is_absolute() else path
    try:
        relative = absolute.relative_to(base) if not path.is_absolute() else None
    except ValueError:
        relative = None
    if relative is None or ".." in relative.parts:
        raise InvalidInputError(
            f"{path} leads outside the bundle's folder", hint="write a path relative to bundle.yaml, without .."
        )
    here = base
    for part in relative.parts:
        here /= part
        if here.is_symlink():
            raise InvalidInputError(f"{here} is a symbolic link", hint="put the file itself there")
    if not here.exists():
        raise InvalidInputError(f"{path} does not exist in the bundle's folder")
    return here


def pack(files: Mapping[str, bytes]) -> tuple[bytes, Digest]:
    """Return files as tar+gzip, and the digest of the tar.

    Only names and contents count: no time, owner, mode or order of the machine gets in.

    Raises:
        InvalidInputError: a path is longer than USTAR can hold.

    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files, key=str.encode):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(files[name]), 0o644, 0
            try:
                archive.addfile(entry, io.BytesIO(files[name]))
            except ValueError as error:
                raise InvalidInputError(f"{name}: {error}", hint="use a shorter path") from error
    plain = buffer.getvalue()
    return gzip.compress(plain, compresslevel=_LEVEL, mtime=0), Digest.of(plain)


def unpack(content: bytes, what: str) -> dict[str, bytes]:
    """Return the files of a tar+gzip by path.

    Raises:
        InvalidInputError: it is none, has too much in it, or holds links or paths that lead out.

    """
    files: dict[str, bytes] = {}
    total = 0
    try:
        # Streaming, so that a bomb is noticed while it grows and not after.
        with tarfile.open(fileobj=io.BytesIO(content), mode="r|gz") as archive:
            for entry in archive:
                path = PurePosixPath(entry.name)
                if entry.isdir():
                    continue
                if not entry.isreg() or path.is_absolute() or ".." in path.parts:
                    raise InvalidInputError(f"{what}: {entry.name} is a link, a device, or leads outside")
                total += entry.size
                _check_size(f"{what}: {entry.name}", entry.size, total, len(files))
                body = archive.extractfile(entry)
                files[path.as_posix()] = body.read() if body else b""
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InvalidInputError(f"{what} is not a tar.gz: {error}") from error
    return files


def _check_size(what: str, size: int, total: int, count: int) -> None:
    if size > MAX_FILE_BYTES or total > MAX_TOTAL_BYTES or count >= MAX_FILES:
        raise InvalidInputError(
            f"{what} exceeds the limits of a component",
            hint=f"at most {MAX_FILES:,} files, {MAX_FILE_BYTES >> 20} MiB each, {MAX_TOTAL_BYTES >> 20} MiB in all",
        )
