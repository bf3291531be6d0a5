"""Routes of the edge, as few names as there are templates."""

from __future__ import annotations

import pytest

from ums.edge.routes import git_route, registry_route


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v2", "/v2/"),
        ("/v2/", "/v2/"),
        ("/v2/ums/platform/manifests/1.0.0", "/v2/<name>/manifests"),
        ("/v2/ums/platform/cilium/blobs/sha256:00", "/v2/<name>/blobs"),
        ("/v2/ums/platform/blobs/uploads/", "/v2/<name>/blobs/uploads"),
        ("/v2/ums/platform/tags/list", "/v2/<name>/tags"),
        ("/v2/ums/platform/referrers/sha256:00", "/v2/<name>/referrers"),
        ("/v2/whatever", "other"),
        ("/v2/a/b/c/d\n/manifests/x/y", "other"),
    ],
)
def test_a_path_of_the_registry_is_a_template(path: str, route: str) -> None:
    """Repositories, tags and digests are not in it."""
    assert registry_route(path) == route


@pytest.mark.parametrize(
    ("path", "route"),
    [("/info/refs", "/info/refs"), ("/git-upload-pack", "/git-upload-pack"), ("/HEAD", "other"), ("", "other")],
)
def test_a_path_of_git_is_one_of_two(path: str, route: str) -> None:
    """The others are refused, and are one."""
    assert git_route(path) == route
