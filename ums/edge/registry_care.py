"""Looking after the embedded registry: what nothing reaches is removed, and every byte can be checked.

Both run beside a registry that serves. What is young is left alone, since pushes come piece by piece: blobs first, then
manifests, then tags. What is old is looked at again with the folder held alone, just before it goes.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from ums.domain.digest import Digest
from ums.domain.errors import IntegrityError, InvalidInputError
from ums.edge.registry_storage import Manifest, Storage, blobs_of, digests, reached, remove

GRACE = timedelta(days=1)
_CHUNK = 1024 * 1024
_BATCH = 100
"""Blobs that are removed at a time, while pushes wait."""


@dataclass(slots=True)
class Collected:
    """What was removed, or would be.

    Attributes:
        manifests, blobs: no longer in a repository, as ``name@digest``.
        content: digests that no repository has any more.
        drafts: what pushes left behind that never ended.
        size: bytes.
        problems: repositories that were left alone, and why.

    """

    manifests: list[str] = field(default_factory=list)
    blobs: list[str] = field(default_factory=list)
    content: list[str] = field(default_factory=list)
    drafts: int = 0
    size: int = 0
    problems: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the form that is printed."""
        return asdict(self)


def collect(
    storage: Storage,
    released: Collection[Digest],
    *,
    is_unread: Callable[[str], bool] = lambda _name: False,
    grace: timedelta = GRACE,
    dry_run: bool = False,
) -> Collected:
    """Remove what no tag, no referrer of something tagged, no index and no release reaches.

    Args:
        storage: the registry's folder.
        released: what releases name.
        is_unread: whether a repository holds something that a release needs which cannot be read; it is left alone.
        grace: what is younger stays.
        dry_run: only tell.

    """
    before = time.time() - grace.total_seconds()
    done, gone = Collected(), set[Path]()
    for name in list(storage.repositories()):
        if is_unread(name):
            done.problems.append(f"{name}: a release of this bundle cannot be read, so nothing is removed here")
            continue
        try:
            garbage = _find(storage, name, released, before)
            if garbage.paths and not dry_run:
                with storage.held(alone=True):
                    # Again: somebody may have built on it meanwhile.
                    garbage = _find(storage, name, released, before)
                    for path in garbage.paths:
                        remove(path)
        except IntegrityError as error:
            done.problems.append(error.message)
            continue
        done.manifests += [f"{name}@{digest}" for digest in garbage.manifests]
        done.blobs += [f"{name}@{digest}" for digest in garbage.blobs]
        gone.update(garbage.paths)
    _collect_drafts(storage, done, before, dry_run=dry_run)
    _collect_content(storage, done, gone, before, dry_run=dry_run)
    return done


@dataclass(frozen=True, slots=True)
class _Garbage:
    """What a repository has and needs not; ``paths`` in the order in which they may go."""

    manifests: list[Digest]
    blobs: list[Digest]
    paths: list[Path]


def _find(storage: Storage, name: str, released: Collection[Digest], before: float) -> _Garbage:
    manifests = storage.manifests(name)
    young = [each for each in manifests if not _is_old(storage.link(name, "_manifests", each), before)]
    unreadable = [each for each, manifest in manifests.items() if not manifest.is_readable]
    kept = reached(manifests, {*storage.tags(name).values(), *released, *young, *unreadable})
    needed = {*released, *blobs_of(manifests[each] for each in kept)}
    unreached = sorted(manifests.keys() - kept)
    blobs = [
        each
        for each in storage.linked(name, "_blobs")
        if each not in needed and _is_old(storage.link(name, "_blobs", each), before)
    ]
    paths = [storage.link(name, "_manifests", each) for each in unreached]
    for subject, entry in storage.referrers(name):
        path = storage.referrer(name, subject, entry)
        if entry not in kept and _is_old(path, before):
            paths.append(path)
    return _Garbage(unreached, blobs, [*paths, *(storage.link(name, "_blobs", each) for each in blobs)])


def _collect_drafts(storage: Storage, done: Collected, before: float, *, dry_run: bool) -> None:
    """Remove what began to be written long ago."""
    for path in storage.root.rglob("*"):
        is_draft = path.name.startswith(".") or path.parent.name == "_uploads"
        if is_draft and path.is_file() and _is_old(path, before):
            with contextlib.suppress(FileNotFoundError):  # it was finished, or swept by another
                done.size += path.stat().st_size
                done.drafts += 1
                if not dry_run:
                    path.unlink()
    for mark in () if dry_run else storage.root.glob("callers/*/*"):
        with contextlib.suppress(FileNotFoundError):
            if mark.stat().st_mtime < before:
                mark.unlink()


def _collect_content(
    storage: Storage, done: Collected, gone: Collection[Path], before: float, *, dry_run: bool
) -> None:
    """Remove content that is in no repository; in a dry run, ``gone`` are links as good as removed."""
    repositories = list(storage.repositories())
    linked = {
        digest
        for name in repositories
        for kind in ("_blobs", "_manifests")
        for digest in storage.linked(name, kind)
        if storage.link(name, kind, digest) not in gone
    }
    unlinked = [
        each for each in digests(storage.root / "blobs") if each not in linked and _is_old(storage.blob(each), before)
    ]
    for start in range(0, len(unlinked), _BATCH):
        with storage.held(alone=not dry_run):
            for digest in unlinked[start : start + _BATCH]:
                if not dry_run and _is_linked(storage, digest):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    done.size += storage.blob(digest).stat().st_size
                    done.content.append(str(digest))
                    if not dry_run:
                        remove(storage.blob(digest))


def _is_linked(storage: Storage, digest: Digest) -> bool:
    """Return whether any repository has some content, now."""
    return any(
        storage.link(name, kind, digest).exists()
        for name in storage.repositories()
        for kind in ("_blobs", "_manifests")
    )


def _is_old(path: Path, before: float) -> bool:
    try:
        return path.stat().st_mtime < before
    except FileNotFoundError:
        return False


@dataclass(slots=True)
class Checked:
    """What was looked at, and what does not hold.

    Attributes:
        size: bytes that were read.

    """

    repositories: int = 0
    manifests: int = 0
    tags: int = 0
    content: int = 0
    size: int = 0
    problems: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the form that is printed."""
        return asdict(self)


def check(storage: Storage) -> Checked:
    """Read every byte: content against its digest, links, tags and referrers against what they name."""
    done = Checked()
    for digest in digests(storage.root / "blobs"):
        with contextlib.suppress(FileNotFoundError):  # collected meanwhile
            found, size = _read(storage.blob(digest), digest.algorithm)
            done.content += 1
            done.size += size
            if found != digest.hex:
                done.problems.append(f"content of {digest} has digest {digest.algorithm}:{found}")
    for name in list(storage.repositories()):
        # Nothing is removed meanwhile.
        with storage.held():
            done.repositories += 1
            done.problems += (f"{name}: {problem}" for problem in _check_repository(storage, name, done))
    return done


def _check_repository(storage: Storage, name: str, done: Checked) -> Iterator[str]:
    for digest in storage.linked(name, "_blobs"):
        if not storage.blob(digest).exists():
            yield f"the content of blob {digest} is not there"
    for digest in storage.linked(name, "_manifests"):
        done.manifests += 1
        try:
            media_type = storage.link(name, "_manifests", digest).read_text()
            manifest = Manifest.parse(storage.blob(digest).read_bytes(), media_type)
        except FileNotFoundError:
            yield f"the content of manifest {digest} is not there"
        except (ValueError, InvalidInputError) as error:
            yield f"manifest {digest}: {error}"
        else:
            yield from _check_manifest(storage, name, digest, manifest)
    for tag, digest in storage.tags(name).items():
        done.tags += 1
        if not storage.link(name, "_manifests", digest).exists():
            yield f"tag {tag} names {digest}, which is not there"


def _check_manifest(storage: Storage, name: str, digest: Digest, manifest: Manifest) -> Iterator[str]:
    for blob in manifest.blobs:
        if not storage.link(name, "_blobs", blob.digest).exists():
            yield f"manifest {digest} needs blob {blob.digest}, which is not there"
    if manifest.subject and not storage.referrer(name, manifest.subject.digest, digest).exists():
        yield f"manifest {digest} is not among the referrers of {manifest.subject.digest}"


def _read(path: Path, algorithm: str) -> tuple[str, int]:
    checksum, size = hashlib.new(algorithm), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            checksum.update(chunk)
            size += len(chunk)
    return checksum.hexdigest(), size
