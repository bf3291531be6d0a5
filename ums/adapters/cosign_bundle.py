"""Signatures by key, as sigstore bundles v0.3 that cosign and Flux verify.

Sources: sigstore protobuf-specs (bundle v0.3), DSSE 1.0 (PAE), in-toto statement v1, cosign's sign predicate. Bundles
with a certificate are another adapter's: here they are signed by nobody. Transparency logs are not asked: whoever
lists a key in ``trust.yaml`` trusts the key itself.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from ums.adapters._cosign_key import generate_key, load_key
from ums.domain.digest import Digest
from ums.domain.errors import InvalidInputError
from ums.domain.oci import COSIGN_PREDICATE, SIGSTORE_BUNDLE
from ums.domain.statements import PAYLOAD_TYPE, STATEMENT_TYPE, is_about, read_bundle
from ums.domain.trust import KeySigner, Signatory

__all__ = ["CosignBundleSigner", "CosignBundleVerifier", "generate_key"]


class CosignBundleSigner:
    """Implements ``ports.Signer`` with a private key, which is decrypted once."""

    def __init__(self, key: EllipticCurvePrivateKey, name: str) -> None:
        self._key = key
        self._name = name
        public = key.public_key()
        self._pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self._hint = base64.b64encode(hashlib.sha256(der).digest()).decode()

    @classmethod
    def from_file(cls, path: Path, password: bytes, *, name: str) -> CosignBundleSigner:
        """Read a key in cosign's encrypted format.

        Raises:
            InvalidInputError: it is no such key, or the password is wrong.

        """
        return cls(load_key(path, password), name)

    def signatory(self) -> Signatory:
        """Return whose signature this makes."""
        return KeySigner(self._name, self._pem)

    def sign(self, digest: Digest) -> bytes:
        """Return a bundle over a statement about ``digest``."""
        payload = _statement(digest)
        signature = self._key.sign(pae(payload), ECDSA(SHA256()))
        bundle = {
            "mediaType": SIGSTORE_BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": self._hint}},
            "dsseEnvelope": {
                "payload": base64.b64encode(payload).decode(),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [{"sig": base64.b64encode(signature).decode()}],
            },
        }
        return json.dumps(bundle, separators=(",", ":")).encode()


class CosignBundleVerifier:
    """Implements ``ports.Verifier`` for signatories that are keys."""

    def verify(self, signature: bytes, digest: Digest, signatories: Sequence[Signatory]) -> str | None:
        """Return the name of the key's holder that signed, or ``None``; what is malformed is signed by nobody."""
        parsed = _parse(signature)
        if parsed is None:
            return None
        payload, raw = parsed
        if not is_about(payload, digest):
            return None
        for signatory in signatories:
            if isinstance(signatory, KeySigner) and _verifies(signatory.public_key, raw, pae(payload)):
                return signatory.name
        return None


def pae(payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding of a statement."""
    return b"DSSEv1 %d %b %d %b" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def _statement(digest: Digest) -> bytes:
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"digest": {digest.algorithm: digest.hex}}],
        "predicateType": COSIGN_PREDICATE,
        "predicate": {},
    }
    return json.dumps(statement, separators=(",", ":")).encode()


def _parse(content: bytes) -> tuple[bytes, bytes] | None:
    """Return payload and signature of a bundle made with a key, and no certificate."""
    try:
        bundle = read_bundle(content)
        material, envelope = bundle["verificationMaterial"], bundle["dsseEnvelope"]
        (signature,) = envelope["signatures"]
        is_ours = "publicKey" in material and not {"certificate", "x509CertificateChain"} & material.keys()
        if not is_ours or (bundle["mediaType"], envelope["payloadType"]) != (SIGSTORE_BUNDLE, PAYLOAD_TYPE):
            return None
        return _decode(envelope["payload"]), _decode(signature["sig"])
    except (InvalidInputError, ValueError, LookupError):
        return None


def _decode(text: str) -> bytes:
    """Read base64 in its one canonical form: bits left over must be zero."""
    content = base64.b64decode(text, validate=True)
    if base64.b64encode(content) != text.encode():
        raise ValueError("not canonical base64")
    return content


def check_release_key(text: str) -> None:
    """Make sure that a text is a public release key.

    Raises:
        InvalidInputError: it is no key on the curve P-256, as PEM.

    """
    try:
        _public_key(text)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidInputError("not a public release key", hint="the .pub that ums keys generate wrote") from error


def _public_key(text: str) -> EllipticCurvePublicKey:
    key = load_pem_public_key(text.encode())
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise ValueError("not a key on the curve P-256")  # noqa: TRY004 - one kind of error for whoever calls
    return key


def _verifies(public_key: str, signature: bytes, message: bytes) -> bool:
    try:
        key = _public_key(public_key)
        key.verify(signature, message, ECDSA(SHA256()))
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        return False
    return True
