"""Secrets that are kept in the database: encrypted with a key derived from the service's master secret.

AES-256-GCM (NIST SP 800-38D) with a random nonce of 96 bits; the key is HKDF-SHA256 (RFC 5869) of the master secret.
Where a value is kept is authenticated with it, so that one which was moved to another row or column does not open.
"""

from __future__ import annotations

import base64
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ums.domain.errors import StorageError

_PREFIX = "ums1:"
"""Names key, algorithm and form; another of these gets another number."""
_INFO = b"ums/v1/secrets-in-the-database"
_NONCE_BYTES = 12


class Sealer:
    """Encrypts and decrypts; ``master`` is the master secret."""

    def __init__(self, master: bytes) -> None:
        self._cipher = AESGCM(HKDF(algorithm=SHA256(), length=32, salt=None, info=_INFO).derive(master))

    def seal(self, secret: str, *place: str) -> str:
        """Return a secret encrypted; ``place`` is table, row and column."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, secret.encode(), _bound(place))
        return _PREFIX + base64.b64encode(nonce + sealed).decode()

    def open(self, sealed: str, *place: str) -> str:
        """Return the secret that was encrypted for ``place``.

        Raises:
            StorageError: it was not encrypted, for another place or with another master secret, or it was changed.

        """
        try:
            # What has another form is not decrypted: nothing has a nonce of no bytes.
            form, content = sealed[: len(_PREFIX)], base64.b64decode(sealed[len(_PREFIX) :], validate=True)
            content = content if form == _PREFIX else b""
            return self._cipher.decrypt(content[:_NONCE_BYTES], content[_NONCE_BYTES:], _bound(place)).decode()
        except (ValueError, InvalidTag) as error:
            raise StorageError(
                f"{' '.join(place)} in the database cannot be decrypted: it was changed, or the master key is another",
                hint="bring the master.key back that it was written with; without it, make the secret anew",
            ) from error


def _bound(place: tuple[str, ...]) -> bytes:
    return "\0".join(place).encode()
