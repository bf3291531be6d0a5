"""Release keys are kept as cosign keeps them, and a bundle is believed only in its one exact form."""

from __future__ import annotations

import base64
import json
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from ums.adapters import _cosign_key
from ums.adapters.cosign_bundle import CosignBundleSigner, CosignBundleVerifier, generate_key, pae
from ums.domain.digest import Digest
from ums.domain.errors import ConflictError, InvalidInputError, StorageError
from ums.domain.oci import COSIGN_PREDICATE, SIGSTORE_BUNDLE
from ums.domain.statements import MAX_BUNDLE_BYTES
from ums.domain.trust import KeylessSigner, KeySigner, Signatory

DIGEST = Digest.of(b"a release")
SIGNER = CosignBundleSigner(ec.derive_private_key(7, ec.SECP256R1()), "seven")
SIGNED = SIGNER.sign(DIGEST)
Bundle = dict[str, Any]
Change = Callable[[Bundle], object]


@pytest.fixture(scope="module")
def private() -> ec.EllipticCurvePrivateKey:
    """Give a key."""
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def signer(private: ec.EllipticCurvePrivateKey) -> CosignBundleSigner:
    """Give its signer."""
    return CosignBundleSigner(private, "release")


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the file of a key with password ``secret``."""
    path = tmp_path_factory.mktemp("keys") / "release.key"
    generate_key(path, b"secret")
    return path


def envelope_of(path: Path) -> Bundle:
    """Return the JSON inside the PEM."""
    found: Bundle = json.loads(base64.b64decode("".join(path.read_text().splitlines()[1:-1])))
    return found


def pem(content: bytes, kind: str = "ENCRYPTED SIGSTORE PRIVATE KEY") -> bytes:
    """Return content as PEM."""
    return f"-----BEGIN {kind}-----\n{base64.b64encode(content).decode()}\n-----END {kind}-----\n".encode()


def public_pem(key: Any) -> str:  # noqa: ANN401 - any kind of private key
    """Return the public half."""
    found: str = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return found


def verified(signature: bytes, signer: CosignBundleSigner, digest: Digest = DIGEST) -> bool:
    """Return whether the signer's own key says yes."""
    return CosignBundleVerifier().verify(signature, digest, [signer.signatory()]) is not None


def changed(signature: bytes, change: Change) -> bytes:
    """Return a bundle after a change."""
    bundle = json.loads(signature)
    change(bundle)
    return json.dumps(bundle).encode()


def signed(key: ec.EllipticCurvePrivateKey, payload: bytes) -> bytes:
    """Return a bundle over any payload, rightly signed."""
    signature = key.sign(pae(payload), ec.ECDSA(SHA256()))
    return json.dumps(
        {
            "mediaType": SIGSTORE_BUNDLE,
            "verificationMaterial": {"publicKey": {}},
            "dsseEnvelope": {
                "payload": base64.b64encode(payload).decode(),
                "payloadType": "application/vnd.in-toto+json",
                "signatures": [{"sig": base64.b64encode(signature).decode()}],
            },
        }
    ).encode()


@pytest.mark.parametrize("password", [b"", b"secret", "schlüssel 🔑".encode()])
def test_a_key_is_read_back_with_its_password_alone(tmp_path: Path, password: bytes) -> None:
    """The password that it was written with opens a key, also the empty one; another does not."""
    path = tmp_path / "release.key"
    public = generate_key(path, password)
    signer = CosignBundleSigner.from_file(path, password, name="release")
    assert signer.signatory() == KeySigner("release", public.read_text())
    with pytest.raises(InvalidInputError, match=r"the password of .*release\.key is wrong") as caught:
        CosignBundleSigner.from_file(path, password + b"x", name="release")
    assert "UMS_KEY_PASSWORD" in caught.value.hint
    assert "COSIGN_PASSWORD" in caught.value.hint


def test_a_key_is_for_its_owner_alone(key_file: Path) -> None:
    """The private half has mode 0600 and lies beside the public one, and nothing else does."""
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert {path.name for path in key_file.parent.iterdir()} == {"release.key", "release.pub"}


@pytest.mark.parametrize("there", ["release.key", "release.pub"])
def test_nothing_is_overwritten(tmp_path: Path, there: str) -> None:
    """If either file exists it stays as it is, and the other is not made."""
    (tmp_path / there).write_text("precious")
    with pytest.raises(ConflictError, match=there):
        generate_key(tmp_path / "release.key", b"")
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "precious"


def test_what_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    """A dangling link, which looks like nothing, is not followed, and no half of a pair stays behind."""
    (tmp_path / "release.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConflictError, match="exists already"):
        generate_key(tmp_path / "release.key", b"")
    assert [path.name for path in tmp_path.iterdir()] == ["release.key"]


def test_a_refusing_disk_is_a_storage_error(tmp_path: Path) -> None:
    """A folder that is not there is named."""
    with pytest.raises(StorageError, match="No such file"):
        generate_key(tmp_path / "absent" / "release.key", b"")


def test_a_private_key_does_not_take_the_name_of_a_public_one(tmp_path: Path) -> None:
    """``release.pub`` as the private key's path is refused before anything is written."""
    with pytest.raises(InvalidInputError, match="public key"):
        generate_key(tmp_path / "release.pub", b"")
    assert list(tmp_path.iterdir()) == []


def test_the_legacy_header_is_read(key_file: Path, tmp_path: Path) -> None:
    """Keys that older versions of cosign made are read."""
    path = tmp_path / "old.key"
    path.write_bytes(pem(json.dumps(envelope_of(key_file)).encode(), "ENCRYPTED COSIGN PRIVATE KEY"))
    read = [CosignBundleSigner.from_file(each, b"secret", name="old").signatory() for each in (path, key_file)]
    assert read[0] == read[1]


@pytest.mark.parametrize(
    "change",
    [
        lambda key: key["kdf"]["params"].update(N=1 << 21, r=1),
        lambda key: key["kdf"]["params"].update(N=3),
        lambda key: key["kdf"]["params"].update(N=0),
        lambda key: key["kdf"]["params"].update(N=65536.0),
        lambda key: key["kdf"]["params"].update(N=True),
        lambda key: key["kdf"]["params"].update(N="65536"),
        lambda key: key["kdf"]["params"].update(r=9),
        lambda key: key["kdf"]["params"].update(p=2),
        lambda key: key["kdf"]["params"].update(p=-1),
        lambda key: key["kdf"].pop("params"),
        lambda key: key["kdf"].update(name="pbkdf2"),
        lambda key: key["kdf"].update(salt=None),
        lambda key: key["cipher"].update(name="aes"),
        lambda key: key["cipher"].update(nonce="AAAA"),
        lambda key: key.update(ciphertext="AAAA"),
        lambda key: key.update(ciphertext="?"),
        lambda key: key.pop("ciphertext"),
    ],
)
def test_a_key_made_otherwise_is_refused(key_file: Path, tmp_path: Path, change: Change) -> None:
    """Other algorithms, or parameters out of bounds, are refused before anything is computed."""
    envelope = envelope_of(key_file)
    change(envelope)
    path = tmp_path / "release.key"
    path.write_bytes(pem(json.dumps(envelope).encode()))
    with pytest.raises(InvalidInputError, match="is not an encrypted release key"):
        CosignBundleSigner.from_file(path, b"secret", name="release")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        pem(b"{}")[:-10],
        pem(b"not json"),
        pem(b"[]"),
        pem(b"[" * 20000),
        pem(b"{}" + b" " * (1 << 16)),
        b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n!!\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n",
    ],
    ids=["empty", "binary", "plain", "truncated", "text", "list", "deep", "large", "no base64"],
)
def test_what_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    """Only cosign's format is read, of a bounded size."""
    path = tmp_path / "release.key"
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match="is not an encrypted release key"):
        CosignBundleSigner.from_file(path, b"", name="release")


def test_a_key_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A missing file is an input error with the path in it."""
    with pytest.raises(InvalidInputError, match=r"absent\.key cannot be read: No such file"):
        CosignBundleSigner.from_file(tmp_path / "absent.key", b"", name="release")


def test_another_curve_is_no_release_key(tmp_path: Path) -> None:
    """Cosign and Flux verify P-256 with SHA-256; a key that promises otherwise is refused at once."""
    path = tmp_path / "release.key"
    path.write_bytes(_cosign_key._encrypt(ec.generate_private_key(ec.SECP384R1()), b""))
    with pytest.raises(InvalidInputError, match="P-256"):
        CosignBundleSigner.from_file(path, b"", name="release")


def test_a_bundle_has_the_form_that_flux_reads(signer: CosignBundleSigner) -> None:
    """Media type, hint, payload type and statement are exactly cosign's."""
    bundle = json.loads(signer.sign(DIGEST))
    envelope = bundle.pop("dsseEnvelope")
    hint = bundle["verificationMaterial"]["publicKey"].pop("hint")
    assert len(base64.b64decode(hint)) == 32
    assert bundle == {"mediaType": SIGSTORE_BUNDLE, "verificationMaterial": {"publicKey": {}}}
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    assert json.loads(base64.b64decode(envelope["payload"])) == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": DIGEST.hex}}],
        "predicateType": "https://sigstore.dev/cosign/sign/v1",
        "predicate": {},
    }


def test_a_hint_is_only_a_hint(signer: CosignBundleSigner) -> None:
    """A bundle without a hint, or with another's, is still by the key that made it."""
    signature = signer.sign(DIGEST)
    assert verified(changed(signature, lambda it: it["verificationMaterial"]["publicKey"].clear()), signer)
    assert verified(changed(signature, lambda it: it["verificationMaterial"]["publicKey"].update(hint="AAAA")), signer)


def test_members_that_others_add_are_accepted(signer: CosignBundleSigner) -> None:
    """A key id, log entries and timestamps do not matter to whoever trusts the key itself."""
    signature = signer.sign(DIGEST)
    assert verified(changed(signature, lambda it: it["dsseEnvelope"]["signatures"][0].update(keyid="")), signer)
    assert verified(changed(signature, lambda it: it["verificationMaterial"].update(tlogEntries=[])), signer)


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it.update(mediaType="application/vnd.dev.sigstore.bundle+json;version=0.2"),
        lambda it: it.pop("mediaType"),
        lambda it: it.update(more=1),
        lambda it: it.update(verificationMaterial="publicKey"),
        lambda it: it.update(verificationMaterial={"certificate": {"rawBytes": "AAAA"}}),
        lambda it: it["verificationMaterial"].update(certificate={"rawBytes": "AAAA"}),
        lambda it: it["verificationMaterial"].update(publicKey=None),
        lambda it: it["dsseEnvelope"].update(payloadType="text/plain"),
        lambda it: it["dsseEnvelope"].update(signatures=[]),
        lambda it: it["dsseEnvelope"].update(signatures=None),
        lambda it: it["dsseEnvelope"]["signatures"].append(it["dsseEnvelope"]["signatures"][0]),
        lambda it: it["dsseEnvelope"]["signatures"][0].pop("sig"),
        lambda it: it["dsseEnvelope"]["signatures"][0].update(sig=it["dsseEnvelope"]["signatures"][0]["sig"] + "\n"),
        lambda it: it["dsseEnvelope"]["signatures"][0].update(sig="ü"),
        lambda it: it["dsseEnvelope"]["signatures"][0].update(sig=7),
        lambda it: it["dsseEnvelope"].update(payload=""),
        lambda it: it.pop("dsseEnvelope"),
        lambda it: it.update(messageSignature={}),
    ],
)
def test_a_bundle_in_another_form_is_by_nobody(signer: CosignBundleSigner, change: Change) -> None:
    """What is malformed, ambiguous or of another kind gives no signer, and no exception."""
    assert not verified(changed(signer.sign(DIGEST), change), signer)


@pytest.mark.parametrize(
    "content",
    [b"", b"null", b"[]", b"7", b"\xff", b"[" * 100_000, b'{"mediaType":"\\ud800"}', b"1" * 5000],
    ids=["empty", "null", "list", "number", "binary", "deep", "surrogate", "huge number"],
)
def test_what_is_no_bundle_is_by_nobody(signer: CosignBundleSigner, content: bytes) -> None:
    """Whatever the bytes are, they give no exception."""
    assert not verified(content, signer)


@given(st.binary(max_size=200))
def test_no_bytes_raise(content: bytes) -> None:
    """Arbitrary bytes are by nobody."""
    assert CosignBundleVerifier().verify(content, DIGEST, []) is None


def test_a_large_bundle_is_not_read(signer: CosignBundleSigner) -> None:
    """Beyond the limit, even a good signature is not looked at."""
    signature = signer.sign(DIGEST)
    assert verified(signature.ljust(MAX_BUNDLE_BYTES), signer)
    assert not verified(signature.ljust(MAX_BUNDLE_BYTES + 1), signer)


def test_members_that_stand_twice_are_refused(signer: CosignBundleSigner) -> None:
    """Two parsers could each take another one of the two."""
    signature = signer.sign(DIGEST)
    assert not verified(signature.replace(b"{", b'{"mediaType":"' + SIGSTORE_BUNDLE.encode() + b'",', 1), signer)


def test_base64_has_one_form(signer: CosignBundleSigner) -> None:
    """Left-over bits in the last character must be zero, so that a signature cannot be varied."""
    signature = signer.sign(DIGEST)
    while b'=="}]' not in signature:  # the signature's length varies by a byte or two
        signature = signer.sign(DIGEST)
    position = signature.index(b'=="}]') - 1
    varied = signature[:position] + bytes([signature[position] + 1]) + signature[position + 1 :]
    assert base64.b64decode(json.loads(varied)["dsseEnvelope"]["signatures"][0]["sig"])
    assert not verified(varied, signer)


def test_no_flipped_bit_verifies() -> None:
    """Whichever bit is flipped outside the hint, which is only a hint, the bundle is by nobody."""
    start = SIGNED.index(b'"hint":"') + len(b'"hint":"')
    hint = range(start, SIGNED.index(b'"', start))
    flips = [(place, bit) for place in range(len(SIGNED)) if place not in hint for bit in range(8)]
    altered = (SIGNED[:place] + bytes([SIGNED[place] ^ 1 << bit]) + SIGNED[place + 1 :] for place, bit in flips)
    assert verified(SIGNED, SIGNER)
    assert not [each for each in altered if verified(each, SIGNER)]


STATEMENT = {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [{"digest": {"sha256": DIGEST.hex}}],
    "predicateType": COSIGN_PREDICATE,
    "predicate": {},
}


@pytest.mark.parametrize(
    ("statement", "good"),
    [
        (STATEMENT, True),
        ({**STATEMENT, "subject": [{"name": "x", "digest": {"sha256": DIGEST.hex}}]}, True),
        ({**STATEMENT, "_type": "https://in-toto.io/Statement/v0.1"}, False),
        ({**STATEMENT, "predicateType": "https://slsa.dev/provenance/v1"}, False),
        ({**STATEMENT, "subject": []}, False),
        ({**STATEMENT, "subject": STATEMENT["subject"] * 2}, False),  # type: ignore[operator]
        ({**STATEMENT, "subject": [{"digest": {"sha512": DIGEST.hex}}]}, False),
        ({**STATEMENT, "subject": [{"digest": {"sha256": DIGEST.hex.upper()}}]}, False),
        ({**STATEMENT, "subject": [{"digest": {"sha256": DIGEST.hex[:-1]}}]}, False),
        ({**STATEMENT, "subject": [{"digest": {"sha256": [DIGEST.hex]}}]}, False),
        ({**STATEMENT, "subject": [{"digest": {"sha256": "\ud800"}}]}, False),
        ({**STATEMENT, "subject": [DIGEST.hex]}, False),
        ([STATEMENT], False),
        ("text", False),
    ],
)
def test_only_a_statement_about_this_digest_counts(
    signer: CosignBundleSigner, private: ec.EllipticCurvePrivateKey, statement: object, *, good: bool
) -> None:
    """A true signature over another kind of statement, such as an SBOM's, says nothing about the release."""
    assert verified(signed(private, json.dumps(statement).encode()), signer) is good


def test_a_key_of_another_kind_signs_nothing(private: ec.EllipticCurvePrivateKey, signer: CosignBundleSigner) -> None:
    """Signatories that are no P-256 keys are passed over; the right one after them is found."""
    others: list[Signatory] = [
        KeySigner("p384", public_pem(ec.generate_private_key(ec.SECP384R1()))),
        KeySigner("nonsense", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"),
        KeySigner("not-ascii", "ü\ud800"),
        KeylessSigner("person", "a@example.com", "https://issuer.example.com"),
        KeySigner("stranger", public_pem(ec.generate_private_key(ec.SECP256R1()))),
    ]
    signature = signer.sign(DIGEST)
    assert CosignBundleVerifier().verify(signature, DIGEST, others) is None
    right = KeySigner("right", public_pem(private))
    assert CosignBundleVerifier().verify(signature, DIGEST, [*others, right]) == "right"


def test_another_curve_signs_nothing() -> None:
    """A true signature by a P-384 key is not believed: Flux would not believe it either."""
    key = ec.generate_private_key(ec.SECP384R1())
    signature = signed(key, json.dumps(STATEMENT).encode())
    assert CosignBundleVerifier().verify(signature, DIGEST, [KeySigner("p384", public_pem(key))]) is None


def test_the_hash_is_sha256(private: ec.EllipticCurvePrivateKey, signer: CosignBundleSigner) -> None:
    """The same key with another hash does not verify."""

    def resign(bundle: Bundle) -> None:
        payload = base64.b64decode(bundle["dsseEnvelope"]["payload"])
        signature = private.sign(pae(payload), ec.ECDSA(SHA384()))
        bundle["dsseEnvelope"]["signatures"] = [{"sig": base64.b64encode(signature).decode()}]

    assert not verified(changed(signer.sign(DIGEST), resign), signer)


def test_sigstore_is_not_imported() -> None:
    """Whoever signs and verifies by key does not pay for keyless signing."""
    code = "import sys, ums.adapters.cosign_bundle; sys.exit('sigstore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
