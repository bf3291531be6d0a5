"""Signatures of Git commits: SSHSIG with Ed25519, made in process.

Source: OpenSSH PROTOCOL.sshsig (version 1), as ``git`` reads it in the header ``gpgsig``. What a commit is, and where
the signature goes in it, is not known here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
    load_ssh_public_key,
)

from ums.adapters._new_file import write_new
from ums.domain.errors import InvalidInputError

_MAGIC = b"SSHSIG"
_VERSION = 1
_NAMESPACE = b"git"
_HASH = b"sha512"
_KEY_TYPE = b"ssh-ed25519"
_KEY_BYTES = 32
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
_MAX_ARMOR = 4096
_FIELD = 2**255 - 19
_ORDER_8 = int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little")
_SMALL_ORDER = frozenset({0, 1, _FIELD - 1, _ORDER_8, _FIELD - _ORDER_8})
"""The points of order 1, 2, 4 and 8, by their y (RFC 8032 §5.1)."""
_LINE = 70


class SSHStateSigner:
    """Implements ``ports.StateSigner`` with an Ed25519 key in OpenSSH's format."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()

    @classmethod
    def generate(cls, path: Path) -> SSHStateSigner:
        """Make a key and write it to ``path``, readable by its owner alone.

        Raises:
            ConflictError: there is a file already; it is left as it is.
            StorageError: the disk refused.

        """
        key = Ed25519PrivateKey.generate()
        write_new(path, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()), mode=0o600)
        return cls(key)

    @classmethod
    def load_or_generate(cls, path: Path) -> SSHStateSigner:
        """Read the key at ``path``, or make it: so that what was interrupted can go on.

        Raises:
            InvalidInputError: what is there is no state key.
            StorageError: the disk refused.

        """
        return cls.load(path) if path.exists() else cls.generate(path)

    @classmethod
    def load(cls, path: Path) -> SSHStateSigner:
        """Read a key.

        Raises:
            InvalidInputError: it is no unencrypted Ed25519 key, or cannot be read.

        """
        try:
            key = load_ssh_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise InvalidInputError(f"{path} is not a usable state key: {error}") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise InvalidInputError(f"{path} is not an Ed25519 key", hint="ums init makes one")
        return cls(key)

    @property
    def public_key(self) -> str:
        """Return the key in OpenSSH's one-line form."""
        return self._public

    def sign(self, payload: bytes) -> str:
        """Return the armored signature of ``payload``."""
        raw = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        signature = self._key.sign(_signed_data(payload))
        blob = (
            _MAGIC
            + struct.pack(">I", _VERSION)
            + _string(_string(_KEY_TYPE) + _string(raw))
            + _string(_NAMESPACE)
            + _string(b"")
            + _string(_HASH)
            + _string(_string(_KEY_TYPE) + _string(signature))
        )
        text = base64.b64encode(blob).decode()
        lines = [text[start : start + _LINE] for start in range(0, len(text), _LINE)]
        return "\n".join([_BEGIN, *lines, _END, ""])


def check_state_key(text: str) -> None:
    """Make sure that a text is a public state key.

    Raises:
        InvalidInputError: it is no Ed25519 key in OpenSSH's one-line form.

    """
    kind, _, encoded = text.partition(" ")
    try:
        blob = base64.b64decode(encoded, validate=True)
        found, raw = _strings(blob, 2)
        usable = (kind.encode(), found, len(raw)) == (_KEY_TYPE, _KEY_TYPE, _KEY_BYTES)
        # Keys are compared as text: there is one way to write each.
        usable = usable and base64.b64encode(blob).decode() == encoded and not _is_weak(raw)
    except (ValueError, struct.error):
        usable = False
    if not usable:
        raise InvalidInputError(
            f"{text!r:.60} is not a public state key", hint="one line without a comment: ssh-ed25519 AAAA…"
        )


def _is_weak(raw: bytes) -> bool:
    """Return whether a public key is a point of small order, for which anybody can sign, or not in its one form."""
    y = int.from_bytes(raw, "little") & ~(1 << 255)
    return y >= _FIELD or y in _SMALL_ORDER


def verify_ssh_signature(payload: bytes, armored: str, public_keys: Sequence[str]) -> str | None:
    """Return which of the keys (OpenSSH form) signed ``payload`` for Git, or ``None``; nonsense is signed by none."""
    try:
        raw, signature = _parse(armored)
    except (ValueError, struct.error, binascii.Error):
        return None
    for text in public_keys:
        try:
            key = load_ssh_public_key(text.encode())
        except (ValueError, UnsupportedAlgorithm):
            continue
        if not isinstance(key, Ed25519PublicKey) or key.public_bytes(Encoding.Raw, PublicFormat.Raw) != raw:
            continue
        try:
            key.verify(signature, _signed_data(payload))
        except InvalidSignature:
            return None
        return text
    return None


def _signed_data(payload: bytes) -> bytes:
    digest = hashlib.sha512(payload).digest()
    return _MAGIC + _string(_NAMESPACE) + _string(b"") + _string(_HASH) + _string(digest)


def _parse(armored: str) -> tuple[bytes, bytes]:
    """Return the raw public key and signature.

    Raises:
        ValueError: it is not exactly what ``sign`` makes.

    """
    text = armored.strip()
    if len(text) > _MAX_ARMOR or not text.startswith(_BEGIN) or not text.endswith(_END):
        raise ValueError("not armored")
    body = "".join(text[len(_BEGIN) : -len(_END)].split())
    blob = base64.b64decode(body, validate=True)
    if base64.b64encode(blob).decode() != body:
        raise ValueError("not canonical base64")
    if blob[:6] != _MAGIC or struct.unpack(">I", blob[6:10])[0] != _VERSION:
        raise ValueError("not an SSHSIG of version 1")
    key, namespace, reserved, algorithm, signature = _strings(blob[10:], 5)
    if (namespace, reserved, algorithm) != (_NAMESPACE, b"", _HASH):
        raise ValueError("made for another purpose")
    key_type, raw = _strings(key, 2)
    signature_type, raw_signature = _strings(signature, 2)
    if key_type != _KEY_TYPE or signature_type != _KEY_TYPE:
        raise ValueError("another kind of key")
    return raw, raw_signature


def _string(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content


def _strings(content: bytes, count: int) -> list[bytes]:
    found = []
    for _ in range(count):
        (length,) = struct.unpack(">I", content[:4])
        if len(content) < 4 + length:
            raise ValueError("cut short")
        found.append(content[4 : 4 + length])
        content = content[4 + length :]
    if content:
        raise ValueError("something follows")
    return found
