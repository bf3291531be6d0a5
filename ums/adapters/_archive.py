"""Folders as reproducible archives, and archives as files in memory: with limits, without links."""

from __future__ import annotations

import gzip
import io
import re
import tarfile
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from ums.domain.digest import Digest
from ums.domain.errors import InvalidInputError

MAX_FILES = 10_000
MAX_FILE_BYTES = 16 << 20
MAX_TOTAL_BYTES = 64 << 20
_MAX_HEADER_BYTES = 4096  # of one file, extended headers and padding included
_GZIP = 31  # zlib's *wbits* for a gzip frame
_LEVEL = 6
_PLAIN_FILES = {tarfile.REGTYPE, tarfile.AREGTYPE}
_OS_BYTE, _OS_UNKNOWN = 9, b"\xff"
_SKIPPED = {".git", ".hg", ".svn", ".DS_Store"}
_FORBIDDEN = frozenset('\\<>:"|?*')
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)
"""What Windows takes for a device, whatever its extension."""


def read_folder(folder: Path, *, inside: Path) -> dict[str, bytes]:
    """Return the files below ``folder`` by relative path.

    Raises:
        InvalidInputError: the folder is missing or leads outside ``inside``; a file is a link, a device, too large,
            not readable, or has a name that is no UTF-8.

    """
    root = check_inside(folder, inside)
    if not root.is_dir():
        raise InvalidInputError(f"{folder} is not a folder")
    files: dict[str, bytes] = {}
    total = 0
    try:
        for path in _walk(root):
            name = path.relative_to(root).as_posix()
            shown = f"{folder}/{name}".encode(errors="replace").decode()
            if path.is_symlink():
                raise InvalidInputError(f"{shown} is a symbolic link", hint="put the file itself there")
            if not path.is_file():
                raise InvalidInputError(f"{shown} is not a regular file")
            check_name(name, f"{folder}/{name}")
            files[name] = read_file(path, shown)
            total += len(files[name])
            _check_size(shown, len(files[name]), total, len(files))
    except OSError as error:
        raise InvalidInputError(f"{folder} cannot be read: {error.strerror}") from error
    if not files:
        raise InvalidInputError(f"{folder} is empty")
    return files


def _walk(folder: Path) -> Iterator[Path]:
    """Yield all that is no folder. ``Path.rglob`` would leave out, silently, what it may not read."""
    for path in sorted(folder.iterdir()):
        if path.name in _SKIPPED:
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)
        else:
            yield path


def read_file(path: Path, shown: str, *, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """Return a file's content, or, where it is larger than ``max_bytes``, one byte more than that.

    Raises:
        InvalidInputError: it cannot be read.

    """
    try:
        with path.open("rb") as file:
            return file.read(max_bytes + 1)
    except OSError as error:
        raise InvalidInputError(f"{shown} cannot be read: {error.strerror}") from error


def check_name(path: str, shown: str) -> None:
    """Check that a relative path names the same file to every reader and on every machine.

    Helm 4 splits a name that contains a backslash there and not at its slashes, so the file that was checked and the
    file that is used would differ.

    Raises:
        InvalidInputError: the path has an empty part, ``.`` or ``..``; a part that starts with a dash, ends with a
            space or a dot, or names a device of Windows; a character that is not printable, as the stand-ins for bytes
            that are no UTF-8 are, or that Windows forbids.

    """
    parts = path.split("/")
    if not path.isprintable() or not _FORBIDDEN.isdisjoint(path) or not all(map(_is_portable, parts)):
        raise InvalidInputError(
            f"{shown!r} has a name that is not portable",
            hint="rename it: letters, digits, dots, dashes and underscores are safe",
        )


def _is_portable(part: str) -> bool:
    return bool(part) and not part.startswith("-") and not part.endswith((" ", ".")) and not _DEVICE.fullmatch(part)


def _check_distinct(paths: Iterable[str]) -> None:
    """Check that no two paths are one to a file system that ignores case or composes accents, as macOS' does.

    Raises:
        InvalidInputError: two are, or one is a file and a folder.

    """
    seen: dict[str, str] = {}
    folders: dict[str, str] = {}
    for path in paths:
        key = unicodedata.normalize("NFC", path).casefold()
        parents = [key[:end] for end, character in enumerate(key) if character == "/"]
        folders.update(dict.fromkeys(parents, path))
        if (other := seen.setdefault(key, path)) != path:
            raise InvalidInputError(f"{other} and {path} are one file on some machines", hint="rename one of them")
    for key in seen.keys() & folders.keys():
        raise InvalidInputError(f"{seen[key]} is a file, and a folder in {folders[key]}", hint="rename one of them")


def check_inside(path: Path, root: Path) -> Path:
    """Return ``path`` resolved.

    Raises:
        InvalidInputError: it, or a part of it, is missing, is a link, or leads outside ``root``.

    """
    if path.is_absolute() or ".." in path.parts:
        raise InvalidInputError(
            f"{path} leads outside the bundle's folder", hint="write a path relative to bundle.yaml, without .."
        )
    base = here = root.resolve()
    try:
        for part in path.parts:
            here /= part
            if here.is_symlink():
                raise InvalidInputError(
                    f"{here.relative_to(base)} is a symbolic link", hint="put what it points to there"
                )
        if here.exists():
            return here
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}") from error
    raise InvalidInputError(f"{path} does not exist in the bundle's folder")


def pack(files: Mapping[str, bytes]) -> tuple[bytes, Digest]:
    """Return files as tar+gzip, and the digest of the tar.

    Only names and contents count: no time, owner, mode or order of the machine gets in.

    Raises:
        InvalidInputError: a path is longer than USTAR can hold, or means different files to different readers.

    """
    for name in files:
        check_name(name, name)
    _check_distinct(files)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT, encoding="utf-8") as archive:
        for name in sorted(files, key=str.encode):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(files[name]), 0o644, 0
            try:
                archive.addfile(entry, io.BytesIO(files[name]))
            except ValueError as error:
                raise InvalidInputError(f"{name}: {error}", hint="use a shorter path") from error
    plain = buffer.getvalue()
    packed = gzip.compress(plain, compresslevel=_LEVEL, mtime=0)
    # Python 3.11 names the operating system in the header, later versions do not.
    return packed[:_OS_BYTE] + _OS_UNKNOWN + packed[_OS_BYTE + 1 :], Digest.of(plain)


def unpack(content: bytes, what: str) -> dict[str, bytes]:
    """Return the files of a tar+gzip by path.

    Raises:
        InvalidInputError: it is none, has too much in it, goes on after its end, or holds links, sparse files, or paths
            that lead out or that readers understand differently.

    """
    files: dict[str, bytes] = {}
    total = 0
    plain = _decompress(content, what)
    try:
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r:", encoding="utf-8") as archive:
            for entry in archive:
                path = PurePosixPath(entry.name)
                if entry.isdir():
                    continue
                if entry.type not in _PLAIN_FILES or entry.issparse() or entry.size < 0:
                    raise InvalidInputError(f"{what}: {entry.name!r} is a link, a device, or sparse")
                if path.is_absolute() or {"..", ""} & {path.name, *path.parts}:
                    raise InvalidInputError(f"{what}: {entry.name!r} leads outside")
                check_name(path.as_posix(), f"{what}: {entry.name}")
                if path.as_posix() in files:
                    raise InvalidInputError(f"{what}: {entry.name!r} is in it twice")
                total += entry.size
                _check_size(f"{what}: {entry.name!r}", entry.size, total, len(files) + 1)
                body = archive.extractfile(entry)
                files[path.as_posix()] = body.read() if body else b""
            # Python takes one block of zeros, or a header that is damaged, for the end; others read on.
            if plain[archive.offset :].strip(b"\0"):
                raise InvalidInputError(f"{what} has something after its end, or a damaged header")
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise InvalidInputError(f"{what} is not a tar.gz: {error}") from error
    return files


def _decompress(content: bytes, what: str) -> bytes:
    """Return a gzip's content; what is larger than any archive we take is given up while it grows."""
    limit = MAX_TOTAL_BYTES + MAX_FILES * _MAX_HEADER_BYTES
    stream = zlib.decompressobj(wbits=_GZIP)
    try:
        plain = stream.decompress(content, limit)
    except zlib.error as error:
        raise InvalidInputError(f"{what} is not a tar.gz: {error}") from error
    if stream.unconsumed_tail:
        raise _too_large(what)
    if not stream.eof or stream.unused_data:
        # Readers differ on what a second gzip stream in one file means.
        raise InvalidInputError(f"{what} is cut short, or has something after its end")
    return plain


def _check_size(what: str, size: int, total: int, count: int) -> None:
    if size > MAX_FILE_BYTES or total > MAX_TOTAL_BYTES or count > MAX_FILES:
        raise _too_large(what)


def _too_large(what: str) -> InvalidInputError:
    return InvalidInputError(
        f"{what} exceeds the limits of a component",
        hint=f"at most {MAX_FILES:,} files, {MAX_FILE_BYTES >> 20} MiB each, {MAX_TOTAL_BYTES >> 20} MiB in all",
    )
