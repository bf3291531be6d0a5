"""The folder of the embedded registry: what lies where, who may change it when, and what reaches what.

Content lies once, in ``blobs/<algorithm>/<hex>`` as in an OCI image layout; small link files below
``repositories/<name>/`` say what a repository has: ``_blobs``, ``_manifests`` (with the media type), ``_tags``,
``_referrers``; ``_uploads`` has what is coming in. Whatever appears under its final name is complete, checked and on
disk. Who makes a link holds the folder with others, who removes one holds it alone: so nothing is linked that goes
away at the same time. The lock is the kernel's, on the folder itself, and ends with its process.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from ums.domain.digest import Digest, digests_in
from ums.domain.errors import IntegrityError, InvalidInputError
from ums.domain.oci import Descriptor, Document
from ums.domain.strict_json import StrictJSONError

_DRAFT = "."
_FALLBACK_TAG = re.compile(r"sha(256|512)-[0-9a-f]{64}")
"""Where clients keep referrers if a registry has no API for them; its content changes (distribution-spec 1.1)."""


def is_fallback_tag(tag: str) -> bool:
    """Return whether a tag is one of those that list referrers."""
    return _FALLBACK_TAG.fullmatch(tag) is not None


class Part(NamedTuple):
    """What the registry needs of a descriptor; ``size`` in bytes, ``None`` where it is not known."""

    digest: Digest
    size: int | None
    media_type: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the registry itself needs of a manifest or index.

    Attributes:
        blobs: what must be in the same repository.
        elsewhere: blobs that may be: they have addresses of their own.
        children: what an index lists.
        is_readable: whether it has a reading; what has none is kept, with all that it may name.

    """

    blobs: tuple[Part, ...]
    elsewhere: tuple[Part, ...]
    children: tuple[Part, ...]
    subject: Part | None
    annotations: Mapping[str, str]
    artifact_type: str | None
    is_readable: bool = True

    @classmethod
    def parse(cls, content: bytes, media_type: str, *, strict: bool = False) -> Manifest:
        """Read a manifest, in the one way in which Go reads it too.

        Args:
            content: its bytes.
            media_type: what it was pushed as.
            strict: reject what UMS and its data planes have no use for, even if the spec allows it.

        Raises:
            ValueError: it is none; names the member.
            InvalidInputError: it has a digest that is none.

        """
        try:
            document = Document.from_bytes(content, media_type, foreign=not strict)
        except StrictJSONError as error:
            raise ValueError(f"this is no {media_type[:100] or 'manifest'}: {error.message}") from error
        config = document.config
        blobs = [config, *document.layers] if config else []
        return cls(
            tuple(_part(blob) for blob in blobs if not blob.urls),
            tuple(_part(blob) for blob in blobs if blob.urls),
            tuple(map(_part, document.manifests)),
            _part(document.subject) if document.subject else None,
            document.annotations,
            document.artifact_type or (config.media_type if config else None),
        )

    @classmethod
    def unreadable(cls, content: bytes) -> Manifest:
        """Return what a manifest that has no reading may name: every digest that is written in it."""
        parts = tuple(Part(digest, None) for digest in sorted(digests_in(content)))
        return cls((), parts, parts, None, {}, None, is_readable=False)


def _part(descriptor: Descriptor) -> Part:
    return Part(descriptor.digest, descriptor.size, descriptor.media_type)


def reached(manifests: Mapping[Digest, Manifest], roots: Iterable[Digest]) -> set[Digest]:
    """Return which manifests of a repository roots reach: themselves, what indexes list, and what refers to these."""
    referrers: defaultdict[Digest, list[Digest]] = defaultdict(list)
    for digest, manifest in manifests.items():
        if manifest.subject is not None:
            referrers[manifest.subject.digest].append(digest)
    found: set[Digest] = set()
    left = list(roots)
    while left:
        digest = left.pop()
        if digest not in found:
            found.add(digest)
            left += referrers[digest]
            left += (child.digest for child in manifests[digest].children) if digest in manifests else ()
    return found & manifests.keys()


def blobs_of(manifests: Iterable[Manifest]) -> set[Digest]:
    """Return every blob that manifests name."""
    return {part.digest for each in manifests for part in (*each.blobs, *each.elsewhere)}


class Storage:
    """The folder.

    Args:
        root: made when absent.

    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextlib.contextmanager
    def held(self, *, alone: bool = False) -> Iterator[None]:
        """Hold the folder: with others to make links, alone to remove what is linked."""
        self.root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            yield
        finally:
            os.close(descriptor)

    def blob(self, digest: Digest) -> Path:
        """Return where content lies."""
        return self.root / "blobs" / digest.algorithm / digest.hex

    def folder(self, name: str, kind: str) -> Path:
        """Return the folder of one kind of links of a repository."""
        # No part of a repository's name begins with an underscore, so kinds and names cannot meet.
        return self.root / "repositories" / name / kind

    def link(self, name: str, kind: str, digest: Digest) -> Path:
        """Return the link, or folder of links, for a digest."""
        return self.folder(name, kind) / digest.algorithm / digest.hex

    def media_type(self, name: str, digest: Digest) -> str | None:
        """Return what a manifest of a repository was pushed as, or ``None`` where it has none of the digest."""
        try:
            return self.link(name, "_manifests", digest).read_text()
        except FileNotFoundError:
            return None

    def referrer(self, name: str, subject: Digest, digest: Digest) -> Path:
        """Return the entry that says which manifest refers to a subject."""
        return self.link(name, "_referrers", subject) / f"{digest.algorithm}-{digest.hex}"

    def is_repository(self, name: str) -> bool:
        """Return whether anything was ever pushed there, or began to be."""
        return any(self.folder(name, kind).is_dir() for kind in ("_blobs", "_uploads"))

    def repositories(self) -> Iterator[str]:
        """Yield all of them."""
        base = self.root / "repositories"
        for folder, inner, _ in os.walk(base):
            if any(each.startswith("_") for each in inner):
                yield Path(folder).relative_to(base).as_posix()
            inner[:] = sorted(each for each in inner if not each.startswith("_"))

    def linked(self, name: str, kind: str) -> Iterator[Digest]:
        """Yield what a repository has of one kind."""
        yield from digests(self.folder(name, kind))

    def referrers(self, name: str) -> Iterator[tuple[Digest, Digest]]:
        """Yield the entries of all subjects: subject and manifest, which may be on its way still."""
        for subject in self.linked(name, "_referrers"):
            for entry in names(self.link(name, "_referrers", subject)):
                yield subject, Digest(*entry.split("-", 1))

    def tag(self, name: str, tag: str) -> Digest | None:
        """Return which manifest a tag names."""
        try:
            return Digest.parse((self.folder(name, "_tags") / tag).read_text())
        except FileNotFoundError:
            return None

    def tags(self, name: str) -> dict[str, Digest]:
        """Return the tags of a repository."""
        found = {tag: self.tag(name, tag) for tag in names(self.folder(name, "_tags"))}
        return {tag: digest for tag, digest in found.items() if digest}

    def manifests(self, name: str) -> dict[Digest, Manifest]:
        """Read all manifests of a repository, without their annotations, which may be large.

        Raises:
            IntegrityError: the content of one is not there, or damaged.

        """
        found: dict[Digest, Manifest] = {}
        for digest in self.linked(name, "_manifests"):
            try:
                media_type = self.link(name, "_manifests", digest).read_text()
                content = self.blob(digest).read_bytes()
            except FileNotFoundError as error:
                if self.link(name, "_manifests", digest).exists():
                    raise IntegrityError(f"{name}: the content of manifest {digest} is not there") from error
                continue
            if not digest.matches(content):
                raise IntegrityError(f"{name}: the content of manifest {digest} is damaged")
            try:
                found[digest] = replace(Manifest.parse(content, media_type), annotations={})
            except (ValueError, InvalidInputError):
                # It was taken in before the rules of today.
                found[digest] = Manifest.unreadable(content)
        return found


def digests(folder: Path) -> Iterator[Digest]:
    """Yield what lies in a folder of ``<algorithm>/<hex>``."""
    for algorithm in names(folder):
        for value in names(folder / algorithm):
            yield Digest(algorithm, value)


def names(folder: Path) -> list[str]:
    """Return what is in a folder, in order, without drafts."""
    try:
        return sorted(path.name for path in folder.iterdir() if not path.name.startswith(_DRAFT))
    except FileNotFoundError:
        return []


def write(path: Path, content: bytes, *, new: bool = False) -> None:
    """Put a file in place, whole or not at all.

    Raises:
        FileExistsError: it should be ``new``, and is there.

    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.parent / f"{_DRAFT}{uuid.uuid4().hex}"
    try:
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if new:
            os.link(draft, path)
            _sync(path.parent)
        else:
            move(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def move(source: Path, target: Path) -> None:
    """Rename for good: the new name is on disk when this returns."""
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)
    _sync(target.parent)


def remove(path: Path) -> bool:
    """Remove for good; return whether it was there."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    _sync(path.parent)
    return True


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
