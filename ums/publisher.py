"""The publisher's composition root: what building, publishing and verifying need, and nothing of the service.

Apart from ``bootstrap``, so that a command which runs in every CI job does not import a web framework, a database
and Git.
"""

from __future__ import annotations

from dataclasses import dataclass

from ums.adapters.cosign_bundle import CosignBundleVerifier
from ums.adapters.oras_registry import OrasRegistry
from ums.adapters.signature_verifier import SignatureVerifier
from ums.adapters.system_clock import SystemClock
from ums.ports import Registrar, Signer, Verifier
from ums.usecases.build import Build
from ums.usecases.publish import Publish, ReadBase
from ums.usecases.sign import SignArtifact, SignRelease
from ums.usecases.verify import Verify


@dataclass(frozen=True, slots=True)
class Publisher:
    """What a publisher has: no service's secret, but maybe a release key."""

    build: Build
    publish: Publish | None
    read_base: ReadBase


def make_publisher(
    *,
    signer: Signer | None,
    registrar: Registrar | None,
    login: tuple[str, str] | None = None,
    plain_http: bool = False,
) -> Publisher:
    """Wire building, publishing and verifying. Without ``login``, Docker's own configuration is used."""
    # What reads YAML takes 0.1 s to import, and verifying goes without.
    from ums.adapters.bundle_folder import BundleFolder  # noqa: PLC0415

    verify = make_verify(login=login, plain_http=plain_http)
    registry = verify.registry
    return Publisher(
        build=Build(BundleFolder(registry=registry), SystemClock()),
        publish=Publish(registry, signer, verify, registrar) if signer else None,
        read_base=ReadBase(registry, verify),
    )


def make_sign(signer: Signer, *, login: tuple[str, str] | None, plain_http: bool) -> SignRelease:
    """Wire signing what others signed before."""
    verify = make_verify(login=login, plain_http=plain_http)
    return SignRelease(verify.registry, verify, SignArtifact(verify.registry, signer, verify))


def make_verify(*, login: tuple[str, str] | None, plain_http: bool) -> Verify:
    """Wire verifying. Without ``login``, Docker's own configuration is used."""
    username, password = login or (None, None)
    return Verify(OrasRegistry(username=username, password=password, plain_http=plain_http), make_verifier())


def make_verifier() -> Verifier:
    """Wire the check of signatures: by key, and keyless once somebody trusts an identity."""

    def keyless() -> Verifier:
        # sigstore takes 0.3 s to import, and most installations never need it.
        from ums.adapters.sigstore_keyless import SigstoreVerifier  # noqa: PLC0415

        return SigstoreVerifier()

    return SignatureVerifier(CosignBundleVerifier(), keyless)
