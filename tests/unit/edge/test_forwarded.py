"""Forwarded headers are believed from as many proxies as there are, and from nobody else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from ums.edge.forwarded import behind_proxies


@pytest.mark.parametrize(
    ("count", "address", "scheme"),
    [(0, "192.0.2.1", "http"), (1, "198.51.100.2", "https"), (2, "203.0.113.3", "http"), (3, "192.0.2.1", "http")],
)
def test_the_last_headers_count(count: int, address: str, scheme: str) -> None:
    """Each proxy appends what it saw; what stands before that, the client may have made up."""
    seen: dict[str, Any] = {}

    def app(environ: dict[str, Any], _start_response: Callable[..., Any]) -> Iterable[bytes]:
        seen.update(environ)
        return ()

    environ = {
        "REMOTE_ADDR": "192.0.2.1",
        "wsgi.url_scheme": "http",
        "HTTP_X_FORWARDED_FOR": "203.0.113.3, 198.51.100.2",
        "HTTP_X_FORWARDED_PROTO": "http, https",
    }
    behind_proxies(app, count)(environ, lambda *_: None)
    assert (seen["REMOTE_ADDR"], seen["wsgi.url_scheme"]) == (address, scheme)
