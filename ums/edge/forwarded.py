"""Behind reverse proxies: who asked, by which scheme and host, is what the outermost one that is trusted saw."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from werkzeug.http import parse_list_header
from werkzeug.middleware.proxy_fix import ProxyFix

WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def behind_proxies(app: WSGI, count: int) -> WSGI:
    """Return the application as ``count`` proxies make it look to their clients; 0 believes no header."""
    return ProxyFix(app, x_for=count, x_proto=count, x_host=count) if count else app


def forwarded_client(header: str, count: int) -> str | None:
    """Return whose address the outermost of ``count`` proxies saw, by X-Forwarded-For; ``None`` if none says so."""
    addresses = parse_list_header(header)
    return addresses[-count] if 0 < count <= len(addresses) else None
