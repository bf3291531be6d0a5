"""What the end-to-end tests share: one cluster a file, and a loud word where there can be none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import FLUX, Cluster
from tests.e2e.toolchain import find_tool

_API = ("etcd", "kube-apiserver", "kubectl")
_CLUSTER = (*_API, "kube-controller-manager", "kube-scheduler", "kwok", "helm", *FLUX)
_NEEDED = {
    "test_conformance.py": ("conformance",),
    "test_differential.py": ("differential",),
    "test_differential_yaml.py": ("differential",),
}
"""Files that need no cluster, and the tools that they need."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder, and skip it loudly where the tools could not be built."""
    for item in items:
        if "e2e" in item.path.parts:
            item.add_marker(pytest.mark.e2e)
            own = _CLUSTER if "cluster" in getattr(item, "fixturenames", ()) else _API
            missing = [name for name in _NEEDED.get(item.path.name, own) if find_tool(name) is None]
            if missing:
                item.add_marker(
                    pytest.mark.skip(reason=f"!!! NOT TESTED: not built: {', '.join(missing)} (Go is needed)")
                )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a running cluster with Flux."""
    folder: Path = tmp_path_factory.mktemp("cluster")
    with Cluster(folder) as running:
        yield running
