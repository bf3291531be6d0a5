"""Security headers, set in one place for every response of every surface.

A browser renders nothing of this origin but the pages below ``/api/docs``. What comes from others – the content of the
registry, and every media type that is not ours – is a download in a sandbox, whatever type it claims.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Headers = list[tuple[str, str]]

_PAGES = "/api/docs"
_PAGE_TYPES = frozenset({"text/html", "text/javascript", "text/css", "image/svg+xml", "image/png"})
_DATA_TYPES = frozenset(
    {
        "",
        "application/json",
        "application/problem+json",
        "application/x-git-upload-pack-advertisement",
        "application/x-git-upload-pack-result",
        "text/event-stream",
        "text/plain",
    }
)
"""What the service itself says. None of it is rendered, since no browser may guess another type."""
_FOREIGN = "/v2"
_CONFINED = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
# Swagger UI's style sheet has its pictures as data URLs; its scripts set styles only by the DOM.
_PAGE = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ALWAYS: Headers = [
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
]
_OWNED = frozenset(
    {"content-security-policy", "content-disposition", "strict-transport-security"}
    | {name.lower() for name, _ in _ALWAYS}
)


@cache
def _headers(*, is_page: bool, is_ours: bool, is_tls: bool) -> Headers:
    policy = _PAGE if is_page else _CONFINED if is_ours else f"{_CONFINED}; sandbox"
    download = [] if is_page or is_ours else [("Content-Disposition", "attachment")]
    tls = [("Strict-Transport-Security", "max-age=31536000")] if is_tls else []
    return [*_ALWAYS, ("Content-Security-Policy", policy), *download, *tls]


def secured(path: str, headers: Headers, *, is_tls: bool) -> Headers:
    """Return a response's headers with those that protect whoever shows it; what a surface says of these is dropped."""
    media_type, is_kept = "", False
    kept = []
    for name, value in headers:
        lower = name.lower()
        if lower == "content-type":
            media_type = value.partition(";")[0].strip().lower()
        is_kept |= lower == "cache-control"
        if lower not in _OWNED:
            kept.append((name, value))
    is_page = media_type in _PAGE_TYPES and is_below(_PAGES, path)
    is_ours = media_type in _DATA_TYPES and not is_below(_FOREIGN, path)
    if not is_kept:
        kept.append(("Cache-Control", "no-store"))  # it may hold a secret, or be about somebody
    return kept + _headers(is_page=is_page, is_ours=is_ours, is_tls=is_tls)


def is_below(prefix: str, path: str) -> bool:
    """Return whether a path is the prefix, or below it."""
    return path == prefix or path.startswith(f"{prefix}/")


class Secured:
    """A WSGI application around all others."""

    def __init__(self, app: WSGI) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        # As it came: whoever answers may cut it.
        path, is_tls = environ.get("PATH_INFO", ""), environ.get("wsgi.url_scheme") == "https"

        def start_secured(status: str, headers: Headers, *rest: Any) -> Any:  # noqa: ANN401 - WSGI's
            return start_response(status, secured(path, headers, is_tls=is_tls), *rest)

        return self._app(environ, start_secured)
