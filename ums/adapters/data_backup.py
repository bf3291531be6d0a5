"""A service's data in one file, and back: keys, release repo, database, embedded registry. It contains secrets.

Taken while the service runs: Git makes a bundle of what both branches are at that moment, SQLite copies itself
consistently, and of the registry what refers to content is taken before the content.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ums.adapters._git import Git
from ums.adapters._git_folder import read_ref
from ums.adapters.git_release_repo import GitReleaseRepo
from ums.domain import layout, strict_json
from ums.domain.errors import ConflictError, InvalidInputError, StorageError
from ums.domain.strict_json import StrictJSONError

FORMAT = 1
_INDEX = "backup.json"
_BUNDLE = "release-repo.bundle"
_REGISTRY = "registry"
_DATABASE = "ums.db"
_MAX_INDEX_BYTES = 1 << 20
_MAX_FILE_BYTES = 1 << 20
_MAX_BYTES = 1 << 50
_HEADERS = frozenset({"path", "size", "mtime"})
"""Of the extended headers of tar (POSIX.1-2001, pax) those that backups have."""
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DIGEST = r"(?:sha256/[0-9a-f]{64}|sha512/[0-9a-f]{128})"
_KEPT = re.compile(
    rf"{_REGISTRY}/(?:blobs/{_DIGEST}|repositories/{_PART}(?:/{_PART})*/(?:_(?:blobs|manifests)/{_DIGEST}"
    rf"|_tags/[a-zA-Z0-9_][a-zA-Z0-9._-]{{0,127}}|_referrers/{_DIGEST}/{_DIGEST.replace('/', '-')}))"
)
"""What the embedded registry keeps: links, tags and blobs, under the names that they have there."""
_OWNER_ONLY = 0o600


@dataclass(frozen=True, slots=True)
class Parts:
    """Where a service keeps what is backed up.

    Attributes:
        files: secrets and the like, by the name they have in the backup.
        optional: names of those that a service may do without.
        database: an SQLite file, or ``None`` where the database is elsewhere and has backups of its own.
        registry: the embedded registry, or ``None`` to leave it out.

    """

    files: Mapping[str, Path]
    release_repo: Path
    database: Path | None
    registry: Path | None
    optional: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup holds."""

    at: str
    heads: Mapping[str, str]
    files: int
    size: int

    def to_dict(self) -> dict[str, object]:
        """Return the form used in answers."""
        return {"at": self.at, "heads": dict(self.heads), "files": self.files, "bytes": self.size}


def back_up(parts: Parts, target: Path, *, at: str) -> Backup:
    """Write a backup to ``target``, readable by its owner alone; whole, or not at all.

    Raises:
        ConflictError: there is a file already.
        StorageError: the disk refused.
        UnavailableError: Git failed.

    """
    if target.exists():
        raise ConflictError(f"{target} exists already", hint="backups are never overwritten: choose another name")
    with _storage_errors(f"cannot write {target}"), tempfile.TemporaryDirectory(dir=target.parent) as folder:
        scratch = Path(folder)
        git = Git(parts.release_repo)
        heads = _heads(git, parts.release_repo)
        git.run("bundle", "create", "--quiet", str((scratch / _BUNDLE).resolve()), "--branches")
        members = [(_BUNDLE, scratch / _BUNDLE), *parts.files.items()]
        if parts.database is not None:
            _copy_database(parts.database, scratch / _DATABASE)
            members.append((_DATABASE, scratch / _DATABASE))
        if parts.registry is not None:
            members += _kept(parts.registry)
        index = {"format": FORMAT, "at": at, "heads": heads}
        (scratch / _INDEX).write_text(json.dumps(index))
        pending = scratch / "backup"
        with _create(pending) as file:
            with tarfile.open(fileobj=file, mode="w") as tar:
                for name, path in [(_INDEX, scratch / _INDEX), *members]:
                    tar.add(path, name, recursive=False, filter=_plain)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        os.link(pending, target)
    return Backup(at, heads, len(members), size)


def restore(source: Path, parts: Parts, *, last: str) -> Backup:
    """Bring a backup back, into places where nothing is yet.

    Args:
        source: the backup.
        parts: where things go.
        last: the file whose presence says that all the others are there.

    Raises:
        ConflictError: something is there already; nothing was written.
        InvalidInputError: it is no backup, or one of a newer UMS.
        IntegrityError, UnavailableError: the release repo in it is damaged.
        StorageError: the disk refused.

    """
    places = [*parts.files.values(), parts.release_repo, parts.database, parts.registry]
    taken = [place for place in places if place is not None and place.exists()]
    if taken:
        raise ConflictError(f"{taken[0]} exists already", hint="restore into a new folder, and move it into place")
    with _storage_errors("cannot restore"), _open(source) as tar:
        index = _index(tar, source)
        expected = {_BUNDLE: _MAX_BYTES, _DATABASE: _MAX_BYTES, **dict.fromkeys(parts.files, _MAX_FILE_BYTES)}
        parts.release_repo.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=parts.release_repo.parent) as folder:
            members, repo = Path(folder) / "members", Path(folder) / "repo"
            names = _unpack(tar, members, source, expected)
            if missing := {_BUNDLE, *parts.files} - names - parts.optional:
                raise InvalidInputError(f"{source} is no backup of UMS: it holds no {min(missing)}")
            _restore_repo(members / _BUNDLE, repo, index["heads"])
            found = {_REGISTRY: parts.registry, _DATABASE: parts.database, **parts.files}
            moves = [(members / name, place) for name, place in found.items() if place and (members / name).exists()]
            for made, place in sorted([*moves, (repo, parts.release_repo)], key=lambda move: move[0].name == last):
                made.rename(place)
    return Backup(index["at"], index["heads"], len(names), source.stat().st_size)


def _kept(registry: Path) -> Iterator[tuple[str, Path]]:
    """Yield what is finished in a registry with its name here, links and tags before the blobs that they name."""
    for folder in ("repositories", "blobs"):
        for path in sorted((registry / folder).rglob("*")):
            name = f"{_REGISTRY}/{path.relative_to(registry).as_posix()}"
            if _KEPT.fullmatch(name) and path.is_file() and not path.is_symlink():
                yield name, path


def _heads(git: Git, repo: Path) -> dict[str, str]:
    for branch in (layout.MAIN, layout.DELIVERY):
        read_ref(repo, f"refs/heads/{branch}")  # Git leaves out what is damaged, and says little
    lines = git.run("for-each-ref", "--format=%(refname) %(objectname)", "refs/heads").decode().splitlines()
    return {ref: commit for ref, _, commit in (line.partition(" ") for line in lines)}


def _copy_database(database: Path, target: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as source,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)


def _restore_repo(bundle: Path, target: Path, heads: Mapping[str, str]) -> None:
    """Make a release repo of the objects and branches in a bundle; everything else in it is made here."""
    GitReleaseRepo.create(target)
    git = Git(target, GIT_ALLOW_PROTOCOL="file")
    branches = "refs/heads/*:refs/heads/*"
    git.run("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--", str(bundle.resolve()), branches)
    git.run("fsck", "--full", "--strict", "--no-dangling", "--no-progress")
    if _heads(git, target) != dict(heads):
        raise InvalidInputError("the release repo in the backup is not the one that its index names")


@contextlib.contextmanager
def _open(source: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(source, "r:") as tar:
            yield tar
    except tarfile.TarError as error:
        raise InvalidInputError(f"{source} is no backup: {error}", hint="ums backup makes one") from error


def _index(tar: tarfile.TarFile, source: Path) -> dict[str, Any]:
    member = tar.next()
    is_index = member is not None and member.name == _INDEX and member.size < _MAX_INDEX_BYTES
    file = tar.extractfile(member) if member is not None and is_index else None
    try:
        index: dict[str, Any] = strict_json.loads(file.read(), limit=_MAX_INDEX_BYTES) if file else {}
        known = index["format"] == FORMAT and isinstance(index["heads"], dict) and isinstance(index["at"], str)
    except (StrictJSONError, KeyError, TypeError) as error:
        raise InvalidInputError(f"{source} is no backup of UMS", hint="ums backup makes one") from error
    if not known:
        raise InvalidInputError(f"{source} was made by another version of UMS, in format {index['format']}")
    return index


def _unpack(tar: tarfile.TarFile, folder: Path, source: Path, expected: Mapping[str, int]) -> set[str]:
    """Write all members but the index into a new folder, and return their names; each is one that a backup holds.

    Args:
        tar: read up to the index.
        folder: is made.
        source: for messages.
        expected: the size in bytes that each member outside the registry may have.

    """
    if source.stat().st_size > shutil.disk_usage(folder.parent).free:
        raise StorageError(f"there is no room for what is in {source}", hint="free space")
    folder.mkdir(mode=0o700)
    names: set[str] = set()
    # The index was read first: any further one is not a backup's.
    for member in tar:
        name = member.name
        if name == _INDEX and member.offset == 0:
            continue
        limit = expected.get(name, _MAX_BYTES if _KEPT.fullmatch(name) else -1)
        if name in names or not _is_plain(member) or not 0 <= member.size <= limit:
            raise InvalidInputError(f"{source}: {name!r} does not belong into a backup", hint="ums backup makes one")
        content = tar.extractfile(member)
        if content is None:
            raise InvalidInputError(f"{source}: {name!r} does not belong into a backup")
        target = folder / name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _create(target) as file:
            shutil.copyfileobj(content, file)
        names.add(name)
    _check_end(tar, source)
    return names


def _check_end(tar: tarfile.TarFile, source: Path) -> None:
    """Make sure that a backup ends after its last member: Python takes a damaged header for the end."""
    last = tar.getmembers()[-1]
    with source.open("rb") as file:
        file.seek(last.offset_data + -(-last.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE)
        end = file.read(tarfile.RECORDSIZE + 2 * tarfile.BLOCKSIZE)
    if len(end) < 2 * tarfile.BLOCKSIZE or len(end) > tarfile.RECORDSIZE + tarfile.BLOCKSIZE or any(end):
        raise InvalidInputError(f"{source} is cut short or damaged after {last.name!r}", hint="take another backup")


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Return a member as backups have it: a file that is its owner's."""
    return member.replace(mtime=int(member.mtime), mode=_OWNER_ONLY, uid=0, gid=0, uname="", gname="", deep=False)


def _is_plain(member: tarfile.TarInfo) -> bool:
    """Return whether a member is a file whose name, size and content are what they seem."""
    return member.type == tarfile.REGTYPE and not member.issparse() and _HEADERS.issuperset(member.pax_headers)


def _create(path: Path) -> BinaryIO:
    """Open a new file that only its owner may read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY), "wb")


@contextlib.contextmanager
def _storage_errors(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise StorageError(f"{what}: {error}", hint="is there room, and may you write there?") from error
