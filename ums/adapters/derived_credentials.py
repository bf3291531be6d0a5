"""Credentials of data planes, derived from the service's master secret (HKDF, RFC 5869).

Nothing is stored but the master secret; the generation, which rotates a credential, stands in Git.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ums.domain.bootstrapping import Credentials
from ums.domain.names import PDPName

MASTER_BYTES = 32


@dataclass(frozen=True, slots=True)
class DerivedCredentials:
    """Implements ``ports.CredentialSource``. ``master`` has ``MASTER_BYTES`` random bytes."""

    master: bytes

    def credentials(self, pdp: PDPName, *, generation: int) -> Credentials:
        """Return the credentials of one generation."""
        return Credentials(str(pdp), self._derive("password", pdp, generation), self._derive("events", pdp, generation))

    def _derive(self, purpose: str, pdp: PDPName, generation: int) -> str:
        return _derived(self.master, f"ums/v1/{purpose}/{pdp}/{generation}")


@lru_cache(maxsize=131_072)
def _derived(master: bytes, info: str) -> str:
    """Return a key. Kept: each data plane proves itself each minute, and two generations are looked at."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info.encode()).derive(master).hex()
