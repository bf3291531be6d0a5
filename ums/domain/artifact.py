"""An OCI artifact held locally: a manifest and the blobs it names, before or after a registry has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ums.domain.oci import EMPTY, EMPTY_CONFIG, MANIFEST, Descriptor, manifest_bytes


@dataclass(frozen=True, slots=True)
class Blob:
    """Content and its descriptor; large content stays in a file."""

    descriptor: Descriptor
    content: bytes | Path

    @classmethod
    def of(cls, content: bytes, media_type: str) -> Blob:
        """Return a blob of bytes."""
        return cls(Descriptor.of(content, media_type), content)


EMPTY_BLOB = Blob.of(EMPTY_CONFIG, EMPTY)


@dataclass(frozen=True, slots=True)
class Artifact:
    """One manifest, its descriptor and every blob it needs."""

    descriptor: Descriptor
    manifest: bytes
    blobs: tuple[Blob, ...]

    @classmethod
    def assemble(
        cls,
        *,
        config: Blob,
        layers: tuple[Blob, ...],
        annotations: Mapping[str, str],
        artifact_type: str | None = None,
        subject: Descriptor | None = None,
    ) -> Artifact:
        """Put a manifest around blobs; equal input gives equal bytes."""
        manifest = manifest_bytes(
            config=config.descriptor,
            layers=tuple(layer.descriptor for layer in layers),
            annotations=annotations,
            artifact_type=artifact_type,
            subject=subject,
        )
        return cls(Descriptor.of(manifest, MANIFEST), manifest, (config, *layers))
