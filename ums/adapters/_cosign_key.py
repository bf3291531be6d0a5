"""Release keys in cosign's format: ECDSA P-256, PKCS#8, encrypted with scrypt and NaCl's secretbox.

Source: sigstore's ``pkg/cosign`` key format, PEM type ``ENCRYPTED SIGSTORE PRIVATE KEY``. Where the password comes
from is not decided here.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from ums.adapters._new_file import write_new
from ums.domain import strict_json
from ums.domain.errors import ConflictError, InvalidInputError, UmsError
from ums.domain.strict_json import StrictJSONError

_TYPE = "ENCRYPTED SIGSTORE PRIVATE KEY"
_TYPES = (_TYPE, "ENCRYPTED COSIGN PRIVATE KEY")
_PUBLIC = ".pub"
_COST, _BLOCK, _PARALLEL = 1 << 16, 8, 1
_MAX_COST = 1 << 20
_MAX_FILE = 64 << 10


def generate_key(path: Path, password: bytes) -> Path:
    """Write a new key to ``path`` and its public half beside it; return the path of the latter.

    The password may be empty, as with cosign.

    Raises:
        ConflictError: one of the files exists; nothing is overwritten.
        InvalidInputError: the path is one for a public key.
        StorageError: the disk refused.

    """
    if path.suffix == _PUBLIC:
        raise InvalidInputError(f"{path} is a name for a public key", hint="name the private one: release.key")
    public_path = path.with_suffix(_PUBLIC)
    if path.exists():
        # Asked first: who holds a key wants to hear of that one, not of its public half.
        raise ConflictError(f"{path} exists already", hint="choose another name: keys are never overwritten")
    key = generate_private_key(SECP256R1())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    content = _encrypt(key, password)
    write_new(public_path, public, mode=0o644)
    try:
        write_new(path, content, mode=0o600)
    except UmsError:
        public_path.unlink()
        raise
    return public_path


def load_key(path: Path, password: bytes) -> EllipticCurvePrivateKey:
    """Read a key.

    Raises:
        InvalidInputError: it is no such key, or the password is wrong.

    """
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_FILE).decode("ascii")
        envelope = strict_json.loads(base64.b64decode(_unarmor(text), validate=True), limit=_MAX_FILE)
        der = _decrypt(envelope, password)
        key = None if der is None else load_der_private_key(der, password=None)
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}") from error
    except (StrictJSONError, ValueError, KeyError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidInputError(
            f"{path} is not an encrypted release key: {error}", hint="ums keys generate and cosign make such keys"
        ) from error
    if key is None:
        raise InvalidInputError(
            f"the password of {path} is wrong",
            hint="set UMS_KEY_PASSWORD (or COSIGN_PASSWORD), or give --password-file",
        )
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise InvalidInputError(f"{path} is not an ECDSA P-256 key", hint="ums keys generate makes one")
    return key


def _encrypt(key: EllipticCurvePrivateKey, password: bytes) -> bytes:
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    salt, nonce = secrets.token_bytes(32), secrets.token_bytes(SecretBox.NONCE_SIZE)
    box = SecretBox(_derive(password, salt, _COST, _BLOCK, _PARALLEL))
    envelope = {
        "kdf": {
            "name": "scrypt",
            "params": {"N": _COST, "r": _BLOCK, "p": _PARALLEL},
            "salt": base64.b64encode(salt).decode(),
        },
        "cipher": {"name": "nacl/secretbox", "nonce": base64.b64encode(nonce).decode()},
        "ciphertext": base64.b64encode(box.encrypt(der, nonce).ciphertext).decode(),
    }
    text = base64.b64encode(json.dumps(envelope, separators=(",", ":")).encode()).decode()
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {_TYPE}-----", *lines, f"-----END {_TYPE}-----", ""]).encode()


def _decrypt(envelope: dict[str, Any], password: bytes) -> bytes | None:
    """Return the key in PKCS#8, or ``None`` if the password does not open it.

    Raises:
        ValueError: not made as cosign makes it.

    """
    kdf, cipher = envelope["kdf"], envelope["cipher"]
    if (kdf["name"], cipher["name"]) != ("scrypt", "nacl/secretbox"):
        raise ValueError(f"encrypted with {kdf['name']!s:.40} and {cipher['name']!s:.40}")
    cost, block, parallel = (kdf["params"][name] for name in ("N", "r", "p"))
    bounds = ((cost, _MAX_COST), (block, _BLOCK), (parallel, _PARALLEL))
    # A key file from elsewhere may not make us compute, or allocate, without bound.
    if not all(1 <= value <= most for value, most in bounds):
        raise ValueError("its key derivation parameters are out of bounds")
    salt, nonce, ciphertext = (
        base64.b64decode(text, validate=True) for text in (kdf["salt"], cipher["nonce"], envelope["ciphertext"])
    )
    if len(nonce) != SecretBox.NONCE_SIZE or len(ciphertext) <= SecretBox.MACBYTES:
        raise ValueError("its nonce or ciphertext has a wrong length")
    try:
        return SecretBox(_derive(password, salt, cost, block, parallel)).decrypt(ciphertext, nonce)
    except CryptoError:
        return None


def _derive(password: bytes, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    memory = 128 * block * (cost + parallel) + (1 << 20)
    return hashlib.scrypt(password, salt=salt, n=cost, r=block, p=parallel, maxmem=memory, dklen=SecretBox.KEY_SIZE)


def _unarmor(text: str) -> str:
    lines = text.strip().splitlines()
    for kind in _TYPES:
        if lines and lines[0] == f"-----BEGIN {kind}-----" and lines[-1] == f"-----END {kind}-----":
            return "".join(lines[1:-1])
    raise ValueError(f"it is no PEM of type {_TYPE}")
