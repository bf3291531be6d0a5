"""What every pair of signer and verifier does, whatever makes the signatures."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.doubles.sigstore_instance import SigstoreInstance
from ums.adapters.cosign_bundle import CosignBundleSigner, CosignBundleVerifier, generate_key
from ums.adapters.signature_verifier import SignatureVerifier
from ums.adapters.sigstore_keyless import SigstoreSigner, SigstoreVerifier
from ums.domain.digest import Digest
from ums.domain.trust import KeylessSigner, KeySigner, Signatory
from ums.ports import Signer, Verifier

DIGEST, OTHER = Digest.of(b"platform 1.4.2"), Digest.of(b"platform 1.4.3")


@dataclass(frozen=True, slots=True)
class Pair:
    """A signer, a verifier of its kind, and somebody else of that kind."""

    signer: Signer
    verifier: Verifier
    stranger: Signatory


def by_key(_instance: SigstoreInstance, _folder: Path) -> Pair:
    """Sign with a key in memory."""
    signer, stranger = (CosignBundleSigner(generate_private_key(SECP256R1()), name) for name in ("release", "other"))
    return Pair(signer, CosignBundleVerifier(), stranger.signatory())


def by_key_file(instance: SigstoreInstance, folder: Path) -> Pair:
    """Sign with a key from its file, verify as the service does."""
    generate_key(folder / "release.key", b"secret")
    signer = CosignBundleSigner.from_file(folder / "release.key", b"secret", name="release")
    stranger = CosignBundleSigner(generate_private_key(SECP256R1()), "other").signatory()
    verifier = SignatureVerifier(CosignBundleVerifier(), lambda: SigstoreVerifier(instance.trust_config()))
    return Pair(signer, verifier, stranger)


def keyless(instance: SigstoreInstance, _folder: Path) -> Pair:
    """Sign with an identity that a private instance of sigstore vouches for."""
    config = instance.trust_config()
    signer = SigstoreSigner.from_token(instance.token("ci@example.com"), config)
    return Pair(signer, SigstoreVerifier(config), KeylessSigner("other", "other@example.com", instance.issuer))


PAIRS: dict[str, Callable[[SigstoreInstance, Path], Pair]] = {
    "key": by_key,
    "key file": by_key_file,
    "keyless": keyless,
}


@pytest.fixture(scope="module", params=list(PAIRS))
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Give each pair in turn."""
    with SigstoreInstance() as instance:
        yield PAIRS[request.param](instance, tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def signature(pair: Pair) -> bytes:
    """Give a good signature of ``DIGEST``."""
    return pair.signer.sign(DIGEST)


def tampered(signature: bytes, place: str, bit: int) -> bytes:
    """Return a bundle with one bit flipped in the payload or in the signature."""
    bundle = json.loads(signature)
    holder, name = {
        "payload": (bundle["dsseEnvelope"], "payload"),
        "sig": (bundle["dsseEnvelope"]["signatures"][0], "sig"),
    }[place]
    content = bytearray(base64.b64decode(holder[name]))
    content[bit // 8 % len(content)] ^= 1 << bit % 8
    holder[name] = base64.b64encode(content).decode()
    return json.dumps(bundle).encode()


def said(signature: bytes) -> tuple[str, str]:
    """Return what a bundle states, and the signature that vouches for it."""
    envelope = json.loads(signature)["dsseEnvelope"]
    return envelope["payload"], envelope["signatures"][0]["sig"]


def test_what_is_signed_verifies(pair: Pair, signature: bytes) -> None:
    """The signatory that the signer names is the one that the verifier finds, whoever else is asked about."""
    signatory = pair.signer.signatory()
    assert pair.verifier.verify(signature, DIGEST, [signatory]) == signatory.name
    assert pair.verifier.verify(signature, DIGEST, [pair.stranger, signatory]) == signatory.name


def test_each_digest_has_its_own_signature(pair: Pair, signature: bytes) -> None:
    """A signature says nothing about another digest, whatever its algorithm."""
    signatory = pair.signer.signatory()
    assert pair.verifier.verify(signature, OTHER, [signatory]) is None
    assert pair.verifier.verify(signature, Digest("sha512", DIGEST.hex * 2), [signatory]) is None
    assert pair.verifier.verify(pair.signer.sign(OTHER), OTHER, [signatory]) == signatory.name


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_both_algorithms_of_oci_are_signed(pair: Pair, algorithm: str) -> None:
    """A digest by SHA-512 is signed and verified as one by SHA-256 is."""
    digest = Digest(algorithm, "0a" * {"sha256": 32, "sha512": 64}[algorithm])
    signatory = pair.signer.signatory()
    assert pair.verifier.verify(pair.signer.sign(digest), digest, [signatory]) == signatory.name


def test_a_stranger_did_not_sign(pair: Pair, signature: bytes) -> None:
    """A signatory that did not sign, of either kind, or none at all, is not found."""
    others: list[list[Signatory]] = [
        [],
        [pair.stranger],
        [KeySigner("broken", "no key")],
        [KeylessSigner("nobody", "", "")],
    ]
    assert {pair.verifier.verify(signature, DIGEST, each) for each in others} == {None}


def test_a_key_is_no_identity(pair: Pair, signature: bytes) -> None:
    """The signer's name alone, under the other kind of signatory, is worth nothing."""
    name = pair.signer.signatory().name
    impostors: list[Signatory] = [KeylessSigner(name, name, "https://issuer.example.com/other"), KeySigner(name, "")]
    assert pair.verifier.verify(signature, DIGEST, impostors) is None


@pytest.mark.parametrize("content", [b"", b"{}", b"null", b"\xff\xfe", b"[" * 50_000, b" " * (2 << 20)])
def test_what_is_malformed_is_by_nobody(pair: Pair, content: bytes) -> None:
    """Nonsense was looked at, and nobody signed it: that is an answer, not an error."""
    assert pair.verifier.verify(content, DIGEST, [pair.signer.signatory()]) is None


def test_what_is_cut_short_is_by_nobody(pair: Pair, signature: bytes) -> None:
    """A bundle that ends too early anywhere is by nobody."""
    cuts = range(0, len(signature), max(1, len(signature) // 100))
    assert {pair.verifier.verify(signature[:cut], DIGEST, [pair.signer.signatory()]) for cut in cuts} == {None}


@given(place=st.sampled_from(["payload", "sig"]), bit=st.integers(0, 4095))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_flipped_bit_in_payload_or_signature_verifies(pair: Pair, signature: bytes, place: str, bit: int) -> None:
    """Neither what is stated nor the signature can be altered."""
    assert pair.verifier.verify(tampered(signature, place, bit), DIGEST, [pair.signer.signatory()]) is None


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_byte_changes_nothing_that_is_believed(pair: Pair, signature: bytes, data: st.DataObject) -> None:
    """Wherever a byte is altered: the bundle is by nobody, or it states what it stated, with the same signature."""
    position = data.draw(st.integers(0, len(signature) - 1))
    altered = bytearray(signature)
    altered[position] ^= data.draw(st.integers(1, 255))
    if pair.verifier.verify(bytes(altered), DIGEST, [pair.signer.signatory()]) is not None:
        assert said(bytes(altered)) == said(signature)
