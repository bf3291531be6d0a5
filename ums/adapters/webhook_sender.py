"""Posting to receivers that others chose: bounded in time, past no redirect, to no private address, reading no answer.

The name is resolved once, and the connection goes to the very address that was checked: a name that leads elsewhere
the second time gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Event, Timer
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from ums.domain.addresses import is_public, parse_target
from ums.domain.errors import ForbiddenError, UnavailableError

_TIMEOUT_SECONDS = (5, 10)
_WHOLE_SECONDS = 20.0
"""Who sends a byte now and then keeps to the other limits, and would hold up all who are told after it."""
_OK = range(200, 300)


class WebhookSender:
    """Implements ``ports.Sender``; ``authorities`` is a file of certificates to trust instead of the public ones."""

    def __init__(self, authorities: Path | None = None) -> None:
        self._authorities = authorities

    def send(self, url: str, body: bytes, headers: Mapping[str, str], *, private: bool) -> int:
        """Post ``body`` and return the status of the answer, if the receiver took it.

        Raises:
            InvalidInputError: the URL is none that a webhook may have.
            ForbiddenError: the receiver is at an address that is not public, and may not be.
            UnavailableError: it does not answer, or says no.

        """
        target = parse_target(url)
        host = target.host
        address = _address_of(host, target.port, private=private)
        with closing(requests.Session()) as session:
            session.trust_env = False
            session.verify = str(self._authorities) if self._authorities else True
            pinned = _Pinned(host, address)
            session.mount(f"{target.scheme}://", pinned)
            try:
                with (
                    pinned.hung_up_after(_WHOLE_SECONDS),
                    session.post(
                        url,
                        data=body,
                        headers=dict(headers),
                        timeout=_TIMEOUT_SECONDS,
                        allow_redirects=False,
                        stream=True,
                    ) as answer,
                ):
                    status = answer.status_code
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                raise UnavailableError(f"{host} does not answer: {type(error).__name__}") from error
        if status not in _OK:
            raise UnavailableError(f"{host} answered {status}")
        return status


class _Pinned(HTTPAdapter):
    """Connects to one address, whatever the name means meanwhile; certificates are checked for the name."""

    def __init__(self, host: str, address: str) -> None:
        self._host = host
        self._address = address
        self._sockets: list[socket.socket] = []
        super().__init__()

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as requests has it
        """Return a pool of connections that are remembered, from before the first byte of TLS on."""
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = _remembering(pool.ConnectionCls, self._sockets)
        return pool

    @contextmanager
    def hung_up_after(self, seconds: float) -> Iterator[None]:
        """End connections that are still in use by then.

        Raises:
            UnavailableError: they were, whatever was read of the answer.

        """
        hung_up = Event()

        def hang_up() -> None:
            hung_up.set()
            for each in self._sockets:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

        impatience = Timer(seconds, hang_up)
        impatience.daemon = True
        impatience.start()
        try:
            yield
        finally:
            impatience.cancel()
            impatience.join()
            for each in self._sockets:
                each.close()
            if hung_up.is_set():
                raise UnavailableError(f"{self._host} does not answer within {seconds:.0f} s")

    def send(self, request: requests.PreparedRequest, **kwargs: object) -> requests.Response:  # type: ignore[override]
        parts = urlsplit(request.url or "")
        address = f"[{self._address}]" if ":" in self._address else self._address
        request.headers.setdefault("Host", parts.netloc)
        request.url = parts._replace(netloc=address + (f":{parts.port}" if parts.port else "")).geturl()
        if parts.scheme == "https":
            self.poolmanager.connection_pool_kw["server_hostname"] = self._host
            self.poolmanager.connection_pool_kw["assert_hostname"] = self._host
        return super().send(request, **kwargs)  # type: ignore[arg-type]


def _remembering(connection: type[Any], sockets: list[socket.socket]) -> type[Any]:
    class Remembering(connection):  # type: ignore[misc]  # of HTTP or HTTPS
        def _new_conn(self) -> socket.socket:
            made: socket.socket = super()._new_conn()
            # TLS takes the socket over; what this one names stays the same connection.
            sockets.append(made.dup())
            return made

    return Remembering


def _address_of(host: str, port: int, *, private: bool) -> str:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, OverflowError) as error:
        raise UnavailableError(f"{host} is not known") from error
    addresses = [str(each[4][0]) for each in found]
    for address in addresses:
        if not private and not is_public(ipaddress.ip_address(address)):
            raise ForbiddenError(
                f"{host} is at {address}, which is not a public address", hint="allow it: ums webhook add --private"
            )
    return addresses[0]
