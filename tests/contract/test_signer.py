"""What every pair of signer and verifier does, whatever makes the signatures."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:  # noqa: ANN401 - a generator
    """Give each pair in turn."""
    with SigstoreInstance() as instance:
        yield PAIRS[request.param](instance, tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def signature(pair: Pair) -> bytes:
    """Give a good signature of ``DIGEST``."""
    return pair.signer.sign(DIGEST)
