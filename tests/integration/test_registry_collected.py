"""What a service published stays in its registry whatever is collected, and cannot be deleted."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import requests

from tests.running_service import EXAMPLES, RunningService

pytestmark = pytest.mark.integration


def test_releases_outlive_collections(tmp_path: Path) -> None:
    """Even without its tags: the release repo names what a release needs, and signatures refer to that."""
    with RunningService(tmp_path) as service:
        service.publish(EXAMPLES / "platform" / "1.0.0", "1.0.0")
        login, address = ("token", service.token), f"{service.url}/v2/ums/platform/manifests/1.0.0"
        release = requests.head(address, auth=login, timeout=10).headers["Docker-Content-Digest"]
        refused = requests.delete(address, auth=login, timeout=10)
        assert (refused.status_code, "publish a new version" in refused.text) == (405, True)
        folder = service.data / "registry"
        then = time.time() - 2 * 24 * 3600
        for path in folder.rglob("*"):
            if path.parent.name == "_tags":
                path.unlink()
            elif path.is_file():
                os.utime(path, (then, then))
        before = sorted(folder.rglob("*"))
        done = service.json("registry", "gc", str(service.data))
        assert (done["manifests"], done["blobs"], done["content"], done["problems"]) == ([], [], [], [])
        assert sorted(folder.rglob("*")) == before
        address = f"{service.url}/v2/ums/platform/manifests/{release}"
        refused = requests.delete(address, auth=login, timeout=10)
        assert (refused.status_code, "a release needs it" in refused.text) == (405, True)
        assert service.json("registry", "check", str(service.data))["problems"] == []
