"""Digests are what OCI writes, and nothing else."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ums.domain.digest import Digest
from ums.domain.errors import InvalidInputError


@given(st.binary(max_size=200))
def test_a_digest_reads_as_it_prints(content: bytes) -> None:
    """Parsing the text of a digest gives the digest."""
    digest = Digest.of(content)
    assert Digest.parse(str(digest)) == digest
    assert str(digest) == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert digest.short == digest.hex[:12]


def test_sha512_is_accepted() -> None:
    """Both algorithms that OCI registers are read."""
    assert Digest.parse(f"sha512:{'a' * 128}").algorithm == "sha512"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256",
        "sha256:",
        "a" * 64,
        f"sha256:{'a' * 63}",
        f"sha256:{'a' * 128}",
        f"sha256:{'A' * 64}",
        f"sha256:{'g' * 64}",
        f"sha256:{'a' * 63}\n",
        f"sha256: {'a' * 63}",
        f"md5:{'a' * 32}",
        f"SHA256:{'a' * 64}",
    ],
)
def test_what_is_no_digest_is_refused(text: str) -> None:
    """A digest becomes a path and a URL, so it is checked to the letter."""
    with pytest.raises(InvalidInputError):
        Digest.parse(text)
