"""Release keys in cosign's format: ECDSA P-256, PKCS#8, encrypted with scrypt and NaCl's secretbox.

Source: sigstore's ``pkg/cosign`` key format, PEM type ``ENCRYPTED SIGSTORE PRIVATE KEY``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any

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

from ums.domain.errors import ConflictError, InvalidInputError, StorageError

_TYPE = "ENCRYPTED SIGSTORE PRIVATE KEY"
_TYPES = (_TYPE, "ENCRYPTED COSIGN PRIVATE KEY")
_COST, _BLOCK, _PARALLEL = 1 << 16, 8, 1
_MAX_COST = 1 << 20
_MAX_FILE = 64 << 10


def generate_key(path: Path, password: bytes) -> Path:
    """Write a new key to ``path`` and its public half beside it; return the path of the latter.

    Raises:
        ConflictError: one of the files exists; nothing is overwritten.
        StorageError: the disk refused.

    """
    key = generate_private_key(SECP256R1())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    public_path = path.with_suffix(".pub")
    for each in (path, public_path):
        if each.exists():
            raise ConflictError(f"{each} exists already", hint="choose another name; keys are never overwritten")
    _write_new(path, _encrypt(key, password), 0o600)
    _write_new(public_path, public, 0o644)
    return public_path


def load_key(path: Path, password: bytes) -> EllipticCurvePrivateKey:
    """Read a key.

    Raises:
        InvalidInputError: it is no such key, or the password is wrong.

    """
    try:
        text = path.read_text("ascii") if path.stat().st_size <= _MAX_FILE else ""
        envelope = json.loads(base64.b64decode(_unarmor(text)))
        key = load_der_private_key(_decrypt(envelope, password), password=None)
    except CryptoError as error:
        raise InvalidInputError(
            f"the password of {path} is wrong", hint="set UMS_KEY_PASSWORD, or give --password-file"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInputError(
            f"{path} is not an encrypted release key: {error}", hint="ums keys generate and cosign make such keys"
        ) from error
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise InvalidInputError(f"{path} is not an ECDSA P-256 key")
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


def _decrypt(envelope: dict[str, Any], password: bytes) -> bytes:
    kdf, cipher = envelope["kdf"], envelope["cipher"]
    if (kdf["name"], cipher["name"]) != ("scrypt", "nacl/secretbox"):
        raise ValueError(f"encrypted with {kdf['name']} and {cipher['name']}")
    cost, block, parallel = (int(kdf["params"][name]) for name in ("N", "r", "p"))
    # A key file from elsewhere may not make us compute, or allocate, without bound.
    if not 1 < cost <= _MAX_COST or not 1 <= block <= 16 or not 1 <= parallel <= 4:  # noqa: PLR2004 - generous bounds
        raise ValueError("its key derivation parameters are out of bounds")
    box = SecretBox(_derive(password, base64.b64decode(kdf["salt"]), cost, block, parallel))
    return box.decrypt(base64.b64decode(envelope["ciphertext"]), base64.b64decode(cipher["nonce"]))


def _derive(password: bytes, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    memory = 128 * cost * block * parallel + (1 << 20)
    return hashlib.scrypt(password, salt=salt, n=cost, r=block, p=parallel, maxmem=memory, dklen=SecretBox.KEY_SIZE)


def _unarmor(text: str) -> str:
    lines = text.strip().splitlines()
    for kind in _TYPES:
        if lines and lines[0] == f"-----BEGIN {kind}-----" and lines[-1] == f"-----END {kind}-----":
            return "".join(lines[1:-1])
    raise ValueError("the PEM header is another")


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
    except FileExistsError as error:
        raise ConflictError(f"{path} exists already", hint="choose another name; keys are never overwritten") from error
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error
