"""Signature bundles and the statements in them, as cosign and sigstore-python write them, in their one reading.

Sources: sigstore protobuf-specs (bundle v0.3), DSSE 1.0, in-toto attestation *Statement* v1, cosign's sign predicate.
Flux reads bundles as protocol buffers, which reject members that are unknown or occur twice; so does this.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

from ums.domain import strict_json
from ums.domain.digest import Digest
from ums.domain.errors import InvalidInputError
from ums.domain.oci import COSIGN_PREDICATE

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
MAX_BUNDLE_BYTES = 1 << 20

_NUMBER = (str, int)  # protocol buffers write 64 bits as text
_PROOF = {
    "logIndex": _NUMBER,
    "rootHash": str,
    "treeSize": _NUMBER,
    "hashes": [str],
    "checkpoint": {"envelope": str},
}
_LOG_ENTRY = {
    "logIndex": _NUMBER,
    "logId": {"keyId": str},
    "kindVersion": {"kind": str, "version": str},
    "integratedTime": _NUMBER,
    "inclusionPromise": {"signedEntryTimestamp": str},
    "inclusionProof": _PROOF,
    "canonicalizedBody": str,
}
_BUNDLE = {
    "mediaType": str,
    "verificationMaterial": {
        "publicKey": {"hint": str},
        "certificate": {"rawBytes": str},
        "x509CertificateChain": {"certificates": [{"rawBytes": str}]},
        "tlogEntries": [_LOG_ENTRY],
        "timestampVerificationData": {"rfc3161Timestamps": [{"signedTimestamp": str}]},
    },
    "dsseEnvelope": {"payload": str, "payloadType": str, "signatures": [{"sig": str, "keyid": str}]},
}
_STATEMENT = {
    "_type": str,
    "subject": [{"name": str, "digest": {"sha256": str, "sha512": str}, "annotations": dict}],
    "predicateType": str,
    "predicate": dict,
}


def read_bundle(content: bytes) -> Mapping[str, Any]:
    """Return a bundle whose members are all known and of the right types; any may be missing.

    Raises:
        StrictJSONError: it is none; names the member.

    """
    bundle: Mapping[str, Any] = strict_json.shaped(
        strict_json.loads(content, limit=MAX_BUNDLE_BYTES), _BUNDLE, "the bundle"
    )
    return bundle


def is_about(payload: bytes, digest: Digest) -> bool:
    """Return whether a statement says that an artifact was signed, and that artifact alone."""
    try:
        statement = strict_json.shaped(strict_json.loads(payload, limit=MAX_BUNDLE_BYTES), _STATEMENT, "the statement")
        if (statement["_type"], statement["predicateType"]) != (STATEMENT_TYPE, COSIGN_PREDICATE):
            return False
        (subject,) = statement["subject"]
        ((algorithm, claimed),) = subject["digest"].items()
    except (InvalidInputError, LookupError, ValueError):
        return False
    return hmac.compare_digest(f"{algorithm}:{claimed}".encode(), str(digest).encode())
