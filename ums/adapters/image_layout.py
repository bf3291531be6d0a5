"""Artifacts as an OCI image layout (image-spec 1.1, *image layout*), for those who copy it with other tools."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from ums.domain.artifact import Artifact
from ums.domain.canonical import canonical_json
from ums.domain.digest import Digest
from ums.domain.errors import StorageError
from ums.domain.oci import INDEX


def write_layout(folder: Path, tag: str, artifacts: Sequence[Artifact]) -> None:
    """Write artifacts; the first is tagged.

    Raises:
        StorageError: the disk refused.

    """
    try:
        for artifact in artifacts:
            _write(folder, artifact.descriptor.digest, artifact.manifest)
            for blob in artifact.blobs:
                _write(folder, blob.descriptor.digest, blob.content)
        entries = [artifact.descriptor.to_dict() for artifact in artifacts]
        entries[0]["annotations"] = {"org.opencontainers.image.ref.name": tag}
        (folder / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
        (folder / "index.json").write_bytes(
            canonical_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
        )
    except OSError as error:
        raise StorageError(f"cannot write {folder}: {error.strerror}", hint="give another folder with --to") from error


def _write(folder: Path, digest: Digest, content: bytes | Path) -> None:
    path = folder / "blobs" / digest.algorithm / digest.hex
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Path):
        shutil.copyfile(content, path)
    else:
        path.write_bytes(content)
