"""What requests at the edge are, as one of few templates: whoever asks chooses the path, and must not choose names."""

from __future__ import annotations

import re

_GIT = frozenset({"/info/refs", "/git-upload-pack"})
_REGISTRY = re.compile(r"/v2/.+?/(manifests|blobs/uploads|blobs|tags|referrers)/[^/]*")


def git_route(path: str) -> str:
    """Return the template of a path below the repository."""
    return path if path in _GIT else "other"


def view_route(path: str) -> str:
    """Return the template of a path of a data plane's remote."""
    action = (path.partition("/info/")[2] and "info/refs") or path.rpartition("/")[2]
    return f"/<org>/<pdp>/{action}"


def registry_route(path: str) -> str:
    """Return the template of a path of the registry."""
    if path in {"/v2", "/v2/"}:
        return "/v2/"
    match = _REGISTRY.fullmatch(path)
    return f"/v2/<name>/{match.group(1)}" if match else "other"
