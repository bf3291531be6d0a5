"""Our keys and bundles are cosign's: the real ``cosign`` reads ours, and we read what it makes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.registries import client, serve
from tests.e2e.toolchain import find_tool
from ums.adapters.cosign_bundle import CosignBundleSigner, CosignBundleVerifier, generate_key
from ums.domain.component_artifact import manifests_artifact
from ums.domain.digest import Digest
from ums.domain.errors import InvalidInputError
from ums.domain.oci import COSIGN_PREDICATE, Repository
from ums.domain.trust import KeySigner
from ums.edge.registry import EmbeddedRegistry
from ums.usecases.verify import Verify

COSIGN = find_tool("cosign")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(COSIGN is None, reason="cosign is not built: python -m tests.e2e.toolchain cosign"),
]

BLOB = b"a release manifest\n"
DIGEST = Digest("sha256", hashlib.sha256(BLOB).hexdigest())
WORD = "secret"
NO_SERVICES = {
    "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
    "rekorTlogConfig": {},
    "tsaConfig": {},
}


def cosign(folder: Path, *arguments: str, password: str = WORD) -> subprocess.CompletedProcess[bytes]:
    """Run cosign, its home in the test's folder; it looks for a trust root in vain and goes on."""
    return subprocess.run(
        [str(COSIGN), *arguments],
        cwd=folder,
        env={"HOME": str(folder), "PATH": os.environ["PATH"], "COSIGN_PASSWORD": password},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=120,
    )


def ours(folder: Path, password: str = WORD) -> CosignBundleSigner:
    """Return the signer of a key that we made."""
    generate_key(folder / "release.key", password.encode())
    return CosignBundleSigner.from_file(folder / "release.key", password.encode(), name="release")


def cosign_verifies(folder: Path, signature: bytes, public_key: Path, blob: bytes = BLOB) -> bool:
    """Return whether cosign believes a bundle about a blob."""
    (folder / "blob").write_bytes(blob)
    (folder / "bundle.json").write_bytes(signature)
    verify = ("verify-blob-attestation", "--type", COSIGN_PREDICATE, "--insecure-ignore-tlog=true")
    return cosign(folder, *verify, "--key", str(public_key), "--bundle", "bundle.json", "blob").returncode == 0


def cosign_signs(folder: Path, key: Path) -> bytes:
    """Return a bundle that cosign made, without any service."""
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {DIGEST.algorithm: DIGEST.hex}}],
        "predicateType": COSIGN_PREDICATE,
        "predicate": {},
    }
    (folder / "statement.json").write_text(json.dumps(statement))
    (folder / "services.json").write_text(json.dumps(NO_SERVICES))
    services = ("--signing-config", "services.json", "--bundle", "made.json")
    done = cosign(folder, "attest-blob", "--key", str(key), "--statement", "statement.json", *services)
    assert done.returncode == 0, done.stderr.decode()
    return (folder / "made.json").read_bytes()


@pytest.mark.parametrize("password", [WORD, ""])
def test_cosign_reads_our_key(tmp_path: Path, password: str) -> None:
    """Cosign opens our private key with its password, and shows the public half that we wrote."""
    public = generate_key(tmp_path / "release.key", password.encode())
    shown = cosign(tmp_path, "public-key", "--key", "release.key", password=password)
    assert shown.stdout.strip() == public.read_bytes().strip()
    assert cosign(tmp_path, "public-key", "--key", "release.key", password=f"not {password}").returncode != 0


@pytest.mark.parametrize("password", [WORD, ""])
def test_we_read_a_key_that_cosign_made(tmp_path: Path, password: str) -> None:
    """A key pair of ``cosign generate-key-pair`` signs for us; a wrong password is said to be wrong."""
    assert cosign(tmp_path, "generate-key-pair", password=password).returncode == 0
    signer = CosignBundleSigner.from_file(tmp_path / "cosign.key", password.encode(), name="release")
    assert signer.signatory() == KeySigner("release", (tmp_path / "cosign.pub").read_text())
    assert cosign_verifies(tmp_path, signer.sign(DIGEST), tmp_path / "cosign.pub")
    with pytest.raises(InvalidInputError, match="password"):
        CosignBundleSigner.from_file(tmp_path / "cosign.key", b"another", name="release")


def test_cosign_verifies_our_bundle(tmp_path: Path) -> None:
    """A bundle of ours verifies for its blob and key, and for no other."""
    signature = ours(tmp_path).sign(DIGEST)
    assert cosign_verifies(tmp_path, signature, tmp_path / "release.pub")
    assert not cosign_verifies(tmp_path, signature, tmp_path / "release.pub", b"another")
    other = generate_key(tmp_path / "other.key", b"")
    assert not cosign_verifies(tmp_path, signature, other)


def test_we_verify_a_bundle_that_cosign_made(tmp_path: Path) -> None:
    """Cosign signs with our key; we find who, for that digest alone."""
    signer = ours(tmp_path)
    made = cosign_signs(tmp_path, tmp_path / "release.key")
    assert CosignBundleVerifier().verify(made, DIGEST, [signer.signatory()]) == "release"
    assert CosignBundleVerifier().verify(made, Digest.of(b"another"), [signer.signatory()]) is None


@pytest.mark.parametrize(
    ("change", "good"),
    [
        (lambda text: text, True),
        (lambda text: text.replace(b'"hint":"', b'"hint":"AAAA'), True),
        (lambda text: text.replace(b"{", b'{"more":1,', 1), False),
        (lambda text: text.replace(b"{", b'{"mediaType":"x",', 1), False),
        (lambda text: text.replace(b'"signatures":[', b'"signatures":[{"sig":"AAAA"},'), False),
        (lambda text: text.replace(b"vnd.in-toto+json", b"vnd.in-toto+yaml"), False),
        (lambda text: text.replace(b"bundle.v0.3", b"bundle.v9.3"), False),
        (lambda text: text[:-1], False),
    ],
    ids=["as made", "hint", "unknown member", "twice", "two signatures", "payload type", "media type", "truncated"],
)
def test_we_are_as_strict_as_cosign(tmp_path: Path, change: Callable[[bytes], bytes], *, good: bool) -> None:
    """What cosign, and so Flux, would refuse is not believed here either."""
    signer = ours(tmp_path)
    altered = change(signer.sign(DIGEST))
    assert cosign_verifies(tmp_path, altered, tmp_path / "release.pub") is good
    assert (CosignBundleVerifier().verify(altered, DIGEST, [signer.signatory()]) is not None) is good


def test_the_tools_of_others_sign_and_attach_below_the_prefix_of_the_fleet(tmp_path: Path) -> None:
    """What cosign and ORAS write into the embedded registry has one reading, and we find who signed."""
    application = EmbeddedRegistry(
        tmp_path / "registry",
        authorize=lambda _header, _access, _name: None,
        has_fixed_tags=lambda _name: True,
        released=frozenset,
    )
    signer, artifact = ours(tmp_path), manifests_artifact("platform", "cilium", "1.0.0", b"layer")
    (tmp_path / "services.json").write_text(json.dumps(NO_SERVICES))
    (tmp_path / "sbom.json").write_text("{}")
    with serve(application) as address, client() as registry:
        repository = Repository(address, "ums/platform/cilium")
        for blob in artifact.blobs:
            registry.push_blob(repository, blob)
        registry.push_manifest(repository, artifact, tag="1.0.0")
        subject = f"{repository}@{artifact.descriptor.digest}"
        services = ("--signing-config", "services.json", "--allow-http-registry", "--yes")
        signed = cosign(tmp_path, "sign", "--key", "release.key", *services, subject)
        assert signed.returncode == 0, signed.stderr.decode()
        if oras := find_tool("oras"):
            attach = [
                str(oras),
                "attach",
                "--plain-http",
                "--artifact-type",
                "application/spdx+json",
                subject,
                "sbom.json",
            ]
            subprocess.run(attach, cwd=tmp_path, check=True, capture_output=True, timeout=120)
        verify = Verify(registry, CosignBundleVerifier())
        assert verify.signed_by(repository, artifact.descriptor.digest, [signer.signatory()]) == {"release"}
