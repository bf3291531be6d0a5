"""What is on the open internet, and which URLs have one reading."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ums.domain.addresses import Target, is_public, parse_target
from ums.domain.errors import InvalidInputError

PUBLIC = ["93.184.216.34", "1.1.1.1", "192.1.0.1", "198.17.0.1", "2606:4700::1111", "2a00::1", "64:ff9b::5db8:d822"]
NOT_PUBLIC = [
    "0.0.0.0",  # noqa: S104 - an address
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "169.254.169.254",
    "172.31.0.1",
    "192.0.0.1",
    "192.0.0.9",
    "192.0.0.254",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::10.0.0.1",
    "::93.184.216.34",
    "::ffff:10.0.0.1",
    "::ffff:93.184.216.34",
    "::ffff:0:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:5db8:d822::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:5db8:d822::1",
    "3ffe::1",
    "3fff::1",
    "3fff:fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1111%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_hosts_on_the_internet_are_public(address: str) -> None:
    """Of IPv4 and IPv6, and those of IPv4 seen from a network without it."""
    assert is_public(ip_address(address))


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_nothing_else_is(address: str) -> None:
    """Also not what one version of Python takes for global, or what carries another address."""
    assert not is_public(ip_address(address))


@given(st.ip_addresses(v=6))
def test_what_is_outside_of_global_unicast_is_not_public(address: object) -> None:
    """Whatever IANA makes of the rest; but for IPv4 hosts by NAT64."""
    found = ip_address(str(address))
    if int(found) >> 125 != 1 and not str(found).startswith("64:ff9b::"):
        assert not is_public(found)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://example.com", Target("https", "example.com", 443)),
        ("https://EXAMPLE.com:8443/a/b?c=d", Target("https", "example.com", 8443)),
        ("http://chat/x", Target("http", "chat", 80)),
        ("https://xn--bcher-kva.example/", Target("https", "xn--bcher-kva.example", 443)),
        ("https://93.184.216.34:65535/", Target("https", "93.184.216.34", 65535)),
        ("https://[2606:4700::1111]:1/", Target("https", "2606:4700::1111", 1)),
        ("https://a1.example.com/%0a", Target("https", "a1.example.com", 443)),
    ],
)
def test_a_plain_url_says_where_it_leads(url: str, target: Target) -> None:
    """Scheme, host and port."""
    assert parse_target(url) == target


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "//example.com",
        "ftp://example.com",
        "file:///etc/passwd",
        "https:///x",
        "https://",
        "https://:443/",
        "https://example.com:0/",
        "https://example.com:65536/",
        "https://example.com:99999/",
        "https://example.com:-1/",
        "https://example.com:/",
        "https://example.com:8o/",
        "https://example.com:80:80/",
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://@example.com/",
        "https://example.com@127.0.0.1/",
        "https://example.com#@127.0.0.1/",
        "https://example.com/#fragment",
        "https://example.com\\@127.0.0.1/",
        "https://exa mple.com/",
        " https://example.com/",
        "https://example.com/ ",
        "https://example.com/\r\nHost: x",
        "https://example.com\t/",
        "https://ex\u00e4mple.com/",
        "https://\uff11\uff12\uff17.0.0.1/",
        "https://example.com./",
        "https://.example.com/",
        "https://example..com/",
        "https://-example.com/",
        "https://example-.com/",
        "https://exa_mple.com/",
        "https://%31%32%37.0.0.1/",
        f"https://{'a' * 64}.com/",
        f"https://{'a.' * 130}com/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://127.1/",
        "https://0177.0.0.1/",
        "https://127.0.0.0x1/",
        "https://127.0.0.01/",
        "https://127.0.0.1./",
        "https://1.2.3.4.5/",
        "https://256.1.1.1/",
        "https://example.123/",
        "https://[fe80::1%25eth0]/",
        "https://[fe80::1%eth0]/",
        "https://[::1/",
        "https://::1/",
        "https://[127.0.0.1]/",
        "https://[v1.x]/",
        "https://[::1]x/",
    ],
)
def test_what_two_parsers_may_read_differently_is_refused(url: str) -> None:
    """Without repeating it."""
    with pytest.raises(InvalidInputError) as caught:
        parse_target(url)
    assert "password" not in caught.value.message


@given(st.text(alphabet="htps:/[]@.%#?\\0123456789abx- \t\n\u0661", max_size=30))
def test_nothing_but_our_error_comes_of_any_text(rest: str) -> None:
    """No input makes the parser fail otherwise; and what it returns is a host and a port."""
    for url in (rest, f"https://{rest}"):
        try:
            target = parse_target(url)
        except InvalidInputError:
            continue
        assert target.host
        assert 0 < target.port < 65536
