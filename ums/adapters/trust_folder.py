"""The folder that a release of bundle ``trust`` is built from, and the digest of what comes of it.

Whoever publishes one writes the folder from what the service renders; the service makes the same of it, to compare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ums.adapters._archive import pack
from ums.adapters._objects import write_objects
from ums.adapters._placement import place_manifests
from ums.adapters._yaml import dump
from ums.adapters.bundle_folder import FILE
from ums.domain.digest import Digest
from ums.domain.rendering import NAMESPACE
from ums.domain.trust import TRUST
from ums.domain.trusting import COMPONENT

_MANIFEST = "trust.yaml"


def trust_content(objects: Sequence[Mapping[str, Any]]) -> Digest:
    """Return the digest of the uncompressed layer that these objects make."""
    return pack(place_manifests({_MANIFEST: write_objects(objects)}, NAMESPACE))[1]


def write_trust_folder(folder: Path, objects: Sequence[Mapping[str, Any]], *, version: str, notes: str) -> None:
    """Write a bundle's folder."""
    (folder / COMPONENT).mkdir(parents=True)
    (folder / COMPONENT / _MANIFEST).write_bytes(write_objects(objects))
    component = {
        "name": COMPONENT,
        "manifests": COMPONENT,
        "version": version,
        "namespace": NAMESPACE,
        "timeout": "1m",
    }
    spec = {
        "schema": 1,
        "name": TRUST,
        "class": "security",
        "notes": notes,
        "upgrade": {"barrier": "each is signed with a key that the one before it brought", "irreversible": True},
        "components": [component],
    }
    (folder / FILE).write_bytes(dump(spec))
