"""The data of a service, as ``ums init`` makes it, for tests that need no server."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from ums.adapters.cosign_bundle import CosignBundleSigner
from ums.bootstrap import Initialized, initialize
from ums.config import Settings
from ums.domain.oci import Repository
from ums.domain.trust import KeySigner
from ums.domain.world import Topology
from ums.usecases.initialize import Seed


def make_data(
    folder: Path, *, registry_login: bool = False, topology: Topology = Topology.VIEW
) -> tuple[Settings, Initialized]:
    """Make the data of a service."""
    signatory = CosignBundleSigner(generate_private_key(SECP256R1()), "release").signatory()
    assert isinstance(signatory, KeySigner)
    settings, span = Settings(folder / "data"), timedelta(minutes=1)
    seed = Seed(
        url="http://127.0.0.1:1",
        registry=Repository("127.0.0.1:1", "ums"),
        signers={"release": signatory.public_key},
        state_keys=(),
        plain_http=True,
        registry_login=registry_login,
        topology=topology,
        interval=span,
        root_timeout=span,
        validity=7 * timedelta(days=1),
    )
    return settings, initialize(settings, seed)
