"""Content digests as OCI writes them (image-spec, *descriptor*, section Digests)."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Self

from ums.domain.errors import InvalidInputError

_HEX_LENGTH = {"sha256": 64, "sha512": 128}
_HEX = re.compile(r"[0-9a-f]+")
_ANYWHERE = re.compile(r"sha(?:256:[0-9a-f]{64}|512:[0-9a-f]{128})", re.IGNORECASE)
_ESCAPED = re.compile(r"\\(?:u00|x)([0-7][0-9a-f])", re.IGNORECASE)


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """``algorithm:hex`` of some content; only algorithms that OCI registers."""

    algorithm: str
    hex: str

    def __post_init__(self) -> None:
        if _HEX_LENGTH.get(self.algorithm) != len(self.hex) or not _HEX.fullmatch(self.hex):
            raise InvalidInputError(
                f"{self.algorithm}:{self.hex!s:.80} is not a digest",
                hint="a digest is sha256: and 64 lower-case hex digits, or sha512: and 128",
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``sha256:…``.

        Raises:
            InvalidInputError: it is no digest of a supported algorithm.

        """
        algorithm, _, value = text.partition(":")
        return cls(algorithm, value)

    @classmethod
    def of(cls, content: bytes) -> Self:
        """Return the SHA-256 digest of ``content``."""
        return cls("sha256", hashlib.sha256(content).hexdigest())

    def matches(self, content: bytes) -> bool:
        """Return whether ``content`` has this digest."""
        return hashlib.new(self.algorithm, content).hexdigest() == self.hex

    @property
    def short(self) -> str:
        """Return the first 12 hex digits, as people read them."""
        return self.hex[:12]

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


def digests_in(content: bytes) -> frozenset[Digest]:
    """Return every digest that may be written in a text of any form, JSON or YAML, readable or not."""
    text = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), content.decode(errors="replace"))
    return frozenset(Digest.parse(found.lower()) for found in _ANYWHERE.findall(text))
