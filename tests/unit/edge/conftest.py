"""The embedded registry under test."""

from __future__ import annotations

from pathlib import Path

import pytest
from werkzeug.test import Client

from tests.registry_client import Door, Whole
from ums.domain.digest import Digest
from ums.edge.registry import EmbeddedRegistry
from ums.edge.registry_storage import Storage


@pytest.fixture
def door() -> Door:
    """Give who decides."""
    return Door()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give the registry's folder."""
    return tmp_path / "registry"


@pytest.fixture
def storage(root: Path) -> Storage:
    """Give the folder as the registry sees it."""
    return Storage(root)


@pytest.fixture
def released() -> set[Digest]:
    """Give what releases need: nothing, unless a test says so."""
    return set()


@pytest.fixture
def http(root: Path, door: Door, released: set[Digest]) -> Client:
    """Give a client of a registry that takes blobs of up to 1000 bytes, and whose tags below ``fleet`` stay."""
    return Whole(
        EmbeddedRegistry(
            root,
            authorize=door,
            has_fixed_tags=lambda name: name.startswith("fleet/"),
            released=lambda: released,
            max_blob_size=1000,
        )
    )
