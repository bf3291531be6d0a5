"""Bundles and statements have the members that cosign and sigstore-python write, and one reading."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ums.domain.digest import Digest
from ums.domain.oci import COSIGN_PREDICATE, SIGSTORE_BUNDLE
from ums.domain.statements import PAYLOAD_TYPE, STATEMENT_TYPE, is_about, read_bundle
from ums.domain.strict_json import StrictJSONError

ONE, TWO = Digest.of(b"one"), Digest.of(b"two")
SUBJECT = {"digest": {"sha256": ONE.hex}}
STATEMENT: dict[str, Any] = {
    "_type": STATEMENT_TYPE,
    "subject": [SUBJECT],
    "predicateType": COSIGN_PREDICATE,
    "predicate": {},
}
ENVELOPE = {"payload": "AAAA", "payloadType": PAYLOAD_TYPE, "signatures": [{"sig": "AAAA", "keyid": ""}]}
PROOF = {"logIndex": "1", "rootHash": "AA==", "treeSize": "2", "hashes": ["AA=="], "checkpoint": {"envelope": "x"}}
ENTRY = {
    "logIndex": "1",
    "logId": {"keyId": "AA=="},
    "kindVersion": {"kind": "dsse", "version": "0.0.1"},
    "integratedTime": "1",
    "inclusionPromise": {"signedEntryTimestamp": "AA=="},
    "inclusionProof": PROOF,
    "canonicalizedBody": "AA==",
}
BUNDLE: dict[str, Any] = {
    "mediaType": SIGSTORE_BUNDLE,
    "verificationMaterial": {
        "certificate": {"rawBytes": "AA=="},
        "tlogEntries": [ENTRY],
        "timestampVerificationData": {"rfc3161Timestamps": [{"signedTimestamp": "AA=="}]},
    },
    "dsseEnvelope": ENVELOPE,
}


def test_what_the_tools_write_is_read() -> None:
    """A bundle with certificate, log entries and timestamps; a statement with a name and annotations."""
    assert read_bundle(json.dumps(BUNDLE).encode()) == BUNDLE
    assert is_about(json.dumps(STATEMENT).encode(), ONE)
    named = {**STATEMENT, "subject": [{**SUBJECT, "name": "", "annotations": {"a": "b"}}]}
    assert is_about(json.dumps(named).encode(), ONE)
    assert not is_about(json.dumps(named).encode(), TWO)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"_type"', '{"Subject": [], "_type"'),
        ('{"_type"', '{"\\u017fubject": [], "_type"'),
        ('{"_type"', '{"subject": [], "_type"'),
        ('{"_type"', '{"comment": 1, "_type"'),
        ('"predicate":', '"Predicate":'),
        ('"digest":', '"uri": "x", "digest":'),
        ('"digest":', '"Digest": {}, "digest":'),
        ('"sha256":', '"SHA256":'),
        ('"sha256":', '"sha512": "00", "sha256":'),
        ('"sha256": "', '"sha256": " '),
        ("[{", "[{}, {"),
        ("[{", "[[{"),
        ('"predicate": {}', '"predicate": []'),
        ('"predicate": {}', '"predicate": {"a": 1, "A": 2}'),
        ('"predicate": {}', '"predicate": {"a": 1.5}'),
        (STATEMENT_TYPE, "https://in-toto.io/Statement/v0.1"),
    ],
)
def test_a_statement_with_another_reading_says_nothing(before: str, after: str) -> None:
    """Members twice, in another case, or unknown; more than one subject, or more than one digest of it."""
    text = json.dumps(STATEMENT)
    assert before in text
    assert not is_about(text.replace(before, after, 1).encode(), ONE)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ('"mediaType"', '"media_type": "x", "mediaType"', "media_type"),
        ('"mediaType"', '"MediaType": "x", "mediaType"', "MediaType"),
        ('"dsseEnvelope"', '"messageSignature": {}, "dsseEnvelope"', "messageSignature"),
        ('"payload":', '"Payload": "", "payload":', "Payload"),
        ('"payload":', '"payload": "", "payload":', "payload"),
        ('"sig":', '"cert": "x", "sig":', "cert"),
        ('"keyid": ""', '"keyid": 5', "keyid"),
        ('"rawBytes"', '"rawbytes": "", "rawBytes"', "rawbytes"),
        ('"kind": "dsse"', '"kind": 1', "kind"),
        ('"hashes": ["AA=="]', '"hashes": [1]', "hashes"),
        ('"signatures": [', '"signatures": [[], ', "signatures"),
    ],
)
def test_a_bundle_has_no_other_members(before: str, after: str, says: str) -> None:
    """At any level; the member is named."""
    text = json.dumps(BUNDLE)
    assert before in text
    with pytest.raises(StrictJSONError, match=says):
        read_bundle(text.replace(before, after, 1).encode())
