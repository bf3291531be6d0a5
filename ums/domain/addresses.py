"""Which network addresses are on the open internet, and which URLs name a receiver in one way only.

Addresses: IANA's special-purpose registries for IPv4 and IPv6 (RFC 6890), since ``ipaddress`` knows what they were when
that version of Python was made. URLs: RFC 3986, without all that parsers take differently.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from ums.domain.errors import InvalidInputError

_NO_IPV4 = tuple(
    IPv4Network(each)
    for each in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
"""All that was ever assigned to hosts: mapped, compatible, local and multicast addresses are outside."""
_NO_IPV6 = tuple(
    IPv6Network(each)
    for each in (
        "2001::/23",  # protocols, with Teredo
        "2001:db8::/32",
        "2002::/16",  # 6to4, which carries any IPv4 address
        "3ffe::/16",
        "3fff::/20",
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_TEXT = re.compile(r"[!-~]+")
_PLACE = re.compile(r"(?:\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[a-z0-9.-]+))(?::(?P<port>[0-9]{1,5}))?")
"""A host and a port, as RFC 3986 has them, without zones of IPv6 addresses and without anything encoded."""
_MAX_HOST = 253
_PORTS = range(1, 65536)
_DEFAULT_PORTS = {"https": 443, "http": 80}


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Return whether an address is one of a host on the open internet."""
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in each for each in _NO_IPV4)
    if address.scope_id is not None:
        return False
    if address in _NAT64:
        # The only way to an IPv4 host from a network without IPv4 (RFC 6052).
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    return address.is_global and address in _GLOBAL_UNICAST and not any(address in each for each in _NO_IPV6)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads: a scheme, a name in lower case or an address, and a port."""

    scheme: str
    host: str
    port: int

    @property
    def address(self) -> IPv4Address | IPv6Address | None:
        """Return the address, if the host is one."""
        try:
            return ip_address(self.host)
        except ValueError:
            return None


def parse_target(url: str) -> Target:
    """Return where an HTTP URL leads; the URL is not repeated in errors, since it may hold a secret.

    Raises:
        InvalidInputError: there is something in it that is not needed, or that two parsers may read differently.

    """
    if not _TEXT.fullmatch(url):
        raise _bad("it has blanks, control characters or non-ASCII characters", "write names beyond ASCII as xn--…")
    if "\\" in url or "#" in url:
        raise _bad("it has a backslash or a fragment")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise _bad("its host cannot be read") from error
    if parts.scheme not in _DEFAULT_PORTS:
        raise _bad("its scheme is neither https nor http")
    if "@" in parts.netloc:
        raise _bad("it has credentials")
    place = _PLACE.fullmatch(parts.netloc.lower())
    if place is None:
        raise _bad("its host is no name or address, or its port no number")
    host, port = place["address"] or place["name"], int(place["port"] or _DEFAULT_PORTS[parts.scheme])
    if port not in _PORTS:
        raise _bad("its port is not from 1 to 65535")
    _check_host(host, is_ipv6=bool(place["address"]))
    return Target(parts.scheme, host, port)


def _check_host(host: str, *, is_ipv6: bool) -> None:
    labels = host.split(".")
    try:
        if is_ipv6:
            IPv6Address(host)
        elif _NUMBER.fullmatch(labels[-1]):
            # Whatever ends in a number is an address (WHATWG URL): 127.1, 0x7f.1 and 2130706433 are some as well.
            IPv4Address(host)
        elif len(host) > _MAX_HOST or not all(_LABEL.fullmatch(each) for each in labels):
            raise _bad("its host is no name of letters, digits, hyphens and dots")
    except ValueError as error:
        raise _bad("its host is no address in the usual form", "write 192.0.2.1 or [2001:db8::1]") from error


def _bad(why: str, hint: str = "write https://host/path or https://host:port/path") -> InvalidInputError:
    return InvalidInputError(f"the URL cannot be used: {why}", hint=hint)
